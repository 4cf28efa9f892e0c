"""What is kept of a replay for its report, while it runs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamdrift.distributions import Distribution
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.standing import every_reading
from streamdrift.records import Released
from streamdrift.reporting.courses import Courses

POINTS = 600
"""Points of a course, at most; there are half as many at the least once a history is long enough.
"""
EVENTS = 32
"""Events of a model version from one look to the next, on average and at first: the monitor takes
them at once, and few at a time would cost much."""
_MOST_CHANGED = 2_000
"""Signals whose distributions at their changes are kept."""
_GROWN = 1.5
"""A distribution since a change is taken anew when it is of so many times as many values."""


class SignalKey(NamedTuple):
    """Which signal of which model version."""

    model: str
    version: str
    signal: str


class Recorder:
    """Looks at the monitor from time to time, after numbers of events that the events decide.

    So the same history gives the same record however it was cut on its way: a look comes when all
    events up to the time of a certain one are observed, the first that is later not yet.
    """

    def __init__(self, points: int = POINTS, events: int = EVENTS) -> None:
        self.courses = Courses(points)
        self.changes: dict[SignalKey, Distribution | None] = {}
        """What signals showed before and since their last change; None of private columns."""
        self.watched: dict[tuple[str, str], int] = {}
        """From when on each model version was watched first."""
        self._taken: dict[SignalKey, tuple[int, int]] = {}
        """Since when these are changed, and how many values there were when they were taken."""
        self._every = events
        self._versions = 1
        """The most parts of model versions there were at a look."""
        self._events = 0
        """How many are released."""
        self._next = events - 1
        """The place, among all events, of that which decides when to look next."""
        self._due: int | None = None
        """Its time, once it is known."""
        self._last = 0

    def places(self, released: Released) -> Iterator[int]:
        """Yield the times before whose events to look."""
        if not released.batches:
            return
        times = np.sort(np.concatenate([batch.time for batch in released.batches]))
        begin, end = self._events, int(times[-1])
        self._last = end
        self._events += len(times)
        while True:
            if self._due is None:
                if self._next >= self._events:
                    return
                self._due = int(times[self._next - begin])
            if end <= self._due:
                return
            due, self._due = self._due, None
            yield due + 1
            seen = begin + int(np.searchsorted(times, due, side="right"))
            every = self._every * self._versions * self.courses.stride
            self._next = (seen // every + 1) * every - 1

    def look(self, monitor: Shards, time: int) -> None:
        """Note the statistics, and what changed signals show."""
        self.courses.add(time - 1, every_reading(monitor.monitors))
        versions = monitor.versions()
        self._versions = max(self._versions, len(versions))
        for version in versions:
            if version.watched is not None:
                self.watched.setdefault((version.model, version.version), version.watched.since)
            for signal, changed_at, values in version.changes:
                key = SignalKey(version.model, version.version, signal.name)
                if self._is_wanted(key, changed_at, values):
                    self._taken[key] = changed_at, values
                    self.changes[key] = version.distribution(signal)

    def _is_wanted(self, key: SignalKey, changed_at: int, values: int) -> bool:
        taken = self._taken.get(key)
        if taken is None:
            return values > 0 and len(self._taken) < _MOST_CHANGED
        return values > 0 and (taken[0] != changed_at or values >= _GROWN * taken[1])

    def finish(self, monitor: Shards) -> None:
        """Look once more, at the end of the history."""
        self.look(monitor, self._last + 1)
