"""Looks at the sums of e-detectors, second by second: who may be part of a change of many."""

from typing import NamedTuple, Protocol

import numpy as np

from streamdrift.detectors.bank import Bank
from streamdrift.records import Bools, Floats, Ints

NO_LOOKS: Ints = np.empty(0, dtype=np.int64)


class Look(NamedTuple):
    """What a slot's sum was when a second was over.

    `statistic` is at least the slot's patience, or below it where it was not at the last look.
    """

    slot: int
    row: int
    """The first column of a later second."""
    statistic: float


class EBank(Bank, Protocol):
    """A bank whose statistics are sums of e-values, which compare between signals."""

    patience: Floats
    """Float64[k]: sums from which on looks tell of a slot; infinite at first."""

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
    """What an update fills in: float64[slots, looks], and which slots have anything there."""

    def __init__(self, rows: Ints, slots: int) -> None:
        self._rows = rows
        self.seen = np.full((slots, len(rows)), np.nan) if len(rows) else np.empty((slots, 0))
        self.told: Bools = np.zeros(slots, dtype=np.bool_)

    def all(self) -> list[Look]:
        """Return them by slot and row."""
        return [
            Look(slot, int(self._rows[look]), float(self.seen[slot, look]))
            for slot in np.flatnonzero(self.told).tolist()
            for look in np.flatnonzero(~np.isnan(self.seen[slot])).tolist()
        ]


def look_now(statistics: Floats, patience: Floats, candidates: Bools) -> list[Look]:
    """Return who is a candidate by float64[k] sums, or was; `candidates` is brought up to date."""
    enough = statistics >= patience
    told = np.flatnonzero(enough | candidates)
    candidates[:] = enough
    return [Look(slot, 0, float(statistics[slot])) for slot in told.tolist()]
