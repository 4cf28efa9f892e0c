"""From signals' values to the scores that detectors see.

Of a numeric signal the front takes off what it explains, and the rest becomes a rank among all
that was seen while nothing changed. A rate is its own score; where its values have chances of their
own, that is the middle that says both (`references.chances`). A category's score is the level's
surprisal under the reference, ranked: common levels low, rare ones high, uniform on [0, 1].
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.block import Block
from streamdrift.detectors.category_bets import cell_of as cell_of_level
from streamdrift.detectors.learning import Reference
from streamdrift.kernels import inlined, kernel, uniform_hash
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.references.binning import NOTHING, Cells
from streamdrift.references.chances import code_of, evened, fill_middles, middles_of
from streamdrift.references.front import Front
from streamdrift.references.fronts import Fronts
from streamdrift.references.shares import cells_of
from streamdrift.references.urn import Urns, UrnState
from streamdrift.trees import array, tree

_MOST = NOTHING - 1
"""The greatest place of a level that has a code of its own."""


class Copies(NamedTuple):
    """Where signals were before they were scored: to go back to."""

    block: Block
    start: Ints
    """From which column of it on each signal was scored."""
    places: Ints
    """By signal, its place in `urns`."""
    urns: UrnState
    fronts: Floats
    ordinals: Ints


class Scoring:
    """What scores the values of many signals. `references` are theirs, `seeds` their coins'."""

    def __init__(self, references: Sequence[Reference], seeds: Sequence[int]) -> None:
        self._streams = [reference.expected.stream for reference in references]
        self._numeric, self._leveled = (
            np.array([each is stream for each in self._streams], dtype=np.bool_)
            for stream in (Stream.NUMERIC, Stream.CATEGORY)
        )
        self._slot = np.cumsum(self._numeric) - 1
        self._seeds = list(seeds)
        self.urns = Urns(int(self._numeric.sum()))
        self._fronts = Fronts(len(references))
        self._means = np.zeros(len(references))
        self._levels: list[Floats] = [np.zeros(0) for _ in references]
        """Cumulative shares of a category's cells."""
        self._known = np.zeros(len(references), dtype=np.int64)
        self.ordinals = np.zeros(len(references), dtype=np.int64)
        """Values scored so far, but for numbers, which urns count."""
        for signal, reference in enumerate(references):
            self.learn(signal, reference)

    def learn(self, signal: int, reference: Reference) -> None:
        """Hold a signal against another reference from now on."""
        stream = self._streams[signal]
        self._means[signal] = reference.expected.mean
        self._fronts.put(signal, None if reference.front is None else reference.front.copy())
        if stream is Stream.CATEGORY:
            cells = cells_of(reference.expected.counts, reference.expected.closed).counts
            self._levels[signal] = np.concatenate([[0.0], np.cumsum(cells) / cells.sum()])
            self._known[signal] = len(reference.expected.counts)
        if stream is not Stream.NUMERIC:
            return
        assert reference.counts is not None
        slot, seed = int(self._slot[signal]), self._seeds[signal]
        self.urns.learn(slot, reference.counts, seed, reference.tenths)

    def score(self, block: Block, signals: Ints, start: Ints) -> Copies:
        """Fill in the scores and codes of `signals` from their columns start[signal] on.

        Numbers are learned from. The scores are the values where nothing is scored yet.
        """
        numeric = signals[self._numeric[signals]]
        slots, places = self._slot[numeric], np.full(len(self._streams), -1)
        places[numeric] = np.arange(len(numeric))
        urns, fronts = self.urns.copy_of(slots), self._fronts.states()
        copies = Copies(block, start, places, urns, fronts, self.ordinals.copy())
        fronted = signals[self._fronts.there[signals]]
        # A front leaves there what it does not explain.
        self._fronts.follow(fronted, block.values, block.times, start, block.scores)
        self.urns.rank(slots, numeric, start[numeric], block.scores, block.codes, block.ties)
        others = signals[~self._numeric[signals]]
        levels = self._leveled[others]
        _fill_codes(block.values, others, start[others], levels, block.codes)
        for signal in others[self._fronts.there[others]].tolist():
            begin, row = int(start[signal]), block.scores[signal]
            fill_middles(block.values[signal], row, begin, len(row), row)
            _fill_codes_of_middles(row, begin, block.codes[signal])
        _count(block.codes, others[~levels], start, self.ordinals)
        for signal in others[levels].tolist():
            self._score_levels(
                signal, block.values[signal], int(start[signal]), block.scores[signal]
            )
        return copies

    def _score_levels(self, signal: int, values: Floats, start: int, scores: Floats) -> None:
        self.ordinals[signal] = _rank_levels(
            self._levels[signal],
            self._known[signal],
            self._seeds[signal],
            self.ordinals[signal],
            values,
            start,
            scores,
        )

    def quicken(self, signal: int, age: float, within: float) -> None:
        """Let a signal's slow level follow quicker; see `Front`."""
        front = self._fronts.of(signal)
        if front is not None:
            front.quicken(age, within)

    def go_back(self, signal: int, copies: Copies, stop: int) -> None:
        """Be as if only the signal's columns up to `stop` had been scored since `copies`."""
        block, start = copies.block, int(copies.start[signal])
        self.ordinals[signal] = copies.ordinals[signal]
        if not self._numeric[signal]:
            codes = block.codes[signal, start:stop]
            self.ordinals[signal] += np.count_nonzero(codes != NOTHING)
        else:
            self.urns.go_back(int(self._slot[signal]), urn_at(signal, copies, stop))
        if self._fronts.there[signal]:
            front = self._fronts.go_back(signal, copies.fronts)
            values = block.values[signal]
            front.take(values, block.times, start, stop, True, np.empty(len(values)))

    def seen(self, signal: int) -> int:
        """Return how many of a signal's values were scored so far."""
        if self._numeric[signal]:
            return self.urns.seen(int(self._slot[signal]))
        return int(self.ordinals[signal])

    def urn(self, signal: int) -> UrnState:
        """Return what a numeric signal's values are ranked by; it moves on with them."""
        return self.urns.state(int(self._slot[signal]))

    def front(self, signal: int) -> Front | None:
        """Return what explains a signal's values, if anything does; it moves on with them."""
        return self._fronts.of(signal)

    def forget(self, signal: int, since: Cells) -> None:
        """Count as normal neither a numeric signal's values `since` its change, nor any not yet."""
        if self._streams[signal] is Stream.NUMERIC:
            self.urns.take_back(int(self._slot[signal]), since)

    def cells(self, signal: int, values: Floats, times: Ints, start: int) -> Ints:
        """Return the cells of a held signal's values, int64[n], -1 where there is none.

        Those before `start` are not looked at. Nothing is learned; the memory of a front
        moves on: `follow_to` puts it where the signal is.
        """
        row, found = values[signal], np.full(values.shape[1], -1, dtype=np.int64)
        left, front = row.copy(), self._fronts.of(signal)
        coins = 0 if front is None else front.seen
        if front is not None:
            front.take(row, times, start, len(row), False, left)
        if self._streams[signal] is Stream.NUMERIC:
            codes = self.urns.cells_of(int(self._slot[signal]), left[start:])
            found[start:] = np.where(codes == NOTHING, -1, codes.astype(np.int64))
        elif front is not None:
            fill_middles(row, left, start, len(row), left)
            found[start:] = self._evened(signal, left[start:], coins)
        elif self._streams[signal] is Stream.RATE:
            there = start + np.flatnonzero(~np.isnan(row[start:]))
            found[there] = row[there] > 0
        else:
            cells = len(self._levels[signal]) - 1
            _cells_of_levels(row, cells, int(self._known[signal]), start, found)
        return found

    def cells_of_codes(self, signal: int, codes: Cells) -> Ints:
        """Return the cells of values, int64[n], by their codes."""
        front = self._fronts.of(signal)
        if front is not None and self._streams[signal] is Stream.RATE:
            # By coins that later values do not have.
            return self._evened(signal, middles_of(codes), front.seen - len(codes))
        if self._streams[signal] is not Stream.CATEGORY:
            return codes.astype(np.int64)
        found = np.empty(len(codes), dtype=np.int64)
        cells = len(self._levels[signal]) - 1
        _cells_of_levels(codes.astype(np.float64), cells, int(self._known[signal]), 0, found)
        return found

    def _evened(self, signal: int, middles: Floats, coins: int) -> Ints:
        """Return 0s and 1s of one chance for middles, -1 for none; `coins` were taken before."""
        return evened(middles, float(self._means[signal]), self._seeds[signal], coins)

    def front_state(self, signal: int) -> Floats | None:
        """Return a copy of the state of a signal's front, if it has one."""
        front = self._fronts.of(signal)
        return None if front is None else front.state.copy()

    def follow_to(
        self, signal: int, state: Floats | None, values: Floats, times: Ints, start: int, stop: int
    ) -> None:
        """Be as if only the held signal's columns start to stop had been seen since `state`."""
        front, row = self._fronts.of(signal), values[signal]
        if front is not None and state is not None:
            front.state[:] = state
            front.take(row, times, start, stop, False, np.empty(len(row)))

    def in_cells(self, signal: int) -> Floats:
        """Return how often a numeric signal has shown each cell."""
        cumulative = self.urns.cumulative[self._slot[signal]]
        counts: Floats = np.diff(cumulative).astype(np.float64)
        return counts

    def snapshot(self) -> State:
        """Return what moves on."""
        return {
            "urns": self.urns.snapshot(),
            "fronts": self._fronts.snapshot(),
            "ordinals": self.ordinals.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over the snapshot of as many signals with the same references."""
        self.urns.restore(tree(state, "urns"))
        self._fronts.restore(tree(state, "fronts"))
        self.ordinals = array(state, "ordinals").astype(np.int64)


def urn_at(signal: int, copies: Copies, stop: int) -> UrnState:
    """Return what a numeric signal's values were ranked by before column `stop`.

    All of the columns have been scored since `copies`.
    """
    state = copies.urns.at(copies.places[signal])
    state.move_on(copies.block.codes[signal, int(copies.start[signal]) : stop])
    return state


@kernel
def _rank_levels(
    cumulative: Floats,
    known: int,
    seed: int,
    ordinal: int,
    places: Floats,
    start: int,
    ranks: Floats,
) -> int:
    """Write the ranked surprisals of places[start:]; return the new ordinal."""
    for column in range(start, len(places)):
        if np.isnan(places[column]):
            ranks[column] = np.nan
            continue
        cell = cell_of_level(places[column], len(cumulative) - 1, known)
        width = cumulative[cell + 1] - cumulative[cell]
        ranks[column] = cumulative[cell] + uniform_hash(seed, ordinal) * width
        ordinal += 1
    return ordinal


@inlined
def code_of_level(place: float) -> int:
    """Return what a level's place is kept as: itself, but for the greatest."""
    return int(min(place, float(_MOST)))


@kernel
def _fill_codes(values: Floats, rows: Ints, start: Ints, levels: Bools, codes: Cells) -> None:
    """Write the codes of rates, and of categories where `levels` bool[k] says so."""
    for each in range(len(rows)):
        row, own = values[rows[each]], codes[rows[each]]
        for column in range(start[each], len(row)):
            value = row[column]
            if np.isnan(value):
                own[column] = NOTHING
            elif levels[each]:
                own[column] = code_of_level(value)
            else:
                own[column] = 1 if value > 0.0 else 0


@kernel
def _count(codes: Cells, rows: Ints, start: Ints, ordinals: Ints) -> None:
    """Count values by their codes[rows[i], start[rows[i]]:]."""
    for row in rows:
        for column in range(start[row], codes.shape[1]):
            ordinals[row] += np.int64(codes[row, column] != NOTHING)


@kernel
def _fill_codes_of_middles(middles: Floats, start: int, codes: Cells) -> None:
    for column in range(start, len(middles)):
        codes[column] = NOTHING if np.isnan(middles[column]) else code_of(middles[column])


@kernel
def _cells_of_levels(places: Floats, size: int, known: int, start: int, cells: Ints) -> None:
    for column in range(start, len(places)):
        if not np.isnan(places[column]):
            cells[column] = cell_of_level(places[column], size, known)
