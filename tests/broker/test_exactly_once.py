"""Killed at any step, and whenever, a deployment's alerts are those of an undisturbed one."""

import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.kafka import KafkaSettings, make_admin, make_consumer
from streamdrift.outbox import Outbox, TransactionalOutbox
from streamdrift.state import TopicStore
from streamdrift.state.kafka import KafkaLog
from tests.topic_maker import TopicMaker

Alerts = dict[str, list[dict[str, Any]]]
"""By model, in the order of the topic."""

_EVENTS = 9_000
_PARTITIONS = 3
_PATIENCE = 60.0


def _events() -> Iterator[tuple[int, bytes]]:
    """Yield partition and value: two models, each of which drifts and returns, and rubbish."""
    numbers = np.random.default_rng(7).normal(size=_EVENTS)
    numbers[3_000:5_000] += 2
    for i, x in enumerate(numbers.tolist()):
        event = {"model": f"m{i % 2}", "timestamp": 1_767_225_600 + i, "features": {"x": x}}
        value = b"rubbish" if i % 1_000 == 500 else json.dumps(event).encode()
        yield (i // 2) % _PARTITIONS, value


def _produce(connection: KafkaSettings, topic: str, events: Iterable[tuple[int, bytes]]) -> None:
    outbox = Outbox(connection)
    for partition, value in events:
        outbox.send(topic, value, partition=partition)
    outbox.flush()
    outbox.close()


def _settings(connection: KafkaSettings, name: str, topic: str) -> list[str]:
    return [
        f"name={name}",
        f"kafka.bootstrap_servers={connection.bootstrap_servers}",
        f"source.predictions=[{topic}]",
        "source.discovery_interval=2s",
        "models.*.reference.events=500",
        "ordering.idle_after=1s",
        "commit_interval=100ms",
        "http.bind=null",
    ]


@contextmanager
def _started(settings: list[str], at: int = 0) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the service, which kills itself at a step (0: never), and at the end in any case."""
    command = [sys.executable, "-m", "tests.killable", str(at), *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _records(connection: KafkaSettings, topic: str) -> list[Any]:
    """Return the committed records of a topic: key, headers and value, by partition in order."""
    consumer = make_consumer(connection)
    try:
        keys = [
            TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        if not keys:
            return []
        consumer.assign(keys)
        ends = consumer.end_offsets(keys)
        found: dict[TopicPartition, list[Any]] = {key: [] for key in keys}
        for key in keys:
            consumer.seek(key, 0)
        while any(consumer.position(key) < ends[key] for key in keys):
            for key, records in consumer.poll(timeout_ms=500).items():
                found[key] += [(each.key, each.headers, each.value) for each in records]
    finally:
        consumer.close(autocommit=False)
    return [record for key in keys for record in found[key]]


def _published(connection: KafkaSettings, name: str) -> Alerts:
    """Return the alerts of a deployment by model, in the order of the topic."""
    alerts: Alerts = {}
    for key, _, value in _records(connection, f"{name}.alerts"):
        # Onsets name the topic, which has another name in each test.
        alert = json.loads(re.sub(rb"test-\w+-(predictions|live)", b"topic", value))
        assert alert.pop("source") == name
        alerts.setdefault(key.decode(), []).append(alert)
    return alerts


def _letters(connection: KafkaSettings, name: str) -> list[tuple[int, int]]:
    """Return partition and offset of what dead letters were written of, sorted."""
    headers = [dict(each) for _, each, _ in _records(connection, f"{name}.dead-letters")]
    return sorted((int(each["partition"]), int(each["offset"])) for each in headers)


def _finish(process: "subprocess.Popen[bytes]", connection: KafkaSettings, name: str) -> None:
    """Wait until all incidents are resolved, and stop the process."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        published = _published(connection, name)
        kinds = [each["type"].split(".")[-2] for model in published for each in published[model]]
        if kinds.count("resolved") == kinds.count("opened") >= 2:
            break
        assert time.monotonic() < deadline, f"not all resolved: {kinds}"
        assert process.poll() is None
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said.decode()


@pytest.fixture
def undisturbed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> tuple[str, Alerts, list[tuple[int, int]]]:
    """A topic, the alerts of its events, and the dead letters, nothing having happened."""
    topic = f"{name}-predictions"
    make_topic(kafka_connection, topic, _PARTITIONS)
    _produce(kafka_connection, topic, _events())
    calm = f"{name}-calm"
    with _started(_settings(kafka_connection, calm, topic)) as process:
        _finish(process, kafka_connection, calm)
    alerts = _published(kafka_connection, calm)
    for model in ("m0", "m1"):
        numbers = [int(alert["sequence"]) for alert in alerts[model]]
        assert numbers == list(range(1, len(numbers) + 1))
    letters = _letters(kafka_connection, calm)
    assert len(letters) == _EVENTS // 1_000
    return topic, alerts, letters


def test_killed_at_any_step_and_moment_nothing_is_lost_doubled_or_moved(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    _, alerts, letters = undisturbed
    topic = f"{name}-live"
    make_topic(kafka_connection, topic, _PARTITIONS)
    settings, chance = _settings(kafka_connection, name, topic), random.Random(3)
    events = list(_events())
    parts = [events[first : first + 600] for first in range(0, len(events), 600)]
    for life, part in enumerate(parts, 1):
        _produce(kafka_connection, topic, part)
        # One step is in the start, and a commit of these has 11 at least.
        with _started(settings, at=life if life < 12 else 0) as process:
            if life >= 12:
                time.sleep(chance.uniform(0.8, 2.5))
                process.kill()
            process.communicate(timeout=_PATIENCE)
            assert process.returncode == -signal.SIGKILL
    with _started(settings) as process:
        _finish(process, kafka_connection, name)
    assert _published(kafka_connection, name) == alerts
    assert _letters(kafka_connection, name) == letters


def test_a_stopped_process_that_goes_on_writes_nothing(
    kafka_connection: KafkaSettings,
    name: str,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, alerts, _ = undisturbed
    settings = _settings(kafka_connection, name, topic)
    with _started(settings) as zombie:
        assert zombie.stderr is not None
        assert any(b"no state yet" in line for line in zombie.stderr)
        zombie.send_signal(signal.SIGSTOP)
        with _started(settings) as process:
            time.sleep(12)  # longer than the zombie's transaction may take
            zombie.send_signal(signal.SIGCONT)
            _, said = zombie.communicate(timeout=60)
            assert zombie.returncode == FencedError.exit_code, said.decode()
            assert b"another process" in said
            _finish(process, kafka_connection, name)
    assert _published(kafka_connection, name) == alerts


def test_offsets_show_how_far_the_input_is_read(
    kafka_connection: KafkaSettings,
    name: str,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, _, _ = undisturbed
    admin = make_admin(kafka_connection)
    try:
        found = admin.list_group_offsets(f"{name}-calm")[f"{name}-calm"]
    finally:
        admin.close()
    offsets = {key.partition: at.offset for key, at in found.items() if key.topic == topic}
    assert sum(offsets.values()) > 0.9 * _EVENTS
    assert len(offsets) == _PARTITIONS


# What the client gets wrong.


def test_a_producer_that_was_fenced_does_not_take_its_id_back(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name)
    first = TransactionalOutbox(kafka_connection, name)
    first.begin()
    first.send(name, b"first", partition=0)
    first.flush()
    second = TransactionalOutbox(kafka_connection, name)
    with pytest.raises(FencedError):
        first.commit(name, {})
    first.close()
    second.begin()
    second.send(name, b"second", partition=0)
    second.flush()
    second.commit(name, {})
    second.close()
    assert [value for _, _, value in _records(kafka_connection, name)] == [b"second"]


def test_a_transaction_without_one_of_its_records_is_not_committed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name)
    outbox: Any = TransactionalOutbox(kafka_connection, name)
    outbox.begin()
    outbox.send(name, b"kept", partition=0)
    outbox._producer.flush()
    # As a batch past its delivery time-out: the client would commit without it.
    outbox._pending.append(_Failed())
    with pytest.raises(ConnectionsError):
        outbox.flush()
    outbox.close()
    TransactionalOutbox(kafka_connection, name).close()
    assert _records(kafka_connection, name) == []


def test_state_is_not_read_past_an_open_transaction(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """A deployment that shares the topics was killed in one: all that is behind it counts."""
    make_topic(kafka_connection, name)
    make_topic(kafka_connection, f"{name}-journal")
    killed, ours = (TransactionalOutbox(kafka_connection, f"{name}-{i}") for i in range(2))
    log = KafkaLog(kafka_connection)
    log.write_to(ours)
    store = TopicStore(log, name, name, f"{name}-journal")
    killed.begin()
    killed.send(name, b"chunk", key=b"other/slot/0/0", partition=0)
    killed.flush()
    ours.begin()
    store.save(b"snapshot")
    ours.commit(name, {})
    killed.close()
    again = TopicStore(log, name, name, f"{name}-journal")
    assert again.load().snapshot == b"snapshot"
    log.close()
    ours.close()


class _Failed:
    def get(self, timeout: float) -> None:
        raise KafkaTimeoutError("Batch expired")


def test_a_commit_that_never_ends_is_given_up(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamdrift.outbox.COMMIT_SECONDS", 0.5)
    make_topic(kafka_connection, name)
    outbox: Any = TransactionalOutbox(kafka_connection, name)
    outbox.begin()
    outbox.send(name, b"x", partition=0)
    outbox.flush()
    released = threading.Event()
    monkeypatch.setattr(outbox._producer, "commit_transaction", released.wait)
    with pytest.raises(ConnectionsError, match="outcome is unknown"):
        outbox.commit(name, {})
    released.set()
    outbox.close()


def test_a_commit_under_another_identity_is_not_believed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name)
    outbox: Any = TransactionalOutbox(kafka_connection, name)
    outbox.begin()
    outbox.send(name, b"x", partition=0)
    outbox.flush()
    outbox._identity = "another epoch"
    with pytest.raises(ConnectionsError, match="outcome is unknown"):
        outbox.commit(name, {})
    outbox.close()


def test_offsets_of_a_transaction_that_failed_are_never_committed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name)
    outbox: Any = TransactionalOutbox(kafka_connection, name)
    outbox.begin()
    outbox.send(name, b"x", partition=0)
    outbox.flush()
    place = TopicPartition(name, 0)
    outbox._producer.send_offsets_to_transaction({place: OffsetAndMetadata(7, "", -1)}, name)
    outbox.close()
    following = TransactionalOutbox(kafka_connection, name)
    following.begin()
    following.send(name, b"y", partition=0)
    following.flush()
    following.commit(name, {})
    following.close()
    admin = make_admin(kafka_connection)
    try:
        assert place not in admin.list_group_offsets(name)[name]
    finally:
        admin.close()
