"""State that is exported from one deployment and imported into another, on real brokers."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdrift.commands.state import (
    run_export,
    run_import,
    run_ls,
    run_reset,
    run_reshard,
    run_show,
)
from streamdrift.config import Settings
from streamdrift.errors import FencedError, StateError
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import Outbox
from tests.deployment import deployment, known_incidents, read_alerts, running, serve
from tests.topic_maker import TopicMaker

_EVENTS = 5_000
_HALF = 2_600


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


def _settings(connection: KafkaSettings, name: str, topic: str) -> Settings:
    return deployment(connection, name, 500, {"source": {"predictions": [topic]}})


def _told(settings: Settings) -> list[tuple[Any, ...]]:
    """Return what is the same of the same alert in every deployment."""
    return [
        (alert["id"], alert["sequence"], alert["type"], alert["data"]["summary"])
        for alert in read_alerts(settings)
    ]


def test_a_deployment_goes_on_where_another_was_exported(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = make_topic(connection, f"{name}-predictions", 2)
    one, two = (_settings(connection, f"{name}-{each}", topic) for each in ("one", "two"))
    file = tmp_path / "one.sds"
    with pytest.raises(StateError, match=r"there is no topic .*-one\.state"):
        run_export(one, file)
    _produce(connection, topic, 0, _HALF)
    serve(one, _HALF, 1)
    run_export(one, file)
    before = _told(one)
    _produce(connection, topic, _HALF, _EVENTS)
    serve(one, _EVENTS - _HALF, 2)
    run_import(two, file, force=False)
    serve(two, _EVENTS - _HALF, 1)
    assert len(before) >= 1
    assert before + _told(two) == _told(one)

    capsys.readouterr()
    run_show(two, None, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    (version,) = shown["versions"]
    assert _HALF < version["events"] <= _EVENTS
    assert len(shown["positions"]) == 2
    run_ls(two, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["deployment"] == two.name
    assert 0 <= row["age_seconds"] < 300

    # What was put back into its own deployment repeats nothing.
    run_import(one, file, force=True)
    told = _told(one)
    serve(one, _EVENTS - _HALF, len(told))
    assert _told(one) == told


def test_a_running_process_is_fenced_and_state_stays_unless_forced(
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = make_topic(connection, f"{name}-predictions", 2)
    _produce(connection, topic, 0, _HALF)
    settings, file = _settings(connection, name, topic), tmp_path / "state.sds"
    serve(settings, _HALF, 1)
    run_export(settings, file)
    assert known_incidents(settings)
    changes: list[Callable[[], None]] = [
        lambda: run_import(settings, file, force=True),
        lambda: run_reset(settings, yes=True),
    ]
    for change in changes:
        log = tmp_path / "streamdrift.log"
        log.unlink(missing_ok=True)
        with running(settings, tmp_path) as process:
            while not log.exists() or b'"reading"' not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            # What is refused disturbs nobody.
            with pytest.raises(StateError, match="has state already"):
                run_import(settings, file, force=False)
            time.sleep(1.5)
            assert b"connection lost" not in log.read_bytes()
            change()
            assert process.wait(timeout=30) == FencedError.exit_code
        assert "has taken over the deployment" in log.read_text()
    assert known_incidents(settings) == {}
    with pytest.raises(StateError, match="holds no state"):
        run_ls(settings, as_json=False)


def test_the_state_of_one_process_is_not_reset_as_that_of_workers(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """That would not stop a process that runs it."""
    topic = make_topic(connection, f"{name}-predictions", 2)
    _produce(connection, topic, 0, _HALF)
    settings = _settings(connection, name, topic)
    serve(settings, _HALF, 1)
    workers = settings.model_copy(update={"mode": "distributed"})
    with pytest.raises(StateError, match="has 1 partitions, and 16 shards would be") as caught:
        run_reset(workers, yes=True)
    assert "mode: standalone" in str(caught.value.hint)
    run_show(settings, None, as_json=False)


def test_a_deployment_goes_on_in_another_number_of_shards(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    topic = make_topic(connection, f"{name}-predictions", 2)
    one, two = (_settings(connection, f"{name}-{each}", topic) for each in ("one", "two"))
    _produce(connection, topic, 0, _HALF)
    for settings in (one, two):
        serve(settings, _HALF, 1)
    run_reshard(two, 3)
    divided = two.model_copy(update={"shards": 3})
    _produce(connection, topic, _HALF, _EVENTS)
    for settings in (one, divided):
        serve(settings, _EVENTS - _HALF, 2)
    assert len(_told(one)) >= 2
    assert _told(divided) == _told(one)
