"""The table of alternatives: every factor an e-value, and the kernels that use it."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from streamdrift.detectors.mixture import (
    BORDERS,
    CELL_OF,
    DIVERGENCES,
    FACTORS,
    FORMS,
    GRID,
    POWERED,
    POWERS,
    WEIGHTS,
    Form,
    step,
    total,
    totals,
)

WIDTHS = np.diff(BORDERS)


def test_cells_cover_all_ranks_and_mirror_each_other() -> None:
    assert BORDERS[0] == 0
    assert BORDERS[-1] == 1
    assert (WIDTHS > 0).all()
    np.testing.assert_array_equal(BORDERS + BORDERS[::-1], 1)
    np.testing.assert_array_equal(BORDERS * GRID, np.round(BORDERS * GRID))


def test_every_place_of_the_grid_lies_in_its_cell() -> None:
    places = np.arange(GRID) / GRID
    assert (BORDERS[CELL_OF] <= places).all()
    assert (places < BORDERS[CELL_OF + 1]).all()
    assert np.bincount(CELL_OF).tolist() == (WIDTHS * GRID).astype(int).tolist()


def test_weights_are_a_distribution() -> None:
    assert WEIGHTS.shape == (32,)
    assert (WEIGHTS > 0).all()
    assert WEIGHTS.astype(np.float64).sum() == pytest.approx(1, abs=1e-6)


def test_the_mean_of_every_factor_under_uniform_ranks_is_one() -> None:
    means = WIDTHS @ FACTORS.astype(np.float64)
    np.testing.assert_allclose(means, 1, atol=1e-7)
    assert (FACTORS > 0).all()


def test_powers_keep_the_mean_at_most_one_and_ever_less_is_said() -> None:
    assert POWERED.shape == (POWERS, 64, 32)
    np.testing.assert_array_equal(POWERED[0], FACTORS)
    for k in range(POWERS):
        expected = FACTORS.astype(np.float64) ** 2 ** (-k / 6)
        np.testing.assert_allclose(POWERED[k], expected, rtol=1e-6)
    means = np.einsum("c,kcj->kj", WIDTHS, POWERED.astype(np.float64))
    assert (means <= 1 + 1e-7).all()
    assert (np.abs(np.log(POWERED[-1])) <= 0.04 * np.abs(np.log(FACTORS)) + 1e-6).all()


def test_divergences_are_those_of_the_shifts() -> None:
    levels = [place for place, form in enumerate(FORMS) if form is Form.LEVEL]
    found = np.sort(DIVERGENCES[levels])
    sizes = np.repeat([0.125, 0.25, 0.5, 1.0, 2.0], 2)
    # Cells lose a little: more of larger shifts, whose densities bend more within a cell.
    np.testing.assert_allclose(found, sizes**2 / 2, rtol=0.03)
    assert (found <= sizes**2 / 2).all()
    assert (DIVERGENCES > 0.003).all()


def test_two_humps_that_are_barely_apart_are_bet_on() -> None:
    # Of the same mean and standard deviation as the normal distribution.
    normal, width = NormalDist(), math.sqrt(1 - 0.7**2)
    scores = [normal.inv_cdf(u) for u in BORDERS[1:-1].tolist()]
    below = [(normal.cdf((z - 0.7) / width) + normal.cdf((z + 0.7) / width)) / 2 for z in scores]
    masses = np.diff([0.0, *below, 1.0])
    best = float((masses * np.log(masses / WIDTHS)).sum())
    assert best == pytest.approx(0.0087, abs=0.0001)
    growth = masses @ np.log(FACTORS.astype(np.float64))
    assert growth.max() > 0.95 * best


def test_alternatives_come_in_mirrored_pairs_or_are_their_own_mirror() -> None:
    mirrored = FACTORS[::-1].astype(np.float64)
    for place in range(32):
        gaps = np.abs(np.log(mirrored) - np.log(FACTORS[:, place : place + 1])).max(axis=0)
        partner = int(np.argmin(gaps))
        assert gaps[partner] < 1e-4
        assert WEIGHTS[partner] == WEIGHTS[place]


@pytest.mark.parametrize("u", [0.0, 0.2, 0.5, 0.999_99, 1.0])
def test_a_step_multiplies_what_could_have_begun(u: float) -> None:
    sums = np.linspace(0, 3, 32).astype(np.float32)
    cell = min(int(np.searchsorted(BORDERS, u, side="right")) - 1, 63)
    expected = (sums + WEIGHTS) * FACTORS[cell]
    found = step(sums, FACTORS, WEIGHTS, u)
    np.testing.assert_array_equal(sums, expected)
    assert found == pytest.approx(expected.sum(), rel=1e-6)


def test_totals_are_the_same_bits_alone_and_in_rows() -> None:
    rows = np.random.default_rng(1).lognormal(sigma=5, size=(50, 32)).astype(np.float32)
    assert totals(rows).tolist() == [total(row) for row in rows]
    np.testing.assert_allclose(totals(rows), rows.astype(np.float64).sum(axis=1), rtol=1e-5)
