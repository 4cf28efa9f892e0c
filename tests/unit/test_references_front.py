"""A reference's cycles, memory, spread, calendar and steps are found, said and followed."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamdrift.records import Floats, Ints
from streamdrift.references import Code, Fitted, Front, fit, in_words
from streamdrift.references.front import MOST

SIZE = 10_000
DAY = 86_400_000_000
MONDAY = 1_767_571_200_000_000  # 2026-01-05T00:00Z
PLACE = np.arange(SIZE)


def noise(seed: int = 0, size: int = SIZE) -> Floats:
    return np.random.default_rng(seed).standard_normal(size)


def remembering(weight: float, seed: int = 0, size: int = SIZE) -> Floats:
    fresh, found = noise(seed, size), np.empty(size)
    last = 0.0
    for i in range(size):
        last = weight * last + (1 - weight**2) ** 0.5 * fresh[i]
        found[i] = last
    return found


def clustered(seed: int = 0) -> Floats:
    fresh, found, variance = noise(seed), np.empty(SIZE), 1.0
    for i in range(SIZE):
        found[i] = variance**0.5 * fresh[i]
        variance = 0.05 + 0.1 * found[i] ** 2 + 0.85 * variance
    return found


def cycle(period: float = 1_000, amplitude: float = 0.7) -> Floats:
    found: Floats = amplitude * np.sin(2 * np.pi * PLACE / period + 1)
    return found


def office(times: Ints, zone_hours: int = 0) -> Floats:
    """Higher from nine to five from Monday to Friday."""
    hours = times // 3_600_000_000 + zone_hours
    open_ = (hours // 24 % 7 + 3) % 7 < 5
    found: Floats = (open_ & (hours % 24 >= 9) & (hours % 24 < 17)).astype(np.float64)
    return found


def codes(fitted: Fitted) -> list[Code]:
    return [finding.code for finding in fitted.findings]


def figures(fitted: Fitted, code: Code) -> list[dict[str, float]]:
    return [dict(each.figures) for each in fitted.findings if each.code is code]


def correlation(values: Floats, lag: int = 1) -> float:
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


@pytest.mark.parametrize(
    "values",
    [
        noise(1),
        np.exp(noise(2)),
        np.random.default_rng(3).standard_t(3, SIZE),
        np.random.default_rng(4).integers(0, 5, SIZE) * 1.0,
        np.random.default_rng(5).poisson(0.1, SIZE) * 1.0,
        noise(6) + 10 * (noise(7) > 3),
    ],
    ids=["normal", "lognormal", "t3", "levels", "rare", "outliers"],
)
def test_where_nothing_is_found_values_stay_as_they_are(values: Floats) -> None:
    values[5], values[6] = np.nan, np.inf
    fitted = fit(values)
    assert fitted.front is None
    assert fitted.start == 0
    assert fitted.residuals.tobytes() == values.tobytes()
    assert fitted.findings == ()


def test_few_values_say_nothing() -> None:
    fitted = fit(np.arange(99.0))
    assert fitted.front is None
    assert figures(fitted, Code.SHORT) == [{"values": 99.0, "needed": 2_000.0}]


def test_a_short_reference_with_memory_is_named() -> None:
    fitted = fit(remembering(0.8, size=500))
    assert fitted.front is not None
    assert {Code.MEMORY, Code.SHORT} <= set(codes(fitted))


@pytest.mark.parametrize("values", [np.full(500, 7.0), np.full(500, np.nan), np.zeros(0)])
def test_a_constant_or_empty_column_has_no_front(values: Floats) -> None:
    fitted = fit(values)
    assert fitted.front is None
    assert len(fitted.findings) == 1


def test_memory_is_found_and_taken_off() -> None:
    fitted = fit(remembering(0.5))
    (memory,) = figures(fitted, Code.MEMORY)
    assert memory["sum"] == pytest.approx(0.5, abs=0.03)
    assert memory["needed"] == pytest.approx(69, abs=8)
    assert abs(correlation(fitted.residuals)) < 0.03
    assert "1 sd needs about" in in_words(fitted.findings[0])


def test_memory_of_raw_values_where_the_past_decides_nearly_everything() -> None:
    fitted = fit(remembering(0.95))
    (memory,) = figures(fitted, Code.MEMORY)
    assert memory["sum"] == pytest.approx(0.95, abs=0.02)
    moved = fit(1_000 * remembering(0.95) + 5_000)
    assert np.allclose(moved.residuals, fitted.residuals, atol=1e-6)


def test_the_unit_of_a_signal_does_not_matter() -> None:
    values = remembering(0.5) + cycle()
    assert np.allclose(fit(values).residuals, fit(1_000 * values + 5_000).residuals, atol=1e-6)


def test_a_cycle_is_found_and_taken_off() -> None:
    fitted = fit(noise() + cycle(1_003))
    cycles = figures(fitted, Code.CYCLE)
    assert cycles[0]["period"] == pytest.approx(1_003, rel=0.01)
    middle = fitted.residuals[: 9 * 1_003].reshape(9, 1_003).mean(axis=0)
    assert abs(np.convolve(middle, np.ones(100) / 100, "valid")).max() < 0.15
    assert "a cycle of 1," in in_words(fitted.findings[0])


def test_a_cycle_goes_on_being_followed_where_its_period_was_known_roughly() -> None:
    values = np.tile(noise(), 10) + 0.7 * np.sin(2 * np.pi * np.arange(10 * SIZE) / 1_003)
    fitted = fit(values[:SIZE])
    assert fitted.front is not None
    rest = fitted.front.follow(values[SIZE:])
    assert np.abs(rest.reshape(-1, 500).mean(axis=1)).max() < 0.35


def test_the_lines_of_one_rhythm_share_its_frequency() -> None:
    square = 1.0 * (PLACE % 200 < 60)
    periods = [each["period"] for each in figures(fit(noise() + square), Code.CYCLE)]
    assert periods[0] == pytest.approx(200, rel=0.001)
    ratios = np.array([periods[0] / period for period in periods])
    assert np.count_nonzero(np.abs(ratios - np.rint(ratios)) < 1e-9) >= 2


def test_a_wandering_level_is_said() -> None:
    fitted = fit(noise() + 0.05 * np.cumsum(noise(1)))
    assert fitted.wanders
    assert figures(fitted, Code.NO_LEVEL) == [{}]
    assert "only jumps out of the noise" in in_words(fitted.findings[0])


def test_clustered_spread_is_divided_out() -> None:
    fitted = fit(clustered())
    assert Code.CLUSTERED_SPREAD in codes(fitted)
    assert fitted.clustering > 8
    before, after = (np.abs(each) for each in (clustered(), fitted.residuals))
    assert correlation(after) < 0.4 * correlation(before)


def test_a_cycle_of_the_spread_is_divided_out() -> None:
    values = noise() * np.exp(cycle(500, 0.5))
    fitted = fit(values)
    assert figures(fitted, Code.SPREAD_CYCLE)[0]["period"] == pytest.approx(500, rel=0.01)
    by_phase = np.abs(fitted.residuals).reshape(-1, 500).mean(axis=0).reshape(10, 50).mean(axis=1)
    assert by_phase.max() / by_phase.min() < 1.25


def test_a_step_is_found_and_the_part_after_it_kept() -> None:
    values = noise() + 0.7 * (PLACE >= 6_000)
    values[10] = np.nan
    fitted = fit(values)
    assert 5_940 < fitted.start < 6_060
    assert fitted.front is None
    assert fitted.residuals.tobytes() == values[fitted.start :].tobytes()
    (step,) = figures(fitted, Code.STEP)
    assert step["size"] == pytest.approx(0.7, abs=0.1)
    assert step["kept"] == SIZE - fitted.start


@pytest.mark.parametrize("values", [noise(3), remembering(0.8), noise(4) + cycle(1_900)])
def test_no_step_is_found_where_there_is_none(values: Floats) -> None:
    assert fit(values).start == 0


def test_the_calendar_is_found_in_local_time() -> None:
    times = MONDAY + np.arange(4 * 7 * 360) * (DAY // 360)
    values = noise(size=len(times)) + office(times, zone_hours=9)
    fitted = fit(values, times, ZoneInfo("Asia/Tokyo"))
    assert codes(fitted)[0] is Code.CALENDAR
    assert fitted.front is not None
    assert fitted.front.needs_times
    closed = office(times, zone_hours=9) == 0
    assert abs(fitted.residuals[closed].mean() - fitted.residuals[~closed].mean()) < 0.1


def test_the_calendar_follows_the_clock_when_summer_comes() -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = 1_773_010_800_000_000  # 2026-03-09T00:00 in Berlin, three weeks before the change
    times = start + np.arange(5 * 7 * 480) * (DAY // 480)
    change = start + 20 * DAY + 2 * 3_600_000_000
    local = office(times, zone_hours=1) * (times < change) + office(times, zone_hours=2) * (
        times >= change
    )
    values = noise(size=len(times)) + 3 * local
    before = times < start + 20 * DAY
    fitted = fit(values[before], times[before], zone)
    assert fitted.front is not None
    rest = fitted.front.follow(values[~before], times[~before])
    late = local[~before] == 1
    assert abs(rest[late].mean() - rest[~late].mean()) < 0.2


def test_no_calendar_where_time_says_nothing() -> None:
    times = MONDAY + np.arange(SIZE) * (DAY // 300)
    assert fit(noise(), times).front is None
    assert not set(codes(fit(remembering(0.8), times))) & {Code.CALENDAR}


def test_the_calendar_can_come_from_a_longer_history() -> None:
    times = MONDAY + np.arange(14 * 4_320) * (DAY // 4_320)
    values = noise(size=len(times)) + office(times)
    history = (values[::6], times[::6])
    stretch = slice(-5_000, None)
    fitted = fit(values[stretch], times[stretch], None, history)
    assert Code.CALENDAR in codes(fitted)
    assert fitted.front is not None
    next_times = times + 14 * DAY
    rest = fitted.front.follow(noise(1, len(times)) + office(next_times), next_times)
    is_open = office(next_times) == 1
    assert abs(rest[is_open].mean() - rest[~is_open].mean()) < 0.1


def test_of_very_many_values_the_last_are_kept() -> None:
    values = np.tile(noise(), 14) + remembering(0.5, 1, 140_000)
    fitted = fit(values)
    assert fitted.start == 140_000 - MOST
    assert len(fitted.residuals) == MOST


def everything() -> tuple[Floats, Ints]:
    """A series in which every part of a front is found, and its times."""
    times = MONDAY + PLACE * (DAY // 300)
    values = remembering(0.5) * np.exp(cycle(500, 0.5)) + 3 * office(times) + cycle(77.7, 1.0)
    return values, times


def test_cutting_the_input_changes_nothing() -> None:
    values, times = everything()
    fitted = fit(values, times)
    assert {Code.CALENDAR, Code.CYCLE, Code.MEMORY, Code.SPREAD_CYCLE} <= set(codes(fitted))
    assert fitted.front is not None
    whole, parts = fitted.front.copy(), fitted.front.copy()
    values[17], values[900] = np.nan, -np.inf
    at_once = whole.follow(values, times)
    pieces, place = list[Floats](), 0
    while place < SIZE:
        stop = min(SIZE, place + 1 + 7 * place % 1_000)
        pieces.append(parts.follow(values[:stop], times[:stop], place))
        place = stop
    assert np.concatenate(pieces).tobytes() == at_once.tobytes()
    assert parts.state.tobytes() == whole.state.tobytes()


def test_a_front_goes_on_from_its_snapshot() -> None:
    values, times = everything()
    front = fit(values, times).front
    assert front is not None
    again = Front.restore(dict(front.snapshot()))
    assert again.follow(values, times).tobytes() == front.follow(values, times).tobytes()


def test_what_is_not_a_number_leaves_nothing_and_the_state_as_it_is() -> None:
    front = fit(remembering(0.5) + cycle()).front
    assert front is not None
    before = front.state.copy()
    assert np.isnan(front.follow(np.array([np.nan, np.inf, -np.inf]))).all()
    assert front.state.tobytes() == before.tobytes()


def test_a_held_front_does_not_learn_the_change() -> None:
    values, times = everything()
    front = fit(values, times).front
    assert front is not None
    held = front.copy()
    higher = values + 3.0
    learnt = front.follow(higher, times)
    unlearnt = held.follow(higher, times, learn=False)
    assert unlearnt[-2_000:].mean() > learnt[-2_000:].mean() + 0.2


def test_one_huge_value_does_not_spoil_the_next_predictions() -> None:
    front = fit(remembering(0.95)).front
    assert front is not None
    rest = front.follow(np.concatenate(([1e300], np.zeros(400))))
    assert rest[0] == 50.0
    assert abs(rest[-1]) < 1.0


def test_a_line_does_not_follow_a_level_that_wanders_off() -> None:
    size = 10 * SIZE
    values = np.cumsum(noise(2, size)) + 40 * np.sin(2 * np.pi * np.arange(size) / 1_000)
    fitted = fit(values[:SIZE])
    assert fitted.wanders
    assert figures(fitted, Code.CYCLE)[0]["period"] == pytest.approx(1_000, rel=0.01)
    assert fitted.front is not None
    rest = fitted.front.follow(values[SIZE:])
    # It was 5.5 when lines took the level's wandering for their own error.
    assert rest.std() < 1.1
