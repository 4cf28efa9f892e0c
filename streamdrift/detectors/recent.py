"""The last scores of many signals, to say how large a change is."""

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints, State
from streamdrift.trees import array

ROOM = 512
"""Scores kept of a signal."""
FINE = 65_535.0
"""Parts of 1 in which a score is kept."""


class Recent:
    """The last ROOM scores of each signal since it was armed. 1 kB a signal.

    A score lies in [0, 1], or is a whole number where `whole` bool[count] says so; it is kept to
    two bytes: whole ones up to 65,535, greater ones as this.
    """

    def __init__(self, whole: NDArray[np.bool_]) -> None:
        self._units = np.where(whole, 1.0, FINE)
        self.scores = np.zeros((len(whole), ROOM), dtype=np.uint16)
        """uint16[count, ROOM], each at its count modulo ROOM."""
        self.counts: Ints = np.zeros(len(whole), dtype=np.int64)
        """How many scores there were of each signal since it was armed."""

    def add(self, scores: Floats, start: Ints) -> None:
        """Take float64[count, n] from the columns `start` int64[count] on; NaN is no score."""
        _add(self.scores, self.counts, self._units, scores, start)

    def last(self, signal: int, scores: Floats, count: int) -> Floats:
        """Return the last `count` scores, ROOM at most, of those kept and `scores` after them."""
        unit = self._units[signal]
        # Rounded as those that are kept, so that it does not matter where a block ends.
        there = scores[~np.isnan(scores)][-ROOM:]
        later = np.minimum(there * unit + 0.5, FINE).astype(np.uint16)
        kept = min(int(self.counts[signal]), ROOM)
        places = (self.counts[signal] - kept + np.arange(kept)) % ROOM
        joined = np.concatenate([self.scores[signal, places], later])
        last: Floats = joined[-min(max(count, 1), ROOM) :] / unit
        return last

    def clear(self, signal: int) -> None:
        """Begin anew: the signal is held, or armed again."""
        self.counts[signal] = 0
        self.scores[signal] = 0

    def snapshot(self) -> State:
        """Return the scores and counts."""
        return {"scores": self.scores.copy(), "counts": self.counts.copy()}

    def restore(self, state: State) -> None:
        """Take over the snapshot of as many signals."""
        self.scores = array(state, "scores").astype(np.uint16)
        self.counts = array(state, "counts").astype(np.int64)


@kernel
def _add(
    kept: NDArray[np.uint16], counts: Ints, units: Floats, scores: Floats, start: Ints
) -> None:
    size = scores.shape[1]
    for signal in range(len(kept)):
        begin = start[signal]
        # Of a long block only the end stays.
        there = 0
        first = size
        while first > begin and there < ROOM:
            first -= 1
            there += 0 if np.isnan(scores[signal, first]) else 1
        for column in range(begin, first):
            counts[signal] += 0 if np.isnan(scores[signal, column]) else 1
        for column in range(first, size):
            score = scores[signal, column]
            if np.isnan(score):
                continue
            kept[signal, counts[signal] % ROOM] = np.uint16(min(score * units[signal] + 0.5, FINE))
            counts[signal] += 1
