"""How common the levels of a category are, from how often a reference saw each.

Of many levels those seen most often were lucky: whoever takes their counts as they are, and bets
on the commonest, expects too much of them. What a level seen c times lets expect is its mean under
the distribution of all levels' shares, which the counts tell themselves (Robbins, An empirical
Bayes approach to statistics, 1956): the mixture of Poisson distributions of greatest likelihood, of
counts from one on, found by EM (Laird, Nonparametric maximum likelihood estimation of a mixing
distribution, JASA 1978). Of few levels, far apart, it leaves the counts as they are; levels that
differ by no more than chance are expected equally often.

Levels that are about as common make a group. How much one of it is worth more than its own counts
is its strength: as if the reference were so many times as long. Who counts on would else take for
true what chance makes of the next values, and a memory of more of them would know it better.
"""

import math
from typing import NamedTuple

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bytes, Floats, Ints

MAX_CELLS = 256
"""Levels told apart, the last for those never seen; of more, the rarer ones count as one."""
_STEP = 0.25
"""Distance of possible means on the scale 2 sqrt(mean), on which counts have deviation 1."""
_REACH = 6.0
_ROUNDS = 200
_ALIKE = 1.0
"""How far apart levels of a group are, on that scale."""


class Cells(NamedTuple):
    """The cells of a category, commonest first, the last for levels that were never seen.

    `counts` float64[c] as which they are expected, `groups` uint8[c] the groups they are in,
    rising from 0, and `strengths` float64[groups].
    """

    counts: Floats
    groups: Bytes
    strengths: Floats


def cells_of(counts: Floats, closed: bool = False) -> Cells:
    """Return MAX_CELLS cells at most, from the counts of the levels, commonest first.

    The last cell counts as much as levels seen once (Good 1953), at least one; as one where
    `closed` says that none is ever new. The others have what is left.
    """
    new = 1.0 if closed else max(1.0, float((counts == 1).sum()))
    expected, errors = _expected(counts)
    if len(counts):
        expected *= max(float(counts.sum()) - new, 1.0) / expected.sum()
    kept = min(len(counts), MAX_CELLS - 2)
    groups = _grouped(expected[:kept])
    sizes = np.bincount(groups)
    unknown = np.bincount(groups, errors[:kept]) / np.maximum(sizes, 1)
    strengths = np.maximum(1.0 / (unknown + sizes**-0.5), 1.0)
    rest = [float(expected[kept:].sum())] if kept < len(counts) else []
    alone = len(rest) + 1
    return Cells(
        np.concatenate([expected[:kept], rest, [new]]),
        np.concatenate([groups, len(sizes) + np.arange(alone)]).astype(np.uint8),
        np.concatenate([strengths, np.ones(alone)]),
    )


def _expected(counts: Floats) -> tuple[Floats, Floats]:
    """Return means float64[k] behind counts, none 0, and their variances over the means."""
    distinct, places, often = np.unique(counts, return_inverse=True, return_counts=True)
    found = np.empty((2, len(distinct)))
    if len(distinct):
        _fit(distinct, often.astype(np.float64), found)
    return found[0][places], found[1][places]


def _grouped(expected: Floats) -> Ints:
    """Return the groups int64[k] of levels that are expected so often, falling."""
    groups = np.empty(len(expected), dtype=np.int64)
    group, first = -1, math.inf
    for place, each in enumerate((2.0 * np.sqrt(expected)).tolist()):
        if first - each > _ALIKE:
            group, first = group + 1, each
        groups[place] = group
    return groups


@kernel
def _fit(counts: Floats, often: Floats, found: Floats) -> None:
    """Write the mean behind each of the counts float64[d], rising, that so many levels have.

    `found` float64[2, d] takes their variances over the means, too.
    """
    size = int((2.0 * math.sqrt(counts[-1]) + _REACH) / _STEP) + 1
    wide = int(2.0 * _REACH / _STEP) + 1
    first = np.empty(len(counts), dtype=np.int64)
    chances = np.zeros((len(counts), wide))
    for row in range(len(counts)):
        count = counts[row]
        first[row] = max(int((2.0 * math.sqrt(count) - _REACH) / _STEP), 0)
        for each in range(min(wide, size - first[row])):
            mean = (0.5 * _STEP * (first[row] + each + 1)) ** 2
            likelihood = count * math.log(mean) - mean - math.lgamma(count + 1.0)
            chances[row, each] = math.exp(likelihood) / -math.expm1(-mean)
    weights = np.full(size, 1.0 / size)
    levels = often.sum()
    for _ in range(_ROUNDS):
        following = np.zeros(size)
        for row in range(len(counts)):
            total, first_moment, second = 0.0, 0.0, 0.0
            for each in range(min(wide, size - first[row])):
                place = first[row] + each
                mean = (0.5 * _STEP * (place + 1)) ** 2
                weight = weights[place] * chances[row, each]
                total += weight
                first_moment += weight * mean
                second += weight * mean * mean
            found[0, row] = first_moment / total
            found[1, row] = max(second / first_moment - first_moment / total, 0.0)
            for each in range(min(wide, size - first[row])):
                place = first[row] + each
                following[place] += weights[place] * chances[row, each] / total * often[row]
        weights = following / levels
