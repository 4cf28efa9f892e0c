"""What signals have shown since they changed, as what may become their references."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from streamdrift.models.version_signals import VersionSignals
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


class HeldSignals:
    """What each held signal of a version has shown since its change, by the signal's place.

    `room` is for how many values of each there is.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._since: dict[int, Since] = {}

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the places, ascending, of those that are held now."""
        return iter(sorted(self._since))

    def get(self, place: int) -> Since | None:
        """Return what a signal has shown, None of one that is not held."""
        return self._since.get(place)

    def hold(self, place: int, time: int, events: int, begin: int) -> None:
        """Hold a signal that changed; the values are those from the column `begin` of a block on.

        `events` are those before that column.
        """
        self._since[place] = Since(time, time, events, begin, Latest(self._room))

    def let_go(self, place: int) -> bool:
        """Let a signal go; tell whether it was held."""
        return self._since.pop(place, None) is not None

    def items(self) -> list[tuple[int, Since]]:
        """Return them by place, ascending."""
        return [(place, self._since[place]) for place in sorted(self._since)]

    def add(self, signals: VersionSignals, rows: Floats, times: Ints) -> None:
        """Take the rows float64[s, n] that `signals` filled last, of events at `times`."""
        for place, since in self._since.items():
            since.add(signals.raw(place, rows), times)

    def due(self, accept_after: int) -> int | None:
        """Return when the first of them is its new normal; None where none is held."""
        return min((each.due(accept_after) for each in self._since.values()), default=None)

    def changed_by(self, time: int) -> list[int]:
        """Return those that changed by then, ascending."""
        return [place for place, since in self.items() if since.changed_at <= time]

    def ask(self, through: int, time: int) -> None:
        """Take down that an operator asks, at `time`, to accept what changed by `through`."""
        for place in self.changed_by(through):
            if self._since[place].asked_at is None:
                self._since[place].asked_at = time

    def snapshot(self) -> list[StateValue]:
        """Return everything that decides what comes next, between blocks."""
        return [[place, *since.snapshot()] for place, since in self.items()]

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Take over what `snapshot` returned."""
        self._since = {place: Since.restore(of, self._room) for place, *of in state}
