"""CUSUM that is told the change: its sums by hand, and the published figures, coarsely."""

import math

import numpy as np
import pytest

from loadtest.quality import changes, oracles, streams, trials


def test_alarms_by_hand() -> None:
    increments = np.array([1.0, -5.0, 2.0, 2.0, -1.0, 3.0])
    assert oracles.first_alarm(increments, 3.0) == 3
    assert oracles.first_alarm(increments, 9.0) == 6
    assert oracles.count_alarms(increments, 2.9) == 2  # begun anew behind place 3
    assert oracles.count_alarms(increments, 9.0) == 0


def test_impossible_values_end_what_was_gathered() -> None:
    increments = np.array([2.0, -math.inf, 2.0, 2.0])
    assert oracles.first_alarm(increments, 3.0) == 3


def test_threshold_gives_the_run_length() -> None:
    quiet = oracles.normal_shift(1.0)(np.random.default_rng(1).standard_normal(400_000))
    threshold = oracles.calibrate(quiet, 1_000.0)
    fresh = oracles.normal_shift(1.0)(np.random.default_rng(2).standard_normal(400_000))
    assert oracles.count_alarms(fresh, threshold) == pytest.approx(400, rel=0.15)


def test_ratios_are_of_densities() -> None:
    values = np.array([-1.0, 0.0, 2.0])
    assert oracles.normal_shift(0.5)(values) == pytest.approx(0.5 * values - 0.125)
    spread = oracles.normal_spread(2.0)(values)
    assert spread == pytest.approx(0.5 * values**2 * 0.75 - math.log(2))
    assert oracles.rates(0.2, 0.3)(np.array([1.0, 0.0])) == pytest.approx(
        [math.log(1.5), math.log(0.7 / 0.8)]
    )
    shares = oracles.shares(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    assert shares(np.array([0.0, 1.0])) == pytest.approx([math.log(0.5), math.log(1.5)])
    chains = oracles.chains((0.2, 0.0), (0.3, 0.0))(np.array([0.0, 1.0, 0.0]))
    assert chains == pytest.approx([0.0, math.log(1.5), math.log(0.7 / 0.8)])
    moved = oracles.log_lognormal_ratio(1.5)(np.array([1.0, math.e]))
    step = math.log(1.5)
    assert moved == pytest.approx([-0.5 * step**2, step - 0.5 * step**2])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean +0.5 sd", 55.0), ("mean +1 sd", 16.4), ("mean +2 sd", 5.0)],
)
def test_delays_are_the_published_ones(name: str, expected: float) -> None:
    change = next(one for one in changes.SHIFTS.values() if one.name == name)
    found = trials.told_delays(change._replace(horizon=2_000), 1e4, 200, seed=1)
    assert found.mean == pytest.approx(expected, rel=0.08)
    assert found.found == 1


def test_memory_is_undone_in_the_ratio() -> None:
    values = streams.chain(0.3, 0.5)(np.random.default_rng(1), 50_000)
    ratio = oracles.chains((0.2, 0.5), (0.3, 0.5))
    assert ratio(values).mean() > 0
    assert ratio(streams.chain(0.2, 0.5)(np.random.default_rng(1), 50_000)).mean() < 0
