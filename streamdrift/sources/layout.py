"""What the rows of a file hold: which column is the time, and where an event's parts stand."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from streamdrift.documents import parse

_TIMES = ("timestamp", "time", "datetime", "date")
"""Columns that may be the time, in any case of letters, the likeliest first."""
_UNITS = (1e11, 1e14, 1e17, float("inf"))
"""Below these, numbers are seconds, milliseconds, microseconds, nanoseconds to the decoder."""
_YEAR_2000 = 946_684_800
_YEAR_2200 = 7_258_118_400
_DATE_LIKE = re.compile(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of an event stand in a row.

    `mapping` is for the JSON decoder. `time` names the column of the time, None where rows
    carry none; `passed_over` are the columns that are named like a time and hold none.
    """

    mapping: Mapping[str, object]
    time: str | None
    passed_over: tuple[str, ...] = ()


def describe(sample: Sequence[bytes], model: str, given: Mapping[str, object]) -> Layout:
    """Return the layout that fits the first rows; what is `given` of a mapping goes before.

    `model` names events that name none.
    """
    documents = [document for row in sample if isinstance(document := _parse(row), dict)]
    names = {name for document in documents for name in document}
    time: str | None = None
    passed_over: tuple[str, ...] = ()
    if "time" not in given:
        time, passed_over = _time_column(documents)
    elif isinstance(given["time"], str):
        time = given["time"].removeprefix("/")
    mapping: dict[str, object] = {}
    if not any(isinstance(document.get("features"), dict | list) for document in documents):
        mapping = {"features": "", "score": "/score", "label": "/label"}
        # Parts that no row has are not watched: every prediction would be null.
        if not names & {"prediction", "score", "label"}:
            mapping |= {"prediction": None, "score": None, "label": None}
        if "error" not in names:
            mapping["failed"] = None
    if "model" not in names:
        mapping["model"] = {"constant": model}
    mapping["time"] = None if time is None else f"/{time}"
    return Layout({**mapping, **given}, time, passed_over)


def _parse(row: bytes) -> object:
    try:
        return parse(row)
    except ValueError:
        return None


def _time_column(
    documents: Sequence[Mapping[str, object]],
) -> tuple[str | None, tuple[str, ...]]:
    """Return the column that is the time, and those that are not for all their name."""
    named = {name: None for document in documents for name in document if name.lower() in _TIMES}
    likely = sorted(named, key=lambda name: _TIMES.index(name.lower()))
    cells = {
        name: [cell for document in documents if (cell := document.get(name)) is not None]
        for name in likely
    }
    # Dates in a form that cannot be read are meant as the time: better refused than ignored.
    time = next(
        (name for fits in (_is_time, _is_date) for name in likely if _most(fits, cells[name])),
        None,
    )
    return time, tuple(name for name in likely if time is None)


def _most(fits: Callable[[object], bool], cells: Sequence[object]) -> bool:
    return 2 * sum(map(fits, cells)) > len(cells)


def _is_time(cell: object) -> bool:
    """Tell whether a cell is an RFC 3339 time, or a number since the epoch of 2000 to 2200."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return False
    try:
        number = float(cell)
    except OverflowError:
        return False
    except ValueError:
        return _is_rfc3339(str(cell))
    second = 1.0
    for limit in _UNITS:
        if number < limit:
            return _YEAR_2000 <= number / second < _YEAR_2200
        second *= 1_000
    return False


def _is_rfc3339(text: str) -> bool:
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def _is_date(cell: object) -> bool:
    return isinstance(cell, str) and _DATE_LIKE.match(cell) is not None
