"""A record's headers in Kafka's wire form, for sources that pack them and mappings that ask.

The form is the header section of a v2 record: the number of headers, then for each its key
and its value, all numbers as zigzag varints; a length of -1 is a null value.
"""

from collections.abc import Sequence

from streamdrift.records import Messages

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


def header_value(messages: Messages, row: int, name: str) -> bytes | None:
    """Return the value of a message's first header of that name that has one."""
    length = max(0, int(messages.header_length[row]))
    start = int(messages.header_start[row])
    headers = decode_headers(messages.data[start : start + length].tobytes())
    return next((value for key, value in headers if key == name and value is not None), None)


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
