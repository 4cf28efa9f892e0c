"""Bodies of inference requests and responses in JSON, as parts of a table of events.

Read are V1 and TensorFlow Serving (`instances`, `predictions`), V2, the Open Inference Protocol
(`inputs`, `outputs`: named tensors), MLflow's `dataframe_split`, `dataframe_records` and `inputs`,
and Seldon Core 1's `data`. What is first in a shape is the batch: one event for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from streamdrift.decoders.letters import brief
from streamdrift.decoders.tables import Objects, Part, Rows
from streamdrift.records import Group

MAX_WIDTH = 128
"""Numbers of one event in a tensor that are columns of their own; more are a vector."""
_MOST = 1 << 53
KEYS = (
    *("instances", "inputs", "dataframe_split", "dataframe_records", "predictions", "outputs"),
    "data",
)
"""Where bodies have their events."""
_SCALARS = frozenset({int, float, str, bool, type(None)})


class BodyError(ValueError):
    """A body whose events cannot be told apart: the message says why."""


def read_body(body: Mapping[str, object], data: Group = Group.FEATURE) -> tuple[int, list[Part]]:
    """Return how many events a body holds, and their parts; (0, []) where it holds none.

    `data` says what Seldon Core 1's is. Raises BodyError where parts are of different sizes.
    """
    parts: list[Part] = []
    sizes: dict[str, int] = {}
    for key in KEYS:
        value = body.get(key)
        if value is None:
            continue
        count, made = _read(key, value, data)
        if made:
            sizes[key] = count
            parts += made
    if len(set(sizes.values())) > 1:
        raise BodyError(
            f"numbers of events differ: {', '.join(f'{k} {n}' for k, n in sizes.items())}"
        )
    return next(iter(sizes.values()), 0), parts


def _read(key: str, value: object, data: Group) -> tuple[int, list[Part]]:
    if key == "instances":
        return _rows(Group.FEATURE, _list(key, value))
    if key == "predictions":
        return _predictions(value)
    if key == "inputs":
        return _inputs(value)
    if key == "outputs":
        return _tensors(Group.OUTPUT, value) if _is_tensors(value) else _predictions(value)
    if key == "dataframe_split":
        return _split(value)
    if key == "dataframe_records":
        return _rows(Group.FEATURE, _list(key, value))
    return _seldon(data, value)


def _inputs(value: object) -> tuple[int, list[Part]]:
    if _is_tensors(value):
        return _tensors(Group.FEATURE, value)
    if isinstance(value, dict):
        return _columns(Group.FEATURE, value)
    return _rows(Group.FEATURE, _list("inputs", value))


def _predictions(value: object) -> tuple[int, list[Part]]:
    if isinstance(value, dict):
        return _columns(Group.OUTPUT, value)
    return _rows(Group.OUTPUT, _list("predictions", value))


def _is_tensors(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(each, dict) and "shape" in each and "name" in each for each in value)


def _tensors(group: Group, tensors: object) -> tuple[int, list[Part]]:
    """Return the parts of V2's tensors."""
    assert isinstance(tensors, list)
    found = [(each["name"], each["shape"], _flat(each.get("data"))) for each in tensors]
    return joined_tensors(group, found)


def joined_tensors(
    group: Group, tensors: Sequence[tuple[object, object, list[object] | NDArray[Any]]]
) -> tuple[int, list[Part]]:
    """Return tensors, each given with its name, its shape and its values, as one batch.

    Of a batch of one event they are one part, whose row they are: that is how most services are
    asked, and a part for each number would cost more than all else.
    """
    try:
        row = _row(tuple((name, *_sizes(shape)) for name, shape, _ in tensors))
    except TypeError:
        row = None
    if row is not None and row.widths == [len(values) for _, _, values in tensors]:
        flat: list[object] = []
        for _, _, values in tensors:
            flat += values if isinstance(values, list) else values.tolist()
        return 1, [Rows(group, row.names, flat)]
    return _one_batch(tensor(group, *each) for each in tensors)


class _Row(NamedTuple):
    """The columns of tensors of one event, and how many each tensor has."""

    names: tuple[str, ...]
    widths: list[int]


@lru_cache(maxsize=1_024)
def _row(tensors: tuple[tuple[object, ...], ...]) -> _Row | None:
    """Return the columns of tensors of one event, given by their names and shapes.

    None where there are more events or fewer, or a tensor is a vector.
    """
    names: list[str] = []
    widths: list[int] = []
    for name, *shape in tensors:
        try:
            count, width, own = _layout(name, tuple(shape))
        except BodyError:
            return None
        if count != 1 or width > MAX_WIDTH:
            return None
        names += own
        widths.append(width)
    return _Row(tuple(names), widths)


def _one_batch(tensors: Iterable[tuple[int, Part]]) -> tuple[int, list[Part]]:
    """Return tensors, each given with the size of its batch, which must be the same, as one."""
    sizes, parts = set(), []
    for size, part in tensors:
        sizes.add(size)
        parts.append(part)
    if len(sizes) > 1:
        raise BodyError(f"the tensors have different batch sizes: {sorted(sizes)}"[:200])
    return sizes.pop(), parts


def tensor(
    group: Group, name: object, shape: object, flat: list[object] | NDArray[Any]
) -> tuple[int, Part]:
    """Return the size of a tensor's batch, and its part: `flat` holds it row by row."""
    try:
        count, width, names = _layout(name, _sizes(shape))
    except TypeError:  # The name cannot be looked up, or the shape is none.
        raise BodyError(f"a tensor is {brief(name)} of the shape {brief(shape)}") from None
    if count * width != len(flat):
        raise BodyError(f"{name!s:.80}: {len(flat)} values do not fill the shape {brief(shape)}")
    if width > MAX_WIDTH:
        return count, Rows(group, names, _vectors(flat, count, width))
    return count, Rows(group, names, flat)


def _sizes(shape: object) -> tuple[object, ...]:
    """Return what a shape lists; raise TypeError where it lists nothing."""
    return tuple(cast(Iterable[object], shape))


@lru_cache(maxsize=4_096)
def _layout(name: object, shape: tuple[object, ...]) -> tuple[int, int, tuple[str, ...]]:
    """Return the size of a tensor's batch, the values of one event, and its columns' names."""
    if not isinstance(name, str):
        raise BodyError(f"the name of a tensor is no text: {brief(name)}")
    # What is equal is one key of the cache: so 1.0 must be what 1 is, whichever comes first.
    sizes = [int(n) for n in shape if isinstance(n, int | float) and 0 <= n < _MOST and n % 1 == 0]
    if len(sizes) < len(shape):
        raise BodyError(f"{name:.80}: the shape is no list of whole numbers: {brief(shape)}")
    count, width = (sizes[0], prod(sizes[1:])) if sizes else (1, 1)
    if count and not width:
        raise BodyError(f"{name:.80}: the shape {brief(shape)} has no values")
    if width > MAX_WIDTH:
        return count, width, (name,)
    return count, width, column_names(name, max(width, 1))


def _vectors(
    flat: list[object] | NDArray[Any], count: int, width: int
) -> list[object] | NDArray[Any]:
    if isinstance(flat, np.ndarray):
        return flat.reshape(count, width)
    if set(map(type, flat)) <= {int, float}:
        try:
            return np.array(flat, dtype=np.float64).reshape(count, width)
        except OverflowError:
            pass
    return [flat[at : at + width] for at in range(0, len(flat), width)]


@lru_cache(maxsize=4_096)
def column_names(name: str, width: int) -> tuple[str, ...]:
    """Return the names of a tensor's columns: its own, with their places where there are several.

    >>> column_names("proba", 2)
    ('proba.0', 'proba.1')
    """
    if width == 1:
        return (name or "0",)
    return tuple(f"{name}.{place}" if name else str(place) for place in range(width))


def _flat(data: object) -> list[object]:
    """Return a tensor's values, which may be nested, in a flat list."""
    if not isinstance(data, list):
        raise BodyError(f"the data of a tensor is no list: {brief(data)}")
    while data and isinstance(data[0], list):
        if not all(isinstance(each, list) for each in data):
            raise BodyError(f"the data of a tensor is nested unevenly: {brief(data)}")
        data = list(chain.from_iterable(data))
    return data


def _split(value: object) -> tuple[int, list[Part]]:
    """Return the parts of a data frame in pandas' orientation `split`."""
    if not isinstance(value, dict):
        raise BodyError(f"dataframe_split is no object: {brief(value)}")
    columns, rows = value.get("columns"), _list("data", value.get("data"))
    if not isinstance(columns, list) or not all(_is_name(name) for name in columns):
        raise BodyError(f"the columns of dataframe_split are no names: {brief(columns)}")
    return _named_rows(Group.FEATURE, tuple(map(str, columns)), rows)


def _seldon(group: Group, value: object) -> tuple[int, list[Part]]:
    """Return the parts of Seldon Core 1's `data`."""
    if not isinstance(value, dict):
        raise BodyError(f"data is no object: {brief(value)}")
    names, tensor_ = value.get("names") or [], value.get("tensor")
    if isinstance(tensor_, dict):
        count, part = tensor(group, "", tensor_.get("shape"), _flat(tensor_.get("values")))
        if isinstance(part, Rows) and len(names) == len(part.names):
            return count, [Rows(group, tuple(map(str, names)), part.flat)]
        return count, [part]
    rows = _list("ndarray", value.get("ndarray"))
    if names and all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return _named_rows(group, tuple(map(str, names)), rows)
    return _rows(group, rows)


def _named_rows(
    group: Group, names: tuple[str, ...], rows: Sequence[object]
) -> tuple[int, list[Part]]:
    lists = [row for row in rows if isinstance(row, list) and len(row) == len(names)]
    if not names or len(lists) < len(rows) or len(set(names)) < len(names):
        raise BodyError(f"{len(names)} columns do not name the cells of each row once")
    return len(rows), [Rows(group, names, list(chain.from_iterable(lists)))]


def _rows(group: Group, rows: list[object]) -> tuple[int, list[Part]]:
    """Return the parts of rows that are scalars, lists or objects, one an event."""
    widths = {len(row) if isinstance(row, list) else -1 for row in rows}
    if len(widths) == 1 and widths != {-1} and 0 not in widths:
        width = widths.pop()
        flat = list(chain.from_iterable(row for row in rows if isinstance(row, list)))
        if set(map(type, flat)) <= _SCALARS:
            if width <= MAX_WIDTH:
                return len(rows), [Rows(group, column_names("", width), flat)]
            return len(rows), [Rows(group, ("0",), _vectors(flat, len(rows), width))]
        return _nested(group, rows)
    if group is Group.FEATURE and rows and not any(isinstance(row, dict) for row in rows):
        return len(rows), [Rows(group, ("0",), rows)]
    return len(rows), [Objects(group, rows)]


def _nested(group: Group, rows: list[object]) -> tuple[int, list[Part]]:
    """Return the parts of arrays of several dimensions, such as images: a vector an event."""
    try:
        return len(rows), [tensor(group, "0", [len(rows), *_dimensions(rows[0])], _flat(rows))[1]]
    except BodyError:
        return len(rows), [Rows(group, ("0",), rows)]


def _dimensions(row: object) -> list[int]:
    shape = []
    while isinstance(row, list) and row:
        shape.append(len(row))
        row = row[0]
    return shape


def _columns(group: Group, columns: Mapping[str, object]) -> tuple[int, list[Part]]:
    """Return the parts of an object that has a list of n cells for each name."""
    parts: list[Part] = []
    sizes = set()
    for name, value in columns.items():
        cells = value if isinstance(value, list) else [value]
        count, made = _rows(group, cells)
        sizes.add(count)
        for part in made:
            if isinstance(part, Rows):
                parts.append(Rows(group, column_names(name, len(part.names)), part.flat))
            else:
                parts.append(Rows(group, (name,), cells))
    if len(sizes) > 1:
        raise BodyError(f"the columns have different lengths: {sorted(sizes)}"[:200])
    return next(iter(sizes), 0), parts


def _list(key: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise BodyError(f"{key} is no list: {brief(value)}")
    return value


def _is_name(name: object) -> bool:
    return isinstance(name, str | int)
