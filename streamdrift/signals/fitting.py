"""Whether a role fits a column, and the column's cells as the role sees them."""

import json
from dataclasses import replace

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bools, Bytes, Column, Floats, Ints, Kind
from streamdrift.signals.roles import EXPECTED, UNWATCHED, Role

_LEVELS = (Kind.NUMBER, Kind.BOOLEAN, Kind.STRING)
"""Kinds of which each value can be a level of a category."""
_EXACT = 2.0**53


def fits(role: Role, column: Column) -> bool:
    """Tell whether the column has a cell the role can work on; not to be watched always fits."""
    if role in UNWATCHED:
        return True
    kinds = _LEVELS if role is Role.CATEGORY else (EXPECTED[role],)
    return bool(np.isin(column.kinds, kinds).any())


def expected_kind(role: Role, column: Column) -> Kind:
    """Return the kind a cell must have, learned from reference events; another is a type break.

    A category's is the commonest of those that can be levels. ABSENT where none is expected.
    """
    if role is not Role.CATEGORY:
        return EXPECTED.get(role, Kind.ABSENT)
    return max(_LEVELS, key=lambda kind: np.count_nonzero(column.kinds == kind))


def seen_as(role: Role, expected: Kind, column: Column) -> Column:
    """Return the column as its role sees it.

    Numbers and booleans that are levels become their JSON texts (`3`, `0.5`, `true`). A
    vector with a NaN or infinite part has neither norm nor distance: it is of kind OTHER.
    """
    if role is Role.VECTOR:
        return _finite_vectors(column)
    if role is Role.CATEGORY and expected is not Kind.STRING:
        return _in_texts(expected, column)
    return column


def _in_texts(expected: Kind, column: Column) -> Column:
    rows = column.kinds == expected
    # Adding 0 makes one level of 0 and -0.
    values, places = np.unique(column.numbers[rows] + 0.0, return_inverse=True)
    codes = np.full(len(column.kinds), -1, dtype=np.int32)
    codes[rows] = places
    texts = tuple(_text(expected, value) for value in values.tolist())
    return replace(column, codes=codes, strings=texts)


def _text(expected: Kind, value: float) -> str:
    if expected is Kind.BOOLEAN:
        return json.dumps(bool(value))
    # A column does not know 1 from 1.0: both are the level `1`.
    whole = value.is_integer() and abs(value) <= _EXACT
    return json.dumps(int(value) if whole else value)


def _finite_vectors(column: Column) -> Column:
    vectors = column.vectors
    if vectors is None:
        return column
    finite = _finite(column.kinds, vectors.flat, vectors.start, vectors.length)
    if finite.all():
        return column
    return replace(column, kinds=np.where(finite, column.kinds, np.uint8(Kind.OTHER)))


@kernel
def _finite(kinds: Bytes, flat: Floats, start: Ints, length: Ints) -> Bools:
    """Tell of each cell whether it is no vector, or one of finite parts."""
    finite = np.ones(len(kinds), dtype=np.bool_)
    for i in range(len(kinds)):
        if kinds[i] != 5:
            continue
        for j in range(start[i], start[i] + length[i]):
            if not np.isfinite(flat[j]):
                finite[i] = False
                break
    return finite
