"""A block of events as it is consumed."""

from typing import NamedTuple

import numpy as np

from streamdrift.records import Floats, Ints, Stream


class Block(NamedTuple):
    """What is being consumed: rows are signals, columns are events.

    `scores` are filled in as signals run on; `start` int64[count] is how far each is, `fresh`
    from which column on its scores are since it was armed.
    """

    values: Floats
    times: Ints
    looks: Ints
    scores: Floats
    start: Ints
    fresh: Ints

    def recent(self, stream: Stream) -> Floats:
        """Return what is kept as recent of signals of this kind."""
        return self.values if stream is Stream.CATEGORY else self.scores


def new_block(values: Floats, times: Ints, looks: Ints) -> Block:
    """Return a block of which nothing is consumed."""
    begin = np.zeros((2, len(values)), dtype=np.int64)
    return Block(values, times, looks, np.array(values), begin[0], begin[1])
