"""What a signal has shown since it changed, as what may become its reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from streamdrift.records import Floats, Ints, StateValue
from streamdrift.signals.collector import Latest


@dataclass(slots=True)
class Since:
    """The values of a held signal since its change."""

    changed_at: int
    seen_at: int
    """When there was a value last."""
    ordinal: int
    """How many events there were before."""
    begin: int
    """The column of the current block they start at."""
    values: Latest
    asked_at: int | None = None
    """When an operator asked to accept it."""

    def due(self, accept_after: int) -> int:
        """Return when what the signal became is its new normal."""
        due = self.changed_at + accept_after
        return due if self.asked_at is None else min(due, self.asked_at)

    def add(self, values: Floats, times: Ints) -> None:
        """Take the signal's values float64[n] of the current block, NaN where there is none."""
        there = self.begin + np.flatnonzero(~np.isnan(values[self.begin :]))
        if len(there):
            self.values.add(values[there], times[there])
            self.seen_at = int(times[there[-1]])
        self.begin = 0

    def snapshot(self) -> list[StateValue]:
        """Return everything that decides what comes next, between blocks."""
        values = self.values.snapshot()
        return [self.changed_at, self.seen_at, self.ordinal, values, self.asked_at]

    @classmethod
    def restore(cls, state: Sequence[Any], room: int) -> Self:
        """Return what `snapshot` was taken of; `room` is for how many values there is."""
        changed_at, seen_at, ordinal, values, asked_at = state
        latest = Latest(room)
        latest.restore(values)
        return cls(changed_at, seen_at, ordinal, 0, latest, asked_at)
