"""Replays of a topic's history."""

import json
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamdrift.commands.check import run_check
from streamdrift.commands.history import History
from streamdrift.commands.replay import ReplayOptions, run_replay
from streamdrift.commands.tune import TuneOptions, run_tune
from streamdrift.config import Settings, load_settings
from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError, InputError
from streamdrift.kafka.clients import KafkaSettings, make_producer
from streamdrift.kafka.outbox import Outbox
from streamdrift.times import rfc3339
from tests.deployment import read_alerts, serving, wait_until
from tests.golden.prediction_events import without_offsets
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
    make_topic(connection, name, partitions=2)
    produce(connection, name, dict(enumerate(shifted(3_000))), partitions=2)
    return name


def shifted(count: int) -> list[bytes]:
    """Return events a second apart, whose feature moves by 3 sd in the middle."""
    draw = random.Random(5)
    return [
        json.dumps(
            {
                "model": "fraud",
                "timestamp": START + i,
                "features": {"amount": draw.gauss(3 if i >= count // 2 else 0, 1)},
            }
        ).encode()
        for i in range(count)
    ]


def produce(
    connection: KafkaSettings, topic: str, events: Mapping[int, bytes], partitions: int
) -> None:
    """Write events by their number, which chooses their partition."""
    outbox = Outbox(connection)
    for number, event in events.items():
        outbox.send(topic, event, partition=number % partitions)
    outbox.flush(30)
    outbox.close()


def replay(
    source: str, settings: Settings, capfd: pytest.CaptureFixture[str], *, journal: bool = False
) -> tuple[list[Any], str]:
    capfd.readouterr()
    run_replay(ReplayOptions(source, None, None, None, journal), settings)
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


def test_the_report_of_a_topic_is_the_same_however_it_was_fetched(
    settings: Settings, topic: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pages = []
    for size in (10_000, 1 << 20):
        source = settings.source.model_copy(update={"partition_fetch_max_bytes": size})
        target = tmp_path / f"{size}.html"
        alerts = tmp_path / "alerts"
        options = ReplayOptions(f"kafka://{topic}", alerts, None, None, False, target)
        run_replay(options, settings.model_copy(update={"source": source}))
        pages.append(target.read_bytes())
    assert pages[0] == pages[1]
    assert f"<h1><bdi>kafka://{topic}</bdi></h1>".encode() in pages[0]
    assert b'class="bar critical open"' in pages[0]


def test_budgets_are_compared_on_the_history_of_a_topic(
    settings: Settings, topic: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    alerts, _ = replay(f"kafka://{topic}", settings, capfd)
    written = tmp_path / "out.json"
    run_tune(TuneOptions(History(f"kafka://{topic}"), "1/week,1/day", None, written), settings)
    (model,) = json.loads(written.read_text())["models"]
    assert [each["budget"] for each in model["budgets"]] == ["1/week", "2/week", "1/day"]
    assert [each["incident"] for each in model["budgets"][1]["incidents"]] == [
        alert["data"]["incident"] for alert in alerts if alert["type"].endswith("opened.v1")
    ]
    assert all(each["opened"] for each in model["budgets"])


@pytest.mark.parametrize("bootstrap", ["kafka"], indirect=True)  # The other answers with 0.
def test_from_and_to_choose_by_the_time_of_the_records(
    connection: KafkaSettings,
    settings: Settings,
    name: str,
    make_topic: TopicMaker,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The records were written a day after their events: those times must not count."""
    make_topic(connection, name, partitions=2)
    events = shifted(3_000)
    producer = make_producer(connection)
    for i, event in enumerate(events):
        written = (START + 86_400 + i) * 1_000
        producer.send(name, event, partition=i % 2, timestamp_ms=written)
    producer.flush(timeout=30)
    producer.close(timeout=5)
    first, last = rfc3339((START + 86_400 + 500) * SECOND), "2026-01-02T01:40:00%2B01:00"
    alerts, err = replay(f"kafka://{name}?from={first}&to={last}", settings, capfd)
    assert "1,900 events" in err
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"\n".join(events[500:2_400]))
    assert alerts
    assert without_offsets(alerts) == without_offsets(replay(str(part), settings, capfd)[0])


def test_the_journal_gives_the_order_the_deployment_saw(
    connection: KafkaSettings,
    settings: Settings,
    name: str,
    make_topic: TopicMaker,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A partition that wakes with older events than were released: they count as later."""
    make_topic(connection, name, partitions=3)
    changed = {"ordering": settings.ordering.model_copy(update={"idle_after": SECOND // 2})}
    settings = settings.model_copy(update=changed)
    events = shifted(6_030)
    late = {i for i in range(1_500, 6_000) if i % 3 == 2}
    # With the last ones all that came before is told, as at the end of a replay.
    last = set(range(6_000, len(events)))
    with serving(settings) as metrics:
        for part in (set(range(6_000)) - late, late, last):
            produce(connection, name, {i: events[i] for i in sorted(part)}, partitions=3)
            # The drift is seen only when the third partition is idle and holds nobody back.
            assert wait_until(lambda: len(read_alerts(settings)) > 0)
        assert wait_until(lambda: metrics.events() == len(events))
    served = read_alerts(settings)
    assert replay(f"kafka://{name}", settings, capfd, journal=True)[0] == served
    assert replay(f"kafka://{name}", settings, capfd)[0] != served


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
