"""What counts of levels let expect: luck taken off, differences kept."""

import numpy as np
import pytest

from streamdrift.references.shares import cells_of


def test_levels_that_differ_by_chance_are_expected_equally_often() -> None:
    counts = np.sort(np.random.default_rng(1).multinomial(10_000, np.full(200, 1 / 200)))[::-1]
    cells = cells_of(counts.astype(float))
    assert counts[0] > 65
    # But for a few at the ends, of which nobody can tell.
    assert cells.counts[2:195] == pytest.approx(np.full(193, 50), rel=0.06)
    assert np.ptp(cells.groups[:195]) == 0
    assert cells.strengths[0] > 5


def test_levels_that_are_far_apart_keep_their_counts() -> None:
    counts = np.array([4_000.0, 2_500, 2_000, 1_000, 500])
    cells = cells_of(counts)
    assert cells.counts[:5] == pytest.approx(counts, rel=0.002)
    assert cells.groups.tolist() == [0, 1, 2, 3, 4, 5]
    assert cells.strengths.tolist() == [1, 1, 1, 1, 1, 1]


def test_rare_levels_beside_common_ones_are_not_drawn_to_them() -> None:
    shares = np.append(np.full(100, 0.009), np.full(100, 0.001))
    counts = np.random.default_rng(2).multinomial(10_000, shares)
    order = np.argsort(-counts, kind="stable")
    cells = cells_of(counts[order].astype(float))
    assert cells.counts[:200] == pytest.approx(10_000 * shares[order], rel=0.12)


def test_of_levels_that_are_seen_once_nearly_nothing_is_expected() -> None:
    cells = cells_of(np.ones(1_000))
    assert cells.counts[-1] == 1_000
    assert cells.counts[:-1].sum() == pytest.approx(1)


def test_a_category_without_levels_has_a_cell_for_new_ones() -> None:
    cells = cells_of(np.empty(0))
    assert (cells.counts.tolist(), cells.groups.tolist()) == ([1], [0])
    assert cells.strengths.tolist() == [1]
