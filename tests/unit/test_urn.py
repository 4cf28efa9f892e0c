"""Ranks that go on learning: exactly uniform at any size, whatever the values."""

import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.records import Floats
from streamdrift.references.binning import NOTHING, Cells
from streamdrift.references.counts import BORDERS, QUANTILES, Counts
from streamdrift.references.urn import LATE, Urns

ONE, NOW = np.array([0]), np.array([0])


def urn_of(reference: Floats, seed: int = 1, tenths: int = 1) -> Urns:
    urns = Urns(1)
    urns.learn(0, Counts.of(reference), seed, tenths)
    return urns


def ranked(urns: Urns, values: Floats) -> tuple[Floats, Cells]:
    """Return ranks and cells."""
    ranks = np.array(values, dtype=np.float64)[np.newaxis]
    cells = np.empty(ranks.shape, dtype=np.uint16)
    urns.rank(ONE, ONE, NOW, ranks, cells)
    return ranks[0], cells[0]


def ranks_of(urns: Urns, values: Floats) -> Floats:
    return ranked(urns, values)[0]


def chi_square(ranks: Floats, bins: int) -> float:
    found = np.bincount(np.minimum((ranks * bins).astype(int), bins - 1), minlength=bins)
    expected = len(ranks) / bins
    return float(((found - expected) ** 2 / expected).sum())


def test_of_all_orders_of_few_values_every_cell_is_met_as_often_as_it_is_wide() -> None:
    # All 120 orders of 5 values, 4 of them the reference: the fifth falls into each of the 5
    # gaps 24 times, so cells of k values are met with chance k / 5 exactly.
    met: Counter[tuple[int, int]] = Counter()
    for order in itertools.permutations(range(5)):
        urns = urn_of(np.array(order[:4], dtype=float))
        cumulative = urns.cumulative[0].copy()
        rank = ranks_of(urns, np.array(order[4:], dtype=float))[0]
        cell = int(np.searchsorted(cumulative / cumulative[-1], rank, side="right")) - 1
        met[int(cumulative[cell]), int(cumulative[cell + 1])] += 1
    assert sum(met.values()) == 120
    assert all(count == 24 * (last - first) for (first, last), count in met.items())


@pytest.mark.parametrize("size", [5, 20, 200])
def test_ranks_are_uniform_and_independent_at_any_size(size: int) -> None:
    # 2,000 references, 20 values each, counted at once.
    rng = np.random.default_rng(size)
    found = np.empty((2_000, 20))
    for run in range(len(found)):
        values = rng.standard_cauchy(size + 20)
        found[run] = ranks_of(urn_of(values[:size], seed=run), values[size:])
    assert chi_square(found.ravel(), 64) < 110  # 63 degrees of freedom: beyond it .02 %
    assert chi_square(found[:, -1], 16) < 40
    assert chi_square((found[:, :-1] + found[:, 1:]).ravel() % 1, 64) < 110
    # What a reference got wrong would make sums of its ranks vary more.
    assert found.sum(axis=1).var() == pytest.approx(20 / 12, rel=0.12)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.lognormal(sigma=2, size=n),
        lambda rng, n: rng.poisson(2, size=n).astype(float),
        lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.exponential(size=n)),
        lambda rng, n: (rng.random(n) < 0.1).astype(float),
        lambda rng, n: np.full(n, 7.0),
        lambda rng, n: np.round(rng.normal(size=n) * 3),
    ],
    ids=["normal", "lognormal", "poisson", "half zeros", "rare ones", "constant", "rounded"],
)
@pytest.mark.parametrize("size", [2_000, 10_000])
def test_ties_are_broken_evenly(
    draw: Callable[[np.random.Generator, int], Floats], size: int
) -> None:
    rng = np.random.default_rng(1)
    ranks = ranks_of(urn_of(draw(rng, size)), draw(rng, 40_000))
    assert ((ranks >= 0) & (ranks <= 1)).all()
    # The reference's own error stays where counting is late.
    assert np.abs(np.histogram(ranks, bins=20, range=(0, 1))[0] / 40_000 - 0.05).max() < 0.008


def test_values_that_repeat_share_the_ranks_of_their_mass() -> None:
    reference = np.repeat([0.0, 1.0, 2.0], [500, 300, 200])
    urns = urn_of(reference)
    low, middle, high, new = (ranks_of(urns, np.full(20, value)) for value in (0, 1, 2, 5))
    assert 0.4 < low.max() <= 0.52
    assert 0.49 <= middle.min() <= middle.max() <= 0.82
    assert high.min() >= 0.77
    assert new.min() >= high.max()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300),
    st.lists(st.floats(allow_nan=False), min_size=2, max_size=20),
)
def test_ranks_follow_the_order_of_values(reference: list[float], values: list[float]) -> None:
    previous = 0.0
    for value in sorted(values):
        # The same ordinal, so the same coin for each.
        rank = float(ranks_of(urn_of(np.array(reference)), np.array([value]))[0])
        assert previous <= rank <= 1
        previous = rank


@pytest.mark.parametrize(
    "change",
    [lambda x: 1_000 * x + 5_000, lambda x: -7 + x / 1_024, np.exp, lambda x: x**3],
    ids=["x 1000 + 5000", "/ 1024 - 7", "exp", "cube"],
)
@pytest.mark.parametrize("size", [300, 12_000])
def test_ranks_are_the_same_in_any_unit(change: Callable[[Floats], Floats], size: int) -> None:
    values = np.random.default_rng(2).normal(size=size + 5_000)
    plain = ranks_of(urn_of(values[:size]), values[size:])
    changed = change(values)
    assert ranks_of(urn_of(changed[:size]), changed[size:]).tolist() == plain.tolist()


def test_infinities_and_the_greatest_numbers_have_ranks_at_the_ends() -> None:
    reference = np.random.default_rng(3).normal(size=1_000)
    greatest = np.finfo(np.float64).max
    for extreme in (math.inf, greatest):
        assert ranks_of(urn_of(reference), np.array([extreme]))[0] > 0.999
        assert ranks_of(urn_of(reference), np.array([-extreme]))[0] < 0.002
    full = np.array([-math.inf, *reference, math.inf, math.inf])
    ranks = ranks_of(urn_of(full), np.array([math.inf, -math.inf, 0.0, math.nan]))
    assert ranks[0] > 0.99
    assert ranks[1] < 0.01
    assert 0.3 < ranks[2] < 0.7
    assert math.isnan(ranks[3])


def test_no_value_takes_no_coin_and_is_not_counted() -> None:
    values = np.random.default_rng(4).normal(size=50)
    holes = np.repeat(values, 2)
    holes[1::2] = np.nan
    plain, holey = urn_of(values[:20]), urn_of(values[:20])
    expected = ranks_of(plain, values)
    found = ranks_of(holey, holes)
    assert found[::2].tolist() == expected.tolist()
    assert np.isnan(found[1::2]).all()
    np.testing.assert_equal(holey.snapshot(), plain.snapshot())


def test_a_small_reference_counts_at_once() -> None:
    urns = urn_of(np.random.default_rng(5).normal(size=100))
    for value in (0.1, -3.0, 8.0):
        before = urns.cumulative[0].copy()
        ranks_of(urns, np.array([value]))
        gained = np.diff(urns.cumulative[0]) - np.diff(before)
        assert sorted(gained)[-2:] == [0, 1]
    assert urns.cumulative[0, -1] == 100 + 1 + 3


@pytest.mark.parametrize("tenths", [1, 3])
def test_a_large_one_counts_in_blocks_one_block_late(tenths: int) -> None:
    rng = np.random.default_rng(6)
    urns = urn_of(rng.normal(size=LATE), tenths=tenths)
    size = int(urns.cumulative[0, -1])
    block = size * tenths // 10
    before = urns.cumulative[0].copy()
    first = rng.normal(size=block) + 9
    ranks_of(urns, first)
    np.testing.assert_array_equal(urns.cumulative[0], before)
    ranks_of(urns, rng.normal(size=block - 1))
    np.testing.assert_array_equal(urns.cumulative[0], before)
    ranks_of(urns, rng.normal(size=1))
    assert urns.cumulative[0, -1] == size + block
    # The first block, above all others, is what was counted.
    assert np.diff(urns.cumulative[0])[-25:].sum() - np.diff(before)[-25:].sum() == block
    assert urns.pending[0, 1].sum() == block


def test_counts_are_halved_before_they_overflow() -> None:
    urns = urn_of(np.random.default_rng(7).normal(size=LATE))
    urns.cumulative[0] *= 110_000
    assert urns.cumulative[0, -1] > 2**30
    shares = urns.cumulative[0] / urns.cumulative[0, -1]
    values = np.random.default_rng(8).normal(size=50_000)
    ranks_of(urns, values[:49_999])
    assert urns.cumulative[0, -1] > 2**30
    ranks_of(urns, values[49_999:])
    assert 2**28 < urns.cumulative[0, -1] < 2**30
    np.testing.assert_allclose(urns.cumulative[0] / urns.cumulative[0, -1], shares, atol=1e-8)


def test_a_slot_goes_back_to_where_it_was_and_moves_on_by_cells() -> None:
    rng = np.random.default_rng(9)
    for size in (500, LATE):
        urns = Urns(3)
        for slot in range(3):
            urns.learn(slot, Counts.of(rng.normal(size=size)), slot)
        slots, rows, start = np.array([2, 0]), np.array([0, 1]), np.zeros(2, dtype=np.int64)
        values = rng.normal(size=(2, 1_500))
        cells = np.empty(values.shape, dtype=np.uint16)
        urns.rank(slots, rows, start, rng.normal(size=(2, 1_500)), cells)
        copies, before = urns.copy_of(slots), urns.snapshot()
        first = values.copy()
        urns.rank(slots, rows, start, first, cells)
        after = urns.snapshot()
        urns.go_back(2, copies.at(0))
        urns.go_back(0, copies.at(1))
        np.testing.assert_equal(urns.snapshot(), before)
        again = values.copy()
        urns.rank(slots, rows, start, again, cells)
        assert again.tolist() == first.tolist()
        for place, slot in enumerate(slots.tolist()):
            state = copies.at(place)
            state.move_on(cells[place])
            urns.go_back(slot, state)
        np.testing.assert_equal(urns.snapshot(), after)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=5), st.sampled_from([50, LATE]))
def test_cuts_and_restores_change_nothing(cuts: list[int], size: int) -> None:
    rng = np.random.default_rng(10)
    reference, values = rng.normal(size=size), rng.normal(size=3_000)
    whole, parts = urn_of(reference), urn_of(reference)
    expected = ranks_of(whole, values).tolist()
    found: list[float] = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), 3_000]):
        found += ranks_of(parts, values[start:stop]).tolist()
        restored = urn_of(reference)
        restored.restore(parts.snapshot())
        parts = restored
    assert found == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


@pytest.mark.parametrize("step", [0.0, 0.25])
def test_what_was_counted_is_taken_back(step: float) -> None:
    rng = np.random.default_rng(11)
    values = rng.normal(size=560)
    values[500:] += 1
    if step:
        values = np.round(values / step) * step
    urns = urn_of(values[:500])
    before = urns.cumulative[0].copy()
    _, cells = ranked(urns, values[500:])
    assert urns.cumulative[0, -1] == before[-1] + 60
    urns.take_back(0, cells)
    np.testing.assert_array_equal(urns.cumulative[0], before)


def test_what_is_only_noted_is_forgotten_and_not_taken_back() -> None:
    rng = np.random.default_rng(12)
    urns = urn_of(rng.normal(size=LATE))
    before = urns.cumulative[0].copy()
    _, cells = ranked(urns, rng.normal(size=400) + 1)
    assert urns.pending[0].sum() == 400
    urns.take_back(0, cells)
    np.testing.assert_array_equal(urns.cumulative[0], before)
    assert urns.pending[0].sum() == 0
    assert ranks_of(urns, np.full(10, 3.0)).min() > 0.99


@pytest.mark.parametrize("size", [50, LATE - 150, LATE - 1, LATE, 12_000])
def test_ranks_are_known_again_by_their_cells(size: int) -> None:
    rng = np.random.default_rng(15)
    urns = urn_of(np.round(rng.normal(size=size) * 8) / 8)
    ranks, cells = ranked(urns, np.round(rng.normal(size=300) * 8) / 8 + 0.5)
    assert urns.state(0).ranks_of_last(cells).tolist() == ranks.tolist()
    assert urns.state(0).ranks_of_last(cells[-7:]).tolist() == ranks[-7:].tolist()


def test_ranks_before_a_block_was_counted_are_known_nearly() -> None:
    rng = np.random.default_rng(16)
    urns = urn_of(rng.normal(size=LATE))
    ranks, cells = ranked(urns, rng.normal(size=2_100))
    found = urns.state(0).ranks_of_last(cells[-300:])
    assert found[-100:].tolist() == ranks[-100:].tolist()
    assert found.tolist() != ranks[-300:].tolist()
    np.testing.assert_allclose(found, ranks[-300:], atol=0.01)


def test_cells_are_those_that_ranks_were_of() -> None:
    values = np.random.default_rng(17).normal(size=200)
    values[::9] = np.nan
    urns = urn_of(values[:100][~np.isnan(values[:100])])
    _, cells = ranked(urns, values)
    assert urns.cells_of(0, values).tolist() == cells.tolist()
    assert (cells[::9] == NOTHING).all()


def test_a_value_that_repeats_has_a_cell_of_its_own() -> None:
    urns = urn_of(np.repeat([0.0, 1.0, 2.0], 100))
    values = np.array([-0.1, 0.0, 0.1, 1.0, 1.1, 2.0, 2.1])
    assert urns.cells_of(0, values).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_what_lies_outside_of_all_borders_is_known_as_that() -> None:
    reference = np.random.default_rng(1).normal(size=2_000)
    urns = urn_of(reference)
    ranks, cells = ranked(urns, np.array([-9.0, 0.0, reference.max(), 7.0, -0.5, 1e300]))
    tails = urns.state(0).tails(cells)
    assert tails.below.tolist() == [True, False, False, False, False, False]
    assert tails.above.tolist() == [False, False, True, True, False, True]
    assert 0 < tails.low < 0.003
    assert 0.997 < tails.high < 1
    assert ranks[0] < tails.low
    assert (ranks[[2, 3, 5]] > tails.high - 1e-3).all()
    assert tails.last(3).above.tolist() == [True, False, True]


def test_all_that_a_constant_is_not_lies_outside() -> None:
    urns = urn_of(np.full(500, 3.0))
    _, cells = ranked(urns, np.array([3.0, 2.0, 4.0]))
    tails = urns.state(0).tails(cells)
    assert tails.below.tolist() == [False, True, False]
    assert tails.above.tolist() == [False, False, True]


def test_counts_are_restored_as_they_were() -> None:
    counts = Counts.of(np.round(np.random.default_rng(13).normal(size=800) * 4) / 4)
    again = Counts.restore(counts.snapshot())
    np.testing.assert_array_equal(again.borders, counts.borders)
    np.testing.assert_array_equal(again.cumulative, counts.cumulative)


def test_borders_of_many_equal_values_fit() -> None:
    rng = np.random.default_rng(14)
    for levels in (1, 2, 10, 30, 45, 60, 200):
        counts = Counts.of(rng.integers(0, levels, 5_000).astype(float))
        assert len(counts.borders) <= BORDERS
        assert (np.diff(counts.cumulative) >= 0).all()
        assert counts.cumulative[-1] in (5_001, 5_002)
    assert len(QUANTILES) == BORDERS
    assert (np.diff(QUANTILES) > 0).all()


def test_bytes_of_a_slot() -> None:
    urns = Urns(100)
    size = sum(array.nbytes for array in urns.snapshot().values() if isinstance(array, np.ndarray))
    assert size <= 100 * 380
    assert size + urns.borders.nbytes + urns.scales.nbytes <= 100 * 610


def test_ties_are_the_ranks_between_which_a_coin_chose() -> None:
    values = np.where(np.random.default_rng(1).random(1_000) < 0.7, 2.0, 5.0)
    urns = Urns(1)
    urns.learn(0, Counts.of(values), 3)
    assert urns.tied.tolist() == [True]
    ranks, ties = np.array([[5.0, 2.0, 2.0, np.nan, 1.0]]), np.full((1, 5, 2), np.nan)
    urns.rank(ONE, ONE, NOW, ranks, np.empty((1, 5), dtype=np.uint16), ties)
    low, high = ties[0].T
    share = np.count_nonzero(values == 2.0) / 1_001
    assert high[1:3] - low[1:3] == pytest.approx(share, abs=2e-3)
    assert (low[1:3] <= ranks[0, 1:3]).all()
    assert (ranks[0, 1:3] < high[1:3]).all()
    assert ties[0, [0, 4]].tolist() == [[0, 0], [0, 0]]
    assert np.isnan(ties[0, 3]).all()


def test_values_of_which_none_is_common_have_no_ties() -> None:
    random = np.random.default_rng(2)
    for values in (random.normal(size=500), random.integers(0, 3, 500).astype(np.float64)):
        urns = Urns(1)
        urns.learn(0, Counts.of(values), 3)
        assert urns.tied.tolist() == [False]
        ties, cells = np.full((1, 2, 2), np.nan), np.empty((1, 2), dtype=np.uint16)
        urns.rank(ONE, ONE, NOW, np.array([[0.0, 1.0]]), cells, ties)
        assert ties.tolist() == [[[0, 0], [0, 0]]]
