"""KSWIN tests exactly: the distance, and its significance."""

import itertools

import numpy as np
import pytest
from pydantic import ValidationError

from streamdrift.detectors import Expected, KswinSettings, make_bank
from streamdrift.detectors.kswin import critical_distance, significance
from streamdrift.records import Floats, Stream
from tests.series import alarms

PLACE = np.zeros(1, dtype=np.int64)
NUMERIC = Expected(Stream.NUMERIC)


def distance(older: Floats, newer: Floats) -> float:
    """Return the largest difference of the empirical distribution functions."""
    places = np.concatenate([older, newer])
    shares = [np.mean(part[:, np.newaxis] <= places, axis=0) for part in (older, newer)]
    return float(np.max(np.abs(shares[0] - shares[1])))


def by_definition(values: Floats, one: KswinSettings) -> int:
    """Return the first value at which the window's parts are too far apart."""
    assert one.alpha is not None
    size, newer = one.window_size, one.stat_size
    unit = (size - newer) * newer
    critical = critical_distance(size - newer, newer, one.alpha)
    for end in range(size, len(values) + 1):
        window = values[end - size : end]
        if round(distance(window[:-newer], window[-newer:]) * unit) >= critical:
            return end - 1
    return len(values)


@pytest.mark.parametrize("seed", range(40))
def test_alarms_come_where_the_definition_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.concatenate([random.random(150), random.random(100) * 0.7])
    if seed % 3 == 0:
        values = np.round(values * 5)
    size = int(random.integers(2, 60))
    one = KswinSettings(
        alpha=10.0 ** random.uniform(-5, -1),
        window_size=size,
        stat_size=int(random.integers(1, size)),
    )
    bank = make_bank(one, [NUMERIC], np.ones(1))
    assert bank.update(values.reshape(1, -1), PLACE, PLACE)[0] == by_definition(values, one)


@pytest.mark.parametrize(("older", "newer"), [(1, 1), (3, 2), (4, 4), (5, 3)])
def test_significance_counts_all_orders(older: int, newer: int) -> None:
    size = older + newer
    distances = []
    for chosen in itertools.combinations(range(size), newer):
        mask = np.zeros(size, dtype=bool)
        mask[list(chosen)] = True
        order = np.arange(size, dtype=np.float64)
        distances.append(round(distance(order[~mask], order[mask]) * older * newer))
    for least in range(1, older * newer + 2):
        share = np.mean(np.array(distances) >= least)
        assert significance(older, newer, least) == pytest.approx(share)


def test_the_critical_distance_is_the_least_that_is_significant() -> None:
    for alpha in (0.3, 0.01, 1e-6, 1e-12):
        critical = critical_distance(70, 30, alpha)
        assert significance(70, 30, critical) <= alpha < significance(70, 30, critical - 1)


def test_what_can_never_be_significant_never_alarms() -> None:
    one = KswinSettings(alpha=1e-6, window_size=8, stat_size=3)
    bank = make_bank(one, [NUMERIC], np.ones(1))
    assert alarms(bank, np.repeat([0.0, 1.0], 50)) == []
    assert bank.readings()[1][0] > 1


def test_constant_values_never_alarm() -> None:
    bank = make_bank(KswinSettings(alpha=0.05), [NUMERIC], np.ones(1))
    assert alarms(bank, np.full(1_000, 0.3)) == []


def test_a_large_change_is_found_within_the_window() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(0, 1, 500), random.normal(2, 1, 200)])
    bank = make_bank(KswinSettings(), [NUMERIC], np.full(1, 1e5))
    found = int(bank.update(values.reshape(1, -1), PLACE, PLACE)[0])
    assert 500 <= found < 540
    evidence = bank.evidence(0)
    assert found - evidence.earliest <= 500 <= found - evidence.latest


def test_the_newer_part_is_less_than_the_window() -> None:
    with pytest.raises(ValidationError, match="stat_size must be less than window_size"):
        KswinSettings(alpha=0.01, window_size=30, stat_size=30)
