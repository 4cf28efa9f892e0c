"""Records as Python objects -> `Messages`: for the public `poll()` path, files and fakes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.headers import Header, encode_headers
from streamdrift.records import Bytes, Ints, Messages, Partition

MILLISECOND = 1_000
LATEST_MILLISECOND = (2**63 - 1) // MILLISECOND


class Record(NamedTuple):
    """One message before it is packed. `time` is in microseconds, -1 where unknown."""

    offset: int
    time: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()


def microseconds(milliseconds: int | None) -> int:
    """Return Kafka's time (-1, in its oldest format None: unknown) in us, within 64 bits."""
    if milliseconds is None or milliseconds < 0:
        return -1
    return min(milliseconds, LATEST_MILLISECOND) * MILLISECOND


def pack(partition: Partition, records: Sequence[Record], next_offset: int) -> Messages:
    """Return `records`, which are in the order of their offsets, as `Messages`."""
    pieces: list[bytes] = []
    spans = np.empty((8, len(records)), dtype=np.int64)
    position = 0
    for i, record in enumerate(records):
        section = encode_headers(record.headers) if record.headers else None
        spans[0:2, i] = record.offset, record.time
        for row, piece in ((2, record.value), (4, record.key), (6, section)):
            spans[row, i] = position
            spans[row + 1, i] = -1 if piece is None else len(piece)
            if piece is not None:
                pieces.append(piece)
                position += len(piece)
    data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    return as_messages(partition, data, spans, next_offset)


def as_messages(partition: Partition, data: Bytes, spans: Ints, next_offset: int) -> Messages:
    """Return `spans` int64[8, n] (offset, time, and start and length of value, key, headers)."""
    return Messages(
        partition=partition,
        data=data,
        offset=spans[0],
        time=spans[1],
        start=spans[2],
        length=spans[3],
        key_start=spans[4],
        key_length=spans[5],
        header_start=spans[6],
        header_length=spans[7],
        next_offset=next_offset,
    )
