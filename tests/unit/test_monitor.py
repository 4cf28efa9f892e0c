import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.columns import cut, take
from streamdrift.config import Settings
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.standing import standing
from streamdrift.readings import rows
from streamdrift.records import Alert, Batch, ColumnKey, Group, Notice, Released
from streamdrift.references.findings import Code
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.silence import SilenceSettings
from streamdrift.state import decode, encode
from tests.batches import SECOND, START, batch, column, feature

_DAY = 86_400 * SECOND
_SETTINGS = ModelSettings(reference=ReferenceSettings(events=1_000))


def _monitor(chosen: ModelSettings = _SETTINGS) -> Monitor:
    return Monitor(lambda model: chosen)


def _stream(size: int = 6_000, *, drift: bool = True, seed: int = 6, **named: str) -> Batch:
    """A number that shifts by 2 sd from 3,000 to 4,500."""
    numbers = np.random.default_rng(seed).normal(100, 10, size)
    if drift:
        numbers[3_000:4_500] += 20
    return batch({"amount": numbers.tolist()}, **named)  # type: ignore[arg-type]


def _observe(monitor: Monitor, stream: Batch, cuts: list[int]) -> list[Alert]:
    alerts: list[Alert] = []
    bounds = [0, *sorted(cuts), len(stream)]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            part = cut(stream, start, stop)
            alerts += monitor.observe(Released((part,), int(part.time[-1]))).alerts
    return alerts


def test_one_change_makes_one_incident_that_resolves() -> None:
    alerts = _observe(_monitor(), _stream(), [])
    assert [alert.type for alert in alerts if alert.type != "updated"] == ["opened", "resolved"]
    opened = alerts[0]
    assert (opened.model, opened.version) == ("fraud", "3")
    assert START + 3_000 * SECOND <= opened.time < START + 3_100 * SECOND


def test_nothing_drifts_nothing_is_told() -> None:
    assert _observe(_monitor(), _stream(20_000, drift=False), [7_000]) == []


def test_each_version_has_its_own_reference() -> None:
    monitor = _monitor()
    second = _stream(drift=False, seed=7, version="4")
    both = Released((_stream(drift=False), second), START + 6_000 * SECOND)
    observation = monitor.observe(both)
    assert observation.alerts == ()
    assert [(notice.event, notice.version) for notice in observation.notices] == [
        ("model version appeared", "3"),
        ("reference complete", "3"),
        ("model version appeared", "4"),
        ("reference complete", "4"),
    ]


def test_warm_up_tells_how_far_a_reference_is() -> None:
    monitor = _monitor()
    _observe(monitor, cut(_stream(), 0, 400), [])
    (warm_up,) = standing([monitor]).warm_ups
    assert (warm_up.events, warm_up.wanted, warm_up.complete) == (400, 1_000, False)
    assert rows(standing([monitor]).readings) == []


def test_readings_name_every_signal_and_detector() -> None:
    monitor = _monitor()
    _observe(monitor, _stream(drift=False), [])
    readings = rows(standing([monitor]).readings)
    assert {reading.detector for reading in readings} == {"e_detector"}
    assert {reading.signal.name for reading in readings} == {
        "amount",
        "amount (missing)",
        "amount (type break)",
    }
    assert all(reading.statistic < reading.threshold for reading in readings)


def test_silence_of_one_model_shows_by_the_watermark_of_others() -> None:
    monitor = _monitor(_SETTINGS.model_copy(update={"silence": SilenceSettings(events=100)}))
    _observe(monitor, _stream(2_000, drift=False), [])
    other = batch({"amount": [1.0]}, model="other", times=[START + 3_000 * SECOND])
    (alert,) = monitor.observe(Released((other,), START + 3_000 * SECOND)).alerts
    assert (alert.model, alert.version, alert.type) == ("fraud", "", "opened")
    assert alert.time == START + (1_999 + 60) * SECOND


def test_made_up_times_have_no_silence() -> None:
    monitor = Monitor(lambda model: _SETTINGS, timed=False)
    _observe(monitor, _stream(2_000, drift=False), [])
    assert monitor.observe(Released((), START + 10**12)).alerts == ()


def test_the_realised_rate_counts_openings_from_the_reference_on() -> None:
    monitor = _monitor()
    _observe(monitor, cut(_stream(), 0, 999), [])
    assert standing([monitor]).realised == []
    _observe(monitor, cut(_stream(), 999, 1_000), [])
    (rate,) = standing([monitor]).realised
    assert (rate.opened, rate.silences, rate.watched, rate.per_week) == (0, 0, 0, None)
    alerts = _observe(monitor, cut(_stream(), 1_000, 6_000), [500, 2_600])
    assert [alert.type for alert in alerts] == ["opened", "resolved"]
    (rate,) = standing([monitor]).realised
    assert (rate.model, rate.budget) == ("fraud", ModelSettings().alert_budget)
    assert (rate.opened, rate.silences, rate.watched) == (1, 0, 5_000 * SECOND)
    assert rate.per_week == 1


def test_a_run_length_that_was_not_measured_is_said() -> None:
    chosen = ModelSettings.model_validate(
        {
            "reference": {"events": 1_000},
            "alert_budget": "0.01/month",
            "signals": {"amount (missing)": [{"kind": "hddm_w"}]},
        }
    )
    monitor = _monitor(chosen)
    _observe(monitor, _stream(drift=False), [])
    (version,) = monitor.versions()
    codes = {signal.name: [each.code for each in found] for signal, found in version.findings}
    assert codes["amount (missing)"] == [Code.EXTRAPOLATED]
    assert "amount (type break)" not in codes


def test_silence_is_counted_apart_from_what_the_budget_is_for() -> None:
    monitor = _monitor(_SETTINGS.model_copy(update={"silence": SilenceSettings(events=100)}))
    _observe(monitor, _stream(2_000, drift=False), [])
    monitor.observe(Released((), START + 9_000 * SECOND))
    (rate,) = standing([monitor]).realised
    assert (rate.opened, rate.silences, rate.watched) == (0, 1, 1_000 * SECOND)


@given(st.lists(st.integers(1, 5_999), max_size=6), st.booleans())
@settings(max_examples=20, deadline=None)
def test_cuts_and_restarts_change_no_realised_rate(cuts: list[int], restart: bool) -> None:
    """Two versions, the reference of the second complete first."""
    numbers = np.random.default_rng(3).normal(size=6_000)
    numbers[4_500:] += 3
    whole = batch({"amount": numbers.tolist()})
    first = np.arange(6_000) % 3 == 0
    monitor = _monitor()
    for start, stop in itertools.pairwise([0, *sorted(cuts), 6_000]):
        if start == stop:
            continue
        rows = np.arange(start, stop)
        parts = tuple(
            replace(take(whole, rows[chosen[rows]]), version=version)
            for version, chosen in (("1", first), ("2", ~first))
            if chosen[rows].any()
        )
        monitor.observe(Released(parts, int(whole.time[stop - 1])))
        if restart:
            state = monitor.snapshot()
            monitor = _monitor()
            monitor.restore(decode(encode(state)))
    monitor.drain(Released((), START + 6_000 * SECOND))
    (rate,) = standing([monitor]).realised
    complete = int(np.flatnonzero(~first)[999])
    assert (rate.opened, rate.watched) == (2, (5_999 - complete) * SECOND)


@pytest.mark.parametrize("cuts", [[], [1_999, 2_000, 2_001]])
def test_version_that_was_away_for_long_starts_anew(cuts: list[int]) -> None:
    monitor = _monitor(_SETTINGS.model_copy(update={"silence": SilenceSettings(enabled=False)}))
    times = [START + i * SECOND + (8 * _DAY if i >= 2_000 else 0) for i in range(2_500)]
    numbers = np.random.default_rng(8).normal(size=2_500).tolist()
    notices: list[Notice] = []
    stream = batch({"amount": numbers}, times=times)
    bounds = [0, *cuts, 2_500]
    for start, stop in itertools.pairwise(bounds):
        part = cut(stream, start, stop)
        notices += monitor.observe(Released((part,), int(part.time[-1]))).notices
    assert [notice.event for notice in notices].count("model version appeared") == 2
    (warm_up,) = standing([monitor]).warm_ups
    assert warm_up.events == 500


def test_version_that_sends_nothing_is_forgotten() -> None:
    monitor = _monitor()
    _observe(monitor, _stream(2_000, drift=False), [])
    monitor.observe(Released((), START + 8 * _DAY))
    assert standing([monitor]).warm_ups == []


@pytest.mark.parametrize("cuts", [[], [1, 250]])
def test_events_of_versions_beyond_the_limit_are_counted(
    monkeypatch: pytest.MonkeyPatch, cuts: list[int]
) -> None:
    monkeypatch.setattr("streamdrift.monitoring.monitor.MAX_VERSIONS", 1)
    monitor = _monitor()
    _observe(monitor, _stream(100), [])
    assert monitor.unwatched == 0
    _observe(monitor, _stream(300, version="4"), cuts)
    assert monitor.unwatched == 300
    restored = _monitor()
    restored.restore(monitor.snapshot())
    assert restored.unwatched == 300


def test_incident_of_a_version_that_is_forgotten_is_resolved() -> None:
    monitor = _monitor()
    alerts = _observe(monitor, cut(_stream(), 0, 4_000), [])
    alerts += monitor.observe(Released((), START + 9 * _DAY)).alerts
    drift = [alert.type for alert in alerts if alert.version and alert.type != "updated"]
    assert drift == ["opened", "resolved"]


@pytest.mark.parametrize(
    "name", ["$array", "", "\0", "a\nb", "(other)", "null", "\ud800", "ß" * 300]
)
def test_names_from_outside_may_be_anything(name: str) -> None:
    values = np.random.default_rng(9).normal(100, 10, 3_000)
    values[1_500:] += 20
    levels = [name if i % 3 else "other" for i in range(3_000)]
    stream = batch(
        {
            feature(name): column(values.tolist()),
            feature("level"): column([*levels[:1_500], *levels[:1_500:-1], name]),
            ColumnKey(Group.OUTPUT, name): column(levels),
            ColumnKey(Group.METRIC, name): column((values + 5).tolist()),
        },
        model=name,
        version=name,
    )
    monitor, restored = _monitor(), _monitor()
    alerts: list[Alert] = []
    for start in range(0, 3_000, 300):
        alerts += _observe(monitor, cut(stream, start, start + 300), [])
        restored = _monitor()
        restored.restore(decode(encode(monitor.snapshot())))
        np.testing.assert_equal(restored.snapshot(), monitor.snapshot())
        monitor = restored
    assert [alert.model for alert in alerts][:1] == [name]


def _of_models(models: dict[str, Any]) -> Monitor:
    return Monitor(Settings.model_validate({"models": models}).model)


def test_settings_of_a_newcomer_keep_all_state() -> None:
    every = {"reference": {"events": 1_000}}
    before = _of_models({"*": every})
    _observe(before, cut(_stream(), 0, 4_000), [])
    after = _of_models({"*": every, "newcomer": {"ignore": ["amount"], "detectors": []}})
    assert after.restore(decode(encode(before.snapshot()))) == []
    assert encode(after.snapshot()) == encode(before.snapshot())
    rest = cut(_stream(), 4_000, 6_000)
    assert _observe(after, rest, []) == _observe(before, rest, [])
    assert _observe(after, _stream(model="newcomer"), []) == []


def test_detectors_of_one_model_leave_the_others_alone() -> None:
    every = {"reference": {"events": 1_000}}
    before = _of_models({"*": every})
    after = _of_models({"*": every, "churn": {"detectors": [{"kind": "page_hinkley"}]}})
    for model in ("churn", "fraud"):
        _observe(before, cut(_stream(model=model), 0, 2_500), [])
    (notice,) = after.restore(before.snapshot())
    assert (notice.event, notice.model) == ("detectors changed", "churn")
    rest = cut(_stream(), 2_500, 6_000)
    found = _observe(after, rest, [])
    assert [alert.type for alert in found][:1] == ["opened"]
    assert found == _observe(before, rest, [])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 6_000), max_size=6))
def test_cuts_and_restores_change_nothing(cuts: list[int]) -> None:
    whole = _monitor()
    expected = _observe(whole, _stream(), [])
    parts = _monitor()
    alerts: list[Alert] = []
    bounds = [0, *sorted(cuts), 6_000]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            alerts += _observe(parts, cut(_stream(), start, stop), [])
        restored = _monitor()
        restored.restore(parts.snapshot())
        parts = restored
    assert alerts == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
