"""Events that come many to a message: their columns, message by message, become batches.

A format says of each message what its events have in common (`head`, in the shape of the default
format) and gives their columns as parts. What many messages hold is joined before anything is
made of it: a message with one event costs no arrays of its own.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdrift.decoders.beside import NOTHING, Beside
from streamdrift.decoders.cells import Cells, to_column
from streamdrift.decoders.fields import (
    FAILED,
    MAX_FEATURES,
    MAX_NAMES,
    NULL,
    feature_cells,
    flags,
    gather,
    output_cells,
    says_failed,
)
from streamdrift.decoders.ids import hash_cells, hash_places, with_indices
from streamdrift.decoders.letters import brief_names, letter
from streamdrift.decoders.mapping import (
    MISSING,
    MappingSettings,
    Steps,
    metric_places,
    output_places,
    parse_pointer,
)
from streamdrift.decoders.merging import batch_of, decoded, merged
from streamdrift.decoders.names import group_names, read_names
from streamdrift.decoders.places import read_place
from streamdrift.decoders.times import INVALID, read_times
from streamdrift.records import (
    Batch,
    Column,
    ColumnKey,
    DeadLetter,
    Decoded,
    Floats,
    Group,
    Ids,
    Ints,
    Kind,
    Messages,
    Vectors,
)

MAX_SHAPES = 16
"""Shapes of messages of one model version that are joined column by column; more are read by
event, where only as many names are kept as for any format."""
_GROUP_OF: Mapping[str, Group] = {"features": Group.FEATURE, "prediction": Group.OUTPUT}


class Rows(NamedTuple):
    """Named columns of n events: the cell of event i in column j is `flat[i * len(names) + j]`.

    Where `flat` is an array of two dimensions, its rows are the cells of the one column there is.
    """

    group: Group
    names: tuple[str, ...]
    flat: list[object] | Floats


class Objects(NamedTuple):
    """Features or predictions of n events as a producer writes them in JSON, one after another."""

    group: Group
    cells: list[object]


Part = Rows | Objects


class Table(NamedTuple):
    """The events of the message at `row`, of which there are `size`."""

    row: int
    size: int
    head: Mapping[str, object]
    parts: tuple[Part, ...]


_Shape = tuple[tuple[Group, tuple[str, ...]], ...]


class TableReader:
    """Makes batches of tables. Pointers of a mapping begin at the head.

    Those of the score and the label may also name a column, `/prediction/NAME`.
    """

    def __init__(self, mapping: MappingSettings, beside: Beside = NOTHING) -> None:
        self._mapping = mapping
        self._beside = beside
        wanted = {Group.FEATURE: mapping.features, Group.OUTPUT: mapping.prediction}
        self._groups = frozenset(group for group, pointer in wanted.items() if pointer is not None)
        self._named = output_places(mapping)
        self._metrics = metric_places(mapping)
        self._failed = None if mapping.failed is None else parse_pointer(mapping.failed)

    def read(
        self, messages: Messages, tables: Sequence[Table], letters: Sequence[DeadLetter]
    ) -> Decoded:
        """Return the events of tables, beside dead letters of what gave none."""
        found = list(letters)
        usable = [table for table in tables if self._is_usable(messages, table, found)]
        batches: list[Batch] = []
        dropped = 0
        if usable:
            heads, rows = [table.head for table in usable], [table.row for table in usable]
            models, versions = read_names(self._mapping, messages, heads, rows)
            groups, faults = group_names(models, versions)
            for place, reason in faults.items():
                shown = brief_names(models[place], versions[place])
                found.append(letter(messages, rows[place], reason, shown))
            for (model, version), places in groups.items():
                chosen = usable if places is None else [usable[place] for place in places]
                made, lost = self._batches(model, version, messages, chosen, found)
                batches += made
                dropped += lost
        return decoded(messages, merged(batches), found, dropped)

    def _is_usable(self, messages: Messages, table: Table, letters: list[DeadLetter]) -> bool:
        """Tell whether a table has events; where it should, and has none, that is a dead letter."""
        if not any(part.group in self._groups for part in table.parts):
            shown = ", ".join(map(str, table.head))
            letters.append(letter(messages, table.row, "no_content", f"fields: {shown:.200}"))
            return False
        return table.size > 0

    def _batches(
        self,
        model: str,
        version: str,
        messages: Messages,
        tables: Sequence[Table],
        letters: list[DeadLetter],
    ) -> tuple[list[Batch], int]:
        """Return the events of one model version, and how many fields were dropped."""
        times = self._times(messages, tables, letters)
        usable = times != INVALID
        if not usable.all():
            tables = [table for table, good in zip(tables, usable.tolist(), strict=True) if good]
            times = times[usable]
        shapes: dict[_Shape, list[int]] = {}
        for place, table in enumerate(tables):
            shapes.setdefault(_shape(table), []).append(place)
        names = {(group, name) for shape in shapes for group, names in shape for name in names}
        if len(shapes) > MAX_SHAPES or len(names) > MAX_NAMES:
            tables = [_by_event(table) for table in tables]
            shapes = {}
            for place, table in enumerate(tables):
                shapes.setdefault(_shape(table), []).append(place)
        batches, dropped = [], 0
        for places in shapes.values():
            chosen = [tables[place] for place in places]
            batch, lost = self._batch(model, version, messages, chosen, times[places])
            batches.append(batch)
            dropped += lost
        return batches, dropped

    def _times(
        self, messages: Messages, tables: Sequence[Table], letters: list[DeadLetter]
    ) -> Ints:
        """Return the time of each message, INVALID where it has none."""
        rows = np.array([table.row for table in tables], dtype=np.int64)
        times = self._beside.times(messages, rows)
        cells: Sequence[object] = [None] * len(tables)
        if self._mapping.time is not None:
            heads = [table.head for table in tables]
            cells = read_place(self._mapping.time, messages, heads, rows.tolist())
            given = [p for p, cell in enumerate(cells) if cell is not MISSING and cell is not None]
            if given:
                times[given] = read_times([cells[place] for place in given])
        for place in np.flatnonzero(times == INVALID).tolist():
            row = tables[place].row
            reason, shown = self._beside.time_fault(cells[place], messages, row)
            letters.append(letter(messages, row, reason, shown))
        return times

    def _batch(
        self,
        model: str,
        version: str,
        messages: Messages,
        tables: Sequence[Table],
        times: Ints,
    ) -> tuple[Batch, int]:
        """Return the events of messages of one shape, and how many fields were dropped."""
        counts = np.array([table.size for table in tables], dtype=np.int64)
        rows = np.repeat(np.array([table.row for table in tables], dtype=np.int64), counts)
        index = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        columns, dropped = self._columns(tables, counts)
        return (
            batch_of(
                messages,
                rows,
                model=model,
                version=version,
                index=index.astype(np.int32),
                ids=self._ids(messages, tables, rows, counts, index.astype(np.int32)),
                time=np.repeat(times, counts),
                columns=columns,
            ),
            dropped,
        )

    def _ids(
        self,
        messages: Messages,
        tables: Sequence[Table],
        rows: Ints,
        counts: Ints,
        index: NDArray[np.int32],
    ) -> Ids:
        place = self._mapping.id
        if not isinstance(place, str):
            return hash_places(place, messages, rows, index)
        own = hash_cells(gather([table.head for table in tables], parse_pointer(place)))
        ids = with_indices(np.repeat(own, counts), index)
        return self._beside.ids(ids, messages, rows, index)

    def _columns(
        self, tables: Sequence[Table], counts: Ints
    ) -> tuple[dict[ColumnKey, Column], int]:
        columns: dict[ColumnKey, Column] = {}
        dropped = 0
        for group in self._groups:
            for parts in zip(*(_parts(table, group) for table in tables), strict=True):
                made, lost = _part_columns(parts, MAX_FEATURES - len(columns))
                dropped += lost
                columns |= {ColumnKey(group, name): column for name, column in made.items()}
        for name, steps in self._named.items():
            self._name(columns, ColumnKey(Group.OUTPUT, name), steps)
        heads = [table.head for table in tables]
        for name, steps in self._metrics.items():
            cells = _repeated(gather(heads, steps), counts)
            columns[ColumnKey(Group.METRIC, name)] = to_column(cells)
        columns = {key: column for key, column in columns.items() if column.kinds.any()}
        # A message that holds inputs alone says nothing of outputs, not that there were none.
        if any(part.group is Group.OUTPUT for part in tables[0].parts):
            present = np.zeros(int(counts.sum()), dtype=np.bool_)
            for key, column in columns.items():
                if key.group is Group.OUTPUT:
                    present |= column.kinds > Kind.NULL
            columns[NULL] = flags(~present)
        if self._failed is not None:
            failed = [says_failed(cell) for cell in gather(heads, self._failed)]
            columns[FAILED] = flags(np.repeat(np.array(failed), counts))
        return columns, dropped

    @staticmethod
    def _name(columns: dict[ColumnKey, Column], key: ColumnKey, steps: Steps) -> None:
        """Give the column at a pointer its name among the outputs."""
        group = _GROUP_OF.get(steps[0]) if steps else None
        if group is None:
            return
        source = ColumnKey(group, ".".join(steps[1:]))
        found = columns.get(source)
        if found is not None:
            del columns[source]
            columns[key] = found


def _parts(table: Table, group: Group) -> list[Part]:
    return [part for part in table.parts if part.group is group]


def _shape(table: Table) -> _Shape:
    """Return what tables have in common that can be joined column by column."""
    return tuple((part.group, part.names if isinstance(part, Rows) else ()) for part in table.parts)


def _part_columns(parts: Sequence[Part], room: int) -> tuple[dict[str, Column], int]:
    """Return the columns of one part of many messages, and how many fields were dropped."""
    first = parts[0]
    if isinstance(first, Objects):
        cells = list(chain.from_iterable(part.cells for part in parts if isinstance(part, Objects)))
        if first.group is Group.FEATURE:
            named, dropped = feature_cells(cells)
        else:
            named, dropped = output_cells(cells)
        return {name: to_column(values) for name, values in named.items()}, dropped
    names = first.names
    flats = [part.flat for part in parts if isinstance(part, Rows)]
    size = len(names)
    events = sum(map(len, flats)) // size if size else 0
    kept = max(0, min(size, room))
    dropped = (size - kept) * events
    if all(isinstance(flat, np.ndarray) for flat in flats):
        arrays = [flat for flat in flats if isinstance(flat, np.ndarray)]
        if len({each.shape[1:] for each in arrays}) == 1:
            joined = np.concatenate(arrays)
            if joined.ndim > 1:
                return {names[0]: vector_column(joined)}, dropped
            return {names[j]: number_column(joined[j::size]) for j in range(kept)}, dropped
    flat = list(chain.from_iterable(_as_list(each) for each in flats))
    return {names[j]: to_column(flat[j::size]) for j in range(kept)}, dropped


def _as_list(flat: list[object] | Floats) -> list[object]:
    return flat if isinstance(flat, list) else flat.tolist()


def number_column(numbers: Floats) -> Column:
    """Return a column of float64[n], where NaN counts as null."""
    kinds = np.where(np.isnan(numbers), Kind.NULL, Kind.NUMBER).astype(np.uint8)
    return Column(kinds, numbers + 0.0)


def vector_column(rows: Floats) -> Column:
    """Return a column of lists of numbers, float64[n, k]."""
    size, width = rows.shape
    kind = Kind.VECTOR if width else Kind.OTHER
    length = np.full(size, width, dtype=np.int64)
    vectors = Vectors(rows.ravel() + 0.0, np.arange(size, dtype=np.int64) * width, length)
    kinds = np.full(size, kind, dtype=np.uint8)
    return Column(kinds, np.full(size, np.nan), vectors=vectors if width else None)


def _by_event(table: Table) -> Table:
    """Return a table as objects, one an event: all its messages then have one shape a group."""
    parts = []
    for group in dict.fromkeys(part.group for part in table.parts):
        events: list[dict[str, object]] = [{} for _ in range(table.size)]
        for part in _parts(table, group):
            for name, cells in _named_cells(part).items():
                for event, cell in zip(events, cells, strict=True):
                    if cell is not MISSING:
                        event[name] = cell
        parts.append(Objects(group, list(events)))
    return Table(table.row, table.size, table.head, tuple(parts))


def _named_cells(part: Part) -> Mapping[str, Sequence[object]]:
    if isinstance(part, Rows):
        flat, size = _as_list(part.flat), len(part.names)
        return {name: flat[j::size] for j, name in enumerate(part.names)}
    named, _ = (
        feature_cells(part.cells) if part.group is Group.FEATURE else output_cells(part.cells)
    )
    return {name: _dense(cells) for name, cells in named.items()}


def _dense(cells: Cells) -> Sequence[object]:
    return cells if isinstance(cells, Sequence) else cells.dense()


def _repeated(cells: Sequence[object], counts: Ints) -> list[object]:
    """Return each message's cell once for each of its events."""
    return list(
        chain.from_iterable(
            [cell] * count for cell, count in zip(cells, counts.tolist(), strict=True)
        )
    )
