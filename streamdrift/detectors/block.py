"""A block of events as it is consumed."""

from typing import NamedTuple

import numpy as np

from streamdrift.records import Floats, Ints, Stream
from streamdrift.references.urn import NO_TIES


class Block(NamedTuple):
    """What is being consumed: rows are signals, columns are events.

    `scores` are filled in as signals run on; `start` int64[count] is how far each is, `fresh`
    from which column on its scores are since it was armed. `ties` are those of `Urns.rank`.
    """

    values: Floats
    times: Ints
    looks: Ints
    scores: Floats
    ties: Floats
    start: Ints
    fresh: Ints

    def recent(self, stream: Stream) -> Floats:
        """Return what is kept as recent of signals of this kind."""
        return self.values if stream is Stream.CATEGORY else self.scores


def new_block(values: Floats, times: Ints, looks: Ints, tied: bool = False) -> Block:
    """Return a block of which nothing is consumed; with room for ties where there may be any."""
    ties = np.zeros((*values.shape, 2)) if tied else NO_TIES
    begin = np.zeros((2, len(values)), dtype=np.int64)
    return Block(values, times, looks, np.array(values), ties, begin[0], begin[1])
