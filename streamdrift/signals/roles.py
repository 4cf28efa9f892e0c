"""What a column is, learned from the events of a reference."""

import math
import re
from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from streamdrift.records import Column, Floats, Kind


class Role(StrEnum):
    """How a column is watched, or why it is not."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    VECTOR = "vector"
    IDENTIFIER = "identifier"
    COUNTER = "counter"
    DATE = "date"
    EMPTY = "empty"
    IGNORED = "ignored"
    OVER = "over max_columns"


UNWATCHED = frozenset({Role.IDENTIFIER, Role.COUNTER, Role.DATE, Role.IGNORED, Role.OVER})

EXPECTED: Mapping[Role, Kind] = {
    Role.NUMERIC: Kind.NUMBER,
    Role.BOOLEAN: Kind.BOOLEAN,
    Role.CATEGORY: Kind.STRING,
    Role.TEXT: Kind.STRING,
    Role.VECTOR: Kind.VECTOR,
}
"""The kind a cell of a watched column must have; another is a type break."""

_ROLE_OF_KIND = {
    Kind.NUMBER: Role.NUMERIC,
    Kind.BOOLEAN: Role.BOOLEAN,
    Kind.STRING: Role.CATEGORY,
    Kind.VECTOR: Role.VECTOR,
    Kind.OTHER: Role.IGNORED,
}
_FEW = 100
"""Fewer values than this tell nothing about uniqueness or order."""
_UNEVEN = 0.1
_LONG = 1e11
_HUGE = 1e300
_WHOLE = 2.0**53
"""From here on float64 does not hold every whole number."""
_COARSE = 1_000
_DATE = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{4})"
    r"([T ]\s*\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AP]M)?(Z|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)
"""Days as ISO 8601, or people of any country, write them, with or without a time."""
_WORDS = re.compile(r"\S\s+\S")


def learn_role(column: Column) -> Role:
    """Return the role of a column of reference events.

    The commonest kind decides. Numbers that only rise are counters (or clocks), strings
    that never repeat and whole numbers that look drawn or numbered are identifiers, strings
    of several words are text.
    """
    counts = np.bincount(column.kinds, minlength=len(Kind))
    counts[Kind.ABSENT] = counts[Kind.NULL] = 0
    if not counts.any():
        return Role.EMPTY
    kind = Kind(int(np.argmax(counts)))
    if kind is Kind.NUMBER:
        return _role_of_numbers(column.numbers[column.kinds == Kind.NUMBER])
    if kind is Kind.STRING:
        return _role_of_strings(column)
    return _ROLE_OF_KIND[kind]


def _role_of_numbers(values: Floats) -> Role:
    if len(values) < _FEW:
        return Role.NUMERIC
    # Ids and counters are none of these; what is asked below would overflow, too.
    if not (np.abs(values) < _HUGE).all():
        return Role.NUMERIC
    distinct = len(np.unique(values))
    if distinct > _FEW / 2 and _rises(values):
        return Role.COUNTER
    whole = bool((values == np.rint(values)).all())
    if whole and _coarse(values):
        return Role.IDENTIFIER
    wide = np.ptp(values) > 100 * len(values)
    if whole and distinct == len(values) and wide and (_even(values) or _long(values)):
        return Role.IDENTIFIER
    return Role.NUMERIC


def _coarse(values: Floats) -> bool:
    """Tell whether float64 blurs the values: whole numbers that long are ids, and few are left.

    Ids of 64 bits that share their first digits, as those of one day do, become a handful of
    numbers, which come and go with the digits that were lost.
    """
    greatest = np.abs(values).max()
    return bool(greatest >= _WHOLE and 0 < np.ptp(values) < _COARSE * np.spacing(greatest))


def _even(values: Floats) -> bool:
    """Tell whether distinct values lie evenly between their least and greatest.

    Hashes, random and sequential ids do; amounts, of bytes or cents, gather somewhere. The
    distance is Kolmogorov's, and the limit what chance alone exceeds once in twenty times
    for few values, and next to never for many.
    """
    ordered = np.sort(values)
    place = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    size = len(values)
    distance = float(np.abs(place - np.linspace(0.0, 1.0, size)).max())
    return distance < max(_UNEVEN, 1.36 / math.sqrt(size))


def _long(values: Floats) -> bool:
    """Tell whether nearly all values have as many digits, and more than amounts have.

    So do ids that hold a time or a prefix, and do not lie evenly for that.
    """
    low, high = np.quantile(values, (0.01, 0.99))
    return bool(low >= _LONG and high <= 10 * low)


def _rises(values: Floats) -> bool:
    """Tell whether the values rise with their place, a few out of order aside."""
    steps = np.diff(values)
    if values[-1] <= values[0] or (steps >= 0).mean() < 0.9:
        return False
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return float(np.abs(ranks - np.arange(len(values))).mean()) < 0.01 * len(values)


def _role_of_strings(column: Column) -> Role:
    assert column.codes is not None
    codes = column.codes[column.codes >= 0]
    used, counts = np.unique(codes, return_counts=True)
    texts = [column.strings[code] for code in used]
    if sum(_DATE.fullmatch(text) is not None for text in texts) > 0.95 * len(texts):
        return Role.DATE
    if len(codes) < _FEW or len(used) <= len(codes) / 2:
        return Role.CATEGORY
    words = sum(
        count for text, count in zip(texts, counts, strict=True) if _WORDS.search(text) is not None
    )
    return Role.TEXT if words > len(codes) / 2 else Role.IDENTIFIER
