"""Killed at any step, and whenever, a deployment's alerts are those of an undisturbed one."""

import itertools
import random
import signal
import threading
import time
from contextlib import closing
from typing import Any

import pytest
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.config import load_settings
from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.kafka.outbox import Outbox, TransactionalOutbox, open_patient
from streamdrift.state import TopicStore
from streamdrift.state.kafka import KafkaLog
from tests.deployment import known_incidents
from tests.exactly_once import (
    CYCLE,
    PARTITIONS,
    RUBBISH_EVERY,
    Alerts,
    ends,
    events,
    finish,
    letters,
    produce,
    published,
    read_to,
    records,
    settings_of,
    started,
)
from tests.killable import STEPS
from tests.real_kafka import RealKafka
from tests.topic_maker import TopicMaker

_EVENTS = 3 * CYCLE
_PATIENCE = 60.0


@pytest.fixture
def undisturbed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> tuple[str, Alerts, list[tuple[int, int]]]:
    """A topic, the alerts of its events, and the dead letters, nothing having happened."""
    topic = f"{name}-predictions"
    make_topic(kafka_connection, topic, PARTITIONS)
    produce(kafka_connection, topic, itertools.islice(events(), _EVENTS))
    calm = f"{name}-calm"
    with started(settings_of(kafka_connection.bootstrap_servers, calm, topic)) as life:
        finish(life, kafka_connection, calm, topic, _PATIENCE)
    alerts = published(kafka_connection, calm, topic)
    for model in ("m0", "m1"):
        numbers = [int(alert["sequence"]) for alert in alerts[model]]
        assert numbers == list(range(1, len(numbers) + 1))
        kinds = [alert["type"].split(".")[-2] for alert in alerts[model]]
        assert kinds.count("opened") == kinds.count("resolved") >= 2
    unusable = letters(kafka_connection, calm)
    assert len(unusable) == _EVENTS // RUBBISH_EVERY
    return topic, alerts, unusable


def test_killed_at_any_step_and_moment_nothing_is_lost_doubled_or_moved(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    _, alerts, unusable = undisturbed
    topic = f"{name}-live"
    make_topic(kafka_connection, topic, PARTITIONS)
    settings = settings_of(kafka_connection.bootstrap_servers, name, topic)
    chance, coming = random.Random(3), events()
    lives = [*STEPS, None, None, None]
    for step in lives:
        produce(kafka_connection, topic, itertools.islice(coming, _EVENTS // len(lives)))
        with started(settings, None if step is None else f"{step}:0") as life:
            if step is None:
                time.sleep(chance.uniform(0.8, 2.5))
                life.process.kill()
            assert life.process.wait(timeout=_PATIENCE) == -signal.SIGKILL, life.said()
    with started(settings) as life:
        finish(life, kafka_connection, name, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == alerts
    assert letters(kafka_connection, name) == unusable
    latest = {each["data"]["incident"]: each["id"] for told in alerts.values() for each in told}
    assert known_incidents(load_settings(None, settings)) == latest


def test_a_stopped_process_that_goes_on_writes_nothing(
    kafka_connection: KafkaSettings,
    name: str,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, alerts, _ = undisturbed
    settings = settings_of(kafka_connection.bootstrap_servers, name, topic)
    with started(settings) as zombie:
        zombie.wait_for("reading", _PATIENCE)
        zombie.process.send_signal(signal.SIGSTOP)
        with started(settings) as life:
            time.sleep(12)  # longer than the zombie's transaction may take
            zombie.process.send_signal(signal.SIGCONT)
            assert zombie.process.wait(timeout=60) == FencedError.exit_code, zombie.said()
            assert "another process" in zombie.said()
            finish(life, kafka_connection, name, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == alerts


def test_offsets_show_how_far_the_input_is_read(
    kafka_connection: KafkaSettings,
    name: str,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, _, _ = undisturbed
    offsets = read_to(kafka_connection, f"{name}-calm", topic)
    assert offsets == ends(kafka_connection, topic)
    assert sum(offsets.values()) == _EVENTS


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
    assert [value for _, _, value in records(kafka_connection, name)] == [b"second"]


def test_a_transaction_without_one_of_its_records_is_not_committed(
    real_kafka: RealKafka, name: str, make_topic: TopicMaker
) -> None:
    """A batch goes past its delivery time-out: the client would commit without it."""
    connection = KafkaSettings(bootstrap_servers=real_kafka.bootstrap)
    make_topic(connection, name)
    outbox = TransactionalOutbox(
        connection, name, delivery_timeout_ms=1_500, request_timeout_ms=1_000, linger_ms=0
    )
    outbox.begin()
    outbox.send(name, b"acknowledged", partition=0)
    outbox.flush()
    real_kafka.stop()
    try:
        outbox.send(name, b"expires", partition=0)
        with pytest.raises(ConnectionsError):
            outbox.flush(10.0)
    finally:
        real_kafka.start()
    outbox.close()
    TransactionalOutbox(connection, name).close()
    assert records(connection, name) == []


def test_state_is_not_read_past_an_open_transaction(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """A deployment that shares the topics was killed in one: all that is behind it counts."""
    make_topic(kafka_connection, name)
    make_topic(kafka_connection, f"{name}-journal")
    killed, ours = (TransactionalOutbox(kafka_connection, f"{name}-{i}") for i in range(2))
    log = KafkaLog(kafka_connection)
    log.write_to(ours)
    store = TopicStore(log, name, name, f"{name}-journal", 1)
    killed.begin()
    killed.send(name, b"chunk", key=b"other/0/slot/0/0", partition=0)
    killed.flush()
    ours.begin()
    store.save({0: b"snapshot"})
    ours.commit(name, {})
    killed.close()
    again = TopicStore(log, name, name, f"{name}-journal", 1)
    assert again.load().snapshots[0].snapshot == b"snapshot"
    log.close()
    ours.close()


def test_a_transaction_that_stays_open_is_told_with_its_holder(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, [(0, b"before")])
    with (
        closing(TransactionalOutbox(kafka_connection, name)) as holder,
        closing(KafkaLog(kafka_connection)) as log,
    ):
        log.settle(name)
        holder.begin()
        holder.send(name, b"open", partition=0)
        holder.flush()
        with pytest.raises(ConnectionsError, match=r"of producer \d+, epoch \d+, from offset 1\)"):
            log.settle(name, patience=0.5)
        holder.commit(name, {})
        log.settle(name)


def test_a_patient_outbox_that_is_closed_amid_a_transaction_leaves_it_to_nobody(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it may be as patient as it likes, and on brokers that allow it less."""
    make_topic(kafka_connection, name)
    with closing(open_patient(kafka_connection, name)) as outbox:
        outbox.begin()
        outbox.send(name, b"never", partition=0)
        outbox.flush()
    with closing(KafkaLog(kafka_connection)) as log:
        log.settle(name, patience=3)
    monkeypatch.setattr("streamdrift.kafka.outbox.LONG_SECONDS", 901)
    with closing(open_patient(kafka_connection, name)) as outbox:
        outbox.begin()
        outbox.send(name, b"x", partition=0)
        outbox.flush()
        outbox.commit(name, {})
    assert [value for _, _, value in records(kafka_connection, name)] == [b"x"]


def test_a_commit_that_never_ends_is_given_up(
    real_kafka: RealKafka, name: str, make_topic: TopicMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client waits for the broker without limit."""
    monkeypatch.setattr("streamdrift.kafka.outbox.COMMIT_SECONDS", 1.0)
    connection = KafkaSettings(bootstrap_servers=real_kafka.bootstrap)
    make_topic(connection, name)
    outbox = TransactionalOutbox(connection, name)
    outbox.begin()
    outbox.send(name, b"x", partition=0)
    outbox.flush()
    threads = set(threading.enumerate())
    real_kafka.stop()
    try:
        with pytest.raises(ConnectionsError, match="outcome is unknown"):
            outbox.commit(name, {})
        outbox.close()
        assert set(threading.enumerate()) < threads  # Its sender is gone, and nobody waits.
    finally:
        real_kafka.start()


def test_a_transaction_that_the_broker_ended_is_not_called_committed(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client would ask for another epoch, and report success of what is gone."""
    monkeypatch.setattr("streamdrift.kafka.outbox.TRANSACTION_SECONDS", 1)
    make_topic(kafka_connection, name)
    with (
        closing(TransactionalOutbox(kafka_connection, name)) as outbox,
        closing(KafkaLog(kafka_connection)) as log,
    ):
        outbox.begin()
        outbox.send(name, b"x", partition=0)
        outbox.flush()
        log.settle(name)  # As it is ended, after its time and the broker's interval of 10 s.
        with pytest.raises(FencedError):
            outbox.commit(name, {})
    assert records(kafka_connection, name) == []


def test_a_commit_under_another_identity_is_not_believed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """Should the client begin anew all the same."""
    make_topic(kafka_connection, name)
    outbox: Any = TransactionalOutbox(kafka_connection, name)
    outbox.begin()
    outbox.send(name, b"x", partition=0)
    outbox.flush()
    outbox._identity = "another epoch"
    with pytest.raises(ConnectionsError, match="outcome is unknown"):
        outbox.commit(name, {})
    outbox.close()


def test_an_outbox_with_records_no_broker_took_is_closed_for_good(
    real_kafka: RealKafka, name: str, make_topic: TopicMaker
) -> None:
    connection = KafkaSettings(bootstrap_servers=real_kafka.bootstrap)
    make_topic(connection, name)
    outbox: Any = Outbox(connection)
    outbox.send(name, b"first", partition=0)
    outbox.flush()
    real_kafka.stop()
    try:
        outbox.send(name, b"never", partition=0)
        with pytest.raises(ConnectionsError):
            outbox.flush(timeout=0.5)
        outbox.close()
        assert not outbox._producer._sender.is_alive()
    finally:
        real_kafka.start()
    assert [value for _, _, value in records(connection, name)] == [b"first"]


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
