"""Which partitions are idle, and since when nothing has happened: the clock's two verdicts."""

from collections.abc import Collection
from typing import NamedTuple

from streamdrift.durations import SECOND
from streamdrift.records import Partition

_LAPSE = 5.0
"""Seconds between two looks after which nothing is concluded from what came before."""
_TICK_EVERY = 1.0


class Look(NamedTuple):
    """What there is to see at one moment, on a clock of seconds that never jumps."""

    now: float
    partitions: Collection[Partition]
    """All that are read."""
    at_end: Collection[Partition]
    """Those of which all that is written is also read."""
    shown: Collection[Partition]
    """Those that have brought events just now. Messages of which none could be decoded count
    for nothing: else they would hold all other partitions, and hide a silence."""
    left: Collection[Partition]
    """Those that were read before a restart, and that no setting names any more."""


class Verdict(NamedTuple):
    """What follows from a look."""

    idle: tuple[Partition, ...]
    """Partitions that hold nobody back from now on, until their next event."""
    silent_for: int | None
    """Microseconds since any event, told now and then while all partitions are idle."""


class Idleness:
    """Judges looks, one after the other.

    A partition is idle that is at its end and has shown no event for `idle_after`
    microseconds. While a broker is away, or the process was stopped, nothing is concluded.
    """

    def __init__(self, idle_after: int, now: float) -> None:
        self._idle_after = idle_after
        self._idle: set[Partition] = set()
        self._since: dict[Partition, float] = {}
        self._event_at = self._looked_at = now
        self._told_at = float("-inf")

    def forget(self, partitions: Collection[Partition]) -> None:
        """Look at partitions anew: they are not what they were, or not there any more."""
        self._idle.difference_update(partitions)
        for partition in partitions:
            self._since.pop(partition, None)

    def judge(self, look: Look) -> Verdict:
        """Return what follows from the next look."""
        now, partitions = look.now, set(look.partitions)
        self._idle &= partitions | set(look.left)
        self._since = {each: at for each, at in self._since.items() if each in partitions}
        # After a lapse, what the source says is as old as the look before.
        at_end = set(look.at_end) if now - self._looked_at <= _LAPSE else set()
        self._looked_at = now
        if not at_end >= partitions:
            # Only while all that is written is also read is a pause one of the models.
            self._event_at = now
        for partition in look.shown:
            self._since[partition] = self._event_at = now
            self._idle.discard(partition)
        self._since |= dict.fromkeys(partitions - at_end, now)
        fresh = {each for each in partitions & at_end if self._rests(each, now)} | set(look.left)
        fresh -= self._idle
        self._idle |= fresh
        silent_for = None
        if partitions and self._idle >= partitions and now >= self._told_at + _TICK_EVERY:
            self._told_at = now
            silent_for = int((now - self._event_at) * SECOND)
        return Verdict(tuple(sorted(fresh)), silent_for)

    def _rests(self, partition: Partition, now: float) -> bool:
        return (now - self._since.setdefault(partition, now)) * SECOND >= self._idle_after
