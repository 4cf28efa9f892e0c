"""The event rate of models as the monitor has it: over versions, groups, shards and restarts."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamdrift.columns import cut
from streamdrift.detectors import DEFAULT_DETECTORS
from streamdrift.durations import DAY
from streamdrift.history.replay import Tally
from streamdrift.history.summary import summarize
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.heads import Home
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.standing import standing
from streamdrift.prometheus.metrics import Metrics
from streamdrift.readings import rows
from streamdrift.records import Alert, Batch, Column, Ints, Kind, Released
from streamdrift.state import decode, encode
from tests.batches import SECOND, START, batch, feature

_ONLY = {"detectors": (), "signals": {"event rate": DEFAULT_DETECTORS}}
_SETTINGS = ModelSettings.model_validate(_ONLY)
_BIN = 600 * SECOND
_WATCHED = 310
"""Bins after which an event rate of five a minute is watched."""


def _times(counts: Ints, start: int = START) -> Ints:
    """Return the times of so many events in each bin of ten minutes."""
    return np.repeat(start + _BIN * np.arange(len(counts)) + _BIN // 2, counts)


def _counts(*parts: tuple[int, float], seed: int = 1) -> Ints:
    random = np.random.default_rng(seed)
    return np.concatenate([random.poisson(mean, size) for size, mean in parts]).astype(np.int64)


_CHANGED = _counts((_WATCHED + 40, 55), (20, 110), (60, 55))


def _batch(times: Ints, version: str = "3", **named: object) -> Batch:
    size = len(times)
    cells = Column(np.full(size, Kind.NUMBER, dtype=np.uint8), np.linspace(0, 1, size))
    given = batch({feature("amount"): cells}, version=version, **named)  # type: ignore[arg-type]
    return replace(given, time=times)


def _observe(monitor: Monitor, batches: list[Batch]) -> list[Alert]:
    alerts: list[Alert] = []
    for each in batches:
        alerts += monitor.observe(Released((each,), int(each.time[-1]))).alerts
    return alerts


def _types(alerts: list[Alert]) -> list[str]:
    return [alert.type for alert in alerts]


def test_a_change_of_the_event_rate_is_an_incident_of_the_model() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    alerts = _observe(monitor, [_batch(_times(_CHANGED))])
    assert _types([alerts[0], alerts[-1]]) == ["opened", "resolved"]
    assert _types(alerts).count("opened") == 1
    opened = alerts[0]
    data = opened.data
    assert (opened.model, opened.version, data["kind"]) == ("fraud", "", "volume")
    assert data["severity"] in ("warning", "critical")
    assert str(data["summary"]).startswith("event rate of fraud rose: ")
    assert " a minute (effect +" in str(data["summary"])
    signals: Any = data["signals"]
    (signal,) = signals
    assert (signal["name"], signal["column"], signal["unit"]) == ("event rate", None, "events/s")
    assert signal["before"]["mean"] == pytest.approx(55 / 600, rel=0.1)
    assert signal["after"]["mean"] == pytest.approx(110 / 600, rel=0.2)
    (realised,) = monitor.realised()
    assert (realised.opened, realised.silences) == (1, 0)


def test_events_that_stop_are_one_incident_that_a_test_opened() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    alerts = _observe(monitor, [_batch(_times(_counts((1_000, 55))))])
    for minute in range(0, 1_440, 10):
        watermark = START + 1_000 * _BIN + minute * 60 * SECOND
        alerts += monitor.observe(Released((), watermark)).alerts
    assert _types(alerts) == ["opened", "updated"]
    signals: Any = alerts[1].data["signals"]
    assert [signal["name"] for signal in signals] == ["event rate", "silence"]
    (realised,) = monitor.realised()
    assert (realised.opened, realised.silences) == (1, 0)


def test_a_deploy_and_a_canary_are_no_change() -> None:
    times = _times(_counts((700, 55)))
    monitor = Monitor(lambda _: _SETTINGS)
    canary = np.arange(len(times)) % 10 == 0
    middle, late = len(times) // 2, 3 * len(times) // 4
    assert _observe(monitor, [_batch(times[:middle])]) == []
    parts = [times[middle:late][canary[middle:late]], times[middle:late][~canary[middle:late]]]
    both = Released((_batch(parts[0], "4"), _batch(parts[1])), int(times[late]))
    assert monitor.observe(both).alerts == ()
    assert _observe(monitor, [_batch(times[late:], "4")]) == []


def test_repeats_that_are_dropped_are_no_events() -> None:
    dropping = ModelSettings.model_validate({**_ONLY, "deduplicate": True})
    times = _times(_counts((_WATCHED + 60, 55)))
    ids = np.arange(1, len(times) + 1, dtype=np.uint64)
    repeated = len(times) - 1_500
    rows = np.sort(np.concatenate([np.arange(len(times)), np.arange(repeated, len(times))]))
    stream = replace(_batch(times[rows]), ids=ids[rows])
    assert _observe(Monitor(lambda _: dropping), [stream]) == []
    assert _types(_observe(Monitor(lambda _: _SETTINGS), [stream]))[0] == "opened"


def test_made_up_times_have_no_rate() -> None:
    monitor = Monitor(lambda _: _SETTINGS, timed=False)
    assert _observe(monitor, [_batch(_times(_CHANGED))]) == []
    assert monitor.traffic == {}


@pytest.mark.parametrize("size", [997, 7_919])
def test_cuts_and_restarts_change_nothing(size: int) -> None:
    stream = _batch(_times(_CHANGED))
    whole, parts = Monitor(lambda _: _SETTINGS), Monitor(lambda _: _SETTINGS)
    expected = _observe(whole, [stream])
    alerts: list[Alert] = []
    for start, stop in itertools.pairwise([*range(0, len(stream), size), len(stream)]):
        alerts += _observe(parts, [cut(stream, start, stop)])
        restored = Monitor(lambda _: _SETTINGS)
        restored.restore(decode(encode(parts.snapshot())))
        parts = restored
    assert alerts == expected != []
    assert encode(parts.snapshot()) == encode(whole.snapshot())


def test_the_head_of_a_divided_model_sees_all_events() -> None:
    divided = ModelSettings.model_validate({**_ONLY, "feature_groups": 3})
    shards = 2
    monitors = [Monitor(lambda _: divided, home=Home(shard, shards)) for shard in range(shards)]
    head = Home(0, shards).head_of("fraud")
    stream = _batch(_times(_CHANGED))
    groups = [replace(stream, group=group, columns={}) for group in range(1, 3)]
    watermark = int(stream.time[-1])
    alerts = list(monitors[head].observe(Released((stream,), watermark)).alerts)
    other = monitors[1 - head]
    assert other.observe(Released(tuple(groups), watermark)).alerts == ()
    assert other.traffic == {}
    assert list(monitors[head].traffic) == ["fraud"]
    for heard in other.tell(watermark).values():
        monitors[head].hear(heard)
    alerts += monitors[head].observe(Released((), watermark)).alerts
    assert _types(alerts)[:1] == ["opened"]


def test_its_reading_stands_beside_the_others() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    _observe(monitor, [_batch(_times(_counts((_WATCHED, 55))))])
    found = standing([monitor])
    (reading,) = rows(found.readings)
    assert reading.signal.name == "event rate"
    metrics = Metrics()
    metrics.watched(found)
    labels = 'model="fraud",version="",signal="event rate",detector="e_detector"'
    text = b"".join(metrics.exposition()).decode()
    assert f"streamdrift_signal_threshold{{{labels}}}" in text


@pytest.mark.parametrize(
    ("bins", "words"),
    [
        (100, "fraud: event rate not watched: too little time has passed to know it"),
        (_WATCHED, "fraud: event rate watched in bins of 10m: its last minutes, as a week"),
        (7 * 144 + 9, "fraud: event rate watched in bins of 10m: its rhythm of day and week"),
    ],
)
def test_a_replay_says_how_it_is_watched(bins: int, words: str) -> None:
    shards = Shards(lambda _: _SETTINGS, 1)
    _observe(shards.monitors[0], [_batch(_times(_counts((bins, 55))))])
    lines = summarize(Tally(), shards, lambda _: _SETTINGS, 1.0)
    assert any(line.startswith(words) for line in lines)


def test_a_week_is_a_week_whatever_the_span_of_references() -> None:
    assert _SETTINGS.of_volume().rhythm_after == 7 * DAY
    longer = ModelSettings.model_validate({"reference": {"span": 14 * DAY}})
    assert longer.of_volume().rhythm_after == 14 * DAY
