"""Replays of a topic's history."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamdrift.commands.check import run_check
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.config import Settings, load_settings
from streamdrift.errors import ConnectionsError, InputError
from streamdrift.kafka import KafkaSettings, Outbox
from tests.topic_maker import TopicMaker

START = 1_767_225_600


@pytest.fixture
def settings(connection: KafkaSettings, name: str) -> Settings:
    values = (
        f"name={name}",
        f"kafka.bootstrap_servers={connection.bootstrap_servers}",
        f"source.predictions=[{name}]",
        "models.*.reference.events=500",
    )
    return load_settings(None, values, {})


@pytest.fixture
def topic(connection: KafkaSettings, name: str, make_topic: TopicMaker) -> str:
    draw = random.Random(5)
    make_topic(connection, name, partitions=2)
    outbox = Outbox(connection)
    for i in range(3_000):
        event = {
            "model": "fraud",
            "timestamp": START + i,
            "features": {"amount": draw.gauss(3 if i >= 1_500 else 0, 1)},
        }
        outbox.send(name, json.dumps(event).encode(), partition=i % 2)
    outbox.flush(30)
    outbox.close()
    return name


def replay(
    source: str, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> tuple[list[Any], str]:
    run_replay(ReplayOptions(source, None, None, None, False), settings)
    out, err = capfd.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_the_history_of_a_topic_gives_the_alerts_of_its_events(
    settings: Settings, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    alerts, err = replay(f"kafka://{topic}", settings, capfd)
    assert alerts[0]["type"] == "io.streamdrift.incident.opened.v1"
    assert set(alerts[0]["data"]["signals"][0]["onset"]["offsets"]) == {topic}
    assert "3,000 events" in err
    assert replay(f"kafka://{topic}", settings, capfd)[0] == alerts


# The embedded broker does not look up offsets by time.
@pytest.mark.parametrize("bootstrap", ["kafka"], indirect=True)
def test_a_range_without_records_is_told_with_the_range_there_is(
    settings: Settings, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    for part in ("to=2020-01-01T00:00:00Z", "from=2199-01-01T00:00:00Z"):
        with pytest.raises(InputError, match="no record lies in this range") as caught:
            replay(f"kafka://{topic}?{part}", settings, capfd)
        first, last = re.findall(r"\d{4}-\S+Z", str(caught.value))[-2:]
        assert before < datetime.fromisoformat(first) <= datetime.fromisoformat(last)
        assert datetime.fromisoformat(last) < before + timedelta(hours=2)


def test_a_topic_without_records_is_told_to_be_empty(
    settings: Settings,
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_topic(connection, name, partitions=2)
    with pytest.raises(InputError, match="holds no records"):
        replay(f"kafka://{name}?to=2020-01-01T00:00:00Z", settings, capfd)


def test_a_topic_without_a_usable_event_is_an_error(
    settings: Settings,
    connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_topic(connection, name, partitions=1)
    outbox = Outbox(connection)
    outbox.send(name, b'{"inputs": {}}', partition=0)
    outbox.flush(30)
    outbox.close()
    with pytest.raises(InputError, match="no event that can be used: 1 no_model"):
        replay(f"kafka://{name}", settings, capfd)


def test_a_topic_that_does_not_exist_is_named(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="the topic nowhere does not exist at"):
        replay("kafka://nowhere", settings, capfd)


def test_check_names_what_is_missing_and_how_to_make_it(
    settings: Settings, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"create": False})}
    )
    with pytest.raises(ConnectionsError, match=rf"{changed.name}.alerts \(alerts\) does not exist"):
        run_check(changed, offline=False)
    out = capfd.readouterr().out
    assert f"--create --topic {changed.name}.alerts" in out


def test_check_passes_where_topics_may_be_made(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    run_check(settings, offline=False)
    out = capfd.readouterr().out
    assert "will be created" in out
    assert out.endswith("connections: all right\n")
