"""A source that hands out what a test gives it."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from streamdrift.records import Messages, Notice, Partition


class MemorySource:
    """Public fake: each poll hands out the next message groups that are not paused.

    `put` adds more at any time. `hold_back` keeps a partition from being at its end, as an
    unreachable broker would, and `connected` may be set. `polls` counts the calls of `poll`.
    """

    def __init__(
        self,
        messages: Iterable[Messages] = (),
        *,
        partitions: Iterable[Partition] = (),
        positions: Mapping[Partition, int] | None = None,
        per_poll: int = 1,
    ) -> None:
        self.connected = True
        self.polls = 0
        self.closed = False
        self._positions = dict(positions or {})
        self._queue: deque[Messages] = deque()
        self._partitions: dict[Partition, None] = dict.fromkeys(partitions)
        self._paused: set[Partition] = set()
        self._held_back: frozenset[Partition] = frozenset()
        self._notices: list[Notice] = []
        self._per_poll = per_poll
        self.put(messages)

    def put(self, messages: Iterable[Messages]) -> None:
        """Add messages, leaving out groups that end before the given start positions."""
        for group in messages:
            self._partitions.setdefault(group.partition)
            if group.next_offset > self._positions.get(group.partition, -1):
                self._queue.append(self._from_position(group))

    def _from_position(self, group: Messages) -> Messages:
        return group.take(group.offset >= self._positions.get(group.partition, 0))

    def hold_back(self, partitions: Collection[Partition]) -> None:
        """Name the partitions that are not at their end, whatever was handed out."""
        self._held_back = frozenset(partitions)

    def notify(self, notice: Notice) -> None:
        """Add a notice."""
        self._notices.append(notice)

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return the next groups of the partitions that are not paused."""
        self.polls += 1
        taken: list[Messages] = []
        kept: deque[Messages] = deque()
        while self._queue and len(taken) < self._per_poll:
            group = self._queue.popleft()
            (kept if group.partition in self._paused else taken).append(group)
        self._queue = kept + self._queue
        return taken

    def partitions(self) -> Sequence[Partition]:
        """Return all partitions named or put so far."""
        return tuple(self._partitions)

    def begun(self) -> Mapping[Partition, int]:
        """Return the given start positions, 0 for the others."""
        return {each: self._positions.get(each, 0) for each in self._partitions}

    def identities(self) -> Mapping[str, int]:
        """Return nothing: no topic is made anew here."""
        return {}

    def at_end(self) -> frozenset[Partition]:
        """Return the partitions of which nothing is left, except those held back."""
        waiting = {group.partition for group in self._queue}
        return frozenset(self._partitions) - waiting - self._held_back

    def pause(self, partitions: Collection[Partition]) -> None:
        """Hand out nothing of `partitions` until they are resumed."""
        self._paused.update(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Hand out `partitions` again."""
        self._paused.difference_update(partitions)

    def blocked(self) -> frozenset[Partition]:
        """Return none: there are no transactions."""
        return frozenset()

    def lag(self) -> Mapping[Partition, int]:
        """Return how many messages of each partition are still to be handed out."""
        lag = dict.fromkeys(self._partitions, 0)
        for group in self._queue:
            lag[group.partition] += len(group)
        return lag

    def notices(self) -> tuple[Notice, ...]:
        """Return what `notify` was given since the last call."""
        notices, self._notices = tuple(self._notices), []
        return notices

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
