"""How large a change is: a shift, a ratio of spread, a total variation, each with an interval."""

import math
from statistics import NormalDist

import numpy as np

from streamdrift.detectors.bank import Expected
from streamdrift.records import Effect, Estimate, Floats, Stream

_Z = 1.959964
"""A normal variable lies within so many standard deviations of its mean with 95 %."""
_MOST_BINS = 16
_PER_BIN = 8
"""Bins of ranks that are compared, and how many ranks each needs."""
_GRID = 8_192
_normal = NormalDist()
_SCORES: Floats = np.array([_normal.inv_cdf((place + 0.5) / _GRID) for place in range(_GRID)])
"""The normal score of each place on a grid of ranks."""
_NONE = Estimate(0.0, 0.0, 0.0)
_SAME = Estimate(1.0, 1.0, 1.0)


def effect_of(expected: Expected, scores: Floats) -> Effect:
    """Return how far the scores float64[n] of a signal since its change are from its reference.

    The scores of a numeric signal are its ranks, of a rate 0 and 1, of a category the levels'
    places, as in `expected.counts`. Intervals hold the truth with about 95 %; they are wider
    where the evidence of the signal is discounted.
    """
    if not len(scores):
        return Effect(_NONE, _SAME, _NONE)
    if expected.stream is Stream.RATE:
        return _of_rate(expected, scores)
    if expected.stream is Stream.CATEGORY:
        return _of_category(expected.counts, scores)
    return _of_ranks(scores, 2 ** (expected.power / 12))


def _of_ranks(ranks: Floats, widening: float) -> Effect:
    """Compare ranks with uniform ones: as normal scores, and bin by bin."""
    size = len(ranks)
    scores = _SCORES[np.clip((ranks * _GRID).astype(np.int64), 0, _GRID - 1)]
    deviation = float(scores.std(ddof=1)) if size > 1 else 1.0
    shift = _about(float(scores.mean()), _Z * widening * max(deviation, 0.05) / math.sqrt(size))
    ratio = max(deviation, 1e-3)
    # The error of a logarithm of a standard deviation of about normal scores.
    factor = math.exp(_Z * widening / math.sqrt(2 * max(size - 1, 1)))
    spread = Estimate(ratio, ratio / factor, ratio * factor)
    bins = max(2, min(_MOST_BINS, size // _PER_BIN))
    shares = np.bincount(np.minimum((ranks * bins).astype(np.int64), bins - 1), minlength=bins)
    variation = _variation(shares / size, np.full(bins, 1 / bins), size, widening)
    return Effect(shift, spread, variation)


def _of_rate(expected: Expected, values: Floats) -> Effect:
    """Compare rates: the interval is Wilson's (1927), in standard deviations of the reference."""
    size, rate = len(values), float(values.mean())
    middle = (rate + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    reach = _Z * math.sqrt(rate * (1 - rate) / size + _Z**2 / (4 * size**2)) / (1 + _Z**2 / size)
    low, high = min(rate, middle - reach), max(rate, middle + reach)
    shift = Estimate(*((each - expected.mean) / expected.scale for each in (rate, low, high)))
    below, above = sorted((abs(low - expected.mean), abs(high - expected.mean)))
    crossing = low <= expected.mean <= high
    variation = Estimate(abs(rate - expected.mean), 0.0 if crossing else below, above)
    return Effect(shift, _SAME, variation)


def _of_category(counts: Floats, places: Floats) -> Effect:
    """Compare the shares of levels; those that were never seen count as one."""
    size, known = len(places), len(counts)
    found = np.bincount(np.minimum(places.astype(np.int64), known), minlength=known + 1)
    shares = np.append(counts, 0.0) / max(float(counts.sum()), 1.0)
    # Levels too rare to compare are one.
    order = np.argsort(-shares, kind="stable")
    kept = order[: max(1, min(known, size // _PER_BIN))]
    rest = np.setdiff1d(np.arange(known + 1), kept)
    before = np.append(shares[kept], shares[rest].sum())
    after = np.append(found[kept], found[rest].sum()) / size
    return Effect(_NONE, _SAME, _variation(after, before, size, 1.0))


def _variation(after: Floats, before: Floats, size: int, widening: float) -> Estimate:
    """Return the total variation of shares, less what chance alone makes of it."""
    found = float(np.abs(after - before).sum()) / 2
    noise = float(np.sqrt(before * (1 - before) / size).sum()) * widening / math.sqrt(2 * math.pi)
    value = math.sqrt(max(found**2 - noise**2, 0.0))
    reach = _Z * widening * 0.5 / math.sqrt(size)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def _about(value: float, reach: float) -> Estimate:
    return Estimate(value, value - reach, value + reach)
