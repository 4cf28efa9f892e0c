"""Where a schema registry's serialisers write which schema a message follows.

In front of the payload: 0x00 and the schema's number in 4 bytes, big-endian, or 0x01 and its GUID
in 16; or the same in a header, and the payload alone in the value.
https://docs.confluent.io (Schema Registry, wire format).
"""

from dataclasses import replace
from uuid import UUID

import numpy as np

from streamdrift.decoders.parsing import first_bytes
from streamdrift.headers import header_spans
from streamdrift.records import Bools, Ints, Messages
from streamdrift.schemas import SchemaId

HEADER = "__value_schema_id"
NUMBER_BYTES = 5
GUID_BYTES = 17


def payload_starts(messages: Messages) -> tuple[Ints, Bools]:
    """Return where each message's payload begins, and of which the value is framed rightly.

    What has the schema's id in a header, and null values, are.
    """
    _, in_header = header_spans(messages, HEADER)
    magic = first_bytes(messages)
    size = np.select([magic == 0, magic == 1], [NUMBER_BYTES, GUID_BYTES], 0)
    size = np.where(in_header >= 0, 0, size)
    good = (messages.length < 0) | (in_header >= 0) | ((size > 0) & (messages.length >= size))
    return messages.start + np.where(good & (messages.length >= 0), size, 0), good


def without_frames(messages: Messages, starts: Ints) -> Messages:
    """Return messages whose values are their payloads alone."""
    return replace(messages, start=starts, length=messages.length - (starts - messages.start))


def schema_id(framed: bytes) -> SchemaId | None:
    """Return the id that a frame, or a header, says; None where it says none.

    >>> schema_id(bytes([0, 0, 0, 1, 2]))
    258
    """
    if len(framed) >= NUMBER_BYTES and framed[0] == 0:
        return int.from_bytes(framed[1:NUMBER_BYTES], "big")
    if len(framed) >= GUID_BYTES and framed[0] == 1:
        return UUID(bytes=framed[1:GUID_BYTES])
    return None
