"""Looks at the sums of e-detectors, second by second: who may be part of a change of many."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from streamdrift.detectors.bank import Bank
from streamdrift.detectors.mixture import Factors, total, totals
from streamdrift.kernels import kernel
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


@runtime_checkable
class EBank(Bank, Protocol):
    """A bank whose statistics are sums of e-values, which compare between signals."""

    patience: Floats
    """Float64[k]: sums from which on looks tell of a slot; infinite at first. What a slot begins
    with depends on it: `reset` makes a change count."""
    candidates: Bools
    """bool[k]: slots of which the next look tells, whatever their sum is then."""

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Do what `Bank` says; `looks` are ascending columns that begin another second."""
        ...

    def looked(self) -> list[Look]:
        """Return what the last `update` saw at its looks, by slot and row."""
        ...

    def look(self) -> list[Look]:
        """Return what a look now sees, with all values consumed; rows are 0."""
        ...


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


def look_now(sums: Factors, ages: Factors, patience: Floats, candidates: Bools) -> list[Look]:
    """Return who is a candidate by float32[k, n] sums, or was; bring `candidates` up to date."""
    statistics = totals(sums)
    enough = statistics >= patience
    told = np.flatnonzero(enough | candidates)
    candidates[told] = statistics[told] >= WITHDRAW * patience[told]
    return [
        Look(slot, 0, float(statistics[slot]), mean_age(sums[slot], ages[slot]))
        for slot in told.tolist()
    ]


@kernel
def mean_age(sums: Factors, ages: Factors) -> float:
    """Return the mean number of values that the products in a slot's sums are of."""
    weighed = 0.0
    for j in range(len(ages)):
        weighed += np.float64(ages[j])
    return weighed / total(sums)
