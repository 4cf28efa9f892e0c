"""All incidents that are open, and the latest that are over, as the incidents topic has them."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from streamdrift.alert_documents import Published, read_alert

LARGEST_TABLE = 64 << 20
"""Bytes of documents that are kept, unless those of open incidents alone are more."""
_OVERHEAD = 1_000
"""Bytes that an incident takes beside its document, about."""


class IncidentTable:
    """The latest alert of each incident, by the incident's id; threads may share it.

    `keep` is how long those that are over are kept, in microseconds after they were published.
    Where there are more of them than `largest` bytes, the oldest go earlier. What is not kept
    in memory is `surplus`: to be deleted from the topic too.
    """

    def __init__(self, keep: int, largest: int = LARGEST_TABLE) -> None:
        self._keep = keep
        self._largest = largest
        self._lock = threading.Lock()
        self._open: dict[str, Published] = {}
        self._over: OrderedDict[str, Published] = OrderedDict()
        """In the order in which they were published."""
        self._bytes = 0
        self._surplus: dict[str, None] = {}
        self._evicted = 0

    def take(self, incident: str, document: bytes | None, published_at: int) -> None:
        """Take a record of the topic, a document of None being a tombstone.

        Raises InputError where it is no alert.
        """
        published = None if document is None else read_alert(document, published_at)
        with self._lock:
            self._remove(incident)
            self._surplus.pop(incident, None)
            if published is not None:
                (self._open if published.is_open else self._over)[incident] = published
                self._bytes += _size(published)
            while self._bytes > self._largest and self._over:
                self._give_up(next(iter(self._over)))
                self._evicted += 1

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            for known in (self._open, self._over, self._surplus):
                known.clear()
            self._bytes = 0

    def _remove(self, incident: str) -> None:
        before = self._open.pop(incident, None) or self._over.pop(incident, None)
        if before is not None:
            self._bytes -= _size(before)

    def _give_up(self, incident: str) -> None:
        self._remove(incident)
        self._surplus[incident] = None

    def surplus(self, now: int) -> Sequence[str]:
        """Return the incidents whose time is over at `now`, or for which there is no room.

        They stay in it until the topic has a tombstone of each.
        """
        with self._lock:
            while self._over:
                oldest = next(iter(self._over))
                if self._over[oldest].published_at + self._keep > now:
                    break
                self._give_up(oldest)
            return tuple(self._surplus)

    def get(self, incident: str) -> Published | None:
        """Return the latest alert of an incident, None where it is not known (any more)."""
        with self._lock:
            return self._open.get(incident) or self._over.get(incident)

    def all(self) -> Sequence[Published]:
        """Return the latest alert of each incident, that opened last first."""
        with self._lock:
            known = [*self._open.values(), *self._over.values()]
        return sorted(known, key=lambda each: (-each.opened_at, each.incident))

    @property
    def count(self) -> int:
        """How many incidents are known."""
        with self._lock:
            return len(self._open) + len(self._over)

    @property
    def evicted(self) -> int:
        """How many were given up before their time, for want of room."""
        with self._lock:
            return self._evicted


def _size(published: Published) -> int:
    return len(published.document) + _OVERHEAD
