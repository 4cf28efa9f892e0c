"""Every format through brokers: what producers write, the service and a replay read."""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.kafka.clients import KafkaSettings, make_producer
from tests.deployment import deployment, serving, wait_until
from tests.exactly_once import letters
from tests.formats import AVRO, AVRO_SCHEMA, EXAMPLES, FEATURES_SCHEMA, GUID, Example, Sent
from tests.registry import Registry, schema_registry
from tests.topic_maker import TopicMaker

_RUBBISH = b"\xff\xfe rubbish"


def _produce(connection: KafkaSettings, topic: str, sent: Sequence[Sent]) -> None:
    producer = make_producer(connection)
    for each in sent:
        producer.send(topic, each.value, headers=list(each.headers))
    producer.flush(timeout=60)
    producer.close(timeout=5)


def _topic_of(example: Example, place: int, name: str) -> str:
    """Return a topic of the test's own; one of Seldon's tells by its name what is in it."""
    kind = f".model.fraud.{example.topic.rpartition('.')[2]}" if "." in example.topic else ""
    return f"{name}.{place}{kind}"


def _registered(registry: Registry) -> Example:
    """Return the example of Avro, framed with the ids that a registry gives its schemas."""
    registry.register("Features", {"schema": json.dumps(FEATURES_SCHEMA)})
    refers = [{"name": "Features", "subject": "Features", "version": 1}]
    schema = {"schema": json.dumps(AVRO_SCHEMA), "schemaType": "AVRO", "references": refers}
    number = registry.register("predictions-value", schema)
    return replace(AVRO, sent=[_framed(each, number, registry.guid(number)) for each in AVRO.sent])


def _framed(sent: Sent, number: int, guid: UUID) -> Sent:
    value = sent.value.replace(struct.pack(">bI", 0, 7), struct.pack(">bI", 0, number))
    headers = [(key, text and text.replace(GUID.bytes, guid.bytes)) for key, text in sent.headers]
    return replace(sent, value=value.replace(GUID.bytes, guid.bytes), headers=headers)


def test_every_format_is_served_and_replayed(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with schema_registry() as registry:
        examples = [_registered(registry) if each is AVRO else each for each in EXAMPLES]
        topics = [_topic_of(each, place, name) for place, each in enumerate(examples)]
        for topic, example in zip(topics, examples, strict=True):
            make_topic(connection, topic)
            rubbish = Sent(_RUBBISH, [], example.sent[0].headers)
            _produce(connection, topic, [*example.sent, rubbish])
        source = {
            "predictions": [
                {"name": topic, "format": each.format, "mapping": each.mapping}
                for topic, each in zip(topics, examples, strict=True)
            ],
            "schema_registry": {"url": registry.url},
        }
        settings = deployment(connection, name, 1_000, {"source": source})
        counts = [sum(len(each.events) for each in example.sent) for example in examples]
        with serving(settings) as metrics:
            assert wait_until(lambda: metrics.events() >= sum(counts))
        assert metrics.events() == sum(counts)
        assert len(letters(connection, name)) == len(topics)
        for topic, count in zip(topics, counts, strict=True):
            capfd.readouterr()
            run_replay(ReplayOptions(f"kafka://{topic}", None, None, None, False), settings)
            said = capfd.readouterr().err
            assert f"{count} event" in said
            assert "1 message or event not used: " in said


def test_a_registry_that_is_away_is_waited_for(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """What comes while it is away is read when it is back: nothing is lost or called unreadable."""
    topic = make_topic(kafka_connection, f"{name}-predictions")
    with schema_registry() as registry:
        example = _registered(registry)
        source = {
            "predictions": [topic],
            "format": "avro",
            "schema_registry": {"url": registry.url},
        }
        settings = deployment(kafka_connection, name, 1_000, {"source": source})
        registry.status = 503
        _produce(kafka_connection, topic, example.sent)
        with serving(settings) as metrics:
            assert wait_until(lambda: len(registry.asked) >= 6)
            assert metrics.events() == 0
            registry.status = None
            assert wait_until(lambda: metrics.events() == len(example.sent))
            _produce(kafka_connection, topic, example.sent)
            assert wait_until(lambda: metrics.events() == 2 * len(example.sent))
    assert letters(kafka_connection, name) == []
