"""What is learnt of a rhythm occasion by occasion, and how it is taken off value by value."""

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.durations import DAY, SECOND
from streamdrift.records import Floats, Ints
from streamdrift.references import Front, fit
from streamdrift.references.occasions import Occasions, first_gain, quarters, shown_within
from streamdrift.references.parts import Scale
from streamdrift.references.scores import fit_scores
from streamdrift.references.slow import (
    GAIN,
    LEVEL,
    Given,
    extended,
    lattice_of,
    quicken,
    scale_of,
    slow_arrays,
    spread,
)

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
STEP = 20 * SECOND
LINE = slow_arrays(Scale(np.empty(0), np.empty(0)), Given(0.0))[0]
"""The stage of a signal whose score is its value."""


def _times(days: float, since: int = MONDAY) -> Ints:
    return np.arange(since, since + int(days * DAY), STEP, dtype=np.int64)


def _learnt(
    values: Floats,
    times: Ints,
    zone: ZoneInfo = UTC_ZONE,
    held: Floats | None = None,
    parameters: Floats = LINE,
) -> Occasions:
    found = Occasions(parameters, zone, int(times[0]), int(times[-1]), 1 / STEP)
    days, places = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    quarters(times, found.offsets, days, places)
    found.add(values, days, places, np.zeros(len(times)) if held is None else held)
    return found


def _noise(times: Ints, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=len(times))


def _sine(times: Ints) -> Floats:
    return 0.5 * np.sin(2 * np.pi * times / DAY)


def _left(found: Given, values: Floats, times: Ints) -> Floats:
    """Return what the calendar leaves of values."""
    parameters, state = slow_arrays(Scale(np.empty(0), np.empty(0)), found)
    return Front(parameters, state, (len(parameters), len(state))).follow(values, times)


def test_a_daily_cycle_is_learnt_and_its_slope_within_half_hours() -> None:
    times = _times(7)
    found = _learnt(_sine(times) + 0.2 * _noise(times), times).given(0)
    assert found is not None
    assert found.calendar is not None
    assert found.calendar.figures["days"] == 7.0
    assert found.gain == 0.0
    later = _times(7, MONDAY + 7 * DAY)
    assert np.abs(_left(found, _sine(later), later)).max() < 0.05


def test_weekends_have_levels_of_their_own() -> None:
    times = _times(14)
    weekend = (times - MONDAY) // DAY % 7 >= 5
    found = _learnt(1.0 * weekend + 0.2 * _noise(times), times).given(0)
    assert found is not None
    later = _times(7, MONDAY + 14 * DAY)
    weekend = (later - MONDAY) // DAY % 7 >= 5
    assert np.abs(_left(found, weekend.astype(np.float64), later)).max() < 0.05


def test_local_time_counts_when_clocks_change() -> None:
    # Clocks go forward on 29 March 2026; office hours stay where they are on the clock.
    since = int(datetime(2026, 3, 23, tzinfo=UTC).timestamp()) * SECOND
    times = _times(14, since)

    def level(moments: Ints) -> Floats:
        hours = [datetime.fromtimestamp(each / SECOND, BERLIN).hour for each in moments.tolist()]
        return np.array([1.0 if 8 <= hour < 18 else 0.0 for hour in hours])

    before = times < since + 6 * DAY
    found = _learnt(level(times[before]), times[before], BERLIN).given(0)
    elsewhere = _learnt(level(times[before]), times[before], UTC_ZONE).given(0)
    assert found is not None
    assert elsewhere is not None
    after = times[times >= since + 7 * DAY][: 5 * DAY // STEP]
    assert np.abs(_left(found, level(after), after)).max() < 0.05
    assert np.abs(_left(elsewhere, level(after), after)).max() > 0.5


def test_no_rhythm_is_found_where_there_is_none() -> None:
    times = _times(7)
    found = _learnt(_noise(times), times).given(0)
    assert found is not None
    assert found.gain == 0.0
    if found.calendar is not None:
        assert np.abs(found.calendar.levels).max() < 0.1


def test_a_level_that_wanders_is_followed_and_one_that_stays_is_not() -> None:
    times = _times(7)
    steps = np.random.default_rng(3).normal(size=len(times)) * 0.4 * np.sqrt(2 * STEP / (DAY / 4))
    wander = np.empty(len(times))
    level = 0.0
    for place, step in enumerate(steps.tolist()):
        level += step - level * STEP / (DAY / 4)
        wander[place] = level
    found = _learnt(wander + 0.3 * _noise(times), times).given(0)
    assert found is not None
    assert 1 / found.gain < DAY / STEP


def test_a_change_on_one_day_is_no_rhythm_and_one_on_all_days_is() -> None:
    times = _times(7)
    hour = (times - MONDAY) % DAY // (DAY // 24)
    noon = (hour >= 11) & (hour < 14)
    once = noon & ((times - MONDAY) // DAY == 1)
    quiet = 0.1 * _noise(times)
    seen = _learnt(quiet + 5.0 * once, times, held=once.astype(np.float64)).given(0)
    assert seen is not None
    later = _times(7, MONDAY + 7 * DAY)
    assert np.abs(_left(seen, np.zeros(len(later)), later)).max() < 0.05
    always = _learnt(quiet + 5.0 * noon, times, held=noon.astype(np.float64)).given(0)
    assert always is not None
    noon = ((later - MONDAY) % DAY // (DAY // 24) >= 11) & (
        (later - MONDAY) % DAY // (DAY // 24) < 14
    )
    assert np.abs(_left(always, 5.0 * noon.astype(np.float64), later)).max() < 0.2


def test_nothing_is_known_without_values() -> None:
    times = _times(1)
    assert _learnt(np.full(len(times), np.nan), times).given(0) is None


@given(st.lists(st.integers(0, 4_000), max_size=4))
def test_cuts_and_restores_change_nothing(cuts: list[int]) -> None:
    times = _times(1)[:4_000]
    values = _sine(times) + _noise(times)
    values[::7] = np.nan
    whole = _learnt(values, times)
    parts = Occasions(LINE, UTC_ZONE, int(times[0]), int(times[-1]), 1 / STEP)
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(times)]):
        days, places = np.empty(stop - start, np.int64), np.empty(stop - start, np.int64)
        quarters(times[start:stop], parts.offsets, days, places)
        parts.add(values[start:stop], days, places, np.zeros(stop - start))
        parts = Occasions.restore(parts.snapshot(), UTC_ZONE)
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


def test_the_next_span_is_as_long_and_knows_nothing() -> None:
    times = _times(2)
    found = _learnt(_noise(times), times)
    again = found.again()
    assert (again.since, again.until) == (found.until, 2 * found.until - found.since)
    assert again.given(0) is None


def test_last_values_are_kept_from_shortly_before_the_end() -> None:
    found = _learnt(_noise(_times(7)), _times(7))
    assert found.collect_from(100) == found.until - 200 * STEP


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (np.arange(1_000.0), 0.0),
        (np.arange(1_000) % 7 * 0.25 + 3, 0.25),
        (np.arange(1_000) % 2 * 1.0, 1.0),
        (np.r_[np.zeros(500), np.random.default_rng(1).normal(size=500)], None),
        (np.arange(1_000) % 3**1.0 * np.array([1, np.pi] * 500), None),
    ],
)
def test_multiples_of_a_step_are_told_from_other_repeats(
    values: Floats, step: float | None
) -> None:
    assert lattice_of(values) == step


def test_multiples_are_spread_within_their_steps() -> None:
    values = np.arange(2_000.0) % 5 * 2.0
    out = spread(values, Given(0.0, lattice=2.0, seed=4))
    assert np.abs(out - values).max() <= 1.0
    assert len(np.unique(out)) == len(values)
    assert spread(values, Given(0.0)) is values


def test_scores_go_on_beyond_the_reference() -> None:
    scale = extended(Scale(np.array([-3.0, -1.0, 1.0, 3.0]), np.array([-3.0, -1.0, 1.0, 3.0])))
    parameters, state = slow_arrays(scale, Given(0.0))
    out = Front(parameters, state, (len(parameters), len(state))).follow(np.array([-9.0, 0.0, 9.0]))
    assert out.tolist() == pytest.approx([-9.0, 0.0, 9.0], abs=0.1)
    assert scale_of(parameters).knots.tolist() == scale.knots.tolist()


def test_scores_of_about_normal_values_are_a_straight_line() -> None:
    draw = np.random.default_rng(1)
    normal = extended(Scale(*fit_scores(np.sort(draw.normal(3.0, 2.0, size=10_000)))))
    assert len(normal.knots) == 0
    assert normal.centre == pytest.approx(3, abs=0.1)
    assert 1 / normal.unit == pytest.approx(2, rel=0.05)
    for values in (draw.uniform(size=10_000), draw.lognormal(size=10_000)):
        assert len(extended(Scale(*fit_scores(np.sort(values)))).knots) > 16


def test_a_slow_level_follows_while_it_may_learn() -> None:
    values = np.ones(1_000)
    parameters, state = slow_arrays(Scale(np.empty(0), np.empty(0)), Given(0.01))
    front = Front(parameters, state, (len(parameters), len(state)))
    still = front.copy()
    assert abs(front.follow(values)[-1]) < 1e-3
    assert still.follow(values, learn=False)[-1] == 1.0
    assert still.state[LEVEL] == 0.0


def test_a_slow_level_is_quickened_to_half_the_age_and_then_twice_each_time() -> None:
    parameters, state = slow_arrays(Scale(np.empty(0), np.empty(0)), Given(1e-5))
    quicken(parameters, state, 20_000, 90_000)
    assert state[GAIN] == 1 / 10_000
    quicken(parameters, state, 80_000, 72_000)
    assert state[GAIN] == 1 / 5_000
    # At most as quick as a sixteenth of the values within which changes show.
    quicken(parameters, state, 1_000, 72_000)
    assert state[GAIN] == 1 / 4_500
    quicken(parameters, state, 1_000, 160_000)
    assert state[GAIN] == 1 / 4_500
    parameters, state = slow_arrays(Scale(np.empty(0), np.empty(0)), Given(1e-5, shortest=5_000))
    quicken(parameters, state, 100, 1_000)
    assert state[GAIN] == 1 / 5_000


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_a_front_of_two_stages_goes_on_where_its_snapshot_was(memory: float) -> None:
    noise = np.random.default_rng(2).normal(size=6_000)
    values = noise.copy()
    for place in range(1, len(values)):
        values[place] += memory * values[place - 1]
    fitted = fit(values[:4_000], given=Given(1 / 2_000))
    assert fitted.found == (memory > 0)
    assert fitted.front is not None
    restored = Front.restore(fitted.front.snapshot())
    whole = fitted.front.copy().follow(values[4_000:])
    first = restored.follow(values[4_000:4_711])
    np.testing.assert_array_equal(np.r_[first, restored.follow(values[4_711:])], whole)


def test_provisional_pace_and_patience_follow_from_the_rate() -> None:
    fast, slow = 100 / SECOND, 0.1 / SECOND
    assert 1 / first_gain(fast) == pytest.approx(30_000)
    assert 1 / first_gain(slow) == pytest.approx(20_000)
    assert shown_within(fast, 10_000) == pytest.approx(90_000)
    assert shown_within(slow, 10_000) == 500
