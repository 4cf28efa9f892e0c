"""Looks at the sums of e-detectors, second by second: who may be part of a change of many."""

from typing import NamedTuple

import numpy as np

from streamdrift.detectors.mixture import Factors, total
from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Bools, Floats, Ints

NO_LOOKS: Ints = np.empty(0, dtype=np.int64)
WITHDRAW = 0.1
"""A candidate is one until its sum is below this part of its patience: sums that move as one
would else be weighed together anew each time they cross it."""


class Look(NamedTuple):
    """What a slot's sum was when a second was over.

    `statistic` is at least the slot's patience, or was at an earlier look; below WITHDRAW of it
    the slot is told for the last time.
    `age` is the mean number of values its products are of.
    """

    slot: int
    row: int
    """The first column of a later second."""
    statistic: float
    age: float


class Looks:
    """What an update fills in: statistic and age by slot and look, where a slot has any."""

    def __init__(self, rows: Ints, slots: int) -> None:
        self._rows = rows
        # Memory that is not written to is not there, and few slots have anything to tell.
        self.seen = np.zeros((slots, len(rows), 2))
        self.told: Bools = np.zeros(slots, dtype=np.bool_)

    def all(self) -> list[Look]:
        """Return them by slot and row."""
        return [
            Look(slot, int(self._rows[look]), *self.seen[slot, look].tolist())
            for slot in np.flatnonzero(self.told).tolist()
            for look in np.flatnonzero(self.seen[slot, :, 0] > 0).tolist()
        ]


@kernel
def mean_age(sums: Factors, ages: Factors) -> float:
    """Return the mean number of values that the products in a slot's sums are of."""
    weighed = 0.0
    for j in range(len(ages)):
        weighed += np.float64(ages[j])
    return weighed / total(sums)


@inlined
def see(
    sums: Factors, ages: Factors, enough: float, candidate: Bools, seen: Floats, told: Bools
) -> None:
    """Note what a look sees of a slot, if that is enough or it was a candidate.

    `candidate` and `told` bool[1] are the slot's, `seen` float64[2] the look's.
    """
    statistic = total(sums)
    if statistic >= enough or candidate[0]:
        told[0] = True
        seen[0], seen[1] = statistic, mean_age(sums, ages)
        candidate[0] = statistic >= WITHDRAW * enough
