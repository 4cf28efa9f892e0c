"""From the levels of a reference to the memory that explains them best, if any does."""

import math

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints
from streamdrift.references.chain import LENGTHS, excess
from streamdrift.references.periods import period_of
from streamdrift.references.recall import (
    FRESH,
    PARTS,
    ROUND,
    SPANS,
    USUAL,
    Recall,
    move_on,
    parts_of,
)
from streamdrift.references.shares import cells_of

_MOST_STATES = 33
"""Cells of which each has usual followers."""
_LEAST, _MOST = 500, 20_000
"""Values below which no memory is looked for, and the most that are looked at."""
_CHANGES = 10
"""Values that differ from the last one, below which a reference has steps rather than a memory."""
_LEAST_FRESH = 1e-5
_ROUNDS, _STEPS = 6, 30
_GAIN = 8.0
"""Log-likelihood, beside half the logarithm of the size, that a part of the memory must gain."""
_CELLS = 12
"""Commonest cells that are looked at for what a memory leaves."""
_TELLING = 1.0
"""Sum of squares below which hardly any value told anything."""
_CLEAR, _CLEARER = 3.5, 5.0
"""Standard deviations by which the variance of sums may exceed that of independent values, where
there is a memory and where there is none."""
_PLACES, _STEP_GAIN = 32, 25.0
"""Places at which a step is looked for, and what log-likelihood shows one."""


@kernel
def _follow(
    cells: Ints,
    period: int,
    shares: Floats,
    averages: Floats,
    scales: Floats,
    moves: Floats,
    parts: Floats,
) -> int:
    """Write the chances of each of cells int64[n] to float64[n, PARTS]; return the last one."""
    last = -1
    for i in range(len(cells)):
        before = cells[i - period] if 0 < period <= i else -1
        parts_of(averages, scales, moves, before, last, cells[i], shares[cells[i]], parts[i])
        move_on(averages, scales, moves, last, cells[i])
        last = cells[i]
    return last


@kernel
def _fit(parts: Floats, chances: Floats, steps: int, out: Floats) -> float:
    """Move the chances towards those of greatest likelihood (EM); return its logarithm.

    `out` float64[n] becomes how likely each value is new.
    """
    likelihood = 0.0
    sums = np.empty(len(chances))
    for _ in range(steps):
        sums[:] = 0.0
        likelihood = 0.0
        for i in range(len(parts)):
            whole = 0.0
            for part in range(len(chances)):
                whole += chances[part] * parts[i, part]
            for part in range(len(chances)):
                sums[part] += chances[part] * parts[i, part] / whole
            out[i] = chances[0] * parts[i, 0] / whole
            likelihood += math.log(whole)
        for part in range(len(chances)):
            chances[part] = sums[part] / len(parts)
    return likelihood


def fit_recall(order: Floats, levels: Floats, closed: bool = False) -> Recall | None:
    """Return the memory of a category; None where it has none.

    `order` float64[n] are the places of its levels, NaN where there was none, `levels` float64[k]
    how often each was seen, as in `Expected`. Of more than _MOST the last ones are looked at.
    """
    counts = cells_of(levels, closed).counts
    cells = _cells(order, levels, counts)
    size = len(cells)
    if size < _LEAST or 2 * counts[-1] > counts.sum() or not _moves(cells):
        return None
    shares = _shares(cells, counts)
    states = len(counts) if len(counts) <= _MOST_STATES else 0
    averages, scales = np.tile(shares, (len(SPANS), 1)), np.ones(len(SPANS))
    moves = np.zeros((states, len(counts) + 1))
    parts = np.empty((size, PARTS))
    period = period_of(cells.astype(np.float64))
    last = _follow(cells, period, shares, averages, scales, moves, parts)
    chosen = _choose(parts, _gain_of_step(cells))
    if len(chosen) == 1:
        return None
    chances, fresh, news = _drawn(cells, parts[:, chosen], shares)
    left = _left(cells, fresh, news / news.sum(), _CLEAR)
    news *= (counts.sum() - counts[-1]) / size
    news[-1] = counts[-1]
    whole = np.zeros(PARTS)
    whole[chosen] = chances
    whole[FRESH] = max(whole[FRESH], _LEAST_FRESH)
    whole /= whole.sum()
    moves = moves if whole[USUAL] > 0 else moves[:0]
    around = cells[size - period :] if whole[ROUND] > 0 else cells[:0]
    return Recall(whole, news, averages, scales, moves, around, last, left)


def variance_left(order: Floats, levels: Floats, closed: bool = False) -> float:
    """Return by how much more than they should sums vary of levels that no memory explains.

    As in `fit_recall`; 1 where levels look independent, also before and after a step.
    """
    counts = cells_of(levels, closed).counts
    cells = _cells(order, levels, counts)
    if len(cells) < _LEAST or _gain_of_step(cells) > _STEP_GAIN:
        return 1.0
    return _left(cells, np.ones(len(cells)), _shares(cells, counts), _CLEARER)


def _cells(order: Floats, levels: Floats, counts: Floats) -> Ints:
    """Return the cells of the last levels that there were, int64[m]."""
    known = len(counts) - 1
    used = order[~np.isnan(order)][-_MOST:]
    cells: Ints = np.where(used < len(levels), np.minimum(used, known - 1), known).astype(np.int64)
    return cells


def _moves(cells: Ints) -> bool:
    """Tell whether levels change often enough to tell staying from steps."""
    return int(np.count_nonzero(np.diff(cells))) >= _CHANGES


def _shares(cells: Ints, counts: Floats) -> Floats:
    """Return the shares of cells within a reference, in which no level is new."""
    shares = np.append(counts[:-1], float(np.count_nonzero(cells == len(counts) - 1)))
    found: Floats = shares / shares.sum()
    return found


def _choose(parts: Floats, gained: float) -> list[int]:
    """Return the parts that explain levels, FRESH first; that alone where a step gains more."""
    size = len(parts)
    price = _GAIN + 0.5 * math.log(size)
    plain = best = float(np.log(parts[:, FRESH]).sum())
    chosen = [FRESH]
    while True:
        trials = []
        for part in range(1, PARTS):
            if part not in chosen:
                tried = np.full(len(chosen) + 1, 1.0 / (len(chosen) + 1))
                likelihood = _fit(parts[:, [*chosen, part]], tried, _STEPS, np.empty(size))
                trials.append((likelihood, -part))
        if not trials or max(trials)[0] < best + price:
            break
        best, negative = max(trials)
        chosen.append(-negative)
    return chosen if best - plain > gained else [FRESH]


def _drawn(cells: Ints, parts: Floats, shares: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the chances of parts, how likely each value is new, and how often each cell was.

    What is new may be drawn from other shares than all levels have.
    """
    mine = np.ascontiguousarray(parts)
    chances, fresh = np.full(parts.shape[1], 1.0 / parts.shape[1]), np.ones(len(cells))
    news = shares
    for _ in range(_ROUNDS):
        _fit(mine, chances, _STEPS, fresh)
        news = np.bincount(cells, fresh, minlength=len(shares)) + shares
        mine[:, 0] = (news / news.sum())[cells]
    return chances, fresh, news


def _gain_of_step(cells: Ints) -> float:
    """Return what the likeliest step in the shares of cells gains in log-likelihood."""
    groups = np.minimum(cells, _CELLS)
    counts = np.zeros((_PLACES, _CELLS + 1))
    for place, part in enumerate(np.array_split(groups, _PLACES)):
        counts[place] = np.bincount(part, minlength=_CELLS + 1)
    before = np.cumsum(counts, axis=0)[:-1]
    whole = counts.sum(axis=0)
    gains = _logs(before) + _logs(whole - before) - _logs(whole[np.newaxis])
    return float(gains.max())


def _logs(counts: Floats) -> Floats:
    """Return the log-likelihood of counts float64[k, c] under their own shares, float64[k]."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    found: Floats = (counts * np.log(np.where(counts > 0, shares, 1.0))).sum(axis=1)
    return found


def _left(cells: Ints, fresh: Floats, shares: Floats, clear: float) -> float:
    """Return by how much more than they should sums vary of what a memory does not explain.

    `fresh` float64[n] is how likely each of the cells was new, of which they have these shares.
    Excesses below so many standard deviations are none.
    """
    size, most = len(cells), 1.0
    series = [fresh - fresh.mean()]
    series += [fresh * ((cells == cell) - shares[cell]) for cell in range(min(_CELLS, len(shares)))]
    series = [each for each in series if float((each**2).sum()) > _TELLING]
    for length in (each for each in LENGTHS if 20 * each <= size):
        least = 1.0 + clear * math.sqrt(4 * length / (3 * size))
        most = max([most, *(each for one in series if (each := excess(one, length)) > least)])
    return most
