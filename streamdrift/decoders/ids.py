"""Ids of events as 64-bit hashes, so that a repeated event is known without its text.

An id is a text that is not empty, or a number. A whole number of at most 64 bits is hashed as
its digits (17 and "17" are one id), any other number as its float64. Everything else is no id,
and has the hash 0. The hash is the same in every process; it is no defence against ids that
somebody chose to collide.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamdrift.decoders.mapping import (
    ConstantPlace,
    HeaderPlace,
    KeyPlace,
    Place,
    TopicPlace,
)
from streamdrift.headers import header_spans
from streamdrift.kernels.compiler import hash64, kernel
from streamdrift.records import Bytes, Codes, Floats, Ids, Ints, Messages

_LEAST = -(2**63)
_MOST = 2**64


@kernel
def _hash_bytes(data: Bytes, at: int, end: int) -> np.uint64:
    """Return the hash of `data[at:end]`; never 0, which says that there is no id."""
    mixed = np.uint64(0)
    length = end - at
    while at + 8 <= end:
        # Eight shifts that compile to one load, on any machine's byte order.
        word = np.uint64(0)
        for k in range(8):
            word |= np.uint64(data[at + k]) << np.uint64(8 * k)
        mixed = (mixed ^ word) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        at += 8
    word = np.uint64(0)
    shift = np.uint64(0)
    while at < end:
        word |= np.uint64(data[at]) << shift
        shift += np.uint64(8)
        at += 1
    found = hash64(mixed ^ word, length)
    return found if found != np.uint64(0) else np.uint64(1)


@kernel
def _hash_float(bits: np.uint64) -> np.uint64:
    """Return the hash of a float64's bits, apart from those of texts of 8 bytes."""
    found = hash64(bits, -1)
    return found if found != np.uint64(0) else np.uint64(1)


@kernel
def hash_spans(data: Bytes, start: Ints, length: Ints) -> Ids:
    """Return the ids uint64[n] of texts in UTF-8; an empty one, or a length of -1, is none."""
    ids = np.zeros(len(start), dtype=np.uint64)
    for i in range(len(start)):
        if length[i] > 0:
            ids[i] = _hash_bytes(data, start[i], start[i] + length[i])
    return ids


@kernel
def _hash_floats(bits: NDArray[np.uint64]) -> Ids:
    ids = np.empty(len(bits), dtype=np.uint64)
    for i in range(len(bits)):
        ids[i] = _hash_float(bits[i])
    return ids


@kernel
def _hash_number(data: Bytes, at: int, end: int, bits: np.uint64) -> np.uint64:
    """Return the hash of a number's token of at most 19 digits, whose value is `bits`."""
    negative = data[at] == 45
    first = at + 1 if negative else at
    digits = np.uint64(0)
    for i in range(first, end):
        if data[i] < 48 or data[i] > 57:
            return _hash_float(bits)
        digits = digits * np.uint64(10) + np.uint64(data[i] - 48)
    if negative and digits > np.uint64(1 << 63):
        return _hash_float(bits)
    return _hash_bytes(data, first if digits == np.uint64(0) else at, end)


@kernel
def hash_values(
    data: Bytes, kinds: NDArray[np.uint8], bits: NDArray[np.uint64], start: Ints, length: Ints
) -> Ids:
    """Return the ids uint64[n] of values as a template's kernel found them.

    `bits` are those of the numbers; `start` and `length` the spans of texts and of numbers.
    """
    ids = np.zeros(len(kinds), dtype=np.uint64)
    for i in range(len(kinds)):
        end = start[i] + length[i]
        if kinds[i] == 4 and length[i] > 0:
            ids[i] = _hash_bytes(data, start[i], end)
        elif kinds[i] == 2:
            ids[i] = _hash_number(data, start[i], end, bits[i])
    return ids


def hash_places(place: Place | None, messages: Messages, rows: Ints, indices: Codes) -> Ids:
    """Return the ids uint64[n] of events, from beside their documents: `place` is no pointer.

    `rows` and `indices` are each event's message and its place in it. What a message has once
    is the id of its first event; those behind it have their place as a part of theirs.
    """
    if isinstance(place, KeyPlace):
        ids = hash_spans(messages.data, messages.key_start[rows], messages.key_length[rows])
        return with_indices(ids, indices)
    if isinstance(place, HeaderPlace):
        start, length = header_spans(messages, place.header)
        ids = hash_spans(messages.data, start[rows], length[rows])
        return with_indices(ids, indices)
    if isinstance(place, ConstantPlace | TopicPlace):
        text = place.constant if isinstance(place, ConstantPlace) else messages.partition.topic
        return np.full(len(rows), _hash_texts([text.encode()])[0])
    return np.zeros(len(rows), dtype=np.uint64)


@kernel
def with_indices(ids: Ids, indices: Codes) -> Ids:
    """Return `ids` changed, in place, so that events of one message and id are told apart."""
    for i in range(len(ids)):
        if ids[i] != np.uint64(0) and indices[i] > 0:
            ids[i] = max(hash64(ids[i], indices[i]), np.uint64(1))
    return ids


def _hash_texts(texts: Sequence[bytes]) -> Ids:
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    data = np.frombuffer(b"".join(texts), dtype=np.uint8)
    return hash_spans(data, np.cumsum(lengths) - lengths, lengths)


def hash_cells(cells: Sequence[object]) -> Ids:
    """Return the ids uint64[n] of JSON values; what is neither text nor number is none."""
    texts = [_text(cell) for cell in cells]
    ids = _hash_texts(texts)
    rows = [row for row, cell in enumerate(cells) if not texts[row] and _is_number(cell)]
    if rows:
        numbers: Floats = np.array([_float(cells[row]) for row in rows])
        there = ~np.isnan(numbers)
        ids[np.array(rows)[there]] = _hash_floats(numbers[there].view(np.uint64))
    return ids


def _text(cell: object) -> bytes:
    """Return the bytes by which a value is hashed, none where it is not by its text."""
    if type(cell) is str:
        return cell.encode()
    if type(cell) is int and _LEAST <= cell < _MOST:
        return str(cell).encode()
    return b""


def _is_number(cell: object) -> bool:
    return type(cell) is int or type(cell) is float


def _float(cell: object) -> float:
    assert isinstance(cell, int | float)
    try:
        return float(cell) + 0.0
    except OverflowError:
        return float("inf") if cell > 0 else float("-inf")
