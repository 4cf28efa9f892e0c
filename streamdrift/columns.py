"""Cutting, reordering and joining batches without touching an event."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamdrift.records import (
    Batch,
    Codes,
    Column,
    ColumnKey,
    Group,
    Ints,
    Kind,
    Partition,
    State,
    Vectors,
)


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """Return the events `start` to `stop` (views, nothing is copied)."""
    if start == 0 and stop == len(batch):
        return batch
    return _index(batch, slice(start, stop))


def take(batch: Batch, rows: Ints) -> Batch:
    """Return the events `rows` (int64[k]) in that order."""
    return _index(batch, rows)


def _index(batch: Batch, rows: slice | Ints) -> Batch:
    return Batch(
        model=batch.model,
        version=batch.version,
        partitions=batch.partitions,
        partition=batch.partition[rows],
        offset=batch.offset[rows],
        index=batch.index[rows],
        ids=batch.ids[rows],
        time=batch.time[rows],
        columns={key: _index_column(column, rows) for key, column in batch.columns.items()},
        group=batch.group,
    )


def _index_column(column: Column, rows: slice | Ints) -> Column:
    vectors = column.vectors
    return Column(
        kinds=column.kinds[rows],
        numbers=column.numbers[rows],
        codes=None if column.codes is None else column.codes[rows],
        strings=column.strings,
        vectors=None
        if vectors is None
        else Vectors(vectors.flat, vectors.start[rows], vectors.length[rows]),
    )


def join(batches: Sequence[Batch]) -> Batch:
    """Return the events of several batches of one group of a model version, one after the other."""
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    partitions: dict[Partition, int] = {}
    for batch in batches:
        for partition in batch.partitions:
            partitions.setdefault(partition, len(partitions))
    keys = dict.fromkeys(key for batch in batches for key in batch.columns)
    return Batch(
        model=first.model,
        version=first.version,
        partitions=tuple(partitions),
        partition=np.concatenate([_renumber(batch, partitions) for batch in batches]),
        offset=np.concatenate([batch.offset for batch in batches]),
        index=np.concatenate([batch.index for batch in batches]),
        ids=np.concatenate([batch.ids for batch in batches]),
        time=np.concatenate([batch.time for batch in batches]),
        columns={key: _join_column(key, batches) for key in keys},
        group=first.group,
    )


def _renumber(batch: Batch, partitions: dict[Partition, int]) -> Codes:
    places = np.array([partitions[partition] for partition in batch.partitions], dtype=np.int32)
    return places[batch.partition]


def absent(size: int) -> Column:
    """Return a column of `size` events that all lack the field."""
    return Column(np.full(size, Kind.ABSENT, dtype=np.uint8), np.full(size, np.nan))


def _join_column(key: ColumnKey, batches: Sequence[Batch]) -> Column:
    columns = [batch.columns.get(key) or absent(len(batch)) for batch in batches]
    strings, codes = _join_strings(columns)
    return Column(
        kinds=np.concatenate([column.kinds for column in columns]),
        numbers=np.concatenate([column.numbers for column in columns]),
        codes=codes,
        strings=strings,
        vectors=_join_vectors(columns),
    )


def _join_strings(columns: Sequence[Column]) -> tuple[tuple[str, ...], Codes | None]:
    if all(column.codes is None for column in columns):
        return (), None
    places: dict[str, int] = {}
    parts = []
    for column in columns:
        if column.codes is None:
            parts.append(np.full(len(column.kinds), -1, dtype=np.int32))
            continue
        # One more place at the end, which the code -1 of a cell without a string picks.
        mapped = [places.setdefault(string, len(places)) for string in column.strings]
        parts.append(np.array([*mapped, -1], dtype=np.int32)[column.codes])
    return tuple(places), np.concatenate(parts)


def _join_vectors(columns: Sequence[Column]) -> Vectors | None:
    if all(column.vectors is None for column in columns):
        return None
    flats, starts, lengths = [], [], []
    base = 0
    for column in columns:
        vectors = column.vectors
        if vectors is None:
            size = len(column.kinds)
            starts.append(np.zeros(size, dtype=np.int64))
            lengths.append(np.zeros(size, dtype=np.int64))
            continue
        flats.append(vectors.flat)
        starts.append(vectors.start + base)
        lengths.append(vectors.length)
        base += len(vectors.flat)
    return Vectors(np.concatenate(flats), np.concatenate(starts), np.concatenate(lengths))


def canonical(batch: Batch) -> Batch:
    """Return the same events with dictionaries in the order of first use, nothing unused.

    Two batches of equal events then are equal, however they were cut and joined.
    """
    columns = {key: _canonical_column(batch.columns[key]) for key in sorted(batch.columns)}
    used = sorted({batch.partitions[place] for place in np.unique(batch.partition)})
    places = {partition: place for place, partition in enumerate(used)}
    mapped = np.array([places.get(name, -1) for name in batch.partitions], dtype=np.int32)
    return Batch(
        model=batch.model,
        version=batch.version,
        partitions=tuple(used),
        partition=mapped[batch.partition],
        offset=batch.offset,
        index=batch.index,
        ids=batch.ids,
        time=batch.time,
        columns={key: column for key, column in columns.items() if column.kinds.any()},
        group=batch.group,
    )


def _canonical_column(column: Column) -> Column:
    codes, strings, vectors = column.codes, column.strings, column.vectors
    if codes is not None:
        used, first = np.unique(codes, return_index=True)
        order = [int(code) for code in used[np.argsort(first)] if code >= 0]
        mapped = np.full(len(strings) + 1, -1, dtype=np.int32)
        mapped[order] = np.arange(len(order))
        codes, strings = mapped[codes], tuple(strings[code] for code in order)
    if vectors is not None:
        lengths = np.where(column.kinds == Kind.VECTOR, vectors.length, 0)
        starts = np.cumsum(lengths) - lengths
        rows = np.repeat(np.arange(len(lengths)), lengths)
        flat = vectors.flat[vectors.start[rows] + np.arange(len(rows)) - starts[rows]]
        vectors = Vectors(flat, starts, lengths)
    return Column(
        kinds=column.kinds,
        numbers=column.numbers,
        codes=codes if strings else None,
        strings=strings,
        vectors=vectors if (column.kinds == Kind.VECTOR).any() else None,
    )


def to_state(batch: Batch) -> State:
    """Return a batch as a snapshot's tree."""
    return {
        "model": batch.model,
        "version": batch.version,
        "group": batch.group,
        "partitions": [[partition.topic, partition.number] for partition in batch.partitions],
        "partition": batch.partition,
        "offset": batch.offset,
        "index": batch.index,
        "ids": batch.ids,
        "time": batch.time,
        "columns": [
            {
                "group": key.group.value,
                "name": key.name,
                "kinds": column.kinds,
                "numbers": column.numbers,
                "codes": column.codes,
                "strings": list(column.strings),
                "vectors": None
                if column.vectors is None
                else [column.vectors.flat, column.vectors.start, column.vectors.length],
            }
            for key, column in batch.columns.items()
        ],
    }


def from_state(state: Any) -> Batch:
    """Return the batch `to_state` was given."""
    return Batch(
        model=state["model"],
        version=state["version"],
        partitions=tuple(Partition(topic, number) for topic, number in state["partitions"]),
        partition=np.asarray(state["partition"]),
        offset=np.asarray(state["offset"]),
        index=np.asarray(state["index"]),
        ids=np.asarray(state["ids"]),
        time=np.asarray(state["time"]),
        columns={
            ColumnKey(Group(column["group"]), column["name"]): Column(
                kinds=np.asarray(column["kinds"]),
                numbers=np.asarray(column["numbers"]),
                codes=None if column["codes"] is None else np.asarray(column["codes"]),
                strings=tuple(column["strings"]),
                vectors=None if column["vectors"] is None else Vectors(*column["vectors"]),
            )
            for column in state["columns"]
        },
        group=state["group"],
    )
