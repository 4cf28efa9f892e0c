"""A large keyed table in a compacted topic, of which only changes are logged.

What a shard's snapshot is too small for (millions of predictions that wait for their labels)
is a `Table` in memory and its `TableLog` in the topic of the snapshots.

**What is logged.** A record `NAME/table/T/NUMBER.CHECKSUM` is a segment: keys that were
deleted, then rows that were put, as columns. It stands by itself, has CHUNK_BYTES at most and is
never changed. Numbers rise; a load applies segments in their order, so the last one that names
a key says what became of it.

**What counts** is decided by the snapshot. `write` appends the segments of all changes since
the last one, and returns the *head*: which segments make the table, with their checksums. The
head goes into the snapshot of the same commit. So the table is loaded as of the very commit
that the rest of the state is, in both guarantees, and the replay of the input from that
snapshot's positions makes all later changes again. Segments that no whole snapshot names
(somebody died before the manifest) are not looked at, and are deleted by the next `write`. A
commit without a snapshot writes nothing of a table: it could not be used without the rest of
the state, and what comes and goes between two snapshots is never logged at all.

**How it stays bounded.** Rows that were put again or deleted leave garbage. Where segments
have more than twice the bytes of the table's rows, and SLACK_BYTES, the rows that still stand
in the oldest ones are written again, and those are dropped: with them go deletions, which have
nothing older to delete. Each change pays for one row to be written again, so never more are
than have changed, and a commit costs what it changes, not what there is. Small segments at the
end are joined once there are many. What a head drops is deleted by the `write` after it: the
snapshot in the other slot names it still, until then. All in all the topic has some three times
the bytes of the rows at most.

No key is used by two segments: numbers begin where the topic ended at the start, and of two
processes that believe to own the deployment neither overwrites what the other's head names.

Columns have numbers of fixed size. Strings and other values of varying length are out of scope:
code them in a dictionary, which belongs into the snapshot.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike

from streamdrift.errors import StateError
from streamdrift.records import Ids, Ints, State
from streamdrift.state.log import Log
from streamdrift.state.segments import Layout, Rows, Segment
from streamdrift.state.store import CHUNK_BYTES

SLACK_BYTES = 4 * CHUNK_BYTES
"""Garbage that is not worth being looked at."""
_SMALL_SEGMENTS = 32
"""Small segments at the end that are joined."""


class Changes(NamedTuple):
    """What became of a table since it was last asked."""

    deleted: Ids
    """Keys uint64[m] with a row in some segment that is gone. It may have been put again."""
    rows: Rows
    """All rows that were put and are there."""
    freed: Ints
    """int64[k]: the segments in which deleted rows, and rows put again, stood before."""


class Table(Protocol):
    """A map from keys to rows that remembers of each row in which segment it stands."""

    def changes(self) -> Changes:
        """Return what changed since the last call or load, and forget that it did.

        The rows that are returned stand in no segment until `logged` says in which.
        """
        ...

    def standing(self, first: int, last: int) -> Rows:
        """Return the rows that stand in the segments from `first` to `last`, which is one."""
        ...

    def logged(self, keys: Ids, segment: int) -> None:
        """Take note that the rows of keys uint64[n] stand in a segment from now on."""
        ...

    def load(self, segment: int, deleted: Ids, rows: Rows) -> Ints:
        """Delete keys, if they are there, and then put rows, which stand in `segment`.

        That is no change. Returns int64[k]: the segments in which rows deleted and rows
        put again stood before.
        """
        ...


class TableLog:
    """The log of one table of a deployment, beside its snapshots in `topic`.

    `columns` are names and types (booleans, integers, floats) of the table's columns.
    `written` is how many bytes the last `write` appended.
    """

    def __init__(
        self, log: Log, deployment: str, topic: str, name: str, columns: Mapping[str, DTypeLike]
    ) -> None:
        self._log = log
        self._topic = topic
        self._prefix = f"{deployment}/table/{name}/"
        self._title = f"table {name!r} in the topic {topic}"
        self._layout = Layout(self._title, columns)
        self._segments: dict[int, Segment] = {}
        """By number, in their order: what the last head names."""
        self._dropped: list[str] = []
        """Keys of records that the last head does not name."""
        self._next = 0
        self._credit = 0
        """How many rows may be written again."""
        self.written = 0

    def load(self, head: State | None, table: Table) -> None:
        """Put into an empty table what it was when `write` returned `head`.

        None is the head of an empty table. Called once, before `write`; the store that had the
        head has waited until no open transaction hides a record of the topic. Raises StateError
        where a segment is missing, damaged, or was written by another version.
        """
        named = self._layout.read_head(head)
        names = {self._key(each) for each in named}
        left: dict[str, None] = {}
        found: dict[str, bytes] = {}
        awaited = deque(named)
        for entry in self._log.read(self._topic, 0):
            if not entry.key.startswith(self._prefix):
                continue
            if entry.key in names and entry.value is not None:
                found[entry.key] = entry.value
            elif entry.value is not None:
                left[entry.key] = None
            else:
                left.pop(entry.key, None)
            while awaited and (value := found.pop(self._key(awaited[0]), None)) is not None:
                self._load_segment(awaited.popleft(), value, table)
        if awaited:
            raise StateError(
                f"{len(awaited)} of {len(named)} segments of the {self._title} are missing",
                "check that its cleanup.policy is compact and nobody else writes to it; "
                "start with --reset-state to begin anew",
            )
        self._dropped = list(left)
        self._next = max(self._log.end(self._topic), 1 + max(self._segments, default=-1))

    def _load_segment(self, segment: Segment, value: bytes, table: Table) -> None:
        deleted, rows = self._layout.read(segment, value)
        self._segments[segment.number] = segment
        self._count_freed(table.load(segment.number, deleted, rows))

    def write(self, table: Table) -> State:
        """Append what changed since the last `write`, or the load; return the new head.

        It is to be saved with the snapshot of the same commit, which must be durable before
        this is called again. What is appended is durable with the next flush of the log.
        """
        for key in self._dropped:
            self._log.append(self._topic, key, None)
        self._dropped = []
        changes = table.changes()
        self._count_freed(changes.freed)
        self._credit += len(changes.deleted) + len(changes.rows.keys)
        tail = self._small_tail()
        rows = self._layout.join([self._take(tail, table), changes.rows])
        deleted = np.unique(np.concatenate([changes.deleted, *(each.deleted for each in tail)]))
        oldest = self._take(self._oldest(len(rows.keys), len(deleted)), table)
        self._append(deleted, self._layout.join([oldest, rows]), table)
        return self._layout.head(self._segments.values())

    def _append(self, deleted: Ids, rows: Rows, table: Table) -> None:
        self.written = 0
        for segment, keys, value in self._layout.cut(self._next, deleted, rows):
            self._next = segment.number + 1
            self._segments[segment.number] = segment
            self._log.append(self._topic, self._key(segment), value)
            table.logged(keys, segment.number)
            self.written += segment.size

    def _small_tail(self) -> list[Segment]:
        """Return the small segments at the end, the oldest first; none while they are few."""
        tail: list[Segment] = []
        for segment in reversed(self._segments.values()):
            if not segment.small:
                break
            tail.append(segment)
        return tail[::-1] if len(tail) >= _SMALL_SEGMENTS else []

    def _oldest(self, rows: int, deleted: int) -> list[Segment]:
        """Return the oldest segments that are to go when so many rows and keys are added."""
        row_bytes = self._layout.row_bytes
        live = rows + sum(each.live for each in self._segments.values())
        size = sum(each.size for each in self._segments.values())
        garbage = size + self._layout.size(rows, deleted) - 2 * live * row_bytes - SLACK_BYTES
        oldest: list[Segment] = []
        for segment in self._segments.values():
            if garbage <= 0 or segment.live > self._credit:
                break
            self._credit -= segment.live
            garbage -= segment.size - segment.live * row_bytes
            oldest.append(segment)
        # Else a table that was quiet for long would be written again at one go.
        self._credit = min(self._credit, self._layout.most_rows)
        return oldest

    def _take(self, segments: Sequence[Segment], table: Table) -> Rows:
        """Drop neighbouring segments, and return the rows that stand in them."""
        if not segments:
            return self._layout.join([])
        rows = table.standing(segments[0].number, segments[-1].number)
        assert len(rows.keys) == sum(each.live for each in segments)
        for segment in segments:
            del self._segments[segment.number]
            self._dropped.append(self._key(segment))
        return rows

    def _count_freed(self, freed: Ints) -> None:
        for number, count in zip(*np.unique(freed, return_counts=True), strict=True):
            self._segments[int(number)].live -= int(count)

    def _key(self, segment: Segment) -> str:
        return f"{self._prefix}{segment.number}.{segment.checksum:08x}"
