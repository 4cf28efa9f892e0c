"""The e-detector of categories: bets on shares that move, level by level and all together.

As `e_detector`, with the shares before a change counted from the stream. Four bettors hold the
levels of the last 60, 250, 1,000 and 4,000 values or so against these shares, so that a change
that moves many levels a little is seen without naming it; others bet that one of the commonest
levels, the commoner half of all values, or levels that were never seen, become commoner or rarer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, mean_age
from streamdrift.detectors.mixture import Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import inlined, kernel
from streamdrift.records import Bools, Bytes, Floats, Ints, State, Stream
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
_ADAPTIVE_WEIGHT, _SINGLE_WEIGHT, _NEW_WEIGHT = 0.5, 0.44, 0.06
_FRESH_WEIGHT = 0.1
"""Part of the weight that is on a change of the memory, where there is one."""
_SMALL = 1e-100

SIZE, SINGLES, HALF, WHOLE, PART = range(5)
"""Places in a slot's figures: values counted; levels bet on alone; levels of the commoner half,
how often those of its groups but the last were seen, and what its levels in the last weigh."""
SEEN, WEIGHT = range(2)
"""Rows of a slot's groups: how often their levels were seen, and what all of these weigh."""


@inlined
def cell_of(place: float, cells: int, known: int) -> int:
    """Return the cell of a level by its place among `known` ones."""
    if place >= known:
        return cells - 1
    return min(int(place), cells - 2)


@inlined
def _share(counts: Floats, groups: Bytes, totals: Floats, figures: Floats, cell: int) -> float:
    """Return how likely a cell is: its group among all, and it among its group."""
    group = groups[cell]
    share: float = totals[SEEN, group] / figures[SIZE] * counts[cell] / totals[WEIGHT, group]
    return share


@inlined
def _bet(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    place: int,
    odds: Floats,
    inside: bool,
    share: float,
    fresh: float,
    exponent: float,
) -> None:
    """Take one value into the sums from `place` on: those of one group of levels."""
    for each in range(len(odds)):
        factor = (odds[each] if inside else 1.0) / (1.0 + share * (odds[each] - 1.0))
        if fresh < 1.0:
            factor = 1.0 + fresh * (factor - 1.0)
        if exponent < 1.0:
            factor **= exponent
        begun = sums[place + each] + weights[place + each]
        sums[place + each] = begun * factor
        ages[place + each] = (ages[place + each] + begun) * factor


@inlined
def advance(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    counts: Floats,
    groups: Bytes,
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
    """Take one value into a slot's sums, its memories and its counts; return the total.

    `chances`, `averages`, `spans` (their scales), `moves`, `around` (the round) and `last` are
    those of its memory, see `Moving`; without one there are none. All factors are taken to the
    `exponent`.
    """
    share = _share(counts, groups, totals, figures, cell)
    fresh = 1.0
    if len(chances):
        place = last[PLACE]
        before = around[place] if len(around) else -1
        fresh = freshness(chances, averages, spans, moves, before, last[0], cell, share)
        move_on(averages, spans, moves, last[0], cell)
        last[0] = cell
        if len(around):
            around[place] = cell
            last[PLACE] = (place + 1) % len(around)
        for j in range(len(_FRESH_ODDS)):
            more = _FRESH_ODDS[j] - 1.0
            factor = (1.0 + fresh * more) / (1.0 + chances[0] * more)
            if exponent < 1.0:
                factor **= exponent
            begun = sums[_FRESH + j] + weights[_FRESH + j]
            sums[_FRESH + j] = begun * factor
            ages[_FRESH + j] = (ages[_FRESH + j] + begun) * factor
    for j in range(len(scales)):
        factor = _TRUST * scales[j] * memories[j, cell] / share + _ASIDE
        if fresh < 1.0:
            factor = 1.0 + fresh * (factor - 1.0)
        if exponent < 1.0:
            factor **= exponent
        begun = sums[j] + weights[j]
        sums[j] = begun * factor
        ages[j] = (ages[j] + begun) * factor
        rate = _MEMORIES[j] * fresh
        scales[j] *= 1.0 - rate
        memories[j, cell] += rate / scales[j]
        if scales[j] < _SMALL:
            memories[j] *= scales[j]
            scales[j] = 1.0
    place = len(scales)
    singles, half = int(figures[SINGLES]), int(figures[HALF])
    for single in range(singles):
        share = _share(counts, groups, totals, figures, single)
        _bet(sums, ages, weights, place, _ODDS, cell == single, share, fresh, exponent)
        place += len(_ODDS)
    last = groups[half - 1]
    seen = figures[WHOLE] + totals[SEEN, last] * figures[PART] / totals[WEIGHT, last]
    _bet(sums, ages, weights, place, _ODDS, cell < half, seen / figures[SIZE], fresh, exponent)
    new = len(counts) - 1
    share = _share(counts, groups, totals, figures, new)
    _bet(sums, ages, weights, _NEW, _NEW_ODDS, cell == new, share, fresh, exponent)
    _count(counts, groups, totals, figures, cell, fresh)
    return total(sums)


@inlined
def _count(
    counts: Floats, groups: Bytes, totals: Floats, figures: Floats, cell: int, times: float
) -> None:
    """Count a level so many times."""
    group, half = groups[cell], int(figures[HALF])
    counts[cell] += times
    totals[SEEN, group] += times
    totals[WEIGHT, group] += times
    figures[SIZE] += times
    figures[WHOLE] += times if group < groups[half - 1] else 0.0
    figures[PART] += times if cell < half and group == groups[half - 1] else 0.0


@kernel
def _run(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    known: int,
    counts: Floats,
    groups: Bytes,
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
    statistic = total(sums)
    for event in range(start, len(values)):
        if look < len(looks) and looks[look] == event:
            if statistic >= enough or candidate[0]:
                told[0] = True
                seen[look, 0] = statistic
                seen[look, 1] = mean_age(sums, ages)
                candidate[0] = statistic >= WITHDRAW * enough
            look += 1
        if np.isnan(values[event]):
            continue
        cell = cell_of(values[event], len(counts), known)
        statistic = advance(
            sums,
            ages,
            weights,
            counts,
            groups,
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
        self._known = np.zeros(slots, dtype=np.int64)
        self._counts: list[Floats] = [np.zeros(0) for _ in range(slots)]
        self._groups: list[Bytes] = [np.zeros(0, dtype=np.uint8) for _ in range(slots)]
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
            alarms[slot] = _run(
                self.sums.sums[slot],
                self.sums.ages[slot],
                self._weights[slot],
                self._known[slot],
                self._counts[slot],
                self._groups[slot],
                self._totals[slot],
                self._memories[slot],
                self._scales[slot],
                self._figures[slot],
                *self._recalls[slot],
                self._exponents[slot],
                self.sums.thresholds[slot],
                self.sums.patience[slot],
                self.sums.candidates[slot : slot + 1],
                values[rows[slot]],
                start[slot],
                looks,
                seen.seen[slot],
                seen.told[slot : slot + 1],
            )
        return alarms

    def arrays(self, slot: int) -> tuple[tuple[NDArray[np.generic], ...], float, int, float]:
        """Return a slot's state in the order `advance` takes it, exponent, levels, threshold."""
        arrays = (
            self.sums.sums[slot],
            self.sums.ages[slot],
            self._weights[slot],
            self._counts[slot],
            self._groups[slot],
            self._totals[slot],
            self._memories[slot],
            self._scales[slot],
            self._figures[slot],
            *self._recalls[slot],
        )
        return (
            arrays,
            float(self._exponents[slot]),
            int(self._known[slot]),
            float(self.sums.thresholds[slot]),
        )

    def learned(self, slot: int) -> Floats:
        """Return how often each cell was seen, the last for levels that never were."""
        groups, totals = self._groups[slot], self._totals[slot]
        found: Floats = self._counts[slot] * (totals[SEEN] / totals[WEIGHT])[groups]
        return found

    def take_back(self, slot: int, values: Floats) -> None:
        """Let the last levels of a slot, float64[n], not be counted; see `learned`."""
        counts, figures = self._counts[slot], self._figures[slot]
        for value in values.tolist():
            cell = cell_of(value, len(counts), self._known[slot])
            _count(counts, self._groups[slot], self._totals[slot], figures, cell, -1.0)

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
        expected, groups = cells.counts, cells.groups
        counts = expected * cells.strengths[groups]
        totals: Floats = np.stack([np.bincount(groups, expected), np.bincount(groups, counts)])
        self._counts[slot], self._groups[slot], self._totals[slot] = counts, groups, totals
        size, singles = expected.sum(), min(_SINGLES, len(expected) - 1)
        half = min(int(np.searchsorted(np.cumsum(expected), size / 2)) + 1, len(expected) - 1)
        part = groups[:half] == groups[half - 1]
        whole = expected[:half][~part].sum()
        self._figures[slot] = size, singles, half, whole, counts[:half][part].sum()
        self._weigh(slot)

    def _weigh(self, slot: int) -> None:
        """Decide what each bet weighs."""
        weights = self._weights[slot]
        weights[:] = 0
        weights[:_FIRST] = _ADAPTIVE_WEIGHT / _FIRST
        bets = (int(self._figures[slot, SINGLES]) + 1) * len(_ODDS)
        weights[_FIRST : _FIRST + bets] = _SINGLE_WEIGHT / bets
        weights[_NEW:_FRESH] = _NEW_WEIGHT / len(_NEW_ODDS)
        chances = self._recalls[slot].chances
        if len(chances):
            weights *= 1.0 - _FRESH_WEIGHT
            weights[_FRESH:] = _FRESH_WEIGHT / len(_FRESH_ODDS)
            if chances[USUAL] > 0:
                # The longer it is known what usually follows, the less else does.
                weights[_FRESH + _RARER_FRESH] = 0

    def lose(self, slot: int) -> None:
        """Let the last levels be unknown: the slot does not see what comes next."""
        moving, learned = self._recalls[slot], self.learned(slot)
        if len(moving.chances):
            moving.averages[:], moving.scales[:] = learned / learned.sum(), 1.0
            moving.round[:], moving.last[0] = -1, -1

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
            self._weigh(slot)
        self.sums.adopt(slots, state, theirs)

    def _lists(self) -> Mapping[str, list[Any]]:
        """Return what has another size in each slot."""
        return {
            "counts": self._counts,
            "groups": self._groups,
            "totals": self._totals,
            "memories": self._memories,
        }
