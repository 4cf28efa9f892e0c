"""Shares of the same bins before and now: of numbers, of levels and of rates."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.distributions import BINS, LEVELS, Distribution, of_levels, of_numbers, of_rate
from streamdrift.records import REST, Floats
from streamdrift.references.counts import Counts
from streamdrift.sketches.levels import Levels

_DRAW = np.random.default_rng(11)


def shown(reference: Floats, now: Floats) -> Distribution:
    return of_numbers(Counts.of(reference), now, None)


def true_shares(values: Floats, edges: Sequence[float]) -> Floats:
    inner = [-np.inf, *edges[1:-1], np.inf]
    return np.histogram(values, inner)[0] / len(values)


@pytest.mark.parametrize("spread", [1e-9, 1.0, 1e12])
def test_numbers_are_shown_as_they_lie(spread: float) -> None:
    reference, now = _DRAW.normal(5, 1, 20_000) * spread, _DRAW.normal(7, 1, 5_000) * spread
    found = shown(reference, now)
    assert len(found.edges) == BINS + 1
    assert not found.logarithmic
    # What is kept of the reference are some of its order statistics.
    assert np.abs(true_shares(reference, found.edges) - found.reference).max() < 0.01
    assert found.current == pytest.approx(true_shares(now, found.edges))
    assert found.values == 5_000


def test_skewed_positive_numbers_are_binned_by_their_logarithms() -> None:
    found = shown(_DRAW.lognormal(3, 1, 10_000), _DRAW.lognormal(4, 1, 1_000))
    assert found.logarithmic
    assert np.ptp(np.diff(np.log(found.edges))) < 1e-9
    assert max(found.reference[0], found.reference[-1]) < 0.01


def test_small_whole_numbers_have_a_bin_each() -> None:
    found = shown(_DRAW.poisson(3, 5_000).astype(float), np.full(100, 14.0))
    assert found.edges[:3] == (-0.5, 0.5, 1.5)
    assert found.edges[-1] > 14
    assert found.current[14] == 1.0
    assert found.reference[3] == pytest.approx(0.224, abs=0.02)


def test_one_value_that_never_changed_has_a_bin_in_the_middle() -> None:
    assert shown(np.full(500, 0.25), np.full(9, 0.25)).current == (0.0, 1.0, 0.0)


def test_before_there_are_values_nothing_is_shown_of_now() -> None:
    found = shown(_DRAW.normal(size=500), np.empty(0))
    assert found.values == 0
    assert set(found.current) == {0.0}


@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=60),
    st.lists(st.floats(allow_nan=False), max_size=30),
)
def test_whatever_the_numbers_shares_add_up_over_rising_edges(
    reference: list[float], now: list[float]
) -> None:
    found = shown(np.array(reference), np.array(now))
    assert all(low < high for low, high in zip(found.edges, found.edges[1:], strict=False))
    assert np.isfinite(found.edges).all()
    assert sum(found.reference) == pytest.approx(1)
    assert min(found.reference) >= 0
    assert sum(found.current) == pytest.approx(1 if now else 0)


def levels(*counts: float, dropped: float = 0.0) -> Levels:
    names = tuple(f"l{place}" for place in range(len(counts)))
    return Levels(names, np.array(counts), dropped, 1.0)


def test_levels_that_are_new_stand_behind_those_that_are_known() -> None:
    names = ["l0", "l1", "new"]
    found = of_levels(levels(60, 40), names, np.array([0.0, 2.0, 2.0, 2.0]), 7)
    assert found.names == ("l0", "l1", "new")
    assert found.reference == (0.6, 0.4, 0.0)
    assert found.current == (0.25, 0.0, 0.75)
    assert (found.values, found.since) == (4, 7)


def test_of_many_levels_the_rest_is_one() -> None:
    found = of_levels(
        levels(*range(100, 60, -1)), [f"l{k}" for k in range(40)], np.arange(40.0), None
    )
    assert len(found.names) == LEVELS + 1
    assert found.names[-1] == REST
    assert sum(found.reference) == pytest.approx(1)
    assert found.current[-1] == pytest.approx(28 / 40)


def test_where_rare_levels_are_not_told_apart_none_is_called_new() -> None:
    found = of_levels(levels(70, 20, dropped=10), ["l0", "l1", "new"], np.array([2.0, 0.0]), None)
    assert found.names == ("l0", "l1", REST)
    assert found.reference == pytest.approx((0.7, 0.2, 0.1))
    assert found.current == (0.5, 0.0, 0.5)


def test_a_rate_is_two_shares() -> None:
    found = of_rate(0.25, 3, 4, None)
    assert (found.names, found.reference, found.current) == (("0", "1"), (0.75, 0.25), (0.25, 0.75))
    assert of_rate(0.25, 0, 0, None).current == (0.0, 0.0)
