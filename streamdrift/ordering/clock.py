"""A partition's clock: event times in, order keys that never fall out.

The clock is one int64 array, so that a copy of it is a snapshot: the last key, the events
counted, the last time that was not believed and how many in a row agreed with it, the gaps
counted, the late and the unbelieved events counted, and a ring of the last 100 gaps.
"""

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Ints

_KEY = 0
_EVENTS = 1
_CLAIM = 2
_AGREED = 3
_GAPS = 4
_LATE = 5
_UNBELIEVED = 6
_RING = 7
_ROW = 100
"""First events believed, gaps remembered, and events in a row that make a jump believed."""
_FAR = 1 << 61
"""Times beyond this (73,000 years) count as this, so that no difference overflows."""


def new_clock() -> Ints:
    """Return the clock of a partition without events."""
    return np.zeros(_RING + _ROW, dtype=np.int64)


def events(clock: Ints) -> int:
    """Return how many events the clock has seen."""
    return int(clock[_EVENTS])


def last_key(clock: Ints) -> int:
    """Return the key of the last event; meaningless before the first."""
    return int(clock[_KEY])


def late(clock: Ints) -> int:
    """Return how many events were older than the key before them."""
    return int(clock[_LATE])


def unbelieved(clock: Ints) -> int:
    """Return how many events were further ahead than their partition made believable."""
    return int(clock[_UNBELIEVED])


@kernel
def _tolerance(clock: Ints, max_skew: int) -> float:
    gaps = min(clock[_GAPS], _ROW)
    if gaps == 0:
        return float(max_skew)
    median: float = np.sort(clock[_RING : _RING + gaps])[gaps // 2]
    return max(float(max_skew), 100.0 * median)


@kernel
def _believes(clock: Ints, time: int, max_skew: int) -> bool:
    """Tell whether a jump ahead to `time` is believed, and count who agrees on it."""
    if clock[_EVENTS] < _ROW or time - clock[_KEY] <= max_skew:
        return True
    tolerance = _tolerance(clock, max_skew)
    if time - clock[_KEY] <= tolerance:
        return True
    agrees = clock[_AGREED] > 0 and abs(time - clock[_CLAIM]) <= tolerance
    clock[_AGREED] = clock[_AGREED] + 1 if agrees else 1
    clock[_CLAIM] = time
    return bool(clock[_AGREED] >= _ROW)


@kernel
def advance(clock: Ints, times: Ints, max_skew: int, believed: bool) -> Ints:
    """Return the order keys int64[n] of the partition's next events, and move its clock.

    A late event takes the key before it. So does one that jumps ahead by more than
    `max_skew` (or 100 times the median gap, if that is more), until 100 events in a row
    agree on the jump to within the same distance; a partition's first 100 events, and all
    where `believed`, need nobody to agree.
    """
    keys = np.empty(len(times), dtype=np.int64)
    for i in range(len(times)):
        time = min(max(times[i], -_FAR), _FAR)
        if clock[_EVENTS] == 0:
            clock[_KEY] = time
        elif time < clock[_KEY]:
            clock[_LATE] += 1
            clock[_AGREED] = 0
        elif believed or _believes(clock, time, max_skew):
            clock[_RING + clock[_GAPS] % _ROW] = time - clock[_KEY]
            clock[_GAPS] += 1
            clock[_KEY] = time
            clock[_AGREED] = 0
        else:
            clock[_UNBELIEVED] += 1
        clock[_EVENTS] += 1
        keys[i] = clock[_KEY]
    return keys
