"""Recorded streams through brokers and the running service give the stored alerts."""

import signal
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import orjson
import pytest

from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.config.settings import Settings
from streamdrift.kafka.clients import KafkaSettings, make_producer
from tests.deployment import deployment, read_alerts, running, serve, wait_until
from tests.golden.prediction_events import (
    RECORDINGS,
    Recording,
    read_expected,
    without_offsets,
)
from tests.topic_maker import TopicMaker

_INSECTS = next(each for each in RECORDINGS if each.name == "insects_gradual")


def _event_time(event: bytes) -> datetime:
    return datetime.fromisoformat(orjson.loads(event)["timestamp"])


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


def _watched(
    connection: KafkaSettings,
    name: str,
    recording: Recording,
    options: Mapping[str, object] | None = None,
) -> Settings:
    """Return settings by which a recording is watched as it is where its alerts are stored."""
    model = recording.settings().model_dump(mode="json", exclude_unset=True)
    models = {"models": {"*": model}}
    return deployment(connection, name, recording.reference, models | dict(options or {}))


each_recording = pytest.mark.parametrize(
    "recording", RECORDINGS, ids=lambda recording: recording.name
)


@each_recording
@pytest.mark.parametrize(
    ("bootstrap", "partitions"),
    [("kafka", 1), ("kafka", 2), ("kafka", 5), ("embedded", 2)],
    indirect=["bootstrap"],
)
def test_run_and_replay_give_the_stored_alerts(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    partitions: int,
    recording: Recording,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = _watched(connection, name, recording)
    topic = make_topic(connection, f"{name}-predictions", partitions)
    events = list(recording.events())
    _produce(connection, topic, events, partitions)
    expected = read_expected(recording)
    served = serve(settings, len(events), len(expected))
    assert without_offsets(served) == without_offsets(expected)
    capfd.readouterr()
    run_replay(ReplayOptions(f"kafka://{topic}", None, None, None, False), settings)
    replayed = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    # The same topic: here also the offsets are the same.
    assert replayed == served


def test_run_stopped_and_restarted_publishes_the_stored_alerts(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    settings = _watched(connection, name, _INSECTS)
    topic = make_topic(connection, f"{name}-predictions", 1)
    events = list(_INSECTS.events())
    middle = 2 * len(events) // 3
    _produce(connection, topic, events[:middle], 1)
    serve(settings, middle, 0)
    _produce(connection, topic, events[middle:], 1)
    expected = read_expected(_INSECTS)
    alerts = serve(settings, len(events) - middle, len(expected))
    assert without_offsets(alerts) == without_offsets(expected)


@each_recording
def test_run_killed_and_restarted_publishes_the_stored_alerts(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    recording: Recording,
    tmp_path: Path,
) -> None:
    """The process dies while it reads, between the commits it makes after every fetch."""
    topic = make_topic(kafka_connection, f"{name}-predictions", 2)
    small = 100_000
    source = {"predictions": [topic], "fetch_max_bytes": small, "partition_fetch_max_bytes": small}
    slowly = {"source": source, "commit_interval": "10ms"}
    settings = _watched(kafka_connection, name, recording, slowly)
    events = list(recording.events())
    expected = read_expected(recording)
    # The last alert is left for the second life, however late the kill is.
    rest = bisect_left(events, datetime.fromisoformat(expected[-1]["time"]), key=_event_time)
    _produce(kafka_connection, topic, events[:rest], 2)
    with running(settings, tmp_path) as process:
        assert wait_until(lambda: bool(read_alerts(settings)))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 0 < len(read_alerts(settings)) < len(expected)
    _produce(kafka_connection, topic, events[rest:], 2)
    with running(_watched(kafka_connection, name, recording), tmp_path) as process:
        wait_until(lambda: len(read_alerts(settings)) >= len(expected))
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert "state restored" in (tmp_path / "streamdrift.log").read_text()
    assert without_offsets(read_alerts(settings)) == without_offsets(expected)


def test_backlog_of_unequal_partitions_raises_what_the_stream_does(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    settings = _watched(connection, name, _INSECTS)
    topic = make_topic(connection, f"{name}-predictions", 3)
    events = list(_INSECTS.events())
    _produce_unequally(connection, topic, events)
    expected = read_expected(_INSECTS)
    alerts = serve(settings, len(events), len(expected))
    assert without_offsets(alerts) == without_offsets(expected)


def test_backlog_of_unequal_partitions_raises_nothing(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    settings = deployment(connection, name, 2_000)
    topic = make_topic(connection, f"{name}-predictions", 3)
    random = np.random.default_rng(4)
    events = [
        orjson.dumps(
            {
                "model": "steady",
                "timestamp": 1_767_225_600 + number * 0.1,
                "features": {"x": value, "hour": int(random.integers(24))},
            }
        )
        for number, value in enumerate(random.normal(size=20_000).tolist())
    ]
    _produce_unequally(connection, topic, events)
    assert serve(settings, len(events), 0) == []
