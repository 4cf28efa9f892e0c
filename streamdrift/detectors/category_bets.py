"""The bets on a category's levels: what they are on, and what a value makes of them.

Four bettors hold the levels of the last 60, 250, 1,000 and 4,000 values or so against the shares
that are expected, so that a change that moves many levels a little is seen without naming it;
others bet that one of the commonest levels, the commoner half of all values, or levels that were
never seen, become commoner or rarer.
"""

import numpy as np

from streamdrift.detectors.mixture import ROUNDED_UP, Factors
from streamdrift.kernels import inlined, kernel
from streamdrift.records import Bytes, Codes, Floats, Ints
from streamdrift.references.recall import PLACE, USUAL, freshness, move_on

_MEMORIES: Floats = 1.0 / np.array([60.0, 250.0, 1_000.0, 4_000.0])
_TRUST, _ASIDE = 0.7, 0.3
"""What a bettor stakes on its memory, and what stays aside."""
MOST_SINGLES = 12
"""Commonest levels that are bet on alone."""
_LOG_ODDS = np.array([0.35, 0.8, 1.6])
_ODDS: Floats = np.exp(np.concatenate([_LOG_ODDS, -_LOG_ODDS]))
_NEW_ODDS: Floats = np.exp(np.array([2.0, 4.0]))
_FRESH_ODDS: Floats = np.exp(np.array([0.5, 1.3, 3.0, -0.7]))
_RARER_FRESH = 3
ADAPTIVE = len(_MEMORIES)
_NEW = ADAPTIVE + (MOST_SINGLES + 1) * len(_ODDS)
_FRESH = _NEW + len(_NEW_ODDS)
BETS = _FRESH + len(_FRESH_ODDS)
"""Adaptive bettors, then the odds of each single level and of the half, then those of new ones, and
those of values that do not follow from the ones before."""
_ODDS_OF_BETS: Floats = np.concatenate(
    [np.ones(ADAPTIVE), np.tile(_ODDS, MOST_SINGLES + 1), _NEW_ODDS, _FRESH_ODDS]
)
_MOST, _MOST_NEW = float(_ODDS.max()), float(_NEW_ODDS.max())
"""What a bet on levels makes of its sum at most, where the level is not, and is, a new one."""
_NO_GROUP, _IN_HALF, _NOT_IN_HALF = -1, -2, -3
"""In the place of a level: a bet on none; whether a value is in the commoner half."""
_ADAPTIVE_WEIGHT, _SINGLE_WEIGHT, _NEW_WEIGHT = 0.5, 0.4, 0.1
_FRESH_WEIGHT = 0.1
"""Part of the weight that is on a change of the memory, where there is one."""
_SMALL = 1e-100

SIZE, SINGLES, HALF, WHOLE, PART = range(5)
"""Places in a slot's figures: values counted; levels bet on alone; levels of the commoner half,
how often those of its groups but the last were seen, and what its levels in the last weigh."""
SEEN, WEIGHT = range(2)
"""Rows of a slot's groups of levels: how often they were seen, and what all of them weigh."""


def weights_of(singles: int, chances: Floats) -> Factors:
    """Return what each bet weighs, float32[BETS], where so many levels are bet on alone.

    `chances` are those of a memory, see `Moving`.
    """
    weights: Factors = np.zeros(BETS, dtype=np.float32)
    weights[:ADAPTIVE] = _ADAPTIVE_WEIGHT / ADAPTIVE
    bets = (singles + 1) * len(_ODDS)
    weights[ADAPTIVE : ADAPTIVE + bets] = _SINGLE_WEIGHT / bets
    weights[_NEW:_FRESH] = _NEW_WEIGHT / len(_NEW_ODDS)
    if len(chances):
        weights *= 1.0 - _FRESH_WEIGHT
        weights[_FRESH:] = _FRESH_WEIGHT / len(_FRESH_ODDS)
        if chances[USUAL] > 0:
            # The longer it is known what usually follows, the less else does.
            weights[_FRESH + _RARER_FRESH] = 0
    return weights


def levels_of_bets(singles: int, kin: Bytes) -> tuple[Codes, Codes]:
    """Return the levels that each bet is on, and the groups of these, int32[BETS] both."""
    bets: Codes = np.full(BETS, _NO_GROUP, dtype=np.int32)
    alike = bets.copy()
    of_levels, odds = slice(ADAPTIVE, ADAPTIVE + (singles + 1) * len(_ODDS)), len(_ODDS)
    bets[of_levels] = np.repeat([*range(singles), _IN_HALF], odds)
    alike[of_levels] = np.repeat([*kin[:singles].tolist(), _NO_GROUP], odds)
    return bets, alike


@inlined
def cell_of(place: float, cells: int, known: int) -> int:
    """Return the cell of a level by its place among `known` ones."""
    if place >= known:
        return cells - 1
    return min(int(place), cells - 2)


@kernel
def _rescale(memories: Floats, scales: Floats) -> None:
    for j in range(len(scales)):
        if scales[j] < _SMALL:
            for cell in range(memories.shape[1]):
                memories[j, cell] *= scales[j]
            scales[j] = 1.0


@inlined
def _remember(
    memories: Floats, scales: Floats, cell: int, share: float, fresh: float, stakes: Floats
) -> float:
    """Write what each memory makes of a level, which is `share` of all, and let it remember that.

    As far as it is `fresh`. Return the greatest.
    """
    greatest, least = 0.0, 1.0
    for j in range(ADAPTIVE):
        stakes[j] = _TRUST * np.divide(scales[j] * memories[j, cell], share) + _ASIDE
        greatest = max(greatest, stakes[j])
        rate = _MEMORIES[j] * fresh
        scales[j] *= 1.0 - rate
        memories[j, cell] += np.divide(rate, scales[j])
        least = min(least, scales[j])
    if least < _SMALL:
        _rescale(memories, scales)
    return greatest


@inlined
def count(
    counts: Floats, kin: Bytes, totals: Floats, figures: Floats, cell: int, times: float
) -> None:
    """Count a level so many times."""
    group, half = kin[cell], int(figures[HALF])
    counts[cell] += times
    totals[SEEN, group] += times
    totals[WEIGHT, group] += times
    figures[SIZE] += times
    figures[WHOLE] += times if group < kin[half - 1] else 0.0
    figures[PART] += times if cell < half and group == kin[half - 1] else 0.0


@inlined
def _seen(counts: Floats, kin: Bytes, totals: Floats, cell: int) -> float:
    """Return as how often seen a cell counts: its part of all that its group was."""
    group = kin[cell]
    seen: float = np.divide(totals[SEEN, group] * counts[cell], totals[WEIGHT, group])
    return seen


@inlined
def _look_up(
    counts: Floats, kin: Bytes, totals: Floats, figures: Floats, cell: int, seen: Floats
) -> None:
    """Let the bets know how many values were in what they are on, after one of a cell."""
    singles, odds, last = int(figures[SINGLES]), len(_ODDS), kin[int(figures[HALF]) - 1]
    if cell < singles:
        for j in range(ADAPTIVE + cell * odds, ADAPTIVE + (cell + 1) * odds):
            seen[j] = counts[cell]
    part = np.divide(totals[SEEN, last] * figures[PART], totals[WEIGHT, last])
    for j in range(ADAPTIVE + singles * odds, ADAPTIVE + (singles + 1) * odds):
        seen[j] = figures[WHOLE] + part


@kernel
def _recall(
    chances: Floats,
    averages: Floats,
    spans: Floats,
    moves: Floats,
    around: Ints,
    last: Ints,
    cell: int,
    share: float,
    factors: Floats,
) -> float:
    """Return the chance that a level does not follow from those before, and let it be the last.

    Write the factors of bets on more, or fewer, that do not, and over others. A call of its own:
    most slots have no memory, and their loop stays small.
    """
    place = last[PLACE]
    before = around[place] if len(around) else -1
    fresh = freshness(chances, averages, spans, moves, before, last[0], cell, share, factors)
    move_on(averages, spans, moves, last[0], cell)
    last[0] = cell
    if len(around):
        around[place] = cell
        last[PLACE] = (place + 1) % len(around)
    for j in range(_FRESH, BETS):
        more = _ODDS_OF_BETS[j] - 1.0
        factors[j] = np.divide(1.0 + fresh * more, 1.0 + chances[0] * more)
    return fresh


@inlined
def _take(
    sums: Factors, ages: Factors, weights: Factors, factors: Floats, exponent: float, bets: int
) -> None:
    """Take the factors of the first `bets` into the sums, to the exponent.

    Bets that a slot has not are of nothing: their sums stay 0, whatever their factors are. A power
    is in no vector loop: it has a loop of its own.
    """
    if exponent < 1.0:
        for j in range(bets):
            factors[j] = factors[j] ** exponent
    for j in range(bets):
        begun = sums[j] + weights[j]
        sums[j] = begun * factors[j]
        ages[j] = (ages[j] + begun) * factors[j]


@inlined
def advance(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    bets: Codes,
    alike: Codes,
    seen: Floats,
    times: Floats,
    stakes: Floats,
    factors: Floats,
    counts: Floats,
    kin: Bytes,
    totals: Floats,
    memories: Floats,
    scales: Floats,
    figures: Floats,
    chances: Floats,
    averages: Floats,
    spans: Floats,
    moves: Floats,
    around: Ints,
    last: Ints,
    exponent: float,
    cell: int,
) -> float:
    """Take one value into a slot's sums, its memories and its counts.

    `bets` are the levels that each bet is on and `alike` their groups; `seen` is how often they
    count as seen, times the `times` of their group. `kin` are the groups of cells, `totals` those
    of their counts. `chances`, `averages`, `spans` (their scales), `moves`, `around` (the round)
    and `last` are those of its memory, see `Moving`; without one there are none. All factors are
    taken to the `exponent`. Return by how much it multiplied the sums at most.
    """
    # Divisions are numpy's: one that may raise an error is in no vector loop. What is chosen from
    # is read before: vector loops would else choose addresses, and read from one at a time.
    size, new, most = figures[SIZE], len(counts) - 1, _MOST
    own, of_new = _seen(counts, kin, totals, cell), _seen(counts, kin, totals, new)
    share, fresh = np.divide(own, size), 1.0
    if len(chances):
        most = _MOST_NEW
        fresh = _recall(chances, averages, spans, moves, around, last, cell, share, factors)
    growth = max(
        _MOST_NEW if cell == new else most,
        _remember(memories, scales, cell, share, fresh, stakes),
    )
    level, group = np.int32(cell), np.int32(kin[cell])
    half = np.int32(_IN_HALF if cell < figures[HALF] else _NOT_IN_HALF)
    count(counts, kin, totals, figures, cell, fresh)
    following = np.divide(totals[SEEN, group], totals[WEIGHT, group])
    for j in range(ADAPTIVE + (int(figures[SINGLES]) + 1) * len(_ODDS)):
        inside = (bets[j] == level) | (bets[j] == half)
        odds, stake = _ODDS_OF_BETS[j], stakes[j]
        part = size + seen[j] * times[j] * (odds - 1.0)
        factor = np.divide((odds if inside else stake) * size, part)
        # A value moves the count of one level, and that by which those alike are multiplied.
        times[j] = following if alike[j] == group else times[j]
        factors[j] = 1.0 + fresh * (factor - 1.0)
    for j in range(_NEW, _FRESH):
        part = size + of_new * (_ODDS_OF_BETS[j] - 1.0)
        factor = np.divide((_ODDS_OF_BETS[j] if cell == new else 1.0) * size, part)
        factors[j] = 1.0 + fresh * (factor - 1.0)
    _take(sums, ages, weights, factors, exponent, BETS if len(chances) else _FRESH)
    _look_up(counts, kin, totals, figures, cell, seen)
    return growth * ROUNDED_UP


@kernel
def look_all_up(counts: Floats, kin: Bytes, totals: Floats, figures: Floats, seen: Floats) -> None:
    """Let the bets know how many values were in what each is on, `seen` float64[BETS]."""
    for cell in range(len(counts)):
        _look_up(counts, kin, totals, figures, cell, seen)
