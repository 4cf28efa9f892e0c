"""Messages in an envelope, laid open: what decoders see is the inner value.

CloudEvents in structured mode become what they are in binary mode, so that there is one way to
read their attributes (in headers) and their data (the value).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamdrift.cloudevents import (
    CONTENT_TYPE,
    CloudEvent,
    CloudEventError,
    from_structured,
    media_type,
)
from streamdrift.decoders.letters import letter
from streamdrift.decoders.parsing import parse_value
from streamdrift.headers import encode_headers, header_spans
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bools, Bytes, DeadLetter, Decoded, Ints, Messages

_ENVELOPE = np.frombuffer(b"application/cloudevents", dtype=np.uint8)
_BATCH = "application/cloudevents-batch"


def to_binary(messages: Messages) -> tuple[Messages, list[DeadLetter]]:
    """Return CloudEvents as they are in binary mode, and a dead letter for each that is none.

    Null values stay: they are no events in either mode.
    """
    start, length = header_spans(messages, CONTENT_TYPE)
    wrapped = _begin_with(messages.data, start, length, _ENVELOPE) & (messages.length >= 0)
    _, versions = header_spans(messages, "ce_specversion")
    bare = ~wrapped & (versions < 0) & (messages.length >= 0)
    letters = [letter(messages, row, "no_cloudevent") for row in np.flatnonzero(bare).tolist()]
    found: dict[int, CloudEvent] = {}
    for row in np.flatnonzero(wrapped).tolist():
        kind = media_type(
            messages.data[start[row] : start[row] + length[row]].tobytes().decode(errors="replace")
        )
        event = _unwrapped(messages, row, kind)
        if isinstance(event, DeadLetter):
            letters.append(event)
        else:
            found[row] = event
    opened = _with(messages, found)
    refused = {int(each.offset) for each in letters}
    if refused:
        opened = opened.take(~np.isin(opened.offset, list(refused)))
    return opened, letters


def with_originals(decoded: Decoded, messages: Messages, letters: Sequence[DeadLetter]) -> Decoded:
    """Return what was decoded of messages laid open, with `letters` of those that were none.

    Dead letters hold the messages as they came.
    """
    rows = np.searchsorted(messages.offset, [each.offset for each in decoded.dead_letters])
    whole = [
        replace(each, value=messages.value(row))
        for each, row in zip(decoded.dead_letters, rows.tolist(), strict=True)
    ]
    found = sorted([*letters, *whole], key=lambda each: (each.offset, each.index))
    return replace(decoded, dead_letters=tuple(found))


def _unwrapped(messages: Messages, row: int, kind: str) -> CloudEvent | DeadLetter:
    value = messages.value(row)
    assert value is not None, "null values were left out"
    if kind.startswith(_BATCH):
        return letter(messages, row, "batched_cloudevents")
    document, reason, detail = parse_value(value)
    if reason is not None:
        return letter(messages, row, reason, detail)
    try:
        return from_structured(document)
    except CloudEventError as error:
        return letter(messages, row, "invalid_cloudevent", str(error))


def _with(messages: Messages, events: Mapping[int, CloudEvent]) -> Messages:
    """Return messages with events, by row, in place of what some of them hold."""
    if not events:
        return messages
    start, length = messages.start.copy(), messages.length.copy()
    header_start, header_length = messages.header_start.copy(), messages.header_length.copy()
    pieces = [messages.data.tobytes()]
    at = len(messages.data)
    for row, event in events.items():
        section = encode_headers(event.headers())
        start[row], length[row] = at, len(event.data)
        header_start[row], header_length[row] = at + len(event.data), len(section)
        pieces += (event.data, section)
        at += len(event.data) + len(section)
    return replace(
        messages,
        data=np.frombuffer(b"".join(pieces), dtype=np.uint8),
        start=start,
        length=length,
        header_start=header_start,
        header_length=header_length,
    )


@kernel
def _begin_with(data: Bytes, start: Ints, length: Ints, prefix: Bytes) -> Bools:
    """Tell of each text whether it begins with `prefix`, in any case of letters."""
    same = np.zeros(len(start), dtype=np.bool_)
    for i in range(len(start)):
        if length[i] < len(prefix):
            continue
        same[i] = True
        for k in range(len(prefix)):
            byte = data[start[i] + k]
            if 65 <= byte <= 90:
                byte += 32
            if byte != prefix[k]:
                same[i] = False
                break
    return same
