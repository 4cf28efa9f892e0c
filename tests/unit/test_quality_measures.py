"""What the evaluation says of alarms: bounds, rates, delays, coverage."""

import math

import numpy as np
import pytest

from loadtest.quality.lasting import judge
from loadtest.quality.measures import (
    Coverage,
    Rate,
    delays_of,
    poisson_below,
    poisson_lower,
    poisson_upper,
    share_lower,
    share_upper,
)


@pytest.mark.parametrize(
    ("count", "upper"), [(0, 2.9957), (1, 4.7439), (10, 16.9622), (100, 118.0789)]
)
def test_upper_bound_is_the_tabled_one(count: int, upper: float) -> None:
    assert poisson_upper(count) == pytest.approx(upper, abs=5e-4)


@pytest.mark.parametrize(("count", "lower"), [(0, 0.0), (1, 0.0513), (10, 5.4254), (100, 84.1395)])
def test_lower_bound_is_the_tabled_one(count: int, lower: float) -> None:
    assert poisson_lower(count) == pytest.approx(lower, abs=5e-4)


def test_bounds_hold_for_many_alarms() -> None:
    assert poisson_upper(20_000) == pytest.approx(
        20_000 + 1.645 * math.sqrt(20_000) + 1.2, rel=1e-3
    )
    assert poisson_below(20_000, 20_000.0) == pytest.approx(0.5, abs=0.01)


def test_probability_of_at_most_so_many() -> None:
    assert poisson_below(2, 1.0) == pytest.approx(2.5 * math.exp(-1))
    assert poisson_below(-1, 1.0) == 0.0
    assert poisson_below(0, 0.0) == 1.0


def test_bounds_of_shares() -> None:
    assert share_upper(0, 58) == pytest.approx(0.0503, abs=5e-4)
    assert share_lower(58, 58) == pytest.approx(0.9497, abs=5e-4)
    assert share_lower(0, 10) == 0.0
    assert share_upper(10, 10) == 1.0
    assert share_lower(50, 100) == pytest.approx(0.4136, abs=1e-3)


def test_rate_is_that_of_a_hundred_thousand_values() -> None:
    rate = Rate(3, 600_000) + Rate(7, 400_000)
    assert rate == Rate(10, 1_000_000)
    assert rate.each == 1.0
    assert rate.upper == pytest.approx(1.69622, abs=1e-4)
    assert rate.lower == pytest.approx(0.54254, abs=1e-4)


def test_chance_of_a_hit_grows_to_certainty() -> None:
    rate = Rate(10, 100_000)
    assert rate.by_chance(1) == pytest.approx(1e-4, rel=1e-3)
    assert rate.by_chance(10_000) == pytest.approx(1 - math.exp(-1))
    assert Rate(0, 100_000).by_chance(10_000) == 0.0


def test_a_miss_is_as_late_as_the_horizon() -> None:
    found = delays_of([0, 9, 99, 100, 250], [0] * 5, [1_000] * 5, 100)
    assert found.delays == (1, 10, 100, 100, 100)
    assert found.mean == 62.2
    assert found.found == 0.4
    assert found.median == math.inf
    assert found.within(10) == 0.2
    assert found.error == pytest.approx(np.std([1, 10, 100, 100, 100], ddof=1) / math.sqrt(5))


def test_runs_with_an_early_alarm_are_left_out() -> None:
    found = delays_of([4, 900, 5, 6], [0, 1, 0, 0], [1_000] * 4, 1_000)
    assert found.delays == (5, 6, 7)
    assert found.early == 1
    assert found.quiet == Rate(1, 4_000)
    assert not found.blurred


def test_where_most_alarm_early_all_count_and_say_little() -> None:
    found = delays_of([4, 9, 5], [2, 3, 0], [1_000] * 3, 1_000)
    assert found.delays == (5, 10, 6)
    assert found.blurred


def test_one_run_has_no_error() -> None:
    assert delays_of([4], [0], [1_000], 1_000).error == math.inf


def test_coverage_is_a_share() -> None:
    assert Coverage(19, 20, 7.0).share == 0.95
    assert math.isnan(Coverage(0, 0, 0.0).share)


@pytest.mark.parametrize(
    ("alarms", "held"),
    [
        ([1] * 100, True),
        # A fifth of all series of 100 runs has one that is not as it should be.
        ([1] * 99 + [2], True),
        ([1] * 99 + [0], True),
        ([1] * 98 + [2, 0], None),
        ([1] * 97 + [2] * 3, False),
        ([1] * 97 + [0] * 3, False),
    ],
)
def test_openings_are_judged_by_what_chance_does(alarms: list[int], held: bool | None) -> None:
    assert judge("shift", np.array(alarms)).held is held
