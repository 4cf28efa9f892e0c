"""The service as a process: killed, restarted, stopped and fenced."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from kafka.structs import TopicPartition

from streamdrift.errors import FencedError
from streamdrift.kafka.clients import KafkaSettings, make_consumer
from streamdrift.kafka.outbox import Outbox
from streamdrift.kafka.topics import TopicNeed, ensure_topics
from streamdrift.records import Floor, Partition
from streamdrift.state import Published, Saved, Stored, TopicStore
from streamdrift.state.kafka import KafkaLog
from tests.topic_maker import TopicMaker

_EVENTS = 6_000


def _produce(connection: KafkaSettings, topic: str, first: int, last: int) -> None:
    numbers = np.random.default_rng(1).normal(size=_EVENTS)
    numbers[2_000:3_500] += 2
    outbox = Outbox(connection)
    for i in range(first, last):
        event = {
            "model": "m",
            "timestamp": 1_767_225_600 + i,
            "features": {"x": float(numbers[i])},
        }
        outbox.send(topic, json.dumps(event).encode(), partition=i % 2)
    outbox.flush(60)
    outbox.close()


@contextmanager
def _running(connection: KafkaSettings, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    settings = (
        f"name={name}",
        f"kafka.bootstrap_servers={connection.bootstrap_servers}",
        f"source.predictions=[{name}-predictions]",
        "models.*.reference.events=500",
        "ordering.idle_after=1s",
        "http.bind=null",
    )
    command = [sys.executable, "-m", "streamdrift", "run"]
    command += [part for setting in settings for part in ("--set", setting)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _alerts(connection: KafkaSettings, name: str) -> dict[str, str]:
    """Return the published alerts, type by id; a repeated id must be the same record."""
    consumer = make_consumer(connection)
    found: dict[str, bytes] = {}
    try:
        topic = f"{name}.alerts"
        keys = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        if not keys:
            return {}
        consumer.assign(keys)
        ends = consumer.end_offsets(keys)
        for key in keys:
            consumer.seek(key, 0)
        while any(consumer.position(key) < ends[key] for key in keys):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    assert found.setdefault(json.loads(record.value)["id"], record.value) == (
                        record.value
                    )
    finally:
        consumer.close(autocommit=False)
    return {key: json.loads(value)["type"].split(".")[-2] for key, value in found.items()}


def _wait_for(connection: KafkaSettings, name: str, kind: str) -> None:
    deadline = time.monotonic() + 60
    while kind not in _alerts(connection, name).values():
        assert time.monotonic() < deadline, f"no alert {kind} in a minute"
        time.sleep(0.5)


def test_kill_and_restart_neither_lose_nor_add_an_alert(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(connection, f"{name}-predictions", 2)
    _produce(connection, f"{name}-predictions", 0, 2_600)
    with _running(connection, name) as process:
        _wait_for(connection, name, "opened")
        process.kill()
        process.wait()
    _produce(connection, f"{name}-predictions", 2_600, _EVENTS)
    with _running(connection, name) as process:
        _wait_for(connection, name, "resolved")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    kinds = sorted(_alerts(connection, name).values())
    assert kinds.count("opened") == kinds.count("resolved") == 1


def test_second_process_of_a_deployment_fences_the_first(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(connection, f"{name}-predictions", 2)
    _produce(connection, f"{name}-predictions", 0, 100)
    with _running(connection, name) as first:
        assert first.stderr is not None
        assert any(b"no state yet" in line for line in first.stderr)
        with _running(connection, name) as second:
            _, said = first.communicate(timeout=30)
            assert first.returncode == FencedError.exit_code
            assert b"another process" in said
            assert second.poll() is None


def test_state_is_kept_on_topics(connection: KafkaSettings, name: str) -> None:
    topics = [f"{name}.state", f"{name}.journal"]
    ensure_topics(connection, [TopicNeed(each, "state", (), 1) for each in topics], create=True)
    outbox = Outbox(connection)
    log = KafkaLog(connection)
    log.write_to(outbox)
    try:
        store = TopicStore(log, name, topics[0], topics[1], 1)
        assert store.load() == Stored({}, (), Published())
        large = np.random.default_rng(2).bytes(2_000_000)
        floors = tuple(Floor(Partition("p", 0), offset, 7) for offset in (1, 2))
        store.journal(floors[:1])
        for snapshot in (b"small", large):
            store.save({0: snapshot})
        store.journal(floors[1:])
        store.flush()
        saved = {0: Saved(large, 2, 2)}
        assert TopicStore(log, name, topics[0], topics[1], 1).load() == Stored(
            saved, floors[1:], Published()
        )
        assert list(log.read(topics[1], log.end(topics[1]))) == []
        assert next(log.read(topics[1], 1)).offset == 1
    finally:
        log.close()
        outbox.close()
