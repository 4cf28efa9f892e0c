"""The e-detector of categories: bets on shares that move, level by level and all together.

As `e_detector`, with the shares before a change counted from the stream; `category_bets` says what
is bet on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.category_bets import (
    ADAPTIVE,
    BETS,
    MOST_SINGLES,
    SEEN,
    SINGLES,
    WEIGHT,
    advance,
    cell_of,
    count,
    levels_of_bets,
    look_all_up,
    weights_of,
)
from streamdrift.detectors.looks import NO_LOOKS, see
from streamdrift.detectors.mixture import ROUNDED_UP, Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import Function, kernel
from streamdrift.records import Bools, Bytes, Codes, Floats, Ints, State, Stream
from streamdrift.references.recall import NO_RECALL, Moving
from streamdrift.references.shares import Cells, cells_of
from streamdrift.trees import array, trees, values


def _uncounted(function: Function) -> Function:
    """Compile a kernel that counts no references: it, and what it calls, must allocate nothing.

    What is inlined gives each array another name, and at every value numba would count these: that
    takes longer than the bets. The caller keeps the arrays alive.
    """
    compiled: Any = kernel(function)
    compiled.targetoptions["_nrt"] = False
    return cast(Function, compiled)


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
        self.sums = Sums(slots, BETS, Stream.CATEGORY)
        self._weights: Factors = np.zeros((slots, BETS), dtype=np.float32)
        self._bets: Codes = np.zeros((slots, BETS), dtype=np.int32)
        self._alike: Codes = np.zeros((slots, BETS), dtype=np.int32)
        self._seen, self._times = np.zeros((slots, BETS)), np.ones((slots, BETS))
        """What each bet is on, but for those on new levels, and the groups of that; how often it
        counts as seen, and what that is multiplied by: see `advance`."""
        self._stakes = np.ones((slots, BETS))
        """What a value makes of bets it is outside of: of the adaptive ones what they stake."""
        self._factors = np.ones(BETS)
        """Where the factors of a value are worked out."""
        self._known = np.zeros(slots, dtype=np.int64)
        self._counts: list[Floats] = [np.zeros(0) for _ in range(slots)]
        self._kin: list[Bytes] = [np.zeros(0, dtype=np.uint8) for _ in range(slots)]
        """The groups of cells that are alike: an urn of groups, and of cells in each."""
        self._totals: list[Floats] = [np.zeros((2, 0)) for _ in range(slots)]
        self._memories: list[Floats] = [np.zeros((ADAPTIVE, 0)) for _ in range(slots)]
        self._scales = np.ones((slots, ADAPTIVE))
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
            count(counts, self._kin[slot], self._totals[slot], figures, cell, -1.0)
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
        self._memories[slot] = np.tile(learned / learned.sum(), (ADAPTIVE, 1))
        self._scales[slot] = 1.0
        self.sums.begin(slot, self._weights[slot], run_length)

    def _learn(self, slot: int, cells: Cells) -> None:
        """Count what the reference lets expect, and decide which levels are bet on."""
        expected, kin = cells.counts, cells.groups
        counts = expected * cells.strengths[kin]
        totals: Floats = np.stack([np.bincount(kin, expected), np.bincount(kin, counts)])
        self._counts[slot], self._kin[slot], self._totals[slot] = counts, kin, totals
        size, singles = expected.sum(), min(MOST_SINGLES, len(expected) - 1)
        half = min(int(np.searchsorted(np.cumsum(expected), size / 2)) + 1, len(expected) - 1)
        part = kin[:half] == kin[half - 1]
        whole = expected[:half][~part].sum()
        self._figures[slot] = size, singles, half, whole, counts[:half][part].sum()
        self._bet(slot)

    def _bet(self, slot: int) -> None:
        """Decide what each bet is on, and what it weighs."""
        singles = int(self._figures[slot, SINGLES])
        self._weights[slot] = weights_of(singles, self._recalls[slot].chances)
        self._bets[slot], self._alike[slot] = levels_of_bets(singles, self._kin[slot])
        self._look_up(slot)

    def _look_up(self, slot: int) -> None:
        """Let the bets know how many values were in what they are on."""
        counts, kin, totals = self._counts[slot], self._kin[slot], self._totals[slot]
        alike = self._alike[slot]
        self._seen[slot] = 0.0
        times = np.append(totals[SEEN] / totals[WEIGHT], 1.0)
        self._times[slot] = times[alike]
        look_all_up(counts, kin, totals, self._figures[slot], self._seen[slot])

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
