"""The e-detector of categories: bets on shares that move, level by level and all together.

As `e_detector`, with the shares before a change counted from the stream. Four bettors hold the
levels of the last 60, 250, 1,000 and 4,000 values or so against these shares, so that a change
that moves many levels a little is seen without naming it; others bet that one of the commonest
levels, the commoner half of all values, or levels that were never seen, become commoner or rarer.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, see
from streamdrift.detectors.mixture import ROUNDED_UP, Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import inlined, kernel
from streamdrift.records import Bools, Codes, Floats, Ints, State, Stream
from streamdrift.trees import array, values

MAX_CELLS = 256
"""Levels told apart, the last for those never seen; of more, the rarer ones count as one."""
_MEMORIES: Floats = 1.0 / np.array([60.0, 250.0, 1_000.0, 4_000.0])
_TRUST, _ASIDE = 0.7, 0.3
"""What a bettor stakes on its memory, and what stays aside."""
_SINGLES = 12
"""Commonest levels that are bet on alone."""
_LOG_ODDS = np.array([0.35, 0.8, 1.6])
_ODDS: Floats = np.exp(np.concatenate([_LOG_ODDS, -_LOG_ODDS]))
_NEW_ODDS: Floats = np.exp(np.array([2.0, 4.0]))
_FIRST, _NEW = len(_MEMORIES), len(_MEMORIES) + (_SINGLES + 1) * len(_ODDS)
_BETS = _NEW + len(_NEW_ODDS)
"""Adaptive bettors, then the odds of each single level and of the half, then those of new ones."""
_ODDS_OF_BETS: Floats = np.concatenate([np.ones(_FIRST), np.tile(_ODDS, _SINGLES + 1), _NEW_ODDS])
_MOST, _MOST_NEW = float(_ODDS.max()), float(_NEW_ODDS.max())
"""What a bet on levels makes of its sum at most, where the level is not, and is, a new one."""
_NO_GROUP, _IN_HALF, _NOT_IN_HALF = -1, -2, -3
"""In the place of a level: a bet on none; whether a value is in the commoner half."""
_ADAPTIVE_WEIGHT, _SINGLE_WEIGHT, _NEW_WEIGHT = 0.5, 0.4, 0.1
_SMALL = 1e-100

SIZE, SINGLES, HALF, HALF_COUNT = range(4)
"""Places in a slot's figures: values counted; levels bet on alone; levels of the commoner half,
and how often they were seen."""


def cells_of(counts: Floats, closed: bool = False) -> Floats:
    """Return counts of MAX_CELLS cells at most, from those of the levels, commonest first.

    The last cell is for levels that were never seen: it counts as much as those seen once
    (Good 1953), at least one; as one where `closed` says that there are none.
    """
    kept, rest = counts[: MAX_CELLS - 2], counts[MAX_CELLS - 2 :]
    new = 1.0 if closed else max(1.0, float((counts == 1).sum()))
    return np.concatenate([kept, [rest.sum()] if len(rest) else [], [new]])


@inlined
def cell_of(place: float, cells: int, known: int) -> int:
    """Return the cell of a level by its place among `known` ones."""
    if place >= known:
        return cells - 1
    return min(int(place), cells - 2)


@kernel
def _rescale(memory: Floats, scale: float) -> None:
    for cell in range(len(memory)):
        memory[cell] *= scale


@inlined
def _remember(memories: Floats, scales: Floats, cell: int, share: float, stakes: Floats) -> float:
    """Write what each memory makes of a level, which is `share` of all, and let it remember that.

    Return the greatest.
    """
    greatest = 0.0
    for j in range(len(scales)):
        stakes[j] = _TRUST * np.divide(scales[j] * memories[j, cell], share) + _ASIDE
        greatest = max(greatest, stakes[j])
        scales[j] *= 1.0 - _MEMORIES[j]
        memories[j, cell] += np.divide(_MEMORIES[j], scales[j])
        if scales[j] < _SMALL:
            _rescale(memories[j], scales[j])
            scales[j] = 1.0
    return greatest


@inlined
def advance(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    groups: Codes,
    seen: Floats,
    stakes: Floats,
    counts: Floats,
    memories: Floats,
    scales: Floats,
    figures: Floats,
    cell: int,
) -> float:
    """Take one value into a slot's sums, its memories and its counts.

    Return by how much it multiplied the sums at most.
    """
    # Divisions are numpy's: one that may raise an error is in no vector loop.
    size, new = figures[SIZE], len(counts) - 1
    growth = max(
        _MOST_NEW if cell == new else _MOST,
        _remember(memories, scales, cell, np.divide(counts[cell], size), stakes),
    )
    level = np.int32(cell)
    half = np.int32(_IN_HALF if cell < figures[HALF] else _NOT_IN_HALF)
    for j in range(_FIRST + (int(figures[SINGLES]) + 1) * len(_ODDS)):
        inside = (groups[j] == level) | (groups[j] == half)
        part = size + seen[j] * (_ODDS_OF_BETS[j] - 1.0)
        factor = np.divide((_ODDS_OF_BETS[j] if inside else stakes[j]) * size, part)
        begun = sums[j] + weights[j]
        sums[j] = begun * factor
        ages[j] = (ages[j] + begun) * factor
        seen[j] += 1.0 if inside else 0.0
    for j in range(_NEW, _BETS):
        part = size + counts[new] * (_ODDS_OF_BETS[j] - 1.0)
        factor = np.divide((_ODDS_OF_BETS[j] if cell == new else 1.0) * size, part)
        begun = sums[j] + weights[j]
        sums[j] = begun * factor
        ages[j] = (ages[j] + begun) * factor
    counts[cell] += 1.0
    figures[SIZE] += 1.0
    figures[HALF_COUNT] += 1.0 if cell < figures[HALF] else 0.0
    return growth * ROUNDED_UP


@kernel
def _run(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    groups: Codes,
    seen_of: Floats,
    stakes: Floats,
    known: int,
    counts: Floats,
    memories: Floats,
    scales: Floats,
    figures: Floats,
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
            sums, ages, weights, groups, seen_of, stakes, counts, memories, scales, figures, cell
        )
        if most >= matters:
            statistic = total(sums)
            most = statistic * ROUNDED_UP
            if statistic >= limit:
                return event
    return len(values)


class ECategoryBank:
    """The e-detector over many categories; see `EBank`. 0.8 kB a slot and 40 bytes a level."""

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.sums = Sums(slots, _BETS, Stream.CATEGORY)
        self._weights: Factors = np.zeros((slots, _BETS), dtype=np.float32)
        self._groups: Codes = np.full((slots, _BETS), _NO_GROUP, dtype=np.int32)
        self._seen = np.zeros((slots, _BETS))
        """What each bet is on, but for those on new levels, and how many values were in that."""
        self._stakes = np.ones((slots, _BETS))
        """What a value makes of bets it is outside of: of the adaptive ones what they stake."""
        self._known = np.zeros(slots, dtype=np.int64)
        self._counts: list[Floats] = [np.zeros(0) for _ in range(slots)]
        self._memories: list[Floats] = [np.zeros((_FIRST, 0)) for _ in range(slots)]
        self._scales = np.ones((slots, _FIRST))
        self._figures = np.zeros((slots, 4))
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
                self._groups[slot],
                self._seen[slot],
                self._stakes[slot],
                self._known[slot],
                self._counts[slot],
                self._memories[slot],
                self._scales[slot],
                self._figures[slot],
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

    def arrays(
        self, slot: int
    ) -> tuple[
        Factors, Factors, Factors, Codes, Floats, Floats, Floats, Floats, Floats, Floats, int, float
    ]:
        """Return a slot's state in the order `advance` takes it, known levels, threshold."""
        return (
            self.sums.sums[slot],
            self.sums.ages[slot],
            self._weights[slot],
            self._groups[slot],
            self._seen[slot],
            self._stakes[slot],
            self._counts[slot],
            self._memories[slot],
            self._scales[slot],
            self._figures[slot],
            int(self._known[slot]),
            float(self.sums.thresholds[slot]),
        )

    def learned(self, slot: int) -> Floats:
        """Return how often each cell was seen, the last for levels that never were."""
        return self._counts[slot].copy()

    def take_back(self, slot: int, values: Floats) -> None:
        """Let the last levels of a slot, float64[n], not be counted; see `learned`."""
        counts, figures = self._counts[slot], self._figures[slot]
        for value in values.tolist():
            cell = cell_of(value, len(counts), self._known[slot])
            counts[cell] -= 1.0
            figures[HALF_COUNT] -= 1.0 if cell < figures[HALF] else 0.0
        figures[SIZE] -= len(values)
        self._look_up(slot)

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        return self.sums.evidence(slot)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._known[slot] = len(expected.counts)
            self._counts[slot] = cells_of(expected.counts, expected.closed)
            self._group(slot)
        counts = self._counts[slot]
        self._memories[slot] = np.tile(counts / counts.sum(), (_FIRST, 1))
        self._scales[slot] = 1.0
        self.sums.begin(slot, self._weights[slot], run_length)

    def _group(self, slot: int) -> None:
        """Decide by the counts which levels are bet on, and what each bet weighs."""
        counts = self._counts[slot]
        size, singles = counts.sum(), min(_SINGLES, len(counts) - 1)
        half = min(int(np.searchsorted(np.cumsum(counts), size / 2)) + 1, len(counts) - 1)
        self._figures[slot] = size, singles, half, counts[:half].sum()
        weights = self._weights[slot]
        weights[:] = 0
        weights[:_FIRST] = _ADAPTIVE_WEIGHT / _FIRST
        bets = (singles + 1) * len(_ODDS)
        weights[_FIRST : _FIRST + bets] = _SINGLE_WEIGHT / bets
        weights[_NEW:] = _NEW_WEIGHT / len(_NEW_ODDS)
        groups = self._groups[slot]
        groups[:] = _NO_GROUP
        groups[_FIRST : _FIRST + bets] = np.repeat([*range(singles), _IN_HALF], len(_ODDS))
        self._look_up(slot)

    def _look_up(self, slot: int) -> None:
        """Let the bets know how many values were in what they are on."""
        groups, seen = self._groups[slot], self._seen[slot]
        seen[groups >= 0] = self._counts[slot][groups[groups >= 0]]
        seen[groups == _IN_HALF] = self._figures[slot, HALF_COUNT]

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
            "counts": [each.copy() for each in self._counts],
            "memories": [each.copy() for each in self._memories],
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self.sums.sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        counts, memories = values(state, "counts"), values(state, "memories")
        for slot, its in zip(slots.tolist(), theirs.tolist(), strict=True):
            self._counts[slot] = np.array(counts[its])
            self._group(slot)
            self._memories[slot] = np.array(memories[its])
        self.sums.adopt(slots, state, theirs)
        self._known[slots] = array(state, "known")[theirs]
        self._figures[slots] = array(state, "figures")[theirs]
        self._scales[slots] = array(state, "scales")[theirs]
        for slot in slots.tolist():
            self._look_up(slot)
