"""Batches for tests, from plain Python values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamdrift.records import Batch, Column, ColumnKey, Group, Kind, Partition, Vectors

Cell = object
SECOND = 1_000_000
START = 1_767_225_600 * SECOND
"""2026-01-01T00:00:00Z."""
PREDICTIONS = Partition("predictions", 0)


def column(cells: Sequence[Cell]) -> Column:
    """Return a column of JSON-like cells; `...` stands for an absent field."""
    kinds = np.array([_kind(cell) for cell in cells], dtype=np.uint8)
    numbers = np.array([float(cell) if isinstance(cell, int | float) else np.nan for cell in cells])
    strings = tuple(dict.fromkeys(cell for cell in cells if isinstance(cell, str)))
    codes = np.array(
        [strings.index(cell) if isinstance(cell, str) else -1 for cell in cells], dtype=np.int32
    )
    lists = [cell if isinstance(cell, list) else [] for cell in cells]
    lengths = np.array([len(cell) for cell in lists], dtype=np.int64)
    flat = np.array([number for cell in lists for number in cell], dtype=np.float64)
    return Column(
        kinds,
        numbers,
        codes if strings else None,
        strings,
        Vectors(flat, np.cumsum(lengths) - lengths, lengths) if len(flat) else None,
    )


def _kind(cell: Cell) -> Kind:
    if cell is ...:
        return Kind.ABSENT
    if cell is None:
        return Kind.NULL
    if isinstance(cell, bool):
        return Kind.BOOLEAN
    if isinstance(cell, int | float):
        return Kind.NUMBER
    if isinstance(cell, str):
        return Kind.STRING
    return Kind.VECTOR


def feature(name: str) -> ColumnKey:
    return ColumnKey(Group.FEATURE, name)


def batch(
    columns: Mapping[str, Any] | Mapping[ColumnKey, Column],
    *,
    model: str = "fraud",
    version: str = "3",
    first: int = 0,
    step: int = SECOND,
    times: Sequence[int] | None = None,
    partition: Partition = PREDICTIONS,
    ids: Sequence[int] | None = None,
) -> Batch:
    """Return a batch of features; event i has offset `first + i` and time START + that * step."""
    made: dict[ColumnKey, Column] = {
        key if isinstance(key, ColumnKey) else feature(key): cells
        if isinstance(cells, Column)
        else column(cells)
        for key, cells in columns.items()
    }
    size = len(next(iter(made.values())).kinds)
    offset = np.arange(first, first + size, dtype=np.int64)
    return Batch(
        model=model,
        version=version,
        partitions=(partition,),
        partition=np.zeros(size, dtype=np.int32),
        offset=offset,
        index=np.zeros(size, dtype=np.int32),
        ids=np.array([0] * size if ids is None else ids, dtype=np.uint64),
        time=START + offset * step if times is None else np.array(times, dtype=np.int64),
        columns=made,
    )
