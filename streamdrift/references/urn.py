"""Ranks that go on learning: where a value stands among all that were seen before it.

A reference is kept as counts between some of its order statistics. The rank of a value is its
place in these counts, at random within its cell, and then the value is counted itself: a Polya
urn. Of continuous and independent values whose counting is not delayed the ranks are exactly
uniform and independent, whatever the size of the reference: given the n values so far, the next
falls into a gap of k of them with chance k / (n + 1).

From LATE values on, counting is delayed by a block or two of a tenth of all: a change does not
teach itself at once.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import inlined, kernel, uniform_hash
from streamdrift.records import Bools, Codes, Floats, Ints, State
from streamdrift.references.binning import (
    NOTHING,
    Cells,
    Singles,
    fill_cells,
    places_of_borders,
    scale_of,
)
from streamdrift.references.counts import BORDERS, Counts

LATE = 10_000
"""Values from which on counting is delayed."""
_LONGEST_BLOCK = 50_000
_MANY = 2**30
"""A slot that has counted more goes on with half of it."""
FILLED, ORDINAL, SEED, TENTHS, TIED = range(5)
"""Places in a slot's positions: values in the block being filled, values ranked so far, the seed
of the coins, how many tenths of all values a block has, and the cell of the one value that many
of the reference are equal to, -1 where there is none."""
NO_TIES: Floats = np.empty((0, 0, 2))


@inlined
def _block_of(size: np.int64, tenths: np.int64) -> np.int64:
    """Return how many values are noted until those before them are counted."""
    return min(size * tenths // 10, np.int64(_LONGEST_BLOCK))


@kernel
def _count_block(cumulative: Codes, pending: NDArray[np.uint16]) -> None:
    """Count the block before the one that is full, which takes its place."""
    if cumulative[BORDERS + 1] > _MANY:
        for place in range(BORDERS + 2):
            cumulative[place] //= 2
    counted = 0
    for cell in range(BORDERS + 1):
        counted += pending[1, cell]
        cumulative[cell + 1] += counted
        pending[1, cell] = pending[0, cell]
        pending[0, cell] = 0


@kernel
def rank_row(
    cumulative: Codes,
    pending: NDArray[np.uint16],
    positions: Ints,
    cells: Cells,
    ranks: Floats,
    ties: Floats,
) -> None:
    """Write the ranks of values float64[n], by their cells; count each, or note it to be.

    `ties` float64[n, 2], where there are any rows, take between which ranks the coin chose one, of
    the value that many others are equal to; 0 and 0 for all others.

    One slot's arrays: cumulative int32[BORDERS + 2], pending uint16[2, BORDERS + 1] (the block
    being filled, the one before), positions int64[5].
    """
    size, filled = np.int64(cumulative[BORDERS + 1]), positions[FILLED]
    ordinal, seed, tenths = positions[ORDINAL], positions[SEED], positions[TENTHS]
    block = _block_of(size, tenths)
    filling = pending[0]
    for event in range(len(cells)):
        # Unsigned: no index counts from the end.
        cell = np.uint32(cells[event])
        if cell == NOTHING:
            continue
        first, last = cumulative[cell], cumulative[cell + np.uint32(1)]
        if len(ties):
            tied = np.int64(cell) == positions[TIED]
            ties[event, 0] = first / size if tied else 0.0
            ties[event, 1] = last / size if tied else 0.0
        ranks[event] = (first + uniform_hash(seed, ordinal) * (last - first)) / size
        ordinal += 1
        if size < LATE:
            for place in range(BORDERS + 2):
                cumulative[place] += np.int32(place > cell)
            size += 1
            block = _block_of(size, tenths)
            continue
        filling[cell] += np.uint16(1)
        filled += 1
        if filled >= block:
            _count_block(cumulative, pending)
            size, filled = np.int64(cumulative[BORDERS + 1]), 0
            block = _block_of(size, tenths)
    positions[FILLED], positions[ORDINAL] = filled, ordinal


@kernel
def _take_back(cumulative: Codes, pending: NDArray[np.uint16], cells: Cells) -> None:
    """Let the last values, by their cells, not be counted."""
    # Those that are noted only are the last.
    for event in range(len(cells) - np.int64(pending.sum())):
        for later in range(np.int64(cells[event]) + 1, BORDERS + 2):
            cumulative[later] -= 1


@kernel
def _ranks_of_last(
    cumulative: Codes, pending: NDArray[np.uint16], positions: Ints, cells: Cells, ranks: Floats
) -> None:
    """Write the ranks that the last values had, by their cells.

    Going back, each that was counted at once is not counted any more. What a block of counting
    added since is not known, and was not from these values.
    """
    counts, noted = cumulative.copy(), np.int64(pending.sum())
    for back in range(1, len(cells) + 1):
        cell = np.int64(cells[len(cells) - back])
        if back > noted and counts[BORDERS + 1] <= LATE:
            for place in range(cell + 1, BORDERS + 2):
                counts[place] -= 1
        coin = uniform_hash(positions[SEED], positions[ORDINAL] - back)
        width = counts[cell + 1] - counts[cell]
        ranks[len(cells) - back] = (counts[cell] + coin * width) / counts[BORDERS + 1]


@kernel
def _rank_all(
    borders: Singles,
    scales: Floats,
    cumulative: Codes,
    pending: NDArray[np.uint16],
    positions: Ints,
    slots: Ints,
    rows: Ints,
    start: Ints,
    values: Floats,
    cells: Cells,
    ties: Floats,
) -> None:
    places = np.empty(values.shape[1], dtype=np.float32)
    for each in range(len(slots)):
        slot = slots[each]
        row, own = values[rows[each], start[each] :], cells[rows[each], start[each] :]
        fill_cells(borders[slot], scales[slot], row, places, own)
        tied = ties[rows[each], start[each] :] if len(ties) else np.empty((0, 2))
        rank_row(cumulative[slot], pending[slot], positions[slot], own, row, tied)


class Tails(NamedTuple):
    """Which of some ranks lie below and above all that is told apart, and where that begins, ends.

    `below` and `above` bool[n]; `low` and `high` are ranks.
    """

    below: Bools
    above: Bools
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def none(cls, size: int) -> Self:
        """Return that all are known."""
        return cls(*np.zeros((2, size), dtype=np.bool_))

    def last(self, count: int) -> Self:
        """Return them of the last `count` ranks, 1 at least."""
        return self._replace(below=self.below[-count:], above=self.above[-count:])


class UrnState(NamedTuple):
    """What moves on in one slot: its `cumulative`, `pending` and `positions`."""

    cumulative: Codes
    pending: NDArray[np.uint16]
    positions: Ints

    def move_on(self, cells: Cells) -> None:
        """Take more values, by their cells."""
        rank_row(*self, cells, np.empty(len(cells)), np.empty((0, 2)))

    def at(self, place: int) -> Self:
        """Return a copy of one of several."""
        return type(self)(*(each[place].copy() for each in self))

    def ranks_of_last(self, cells: Cells) -> Floats:
        """Return the ranks that the last values had, by their cells: all since they were learned.

        They are exact, but for those of values before a block was counted.
        """
        ranks = np.empty(len(cells))
        _ranks_of_last(*self, cells, ranks)
        return ranks

    def tails(self, cells: Cells) -> Tails:
        """Return which values lie outside of all borders, by their cells."""
        size = self.cumulative[-1]
        last = int(np.searchsorted(self.cumulative, size)) - 1
        low, high = self.cumulative[1] / size, self.cumulative[last] / size
        return Tails(cells == 0, cells >= last, float(low), float(high))


class Urns:
    """The ranks of many signals; a signal's place is its slot. 610 bytes a slot, 380 move on.

    Borders are kept as float32 in units of the reference's spread from its centre: half the
    memory, twice as fast to compare, and the same whatever unit a feature is in.
    """

    def __init__(self, slots: int) -> None:
        self.borders: Singles = np.full((slots, BORDERS), np.inf, dtype=np.float32)
        self.scales: Floats = np.ones((slots, 2))
        self.cumulative: Codes = np.zeros((slots, BORDERS + 2), dtype=np.int32)
        self.pending: NDArray[np.uint16] = np.zeros((slots, 2, BORDERS + 1), dtype=np.uint16)
        self.positions: Ints = np.zeros((slots, 5), dtype=np.int64)

    def learn(self, slot: int, counts: Counts, seed: int, tenths: int = 1) -> None:
        """Give a slot a reference, the seed of its coins, and the length of its blocks."""
        size = len(counts.borders)
        self.scales[slot] = centre, unit = scale_of(counts.borders)
        self.borders[slot] = np.inf
        self.borders[slot, :size] = places_of_borders(counts.borders, centre, unit)
        self.cumulative[slot] = counts.cumulative[-1]
        self.cumulative[slot, : size + 1] = counts.cumulative[:-1]
        self.forget(slot)
        self.positions[slot, SEED:] = seed, tenths, counts.tied

    @property
    def tied(self) -> Bools:
        """Which slots have a value that many are equal to."""
        return self.positions[:, TIED] >= 0

    def seen(self, slot: int) -> int:
        """Return how many values of a slot were ranked so far, under whatever reference."""
        return int(self.positions[slot, ORDINAL])

    def forget(self, slot: int) -> None:
        """Drop what is not counted yet."""
        self.pending[slot] = 0
        self.positions[slot, FILLED] = 0

    def take_back(self, slot: int, cells: Cells) -> None:
        """Let the last values of a slot, by their cells, not be counted, nor any to be yet."""
        _take_back(self.cumulative[slot], self.pending[slot], cells)
        self.forget(slot)

    def rank(
        self,
        slots: Ints,
        rows: Ints,
        start: Ints,
        values: Floats,
        cells: Cells,
        ties: Floats = NO_TIES,
    ) -> None:
        """Put the ranks of values[rows[i], start[i]:] of slots[i] in their places.

        Their cells are written to those of `cells`, shaped alike. A NaN is no value, and stays.
        `ties` float64[rows, n, 2] may be empty; see `rank_row`.
        """
        _rank_all(
            self.borders,
            self.scales,
            self.cumulative,
            self.pending,
            self.positions,
            slots,
            rows,
            start,
            values,
            cells,
            ties,
        )

    def cells_of(self, slot: int, values: Floats) -> Cells:
        """Return the cells of values float64[n]; nothing is learned."""
        cells, places = np.empty(len(values), np.uint16), np.empty(len(values), np.float32)
        fill_cells(self.borders[slot], self.scales[slot], values, places, cells)
        return cells

    def state(self, slot: int) -> UrnState:
        """Return what moves on in a slot; it is no copy."""
        return UrnState(self.cumulative[slot], self.pending[slot], self.positions[slot])

    def copy_of(self, slots: Ints) -> UrnState:
        """Return what moves on in some slots, each at its place, to go back to it."""
        return UrnState(self.cumulative[slots], self.pending[slots], self.positions[slots])

    def go_back(self, slot: int, state: UrnState) -> None:
        """Put a slot back to where it was."""
        self.cumulative[slot] = state.cumulative
        self.pending[slot] = state.pending
        self.positions[slot] = state.positions

    def snapshot(self) -> State:
        """Return what moves on; the references are known to whoever restores it."""
        return {
            "cumulative": self.cumulative.copy(),
            "pending": self.pending.copy(),
            "ordinals": self.positions[:, ORDINAL].copy(),
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over the snapshot of as many slots that have the same references."""
        self.cumulative = np.array(state["cumulative"])
        self.pending = np.array(state["pending"])
        self.positions[:, FILLED] = self.pending[:, 0].sum(axis=1)
        self.positions[:, ORDINAL] = np.array(state["ordinals"])
