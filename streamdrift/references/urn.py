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
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import inlined, kernel, uniform_hash
from streamdrift.records import Bools, Codes, Floats, Ints, State

_PLACES = (
    4, 12, 31, 73, 154, 287, 478, 725, 1024, 1354, 1720, 2112, 2525, 2954, 3397, 3851, 4315, 4785,
    5262, 5743, 6229, 7208,
)  # fmt: skip
"""Which order statistics are borders, below the median, in 1 / 16,384 of the reference: denser
towards the tail, where the factors of detectors bend most."""
QUANTILES: Floats = np.array([*_PLACES, 8_192, *(16_384 - each for each in _PLACES[::-1])]) / 16_384
BORDERS = len(QUANTILES)
LATE = 10_000
"""Values from which on counting is delayed."""
_LONGEST_BLOCK = 50_000
_MANY = 2**30
"""A slot that has counted more goes on with half of it."""
_LARGEST = float(np.finfo(np.float64).max)
_GREATEST = float(np.finfo(np.float32).max)
"""Infinite values, and places, count as these."""

Singles = NDArray[np.float32]
Cells = NDArray[np.uint16]
NOTHING = 65_535
"""In place of a cell, where there is no value."""
CENTRE, UNIT = range(2)
"""Places in a slot's scale: the middle border, and one over the spread."""
FILLED, ORDINAL, SEED, TENTHS, TIED = range(5)
"""Places in a slot's positions: values in the block being filled, values ranked so far, the seed
of the coins, how many tenths of all values a block has, and the cell of the one value that many
of the reference are equal to, -1 where there is none."""
_MANY_EQUAL = 0.4
"""Share of a reference that is equal from which on ranks by coins would blur what values tell."""
NO_TIES: Floats = np.empty((0, 0, 2))


@dataclass(frozen=True, slots=True)
class Counts:
    """A reference's distribution.

    `borders` float64[m], ascending, m at most BORDERS; a value that repeats in the reference
    stands there twice, and its mass is that of the cell between. `cumulative` int32[m + 2]:
    cell c has cumulative[c + 1] - cumulative[c] of all cumulative[m + 1] values. A value
    equal to a single border belongs to the cell below.
    """

    borders: Floats
    cumulative: Codes

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the counts of float64[n], none of them NaN."""
        ordered = np.sort(np.nan_to_num(values))
        borders = _borders(ordered)
        below = np.searchsorted(ordered, borders, side="left")
        through = np.searchsorted(ordered, borders, side="right")
        cumulative = np.zeros(len(borders) + 2, dtype=np.int32)
        cumulative[1:-1] = through
        # The first of two equal borders has what is below it, the second what is equal, too.
        first_of_two = np.flatnonzero(borders[:-1] == borders[1:])
        cumulative[1 + first_of_two] = below[first_of_two]
        # The gap above the last value counts one (and that below the first, if it has none).
        cumulative[1:] += max(0, 1 - int(cumulative[1]))
        cumulative[-1] = max(len(ordered), int(cumulative[-2])) + 1
        return cls(borders, cumulative)

    @property
    def tied(self) -> int:
        """The cell of the one value that many are equal to; -1 where there is none."""
        twice = self.borders[1:] == self.borders[:-1]
        cells = np.where(twice, np.diff(self.cumulative)[1:-1], 0)
        many = len(cells) > 0 and cells.max() >= _MANY_EQUAL * self.cumulative[-1]
        return int(np.argmax(cells)) + 1 if many else -1

    def snapshot(self) -> State:
        """Return the arrays as they are."""
        return {"borders": self.borders, "cumulative": self.cumulative}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        return cls(np.asarray(state["borders"]), np.asarray(state["cumulative"]))


def _borders(ordered: Floats) -> Floats:
    """Return as many of the order statistics as fit, those that repeat twice."""
    size = len(ordered)
    if size == 0:
        return np.zeros(0)
    for step in (1, 2, 3, 4, 6):
        places = np.clip((QUANTILES[step // 2 :: step] * size).astype(np.int64), 1, size) - 1
        edges = np.unique(ordered[places])
        repeats = np.searchsorted(ordered, edges, "right") - np.searchsorted(ordered, edges) > 1
        borders: Floats = np.repeat(edges, np.where(repeats, 2, 1))
        if len(borders) <= BORDERS:
            return borders
    raise AssertionError("a sixth of the quantiles, twice, are fewer than all")


def _scale(borders: Floats) -> tuple[float, float]:
    """Return the middle of ascending borders, and one over the spread of their middle half."""
    if not len(borders):
        return 0.0, 1.0
    centre = float(borders[len(borders) // 2])
    spread = float(borders[3 * len(borders) // 4] - borders[len(borders) // 4])
    usable = np.isfinite(spread) and spread > np.finfo(np.float64).tiny
    return centre, 1 / spread if usable else 1.0


def _places_of_borders(borders: Floats, centre: float, unit: float) -> Singles:
    """Return where borders stand, in units of spread from the centre.

    The first of two equal ones, of a value that repeats, stands right below it: so the value lies
    between them.
    """
    places = np.clip((borders - centre) * unit, -_GREATEST, _GREATEST).astype(np.float32)
    twice = np.zeros(len(places), dtype=np.bool_)
    twice[:-1] = places[:-1] == places[1:]
    twice[1:] &= places[1:] != places[:-1]
    places[twice] = np.nextafter(places[twice], np.float32(-np.inf))
    return places


@inlined
def place_of(value: float, centre: float, unit: float) -> np.float32:
    """Return where a value stands, in units of spread from the centre of its reference."""
    finite = min(max(value, -_LARGEST), _LARGEST)
    return np.float32(min(max((finite - centre) * unit, -_GREATEST), _GREATEST))


@inlined
def cell_of(borders: Singles, place: np.float32) -> int:
    """Return the cell of one value by its place: how many borders lie below."""
    below = 0
    for each in range(BORDERS):
        below += int(borders[each] < place)
    return below


@kernel
def fill_cells(
    borders: Singles, scale: Floats, values: Floats, places: Singles, cells: Cells
) -> None:
    """Write the cells of values float64[n] into `cells`.

    `borders` float32[BORDERS] and `scale` float64[2] are a slot's; in `places` is room for n.
    """
    centre, unit = scale[CENTRE], scale[UNIT]
    for each in range(len(values)):
        places[each] = place_of(values[each], centre, unit)
        cells[each] = 0
    # Some borders after the other, for all values: other than a search that is a vector loop.
    for first in range(0, BORDERS, 5):
        one, two, three = borders[first], borders[first + 1], borders[first + 2]
        four, five = borders[first + 3], borders[first + 4]
        for each in range(len(values)):
            place = places[each]
            cells[each] += (
                np.uint16(one < place)
                + np.uint16(two < place)
                + np.uint16(three < place)
                + np.uint16(four < place)
                + np.uint16(five < place)
            )
    for each in range(len(values)):
        if np.isnan(values[each]):
            cells[each] = NOTHING


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
        self.scales[slot] = centre, unit = _scale(counts.borders)
        self.borders[slot] = np.inf
        self.borders[slot, :size] = _places_of_borders(counts.borders, centre, unit)
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
