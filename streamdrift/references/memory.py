"""How a signal's past predicts its next value, and how past deviations predict their size."""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats
from streamdrift.references.least_squares import cross_products, fit_chosen, rest_of, solve
from streamdrift.references.tracking import (
    AVERAGES,
    LARGEST_SIZE,
    LEAST_USUAL,
    MOST_USUAL,
    SIZE_AVERAGES,
)

LAGS = 12
"""The most past values whose weights are fitted one by one."""
_WANDERS = 0.5
"""Weights that sum to less than this do not make a wandering level."""
_FORCED = 15.0
"""What a wandering level may cost in log-likelihood against a level that is kept."""
_SIZE_SHARE = 0.98
"""The most that past deviations decide of the expected size: it returns to its usual."""


@dataclass(frozen=True)
class Memory:
    """Weights of the past.

    `lags` float64[p] of the last values, the latest first; `averages` float64[4], or float64[0]
    where none helps; `deviation` the standard deviation of what they leave. `wanders` where the
    weights sum to 1: the past says where the signal is, and no level is kept. `gain` is twice
    the log-likelihood ratio to no memory.
    """

    lags: Floats
    averages: Floats
    deviation: float
    wanders: bool
    gain: float

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self.lags.sum() + self.averages.sum())


@kernel
def _past(values: Floats, constants: tuple[float, ...], start: Floats, out: Floats) -> None:
    """Write the exponential averages of all values before each, to float64[k, n]."""
    averages = start.copy()
    for i in range(len(values)):
        # One after the other they would wait for each other's divisions.
        for k in range(len(constants)):
            out[k, i] = averages[k]
            averages[k] += (values[i] - averages[k]) / constants[k]


def first_averages(values: Floats) -> Floats:
    """Return where the averages of a reference begin: at the mean of its first values."""
    return np.array([values[: int(constant)].mean() for constant in AVERAGES])


def fit_memory(values: Floats, slow: bool = True) -> Memory:
    """Fit memory to float64[n], n >= 100, by least squares.

    The number of lags is the one of least BIC (Schwarz, Estimating the dimension of a model,
    1978); an average of the past is added where it gains twice as much as a parameter costs;
    without `slow` none is tried.
    """
    size, most = len(values), min(LAGS, len(values) // 50)
    rows = np.zeros((LAGS + len(AVERAGES) + 1, size))
    for lag in range(1, most + 1):
        rows[lag - 1, lag:] = values[:-lag]
    _past(values, AVERAGES, first_averages(values), rows[LAGS:-1])
    rows[-1] = values
    products = np.empty((len(rows), len(rows)))
    cross_products(rows, LAGS, products)
    kept, total = size - LAGS, len(rows) - 1
    price = math.log(kept)
    best, chosen = kept * math.log(max(products[total, total], 1e-300)), list[int]()
    plain = best
    if not products[total, total] > 1e-9 * kept:
        return Memory(np.empty(0), np.empty(0), 1.0, False, 0.0)
    for lags in range(1, most + 1):
        cost = _cost(products, list(range(lags)), kept)
        # One more than BIC asks for: with twelve orders to choose from some seem to help.
        if cost + price * lags + price / 2 < best + price * len(chosen) + price / 2 * bool(chosen):
            best, chosen = cost, list(range(lags))
    averages = [LAGS + j for j, constant in enumerate(AVERAGES) if slow and constant * 7 <= size]
    while averages:
        trials = [
            (_cost(products, [*chosen, one], kept), one) for one in averages if one not in chosen
        ]
        trials = [trial for trial in trials if (_weights(products, [*chosen, trial[1]])[-1] > 0)]
        if not trials or best - min(trials)[0] < 2 * price:
            break
        best, one = min(trials)
        chosen.append(one)
    return _finish(products, chosen, kept, plain - best)


def _weights(products: Floats, chosen: list[int]) -> Floats:
    return fit_chosen(products, np.array(chosen, dtype=np.int64))[0]


def _cost(products: Floats, chosen: list[int], kept: int) -> float:
    return kept * math.log(fit_chosen(products, np.array(chosen, dtype=np.int64))[1])


def _finish(products: Floats, chosen: list[int], kept: int, gain: float) -> Memory:
    """Return the memory of the chosen columns; force their sum to 1 where that costs little."""
    places = np.array(chosen, dtype=np.int64)
    weights, rest = fit_chosen(products, places)
    wanders = False
    if weights.sum() >= _WANDERS:
        block = products[np.ix_(chosen, chosen)]
        towards = solve(block, np.ones(len(chosen)))
        forced = weights + towards * ((1.0 - weights.sum()) / towards.sum())
        costs = kept / 2 * math.log(rest_of(products, places, forced) / rest)
        if costs < _FORCED:
            weights, wanders = forced, True
            rest = rest_of(products, places, forced)
    lags = sum(one < LAGS for one in chosen)
    averages = np.zeros(len(AVERAGES) if len(chosen) > lags else 0)
    for weight, one in zip(weights[lags:].tolist(), chosen[lags:], strict=True):
        averages[one - LAGS] = weight
    return Memory(weights[:lags].copy(), averages, math.sqrt(rest / kept), wanders, gain)


@dataclass(frozen=True)
class Clustering:
    """How the size of deviations follows from past ones.

    The expected size, in usual ones, is `base` + `weights` float64[4] times the averages of past
    sizes. `gain` is twice the log-likelihood ratio to one size for all, 0 where nothing clusters.
    """

    base: float
    weights: Floats
    gain: float


def fit_clustering(sizes: Floats) -> Clustering | None:
    """Fit float64[n], absolute deviations over their mean; None where size does not cluster.

    Least squares weighted by the expected size, in two rounds: large deviations are the least
    certain.
    """
    sizes = np.minimum(sizes, LARGEST_SIZE)
    size, count = len(sizes), len(SIZE_AVERAGES)
    rows = np.empty((count + 2, size))
    rows[0] = 1.0
    _past(sizes, SIZE_AVERAGES, np.ones(count), rows[1:-1])
    rows[-1] = sizes
    price = math.log(size)
    expected, chosen, gain = np.ones(size), list[int](), 0.0
    weights = np.zeros(0)
    for _ in range(2):
        products = np.empty((count + 2, count + 2))
        cross_products(rows / expected, 0, products)
        chosen, weights, gain = _choose_sizes(products, size, price)
        if not chosen:
            return None
        base = weights[0]
        expected = np.full(size, base)
        for weight, one in zip(weights[1:].tolist(), chosen, strict=True):
            expected = expected + weight * rows[one]
        expected = np.clip(expected, LEAST_USUAL, MOST_USUAL)
    found = np.zeros(count)
    for weight, one in zip(weights[1:].tolist(), chosen, strict=True):
        found[one - 1] = weight
    return Clustering(max(float(weights[0]), 0.0), found, gain)


def _choose_sizes(products: Floats, size: int, price: float) -> tuple[list[int], Floats, float]:
    """Add averages of positive weight while each gains twice what a parameter costs."""
    chosen = list[int]()
    best = plain = _cost(products, [0], size)
    while True:
        trials = [
            (_cost(products, [0, *chosen, one], size), one)
            for one in range(1, 1 + len(SIZE_AVERAGES))
            if one not in chosen and (_weights(products, [0, *chosen, one])[1:] > 0).all()
        ]
        if not trials or best - min(trials)[0] < 2 * price:
            break
        best, one = min(trials)
        chosen.append(one)
    weights = _weights(products, [0, *chosen])
    share = weights[1:].sum()
    if share > _SIZE_SHARE:
        weights[1:] *= _SIZE_SHARE / share
        weights[0] = 1.0 - _SIZE_SHARE
    return chosen, weights, plain - best
