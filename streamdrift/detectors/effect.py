"""How large a change is: a shift, a ratio of spread, a total variation, each with an interval."""

import math
from statistics import NormalDist

import numpy as np

from streamdrift.changes import Effect, Estimate
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.onset import Span
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Stream
from streamdrift.references.chances import chances_of, flags_of
from streamdrift.references.urn import Tails

_SHIFT, _SPREAD, _RATE, _VARIATION = 2.9, 2.5, 2.8, 1.45
"""How many standard errors intervals reach, of a shift, a logarithm of a spread and a rate; and how
far that of a variation does, over the root of the number of values. More than the 1.96 of values
that nobody chose: those since an alarm are the ones that raised it, and where they begin is not
known."""
_LEAST = 5
"""Values inside the reference from which on it is told how far others are outside."""
_UNTOLD = 3.0
"""How much less values tell of the spread than two each, by the part of them in the tails."""
_PRIOR = 2.0
"""Values as which the reference's spread counts."""
_MOST_BINS = 16
_PER_BIN = 8
"""Bins of ranks that are compared, and how many ranks each needs."""
_EDGE = 1e-9
"""The least part of all ranks that a tail is."""
_ROUNDS, _CLOSE = 500, 1e-4
"""Steps at most of what is fitted, and how small the last one is."""
_SMALL = 1e-300
_GRID = 8_192
_normal = NormalDist()
_SCORES: Floats = np.array([_normal.inv_cdf((place + 0.5) / _GRID) for place in range(_GRID)])
"""The normal score of each place on a grid of ranks."""
_NONE = Estimate(0.0, 0.0, 0.0)
_SAME = Estimate(1.0, 1.0, 1.0)


def effect_of(expected: Expected, scores: Floats, span: Span, tails: Tails | None = None) -> Effect:
    """Return how far a signal is from its reference since its change.

    `scores` float64[n] are its last ones: of a numeric signal its ranks, of a rate 0 and 1, or the
    middles where these have chances, of a category the levels' places, as in `expected.counts`;
    `span` says how many are since. Of ranks in `tails` it is only known that they are there: where
    hardly any is not, a shift or a spread is at least what is said, and its interval has no end.

    Intervals are to hold the truth with 95 %; they are wider where the evidence of the signal
    is discounted.
    """
    if not len(scores):
        return Effect(_NONE, _SAME, _NONE)
    widening = 2 ** (expected.power / 12)
    if expected.stream is Stream.RATE:
        return _of_rate(expected, scores, span, widening)
    since = scores[-span.likeliest :]
    if expected.stream is Stream.CATEGORY:
        return _of_category(expected.counts, since)
    tails = Tails.none(len(since)) if tails is None else tails.last(len(since))
    return _of_ranks(since, tails, widening)


def _of_ranks(ranks: Floats, tails: Tails, widening: float) -> Effect:
    """Compare ranks with uniform ones: as normal scores, and bin by bin."""
    size = len(ranks)
    shift, spread = _moments(ranks, tails, widening)
    bins = max(2, min(_MOST_BINS, size // _PER_BIN))
    places = np.minimum((ranks * bins).astype(np.int64), bins - 1)
    shares = np.bincount(places, minlength=bins) / size
    found = _variation(shares, np.full(bins, 1 / bins), size, widening)
    value = max(found, _between_normals(shift.value, spread.value))
    return Effect(shift, spread, _variation_about(value, size, widening))


def _moments(ranks: Floats, tails: Tails, widening: float) -> tuple[Estimate, Estimate]:
    """Return the shift and the spread of ranks as normal scores."""
    inner = ~(tails.below | tails.above)
    low, high = (
        _normal.inv_cdf(min(max(end, _EDGE), 1 - _EDGE)) for end in (tails.low, tails.high)
    )
    below, above = int(tails.below.sum()), int(tails.above.sum())
    scores = _SCORES[np.clip((ranks[inner] * _GRID).astype(np.int64), 0, _GRID - 1)]
    if not len(scores):
        return _all_in_tails(low, high, below, above, widening)
    mean, deviation = _fit(scores, low, high, below, above)
    # How far outside of what is known the middle lies, and what the errors are of those inside.
    outside = max(0.0, mean - high, low - mean) if below + above else 0.0
    errors = widening / math.sqrt(len(scores))
    reach = _SHIFT * max(deviation, 0.05)
    inward = reach * widening / math.sqrt(len(ranks)) + outside * min(1.0, _SHIFT * errors)
    # A few values do not tell how the tails go on.
    unknown = math.inf if len(scores) < _LEAST and below + above else 0.0
    errors *= 1 + outside / deviation
    outward = reach * errors + unknown
    shift = Estimate(
        mean, mean - (outward if below else inward), mean + (outward if above else inward)
    )
    # Of values in tails only their number tells of the spread.
    told = max(1.0, 2 - _UNTOLD * (below + above) / len(ranks))
    factor = math.exp(_SPREAD * errors / math.sqrt(told))
    return shift, Estimate(deviation, deviation / factor, deviation * factor + unknown)


def _all_in_tails(
    low: float, high: float, below: int, above: int, widening: float
) -> tuple[Estimate, Estimate]:
    """Return shift and spread of so many values outside of what is known: the least they may be."""
    if below and above:
        return Estimate(0.0, -math.inf, math.inf), Estimate(high - low, 1.0, math.inf)
    reach = _SHIFT * widening / math.sqrt(below + above)
    spread = Estimate(1.0, 0.0, math.inf)
    if above:
        return Estimate(high, high - reach, math.inf), spread
    return Estimate(low, -math.inf, low + reach), spread


@kernel
def _fit(scores: Floats, low: float, high: float, below: int, above: int) -> tuple[float, float]:
    """Return the likeliest mean and deviation of scores, and of so many below and above all known.

    By expectation and maximisation (Dempster, Laird, Rubin 1977).
    """
    known, square = scores.sum(), (scores**2).sum()
    size = len(scores) + below + above
    mean, variance = 0.0, 1.0
    for _ in range(_ROUNDS):
        deviation = math.sqrt(variance)
        sums, squares = known, square
        for each in range(2):
            count, sign, end = (below, -1.0, low) if each == 0 else (above, 1.0, high)
            if count:
                # Of what lies beyond the end, as if that were an upper one.
                middle, border = sign * mean, sign * end
                place = (border - middle) / deviation
                chance = max(0.5 * math.erfc(place / math.sqrt(2)), _SMALL)
                hazard = math.exp(-0.5 * place**2) / (math.sqrt(2 * math.pi) * chance)
                sums += count * sign * (middle + deviation * hazard)
                squares += count * (middle**2 + variance + deviation * hazard * (middle + border))
        former = mean
        mean = sums / size
        variance = (max(squares - size * mean**2, 0.0) + _PRIOR) / (size + _PRIOR)
        if abs(mean - former) < _CLOSE and abs(math.sqrt(variance) - deviation) < _CLOSE:
            break
    return mean, math.sqrt(variance)


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


def _of_rate(expected: Expected, scores: Floats, span: Span, widening: float) -> Effect:
    """Compare rates, in standard deviations of the reference.

    The rate since the likeliest beginning is the one that differs most; that since the mean one is
    closer to the truth where the change is slight. Intervals hold those of both.
    """
    usual = expected.mean
    if expected.chances is not None:
        # Of the values since: at another hour others were to be expected.
        usual = float(chances_of(scores[-span.mean :]).mean())
        scores = flags_of(scores)
    spans = [scores[-count:] for count in (span.mean, span.likeliest)]
    rate = float(spans[0].mean())
    ends = [_wilson(float(each.mean()), len(each), _RATE * widening) for each in spans]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    shift = Estimate(*((each - usual) / expected.scale for each in (rate, low, high)))
    # The reference's own rate is known as well as it is long.
    known = float(expected.counts.sum())
    before = usual if expected.chances is not None else expected.ones
    lowest, highest = _wilson(before, known, _RATE) if known else (0.0, 1.0)
    least, most = max(0.0, low - highest, lowest - high), max(high - lowest, highest - low)
    return Effect(shift, _SAME, Estimate(abs(rate - usual), least, most))


def _wilson(rate: float, size: float, errors: float) -> tuple[float, float]:
    """Return the interval of a rate that reaches so many standard errors (Wilson 1927)."""
    middle = (rate + errors**2 / (2 * size)) / (1 + errors**2 / size)
    error = math.sqrt(rate * (1 - rate) / size + errors**2 / (4 * size**2))
    reach = errors * error / (1 + errors**2 / size)
    return max(0.0, min(rate, middle - reach)), min(1.0, max(rate, middle + reach))


def _of_category(counts: Floats, places: Floats) -> Effect:
    """Compare the shares of levels; those that were never seen count as one."""
    known, size = len(counts), len(places)
    shares = counts / max(float(counts.sum()), 1.0)
    there = np.bincount(np.minimum(places, known).astype(np.int64), minlength=known + 1)[:known]
    # Levels too rare to compare are one: rare both before and since.
    order = np.argsort(-(shares + there / size), kind="stable")
    kept = order[: max(1, min(known, size // _PER_BIN))]
    group = np.full(known + 1, len(kept))
    group[kept], group[known] = np.arange(len(kept)), len(kept) + 1
    before = np.concatenate([shares[kept], [np.delete(shares, kept).sum(), 0.0]])
    found = group[np.minimum(places.astype(np.int64), known)]
    after = np.bincount(found, minlength=len(before)) / size
    value = _variation(after, before, size, 1.0)
    return Effect(_NONE, _SAME, _variation_about(value, size, 1.0))


def _variation(after: Floats, before: Floats, size: int, widening: float) -> float:
    """Return the total variation of shares, less what chance alone makes of it."""
    found = float(np.abs(after - before).sum()) / 2
    noise = float(np.sqrt(before * (1 - before) / size).sum()) * widening / math.sqrt(2 * math.pi)
    return math.sqrt(max(found**2 - noise**2, 0.0))


def _variation_about(value: float, size: int, widening: float) -> Estimate:
    reach = _VARIATION * widening / math.sqrt(size)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))
