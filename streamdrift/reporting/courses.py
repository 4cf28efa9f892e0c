"""The course of every statistic over a history of any length, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdrift.readings import SignalReading
from streamdrift.records import Bools, Floats, Ints, Signal

_MOST_FIGURES = 1_000_000
"""Of all courses together: those of thousands of signals are coarser."""
_FEWEST_POINTS = 32


class CourseKey(NamedTuple):
    """Whose statistic: a detector's of a signal; `version` is empty for the event rate."""

    model: str
    version: str
    signal: Signal
    detector: str


@dataclass(frozen=True, slots=True)
class Course:
    """One statistic over event time.

    All arrays have one entry for each point. `times` int64 in microseconds are the ends of what
    points stand for; `statistics` and `thresholds` float32 are those where the statistic was
    nearest to its threshold, NaN where the signal was not watched; `changed`: whether it was held
    to be changed at any time.
    """

    times: Ints
    statistics: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    changed: Bools

    @property
    def shares(self) -> Floats:
        """How near the statistic was to its threshold: 1 at it; NaN where nothing was watched."""
        return _shares(self.statistics, self.thresholds)

    @property
    def peak(self) -> int | None:
        """The point with the greatest share; None where nothing was watched."""
        shares = self.shares
        return None if np.isnan(shares).all() else int(np.nanargmax(shares))


def _shares(statistics: NDArray[np.float32], thresholds: NDArray[np.float32]) -> Floats:
    """Return statistics as parts of their thresholds; NaN where a detector has none yet."""
    none = np.full(statistics.shape, np.nan)
    shares: Floats = np.divide(statistics, thresholds, out=none, where=thresholds > 0)
    return shares


class Courses:
    """Takes readings from time to time, `capacity` at most: when full, two and two become one.

    `stride` is how many times more seldom than at first new ones are wanted then.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self.stride = 1
        self._keys: list[CourseKey] = []
        """By row."""
        self._rows: dict[tuple[str, str, int, str], int] = {}
        """By model, version, the signal's ordinal, and detector."""
        self._times = np.zeros(capacity, dtype=np.int64)
        self._statistics = np.full((0, capacity), np.nan, dtype=np.float32)
        self._thresholds = self._statistics.copy()
        self._changed = np.zeros((0, capacity), dtype=np.bool_)

    def add(self, time: int, readings: Sequence[SignalReading]) -> None:
        """Take all readings there are at an event time, which is not before the last."""
        rows = [self._row_of(each) for each in readings]
        self._make_room()
        place = self._size
        self._times[place] = time
        # A statistic may be beyond what a float32 holds: then it is far beyond its threshold.
        largest = float(np.finfo(np.float32).max)
        self._statistics[rows, place] = np.clip([each.statistic for each in readings], 0, largest)
        self._thresholds[rows, place] = np.clip([each.threshold for each in readings], 0, largest)
        self._changed[rows, place] = [each.changed for each in readings]
        self._size += 1
        if self._size == self._capacity:
            self._merge()

    def _row_of(self, reading: SignalReading) -> int:
        names = reading.model, reading.version, reading.signal.ordinal, reading.detector
        row = self._rows.setdefault(names, len(self._keys))
        if row == len(self._keys):
            key = CourseKey(reading.model, reading.version, reading.signal, reading.detector)
            self._keys.append(key)
        return row

    def _make_room(self) -> None:
        """Make rows for all keys; where they are many, with fewer points each."""
        while len(self._keys) * self._capacity > _MOST_FIGURES and self._capacity > _FEWEST_POINTS:
            while self._size >= self._capacity // 2:
                self._merge()
            self._capacity //= 2
            self._times = self._times[: self._capacity].copy()
            self._statistics = self._statistics[:, : self._capacity].copy()
            self._thresholds = self._thresholds[:, : self._capacity].copy()
            self._changed = self._changed[:, : self._capacity].copy()
        missing = len(self._keys) - len(self._statistics)
        if missing > 0:
            more = max(missing, len(self._statistics))
            none = np.full((more, self._capacity), np.nan, dtype=np.float32)
            self._statistics = np.concatenate([self._statistics, none])
            self._thresholds = np.concatenate([self._thresholds, none])
            unchanged = np.zeros((more, self._capacity), dtype=np.bool_)
            self._changed = np.concatenate([self._changed, unchanged])

    def _merge(self) -> None:
        """Make one point of each two; one that is left over stays as it is."""
        pairs = self._size // 2
        first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        kept = -(-self._size // 2)
        shares = _shares(self._statistics[:, : 2 * pairs], self._thresholds[:, : 2 * pairs])
        shares[np.isnan(shares)] = -1.0
        later = shares[:, 1::2] >= shares[:, 0::2]
        for figures in (self._statistics, self._thresholds):
            merged = np.where(later, figures[:, second], figures[:, first])
            last = figures[:, self._size - 1].copy()
            figures[:, :pairs] = merged
            figures[:, pairs:kept] = last[:, None]
            figures[:, kept:] = np.nan
        changed = self._changed[:, first] | self._changed[:, second]
        last_time = self._times[self._size - 1]
        last_changed = self._changed[:, self._size - 1].copy()
        self._changed[:, :pairs] = changed
        self._changed[:, pairs:kept] = last_changed[:, None]
        self._changed[:, kept:] = False
        self._times[:pairs] = self._times[second].copy()
        self._times[pairs:kept] = last_time
        self._size = kept
        self.stride *= 2

    @property
    def keys(self) -> Sequence[CourseKey]:
        """Whose courses there are, in the order in which they appeared."""
        return self._keys

    def course(self, key: CourseKey) -> Course:
        """Return a course that is among the keys."""
        names = key.model, key.version, key.signal.ordinal, key.detector
        row, there = self._rows[names], slice(0, self._size)
        return Course(
            self._times[there].copy(),
            self._statistics[row, there].copy(),
            self._thresholds[row, there].copy(),
            self._changed[row, there].copy(),
        )
