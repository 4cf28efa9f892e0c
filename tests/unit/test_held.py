"""A changed signal and its return: found soon after it, and not before."""

import itertools
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors.held import Held, _factors
from streamdrift.detectors.mixture import BORDERS, FACTORS, POWERED
from streamdrift.records import Floats, Ints

NORMAL = NormalDist()
BEFORE = np.diff(np.round(10_000 * np.linspace(0, 1, 47) ** 1.2))
"""Counts of 46 cells of ranks, of several widths."""
ENDS = np.cumsum(BEFORE) / BEFORE.sum()
INNER = np.array([NORMAL.inv_cdf(end) for end in ENDS[:-1]])


def cells_of(values: Floats) -> Ints:
    return np.searchsorted(INNER, values).astype(np.int64)


def numbers(shift: float, spread: float, size: int, seed: int) -> Ints:
    return cells_of(np.random.default_rng(seed).normal(shift, spread, size))


def levels(shares: Floats, size: int, seed: int) -> Ints:
    found: Ints = np.random.default_rng(seed).choice(len(shares), size, p=shares)
    return found.astype(np.int64)


@pytest.mark.parametrize(
    ("shift", "spread", "onset"),
    [(0.25, 1.0, 600), (0.5, 1.0, 150), (-1.0, 1.0, 40), (0.0, 1.5, 100), (0.0, 0.5, 60)],
)
def test_a_change_that_lasts_is_not_taken_for_over(shift: float, spread: float, onset: int) -> None:
    # 40 signals, 5,000 values each.
    for seed in range(40):
        held = Held(BEFORE, True, numbers(shift, spread, onset, seed))
        lasting = numbers(shift, spread, 5_000, 100 + seed)
        assert held.run(lasting, 0) == len(lasting)


@pytest.mark.parametrize(
    ("shift", "spread", "onset", "within"),
    [(0.25, 1.0, 400, 1_500), (0.5, 1.0, 120, 400), (-1.0, 1.0, 35, 200), (0.0, 1.5, 90, 500)],
)
@pytest.mark.parametrize("lasts", [0, 3_000])
def test_a_return_is_found(
    shift: float, spread: float, onset: int, within: int, lasts: int
) -> None:
    found = []
    for seed in range(30):
        held = Held(BEFORE, True, numbers(shift, spread, onset, seed))
        assert held.run(numbers(shift, spread, lasts, 200 + seed), 0) == lasts
        found.append(held.run(numbers(0, 1, 20_000, 100 + seed), 0))
    assert max(found) < 20_000
    # What ends with its alarm is told from what is smaller, too.
    assert np.quantile(found, 0.9) < within * (1 if lasts else 5)


def test_a_change_that_becomes_one_half_as_large_is_seldom_taken_for_over() -> None:
    over = 0
    for seed in range(40):
        held = Held(BEFORE, True, numbers(1.0, 1.0, 30, seed))
        held.run(numbers(1.0, 1.0, 1_000, 100 + seed), 0)
        if held.run(numbers(0.5, 1.0, 4_000, 200 + seed), 0) < 4_000:
            over += 1
        else:
            assert held.run(numbers(0, 1, 3_000, 300 + seed), 0) < 3_000
    assert over <= 6


@pytest.mark.parametrize(
    ("before", "after", "onset"), [(0.2, 0.3, 280), (0.2, 0.1, 220), (0.01, 0.03, 500)]
)
def test_rates(before: float, after: float, onset: int) -> None:
    counts = np.array([10_000 * (1 - before), 10_000 * before])
    usual, changed = np.array([1 - before, before]), np.array([1 - after, after])
    for seed in range(20):
        held = Held(counts, False, levels(changed, onset, seed))
        lasting = levels(changed, 6_000, 100 + seed)
        assert held.run(lasting, 0) == len(lasting)
        assert held.run(levels(usual, 8_000, 200 + seed), 0) < 8_000


def test_categories() -> None:
    usual = 1 / np.arange(1, 51)
    usual /= usual.sum()
    changed = usual * np.where(np.arange(50) % 2, 1.4, 0.6)
    changed /= changed.sum()
    for seed in range(20):
        held = Held(10_000 * usual, False, levels(changed, 150, seed))
        lasting = levels(changed, 5_000, 100 + seed)
        assert held.run(lasting, 0) == len(lasting)
        assert held.run(levels(usual, 3_000, 200 + seed), 0) < 3_000


def test_discounted_evidence_takes_longer() -> None:
    plain, discounted = (Held(BEFORE, True, numbers(1, 1, 60, 1), power) for power in (0, 12))
    for held in (plain, discounted):
        held.run(numbers(1, 1, 1_000, 2), 0)
    back = numbers(0, 1, 2_000, 3)
    assert plain.run(back, 0) < discounted.run(back, 0) < 2_000


def test_the_factors_of_cells_are_the_means_of_their_ranks() -> None:
    for power in (0, 9):
        found = _factors(BEFORE, power)
        # Whatever the cells are, a factor's mean over all ranks stays.
        means = (BEFORE / BEFORE.sum()) @ found
        np.testing.assert_allclose(
            means, np.diff(BORDERS) @ POWERED[power].astype(np.float64), rtol=1e-6
        )
        assert (means <= 1 + 1e-6).all()


def test_cells_without_a_value_are_points_of_ranks() -> None:
    found = _factors(np.array([0.0, 50.0, 0.0, 50.0, 0.0]), 0)
    np.testing.assert_allclose(found[0], FACTORS[0], rtol=1e-6)
    np.testing.assert_allclose(found[-1], FACTORS[-1], rtol=1e-6)
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_values_that_are_not_there_are_as_if_the_event_were_not() -> None:
    onset, changed = numbers(1, 1, 30, 1), numbers(1, 1, 400, 2)
    back = numbers(0, 1, 300, 3)
    stream = np.concatenate([changed, back])
    holes = np.full(2 * len(stream), -1, dtype=np.int64)
    holes[::2] = stream
    plain, holey = Held(BEFORE, True, onset), Held(BEFORE, True, onset)
    column = plain.run(stream, 0)
    assert 400 < column < 700
    assert holey.run(holes, 0) == 2 * column
    assert holey.run(holes, len(holes)) == len(holes)
    np.testing.assert_equal(plain.snapshot(), holey.snapshot())


@pytest.mark.parametrize("kind", ["numbers", "levels"])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 1_500), max_size=5))
def test_cuts_and_restores_change_nothing(kind: str, cuts: list[int]) -> None:
    if kind == "numbers":
        onset, stream = numbers(0.8, 1, 30, 1), numbers(0.8, 1, 1_000, 2)
        stream = np.concatenate([stream, numbers(0, 1, 500, 3)])
        before = BEFORE
    else:
        usual, changed = np.array([0.6, 0.3, 0.1]), np.array([0.4, 0.3, 0.3])
        onset, stream = levels(changed, 60, 1), levels(changed, 1_000, 2)
        stream = np.concatenate([stream, levels(usual, 500, 3)])
        before = 10_000 * usual
    whole = parts = Held(before, kind == "numbers", onset, 2)
    parts = Held.restore(whole.snapshot())
    expected = whole.run(stream, 0)
    assert 1_000 < expected < 1_500
    found = None
    for start, stop in itertools.pairwise([0, *sorted(cuts), 1_500]):
        column = parts.run(stream[:stop], start)
        parts = Held.restore(parts.snapshot())
        if column < stop:
            found = column
            break
    assert found == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


def test_very_long_changes_keep_finite_figures() -> None:
    held = Held(BEFORE, True, numbers(3, 1, 10, 1))
    for seed in range(5):
        assert held.run(numbers(3, 1, 20_000, seed), 0) == 20_000
    figures = held.snapshot()["figures"]
    assert isinstance(figures, np.ndarray)
    assert np.isfinite(figures).all()
    assert figures[0] > 100_000
    assert held.run(numbers(0, 1, 100, 9), 0) < 60


def test_a_reference_of_one_level_takes_others_for_a_change_and_itself_for_the_return() -> None:
    held = Held(np.array([1_000.0, 1.0]), False, np.array([1, 1, 1, 1], dtype=np.int64))
    assert held.run(np.ones(300, dtype=np.int64), 0) == 300
    assert held.run(np.zeros(300, dtype=np.int64), 0) < 100
