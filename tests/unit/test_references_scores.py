"""Normal scores stand for ranks, whatever the values are."""

from statistics import NormalDist

import numpy as np
import pytest

from streamdrift.references.scores import BEYOND, KNOTS, fit_scores, normal_scores, scores_of


def test_quantiles_are_those_of_the_normal_distribution() -> None:
    shares = np.concatenate(([1e-15, 1e-9], np.linspace(1e-4, 1 - 1e-4, 999), [1 - 1e-9]))
    exact = [NormalDist().inv_cdf(share) for share in shares.tolist()]
    assert np.abs(normal_scores(shares) - exact).max() < 1e-6


@pytest.mark.parametrize("shape", [np.exp, np.tan, np.sign, lambda z: z * 1e300, lambda z: z])
def test_scores_rise_with_values_and_are_nearly_normal(shape: np.ufunc) -> None:
    values = np.asarray(shape(np.random.default_rng(1).standard_normal(5_000)))
    scores = scores_of(values, *fit_scores(np.sort(values)))
    order = np.argsort(values, kind="stable")
    assert (np.diff(scores[order]) >= 0).all()
    assert abs(scores.mean()) < 0.02
    assert np.isfinite(scores).all()


def test_equal_values_share_the_middle_of_their_ranks() -> None:
    knots, scores = fit_scores(np.array([1.0, 1.0, 1.0, 2.0]))
    assert knots.tolist() == [1.0, 2.0]
    assert np.allclose(scores, [NormalDist().inv_cdf(3 / 8), NormalDist().inv_cdf(7 / 8)])


def test_rare_values_among_few_have_a_knot_of_their_own() -> None:
    ordered = np.repeat([0.0, 1.0, 2.0, 3.0], [4_000, 1, 1, 4_000])
    knots, _ = fit_scores(ordered)
    assert knots.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_scores_leave_the_references_range_a_little() -> None:
    values = np.random.default_rng(2).standard_normal(1_000)
    knots, scores = fit_scores(np.sort(values))
    assert len(knots) <= KNOTS
    far = scores_of(np.array([-1e300, 1e300]), knots, scores)
    assert far.tolist() == [scores[0] - BEYOND, scores[-1] + BEYOND]
