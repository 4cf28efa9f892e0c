"""How far a deployment is in event time, as its processes show it, and how long it stands still."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple


class Look(NamedTuple):
    """What one process showed."""

    at: float
    """On the clock that never jumps."""
    shards: float
    """Those it has: none where it does not answer, or has observed nothing yet."""
    watermark: float
    """Event time up to which all of these are observed."""


class Mark(NamedTuple):
    """An event time, and when it was reached."""

    at: float
    time: float


def advances(looks: Sequence[Sequence[Look]], shards: float) -> list[Mark]:
    """Return when a deployment's watermark rose, and to what, by the looks at each process.

    It is the least of all, and stands while some of the shards are nobody's, or (where one does
    not know yet that it was put out) two processes'.
    """
    found: list[Mark] = []
    living: dict[int, Look] = {}
    for look, who in sorted((look, who) for who, series in enumerate(looks) for look in series):
        living.pop(who, None)
        if look.shards:
            living[who] = look
        if sum(each.shards for each in living.values()) == shards:
            least = min(each.watermark for each in living.values())
            if not found or least > found[-1].time:
                found.append(Mark(look.at, least))
    return found


def stalls(marks: Sequence[Mark], fed: Sequence[Mark]) -> Iterator[float]:
    """Yield the seconds between two advances, each from when more was fed."""
    for before, after in pairwise(marks):
        yield max(0.0, after.at - _more(fed, before.at))


def resumed(marks: Sequence[Mark], fed: Sequence[Mark], end: float) -> float:
    """Return the seconds from `end` until the watermark was beyond all that was fed by then.

    They count from when more was fed, without which it has nothing to go by; infinity where it
    never was.
    """
    newest = max((each.time for each in fed if each.at <= end), default=-math.inf)
    reached = (each.at for each in marks if each.at > end and each.time > newest)
    at = next(reached, math.inf)
    return at if at == math.inf else max(0.0, at - _more(fed, end))


def _more(fed: Sequence[Mark], start: float) -> float:
    """Return when something was fed after `start`, infinity where nothing was."""
    place = bisect_right(fed, start, key=lambda each: each.at)
    return fed[place].at if place < len(fed) else math.inf
