"""Kafka's record batches, straight from the bytes of a fetch response, as `Messages`.

A compiled kernel walks all records of a response at once, so that no Python object is made
per message. What it reads is message format v2, the only one brokers have written since
Kafka 0.11; anything else raises `UnsupportedBatchError`, and the caller takes the client's
own reader instead.

The layout is the one of Kafka's DefaultRecordBatch and DefaultRecord.
"""

import struct
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from crc32c import crc32c
from kafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from kafka.record.default_records import DefaultRecordBatch

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bytes, Ints, Messages, Partition
from streamdrift.sources.packing import LATEST_MILLISECOND, MILLISECOND, as_messages

# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first time,
# latest time, producer, its epoch, base sequence, number of records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_BEFORE_LENGTH_COUNTS = 12
_CRC_COVERS_FROM = 21
_MAGIC = 16
_SMALLEST_RECORD = 7

_CODEC = 0x07
_APPEND_TIME = 0x08
_TRANSACTIONAL = 0x10
_CONTROL = 0x20

_DECOMPRESS = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}


class UnsupportedBatchError(Exception):
    """The bytes are not what this reader knows: read them with the client's own reader."""


class CorruptBatchError(Exception):
    """A batch is damaged. It held the offsets `first` to `last`, if its header is right."""

    def __init__(self, what: str, partition: Partition, first: int, last: int) -> None:
        super().__init__(f"{what} in the record batch of offsets {first} to {last}")
        self.partition = partition
        self.first = first
        self.last = last


class AbortedTransactions:
    """Which producers' batches are to be skipped, as one fetch response tells it.

    `transactions` are (producer, first offset) of the aborted transactions that overlap the
    response; each ends at its producer's abort marker.
    """

    def __init__(self, transactions: Iterable[tuple[int, int]]) -> None:
        self._ahead = deque(sorted(transactions, key=lambda transaction: transaction[1]))
        self._open: set[int] = set()

    def skips(self, producer: int, last_offset: int, attributes: int, batch: memoryview) -> bool:
        """Return whether a batch belongs to an aborted transaction, in the order of offsets."""
        while self._ahead and self._ahead[0][1] <= last_offset:
            self._open.add(self._ahead.popleft()[0])
        if attributes & _CONTROL:
            if producer in self._open and next(DefaultRecordBatch(batch)).abort:
                self._open.remove(producer)
            return True
        return bool(attributes & _TRANSACTIONAL) and producer in self._open


class Fetched(NamedTuple):
    """What one partition of a fetch response held."""

    messages: Messages
    leader_epoch: int
    corrupt: CorruptBatchError | None
    """Damage behind the last message: what comes before it is in `messages`."""


class _Segment(NamedTuple):
    """One batch's records: where they are and what the kernel must know of them."""

    start: int
    stop: int
    codec: int
    records: int
    base_offset: int
    first_time: int
    append_time: int
    """-1 where the records' own times count."""
    last_offset: int


def read_batches(
    partition: Partition,
    buffer: bytes | bytearray | memoryview,
    fetch_offset: int,
    aborted: AbortedTransactions,
) -> Fetched:
    """Return the messages from `fetch_offset` on that a partition's response bytes hold.

    Control batches and aborted transactions are left out; a batch cut off at the end is
    left for the next fetch. Raises UnsupportedBatchError before anything is consumed.
    """
    view = memoryview(buffer)
    segments: list[_Segment] = []
    position, next_offset, epoch = 0, fetch_offset, -1
    corrupt = None
    while position + _BEFORE_LENGTH_COUNTS <= len(view):
        (length,) = struct.unpack_from(">i", view, position + 8)
        stop = position + _BEFORE_LENGTH_COUNTS + length
        if stop > len(view):
            break
        try:
            segment, epoch, after = _open_batch(partition, view[position:stop], position, aborted)
        except CorruptBatchError as error:
            corrupt = error
            break
        if segment is not None:
            segments.append(segment)
        next_offset = max(next_offset, after)
        position = stop
    data, segments = _decompressed(view, segments)
    messages, damaged = _walk(partition, data, segments, fetch_offset, next_offset)
    return Fetched(messages, epoch, damaged or corrupt)


def _open_batch(
    partition: Partition, batch: memoryview, position: int, aborted: AbortedTransactions
) -> tuple[_Segment | None, int, int]:
    """Return a batch's segment (None: to be skipped), leader epoch and following offset."""
    if len(batch) <= _MAGIC or batch[_MAGIC] != 2:
        raise UnsupportedBatchError("a message set of an old format")
    if len(batch) < _HEADER.size:
        raise UnsupportedBatchError("a batch shorter than its header")
    (base, _, epoch, _, crc, attributes, delta, first, latest, producer, _, _, count) = (
        _HEADER.unpack_from(batch)
    )
    last_offset = base + delta
    if crc32c(batch[_CRC_COVERS_FROM:]) != crc:
        raise CorruptBatchError("a wrong checksum", partition, base, last_offset)
    if producer >= 0 and aborted.skips(producer, last_offset, attributes, batch):
        return None, epoch, last_offset + 1
    if attributes & _CONTROL:
        return None, epoch, last_offset + 1
    codec = attributes & _CODEC
    if codec not in _DECOMPRESS and codec != 0:
        raise UnsupportedBatchError(f"compression codec {codec}")
    segment = _Segment(
        start=position + _HEADER.size,
        stop=position + len(batch),
        codec=codec,
        records=count,
        base_offset=base,
        first_time=first,
        append_time=latest if attributes & _APPEND_TIME else -1,
        last_offset=last_offset,
    )
    return segment, epoch, last_offset + 1


def _decompressed(view: memoryview, segments: list[_Segment]) -> tuple[Bytes, list[_Segment]]:
    """Return one buffer with all segments' records in the clear, and where they are in it.

    The response itself is that buffer where nothing is compressed.
    """
    if not any(segment.codec for segment in segments):
        data = np.frombuffer(view, dtype=np.uint8)
        data.setflags(write=False)
        return data, segments
    pieces: list[bytes | memoryview] = []
    moved: list[_Segment] = []
    position = 0
    for segment in segments:
        piece: bytes | memoryview = view[segment.start : segment.stop]
        if segment.codec:
            try:
                piece = _DECOMPRESS[segment.codec](bytes(piece))
            # Each codec's library raises errors of its own. The walk then finds no records
            # where some are due, and reports the batch as damaged.
            except Exception:
                piece = b""
        pieces.append(piece)
        moved.append(segment._replace(start=position, stop=position + len(piece), codec=0))
        position += len(piece)
    return np.frombuffer(b"".join(pieces), dtype=np.uint8), moved


def _walk(
    partition: Partition,
    data: Bytes,
    segments: list[_Segment],
    fetch_offset: int,
    next_offset: int,
) -> tuple[Messages, CorruptBatchError | None]:
    places = np.array(segments, dtype=np.int64).reshape(len(segments), len(_Segment._fields))
    # A count is believed only as far as that many of the smallest records would fit.
    room = (places[:, 1] - places[:, 0]) // _SMALLEST_RECORD
    spans = np.empty((8, int(np.clip(places[:, 3], 0, room).sum())), dtype=np.int64)
    filled, done = walk_records(data, places, fetch_offset, spans)
    corrupt = None
    if done < len(segments):
        segment = segments[done]
        corrupt = CorruptBatchError(
            "a broken record", partition, segment.base_offset, segment.last_offset
        )
        next_offset = max(fetch_offset, segment.base_offset)
    return as_messages(partition, data, spans[:, :filled], next_offset), corrupt


@kernel
def walk_records(data: Bytes, segments: Ints, fetch_offset: int, spans: Ints) -> tuple[int, int]:
    """Write the spans of all records of int64[k, 8] `segments` (see `_Segment`) into `spans`.

    Returns how many messages were written, and how many segments were sound: fewer than k
    where one is damaged, of which nothing is written.
    """
    filled = 0
    for segment in range(len(segments)):
        written = _walk_segment(data, segments[segment], fetch_offset, spans, filled)
        if written < 0:
            return filled, segment
        filled += written
    return filled, len(segments)


@kernel
def _walk_segment(data: Bytes, segment: Ints, fetch_offset: int, spans: Ints, filled: int) -> int:
    """Return how many messages of one batch were written from `filled` on; -1 if damaged."""
    position, stop, count = segment[0], segment[1], segment[3]
    base_offset, first_time, append_time = segment[4], segment[5], segment[6]
    if count < 0 or count > (stop - position) // 7:
        return -1
    written = 0
    for _ in range(count):
        length, position = read_varint(data, position, stop)
        end = position + length
        # One byte of attributes that no version uses follows the length.
        if position < 0 or length < 1 or end > stop:
            return -1
        time_delta, position = read_varint(data, position + 1, end)
        offset_delta, position = read_varint(data, position, end)
        key_length, key_start = read_varint(data, position, end)
        value_length, value_start = read_varint(data, key_start + max(key_length, 0), end)
        header_start = value_start + max(value_length, 0)
        if position < 0 or key_start < 0 or value_start < 0 or header_start > end:
            return -1
        header_count = _walk_headers(data, header_start, end)
        if header_count < 0:
            return -1
        position = end
        if base_offset + offset_delta < fetch_offset:
            continue
        time = append_time if append_time >= 0 else first_time + time_delta
        column = filled + written
        spans[0, column] = base_offset + offset_delta
        spans[1, column] = -1 if time < 0 else min(time, LATEST_MILLISECOND) * MILLISECOND
        spans[2, column] = value_start
        spans[3, column] = max(value_length, -1)
        spans[4, column] = key_start
        spans[5, column] = max(key_length, -1)
        spans[6, column] = header_start
        spans[7, column] = end - header_start if header_count > 0 else -1
        written += 1
    return written if position == stop else -1


@kernel
def _walk_headers(data: Bytes, position: int, end: int) -> int:
    """Return the number of headers of a section that must end at `end`; -1 if damaged."""
    count, position = read_varint(data, position, end)
    if position < 0 or count < 0:
        return -1
    for _ in range(count):
        key_length, position = read_varint(data, position, end)
        if position < 0 or key_length < 0 or key_length > end - position:
            return -1
        value_length, position = read_varint(data, position + key_length, end)
        if position < 0 or value_length > end - position:
            return -1
        position += max(value_length, 0)
    return count if position == end else -1


@kernel
def read_varint(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """Return a zigzag varint and the place behind it; that is -1 where none ends by `end`."""
    number = 0
    shift = 0
    while 0 <= position < end and shift < 64:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            # The mask makes a shift that fills up with zeros of one that keeps the sign.
            return (number >> 1 & 0x7FFFFFFFFFFFFFFF) ^ -(number & 1), position
        shift += 7
    return 0, -1
