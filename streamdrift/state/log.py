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
    """Partitions of a few topics; without a number the first of each."""

    def append(self, topic: str, key: str, value: bytes | None, *, partition: int = 0) -> None:
        """Write a record; it need not be durable when this returns."""
        ...

    def flush(self) -> None:
        """Return when all that was appended is durable; raise ConnectionsError else."""
        ...

    def read(self, topic: str, start: int, *, partition: int = 0) -> Iterator[Entry]:
        """Yield the records from offset `start` (or the first there is) to the end of now."""
        ...

    def end(self, topic: str, *, partition: int = 0) -> int:
        """Return the offset the next record will have."""
        ...

    def settle(self, topic: str, *, partition: int = 0) -> None:
        """Return when no transaction hides anything any more that is in the topic by now."""
        ...

    def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has."""
        ...


class MemoryLog:
    """Public fake: keeps records in memory, those not flushed apart.

    `crash` loses what was not flushed, as a process that dies may; with `keep` the broker
    had got it all the same. With `transactional`, `flush` makes nothing visible: `commit`
    does. `appended` counts the calls of `append`.
    """

    def __init__(self, *, transactional: bool = False) -> None:
        self._partitions: dict[tuple[str, int], list[tuple[str, bytes | None]]] = {}
        self.appended = 0
        self.transactional = transactional
        self._pending: list[tuple[tuple[str, int], tuple[str, bytes | None]]] = []

    @property
    def records(self) -> dict[str, list[tuple[str, bytes | None]]]:
        """The records of each topic's first partition."""
        return {topic: each for (topic, number), each in self._partitions.items() if number == 0}

    def append(self, topic: str, key: str, value: bytes | None, *, partition: int = 0) -> None:
        self.appended += 1
        self._pending.append(((topic, partition), (key, value)))

    def flush(self) -> None:
        if not self.transactional:
            self.commit()

    def commit(self) -> None:
        """Make what was appended visible."""
        pending, self._pending = self._pending, []
        for place, record in pending:
            self._partitions.setdefault(place, []).append(record)

    def crash(self, *, keep: bool) -> None:
        """Forget, or keep, what was appended and not flushed."""
        if keep:
            self.flush()
        self._pending = []

    def read(self, topic: str, start: int, *, partition: int = 0) -> Iterator[Entry]:
        records = self._partitions.get((topic, partition), [])
        for offset in range(start, len(records)):
            yield Entry(offset, *records[offset])

    def end(self, topic: str, *, partition: int = 0) -> int:
        return len(self._partitions.get((topic, partition), []))

    def partitions(self, topic: str) -> int:
        return max((number + 1 for name, number in self._partitions if name == topic), default=1)

    def settle(self, topic: str, *, partition: int = 0) -> None:
        """Do nothing: one transaction is open at most, and not while this is called."""
