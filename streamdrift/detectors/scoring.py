"""From signals' values to the scores that detectors see.

Of a numeric signal the front takes off what it explains, and the rest becomes a rank among all
that was seen while nothing changed. A rate is its own score; where its values have chances of their
own, that is the middle that says both (`references.chances`). A category's score is the level's
surprisal under the reference, ranked: common levels low, rare ones high, uniform on [0, 1].
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdrift.detectors.categories import cell_of as cell_of_level
from streamdrift.detectors.categories import cells_of
from streamdrift.detectors.learning import Reference
from streamdrift.kernels import kernel, uniform_hash
from streamdrift.records import Codes, Floats, Ints, State, Stream
from streamdrift.references.chances import fill_evened, fill_middles
from streamdrift.references.front import Front
from streamdrift.references.urn import CENTRE, UNIT, Singles, Urns, cell_of, place_of
from streamdrift.trees import array, integer, tree, trees

_NO_TIMES: Ints = np.empty(0, dtype=np.int64)


class Copies(NamedTuple):
    """Where signals were before they were scored: to go back to."""

    places: dict[int, int]
    """By signal, its place in `urns`."""
    urns: tuple[Codes, NDArray[np.uint16], Ints]
    fronts: dict[int, Floats]
    ordinals: Ints


class Scoring:
    """What scores the values of many signals. `references` are theirs, `seeds` their coins'."""

    def __init__(self, references: Sequence[Reference], seeds: Sequence[int]) -> None:
        self._streams = [reference.expected.stream for reference in references]
        numeric = [s for s, stream in enumerate(self._streams) if stream is Stream.NUMERIC]
        self._slot = np.full(len(references), -1, dtype=np.int64)
        self._slot[numeric] = np.arange(len(numeric))
        self._seeds = list(seeds)
        self.urns = Urns(len(numeric))
        self._fronts: dict[int, Front] = {}
        self._means = np.array([reference.expected.mean for reference in references])
        self._levels: list[Floats] = [np.zeros(0) for _ in references]
        """Cumulative shares of a category's cells."""
        self._known = np.zeros(len(references), dtype=np.int64)
        self.ordinals = np.zeros(len(references), dtype=np.int64)
        """Levels scored so far."""
        for signal, reference in enumerate(references):
            self.learn(signal, reference)

    def learn(self, signal: int, reference: Reference) -> None:
        """Hold a signal against another reference from now on."""
        stream = self._streams[signal]
        self._means[signal] = reference.expected.mean
        self._fronts.pop(signal, None)
        if reference.front is not None:
            self._fronts[signal] = reference.front.copy()
        if stream is Stream.CATEGORY:
            cells = cells_of(reference.expected.counts, reference.expected.closed)
            self._levels[signal] = np.concatenate([[0.0], np.cumsum(cells) / cells.sum()])
            self._known[signal] = len(reference.expected.counts)
        if stream is not Stream.NUMERIC:
            return
        assert reference.counts is not None
        slot, seed = int(self._slot[signal]), self._seeds[signal]
        self.urns.learn(slot, reference.counts, seed, reference.tenths)

    def score(
        self, values: Floats, times: Ints, signals: Sequence[int], start: Ints, scores: Floats
    ) -> Copies:
        """Write the scores of `signals` from their columns start[signal] on; learn from them.

        `values` and `scores` are float64[count, n], equal where nothing is scored yet; `times`
        int64[n].
        """
        numeric = np.array(
            [s for s in signals if self._streams[s] is Stream.NUMERIC], dtype=np.int64
        )
        slots = self._slot[numeric]
        fronts = {s: self._fronts[s].state.copy() for s in signals if s in self._fronts}
        copies = Copies(
            {signal: place for place, signal in enumerate(numeric.tolist())},
            self.urns.copy_of(slots),
            fronts,
            self.ordinals.copy(),
        )
        size = values.shape[1]
        # Scores are values until they are scored; a front leaves there what it does not explain.
        for signal in fronts:
            row = scores[signal]
            self._follow(signal, values, times, int(start[signal]), size, True, row)
        self.urns.rank(slots, numeric, start[numeric], scores)
        for signal in signals:
            if signal in fronts and self._streams[signal] is Stream.RATE:
                self._to_middles(values[signal], int(start[signal]), size, scores[signal])
            if self._streams[signal] is Stream.CATEGORY:
                self._score_levels(signal, values[signal], int(start[signal]), scores[signal])
        return copies

    def _to_middles(self, flags: Floats, start: int, stop: int, left: Floats) -> None:
        """Turn what chances leave of flags[start:stop] into middles, in place."""
        fill_middles(flags, left, start, stop, left)

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

    def _follow(
        self,
        signal: int,
        values: Floats,
        times: Ints,
        start: int,
        stop: int,
        learn: bool,
        left: Floats,
    ) -> None:
        front = self._fronts[signal]
        clock = times if front.needs_times else _NO_TIMES
        front.take(values[signal], clock, start, stop, learn, left)

    def quicken(self, signal: int, age: float, within: float) -> None:
        """Let a signal's slow level follow quicker; see `Front`."""
        if signal in self._fronts:
            self._fronts[signal].quicken(age, within)

    def go_back(
        self, signal: int, copies: Copies, values: Floats, times: Ints, start: int, stop: int
    ) -> None:
        """Be as if only the signal's columns start to stop had been scored since `copies`."""
        self.ordinals[signal] = copies.ordinals[signal]
        if self._streams[signal] is Stream.CATEGORY:
            self.ordinals[signal] += np.count_nonzero(~np.isnan(values[signal, start:stop]))
            return
        if self._streams[signal] is Stream.RATE:
            self.follow_to(signal, copies.fronts.get(signal), values, times, start, stop, True)
            return
        slot = self._slot[signal]
        self.urns.go_back(int(slot), copies.urns, copies.places[signal])
        row = values[signal : signal + 1, :stop].copy()
        if signal in copies.fronts:
            self._fronts[signal].state[:] = copies.fronts[signal]
            self._follow(signal, values, times, start, stop, True, row[0])
        one, first = np.array([slot]), np.zeros(1, dtype=np.int64)
        self.urns.rank(one, first, np.array([start]), row)

    def front(self, signal: int) -> Front | None:
        """Return what explains a signal's values, if anything does; it moves on with them."""
        return self._fronts.get(signal)

    def forget(self, signal: int, since: Floats) -> None:
        """Count as normal neither a numeric signal's scores `since` its change, nor any not yet."""
        if self._streams[signal] is Stream.NUMERIC:
            self.urns.take_back(int(self._slot[signal]), since)
            self.urns.forget(int(self._slot[signal]))

    def cells(self, signal: int, values: Floats, times: Ints, start: int) -> Ints:
        """Return the cells of a held signal's values, int64[n], -1 where there is none.

        Those before `start` are not looked at. Nothing is learned; the memory of a front
        moves on: `follow_to` puts it where the signal is.
        """
        row, found = values[signal], np.full(values.shape[1], -1, dtype=np.int64)
        if self._streams[signal] is Stream.NUMERIC:
            left = row.copy()
            if signal in self._fronts:
                self._follow(signal, values, times, start, len(row), False, left)
            slot = self._slot[signal]
            _cells_of_numbers(self.urns.borders[slot], self.urns.scales[slot], left, start, found)
        elif signal in self._fronts:
            ordinal, left = self._fronts[signal].seen, np.empty(len(row))
            self._follow(signal, values, times, start, len(row), False, left)
            self._to_middles(row, start, len(row), left)
            mean, seed = float(self._means[signal]), self._seeds[signal]
            fill_evened(left, mean, seed, ordinal, start, len(row), found)
        elif self._streams[signal] is Stream.RATE:
            there = start + np.flatnonzero(~np.isnan(row[start:]))
            found[there] = row[there] > 0
        else:
            cells = len(self._levels[signal]) - 1
            _cells_of_levels(row, cells, int(self._known[signal]), start, found)
        return found

    def cells_of_scores(self, signal: int, scores: Floats) -> Ints:
        """Return the cells of scores, int64[n]: of ranks those among what is counted now.

        The scores of a category are the levels' places.
        """
        if signal in self._fronts and self._streams[signal] is Stream.RATE:
            found = np.empty(len(scores), dtype=np.int64)
            mean, seed = float(self._means[signal]), self._seeds[signal]
            # Of coins that no later value has.
            ordinal = self._fronts[signal].seen - len(scores)
            fill_evened(scores, mean, seed, ordinal, 0, len(scores), found)
            return found
        if self._streams[signal] is Stream.RATE:
            return (scores > 0).astype(np.int64)
        if self._streams[signal] is Stream.CATEGORY:
            found = np.empty(len(scores), dtype=np.int64)
            cells = len(self._levels[signal]) - 1
            _cells_of_levels(scores, cells, int(self._known[signal]), 0, found)
            return found
        return self.urns.cells_of_ranks(int(self._slot[signal]), scores)

    def front_state(self, signal: int) -> Floats | None:
        """Return a copy of the state of a signal's front, if it has one."""
        return self._fronts[signal].state.copy() if signal in self._fronts else None

    def follow_to(
        self,
        signal: int,
        state: Floats | None,
        values: Floats,
        times: Ints,
        start: int,
        stop: int,
        learn: bool = False,
    ) -> None:
        """Be as if only the signal's columns start to stop had been seen since `state`."""
        if state is not None:
            self._fronts[signal].state[:] = state
            self._follow(signal, values, times, start, stop, learn, values[signal].copy())

    def in_cells(self, signal: int) -> Floats:
        """Return how often a numeric signal has shown each cell."""
        cumulative = self.urns.cumulative[self._slot[signal]]
        counts: Floats = np.diff(cumulative).astype(np.float64)
        return counts

    def snapshot(self) -> State:
        """Return what moves on, and the references it began with."""
        return {
            "urns": self.urns.snapshot(),
            "fronts": [
                {"signal": signal, "front": self._fronts[signal].snapshot()}
                for signal in sorted(self._fronts)
            ],
            "ordinals": self.ordinals.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over the snapshot of as many signals with the same references."""
        self.urns.restore(tree(state, "urns"))
        self._fronts = {
            integer(each, "signal"): Front.restore(tree(each, "front"))
            for each in trees(state, "fronts")
        }
        self.ordinals = array(state, "ordinals").astype(np.int64)


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


@kernel
def _cells_of_numbers(
    borders: Singles, scale: Floats, values: Floats, start: int, cells: Ints
) -> None:
    for column in range(start, len(values)):
        if not np.isnan(values[column]):
            cells[column] = cell_of(borders, place_of(values[column], scale[CENTRE], scale[UNIT]))


@kernel
def _cells_of_levels(places: Floats, size: int, known: int, start: int, cells: Ints) -> None:
    for column in range(start, len(places)):
        if not np.isnan(places[column]):
            cells[column] = cell_of_level(places[column], size, known)
