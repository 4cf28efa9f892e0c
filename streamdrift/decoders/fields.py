"""From parsed documents to the columns of their features, outputs and metrics."""

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import itemgetter

import numpy as np

from streamdrift.decoders.cells import flatten, to_column
from streamdrift.decoders.mapping import MISSING, MappingSettings, Steps, find, parse_pointer
from streamdrift.records import Bools, Column, ColumnKey, Group, Kind

MAX_FEATURES = 1_000
"""Features taken of one event; further ones are dropped and counted."""

NULL = ColumnKey(Group.OUTPUT, "null")
FAILED = ColumnKey(Group.METRIC, "failed")


class Fields:
    """Reads the columns of a mapping out of documents."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._features = _steps(mapping.features)
        self._excluded = excluded_names(mapping)
        self._prediction = _steps(mapping.prediction)
        outputs = {"score": mapping.score, "label": mapping.label}
        self._outputs = {name: parse_pointer(at) for name, at in outputs.items() if at is not None}
        metrics = {"latency_ms": mapping.latency_ms, **mapping.metrics}
        self._metrics = {name: parse_pointer(at) for name, at in metrics.items() if at is not None}
        self._failed = _steps(mapping.failed)

    def without_content(self, documents: Sequence[object]) -> list[int]:
        """Return the documents with neither features nor outputs where the mapping looks."""
        places = [self._features, self._prediction, *self._outputs.values()]
        without: Sequence[int] = range(len(documents))
        for steps in places:
            if steps is not None and without:
                cells = gather([documents[place] for place in without], steps)
                without = [p for p, cell in zip(without, cells, strict=True) if cell is MISSING]
        return list(without)

    def columns(self, documents: Sequence[object]) -> tuple[dict[ColumnKey, Column], int]:
        """Return the columns of n documents, and how many features were dropped."""
        columns, dropped = self._feature_columns(documents)
        columns |= self._output_columns(documents)
        for name, steps in self._metrics.items():
            _add(columns, ColumnKey(Group.METRIC, name), gather(documents, steps))
        if self._failed is not None:
            cells = gather(documents, self._failed)
            columns[FAILED] = flags([_says_failed(cell) for cell in cells])
        return columns, dropped

    def _feature_columns(self, documents: Sequence[object]) -> tuple[dict[ColumnKey, Column], int]:
        if self._features is None:
            return {}, 0
        cells = gather(documents, self._features)
        records = [cell if type(cell) is dict else _as_record(cell) for cell in cells]
        table, dropped = _table(records)
        columns: dict[ColumnKey, Column] = {}
        for name, values in table.items():
            if name not in self._excluded and not name.startswith(self._excluded_parents):
                _add(columns, ColumnKey(Group.FEATURE, name), values)
        return columns, dropped

    @property
    def _excluded_parents(self) -> tuple[str, ...]:
        return tuple(f"{name}." for name in self._excluded)

    def _output_columns(self, documents: Sequence[object]) -> dict[ColumnKey, Column]:
        if self._prediction is None and not self._outputs:
            return {}
        cells: list[object] = [MISSING] * len(documents)
        if self._prediction is not None:
            cells = gather(documents, self._prediction)
        outputs = _outputs(cells)
        for name, steps in self._outputs.items():
            given, derived = gather(documents, steps), outputs.get(name)
            outputs[name] = given if derived is None else _over(given, derived)
        columns: dict[ColumnKey, Column] = {}
        for name, values in outputs.items():
            _add(columns, ColumnKey(Group.OUTPUT, name), values)
        present = np.zeros(len(documents), dtype=np.bool_)
        for column in columns.values():
            present |= column.kinds > Kind.NULL
        columns[NULL] = flags(~present)
        return columns


def gather(documents: Sequence[object], steps: Steps) -> list[object]:
    """Return what stands at a pointer in each document, MISSING where nothing does."""
    if len(steps) == 1:
        step = steps[0]
        return [
            document.get(step, MISSING) if type(document) is dict else find(document, steps)
            for document in documents
        ]
    return [find(document, steps) for document in documents]


def _steps(pointer: str | None) -> Steps | None:
    return None if pointer is None else parse_pointer(pointer)


def excluded_names(mapping: MappingSettings) -> frozenset[str]:
    """Return the dotted names within the features that are parts of their own."""
    if mapping.features is None:
        return frozenset()
    root = parse_pointer(mapping.features)
    others = [value for name, value in mapping if name != "features" and isinstance(value, str)]
    steps = [parse_pointer(pointer) for pointer in (*others, *mapping.metrics.values())]
    return frozenset(
        ".".join(each[len(root) :])
        for each in steps
        if len(each) > len(root) and each[: len(root)] == root
    )


def _as_record(cell: object) -> dict[str, object]:
    """Return a list of features as fields named by their places; nothing else has features."""
    if isinstance(cell, list):
        return {str(place): value for place, value in enumerate(cell)}
    return {}


def _table(records: Sequence[dict[str, object]]) -> tuple[Mapping[str, Sequence[object]], int]:
    """Return records as one sequence of cells per name, and how many fields were dropped."""
    names = tuple(records[0])
    if len(names) <= MAX_FEATURES and set(map(len, records)) == {len(names)}:
        table = _same_names(records, names)
        if table is not None:
            return table, 0
    flat = [
        flatten(record) if dict in set(map(type, record.values())) else record for record in records
    ]
    dropped = sum(max(0, len(record) - MAX_FEATURES) for record in flat)
    if dropped:
        flat = [dict(islice(record.items(), MAX_FEATURES)) for record in flat]
    every = dict.fromkeys(name for record in flat for name in record)
    return {name: [record.get(name, MISSING) for record in flat] for name in every}, dropped


def _same_names(
    records: Sequence[dict[str, object]], names: tuple[str, ...]
) -> Mapping[str, Sequence[object]] | None:
    """Return the table of records that all have the same, flat fields; None of others."""
    if len(names) == 0:
        return {}
    try:
        rows = list(map(itemgetter(*names), records))
    except KeyError:
        return None
    table = dict(zip(names, zip(*rows, strict=True) if len(names) > 1 else [rows], strict=True))
    if any(dict in set(map(type, cells)) for cells in table.values()):
        return None
    return table


def _outputs(cells: Sequence[object]) -> dict[str, Sequence[object]]:
    """Return predictions by the name of the output: score, label, value, or a field's own."""
    types = set(map(type, cells))
    if types <= {float, int}:
        return {"value": cells}
    if types == {dict}:
        table, _ = _table([cell for cell in cells if isinstance(cell, dict)])
        return dict(table)
    outputs: dict[str, list[object]] = {}
    for row, cell in enumerate(cells):
        for name, value in _fields_of(cell).items():
            outputs.setdefault(name, [MISSING] * len(cells))[row] = value
    return dict(outputs)


def _over(given: Sequence[object], derived: Sequence[object]) -> Sequence[object]:
    """Return what was given, and what was derived where nothing was."""
    return [d if g is MISSING else g for g, d in zip(given, derived, strict=True)]


def _fields_of(cell: object) -> Mapping[str, object]:
    if isinstance(cell, dict):
        return flatten(cell)
    if isinstance(cell, bool | str):
        return {"label": cell}
    if isinstance(cell, int | float | list):
        return {"value": cell}
    return {}


def _says_failed(cell: object) -> bool:
    return cell is not MISSING and cell not in (None, False, "", 0)


def flags(values: Sequence[bool] | Bools) -> Column:
    """Return a column of truth values."""
    return Column(
        np.full(len(values), Kind.BOOLEAN, dtype=np.uint8), np.array(values, dtype=np.float64)
    )


def _add(columns: dict[ColumnKey, Column], key: ColumnKey, cells: Sequence[object]) -> None:
    """Add a column, unless no event has it."""
    column = to_column(cells)
    if column.kinds.any():
        columns[key] = column
