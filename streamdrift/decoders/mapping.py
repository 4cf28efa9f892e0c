"""Where the parts of an event stand: JSON Pointers, and other places, from the settings."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from streamdrift.errors import SettingsError

_NO_ESCAPE = re.compile("~(?![01])")
Steps = tuple[str, ...]
"""A JSON Pointer, parsed: the keys (or list places) from the document's root on."""


class _Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""What `find` returns where nothing stands at a pointer: JSON's null is None."""


def parse_pointer(pointer: str) -> Steps:
    """Return the steps of a JSON Pointer (RFC 6901); raise ValueError where it is none.

    >>> parse_pointer("/outputs/0/a~1b")
    ('outputs', '0', 'a/b')
    """
    if pointer and not pointer.startswith("/"):
        raise ValueError(
            f"{pointer!r} is no JSON Pointer: it starts with a slash, as in /{pointer} "
            '(or is "" for the whole document)'
        )
    if _NO_ESCAPE.search(pointer):
        raise ValueError(
            f"{pointer!r} is no JSON Pointer: in one, ~0 stands for ~ and ~1 for a slash, and ~ "
            "stands nowhere else"
        )
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def find(document: object, steps: Steps) -> object:
    """Return what stands at a pointer, MISSING where nothing does.

    >>> find({"outputs": [{"score": 0.5}]}, ("outputs", "0", "score"))
    0.5
    """
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step, MISSING)
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return MISSING
    return document


def _checked(pointer: str) -> str:
    parse_pointer(pointer)
    return pointer


Pointer = Annotated[
    str, AfterValidator(_checked), Field(json_schema_extra={"format": "json-pointer"})
]


class HeaderPlace(BaseModel):
    """In a header of the Kafka record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: str = Field(description="The header's key.")


class KeyPlace(BaseModel):
    """In the Kafka record's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Literal[True] = Field(description="The record's key, as text.")


class TopicPlace(BaseModel):
    """In the topic's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: Literal[True] = Field(description="The topic's name.")


class ConstantPlace(BaseModel):
    """Nowhere: the same for all events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constant: str = Field(description="The text itself.")


Place = Pointer | HeaderPlace | KeyPlace | TopicPlace | ConstantPlace


class MappingSettings(BaseModel):
    """Where the parts of an event are found; null where events have no such part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Place = Field("/model", description="The model's name.")
    version: Place | None = Field("/version", description="The model's version.")
    id: Place | None = Field(
        "/event_id",
        description="The event's id, a text or a number, by which repeated ones are known.",
    )
    time: Pointer | HeaderPlace | None = Field(
        "/timestamp", description="The event's time; without one the record's counts."
    )
    features: Pointer | None = Field("/features", description="The object of the features.")
    prediction: Pointer | None = Field(
        "/prediction", description="The output: a number, a label, or an object of both."
    )
    score: Pointer | None = Field(None, description="The score, where not in `prediction`.")
    label: Pointer | None = Field(None, description="The label, where not in `prediction`.")
    latency_ms: Pointer | None = Field("/latency_ms", description="How long the call took.")
    failed: Pointer | None = Field(
        "/error", description="What is there, and not null, false, 0 or empty, where a call failed."
    )
    metrics: Mapping[str, Pointer] = Field({}, description="Further numbers, by name.")


def check_mapping(mapping: Mapping[str, Any]) -> MappingSettings:
    """Return a mapping of the settings; raise SettingsError that names what is wrong in it."""
    try:
        return MappingSettings.model_validate(dict(mapping))
    except ValidationError as error:
        known = ", ".join(MappingSettings.model_fields)
        lines = [
            f"mapping.{'.'.join(map(str, each['loc'][:1]))}: {each['msg']}"
            for each in error.errors(include_url=False)
        ]
        raise SettingsError(
            "; ".join(dict.fromkeys(lines)),
            hint=f"a mapping's keys are {known}; their values are JSON Pointers such as /inputs",
        ) from error


def output_places(mapping: MappingSettings) -> dict[str, Steps]:
    """Return where the outputs are that a mapping names, by their names."""
    return _given({"score": mapping.score, "label": mapping.label})


def metric_places(mapping: MappingSettings) -> dict[str, Steps]:
    """Return where the metrics are, by their names."""
    return _given({"latency_ms": mapping.latency_ms, **mapping.metrics})


def _given(named: Mapping[str, str | None]) -> dict[str, Steps]:
    return {name: parse_pointer(at) for name, at in named.items() if at is not None}
