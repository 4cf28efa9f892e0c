"""Volume: how many events of a model come in bins of event time."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from streamdrift.durations import SECOND
from streamdrift.records import AlertKind, Ints, Signal, SignalKind, State
from streamdrift.trees import array, flag, integer, optional_integer

EVENT_RATE = Signal(-2, "event rate", None, SignalKind.EVENT_RATE, AlertKind.VOLUME)

LENGTHS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds a bin may last: parts of half an hour, as calendar cells are."""
WANTED = 50
"""Events that a bin holds on average, at the rate of the first ones, if the longest allows it."""
_FIRST_EVENTS, _FIRST_TIME = 300, 10 * SECOND
"""After how many events, and how much event time, the length is decided."""
_LONGEST_PAUSE = 3_600
"""Empty bins in a row that count; of a longer pause the rest says nothing."""
_NO_BINS: Ints = np.empty(0, dtype=np.int64)


class VolumeSettings(BaseModel):
    """How the event rate of a model is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: StrictBool = Field(
        True,
        description="Whether the event rate is watched: sudden changes from the first hours on, "
        "lasting ones against the rhythm of day and week once `reference.span`, a week at least, "
        "has shown it.",
    )
    share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="The part of the alert budget that the event rate has; the signals of each "
        "version share the rest.",
    )


class Counted:
    """Complete bins, in order: `bins` int64[n], their numbers, and `counts` int64[n]."""

    __slots__ = ("bins", "counts")

    def __init__(self, bins: Ints = _NO_BINS, counts: Ints = _NO_BINS) -> None:
        self.bins = bins
        self.counts = counts

    def __len__(self) -> int:
        return len(self.bins)


class Bins:
    """Counts the events of one model; bin k lasts from k to k + 1 times `length`.

    The length is decided once, by the rate of the first events. A bin is complete when all
    events before its end are known to be there. The bin in which counting begins, or begins
    again after a pause, is left out.
    """

    def __init__(self, length: int = 0) -> None:
        self.length = length
        """Microseconds; 0 until it is decided."""
        self._events = 0
        """Those seen before the length was decided."""
        self._began = 0
        self._early = np.zeros((0, 2), dtype=np.int64)
        """Seconds since the epoch that had events then, and how many."""
        self._open: int | None = None
        """The bin that is being counted; None before the first and in a pause."""
        self._count = 0
        self._whole = False
        """Whether it is counted from its beginning."""
        self._last = 0
        """The last bin that had an event."""

    def add(self, times: Ints) -> Counted:
        """Take the times int64[n] of the next events, ascending; return what is complete."""
        if not len(times):
            return Counted()
        if self.length:
            return self._count_all(*_grouped(times, self.length))
        if self._events == 0:
            self._began = int(times[0])
        enough = max(
            _FIRST_EVENTS - self._events - 1,
            int(np.searchsorted(times, self._began + _FIRST_TIME)),
        )
        self._remember(times[: enough + 1])
        if enough >= len(times):
            return Counted()
        self._decide(int(times[enough]) - self._began)
        early, self._early = self._early, self._early[:0]
        numbers = early[:, 0] * SECOND // self.length
        first = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        counted = self._count_all(numbers[first], np.add.reduceat(early[:, 1], first))
        return _joined(counted, self.add(times[enough + 1 :]))

    def _remember(self, times: Ints) -> None:
        seconds, counts = np.unique(times // SECOND, return_counts=True)
        if len(self._early) and self._early[-1, 0] == seconds[0]:
            self._early[-1, 1] += counts[0]
            seconds, counts = seconds[1:], counts[1:]
        self._early = np.concatenate([self._early, np.stack([seconds, counts], axis=1)])
        self._events += len(times)

    def _decide(self, elapsed: int) -> None:
        rate = (self._events - 1) / elapsed
        fitting = (each for each in LENGTHS if rate * each * SECOND >= WANTED)
        self.length = next(fitting, LENGTHS[-1]) * SECOND

    def _count_all(self, numbers: Ints, sizes: Ints) -> Counted:
        """Count events: `numbers` int64[n] of bins, ascending, each with its `sizes`."""
        found = Counted()
        ends = np.flatnonzero(np.diff(numbers) > _LONGEST_PAUSE) + 1
        for each, size in zip(np.split(numbers, ends), np.split(sizes, ends), strict=True):
            if self._open is not None:
                found = _joined(found, self._close(int(each[0])))
            if self._open is None:
                self._open, self._count, self._whole = int(each[0]), 0, False
            dense = np.zeros(int(each[-1] - each[0]) + 1, dtype=np.int64)
            dense[each - each[0]] = size
            dense[0] += self._count
            start = 0 if self._whole or len(dense) == 1 else 1
            span = np.arange(each[0], each[-1], dtype=np.int64)
            found = _joined(found, Counted(span[start:], dense[start:-1]))
            self._whole = self._whole or len(dense) > 1
            self._open, self._count = int(each[-1]), int(dense[-1])
            self._last = self._open
        return found

    def advance(self, until: int) -> Counted:
        """Learn that no event is older than `until`; return what is complete by that."""
        if self._open is None or until < (self._open + 1) * self.length:
            return Counted()
        return self._close(until // self.length)

    def pause(self) -> None:
        """Count nothing until there is another event: its absence is known."""
        self._open, self._count, self._whole = None, 0, False

    def _close(self, until: int) -> Counted:
        """Return the bins before `until` that were not told yet; empty ones are too many once."""
        assert self._open is not None
        stop = min(until, self._last + _LONGEST_PAUSE + 1)
        bins = np.arange(self._open, stop, dtype=np.int64)
        counts = np.zeros(len(bins), dtype=np.int64)
        if len(bins):
            counts[0] = self._count
            start = 0 if self._whole else 1
            bins, counts = bins[start:], counts[start:]
            self._open, self._count, self._whole = stop, 0, True
        if until > stop:
            self.pause()
        return Counted(bins, counts)

    def snapshot(self) -> State:
        """Return the length and what is counted so far."""
        return {
            "length": self.length,
            "events": self._events,
            "began": self._began,
            "early": self._early.copy(),
            "open": self._open,
            "count": self._count,
            "whole": self._whole,
            "last": self._last,
        }

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self.length, self._events = integer(state, "length"), integer(state, "events")
        self._began, self._last = integer(state, "began"), integer(state, "last")
        self._early = array(state, "early").astype(np.int64)
        self._open = optional_integer(state, "open")
        self._count, self._whole = integer(state, "count"), flag(state, "whole")


def _grouped(times: Ints, length: int) -> tuple[Ints, Ints]:
    """Return the numbers of the bins that times int64[n] lie in, and how many lie in each."""
    first, last = int(times[0]) // length, int(times[-1]) // length
    if last - first >= len(times):
        return np.unique(times // length, return_counts=True)
    edges = np.arange(first, last + 2, dtype=np.int64) * length
    counts = np.diff(np.searchsorted(times, edges))
    seen = np.flatnonzero(counts)
    return first + seen, counts[seen]


def _joined(one: Counted, other: Counted) -> Counted:
    if not len(one):
        return other
    if not len(other):
        return one
    return Counted(
        np.concatenate([one.bins, other.bins]), np.concatenate([one.counts, other.counts])
    )
