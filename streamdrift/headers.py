"""A record's headers in Kafka's wire form, for sources that pack them and mappings that ask.

The form is the header section of a v2 record: the number of headers, then for each its key
and its value, all numbers as zigzag varints; a length of -1 is a null value.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bytes, Ints, Messages

Header = tuple[str, bytes | None]


def encode_headers(headers: Sequence[Header]) -> bytes:
    """Return `headers` in the wire form.

    >>> encode_headers([("a", b"1"), ("b", None)]).hex()
    '0402610231026201'
    """
    parts = [_encode_varint(len(headers))]
    for key, value in headers:
        name = key.encode()
        parts += (_encode_varint(len(name)), name)
        parts += (_encode_varint(-1),) if value is None else (_encode_varint(len(value)), value)
    return b"".join(parts)


def decode_headers(section: bytes) -> list[Header]:
    """Return the headers of a record's header section, in their order.

    Keys that are not UTF-8 have the bad bytes replaced. An empty section has no headers.
    Raises ValueError where the section is damaged.

    >>> decode_headers(bytes.fromhex("0402610231026201"))
    [('a', b'1'), ('b', None)]
    """
    if not section:
        return []
    count, position = _decode_varint(section, 0)
    headers: list[Header] = []
    for _ in range(count):
        key, position = _decode_bytes(section, position)
        if key is None:
            raise ValueError("a header without a key")
        value, position = _decode_bytes(section, position)
        headers.append((key.decode(errors="replace"), value))
    if position != len(section):
        raise ValueError(f"{len(section) - position} bytes follow the last header")
    return headers


def header_spans(messages: Messages, name: str) -> tuple[Ints, Ints]:
    """Return where the values of a header of each message are: starts and lengths int64[n].

    Of several headers of one name the first that has a value counts; the length is -1 where
    there is none, or the section is damaged.
    """
    wanted = np.frombuffer(name.encode(), dtype=np.uint8)
    return _find(messages.data, messages.header_start, messages.header_length, wanted)


def header_texts(messages: Messages, name: str) -> list[str | None]:
    """Return the value of a header of each message as text, None where it has none."""
    data = messages.data
    return [
        None if length < 0 else data[start : start + length].tobytes().decode(errors="replace")
        for start, length in zip(*map(np.ndarray.tolist, header_spans(messages, name)), strict=True)
    ]


@kernel
def _find(data: Bytes, starts: Ints, lengths: Ints, wanted: Bytes) -> tuple[Ints, Ints]:
    found = np.zeros(len(starts), dtype=np.int64)
    sizes = np.full(len(starts), -1, dtype=np.int64)
    for i in range(len(starts)):
        end = starts[i] + max(lengths[i], 0)
        count, at = _varint(data, starts[i], end)
        while count > 0 and at >= 0:
            count -= 1
            key_length, key = _varint(data, at, end)
            if key < 0 or key_length < 0 or key_length > end - key:
                break
            length, value = _varint(data, key + key_length, end)
            if value < 0 or length > end - value:
                break
            at = value + max(length, 0)
            same = length >= 0 and key_length == len(wanted)
            k = 0
            while same and k < key_length:
                same = data[key + k] == wanted[k]
                k += 1
            if same:
                found[i] = value
                sizes[i] = length
                break
    return found, sizes


@kernel
def _varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return a zigzag varint and where it ends, -1 where it does not."""
    number = np.uint64(0)
    shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        number |= np.uint64(byte & 0x7F) << np.uint64(shift)
        if byte < 0x80:
            value = int(np.int64(number >> np.uint64(1)))
            return (-value - 1 if number & np.uint64(1) else value), at
        shift += 7
    return 0, -1


def _encode_varint(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _decode_varint(section: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(section) and shift < 64:
        byte = section[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), position
        shift += 7
    raise ValueError("a number that does not end")


def _decode_bytes(section: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = _decode_varint(section, position)
    if length < 0:
        return None, position
    if position + length > len(section):
        raise ValueError("a header longer than its section")
    return section[position : position + length], position + length
