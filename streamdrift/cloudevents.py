"""CloudEvents 1.0 between their modes: structured ones become binary, HTTP's become Kafka's.

In binary mode the data is a message's value, and each attribute a header: `ce_id` on Kafka,
`ce-id` over HTTP. In structured mode one JSON document holds both, in a batch several of them.
https://github.com/cloudevents/spec (the JSON format, and the HTTP and Kafka protocol bindings).
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

import orjson

from streamdrift.documents import parse
from streamdrift.headers import Header

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
CONTENT_TYPE = "content-type"
REQUIRED = ("specversion", "id", "source", "type")
_JSON = "application/json"
_NAME = re.compile(r"[a-z0-9]{1,64}")


class CloudEventError(ValueError):
    """What was given is no CloudEvent: the message says why."""


class TooManyEventsError(CloudEventError):
    """A batch holds more events than are taken at a time."""


class CloudEvent(NamedTuple):
    """An event in binary mode: its attributes but the content type, and its data."""

    attributes: Mapping[str, str]
    content_type: str | None
    data: bytes

    def headers(self) -> list[Header]:
        """Return the headers of a Kafka record."""
        attributes = {f"ce_{name}": text for name, text in self.attributes.items()}
        named = {CONTENT_TYPE: self.content_type or _JSON, **attributes}
        return [(name, text.encode()) for name, text in named.items()]


def media_type(content_type: str | None) -> str:
    """Return a content type without its parameters, in lower case.

    >>> media_type("Application/JSON; charset=utf-8")
    'application/json'
    """
    return (content_type or "").partition(";")[0].strip().lower()


def from_structured(document: object) -> CloudEvent:
    """Return the event of a structured document; raise CloudEventError where it is none."""
    if not isinstance(document, dict):
        raise CloudEventError(f"a CloudEvent is a JSON object, not {type(document).__name__}")
    attributes = {
        name: _text(name, value)
        for name, value in document.items()
        if name not in ("data", "data_base64", "datacontenttype") and value is not None
    }
    _check(attributes)
    content_type = document.get("datacontenttype")
    if "data_base64" in document:
        try:
            data = base64.b64decode(document["data_base64"], validate=True)
        except (TypeError, ValueError) as error:
            raise CloudEventError(f"data_base64 is no base64: {error}") from error
    else:
        data = _data(document.get("data"), content_type)
    return CloudEvent(attributes, None if content_type is None else str(content_type), data)


def from_http(headers: Mapping[str, str], body: bytes, most: int) -> list[CloudEvent]:
    """Return the events of an HTTP request, whose header names are in lower case.

    Raises CloudEventError where it holds none, and TooManyEventsError where more than `most`.
    """
    content_type = headers.get(CONTENT_TYPE)
    kind = media_type(content_type)
    if kind.startswith("application/cloudevents"):
        if kind not in (STRUCTURED, BATCHED):
            raise CloudEventError(f"{kind} is not read: post {STRUCTURED} or {BATCHED}")
        try:
            document = parse(body)
        except ValueError as error:
            raise CloudEventError(f"the body is no JSON: {error}") from error
        if kind == STRUCTURED:
            return [from_structured(document)]
        if not isinstance(document, list):
            raise CloudEventError("a batch of CloudEvents is a JSON array")
        if len(document) > most:
            raise TooManyEventsError(f"the batch has {len(document):,} events, {most:,} at most")
        return [from_structured(each) for each in document]
    attributes = {
        name.removeprefix("ce-"): unquote(value)
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    _check(attributes)
    return [CloudEvent(attributes, content_type, body)]


def _check(attributes: Mapping[str, str]) -> None:
    missing = [name for name in REQUIRED if not attributes.get(name)]
    if missing:
        raise CloudEventError(f"no CloudEvent: it has no {', '.join(missing)}")
    if not attributes["specversion"].startswith("1."):
        raise CloudEventError(f"CloudEvents {attributes['specversion']:.20} are not read, 1.0 is")
    wrong = [name for name in attributes if not _NAME.fullmatch(name)]
    if wrong:
        raise CloudEventError(f"{wrong[0]!r:.80} is no name of an attribute: a to z and 0 to 9")


def _text(name: str, value: object) -> str:
    """Return an attribute as a header has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise CloudEventError(f"the attribute {name:.80} is neither text, whole number nor boolean")


def _data(data: object, content_type: object) -> bytes:
    """Return data that stands in a document as the bytes it stands for."""
    kind = media_type(str(content_type or _JSON))
    is_json = kind in (_JSON, "text/json") or kind.endswith("+json")
    if isinstance(data, str) and not is_json:
        return data.encode()
    try:
        text = orjson.dumps(data)
        if b"null" in text and orjson.loads(text) != data:
            # NaN and Infinity are no JSON, but what a producer wrote is for the decoders to judge.
            return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        return text
    except TypeError as error:
        raise CloudEventError(f"the data cannot be written as JSON: {error}") from error
