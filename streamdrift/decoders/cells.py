"""From a list of JSON values to a column."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamdrift.decoders.mapping import MISSING
from streamdrift.records import Column, Kind, Vectors

MAX_DEPTH = 4
"""Levels of objects within objects that become columns of their own, `a.b.c.d`."""

_NONE = type(None)
_NUMBERS = frozenset({float, int})
_NULLABLE_NUMBERS = frozenset({float, int, _NONE})
_KIND_OF: Mapping[type, Kind] = {
    type(MISSING): Kind.ABSENT,
    _NONE: Kind.NULL,
    float: Kind.NUMBER,
    int: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    str: Kind.STRING,
}


@dataclass(frozen=True, slots=True)
class Sparse:
    """The cells of a field that few of `size` events have: those of the rising `rows`."""

    rows: Sequence[int]
    cells: Sequence[object]
    size: int

    def dense(self) -> list[object]:
        """Return a cell of every event, MISSING where the field is absent."""
        cells: list[object] = [MISSING] * self.size
        for row, cell in zip(self.rows, self.cells, strict=True):
            cells[row] = cell
        return cells


Cells = Sequence[object] | Sparse
"""One field of n events."""


def to_column(cells: Cells) -> Column:
    """Return a column of JSON values (MISSING where a field is absent).

    NaN, which JSON does not know but some producers write, counts as null; infinities are
    numbers. A list of numbers alone is a vector; other lists and objects are OTHER.
    """
    if isinstance(cells, Sparse):
        return _spread_out(to_column(cells.cells), cells)
    types = frozenset(map(type, cells))
    if types <= _NUMBERS:
        return _numbers(cells)
    if types == {str}:
        return _strings(cells)
    if types <= _NULLABLE_NUMBERS:
        try:
            numbers = np.array(cells, dtype=np.float64) + 0.0
        except OverflowError:
            return _mixed(cells)
        kinds = np.where(np.isnan(numbers), Kind.NULL, Kind.NUMBER).astype(np.uint8)
        return Column(kinds, numbers)
    return _mixed(cells)


def _spread_out(column: Column, sparse: Sparse) -> Column:
    """Return the column of all events, from that of the events which have the field."""
    rows, size = np.array(sparse.rows), sparse.size
    kinds = np.full(size, Kind.ABSENT, dtype=np.uint8)
    kinds[rows] = column.kinds
    numbers = np.full(size, np.nan)
    numbers[rows] = column.numbers
    codes, vectors = None, None
    if column.codes is not None:
        codes = np.full(size, -1, dtype=np.int32)
        codes[rows] = column.codes
    if column.vectors is not None:
        lengths = np.zeros(size, dtype=np.int64)
        lengths[rows] = column.vectors.length
        vectors = Vectors(column.vectors.flat, np.cumsum(lengths) - lengths, lengths)
    return Column(kinds, numbers, codes, column.strings, vectors)


def _numbers(cells: Sequence[Any]) -> Column:
    try:
        # Adding 0 makes the negative zero positive: both readers then give the same bits.
        numbers = np.frombuffer(array("d", cells)) + 0.0
    except OverflowError:
        return _mixed(cells)
    if np.isnan(numbers).any():
        return _mixed(cells)
    return Column(np.full(len(cells), Kind.NUMBER, dtype=np.uint8), numbers)


def _strings(cells: Sequence[object]) -> Column:
    places: dict[object, int] = {}
    codes = array("i", [places.setdefault(cell, len(places)) for cell in cells])
    return Column(
        np.full(len(cells), Kind.STRING, dtype=np.uint8),
        np.full(len(cells), np.nan),
        np.frombuffer(codes, dtype=np.int32),
        tuple(map(str, places)),
    )


def _mixed(cells: Sequence[object]) -> Column:
    kinds = np.array([_kind(cell) for cell in cells], dtype=np.uint8)
    numbers = np.full(len(cells), np.nan)
    for row in np.flatnonzero((kinds == Kind.NUMBER) | (kinds == Kind.BOOLEAN)).tolist():
        numbers[row] = _number(cells[row])
    kinds[(kinds == Kind.NUMBER) & np.isnan(numbers)] = Kind.NULL
    places: dict[str, int] = {}
    codes = np.full(len(cells), -1, dtype=np.int32)
    for row in np.flatnonzero(kinds == Kind.STRING).tolist():
        codes[row] = places.setdefault(str(cells[row]), len(places))
    return Column(kinds, numbers, codes if places else None, tuple(places), _vectors(cells, kinds))


def _kind(cell: object) -> Kind:
    kind = _KIND_OF.get(type(cell))
    if kind is not None:
        return kind
    if isinstance(cell, list) and cell and set(map(type, cell)) <= _NUMBERS:
        return Kind.VECTOR
    return Kind.OTHER


def _number(cell: object) -> float:
    assert isinstance(cell, int | float)
    try:
        return float(cell) + 0.0
    except OverflowError:
        return float("inf") if cell > 0 else float("-inf")


def _vectors(cells: Sequence[object], kinds: NDArray[np.uint8]) -> Vectors | None:
    rows = np.flatnonzero(kinds == Kind.VECTOR).tolist()
    if not rows:
        return None
    lists = [cells[row] for row in rows]
    lengths = np.zeros(len(cells), dtype=np.int64)
    lengths[rows] = [len(cell) for cell in lists if isinstance(cell, list)]
    flat = [_number(cell) for cell in chain.from_iterable(c for c in lists if isinstance(c, list))]
    return Vectors(np.array(flat), np.cumsum(lengths) - lengths, lengths)


def flatten(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields with objects within them spread out, their names joined by dots.

    >>> flatten({"user": {"age": 3}, "x": 1})
    {'user.age': 3, 'x': 1}
    """
    flat: dict[str, object] = {}
    _spread(fields, "", 1, flat)
    return flat


def _spread(fields: Mapping[str, object], prefix: str, depth: int, flat: dict[str, object]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict) and depth < MAX_DEPTH:
            _spread(value, f"{prefix}{name}.", depth + 1, flat)
        else:
            flat[prefix + name] = value
