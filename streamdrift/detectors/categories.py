"""The e-detector of categories: bets on shares that move, level by level and all together.

As `e_detector`, with the shares before a change counted from the stream. Four bettors hold the
levels of the last 60, 250, 1,000 and 4,000 values or so against these shares, so that a change
that moves many levels a little is seen without naming it; others bet that one of the commonest
levels, the commoner half of all values, or levels that were never seen, become commoner or rarer.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, mean_age
from streamdrift.detectors.mixture import Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import inlined, kernel
from streamdrift.records import Bools, Floats, Ints, State, Stream
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


@inlined
def _bet(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    place: int,
    odds: Floats,
    inside: bool,
    share: float,
) -> None:
    """Take one value into the sums from `place` on: those of one group of levels."""
    for each in range(len(odds)):
        factor = (odds[each] if inside else 1.0) / (1.0 + share * (odds[each] - 1.0))
        begun = sums[place + each] + weights[place + each]
        sums[place + each] = begun * factor
        ages[place + each] = (ages[place + each] + begun) * factor


@inlined
def advance(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    counts: Floats,
    memories: Floats,
    scales: Floats,
    figures: Floats,
    cell: int,
) -> float:
    """Take one value into a slot's sums, its memories and its counts; return the total."""
    share = counts[cell] / figures[SIZE]
    for j in range(len(scales)):
        factor = _TRUST * scales[j] * memories[j, cell] / share + _ASIDE
        begun = sums[j] + weights[j]
        sums[j] = begun * factor
        ages[j] = (ages[j] + begun) * factor
        rate = _MEMORIES[j]
        scales[j] *= 1.0 - rate
        memories[j, cell] += rate / scales[j]
        if scales[j] < _SMALL:
            memories[j] *= scales[j]
            scales[j] = 1.0
    place = len(scales)
    singles = int(figures[SINGLES])
    for group in range(singles + 1):
        inside = cell < figures[HALF] if group == singles else cell == group
        count = figures[HALF_COUNT] if group == singles else counts[group]
        _bet(sums, ages, weights, place, _ODDS, inside, count / figures[SIZE])
        place += len(_ODDS)
    new = len(counts) - 1
    _bet(sums, ages, weights, _NEW, _NEW_ODDS, cell == new, counts[new] / figures[SIZE])
    counts[cell] += 1.0
    figures[SIZE] += 1.0
    figures[HALF_COUNT] += 1.0 if cell < figures[HALF] else 0.0
    return total(sums)


@kernel
def _run(
    sums: Factors,
    ages: Factors,
    weights: Factors,
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
        statistic = advance(sums, ages, weights, counts, memories, scales, figures, cell)
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
    ) -> tuple[Factors, Factors, Factors, Floats, Floats, Floats, Floats, int, float]:
        """Return a slot's state in the order `advance` takes it, known levels, threshold."""
        return (
            self.sums.sums[slot],
            self.sums.ages[slot],
            self._weights[slot],
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
        """Decide by the reference which levels are bet on, and what each bet weighs."""
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
