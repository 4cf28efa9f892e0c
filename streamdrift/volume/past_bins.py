"""The last bins of an event rate, and what they say of a change of it."""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.changes import Onset
from streamdrift.detectors import Evidence
from streamdrift.durations import SECOND
from streamdrift.records import Floats, Ints, State
from streamdrift.references.rhythm import Follower, back_at
from streamdrift.trees import array

_ROOM = 2_200
"""Bins kept: the next reference is learned from them."""
_NEAR = math.log(1.035)
_BACK, _BACK_TIME, _BACK_LEAST = 60, 3_600 * SECOND, 12
"""A rate that was within this factor of what was expected is back, over so many bins: as many as an
hour has, within these."""


@dataclass(slots=True)
class Past:
    """The last bins: their numbers, counts, and the levels that were expected of each."""

    bins: Ints
    counts: Ints
    levels: Floats

    @classmethod
    def empty(cls) -> "Past":
        """Return that of no bin."""
        none: Ints = np.empty(0, dtype=np.int64)
        return cls(none, none, np.empty(0))

    def add(self, bins: Ints, counts: Ints, levels: Floats) -> None:
        """Take the next bins; the oldest are forgotten."""
        self.bins = np.concatenate([self.bins, bins])[-_ROOM:]
        self.counts = np.concatenate([self.counts, counts])[-_ROOM:]
        self.levels = np.concatenate([self.levels, levels])[-_ROOM:]

    def until(self, last: int) -> "Past":
        """Return the bins up to the one of the number `last`."""
        end = int(np.searchsorted(self.bins, last, side="right"))
        return Past(self.bins[:end], self.counts[:end], self.levels[:end])

    def since(self, first: int) -> "Past":
        """Return the bins behind the one of the number `first`."""
        begin = int(np.searchsorted(self.bins, first, side="right"))
        return Past(self.bins[begin:], self.counts[begin:], self.levels[begin:])

    def back_at(self, follower: Follower, level: float, bins: Ints, counts: Ints) -> int:
        """Return at which of the next bins the rate is about what `level` expects of it.

        These are the bins since the rate changed. len(bins) where it is not back.
        """
        window = min(_BACK, max(_BACK_TIME // follower.length, _BACK_LEAST))
        before = min(len(self.bins), window - 1)
        begin = len(self.bins) - before
        all_bins = np.concatenate([self.bins[begin:], bins])
        all_counts = np.concatenate([self.counts[begin:], counts])
        expected = follower.rates(level, all_bins) * (follower.length / SECOND)
        return back_at(expected, all_counts, before, window, _NEAR) - before

    def level_before(self, evidence: Evidence) -> float:
        """Return the level that was expected where a change noticed now began at the earliest."""
        return float(self.levels[self._place(evidence.earliest)])

    def before_and_after(
        self, follower: Follower, level: float, evidence: Evidence
    ) -> tuple[float, float]:
        """Return the events a second that were expected by `level`, and that came."""
        earliest, latest = self._place(evidence.earliest), self._place(evidence.latest)
        bins, counts = self.bins[earliest:], self.counts[earliest:]
        seconds = follower.length / SECOND
        rates = follower.rates(level, bins)
        begin = _likeliest(rates * seconds, counts, latest - earliest)
        return float(rates[begin:].mean()), float(counts[begin:].mean()) / seconds

    def onset(self, evidence: Evidence, length: int) -> Onset:
        """Return when a change noticed now began; bins last `length` microseconds."""
        earliest, latest = self._place(evidence.earliest), self._place(evidence.latest)
        return Onset(int(self.bins[earliest]) * length, (int(self.bins[latest]) + 1) * length, {})

    def _place(self, back: int) -> int:
        return max(len(self.bins) - 1 - back, 0)

    def snapshot(self) -> State:
        """Return the bins."""
        return {"bins": self.bins, "counts": self.counts, "levels": self.levels}

    @classmethod
    def restore(cls, state: State) -> "Past":
        """Return what `snapshot` was taken of."""
        return cls(
            array(state, "bins").astype(np.int64),
            array(state, "counts").astype(np.int64),
            array(state, "levels").astype(np.float64),
        )


def _likeliest(expected: Floats, counts: Ints, latest: int) -> int:
    """Return from which of the counts int64[n] on, `latest` at most, a change is most likely.

    That is where the square of the sum of what is left, over its length, is largest.
    """
    left = np.sqrt(counts + 0.375) - np.sqrt(expected + 0.375)
    sums = np.cumsum(left[::-1])[::-1]
    gains = sums**2 / np.arange(len(left), 0, -1)
    return int(np.argmax(gains[: latest + 1]))
