"""Reads Arrow IPC within bounds, which are checked before anything is decompressed or copied.

A few bytes may say that they are many rows: buffers are compressed, columns of nulls have none, and
dictionaries grow by parts. What a message becomes is told from its metadata, in FlatBuffers:
https://arrow.apache.org/docs/format/Columnar.html, and format/Message.fbs in Arrow's sources.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from flatbuffers import number_types
from flatbuffers.table import Table

from streamdrift.decoders.limits import (
    MAX_CELLS,
    MAX_CHECKED_BYTES,
    MAX_EVENTS,
    MAX_UNPACKED_BYTES,
    TooLargeError,
)
from streamdrift.records import Ints

_DICTIONARY, _BATCH = 2, 3
"""What a message may be that holds columns (`MessageHeader`)."""
_HEADER_TYPE, _HEADER = 6, 8
_DATA, _IS_DELTA = 6, 8
_LENGTH, _NODES, _BUFFERS, _COMPRESSION = 4, 6, 8, 10
"""Where the fields of these tables are in what lists them (`Message`, `DictionaryBatch`,
`RecordBatch`)."""
_MAGIC = b"ARROW1"
_PREFIX = 8
_AS_IT_IS = -1
"""Stands in front of a buffer that is not compressed, among others that are."""


def read_table(value: bytes) -> Any:
    """Return the rows of a stream, or file, of record batches, checked to be sound.

    Raises TooLargeError where they are more than is read, and whatever else the bytes lead to.
    """
    if not value:
        raise ValueError("the message has no bytes")
    stream = _stream(value)
    _check_bounds(stream)
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    # What comes from elsewhere may lie about its own lengths, and Arrow believes it.
    table.validate(full=True)
    return table.combine_chunks()


def _stream(value: bytes) -> Any:
    """Return the stream that a message is, or that the file in it holds."""
    whole = pa.py_buffer(value)
    if not value.startswith(_MAGIC):
        return whole
    end = len(value) - len(_MAGIC) - 4
    if end < 0 or not value.endswith(_MAGIC):
        raise ValueError("the file has no end")
    end -= int.from_bytes(value[end : end + 4], "little")
    start = len(_MAGIC) + 2
    if end < start:
        raise ValueError("the file's end is longer than the file")
    return whole.slice(start, end - start)


def _check_bounds(stream: Any) -> None:
    """Raise TooLargeError where the messages of a stream hold more than is read."""
    rows = cells = size = dictionaries = checked = 0
    for message in pa.ipc.MessageReader.open_stream(stream):
        metadata = message.metadata.to_pybytes()
        header = _root(metadata)
        kind = _number(header, number_types.Uint8Flags, _HEADER_TYPE)
        if kind not in (_DICTIONARY, _BATCH):
            continue
        if b"ARROW:experimental_compression" in metadata:
            raise ValueError("buffers are compressed as no version since Arrow 1.0 does")
        batch = _inner(header, _HEADER)
        if kind == _DICTIONARY:
            if _number(batch, number_types.BoolFlags, _IS_DELTA):
                size += dictionaries  # It is copied, with what is added, for the next batch.
            batch = _inner(batch, _DATA)
        else:
            rows += _number(batch, number_types.Int64Flags, _LENGTH)
            checked += dictionaries  # Each batch is checked with all of its dictionaries.
        cells += sum(_pairs(batch, _NODES)[:, 0].tolist())
        added = _unpacked(batch, message.body)
        size += added
        dictionaries += added if kind == _DICTIONARY else 0
        _check("events", rows, MAX_EVENTS)
        _check("cells", cells, MAX_CELLS)
        _check("bytes without compression", size, MAX_UNPACKED_BYTES)
        _check("bytes of dictionaries, counted with each batch", checked, MAX_CHECKED_BYTES)


def _check(of_what: str, count: int, limit: int) -> None:
    if count > limit:
        raise TooLargeError(f"{count:,} {of_what}; {limit:,} are read")


def _unpacked(batch: Table, body: Any) -> int:
    """Return the bytes of a batch's buffers when they are decompressed."""
    buffers = _pairs(batch, _BUFFERS)
    if (buffers < 0).any():
        raise ValueError("a buffer is at a place, or of a length, below 0")
    if not batch.Offset(_COMPRESSION):
        return sum(buffers[:, 1].tolist())
    read = memoryview(body)
    size = 0
    for offset, length in buffers[buffers[:, 1] > 0].tolist():
        prefix = read[offset : offset + _PREFIX]
        if len(prefix) < _PREFIX:
            raise ValueError("a compressed buffer has no length")
        says = int.from_bytes(prefix, "little", signed=True)
        if says < _AS_IT_IS:
            raise ValueError("a compressed buffer has a length below 0")
        size += length if says == _AS_IT_IS else says
    return size


def _root(metadata: bytes) -> Table:
    return Table(metadata, int.from_bytes(metadata[:4], "little"))


def _number(table: Table, kind: Any, field: int) -> int:
    return int(table.GetSlot(field, 0, kind))


def _inner(table: Table, field: int) -> Table:
    """Return the table in a field; raise ValueError where there is none."""
    at = table.Offset(field)
    if not at:
        raise ValueError("the metadata has no batch")
    return Table(table.Bytes, table.Indirect(at + table.Pos))


def _pairs(table: Table, field: int) -> Ints:
    """Return the pairs of numbers in a field, int64[n, 2]."""
    at = table.Offset(field)
    if not at:
        return np.zeros((0, 2), dtype=np.int64)
    count, start = table.VectorLen(at), table.Vector(at)
    pairs: Ints = np.frombuffer(table.Bytes, dtype="<i8", count=2 * count, offset=start)
    return pairs.reshape(count, 2)
