"""How large a change is: a shift, a ratio of spread, a total variation, each with an interval."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.bank import Expected
from streamdrift.records import Effect, Estimate, Floats, Stream

_SHIFT, _SPREAD, _RATE, _VARIATION = 3.3, 2.75, 2.6, 1.45
"""How many standard errors intervals reach, of a shift, a spread and a rate; and how far that of a
variation does, over the root of the number of values. More than the 1.96 of values that nobody
chose: those since an alarm are the ones that raised it, and where they begin is not known."""
_LEAST_ROOT = 0.1
"""The least cube root of a quantile of a spread's square over its mean: of few values it is
negative."""
_LEAST = 3
"""Values from which on a shift and a spread are told apart."""
_RAREST = 1e-6
"""A rate, of 0s or of 1s, as which a smaller one counts."""
_PRIOR = 2.0
"""Values as which the reference's spread counts."""
_MOST_BINS = 16
_PER_BIN = 8
"""Bins of ranks that are compared, and how many ranks each needs."""
_GRID = 8_192
_normal = NormalDist()
_SCORES: Floats = np.array([_normal.inv_cdf((place + 0.5) / _GRID) for place in range(_GRID)])
"""The normal score of each place on a grid of ranks."""
_NONE = Estimate(0.0, 0.0, 0.0)
_SAME = Estimate(1.0, 1.0, 1.0)


class Span(NamedTuple):
    """How many of the last scores may be since a change: at least, most likely, at most."""

    least: int
    likeliest: int
    most: int


def effect_of(expected: Expected, scores: Floats, span: Span) -> Effect:
    """Return how far a signal is from its reference since its change.

    `scores` float64[n] are its last ones: of a numeric signal its ranks, of a rate 0 and 1, of a
    category the levels' places, as in `expected.counts`. Of numbers and categories the values
    since the change are those that make it the most likely one within the span.

    Intervals are to hold the truth with 95 %; they are wider where the evidence of the signal
    is discounted. Measured at the alarms of 400 changes each, at a run length of 1e5: shifts of
    0.25 to 2 in 92 to 96 %, spreads of 0.5 to 2 in 91 to 97 %, variations of numbers in 97 % and
    more, rates in 95 to 99 %, categories in 92 to 99 %.
    """
    if not len(scores):
        return Effect(_NONE, _SAME, _NONE)
    if expected.stream is Stream.RATE:
        values = scores[-_length_of_rate(expected.mean, scores, span) :]
        return _of_rate(expected, values, 2 ** (expected.power / 12))
    least = min(max(span.least, _LEAST), len(scores))
    most = min(max(span.most, least), len(scores))
    if expected.stream is Stream.CATEGORY:
        # Bets on levels that were never seen lose next to nothing on those that were before.
        least = min(max(span.least // 4, _LEAST), len(scores))
        return _of_category(expected.counts, scores, least, most)
    return _of_ranks(scores, least, most, 2 ** (expected.power / 12))


def _of_ranks(ranks: Floats, least: int, most: int, widening: float) -> Effect:
    """Compare ranks with uniform ones: as normal scores, and bin by bin."""
    scores = _SCORES[np.clip((ranks * _GRID).astype(np.int64), 0, _GRID - 1)]
    sizes = np.arange(1, len(scores) + 1)
    means = np.cumsum(scores[::-1]) / sizes
    squares = np.cumsum(scores[::-1] ** 2) - sizes * means**2
    variances = (np.maximum(squares, 0.0) + _PRIOR) / (sizes + _PRIOR)
    # The log likelihood ratio of the normal distribution with these moments.
    gains = sizes * (means**2 + variances - 1 - np.log(variances))
    size = least + int(np.argmax(gains[least - 1 : most]))
    mean, deviation = float(means[size - 1]), math.sqrt(variances[size - 1])
    reach = _SHIFT * widening * max(deviation, 0.05) / math.sqrt(size)
    spread = _spread_about(deviation, size, widening)
    bins = max(2, min(_MOST_BINS, size // _PER_BIN))
    places = np.minimum((ranks[-size:] * bins).astype(np.int64), bins - 1)
    shares = np.bincount(places, minlength=bins) / size
    found = _variation(shares, np.full(bins, 1 / bins), size, widening)
    value = max(found, _between_normals(mean, deviation))
    return Effect(_about(mean, reach), spread, _variation_about(value, size, widening))


def _spread_about(value: float, size: int, widening: float) -> Estimate:
    """Return a spread's interval by the quantiles of chi-square (Wilson and Hilferty 1931)."""
    part = 2 / (9 * size)
    reach = _SPREAD * widening * math.sqrt(part)
    low, high = 1 - part + reach, max(1 - part - reach, _LEAST_ROOT)
    return Estimate(value, value * low**-1.5, value * high**-1.5)


def _between_normals(mean: float, deviation: float) -> float:
    """Return the total variation of a normal distribution from the standard one."""
    if abs(deviation - 1) < 1e-3:
        return 2 * _normal.cdf(abs(mean) / 2) - 1
    # Where both densities are the same.
    curve = 1 - deviation**-2
    root = math.sqrt(mean**2 + 2 * (deviation**2 - 1) * math.log(deviation)) / deviation
    middle = -mean / deviation**2
    ends = sorted(((middle - root) / curve, (middle + root) / curve))
    inside = _normal.cdf(ends[1]) - _normal.cdf(ends[0])
    other = NormalDist(mean, deviation)
    return abs(inside - (other.cdf(ends[1]) - other.cdf(ends[0])))


def _length_of_rate(rate: float, values: Floats, span: Span) -> int:
    """Return how many of the last 0s and 1s are taken for those since a change from `rate`.

    Those that make the change the most likely one are too few: they were chosen for it. Those that
    the sums are of are too many where slight bets win on a large change. So the middle of both.
    """
    least = min(max(span.least, _LEAST), len(values))
    most = min(max(span.most, least), len(values))
    sizes = np.arange(1, len(values) + 1)
    ones = np.cumsum(values[::-1])
    gains = ones * np.log(np.maximum(ones, 1) / (sizes * max(rate, _RAREST)))
    zeros = sizes - ones
    gains += zeros * np.log(np.maximum(zeros, 1) / (sizes * max(1 - rate, _RAREST)))
    size = least + int(np.argmax(gains[least - 1 : most]))
    return max(1, round(math.sqrt(size * min(span.likeliest, len(values)))))


def _of_rate(expected: Expected, values: Floats, widening: float) -> Effect:
    """Compare rates: the interval is Wilson's (1927), in standard deviations of the reference."""
    size, rate = len(values), float(values.mean())
    errors = _RATE * widening
    middle = (rate + errors**2 / (2 * size)) / (1 + errors**2 / size)
    error = math.sqrt(rate * (1 - rate) / size + errors**2 / (4 * size**2))
    reach = errors * error / (1 + errors**2 / size)
    low, high = min(rate, middle - reach), max(rate, middle + reach)
    shift = Estimate(*((each - expected.mean) / expected.scale for each in (rate, low, high)))
    below, above = sorted((abs(low - expected.mean), abs(high - expected.mean)))
    crossing = low <= expected.mean <= high
    variation = Estimate(abs(rate - expected.mean), 0.0 if crossing else below, above)
    return Effect(shift, _SAME, variation)


def _of_category(counts: Floats, places: Floats, least: int, most: int) -> Effect:
    """Compare the shares of levels; those that were never seen count as one."""
    known = len(counts)
    shares = np.append(counts, 0.0) / max(float(counts.sum()), 1.0)
    # Levels too rare to compare are one.
    order = np.argsort(-shares, kind="stable")
    kept = order[: max(1, min(known, most // _PER_BIN))]
    group = np.full(known + 1, len(kept))
    group[kept] = np.arange(len(kept))
    before = np.append(shares[kept], np.delete(shares, kept).sum())
    found = group[np.minimum(places.astype(np.int64), known)]
    seen = np.cumsum(found[::-1, np.newaxis] == np.arange(len(before)), axis=0)
    sizes = np.arange(1, len(found) + 1)[:, np.newaxis]
    # The log likelihood ratio of these shares; the reference's own are known as well as it is long.
    smoothed = np.maximum(before, 0.5 / max(float(counts.sum()), 1.0))
    gains = (seen * np.log(np.maximum(seen, 1) / (sizes * smoothed))).sum(axis=1)
    size = least + int(np.argmax(gains[least - 1 : most]))
    value = _variation(seen[size - 1] / size, before, size, 1.0)
    return Effect(_NONE, _SAME, _variation_about(value, size, 1.0))


def _variation(after: Floats, before: Floats, size: int, widening: float) -> float:
    """Return the total variation of shares, less what chance alone makes of it."""
    found = float(np.abs(after - before).sum()) / 2
    noise = float(np.sqrt(before * (1 - before) / size).sum()) * widening / math.sqrt(2 * math.pi)
    return math.sqrt(max(found**2 - noise**2, 0.0))


def _variation_about(value: float, size: int, widening: float) -> Estimate:
    reach = _VARIATION * widening / math.sqrt(size)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def _about(value: float, reach: float) -> Estimate:
    return Estimate(value, value - reach, value + reach)
