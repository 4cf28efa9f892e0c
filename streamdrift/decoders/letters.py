"""Dead letters: every reason why a message is no event, and what it says to the operator."""

import reprlib
from collections.abc import Mapping

from streamdrift.decoders.limits import MAX_MESSAGE_BYTES, MAX_NAME
from streamdrift.records import DeadLetter, Messages

HINTS: Mapping[str, str] = {
    "empty": "the message has no bytes; a producer that means `deleted` sends a null value",
    "too_large": f"the message is longer than {MAX_MESSAGE_BYTES:,} bytes",
    "too_large_unpacked": "the message is small, and what it holds is more than is read of one: "
    "write fewer rows to a message",
    "invalid_json": "the message is no JSON in UTF-8; if it has another format, set source.format",
    "invalid_text": "a text has half of a surrogate pair (\\ud800 to \\udfff), which UTF-8 cannot "
    "hold: the producer has to write whole characters",
    "not_an_object": "the event is no JSON object; if parts of it are, set source.mapping",
    "no_cloudevent": "the message is no CloudEvent: it has neither a header ce_specversion nor the "
    "content type application/cloudevents+json",
    "invalid_cloudevent": "the message is no CloudEvent of version 1.0",
    "batched_cloudevents": "CloudEvents are read one to a message: Kafka has no batches of them",
    "invalid_body": "the events of this message cannot be told apart",
    "unclear_side": "the message may be a request or a response, which protobuf does not say: end "
    "the topic's name in .inputs or .outputs, or set source.mapping.prediction or .features to "
    "null",
    "unframed": "the message does not begin as a schema registry's serialisers write it: with 0x00 "
    "and the schema's number, or 0x01 and its GUID",
    "unknown_schema": "the schema registry has no Avro schema of this id that can be used: check "
    "that source.schema_registry.url is the producers' registry",
    "unsafe_schema": "by this Avro schema few bytes may become very much, so it is not read: write "
    "by one that is not recursive, and whose items take bytes",
    "invalid_avro": "the message does not follow the schema that it names",
    "invalid_arrow": "the message is no Arrow IPC stream or file that can be read",
    "no_content": "neither features nor a prediction are where source.mapping says",
    "invalid_features": "what source.mapping.features names is neither an object nor a list: "
    "write the features by name, or map where they are",
    "no_model": "no model's name is where source.mapping.model says",
    "invalid_name": f"a model's or version's name is no text of 1 to {MAX_NAME} characters",
    "invalid_time": "the event's time is no RFC 3339 time and no number since the epoch",
    "no_time": "neither the event nor its record has a time: map it with source.mapping.time, or "
    "let the producer set the record's timestamp",
}
"""The reasons; each format uses some of them."""

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 3
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 80


def letter(
    messages: Messages, row: int, reason: str, detail: str = "", index: int = 0
) -> DeadLetter:
    """Return the dead letter of a message, or of the event at `index` in it."""
    hint = HINTS[reason]
    return DeadLetter(
        reason=reason,
        detail=f"{hint} ({detail})" if detail else hint,
        partition=messages.partition,
        offset=int(messages.offset[row]),
        index=index,
        time=int(messages.time[row]),
        value=messages.value(row),
    )


def brief(value: object) -> str:
    """Return what a dead letter says a value is: short, however long or deep the value."""
    return f"{_BRIEF.repr(value):.100}"


def brief_names(model: object, version: object) -> str:
    """Return what a dead letter says of the names of a model and its version."""
    return f"model: {brief(model)}, version: {brief(version)}"


def by_place(each: DeadLetter) -> tuple[int, int]:
    """Return what dead letters are sorted by."""
    return each.offset, each.index
