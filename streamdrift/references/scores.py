"""Normal scores: a value's place in its reference, as a standard normal variable.

Cycles and memory are looked for in these scores, so that neither the unit of a signal nor its
tails matter.
"""

import math

import numpy as np

from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Floats

KNOTS = 32
"""Order statistics that a signal keeps for its scores."""
_OUTER = 2.9
"""The inner knots reach from the score -_OUTER to _OUTER; the others are minimum and maximum."""
BEYOND = 0.5
"""How far a score can leave the range that the reference had."""

# Wichura, Algorithm AS 241: the percentage points of the normal distribution, Applied
# Statistics 37 (1988): the seven-digit form, exact to 1e-7.
_MIDDLE = (3.3871327179, 50.434271938, 159.29113202, 59.109374720)
_MIDDLE_UNDER = (1.0, 17.895169469, 78.757757664, 67.187563600)
_NEAR = (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103)
_NEAR_UNDER = (1.0, 0.73700164250, 0.12021132975)
_FAR = (6.6579051150, 3.0812263860, 0.42868294337, 0.017337203997)
_FAR_UNDER = (1.0, 0.24197894225, 0.012258202635)


@kernel
def normal_score(probability: float) -> float:
    """Return the standard normal quantile of a probability above 0 and below 1."""
    q = probability - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        over = _MIDDLE[0] + r * (_MIDDLE[1] + r * (_MIDDLE[2] + r * _MIDDLE[3]))
        under = 1.0 + r * (_MIDDLE_UNDER[1] + r * (_MIDDLE_UNDER[2] + r * _MIDDLE_UNDER[3]))
        return q * over / under
    r = math.sqrt(-math.log(probability if q < 0.0 else 1.0 - probability))
    if r <= 5.0:
        r -= 1.6
        over = _NEAR[0] + r * (_NEAR[1] + r * (_NEAR[2] + r * _NEAR[3]))
        under = 1.0 + r * (_NEAR_UNDER[1] + r * _NEAR_UNDER[2])
    else:
        r -= 5.0
        over = _FAR[0] + r * (_FAR[1] + r * (_FAR[2] + r * _FAR[3]))
        under = 1.0 + r * (_FAR_UNDER[1] + r * _FAR_UNDER[2])
    return -over / under if q < 0.0 else over / under


@inlined
def score(value: float, knots: Floats, scores: Floats) -> float:
    """Return the normal score of a finite value, in a straight line between two knots.

    `knots` float64[m] rise, m >= 2, with their `scores` float64[m]; beyond them the last line
    goes on for at most BEYOND.
    """
    # Counting all knots is a vector loop: faster than a search, which branches.
    low = np.int32(0)
    last = len(knots) - 1
    for place in range(len(knots)):
        low += np.int32(knots[place] < value)
    left = min(max(int(low) - 1, 0), last - 1)
    slope = (scores[left + 1] - scores[left]) / (knots[left + 1] - knots[left])
    found = scores[left] + (value - knots[left]) * slope
    bounded: float = min(max(found, scores[0] - BEYOND), scores[last] + BEYOND)
    return bounded


@kernel
def _scores(values: Floats, knots: Floats, scores: Floats, out: Floats) -> None:
    for i in range(len(values)):
        out[i] = score(values[i], knots, scores)


@kernel
def _quantiles(probabilities: Floats, out: Floats) -> None:
    for i in range(len(probabilities)):
        out[i] = normal_score(probabilities[i])


def normal_scores(probabilities: Floats) -> Floats:
    """Return the standard normal quantiles of float64[n]."""
    out = np.empty(len(probabilities))
    _quantiles(probabilities, out)
    return out


def fit_scores(ordered: Floats) -> tuple[Floats, Floats]:
    """Return knots and their scores of the reference float64[n], finite, rising, n >= 1.

    A knot's score is that of the middle of the ranks its value holds, so a value that repeats
    has one score. As many knots as the reference has of distinct values, at most KNOTS; a
    reference with one distinct value has one knot.
    """
    size = len(ordered)
    inner = np.linspace(-_OUTER, _OUTER, KNOTS - 2)
    shares = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in inner.tolist()])
    places = np.concatenate(([0], (shares * size).astype(np.int64), [size - 1]))
    knots = np.unique(ordered[places])
    if len(knots) < KNOTS // 2:
        # Few distinct values: a rare one may lie between the quantiles.
        distinct = ordered[np.concatenate(([True], np.diff(ordered) > 0))]
        knots = distinct if len(distinct) <= KNOTS else knots
    below = np.searchsorted(ordered, knots, side="left")
    through = np.searchsorted(ordered, knots, side="right")
    return knots, normal_scores((below + through) / (2.0 * size))


def scores_of(values: Floats, knots: Floats, scores: Floats) -> Floats:
    """Return the scores of float64[n], all finite, under at least two knots."""
    out = np.empty(len(values))
    _scores(values, knots, scores, out)
    return out
