"""What the log of a table is made of: segments, and the head that says which of them count.

A segment is the codec's bytes of `{"format", "deleted": uint64[m], "keys": uint64[n],
"columns": {name: [n], ...}}`: keys that were deleted, then rows that were put. A head is
`{"format", "columns": {name: type}, "numbers": int64[k], "checksums": uint32[k], "sizes":
int64[k]}`, with the CRC-32C and the length of each segment's bytes. Segments outlive the
version that wrote them, so each says its format.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
from crc32c import crc32c
from numpy.typing import DTypeLike, NDArray

from streamdrift.errors import StateError
from streamdrift.records import Ids, Ints, State
from streamdrift.state.codec import decode, encode
from streamdrift.state.store import CHUNK_BYTES

SMALL_BYTES = CHUNK_BYTES // 8
"""Smaller segments are worth joining."""
_FORMAT = 1
_KEY_BYTES = 8
_VERSION = "run the version that wrote it, or start with --reset-state to begin anew"


class Rows(NamedTuple):
    """Rows of a table: their keys uint64[n], each once, and the columns [n] by name."""

    keys: Ids
    columns: Mapping[str, NDArray[np.generic]]


@dataclass(slots=True)
class Segment:
    """A segment in the log. Numbers rise."""

    number: int
    checksum: int
    size: int
    """Bytes."""
    live: int = 0
    """Rows of the table that stand in it."""
    deleted: Ids = field(default_factory=lambda: np.empty(0, np.uint64))
    """Keys it deletes; they are known of small ones only."""

    @property
    def small(self) -> bool:
        return self.size < SMALL_BYTES


class Layout:
    """How a table of some columns (booleans, integers, floats) is laid out as bytes.

    `table` is what errors call it. Raises TypeError for columns of other types.
    """

    def __init__(self, table: str, columns: Mapping[str, DTypeLike]) -> None:
        self._table = table
        self._types = {name: np.dtype(kind) for name, kind in columns.items()}
        self.row_bytes = _KEY_BYTES + sum(kind.itemsize for kind in self._types.values())
        nothing = self.join([])
        # Lengths and places of the arrays take more digits the more rows there are.
        digits = 32 * (len(self._types) + 2)
        self._room = CHUNK_BYTES - len(self._encode(nothing.keys, nothing)) - digits
        self.most_rows = self._room // self.row_bytes
        """Rows there is room for in a segment."""

    def size(self, rows: int, deleted: int) -> int:
        """Return how many bytes rows and deleted keys take, the frame of segments aside."""
        return rows * self.row_bytes + deleted * _KEY_BYTES

    def join(self, parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts; raise TypeError where a column is of another type."""

        def joined(arrays: list[NDArray[Any]], kind: np.dtype[Any]) -> NDArray[Any]:
            return np.concatenate([np.empty(0, kind), *arrays], dtype=kind, casting="equiv")

        return Rows(
            joined([part.keys for part in parts], np.dtype(np.uint64)),
            {
                name: joined([part.columns[name] for part in parts], kind)
                for name, kind in self._types.items()
            },
        )

    def cut(self, first: int, deleted: Ids, rows: Rows) -> Iterator[tuple[Segment, Ids, bytes]]:
        """Yield segments, numbered from `first` on, with the keys of their rows and their bytes.

        Each has CHUNK_BYTES at most; no row stands before a deletion.
        """
        start = 0
        while len(deleted) or start < len(rows.keys):
            some, deleted = np.split(deleted, [self._room // _KEY_BYTES])
            stop = start + (self._room - some.nbytes) // self.row_bytes
            columns = {name: values[start:stop] for name, values in rows.columns.items()}
            keys = rows.keys[start:stop]
            value = self._encode(some, Rows(keys, columns))
            segment = Segment(first, crc32c(value), len(value), len(keys))
            if segment.small:
                segment.deleted = some
            yield segment, keys, value
            start, first = stop, first + 1

    def _encode(self, deleted: Ids, rows: Rows) -> bytes:
        assert all(len(values) == len(rows.keys) for values in rows.columns.values())
        return encode(
            {"format": _FORMAT, "deleted": deleted, "keys": rows.keys, "columns": rows.columns}
        )

    def read(self, segment: Segment, value: bytes) -> tuple[Ids, Rows]:
        """Return the deleted keys and the rows of a segment's bytes, and enter them in it.

        Raises StateError where the bytes are not those the head speaks of.
        """
        if len(value) != segment.size or crc32c(value) != segment.checksum:
            raise StateError(
                f"segment {segment.number} of the {self._table} is damaged",
                "check that nobody else writes to the topic; "
                "start with --reset-state to begin anew",
            )
        state = decode(value)
        self._check_format(state)
        deleted, keys = cast(Ids, state["deleted"]), cast(Ids, state["keys"])
        segment.live = len(keys)
        if segment.small:
            segment.deleted = deleted
        return deleted, Rows(keys, cast(Mapping[str, NDArray[np.generic]], state["columns"]))

    def head(self, segments: Iterable[Segment]) -> State:
        """Return the head that names segments."""
        named = list(segments)
        return {
            "format": _FORMAT,
            "columns": {name: kind.str for name, kind in self._types.items()},
            "numbers": np.array([each.number for each in named], np.int64),
            "checksums": np.array([each.checksum for each in named], np.uint32),
            "sizes": np.array([each.size for each in named], np.int64),
        }

    def read_head(self, head: State | None) -> list[Segment]:
        """Return the segments a head names, in order; of those only `read` tells the content."""
        if head is None:
            return []
        self._check_format(head)
        if head["columns"] != {name: kind.str for name, kind in self._types.items()}:
            raise StateError(f"the {self._table} was written with other columns", _VERSION)
        arrays = [cast(Ints, head[name]).tolist() for name in ("numbers", "checksums", "sizes")]
        return [Segment(*each) for each in zip(*arrays, strict=True)]

    def _check_format(self, state: State) -> None:
        found = state.get("format")
        if found != _FORMAT:
            raise StateError(
                f"the {self._table} has format {found}, this version reads format {_FORMAT}",
                _VERSION,
            )
