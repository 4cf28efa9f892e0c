"""Topics made or named, and what the sinks write to them."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from kafka.structs import TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka import topics
from streamdrift.kafka.clients import KafkaSettings, make_consumer
from streamdrift.kafka.outbox import Outbox
from streamdrift.kafka.topics import (
    Right,
    TopicNeed,
    TopicReport,
    check_exists,
    ensure_topics,
    inspect_topics,
)
from streamdrift.records import Alert, DeadLetter, Partition
from streamdrift.sinks.dead_letters import LARGEST_VALUE, DeadLetters
from streamdrift.sinks.kafka import KafkaSink
from tests.topic_maker import TopicMaker


def test_missing_topics_are_made(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    alerts = TopicNeed(f"{name}-alerts", "alerts", (Right.WRITE,), partitions=2)
    state = TopicNeed(
        f"{name}-state",
        "state",
        (Right.READ, Right.WRITE),
        partitions=1,
        configs={"cleanup.policy": "compact"},
    )
    with pytest.raises(ConnectionsError, match="does not exist") as caught:
        ensure_topics(connection, [alerts, state], create=False)
    assert f"--create --topic {name}-alerts --partitions 2" in str(caught.value.hint)
    assert all(not report.exists for report in inspect_topics(connection, [alerts, state]))
    reports = ensure_topics(connection, [alerts, state], create=True)
    make_topic.made(connection, alerts.name, state.name)
    assert [report.partitions for report in reports] == [2, 1]
    assert reports[1].cleanup_policy in ("compact", None)
    assert [report.created for report in reports] == [True, True]
    again = tuple(replace(report, created=False) for report in reports)
    assert ensure_topics(connection, [alerts, state], create=False) == again


def test_a_topic_that_a_broker_has_not_heard_of_yet_is_waited_for(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inspect = topics._inspect
    unheard: list[tuple[TopicReport, ...]] = []

    def deaf_at_first(*arguments: Any) -> tuple[TopicReport, ...]:
        if not unheard:
            unheard.append(inspect(*arguments))  # Before it is made.
        elif len(unheard) < 3:
            unheard.append(unheard[0])
        else:
            return inspect(*arguments)
        return unheard[0]

    monkeypatch.setattr(topics, "_inspect", deaf_at_first)
    (report,) = ensure_topics(kafka_connection, [TopicNeed(name, "events", ())], create=True)
    make_topic.made(kafka_connection, name)
    assert report.exists
    assert report.created
    assert len(unheard) == 3


def test_state_must_be_in_one_partition(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(connection, name, 2)
    with pytest.raises(ConnectionsError, match="has 2 partitions and needs 1"):
        ensure_topics(connection, [TopicNeed(name, "journal", (), partitions=1)], create=True)


def test_a_state_topic_must_be_compacted(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name)
    need = TopicNeed(name, "state", (Right.READ,), configs={"cleanup.policy": "compact"})
    with pytest.raises(
        ConnectionsError, match=r"cleanup\.policy=delete and needs compact"
    ) as caught:
        ensure_topics(kafka_connection, [need], create=True)
    assert "--add-config cleanup.policy=compact" in str(caught.value.hint)


def test_dead_letters(connection: KafkaSettings, name: str, make_topic: TopicMaker) -> None:
    make_topic(connection, name)
    origin = Partition("predictions", 3)
    letters = [
        DeadLetter("invalid_json", "ended too early", origin, 7, 0, 1_000, b'{"a":'),
        DeadLetter("too_large", "\u00fcber", origin, 8, 2, 2_000, b"x" * (LARGEST_VALUE + 1)),
        DeadLetter("tombstone", "no value", origin, 9, 0, 3_000, None),
    ]
    outbox = Outbox(connection)
    sink = DeadLetters(outbox, name)
    sink.write(letters)
    sink.flush()
    outbox.close()
    consumer = make_consumer(connection)
    partition = TopicPartition(name, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    records: list[Any] = []
    while len(records) < 3:
        records += consumer.poll(1_000).get(partition, [])
    consumer.close()
    assert [record.key for record in records] == [b"predictions/3"] * 3
    assert records[0].value == b'{"a":'
    assert dict(records[0].headers) == {
        "reason": b"invalid_json",
        "detail": b"ended too early",
        "topic": b"predictions",
        "partition": b"3",
        "offset": b"7",
        "index": b"0",
        "time": b"1000",
    }
    assert len(records[1].value) == LARGEST_VALUE
    assert dict(records[1].headers)["original_length"] == str(LARGEST_VALUE + 1).encode()
    assert records[2].value is None


def test_a_refused_record_is_raised_by_flush(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name, configs={"max.message.bytes": "1000"})
    outbox = Outbox(kafka_connection)
    outbox.send(name, b"x" * 5_000)
    with pytest.raises(ConnectionsError, match="MessageSizeTooLarge"):
        outbox.flush(20)
    outbox.close()


def test_a_missing_topic_is_named(kafka_connection: KafkaSettings) -> None:
    outbox = Outbox(kafka_connection, max_block_ms=300)
    with pytest.raises(ConnectionsError, match="write to the topic absent"):
        outbox.send("absent", b"x")
    outbox.close()


def test_alerts_are_cloud_events(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(connection, name)
    incidents = make_topic(connection, f"{name}-incidents")
    alert = Alert("id-1", "opened", "fraud", "3", 1_700_000_000_000_000, 0, {"incident": "i"})
    outbox = Outbox(connection)
    sink = KafkaSink(outbox, name, incidents, "streamdrift")
    sink.write([alert])
    sink.flush()
    sink.close()
    outbox.close()
    consumer = make_consumer(connection)
    partition = TopicPartition(name, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    (record,) = consumer.poll(10_000)[partition]
    consumer.close()
    event = orjson.loads(record.value)
    assert (event["specversion"], event["id"], event["subject"]) == ("1.0", "id-1", "fraud/3")
    assert record.key == b"fraud"
    assert record.headers == [("content-type", b"application/cloudevents+json")]


def test_a_topic_that_is_asked_about_is_not_made_by_that(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionsError, match=f"the topic {name} is not there yet"):
            check_exists(connection, name)
    make_topic(connection, name, partitions=1)
    check_exists(connection, name)
