"""From messages to parsed documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from streamdrift.decoders.letters import brief, letter
from streamdrift.decoders.limits import MAX_MESSAGE_BYTES
from streamdrift.documents import HalfPairError, parse
from streamdrift.records import Codes, DeadLetter, Messages

Unwrap = Callable[[dict[str, object]], object]
"""Returns the event within a JSON object, None where the object tells of none."""


@dataclass(slots=True)
class Events:
    """Parsed documents, and the message (row) and place in it (index) of each."""

    documents: list[object]
    rows: Sequence[int]
    indices: Sequence[int] | Codes
    letters: list[DeadLetter] = field(default_factory=list)


def parse_messages(messages: Messages, unwrap: Unwrap | None = None) -> Events:
    """Return the documents of all messages; what is none becomes a dead letter."""
    view = messages.data.data
    ends = messages.start + messages.length
    spans = zip(messages.start.tolist(), ends.tolist(), strict=True)
    if len(messages) and messages.length.min() > 0 and messages.length.max() <= MAX_MESSAGE_BYTES:
        try:
            documents = [orjson.loads(view[start:end]) for start, end in spans]
        except orjson.JSONDecodeError:
            pass
        else:
            if unwrap is not None:
                documents = [unwrap(each) if type(each) is dict else each for each in documents]
            if set(map(type, documents)) == {dict}:
                size = len(documents)
                return Events(documents, range(size), np.zeros(size, dtype=np.int32))
    return _parse_one_by_one(messages, unwrap)


def _parse_one_by_one(messages: Messages, unwrap: Unwrap | None) -> Events:
    documents: list[object] = []
    rows: list[int] = []
    indices: list[int] = []
    letters: list[DeadLetter] = []
    for row in range(len(messages)):
        value = messages.value(row)
        if value is None:
            continue
        parsed, reason, detail = parse_value(value)
        if reason is not None:
            letters.append(letter(messages, row, reason, detail))
        found = parsed if isinstance(parsed, list) else [parsed]
        for index, whole in enumerate(found if reason is None else []):
            document = whole
            if unwrap is not None and isinstance(whole, dict):
                document = unwrap(whole)
                if document is None:
                    continue
            if isinstance(document, dict):
                documents.append(document)
                rows.append(row)
                indices.append(index)
            else:
                shown = f"found {type(document).__name__}: {brief(document)}"
                letters.append(letter(messages, row, "not_an_object", shown, index))
    return Events(documents, rows, indices, letters)


def first_bytes(messages: Messages) -> Codes:
    """Return the first byte of each value, int32[n], -1 where there is none."""
    if not len(messages.data):
        return np.full(len(messages), -1, dtype=np.int32)
    first = messages.data[messages.start.clip(max=len(messages.data) - 1)].astype(np.int32)
    return np.where(messages.length > 0, first, np.int32(-1))


def parse_value(value: bytes) -> tuple[object, str | None, str]:
    """Return a message's document, or the reason why there is none and what was wrong."""
    if len(value) > MAX_MESSAGE_BYTES:
        return None, "too_large", f"{len(value):,} bytes"
    if not value.strip():
        return None, "empty", ""
    try:
        return parse(value), None, ""
    except HalfPairError as error:
        return None, "invalid_text", str(error)
    except ValueError as error:
        return None, "invalid_json", str(error)
