"""A block of events as it is consumed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.records import Floats, Ints, Stream


class Block(NamedTuple):
    """What is being consumed: rows are signals, columns are events.

    `scores` are filled in as signals run on, of those signals that have any but their values;
    `start` int64[count] is how far each is, `fresh` from which column on its scores are since it
    was armed.
    """

    values: Floats
    times: Ints
    looks: Ints
    scores: Floats
    start: Ints
    fresh: Ints

    def recent(self, stream: Stream) -> Floats:
        """Return what is kept as recent of signals of this kind."""
        return self.scores if stream is Stream.NUMERIC else self.values


def new_block(values: Floats, times: Ints, looks: Ints, scored: Sequence[int] = ()) -> Block:
    """Return a block of which nothing is consumed; `scored` are the signals that have scores."""
    begin = np.zeros((2, len(values)), dtype=np.int64)
    scores = np.empty(values.shape)
    for signal in scored:
        scores[signal] = values[signal]
    return Block(values, times, looks, scores, begin[0], begin[1])
