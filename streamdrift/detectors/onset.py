"""Where a change began: which of a signal's last values are likeliest to be since it.

For each number of last values: how likely they are as those since a change, over how likely they
are under the reference. What the signal has become is not known, so it is a mixture: of the default
detector's alternatives for numbers, of Dirichlet priors around the reference's shares and around
equal ones, and of one cell alone that became commoner or rarer.

That such a ratio grows by a factor e^d over values of before the change has a chance of e^-d at
most, whatever the change is (Ville 1939): so little is needed towards later beginnings. Towards
earlier ones more is, as what raised an alarm looks larger than it is, and a rare thing that became
less rare begins before it is seen.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.mixture import BORDERS, CELL_OF, GRID, POWERED, WEIGHTS
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints, Stream

_LATER = 3.7
_EARLIER: Mapping[Stream, float] = {Stream.NUMERIC: 5.5, Stream.RATE: 7.0, Stream.CATEGORY: 7.0}
"""By how much the likelihood's logarithm falls from its greatest to the ends of an interval."""
_SHOWN = 5.5
"""Where its greatest is below the sums' logarithm by more, the last values do not show why."""
_MASSES: Floats = np.array([1.0, 10.0, 100.0, 1_000.0])
"""Values as which the shares of the reference count in what they have become."""
_MOST_LEVELS = 32
"""Levels told apart; of more, the rarer ones count as one."""
_NEW = 0.25
"""What levels that were never seen weigh among those that change alone."""
_SINGLE = 0.5
"""What all cells that change alone weigh, of what is no alternative of the default detector."""
_LEAST_WEIGHT = 1e-100
"""No alternative is ever out."""
_WIDTHS: Floats = np.diff(BORDERS)
_TABLES: Floats = POWERED.astype(np.float64)
_NO_TABLE: Floats = np.empty((0, 0))
_ALTERNATIVES: Floats = WEIGHTS.astype(np.float64)


class Span(NamedTuple):
    """How many of a signal's last values are since a change: at least, likeliest, at most.

    `mean` is the number on average, if the change could have begun with any value equally.
    """

    least: int
    likeliest: int
    most: int
    mean: int


def span_of(expected: Expected, scores: Floats, evidence: Evidence, there: int) -> Span:
    """Return how many values are since the change that the evidence is of, `there` at most.

    `scores` float64[n] are the last ones, as `gains` takes them. An interval that a detector
    without sums states stays. That of a detector with sums follows from the last values; where they
    do not show the change, or it may have begun before them, from the age of the sums as well.

    Measured at the alarms of 300 changes each, at a run length of 1e5, an interval holds the truth
    in 97 to 100 % of jumps (a rate from 0 to 1, all levels new, +10 sd), in 95 to 99 % of changes
    that take a few hundred values to be seen, or are discounted.
    """
    least, most = (min(each + 1, there) for each in (evidence.latest, evidence.earliest))
    age = min(evidence.age, there)
    if not len(scores):
        return Span(least, age, most, age)
    found = gains(expected, scores)
    if evidence.pace is None:
        inside = found[max(least, 1) - 1 : most]
        likeliest = least + int(np.argmax(inside)) if len(inside) else age
        return Span(least, likeliest, most, likeliest)
    likeliest = int(np.argmax(found)) + 1
    best = float(found[likeliest - 1])
    later = int(np.flatnonzero(found >= best - _LATER)[0]) + 1
    earlier = int(np.flatnonzero(found >= best - _EARLIER[expected.stream])[-1]) + 1
    shown = best >= math.log(max(evidence.statistic, 1.0)) - _SHOWN
    if len(found) == there or (shown and earlier < len(found)):
        weights = np.exp(found - best)
        mean = round(float(np.dot(weights, np.arange(1, len(found) + 1)) / weights.sum()))
        return Span(later, likeliest, earlier, mean)
    if shown:
        return Span(later, likeliest, max(earlier, most), age)
    return Span(min(later, least), age, max(earlier, most), age)


def gains(expected: Expected, scores: Floats) -> Floats:
    """Return how likely each of the last values is to be the first since a change.

    float64[n], the latest value first: logarithms, up to a constant. `scores` float64[n] are a
    numeric signal's ranks, a rate's 0 and 1, a category's levels by their places in
    `expected.counts`; the latest is the last.
    """
    exponent = 2 ** (-expected.power / 6)
    if expected.stream is Stream.NUMERIC:
        cells = CELL_OF[np.clip((scores * GRID).astype(np.int64), 0, GRID - 1)].astype(np.int64)
        table = _TABLES[expected.power]
        return _after(cells, _WIDTHS, table, _weights(len(_WIDTHS), _ALTERNATIVES), exponent)
    if expected.stream is Stream.RATE:
        counts, cells = expected.counts + 0.5, (scores > 0).astype(np.int64)
        weights = _weights(2)
    else:
        counts, cells = _levels(expected, scores)
        weights = _weights(len(counts))
        weights[-len(counts) :] *= 1 - _NEW
        weights[-1] += _NEW * _SINGLE
    after = _after(cells, counts / counts.sum(), _NO_TABLE, weights, exponent)
    before = _before(cells, counts, exponent)
    found: Floats = after + before
    return found


def _levels(expected: Expected, places: Floats) -> tuple[Floats, Ints]:
    """Return counts float64[m] of the commonest levels, all others and new ones, and the cells."""
    known = len(expected.counts)
    kept = np.argsort(-expected.counts, kind="stable")[:_MOST_LEVELS]
    cell_of = np.full(known + 1, len(kept))
    cell_of[kept], cell_of[known] = np.arange(len(kept)), len(kept) + 1
    new = 0.5 if expected.closed else max(0.5, float((expected.counts == 1).sum()))
    common = expected.counts[kept]
    rest = max(float(expected.counts.sum() - common.sum()), 0.5)
    return np.concatenate([common, [rest, new]]), cell_of[
        np.minimum(places, known).astype(np.int64)
    ]


def _weights(cells: int, alternatives: Floats | None = None) -> Floats:
    """Return what alternatives, priors of all cells, and each cell alone count; together 1."""
    priors = len(_MASSES) + 1
    found = np.concatenate(
        [np.full(priors, (1 - _SINGLE) / priors), np.full(cells, _SINGLE / cells)]
    )
    if alternatives is None:
        return found
    return np.concatenate([alternatives / 2, found / 2])


@kernel
def _after(cells: Ints, shares: Floats, table: Floats, weights: Floats, exponent: float) -> Floats:
    """Return the logarithm of the mixture's ratio to the reference over each number of last values.

    `table` float64[cells, a] are the ratios of alternatives.
    """
    size, alternatives = len(shares), table.shape[1]
    masses, priors = np.append(_MASSES, size / 2), np.empty((len(_MASSES) + 1, size))
    for each in range(len(masses)):
        for cell in range(size):
            share = shares[cell] if each < len(_MASSES) else 1.0 / size
            priors[each, cell] = masses[each] * share
    seen, found = np.zeros(size), np.empty(len(cells))
    own, factors = weights.copy(), np.empty(len(weights))
    first = alternatives + len(masses)
    gained = 0.0
    for back in range(len(cells)):
        cell = cells[len(cells) - 1 - back]
        factors[:alternatives] = table[cell]
        for each in range(len(masses)):
            likely = (priors[each, cell] + seen[cell]) / (masses[each] + back)
            factors[alternatives + each] = likely / shares[cell]
        for other in range(size):
            share = shares[other]
            factors[first + other] = (back + 0.5 - seen[other]) / ((back + 1.0) * (1.0 - share))
        factors[first + cell] = (seen[cell] + 0.5) / ((back + 1.0) * shares[cell])
        if exponent < 1.0:
            # The table has it.
            for each in range(alternatives, len(factors)):
                factors[each] **= exponent
        total = 0.0
        for each in range(len(own)):
            own[each] *= factors[each]
            total += own[each]
        for each in range(len(own)):
            own[each] = max(own[each] / total, _LEAST_WEIGHT)
        gained += np.log(total)
        found[back] = gained
        seen[cell] += 1.0
    return found


@kernel
def _before(cells: Ints, counts: Floats, exponent: float) -> Floats:
    """Return what the values before each number of last ones add to its likelihood.

    The shares before the change are known as well as the `counts` are many, and those before it.
    """
    own, total, size = counts.copy(), counts.sum(), counts.sum()
    sums = np.zeros(len(cells) + 1)
    for place in range(len(cells)):
        cell = cells[place]
        ratio = own[cell] / total * (size / counts[cell])
        sums[place + 1] = sums[place] + exponent * np.log(ratio)
        own[cell] += 1.0
        total += 1.0
    return sums[-2::-1].copy()
