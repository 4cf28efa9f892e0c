"""From Arrow's arrays to columns, times and ids."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamdrift.decoders import cells
from streamdrift.decoders.ids import hash_cells, hash_spans
from streamdrift.decoders.mapping import Steps
from streamdrift.decoders.times import INVALID, read_numbers, read_times
from streamdrift.records import Column, Floats, Ids, Ints, Kind, Vectors

_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}


def leaves(table: Any) -> dict[Steps, Any]:
    """Return the columns of a table whose structs are taken apart, by their paths."""
    found: dict[Steps, Any] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        array = column.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # Of no chunks, or of more than one can hold.
            array = pa.concat_arrays(array.chunks)
        _spread(found, (name,), array)
    return found


def _spread(found: dict[Steps, Any], path: Steps, array: Any) -> None:
    if pa.types.is_struct(array.type) and len(path) < cells.MAX_DEPTH + 1:
        for place, inner in enumerate(array.flatten()):
            _spread(found, (*path, array.type.field(place).name), inner)
    else:
        found[path] = array


def to_column(array: Any) -> Column:
    """Return an array as a column; what JSON does not know is as near as can be."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type):
            return _strings(array)
        return to_column(array.dictionary_decode())
    if pa.types.is_boolean(kind):
        return _numbers(_floats(array.cast(pa.uint8())), Kind.BOOLEAN)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(_floats(array), Kind.NUMBER)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        wide = pa.int32() if kind.bit_width == 32 else pa.int64()
        return _numbers(_floats(array.cast(wide)), Kind.NUMBER)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _strings(pc.dictionary_encode(array))
    if _is_list(kind) and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    ):
        return _lists(array)
    return cells.to_column(array.to_pylist())


def _is_list(kind: Any) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _floats(array: Any) -> Floats:
    """Return numbers as float64[n], NaN where they are null."""
    floats: Floats = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats


def _numbers(numbers: Floats, kind: Kind) -> Column:
    kinds = np.where(np.isnan(numbers), Kind.NULL, kind).astype(np.uint8)
    return Column(kinds, numbers + 0.0)


def _strings(coded: Any) -> Column:
    """Return the column of a dictionary-coded array of texts."""
    texts = coded.dictionary.to_pylist()
    # A dictionary may hold a text twice, or null.
    places: dict[str | None, int] = {}
    mapped = [-1 if text is None else places.setdefault(text, len(places)) for text in texts]
    indices = pc.fill_null(coded.indices.cast(pa.int64()), len(texts)).to_numpy()
    codes = np.array([*mapped, -1], dtype=np.int32)[indices]
    kinds = np.where(codes < 0, Kind.NULL, Kind.STRING).astype(np.uint8)
    strings = tuple(str(text) for text in places)
    return Column(kinds, np.full(len(codes), np.nan), codes if strings else None, strings)


def _lists(array: Any) -> Column:
    """Return the column of lists of numbers; one with nulls is none, nor is an empty one."""
    length = np.nan_to_num(_floats(pc.list_value_length(array))).astype(np.int64)
    flat = _floats(pc.list_flatten(array))
    start = np.cumsum(length) - length
    nulls = pc.list_flatten(array).is_null().to_numpy(zero_copy_only=False)
    broken = np.zeros(len(length), dtype=np.bool_)
    owners = np.repeat(np.arange(len(length)), length)
    broken[owners[nulls]] = True
    kinds = np.where((length == 0) | broken, Kind.OTHER, Kind.VECTOR)
    kinds = np.where(array.is_null().to_numpy(zero_copy_only=False), Kind.NULL, kinds)
    there = kinds.astype(np.uint8)
    vectors = Vectors(flat + 0.0, start, length) if (there == Kind.VECTOR).any() else None
    return Column(there, np.full(len(length), np.nan), vectors=vectors)


def times_of(array: Any) -> Ints:
    """Return times in microseconds, int64[n], INVALID where a cell is none, or null."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        numbers = array.cast(pa.int64())
        micros = pc.multiply(numbers, _UNITS[kind.unit])
        if kind.unit == "ns":
            micros = pc.divide(numbers, 1_000)
        return _filled(micros)
    if pa.types.is_date(kind):
        return _filled(array.cast(pa.timestamp("us")).cast(pa.int64()))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return read_numbers(_floats(array))
    return read_times(array.to_pylist())


def _filled(numbers: Any) -> Ints:
    found: Ints = pc.fill_null(numbers, INVALID).to_numpy()
    return found


def ids_of(array: Any) -> Ids:
    """Return the ids uint64[n] of texts and numbers; what is neither is none."""
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return hash_cells(array.to_pylist())
    wide = array.cast(pa.large_string())
    _, offsets, data = wide.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[wide.offset : wide.offset + len(wide) + 1]
    length = np.where(array.is_null().to_numpy(zero_copy_only=False), -1, np.diff(ends))
    texts = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
    return hash_spans(texts, ends[:-1].copy(), length)
