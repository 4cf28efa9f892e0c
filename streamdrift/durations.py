"""Durations as people write them (`90s`, `24h`, `7d`), kept as whole microseconds."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d|w)\s*")

SECOND = _UNITS["s"]
DAY = _UNITS["d"]
WRITTEN = "written"
"""Validation context of values that people wrote: a duration then needs its unit."""


def parse_duration(text: object) -> int:
    """Return `text` (`1.5s`, `24h`, or 0) in microseconds.

    Raises ValueError where the text is no duration.

    >>> parse_duration("1.5s")
    1500000
    """
    if text == 0 and isinstance(text, int) and not isinstance(text, bool):
        return 0
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no duration: write a number and us, ms, s, m, h, d or w")
    return round(float(match[1]) * _UNITS[match[2]])


def _validated(value: object, info: ValidationInfo) -> int:
    """Return a duration in microseconds; from code, an int is microseconds already."""
    if info.context != WRITTEN and type(value) is int and value >= 0:
        return value
    return parse_duration(value)


def format_duration(microseconds: int) -> str:
    """Return the shortest exact text for a duration.

    >>> format_duration(90_000_000)
    '90s'
    """
    if microseconds == 0:
        return "0s"
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    raise AssertionError("every whole number of microseconds has a text")


Duration = Annotated[
    int,
    BeforeValidator(_validated),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|h|d|w)\s*$"}),
]
