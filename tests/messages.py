"""Messages for tests, from plain bytes."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamdrift.headers import Header, encode_headers
from streamdrift.records import Messages, Partition

PREDICTIONS = Partition("predictions", 0)


def messages(
    values: Sequence[bytes | None],
    *,
    partition: Partition = PREDICTIONS,
    first: int = 0,
    time: int = 0,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    headers_of_each: Sequence[Sequence[Header]] | None = None,
) -> Messages:
    """Return messages at offsets from `first` on, all with the record time `time`.

    All have the same `headers`, or each has its own.
    """
    size = len(values)
    sections = [encode_headers(each) for each in headers_of_each or [headers] * size]
    chosen = [None] * size if keys is None else list(keys)
    buffer = bytearray()

    def spans(parts: Sequence[bytes | None]) -> tuple[Any, Any]:
        starts, lengths = [], []
        for part in parts:
            starts.append(len(buffer))
            lengths.append(-1 if part is None else len(part))
            buffer.extend(part or b"")
        return np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64)

    start, length = spans(values)
    key_start, key_length = spans(chosen)
    header_start, header_length = spans(sections)
    return Messages(
        partition=partition,
        data=np.frombuffer(bytes(buffer), dtype=np.uint8),
        start=start,
        length=length,
        offset=np.arange(first, first + size, dtype=np.int64),
        time=np.full(size, time, dtype=np.int64),
        key_start=key_start,
        key_length=key_length,
        header_start=header_start,
        header_length=header_length,
        next_offset=first + size,
    )


def event(**fields: Any) -> bytes:
    """Return an event of the default format, with `fields` over its own."""
    plain = {
        "event_id": "e-1",
        "model": "fraud",
        "version": "3",
        "timestamp": "2026-01-01T00:00:00Z",
        "features": {"amount": 12.5},
        "prediction": {"label": "ok", "score": 0.07},
    }
    return json.dumps(plain | fields, separators=(",", ":"), ensure_ascii=False).encode()
