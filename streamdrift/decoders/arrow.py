"""Arrow IPC: record batches, one or several to a message, whose rows are events.

Columns become columns, without a Python object per event but for types that JSON does not know.
https://arrow.apache.org/docs/format/Columnar.html (serialization and interprocess communication).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from streamdrift.columns import take
from streamdrift.decoders.arrow_columns import coded, ids_of, leaves, times_of, to_column
from streamdrift.decoders.arrow_ipc import read_table
from streamdrift.decoders.fields import (
    FAILED,
    MAX_FEATURES,
    NULL,
    flags,
    is_part,
    named_columns,
    parts_within,
)
from streamdrift.decoders.ids import hash_places
from streamdrift.decoders.letters import brief_names, letter
from streamdrift.decoders.limits import MAX_MESSAGE_BYTES, TooLargeError
from streamdrift.decoders.mapping import MISSING, MappingSettings, Place, Steps, parse_pointer
from streamdrift.decoders.merging import batch_of, decoded, merged
from streamdrift.decoders.names import group_names
from streamdrift.decoders.places import read_place
from streamdrift.decoders.presets import over
from streamdrift.decoders.times import INVALID, record_times
from streamdrift.records import (
    Batch,
    Bools,
    Column,
    ColumnKey,
    DeadLetter,
    Decoded,
    Group,
    Ids,
    Ints,
    Kind,
    Messages,
)

Leaves = Mapping[Steps, Any]
"""The columns of a batch that are no structs, by their paths."""

_FLAT = MappingSettings(features="", score="/score", label="/label")
"""As in flat JSON: columns that are nothing else are features."""


class ArrowDecoder:
    """Decodes record batches; the pointers of a mapping name columns, and fields of structs.

    Where a batch has a column `features`, they are in it, else all columns that are nothing else.
    """

    def __init__(self, mapping: MappingSettings) -> None:
        self._flat = _Reader(over(_FLAT, mapping))
        self._nested = _Reader(mapping)

    def decode(self, messages: Messages) -> Decoded:
        batches: list[Batch] = []
        letters: list[DeadLetter] = []
        dropped = 0
        for row in range(len(messages)):
            value = messages.value(row)
            if value is None:
                continue
            if len(value) > MAX_MESSAGE_BYTES:
                letters.append(letter(messages, row, "too_large", f"{len(value):,} bytes"))
                continue
            faults: list[DeadLetter] = []
            try:
                made, lost = self._read(messages, row, value, faults)
            except TooLargeError as error:
                letters.append(letter(messages, row, "too_large_unpacked", str(error)))
                continue
            except Exception as error:  # Whatever the bytes make the library do.
                letters.append(letter(messages, row, "invalid_arrow", f"{error!s:.200}"))
                continue
            letters += faults
            batches += made
            dropped += lost
        return decoded(messages, merged(batches), letters, dropped)

    def _read(
        self, messages: Messages, row: int, value: bytes, letters: list[DeadLetter]
    ) -> tuple[list[Batch], int]:
        table = read_table(value)
        if not table.num_rows:
            return [], 0
        reader = self._nested if "features" in table.schema.names else self._flat
        return reader.read(messages, row, table, letters)


class _Reader:
    """Reads batches by one mapping."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._mapping = mapping
        self._features = _steps(mapping.features)
        self._prediction = _steps(mapping.prediction)
        self._beside = {
            Group.FEATURE: parts_within(mapping, "features"),
            Group.OUTPUT: parts_within(mapping, "prediction"),
        }
        self._named = named_columns(mapping)

    def read(
        self, messages: Messages, row: int, table: Any, letters: list[DeadLetter]
    ) -> tuple[list[Batch], int]:
        """Return the events of a message by model version, and how many fields were dropped."""
        found, size = leaves(table), table.num_rows
        columns, dropped = self._columns(found, size)
        if not any(key.group is not Group.METRIC and key != NULL for key in columns):
            shown = ", ".join(table.schema.names)
            letters.append(letter(messages, row, "no_content", f"columns: {shown:.200}"))
            return [], 0
        times = self._times(messages, row, found, size)
        rows = np.full(size, row, dtype=np.int64)
        whole = batch_of(
            messages,
            rows,
            model="",
            version="",
            index=np.arange(size, dtype=np.int32),
            ids=self._ids(messages, rows, found),
            time=times,
            columns=columns,
        )
        batches = []
        for (model, version), places in self._names(messages, row, found, size, letters).items():
            good = places[times[places] != INVALID]
            if len(good) < len(places):
                first = int(places[times[places] == INVALID][0])
                shown = f"of {len(places) - len(good)} events"
                letters.append(letter(messages, row, "invalid_time", shown, first))
            if len(good):
                part = whole if len(good) == size else take(whole, good)
                batches.append(replace(part, model=model, version=version))
        return batches, dropped * size

    def _columns(self, found: Leaves, size: int) -> tuple[dict[ColumnKey, Column], int]:
        """Return the columns of the events, and how many of one event's fields were dropped."""
        columns: dict[ColumnKey, Column] = {}
        for group, root in ((Group.FEATURE, self._features), (Group.OUTPUT, self._prediction)):
            for path, array in found.items() if root is not None else ():
                inner = path[len(root or ()) :]
                name = ".".join(inner)
                within = path[: len(root or ())] == root
                if within and inner and not is_part(name, self._beside[group]):
                    columns[ColumnKey(group, name)] = to_column(array)
        if self._prediction is not None and self._prediction in found:
            column = to_column(found[self._prediction])
            is_label = column.codes is not None or (column.kinds == Kind.BOOLEAN).any()
            columns[ColumnKey(Group.OUTPUT, "label" if is_label else "value")] = column
        for key, steps in self._named.items():
            if steps in found:
                columns[key] = to_column(found[steps])
        dropped = max(0, sum(key.group is Group.FEATURE for key in columns) - MAX_FEATURES)
        for key in [key for key in columns if key.group is Group.FEATURE][MAX_FEATURES:]:
            del columns[key]
        outputs = [column for key, column in columns.items() if key.group is Group.OUTPUT]
        if outputs:
            present = np.zeros(size, dtype=np.bool_)
            for column in outputs:
                present |= column.kinds > Kind.NULL
            columns[NULL] = flags(~present)
        failed = _steps(self._mapping.failed)
        if failed is not None and failed in found:
            columns[FAILED] = flags(_says_failed(to_column(found[failed])))
        return columns, dropped

    def _times(self, messages: Messages, row: int, found: Leaves, size: int) -> Ints:
        """Return the time of each event, INVALID where it has none."""
        times = np.repeat(record_times(messages, np.array([row])), size)
        place = self._mapping.time
        if place is None:
            return times
        if isinstance(place, str):
            array = found.get(parse_pointer(place))
            if array is None:
                return times
            given = ~array.is_null().to_numpy(zero_copy_only=False)
            return np.where(given, times_of(array), times)
        array = pa.array(
            [None if v is None else str(v) for v in read_place(place, messages, [None], [row])]
        )
        return times if array[0].as_py() is None else np.repeat(times_of(array), size)

    def _ids(self, messages: Messages, rows: Ints, found: Leaves) -> Ids:
        place = self._mapping.id
        if not isinstance(place, str):
            return hash_places(place, messages, rows, np.arange(len(rows), dtype=np.int32))
        array = found.get(parse_pointer(place))
        return np.zeros(len(rows), dtype=np.uint64) if array is None else ids_of(array)

    def _names(
        self,
        messages: Messages,
        row: int,
        found: Leaves,
        size: int,
        letters: list[DeadLetter],
    ) -> dict[tuple[str, str], Ints]:
        """Return the places of each model version's events."""
        models, model_codes = self._coded(self._mapping.model, messages, row, found, size)
        versions: list[object] = [""]
        version_codes = np.zeros(size, dtype=np.int64)
        if self._mapping.version is not None:
            versions, version_codes = self._coded(self._mapping.version, messages, row, found, size)
        pairs, codes = np.unique(model_codes * len(versions) + version_codes, return_inverse=True)
        pair_models = [models[pair // len(versions)] for pair in pairs.tolist()]
        pair_versions = [versions[pair % len(versions)] for pair in pairs.tolist()]
        groups, faults = group_names(pair_models, pair_versions)
        for pair, reason in faults.items():
            at = np.flatnonzero(codes == pair)
            shown = brief_names(pair_models[pair], pair_versions[pair])
            detail = f"of {len(at)} events; {shown}"
            letters.append(letter(messages, row, reason, detail, int(at[0])))
        every = range(len(pairs))
        return {
            name: np.flatnonzero(np.isin(codes, list(every if chosen is None else chosen)))
            for name, chosen in groups.items()
        }

    def _coded(
        self, place: Place, messages: Messages, row: int, found: Leaves, size: int
    ) -> tuple[list[object], Ints]:
        """Return the names that stand at a place, and which of them each event has."""
        if not isinstance(place, str):
            return list(read_place(place, messages, [None], [row])), np.zeros(size, dtype=np.int64)
        array = found.get(parse_pointer(place))
        if array is None:
            return [MISSING], np.zeros(size, dtype=np.int64)
        names, codes = coded(array)
        return [*names.to_pylist(), None], codes


def _steps(pointer: str | None) -> Steps | None:
    return None if pointer is None else parse_pointer(pointer)


def _says_failed(column: Column) -> Bools:
    """Tell which cells are not null, false, 0 or an empty text."""
    empty = [place for place, text in enumerate(column.strings) if not text]
    said: Bools = (column.kinds > Kind.NULL) & (column.numbers != 0)
    if column.codes is not None:
        said &= ~np.isin(column.codes, empty)
    return said
