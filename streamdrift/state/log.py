"""What the state is kept in: topics of keyed records, read whole at the start."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A record of a topic."""

    offset: int
    key: str
    value: bytes | None
    time: int | None = None
    """When it was written, in microseconds since the epoch; None where the log does not say."""


class Log(Protocol):
    """The first partition of each of a few topics."""

    def append(self, topic: str, key: str, value: bytes | None) -> None:
        """Write a record; it need not be durable when this returns."""
        ...

    def flush(self) -> None:
        """Return when all that was appended is durable; raise ConnectionsError else."""
        ...

    def read(self, topic: str, start: int) -> Iterator[Entry]:
        """Yield the records from offset `start` (or the first there is) to the end of now."""
        ...

    def end(self, topic: str) -> int:
        """Return the offset the next record will have."""
        ...

    def settle(self, topic: str) -> None:
        """Return when no transaction is open in the topic, which would hide later records."""
        ...


class MemoryLog:
    """Public fake: keeps records in memory, those not flushed apart.

    `crash` loses what was not flushed, as a process that dies may; with `keep` the broker
    had got it all the same. With `transactional`, `flush` makes nothing visible: `commit`
    does. `appended` counts the calls of `append`.
    """

    def __init__(self, *, transactional: bool = False) -> None:
        self.records: dict[str, list[tuple[str, bytes | None]]] = {}
        self.appended = 0
        self.transactional = transactional
        self._pending: list[tuple[str, str, bytes | None]] = []

    def append(self, topic: str, key: str, value: bytes | None) -> None:
        self.appended += 1
        self._pending.append((topic, key, value))

    def flush(self) -> None:
        if not self.transactional:
            self.commit()

    def commit(self) -> None:
        """Make what was appended visible."""
        pending, self._pending = self._pending, []
        for topic, key, value in pending:
            self.records.setdefault(topic, []).append((key, value))

    def crash(self, *, keep: bool) -> None:
        """Forget, or keep, what was appended and not flushed."""
        if keep:
            self.flush()
        self._pending = []

    def read(self, topic: str, start: int) -> Iterator[Entry]:
        records = self.records.get(topic, [])
        for offset in range(start, len(records)):
            yield Entry(offset, *records[offset])

    def end(self, topic: str) -> int:
        return len(self.records.get(topic, []))

    def settle(self, topic: str) -> None:
        """Do nothing: one transaction is open at most, and not while this is called."""
