"""From parsed documents to the columns of their features, outputs and metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter

import numpy as np

from streamdrift.decoders.cells import Cells, Sparse, flatten, to_column
from streamdrift.decoders.mapping import (
    MISSING,
    MappingSettings,
    Steps,
    find,
    metric_places,
    output_places,
    parse_pointer,
)
from streamdrift.records import Bools, Column, ColumnKey, Group, Kind

MAX_FEATURES = 1_000
"""Features taken of one event, and fields of its prediction; others are dropped and counted."""
MAX_NAMES = 5 * MAX_FEATURES
"""Names of features, and of predictions' fields, taken of one batch of a model version.

Of further ones the cells are dropped and counted, those in the fewest events first. Only here
does what an event shows depend on its neighbours; but as no event has more than MAX_FEATURES,
a field that a fifth of a batch's events have is always kept.
"""
_RARE = 4
"""A field is rare where fewer than one of so many events has it."""
_FIELDS = (dict, list, type(None), type(MISSING))
"""What features may be."""
_BARE: Mapping[str, frozenset[type]] = {
    "label": frozenset({bool, str}),
    "value": frozenset({int, float, list}),
}
"""The outputs that predictions of these types are."""

_ALL: frozenset[str] = frozenset()
"""No part of what is read is anything else."""

NULL = ColumnKey(Group.OUTPUT, "null")
FAILED = ColumnKey(Group.METRIC, "failed")


def named_columns(mapping: MappingSettings) -> dict[ColumnKey, Steps]:
    """Return where the outputs and metrics are that a mapping names, by their columns."""
    places = {Group.OUTPUT: output_places(mapping), Group.METRIC: metric_places(mapping)}
    return {
        ColumnKey(group, name): steps
        for group, named in places.items()
        for name, steps in named.items()
    }


class Fields:
    """Reads the columns of a mapping out of documents."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._features = _steps(mapping.features)
        self._beside_features = parts_within(mapping, "features")
        self._beside_outputs = parts_within(mapping, "prediction")
        self._prediction = _steps(mapping.prediction)
        self._outputs = output_places(mapping)
        self._metrics = metric_places(mapping)
        self._failed = _steps(mapping.failed)

    def faults(self, documents: Sequence[object]) -> dict[int, str]:
        """Return the places of the documents that are no events, each with the reason."""
        without: Sequence[int] = range(len(documents))
        wrong: list[int] = []
        if self._features is not None:
            cells = gather(documents, self._features)
            if set(map(type, cells)) <= {dict, list}:
                return {}
            without = [place for place in without if cells[place] in (MISSING, None)]
            wrong = [p for p, cell in enumerate(cells) if not isinstance(cell, _FIELDS)]
        for steps in (self._prediction, *self._outputs.values()):
            if steps is not None and without:
                cells = gather([documents[place] for place in without], steps)
                without = [p for p, cell in zip(without, cells, strict=True) if cell is MISSING]
        return dict.fromkeys(without, "no_content") | dict.fromkeys(wrong, "invalid_features")

    def columns(self, documents: Sequence[object]) -> tuple[dict[ColumnKey, Column], int]:
        """Return the columns of n documents, and how many fields were dropped."""
        columns, dropped = self._feature_columns(documents)
        outputs, lost = self._output_columns(documents)
        columns |= outputs
        for name, steps in self._metrics.items():
            _add(columns, ColumnKey(Group.METRIC, name), gather(documents, steps))
        if self._failed is not None:
            cells = gather(documents, self._failed)
            columns[FAILED] = flags([says_failed(cell) for cell in cells])
        return columns, dropped + lost

    def _feature_columns(self, documents: Sequence[object]) -> tuple[dict[ColumnKey, Column], int]:
        if self._features is None:
            return {}, 0
        cells = gather(documents, self._features)
        records = [cell if type(cell) is dict else _as_record(cell) for cell in cells]
        table, dropped = _table(records, self._beside_features)
        columns: dict[ColumnKey, Column] = {}
        for name, values in table.items():
            _add(columns, ColumnKey(Group.FEATURE, name), values)
        return columns, dropped

    def _output_columns(self, documents: Sequence[object]) -> tuple[dict[ColumnKey, Column], int]:
        if self._prediction is None and not self._outputs:
            return {}, 0
        outputs: dict[str, Cells] = {}
        dropped = 0
        if self._prediction is not None:
            cells = gather(documents, self._prediction)
            outputs, dropped = _outputs(cells, self._beside_outputs)
        for name, steps in self._outputs.items():
            outputs[name] = _over(gather(documents, steps), outputs.get(name))
        columns: dict[ColumnKey, Column] = {}
        for name, values in outputs.items():
            _add(columns, ColumnKey(Group.OUTPUT, name), values)
        present = np.zeros(len(documents), dtype=np.bool_)
        for column in columns.values():
            present |= column.kinds > Kind.NULL
        columns[NULL] = flags(~present)
        return columns, dropped


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


def parts_within(mapping: MappingSettings, field: str) -> frozenset[str]:
    """Return the dotted names of what stands within a part (`features`) but is another part."""
    pointer = getattr(mapping, field)
    if pointer is None:
        return frozenset()
    root = parse_pointer(pointer)
    others = [value for name, value in mapping if name != field and isinstance(value, str)]
    steps = [parse_pointer(pointer) for pointer in (*others, *mapping.metrics.values())]
    return frozenset(
        ".".join(each[len(root) :])
        for each in steps
        if len(each) > len(root) and each[: len(root)] == root
    )


def is_part(name: str, parts: frozenset[str]) -> bool:
    """Tell whether a field's dotted name is one of `parts`, or within one."""
    return name in parts or any(name.startswith(f"{part}.") for part in parts)


def feature_cells(cells: Sequence[object]) -> tuple[dict[str, Cells], int]:
    """Return features of n events, objects or lists, by name, and how many fields were dropped."""
    return _table([cell if isinstance(cell, dict) else _as_record(cell) for cell in cells], _ALL)


def output_cells(cells: Sequence[object]) -> tuple[dict[str, Cells], int]:
    """Return predictions of n events by the output's name, and how many fields were dropped."""
    return _outputs(cells, _ALL)


def _as_record(cell: object) -> dict[str, object]:
    """Return a list of features as fields named by their places; nothing else has features."""
    if isinstance(cell, list):
        return {str(place): value for place, value in enumerate(cell)}
    return {}


def _table(
    records: Sequence[dict[str, object]], parts: frozenset[str]
) -> tuple[dict[str, Cells], int]:
    """Return records as one field's cells per name, and how many fields were dropped.

    Names that `parts` are or hold are left out, and count towards no limit.
    """
    names = tuple(records[0])
    if len(names) <= MAX_FEATURES and set(map(len, records)) == {len(names)}:
        table = _same_names(records, names)
        if table is not None:
            return {name: cells for name, cells in table.items() if not is_part(name, parts)}, 0
    flat = [
        flatten(record) if dict in set(map(type, record.values())) else record for record in records
    ]
    counts = Counter(chain.from_iterable(flat))
    hidden = {name for name in counts if is_part(name, parts)} if parts else set()
    if hidden:
        flat = [{n: cell for n, cell in record.items() if n not in hidden} for record in flat]
    dropped = sum(max(0, len(record) - MAX_FEATURES) for record in flat)
    if dropped:
        flat = [dict(islice(record.items(), MAX_FEATURES)) for record in flat]
    if hidden or dropped:
        counts = Counter(chain.from_iterable(flat))
    if len(counts) > MAX_NAMES:
        kept = Counter(dict(counts.most_common(MAX_NAMES)))
        dropped += counts.total() - kept.total()
        counts = kept
    return _cells(flat, counts), dropped


def _cells(flat: Sequence[dict[str, object]], counts: Mapping[str, int]) -> dict[str, Cells]:
    """Return the cells of the names that `counts` says how many records have."""
    size = len(flat)
    rare: dict[str, tuple[list[int], list[object]]] = {
        name: ([], []) for name, count in counts.items() if count * _RARE < size
    }
    for row, record in enumerate(flat if rare else ()):
        for name, cell in record.items():
            found = rare.get(name)
            if found is not None:
                found[0].append(row)
                found[1].append(cell)
    return {
        name: Sparse(*rare[name], size)
        if name in rare
        else [record.get(name, MISSING) for record in flat]
        for name in counts
    }


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


def _outputs(cells: Sequence[object], parts: frozenset[str]) -> tuple[dict[str, Cells], int]:
    """Return predictions by the name of the output, and how many fields were dropped.

    A prediction that is no object is a label or a value; the fields of one keep their names.
    """
    types = set(map(type, cells))
    if types <= {float, int}:
        return {"value": cells}, 0
    outputs, dropped = _table([cell if isinstance(cell, dict) else {} for cell in cells], parts)
    for name, bare in _BARE.items():
        if types & bare:
            given = [cell if type(cell) in bare else MISSING for cell in cells]
            outputs[name] = _over(given, outputs.get(name))
    return outputs, dropped


def _over(given: Sequence[object], derived: Cells | None) -> Sequence[object]:
    """Return what was given, and what was derived where nothing was."""
    if derived is None:
        return given
    below = derived.dense() if isinstance(derived, Sparse) else derived
    return [d if g is MISSING else g for g, d in zip(given, below, strict=True)]


def says_failed(cell: object) -> bool:
    """Tell whether what stands where failures are noted is not null, false, 0 or empty."""
    # NaN, which is not equal to itself, counts as null everywhere.
    return cell is not MISSING and bool(cell) and cell == cell


def flags(values: Sequence[bool] | Bools) -> Column:
    """Return a column of truth values."""
    return Column(
        np.full(len(values), Kind.BOOLEAN, dtype=np.uint8), np.array(values, dtype=np.float64)
    )


def _add(columns: dict[ColumnKey, Column], key: ColumnKey, cells: Cells) -> None:
    """Add a column, unless no event has it."""
    column = to_column(cells)
    if column.kinds.any():
        columns[key] = column
