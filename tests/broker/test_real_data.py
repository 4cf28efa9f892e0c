"""Recorded streams through brokers and the running service give the stored alerts."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from kafka.structs import TopicPartition

from streamdrift.assembly import make_pipeline, service_settings
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.config import Settings
from streamdrift.deployment import Deployment
from streamdrift.kafka import KafkaSettings, make_consumer, make_producer
from streamdrift.metrics import Metrics
from streamdrift.service import Service
from tests.golden.prediction_events import (
    RECORDINGS,
    Recording,
    read_expected,
    without_offsets,
)
from tests.topic_maker import TopicMaker

_PATIENCE = 90.0
_INSECTS = next(each for each in RECORDINGS if each.name == "insects_gradual")


def _settings(connection: KafkaSettings, name: str, reference: int) -> Settings:
    return Settings.model_validate(
        {
            "name": name,
            "kafka": connection,
            "source": {"predictions": [f"{name}-predictions"]},
            "ordering": {"idle_after": "1s"},
            "models": {"*": {"reference": {"events": reference}}},
            "http": {"bind": None},
        }
    )


def _produce(
    connection: KafkaSettings, topic: str, events: Sequence[bytes], partitions: int
) -> None:
    producer = make_producer(connection, linger_ms=20)
    for number, event in enumerate(events):
        producer.send(topic, event, partition=number % partitions)
    producer.flush(timeout=60)
    producer.close(timeout=5)


def _produce_unequally(connection: KafkaSettings, topic: str, events: Sequence[bytes]) -> None:
    """Fill three partitions: the first has the most, the last is written a good deal later."""
    shares = np.random.default_rng(4).choice(3, len(events), p=[0.7, 0.2, 0.1]).tolist()
    producer = make_producer(connection, linger_ms=20)
    for late in (False, True):
        for number, event in zip(shares, events, strict=True):
            if (number == 2) is late:
                producer.send(topic, event, partition=number)
    producer.flush(timeout=60)
    producer.close(timeout=5)


def _serve(settings: Settings, events: int, alerts: int) -> list[dict[str, Any]]:
    """Run the service until it has read so many events and so many alerts are out."""
    metrics = Metrics()
    service = Service(
        service_settings(settings),
        Deployment(settings).open_session,
        lambda: make_pipeline(settings),
        metrics,
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    deadline = time.monotonic() + _PATIENCE
    found: list[dict[str, Any]] = []
    while time.monotonic() < deadline and (metrics.events() < events or len(found) < alerts):
        time.sleep(0.5)
        found = _read_alerts(settings) if metrics.events() >= events else []
    service.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()
    return _read_alerts(settings)


def _read_alerts(settings: Settings) -> list[dict[str, Any]]:
    """Return the alerts of the topic, each once, in the order of their due times."""
    consumer = make_consumer(settings.kafka)
    try:
        topic = settings.alerts.topic
        keys = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(keys)
        ends = consumer.end_offsets(keys)
        for key in keys:
            consumer.seek(key, 0)
        alerts: dict[str, dict[str, Any]] = {}
        while any(consumer.position(key) < ends[key] for key in keys):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    alert = orjson.loads(record.value)
                    alerts.setdefault(alert["id"], alert)
    finally:
        consumer.close(autocommit=False)
    return list(alerts.values())


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_service_publishes_the_stored_alerts(
    connection: KafkaSettings, name: str, make_topic: TopicMaker, partitions: int
) -> None:
    settings = _settings(connection, name, _INSECTS.reference)
    topic = make_topic(connection, f"{name}-predictions", partitions)
    events = list(_INSECTS.events())
    _produce(connection, topic, events, partitions)
    expected = read_expected(_INSECTS)
    alerts = _serve(settings, len(events), len(expected))
    # Without an end of input, an alert of the very last event may still be waited for.
    assert without_offsets(alerts) == without_offsets(expected)


each_recording = pytest.mark.parametrize(
    "recording", RECORDINGS, ids=lambda recording: recording.name
)


@each_recording
def test_replay_prints_the_stored_alerts(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    recording: Recording,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = _settings(connection, name, recording.reference)
    topic = make_topic(connection, f"{name}-predictions", 2)
    _produce(connection, topic, list(recording.events()), 2)
    capfd.readouterr()
    run_replay(ReplayOptions(f"kafka://{topic}", None, None, None, False), settings)
    alerts = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert without_offsets(alerts) == without_offsets(read_expected(recording))


@each_recording
def test_run_cut_in_two_publishes_the_stored_alerts(
    connection: KafkaSettings, name: str, make_topic: TopicMaker, recording: Recording
) -> None:
    settings = _settings(connection, name, recording.reference)
    topic = make_topic(connection, f"{name}-predictions", 1)
    events = list(recording.events())
    middle = 2 * len(events) // 3
    _produce(connection, topic, events[:middle], 1)
    _serve(settings, middle, 0)
    _produce(connection, topic, events[middle:], 1)
    expected = read_expected(recording)
    alerts = _serve(settings, len(events) - middle, len(expected))
    assert without_offsets(alerts) == without_offsets(expected)


def test_backlog_of_unequal_partitions_raises_what_the_stream_does(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    settings = _settings(connection, name, _INSECTS.reference)
    topic = make_topic(connection, f"{name}-predictions", 3)
    events = list(_INSECTS.events())
    _produce_unequally(connection, topic, events)
    expected = read_expected(_INSECTS)
    alerts = _serve(settings, len(events), len(expected))
    assert without_offsets(alerts) == without_offsets(expected)


def test_backlog_of_unequal_partitions_raises_nothing(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    settings = _settings(connection, name, 2_000)
    topic = make_topic(connection, f"{name}-predictions", 3)
    random = np.random.default_rng(4)
    events = [
        orjson.dumps(
            {
                "model": "steady",
                "timestamp": 1_767_225_600 + number * 0.1,
                "features": {"x": value, "hour": number % 24},
            }
        )
        for number, value in enumerate(random.normal(size=20_000).tolist())
    ]
    _produce_unequally(connection, topic, events)
    assert _serve(settings, len(events), 0) == []
