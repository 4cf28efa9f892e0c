import itertools
import math
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors import DEFAULT_DETECTORS
from streamdrift.durations import DAY, SECOND
from streamdrift.incidents.budget import Budget
from streamdrift.model_settings import ModelSettings
from streamdrift.readings import rows
from streamdrift.records import Floats, Ints, SignalKind, State, Step, StepKind
from streamdrift.references.half_hours import HalfHours
from streamdrift.references.rhythm import (
    Follower,
    Rhythm,
    new_level,
    overdispersion,
)
from streamdrift.signals.silence import SilenceSettings
from streamdrift.signals.volume import Bins, Counted, VolumeSettings
from streamdrift.traffic import Traffic
from streamdrift.trees import array, integer, tree
from streamdrift.volume import RateSettings, Volume

UTC = ZoneInfo("UTC")
MONDAY = 1_767_571_200
"""2026-01-05T00:00:00Z in seconds: a multiple of all lengths of bins."""
_SETTINGS = RateSettings(DEFAULT_DETECTORS, Budget(0.2, "week"), 0.05, DAY, 0, UTC)
_STEADY = 2_060
"""Seconds of a steady 100/s after which its event rate is watched."""


def _events(counts: Sequence[int] | Ints, start: int = MONDAY, every: int = 1) -> Ints:
    """Return the times of so many events in the middle of each `every` seconds."""
    middles = (start + every * np.arange(len(counts))) * SECOND + every * SECOND // 2
    return np.repeat(middles, counts)


def _poisson(rate: float | Floats, size: int, seed: int = 1) -> Ints:
    return np.random.default_rng(seed).poisson(rate, size).astype(np.int64)


def _kinds(steps: Sequence[Step]) -> list[StepKind]:
    return [step.kind for step in steps]


# How events are counted.


@pytest.mark.parametrize(
    ("rate", "seconds"), [(1_000, 1), (100, 1), (40, 2), (6, 10), (1, 60), (0.1, 600), (0.001, 600)]
)
def test_a_bin_holds_fifty_events_or_more_where_it_can(rate: float, seconds: int) -> None:
    bins = Bins()
    bins.add((MONDAY * SECOND + np.arange(20_000) * (SECOND / rate)).astype(np.int64))
    assert bins.length == seconds * SECOND


def test_whole_bins_are_counted_and_empty_ones_too() -> None:
    bins = Bins()
    counted = bins.add(_events([100] * 12 + [0, 7, 0, 0, 90]))
    assert counted.bins.tolist() == [MONDAY + second for second in range(1, 16)]
    assert counted.counts.tolist() == [100] * 11 + [0, 7, 0, 0]


def test_a_bin_is_complete_when_the_watermark_passes_its_end() -> None:
    bins = Bins()
    bins.add(_events([100] * 12))
    end = (MONDAY + 12) * SECOND
    assert len(bins.advance(end - 1)) == 0
    assert bins.advance(end).counts.tolist() == [100]
    assert bins.advance(end + 2 * SECOND).counts.tolist() == [0, 0]
    assert bins.add(_events([5, 5], MONDAY + 14)).counts.tolist() == [5]


def test_a_pause_that_is_known_is_not_counted_nor_what_follows_within_its_bin() -> None:
    bins = Bins()
    bins.add(_events([100] * 12))
    bins.advance((MONDAY + 13) * SECOND)
    bins.pause()
    assert len(bins.advance((MONDAY + 99) * SECOND)) == 0
    counted = bins.add(_events([50, 60, 70], MONDAY + 100))
    assert (counted.bins.tolist(), counted.counts.tolist()) == ([MONDAY + 101], [60])


def test_of_a_pause_that_nobody_tells_the_first_hour_counts() -> None:
    bins = Bins()
    bins.add(_events([100] * 12))
    counted = bins.add(_events([50, 60, 70], MONDAY + 10**7))
    assert len(counted) == 1 + 3_600 + 1
    assert counted.bins[-1] == MONDAY + 10**7 + 1
    assert counted.counts.sum() == 100 + 60


def _collected(parts: Sequence[Counted]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for part in parts:
        found += zip(part.bins.tolist(), part.counts.tolist(), strict=True)
    return found


@given(
    st.lists(st.sampled_from([0, 0, 1, 30, 90]), min_size=20, max_size=60),
    st.lists(st.integers(0, 2_000), max_size=6),
)
def test_cuts_and_watermarks_change_no_count(counts: list[int], cuts: list[int]) -> None:
    times = np.concatenate([_events([40] * 12), _events(counts, MONDAY + 12), _events([1], 2**31)])
    whole, parts = Bins(), Bins()
    expected = _collected([whole.add(times)])
    found: list[Counted] = []
    bounds = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for start, stop in itertools.pairwise(bounds):
        found.append(parts.add(times[start:stop]))
        if stop < len(times):
            found.append(parts.advance(int(times[stop])))
        restored = Bins()
        restored.restore(parts.snapshot())
        parts = restored
    assert _collected(found) == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


# What is expected of counts.


def _follower(length: int = SECOND, over: float = 0.0) -> Follower:
    return Follower(length, Rhythm.unknown(UTC, MONDAY * SECOND, length), over, seed=7)


@pytest.mark.parametrize("rate", [2.0, 10.0, 100.0, 1_000.0])
def test_what_is_left_of_poisson_counts_has_no_level_and_unit_spread(rate: float) -> None:
    bins = MONDAY + np.arange(20_000)
    left = _follower().follow(new_level(), bins, _poisson(rate, 20_000), True).left
    there = left[~np.isnan(left)]
    assert abs(there.mean()) < 0.05
    assert there.std() == pytest.approx(1.0, abs=0.12)


def test_more_spread_than_that_of_poisson_counts_is_found() -> None:
    random = np.random.default_rng(3)
    rates = 100 * np.exp(0.2 * random.standard_normal(20_000))
    bins, counts = MONDAY + np.arange(20_000), random.poisson(rates)
    left = _follower().follow(new_level(), bins, counts, True).left
    over = overdispersion(left[~np.isnan(left)], 100.0)
    assert over == pytest.approx(0.04, rel=0.2)
    rest = _follower(over=over).follow(new_level(), bins, counts, True).left
    assert np.nanstd(rest) == pytest.approx(1.0, abs=0.1)


def test_a_level_that_is_not_to_learn_stays() -> None:
    follower, level = _follower(), new_level()
    bins = MONDAY + np.arange(1_000)
    follower.follow(level, bins, _poisson(100, 1_000), True)
    before = level[0]
    level[1] = 0.0
    follower.follow(level, bins + 1_000, _poisson(300, 1_000), False)
    assert level[0] == before


def test_a_level_without_calendar_is_found_anew_after_a_pause() -> None:
    follower, level = _follower(), new_level()
    bins = MONDAY + np.arange(1_000)
    follower.follow(level, bins, _poisson(100, 1_000), True)
    later = follower.follow(level, bins + 9_000, _poisson(400, 1_000), True)
    assert np.isnan(later.left[: follower.settling]).all()
    assert abs(np.nanmean(later.left)) < 0.2


def _weekly(times: Ints) -> Floats:
    """A rate that is half more and half less by day and night, and lower at weekends."""
    seconds = times / SECOND
    days = (seconds - MONDAY) // 86_400
    daily = 1 + 0.5 * np.sin(2 * np.pi * seconds / 86_400)
    return daily * np.where(days % 7 >= 5, 0.6, 1.0)


def _half_hours(
    days: int, rate_at: Callable[[Ints], Floats], held: Callable[[int], bool] = lambda _: False
) -> HalfHours:
    """Return what half hours of bins of a minute were, with 1,000 events in one on average."""
    length = 60 * SECOND
    found = HalfHours(length, UTC, MONDAY * SECOND, 10_000)
    first = MONDAY * SECOND // length
    for half_hour in range(days * 48 + 1):
        bins = first + 30 * half_hour + np.arange(30)
        counts = np.rint(1_000 * rate_at(bins * length + length // 2)).astype(np.int64)
        found.begin(int(bins[0]))
        found.add(bins, counts, held(half_hour))
        if held(half_hour):
            found.returned()
    return found


def _error(rhythm: Rhythm, day: int, rate_at: Callable[[Ints], Floats]) -> float:
    """Return the largest error of a day's expected rate, in logarithms, about their middle."""
    follower = Follower(60 * SECOND, rhythm)
    bins = MONDAY // 60 + day * 1_440 + np.arange(1_440)
    expected = np.array([math.log(rate) for rate in follower.rates(0.0, bins[::7])])
    off = expected - np.log(rate_at(bins[::7] * 60 * SECOND + 30 * SECOND))
    return float(np.abs(off - np.median(off)).max())


@pytest.mark.parametrize("day", [7, 9, 12, 13])
def test_a_week_shows_the_rhythm_of_the_next(day: int) -> None:
    rhythm = _half_hours(7, _weekly).fit(UTC, 0.0)
    assert rhythm.known
    assert _error(rhythm, day, _weekly) < 0.03


def test_growth_is_no_rhythm() -> None:
    def growing(times: Ints) -> Floats:
        return _weekly(times) * np.exp(0.1 * (times / SECOND - MONDAY) / 604_800)

    rhythm = _half_hours(21, growing).fit(UTC, 0.0)
    assert _error(rhythm, 21, _weekly) < 0.03
    levels = rhythm.levels.reshape(7, 48)
    assert abs(levels[4].mean() - levels[0].mean()) < 0.02


def test_local_time_counts() -> None:
    zone = ZoneInfo("America/New_York")
    half_hours = HalfHours(600 * SECOND, zone, MONDAY * SECOND, 10_000)
    for bin_ in range(MONDAY // 600, MONDAY // 600 + 8 * 144):
        local = bin_ * 600 - 5 * 3_600
        half_hours.begin(bin_)
        half_hours.add(np.array([bin_]), np.array([200 if local % 86_400 < 3_600 else 50]), False)
    levels = half_hours.fit(zone, 0.0).levels.reshape(7, 48)
    assert (levels[:, :2] - levels[:, 2:].max() > 1.0).all()


def test_what_passed_is_no_rhythm_unless_it_comes_again_and_again() -> None:
    def with_fault(times: Ints, days: tuple[int, ...]) -> Floats:
        day, second = np.divmod(times // SECOND - MONDAY, 86_400)
        return np.where(np.isin(day, days) & (second // 1_800 == 20), 3.0, 1.0)

    def level_at(days: tuple[int, ...]) -> float:
        def held(number: int) -> bool:
            return number % 48 == 20 and number // 48 in days

        found = _half_hours(7, lambda times: with_fault(times, days), held).fit(UTC, 0.0)
        levels = found.levels.reshape(7, 48)
        return float(levels[0, 20] - levels[0, 30])

    assert level_at((2,)) == pytest.approx(0.0, abs=0.01)
    assert level_at(tuple(range(7))) == pytest.approx(math.log(3), abs=0.05)


def test_a_rate_that_wanders_is_followed_faster() -> None:
    steps = np.exp(np.cumsum(0.1 * np.random.default_rng(5).standard_normal(400)))

    def wandering(times: Ints) -> Floats:
        return steps[(times // SECOND - MONDAY) // 1_800]

    still = _half_hours(7, _weekly).fit(UTC, 0.0).pace
    assert _half_hours(7, wandering).fit(UTC, 0.0).pace < still / 3


# What is told.


def _watched(seed: int = 1) -> tuple[Volume, int]:
    """Return an event rate of 100/s that is watched, and the second that comes next."""
    volume = Volume("fraud", _SETTINGS)
    assert volume.observe(_events(_poisson(100, _STEADY, seed))) == []
    assert volume.is_watched
    return volume, MONDAY + _STEADY


@pytest.mark.parametrize(("factor", "within"), [(1.2, 25), (1.5, 6), (2.0, 5), (0.8, 25), (0.0, 5)])
def test_a_sudden_change_is_told_once_and_soon(factor: float, within: int) -> None:
    volume, now = _watched()
    steps = volume.observe(_events(_poisson(100 * factor, 600, 2), now))
    steps += volume.advance((now + 600) * SECOND)
    assert _kinds(steps) == [StepKind.CHANGED]
    (step,) = steps
    assert (step.model, step.version, step.signal.kind) == ("fraud", "", SignalKind.EVENT_RATE)
    assert now < step.time / SECOND <= now + within
    change = step.change
    assert change is not None
    assert change.effect is not None
    assert change.onset is not None
    assert change.before.mean == pytest.approx(100, rel=0.05)
    assert change.after.mean == pytest.approx(100 * factor, abs=12)
    assert change.onset.earliest <= now * SECOND <= change.onset.latest + SECOND
    assert change.effect.shift.value * (factor - 1) > 0


def test_a_change_ends_when_the_rate_is_back() -> None:
    volume, now = _watched()
    counts = np.concatenate([_poisson(200, 120, 2), _poisson(100, 300, 3)])
    steps = volume.observe(_events(counts, now))
    assert _kinds(steps) == [StepKind.CHANGED, StepKind.RETURNED]
    assert now + 120 < steps[1].time / SECOND < now + 180


def test_before_the_rhythm_is_known_an_hour_makes_a_new_normal() -> None:
    volume, now = _watched()
    steps = volume.observe(_events(_poisson(200, 4_000, 2), now))
    assert _kinds(steps) == [StepKind.CHANGED, StepKind.ACCEPTED]
    assert 3_600 <= steps[1].time / SECOND - now <= 3_610
    steps = volume.observe(_events(_poisson(100, 60, 3), now + 4_000))
    assert _kinds(steps) == [StepKind.CHANGED]
    assert steps[0].change is not None
    assert steps[0].change.before.mean == pytest.approx(200, rel=0.05)


def test_a_trifle_is_not_told_however_long_it_lasts() -> None:
    volume, now = _watched()
    assert volume.observe(_events(_poisson(105, 3_000, 2), now)) == []


def test_events_at_even_distances_are_no_reason_to_alarm_at_a_missing_one() -> None:
    volume = Volume("fraud", _SETTINGS)
    counts = np.full(_STEADY + 600, 100)
    counts[_STEADY + 100 :: 7] -= 1
    assert volume.observe(_events(counts)) == []
    assert volume.is_watched


def test_of_a_rate_that_comes_and_goes_evidence_counts_less() -> None:
    volume, now = _watched()

    before = integer(tree(volume.snapshot(), "reference"), "power")
    for seed in range(3):
        counts = np.concatenate([_poisson(200, 100, seed), _poisson(100, 200, seed)])
        steps = volume.observe(_events(counts, now))
        assert _kinds(steps) == [StepKind.CHANGED, StepKind.RETURNED]
        now += 300
    assert integer(tree(volume.snapshot(), "reference"), "power") == before + 12


def _slow(days: float, factor: Callable[[Ints], Floats], seed: int = 1) -> Ints:
    """Return events of a weekly rhythm, one in 12 s on average: bins last 10 minutes."""
    starts = (MONDAY + 600 * np.arange(int(days * 144))) * SECOND
    rates = 50 * _weekly(starts) * factor(starts)
    return _events(np.random.default_rng(seed).poisson(rates), every=600)


def _ones(times: Ints) -> Floats:
    return np.ones(len(times))


def test_a_lasting_change_is_held_against_the_rhythm_once_a_week_has_shown_it() -> None:
    volume = Volume("fraud", _SETTINGS)
    changed_at = (MONDAY + 9 * 86_400 + 6 * 3_600) * SECOND
    times = _slow(12, lambda times: np.where(times >= changed_at, 0.5, 1.0))
    steps = volume.observe(times)
    assert volume.rhythm is not None
    assert volume.rhythm.known
    later = [step for step in steps if step.time > (MONDAY + 7 * 86_400 + 1_800) * SECOND]
    assert _kinds(later) == [StepKind.CHANGED, StepKind.ACCEPTED]
    assert 0 < later[0].time - changed_at <= 3_600 * SECOND
    assert DAY <= later[1].time - later[0].time <= DAY + 3_600 * SECOND


def test_a_quiet_day_is_told_once() -> None:
    volume = Volume("fraud", _SETTINGS)
    begin, end = (MONDAY + day * 86_400 for day in (9, 10))

    def holiday(times: Ints) -> Floats:
        return np.where((times >= begin * SECOND) & (times < end * SECOND), 0.3, 1.0)

    steps = volume.observe(_slow(13, holiday))
    later = [step for step in steps if step.time > (MONDAY + 8 * 86_400) * SECOND]
    assert _kinds(later)[0] == StepKind.CHANGED
    assert sum(step.kind is StepKind.CHANGED for step in later) <= 2
    assert sum(begin < step.time / SECOND < end for step in later) == 1


def _equal(one: State, other: State) -> None:
    np.testing.assert_equal(one, other)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 300_000), max_size=5), st.booleans())
def test_cuts_watermarks_and_restarts_change_nothing(cuts: list[int], watermarks: bool) -> None:
    counts = np.concatenate(
        [_poisson(100, _STEADY + 100), _poisson(180, 90, 2), _poisson(100, 400, 3)]
    )
    times = _events(counts)
    whole, parts = Volume("fraud", _SETTINGS), Volume("fraud", _SETTINGS)
    expected = whole.observe(times)
    steps: list[Step] = []
    bounds = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for start, stop in itertools.pairwise(bounds):
        steps += parts.observe(times[start:stop])
        if watermarks and stop < len(times):
            steps += parts.advance(int(times[stop]))
        restored = Volume("fraud", _SETTINGS)
        restored.restore(parts.snapshot())
        parts = restored
    assert _kinds(expected) == [StepKind.CHANGED, StepKind.RETURNED]
    assert steps == expected
    _equal(parts.snapshot(), whole.snapshot())


def test_cuts_change_nothing_of_weeks() -> None:
    times = _slow(16, lambda times: np.where(times >= (MONDAY + 777_000) * SECOND, 1.8, 1.0))
    whole, parts = Volume("fraud", _SETTINGS), Volume("fraud", _SETTINGS)
    expected = whole.observe(times)
    steps: list[Step] = []
    for start in range(0, len(times), 4_001):
        steps += parts.observe(times[start : start + 4_001])
        steps += parts.advance(int(times[min(start + 4_001, len(times) - 1)]))
        restored = Volume("fraud", _SETTINGS)
        restored.restore(parts.snapshot())
        parts = restored
    assert steps == expected != []
    _equal(parts.snapshot(), whole.snapshot())


# Beside silence.


def _traffic(**given: object) -> Traffic:
    return Traffic("fraud", ModelSettings.model_validate(given))


def test_a_stop_is_a_fall_of_the_event_rate_and_then_a_silence() -> None:
    traffic = _traffic()
    now = MONDAY + _STEADY
    assert traffic.observe(_events(_poisson(100, _STEADY))) == []
    steps = [step for at in range(now, now + 300) for step in traffic.advance(at * SECOND)]
    assert [(step.signal.name, step.kind) for step in steps] == [
        ("event rate", StepKind.CHANGED),
        ("silence", StepKind.CHANGED),
    ]
    steps = traffic.observe(_events(_poisson(100, 200, 2), now + 300))
    assert [(step.signal.name, step.kind) for step in steps] == [
        ("silence", StepKind.RETURNED),
        ("event rate", StepKind.RETURNED),
    ]


def test_it_does_not_matter_when_a_silence_is_noticed() -> None:
    early, late = _traffic(), _traffic()
    before, after = _events(_poisson(100, _STEADY)), _events([100] * 100, MONDAY + 9_000)
    found = early.observe(before)
    for second in range(_STEADY, _STEADY + 500, 7):
        found += early.advance((MONDAY + second) * SECOND)
    found += early.observe(after)
    told = late.observe(np.concatenate([before, after]))

    def by_time(steps: list[Step]) -> list[Step]:
        return sorted(steps, key=lambda step: (step.time, step.signal.ordinal))

    assert by_time(found) == by_time(told)
    _equal(early.snapshot(), late.snapshot())


def test_what_is_not_to_be_watched_is_not() -> None:
    times = _events(np.concatenate([_poisson(100, _STEADY), _poisson(300, 100)]))
    off = VolumeSettings(enabled=False)
    assert _traffic(volume=off).observe(times) == []
    assert _traffic(detectors=()).observe(times) == []
    assert _kinds(_traffic(detectors=(), signals={"event rate": DEFAULT_DETECTORS}).observe(times))


def test_an_event_rate_that_begins_to_be_watched_starts_afresh() -> None:
    before = _traffic(volume=VolumeSettings(enabled=False))
    before.observe(_events(_poisson(100, 100)))
    after = _traffic()
    after.restore(before.snapshot())
    assert after.volume is not None
    assert after.volume.length == 0
    assert after.silence.snapshot() is not None


def test_its_share_is_taken_from_the_budget() -> None:
    times = _events(_poisson(100, _STEADY))
    traffic = _traffic(alert_budget="2/week", volume={"share": 0.2})
    traffic.observe(times)
    (reading,) = rows(traffic.readings())
    assert (reading.model, reading.version, reading.signal.name) == ("fraud", "", "event rate")
    assert reading.threshold == pytest.approx(302_400 / 0.2, rel=0.01)
    assert not reading.changed
    versions = ModelSettings.model_validate({"volume": {"share": 0.2}}).of_watching()
    assert versions.budget == Budget(1.6, "week")
    alone = ModelSettings.model_validate({"volume": {"enabled": False}}).of_watching()
    assert alone.budget == Budget(2, "week")


def test_silence_settings_do_not_stop_the_event_rate() -> None:
    traffic = _traffic(silence=SilenceSettings(enabled=False))
    traffic.observe(_events(_poisson(100, _STEADY)))
    steps = traffic.advance((MONDAY + _STEADY + 900) * SECOND)
    assert [(step.signal.name, step.kind) for step in steps] == [("event rate", StepKind.CHANGED)]
    assert len(array(tree(tree(traffic.snapshot(), "volume"), "past"), "bins")) == 2_200


def test_a_rate_that_is_nearly_back_is_back() -> None:
    volume, now = _watched()
    counts = np.concatenate([_poisson(200, 120, 2), _poisson(102, 200, 3)])
    steps = volume.observe(_events(counts, now))
    assert _kinds(steps) == [StepKind.CHANGED, StepKind.RETURNED]
    assert volume.observe(_events(_poisson(102, 2_000, 4), now + 320)) == []
