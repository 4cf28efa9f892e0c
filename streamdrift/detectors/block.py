"""A block of events as it is consumed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.records import Floats, Ints
from streamdrift.references.binning import Cells
from streamdrift.references.urn import NO_TIES


class Block(NamedTuple):
    """What is being consumed: rows are signals, columns are events.

    `scores` and `codes` uint16 are filled in as signals run on, scores of those signals that have
    any but their values; `start` int64[count] is how far each is, `fresh` from which column on its
    codes are since it was armed. `ties` are those of `Urns.rank`.
    """

    values: Floats
    times: Ints
    looks: Ints
    scores: Floats
    codes: Cells
    ties: Floats
    start: Ints
    fresh: Ints


def new_block(
    values: Floats, times: Ints, looks: Ints, scored: Sequence[int] = (), tied: bool = False
) -> Block:
    """Return a block of which nothing is consumed; `scored` are the signals that have scores.

    `tied` tells whether there may be any ties.
    """
    begin = np.zeros((2, len(values)), dtype=np.int64)
    scores = np.empty(values.shape)
    if len(scored) == len(values):
        scores[:] = values
    else:
        for signal in scored:
            scores[signal] = values[signal]
    codes = np.empty(values.shape, dtype=np.uint16)
    ties = np.zeros((*values.shape, 2)) if tied else NO_TIES
    return Block(values, times, looks, scores, codes, ties, begin[0], begin[1])
