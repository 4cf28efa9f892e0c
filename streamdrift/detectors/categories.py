"""The e-detector of categories: bets on shares that move, level by level and all together.

As `e_detector`, with the shares before a change counted from the stream. Four bettors hold the
levels of the last 60, 250, 1,000 and 4,000 values or so against these shares, so that a change
that moves many levels a little is seen without naming it; others bet that one of the commonest
levels, the commoner half of all values, or levels that were never seen, become commoner or rarer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, see
from streamdrift.detectors.mixture import ROUNDED_UP, Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import Function, inlined, kernel
from streamdrift.records import Bools, Bytes, Codes, Floats, Ints, State, Stream
from streamdrift.references.recall import NO_RECALL, PLACE, USUAL, Moving, freshness, move_on
from streamdrift.references.shares import Cells, cells_of
from streamdrift.trees import array, trees, values

_MEMORIES: Floats = 1.0 / np.array([60.0, 250.0, 1_000.0, 4_000.0])
_TRUST, _ASIDE = 0.7, 0.3
"""What a bettor stakes on its memory, and what stays aside."""
_SINGLES = 12
"""Commonest levels that are bet on alone."""
_LOG_ODDS = np.array([0.35, 0.8, 1.6])
_ODDS: Floats = np.exp(np.concatenate([_LOG_ODDS, -_LOG_ODDS]))
_NEW_ODDS: Floats = np.exp(np.array([2.0, 4.0]))
_FRESH_ODDS: Floats = np.exp(np.array([0.5, 1.3, 3.0, -0.7]))
_RARER_FRESH = 3
_FIRST, _NEW = len(_MEMORIES), len(_MEMORIES) + (_SINGLES + 1) * len(_ODDS)
_FRESH = _NEW + len(_NEW_ODDS)
_BETS = _FRESH + len(_FRESH_ODDS)
"""Adaptive bettors, then the odds of each single level and of the half, then those of new ones, and
those of values that do not follow from the ones before."""
_ODDS_OF_BETS: Floats = np.concatenate(
    [np.ones(_FIRST), np.tile(_ODDS, _SINGLES + 1), _NEW_ODDS, _FRESH_ODDS]
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


@inlined
def cell_of(place: float, cells: int, known: int) -> int:
    """Return the cell of a level by its place among `known` ones."""
    if place >= known:
        return cells - 1
    return min(int(place), cells - 2)


def _uncounted(function: Function) -> Function:
    """Compile a kernel that counts no references: it, and what it calls, must allocate nothing.

    What is inlined gives each array another name, and at every value numba would count these: that
    takes longer than the bets. The caller keeps the arrays alive.
    """
    compiled: Any = kernel(function)
    compiled.targetoptions["_nrt"] = False
    return cast(Function, compiled)


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
    for j in range(_FIRST):
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
def _count(
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
        for j in range(_FIRST + cell * odds, _FIRST + (cell + 1) * odds):
            seen[j] = counts[cell]
    part = np.divide(totals[SEEN, last] * figures[PART], totals[WEIGHT, last])
    for j in range(_FIRST + singles * odds, _FIRST + (singles + 1) * odds):
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
    for j in range(_FRESH, _BETS):
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
    _count(counts, kin, totals, figures, cell, fresh)
    following = np.divide(totals[SEEN, group], totals[WEIGHT, group])
    for j in range(_FIRST + (int(figures[SINGLES]) + 1) * len(_ODDS)):
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
    _take(sums, ages, weights, factors, exponent, _BETS if len(chances) else _FRESH)
    _look_up(counts, kin, totals, figures, cell, seen)
    return growth * ROUNDED_UP


@kernel
def _look_all_up(counts: Floats, kin: Bytes, totals: Floats, figures: Floats, seen: Floats) -> None:
    for cell in range(len(counts)):
        _look_up(counts, kin, totals, figures, cell, seen)


@_uncounted
def _run(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    bets: Codes,
    alike: Codes,
    seen_of: Floats,
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
    known: int,
    limit: float,
    enough: float,
    candidate: Bools,
    values: Floats,
    start: int,
    looks: Ints,
    seen: Floats,
    told: Bools,
) -> int:
    """Let a slot consume its row from `start` up to its first alarm; return where that was.

    `candidate` and `told` bool[1] are the slot's; see `e_detector`.
    """
    look = np.searchsorted(looks, start)
    matters, most = min(limit, enough), total(sums) * ROUNDED_UP
    for event in range(start, len(values)):
        if look < len(looks) and looks[look] == event:
            if most >= enough or candidate[0]:
                see(sums, ages, enough, candidate, seen[look], told)
            look += 1
        if np.isnan(values[event]):
            continue
        cell = cell_of(values[event], len(counts), known)
        most = (most + 1.0) * advance(
            sums,
            ages,
            weights,
            bets,
            alike,
            seen_of,
            times,
            stakes,
            factors,
            counts,
            kin,
            totals,
            memories,
            scales,
            figures,
            chances,
            averages,
            spans,
            moves,
            around,
            last,
            exponent,
            cell,
        )
        if most >= matters:
            statistic = total(sums)
            most = statistic * ROUNDED_UP
            if statistic >= limit:
                return event
    return len(values)


class ECategoryBank:
    """The e-detector over many categories; see `EBank`. 0.9 kB a slot and 60 bytes a level."""

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.sums = Sums(slots, _BETS, Stream.CATEGORY)
        self._weights: Factors = np.zeros((slots, _BETS), dtype=np.float32)
        self._bets: Codes = np.full((slots, _BETS), _NO_GROUP, dtype=np.int32)
        self._alike: Codes = np.full((slots, _BETS), _NO_GROUP, dtype=np.int32)
        self._seen, self._times = np.zeros((slots, _BETS)), np.ones((slots, _BETS))
        """What each bet is on, but for those on new levels, and the groups of that; how often it
        counts as seen, and what that is multiplied by: see `advance`."""
        self._stakes = np.ones((slots, _BETS))
        """What a value makes of bets it is outside of: of the adaptive ones what they stake."""
        self._factors = np.ones(_BETS)
        """Where the factors of a value are worked out."""
        self._known = np.zeros(slots, dtype=np.int64)
        self._counts: list[Floats] = [np.zeros(0) for _ in range(slots)]
        self._kin: list[Bytes] = [np.zeros(0, dtype=np.uint8) for _ in range(slots)]
        """The groups of cells that are alike: an urn of groups, and of cells in each."""
        self._totals: list[Floats] = [np.zeros((2, 0)) for _ in range(slots)]
        self._memories: list[Floats] = [np.zeros((_FIRST, 0)) for _ in range(slots)]
        self._scales = np.ones((slots, _FIRST))
        self._figures = np.zeros((slots, 5))
        self._recalls = [NO_RECALL] * slots
        self._exponents = np.ones(slots)
        for slot, (each, run_length) in enumerate(zip(expected, run_lengths, strict=True)):
            self.reset(slot, each, float(run_length))

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Let each slot consume its levels up to its first alarm; see `EBank`."""
        values = np.ascontiguousarray(values)  # another layout would be compiled for anew
        alarms = np.empty(len(rows), dtype=np.int64)
        seen = self.sums.look_at(looks)
        for slot in range(len(rows)):
            arrays, exponent, known, threshold = self.arrays(slot)
            arguments: tuple[Any, ...] = (
                *arrays,
                exponent,
                known,
                threshold,
                self.sums.patience[slot],
                self.sums.candidates[slot : slot + 1],
                values[rows[slot]],
                start[slot],
                looks,
                seen.seen[slot],
                seen.told[slot : slot + 1],
            )
            alarms[slot] = _run(*arguments)
        return alarms

    def arrays(self, slot: int) -> tuple[tuple[Any, ...], float, int, float]:
        """Return a slot's state in the order `advance` takes it, exponent, levels, threshold."""
        arrays = (
            self.sums.sums[slot],
            self.sums.ages[slot],
            self._weights[slot],
            self._bets[slot],
            self._alike[slot],
            self._seen[slot],
            self._times[slot],
            self._stakes[slot],
            self._factors,
            self._counts[slot],
            self._kin[slot],
            self._totals[slot],
            self._memories[slot],
            self._scales[slot],
            self._figures[slot],
            *self._recalls[slot],
        )
        figures = int(self._known[slot]), float(self.sums.thresholds[slot])
        return arrays, float(self._exponents[slot]), *figures

    def learned(self, slot: int) -> Floats:
        """Return how often each cell was seen, the last for levels that never were."""
        totals = self._totals[slot]
        found: Floats = self._counts[slot] * (totals[SEEN] / totals[WEIGHT])[self._kin[slot]]
        return found

    def take_back(self, slot: int, values: Floats) -> None:
        """Let the last levels of a slot, float64[n], not be counted; see `learned`."""
        counts, figures = self._counts[slot], self._figures[slot]
        for value in values.tolist():
            cell = cell_of(value, len(counts), self._known[slot])
            _count(counts, self._kin[slot], self._totals[slot], figures, cell, -1.0)
        self._look_up(slot)

    def lose(self, slot: int) -> None:
        """Let the last levels be unknown: the slot does not see what comes next."""
        moving, learned = self._recalls[slot], self.learned(slot)
        if len(moving.chances):
            moving.averages[:], moving.scales[:] = learned / learned.sum(), 1.0
            moving.round[:], moving.last[0] = -1, -1

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        return self.sums.evidence(slot)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._known[slot] = len(expected.counts)
            cells, recall = cells_of(expected.counts, expected.closed), expected.recall
            self._recalls[slot] = NO_RECALL
            self._exponents[slot] = 2 ** (-expected.power / 6)
            if recall is not None:
                cells = cells._replace(counts=recall.fresh)
                self._recalls[slot] = recall.moving()
                self._exponents[slot] = 1.0 / recall.left
            self._learn(slot, cells)
        learned = self.learned(slot)
        self._memories[slot] = np.tile(learned / learned.sum(), (_FIRST, 1))
        self._scales[slot] = 1.0
        self.sums.begin(slot, self._weights[slot], run_length)

    def _learn(self, slot: int, cells: Cells) -> None:
        """Count what the reference lets expect, and decide which levels are bet on."""
        expected, kin = cells.counts, cells.groups
        counts = expected * cells.strengths[kin]
        totals: Floats = np.stack([np.bincount(kin, expected), np.bincount(kin, counts)])
        self._counts[slot], self._kin[slot], self._totals[slot] = counts, kin, totals
        size, singles = expected.sum(), min(_SINGLES, len(expected) - 1)
        half = min(int(np.searchsorted(np.cumsum(expected), size / 2)) + 1, len(expected) - 1)
        part = kin[:half] == kin[half - 1]
        whole = expected[:half][~part].sum()
        self._figures[slot] = size, singles, half, whole, counts[:half][part].sum()
        self._bet(slot)

    def _bet(self, slot: int) -> None:
        """Decide what each bet is on, and what it weighs."""
        singles, weights = int(self._figures[slot, SINGLES]), self._weights[slot]
        weights[:] = 0
        weights[:_FIRST] = _ADAPTIVE_WEIGHT / _FIRST
        bets = (singles + 1) * len(_ODDS)
        weights[_FIRST : _FIRST + bets] = _SINGLE_WEIGHT / bets
        weights[_NEW:_FRESH] = _NEW_WEIGHT / len(_NEW_ODDS)
        chances = self._recalls[slot].chances
        if len(chances):
            weights *= 1.0 - _FRESH_WEIGHT
            weights[_FRESH:] = _FRESH_WEIGHT / len(_FRESH_ODDS)
            if chances[USUAL] > 0:
                # The longer it is known what usually follows, the less else does.
                weights[_FRESH + _RARER_FRESH] = 0
        bet, odds = slice(_FIRST, _FIRST + bets), len(_ODDS)
        self._bets[slot], self._alike[slot] = _NO_GROUP, _NO_GROUP
        self._bets[slot, bet] = np.repeat([*range(singles), _IN_HALF], odds)
        alike = [*self._kin[slot][:singles].tolist(), _NO_GROUP]
        self._alike[slot, bet] = np.repeat(alike, odds)
        self._look_up(slot)

    def _look_up(self, slot: int) -> None:
        """Let the bets know how many values were in what they are on."""
        counts, kin, totals = self._counts[slot], self._kin[slot], self._totals[slot]
        alike = self._alike[slot]
        self._seen[slot] = 0.0
        times = np.append(totals[SEEN] / totals[WEIGHT], 1.0)
        self._times[slot] = times[alike]
        _look_all_up(counts, kin, totals, self._figures[slot], self._seen[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold; see `Bank`."""
        return self.sums.readings()

    def snapshot(self) -> State:
        """Return the sums and ages, what is counted and remembered, and who is a candidate."""
        return {
            **self.sums.snapshot(),
            "known": self._known.copy(),
            "figures": self._figures.copy(),
            "scales": self._scales.copy(),
            "recalls": [each.snapshot() for each in self._recalls],
            **{name: [each.copy() for each in own] for name, own in self._lists().items()},
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self.sums.sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self._known[slots] = array(state, "known")[theirs]
        self._figures[slots] = array(state, "figures")[theirs]
        self._scales[slots] = array(state, "scales")[theirs]
        for name, own in self._lists().items():
            stored = values(state, name)
            for slot, its in zip(slots.tolist(), theirs.tolist(), strict=True):
                own[slot] = np.array(stored[its])
        recalls = trees(state, "recalls")
        for slot, its in zip(slots.tolist(), theirs.tolist(), strict=True):
            self._recalls[slot] = Moving.restore(recalls[its])
            self._bet(slot)
        self.sums.adopt(slots, state, theirs)

    def _lists(self) -> Mapping[str, list[Any]]:
        """Return what has another size in each slot."""
        return {
            "counts": self._counts,
            "kin": self._kin,
            "totals": self._totals,
            "memories": self._memories,
        }
