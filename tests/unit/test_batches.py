"""The kernel that walks record batches, against kafka-python's own builder and reader."""

import contextlib
import struct
from typing import Any

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from streamdrift.headers import decode_headers, encode_headers
from streamdrift.records import Messages, Partition
from streamdrift.sources.batches import (
    AbortedTransactions,
    CorruptBatchError,
    Fetched,
    UnsupportedBatchError,
    read_batches,
    read_varint,
)
from streamdrift.sources.fetching import BatchRecords, as_records
from streamdrift.sources.packing import pack

PARTITION = Partition("predictions", 0)
APPEND_TIME = 0x08
CONTROL = 0x20

Row = tuple[int | None, bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def build(
    rows: list[Row],
    *,
    offset: int = 0,
    codec: int = 0,
    magic: int = 2,
    producer: int = -1,
    transactional: bool = False,
) -> bytes:
    builder = MemoryRecordsBuilder(
        magic,
        codec,
        1 << 24,
        transactional=transactional,
        producer_id=producer,
        producer_epoch=0 if producer >= 0 else -1,
        base_sequence=0 if producer >= 0 else -1,
    )
    for time, key, value, headers in rows:
        assert builder.append(time, key, value, headers) is not None
    builder.close()
    batch = bytearray(builder.buffer())
    struct.pack_into(">q", batch, 0, offset)
    return bytes(batch)


def change(batch: bytes, *, attributes: int = 0, latest: int | None = None) -> bytes:
    """Set attribute bits and the latest time, and the checksum to match."""
    changed = bytearray(batch)
    (before,) = struct.unpack_from(">h", changed, 21)
    struct.pack_into(">h", changed, 21, before | attributes)
    if latest is not None:
        struct.pack_into(">q", changed, 35, latest)
    struct.pack_into(">I", changed, 17, crc32c(bytes(changed[21:])))
    return bytes(changed)


def marker(offset: int, producer: int, *, commit: bool) -> bytes:
    key = struct.pack(">hh", 0, int(commit))
    batch = build([(0, key, b"", [])], offset=offset, producer=producer, transactional=True)
    return change(batch, attributes=CONTROL)


def read(
    buffer: bytes, offset: int = 0, transactions: list[tuple[int, int]] | None = None
) -> Fetched:
    return read_batches(PARTITION, buffer, offset, AbortedTransactions(transactions or []))


def contents(messages: Messages) -> list[tuple[Any, ...]]:
    def cut(start: int, length: int) -> bytes | None:
        return None if length < 0 else messages.data[start : start + length].tobytes()

    return [
        (
            int(messages.offset[i]),
            int(messages.time[i]),
            messages.value(i),
            cut(messages.key_start[i], messages.key_length[i]),
            cut(messages.header_start[i], messages.header_length[i]),
        )
        for i in range(len(messages))
    ]


def read_publicly(
    buffer: bytes, offset: int = 0, transactions: list[Any] | None = None
) -> Messages:
    reader = Fetcher.PartitionRecords(
        offset,
        TopicPartition(*PARTITION),
        MemoryRecords(buffer),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=transactions,
    )
    return pack(PARTITION, as_records(reader.take()), reader.next_fetch_offset)


texts = st.text(max_size=5)
blobs = st.binary(max_size=40)
rows = st.lists(
    st.tuples(
        st.integers(0, 2**45),
        st.none() | blobs,
        st.none() | blobs,
        st.lists(st.tuples(texts, st.none() | blobs), max_size=3),
    ),
    min_size=1,
    max_size=8,
)


@given(
    st.lists(st.tuples(rows, st.integers(0, 4), st.booleans()), min_size=1, max_size=4), st.data()
)
@settings(max_examples=80, deadline=None)
def test_equals_the_clients_reader(
    batches: list[tuple[list[Row], int, bool]], data: st.DataObject
) -> None:
    buffer, offset = b"", 5
    for group, codec, append_time in batches:
        batch = build(group, offset=offset, codec=codec)
        buffer += change(batch, attributes=APPEND_TIME, latest=77) if append_time else batch
        offset += len(group) + 2  # a gap, as compaction leaves it
    first = data.draw(st.integers(0, offset))
    fetched = read(buffer, first)
    public = read_publicly(buffer, first)
    assert contents(fetched.messages) == contents(public)
    assert fetched.messages.next_offset == max(public.next_offset, first)
    assert fetched.corrupt is None


@given(rows, st.integers(0, 4), st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_found_and_never_crashes(
    group: list[Row], codec: int, data: st.DataObject
) -> None:
    sound = build([(1, None, b"sound", [])], offset=0)
    damaged = bytearray(build(group, offset=1, codec=codec))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(61, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    # With the checksum of the damaged bytes, so that the kernel has to cope with them.
    fetched = read(sound + change(bytes(damaged)))
    assert fetched.messages.value(0) == b"sound"
    messages = fetched.messages
    ends = messages.start + np.maximum(messages.length, 0)
    assert (messages.start >= 0).all()
    assert (ends <= len(messages.data)).all()
    if fetched.corrupt is not None:
        assert len(messages) == 1
        assert messages.next_offset == 1
        assert fetched.corrupt.first == 1
    # With the old checksum it is found whatever was hit.
    fetched = read(sound + bytes(damaged))
    if bytes(damaged) != build(group, offset=1, codec=codec):
        assert len(fetched.messages) == 1
        assert fetched.corrupt is not None


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes(buffer: bytes) -> None:
    with contextlib.suppress(UnsupportedBatchError):
        read(buffer)


@given(st.integers(-(2**63), 2**63 - 1))
@settings(deadline=None)
def test_varint(number: int) -> None:
    zigzag = ((number << 1) ^ (number >> 63)) & (2**64 - 1)
    encoded = bytearray()
    while zigzag > 0x7F:
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    encoded.append(zigzag)
    data = np.frombuffer(bytes(encoded), dtype=np.uint8)
    assert read_varint(data, 0, len(data)) == (number, len(data))
    assert read_varint(data, 0, len(data) - 1) == (0, -1)


def test_transactions() -> None:
    def batch(offset: int, producer: int, value: bytes) -> bytes:
        return build([(0, None, value, [])], offset=offset, producer=producer, transactional=True)

    buffer = b"".join(
        [
            batch(0, 1, b"aborted"),
            batch(1, 2, b"committed"),
            build([(0, None, b"plain", [])], offset=2),
            marker(3, 1, commit=False),
            batch(4, 1, b"committed after an abort"),
            marker(5, 1, commit=True),
            batch(6, 2, b"aborted later"),
            marker(7, 2, commit=False),
        ]
    )
    fetched = read(buffer, 0, [(2, 6), (1, 0)])
    assert [fetched.messages.value(i) for i in range(len(fetched.messages))] == [
        b"committed",
        b"plain",
        b"committed after an abort",
    ]
    assert fetched.messages.next_offset == 8


def test_a_batch_cut_off_waits_for_the_next_fetch() -> None:
    first, second = build([(0, None, b"a", [])]), build([(0, None, b"b", [])], offset=1)
    fetched = read(first + second[:-1])
    assert len(fetched.messages) == 1
    assert fetched.messages.next_offset == 1


def test_unknown_time_stays_unknown() -> None:
    batch = bytearray(build([(0, None, b"a", [])]))
    struct.pack_into(">q", batch, 27, -1)
    assert read(change(bytes(batch))).messages.time[0] == -1


@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_go_the_public_way(magic: int) -> None:
    buffer = build([(5, b"k", b"a", []), (6, None, b"b", [])], magic=magic)
    with pytest.raises(UnsupportedBatchError):
        read(buffer)
    drained: list[BatchRecords] = []
    taken = BatchRecords(
        0,
        TopicPartition(*PARTITION),
        MemoryRecords(buffer),
        on_drain=drained.append,
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=True,
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=None,
        metric_aggregator=None,
    )
    (messages,) = taken.take()
    assert contents(messages) == contents(read_publicly(buffer))
    assert drained == [taken]
    assert not taken


def test_damage_in_the_first_batch_is_raised() -> None:
    batch = bytearray(build([(0, None, b"a", [])], offset=9))
    batch[-1] ^= 1
    taken = BatchRecords(
        9, TopicPartition(*PARTITION), MemoryRecords(bytes(batch)), on_drain=lambda _: None
    )
    with pytest.raises(CorruptBatchError) as caught:
        taken.take()
    assert (caught.value.partition, caught.value.first, caught.value.last) == (PARTITION, 9, 9)
    assert not taken


@given(st.lists(st.tuples(texts, st.none() | blobs), max_size=5))
def test_headers_round_trip(headers: list[tuple[str, bytes | None]]) -> None:
    assert decode_headers(encode_headers(headers)) == headers


@given(st.binary(max_size=30))
def test_damaged_headers_are_refused(section: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_headers(section)
