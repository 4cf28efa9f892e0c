"""From Arrow's arrays to columns, times and ids."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamdrift.decoders import cells
from streamdrift.decoders.ids import hash_cells, hash_spans
from streamdrift.decoders.limits import MAX_UNPACKED_BYTES, TooLargeError
from streamdrift.decoders.mapping import Steps
from streamdrift.decoders.times import INVALID, read_numbers, read_times
from streamdrift.records import Column, Floats, Ids, Ints, Kind, Vectors

_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}


def leaves(table: Any) -> dict[Steps, Any]:
    """Return the columns of a table whose structs are taken apart, by their paths.

    Raises TooLargeError where few bytes stand for many cells in them.
    """
    found: dict[Steps, Any] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        array = column.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # Of no chunks, or of more than one can hold.
            array = pa.concat_arrays(array.chunks)
        _spread(found, (name,), array)
    size = sum(map(_laid_out, found.values()))
    if size > MAX_UNPACKED_BYTES:
        raise TooLargeError(
            f"{size:,} bytes with its dictionaries laid out; {MAX_UNPACKED_BYTES:,} are read"
        )
    return found


def _spread(found: dict[Steps, Any], path: Steps, array: Any) -> None:
    if pa.types.is_struct(array.type) and len(path) < cells.MAX_DEPTH + 1:
        for place, inner in enumerate(array.flatten()):
            _spread(found, (*path, array.type.field(place).name), inner)
    else:
        found[path] = array


def _laid_out(array: Any, is_leaf: bool = True) -> int:
    """Return how many bytes an array takes at most whose cells stand one beside another."""
    kind, size = array.type, len(array)
    if isinstance(array, pa.ExtensionArray):
        return _laid_out(array.storage, is_leaf)
    if pa.types.is_dictionary(kind):
        if is_leaf and _is_text(kind.value_type):
            return int(array.dictionary.nbytes)  # Codes stay codes.
        return size * _largest(array.dictionary)
    if pa.types.is_run_end_encoded(kind):
        return size * _largest(array.values)
    if pa.types.is_union(kind):
        return size * max((_largest(array.field(n)) for n in range(kind.num_fields)), default=0)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        views = np.frombuffer(array.buffers()[1], dtype="<i4").reshape(-1, 4)
        return int(views[array.offset : array.offset + size, 0].sum(dtype=np.int64))
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return int(pc.sum(pc.list_value_length(array)).as_py() or 0) * _largest(array.values)
    if pa.types.is_struct(kind):
        return sum(_laid_out(array.field(n), False) for n in range(kind.num_fields))
    if pa.types.is_nested(kind):
        return _laid_out(array.values, False)
    return int(array.nbytes)


def _largest(values: Any) -> int:
    """Return the bytes of the largest of some cells, or of all where they are not plain."""
    kind = values.type
    if pa.types.is_primitive(kind) or pa.types.is_null(kind):
        return 8
    if _is_text(kind) or pa.types.is_binary(kind):
        return 8 + int(pc.max(pc.binary_length(values)).as_py() or 0)
    return 8 + _laid_out(values, False)


def coded(array: Any) -> tuple[Any, Ints]:
    """Return the values of an array, and which each cell has: as many as there are where null."""
    if not pa.types.is_dictionary(array.type):
        array = pc.dictionary_encode(array)
    codes = pc.fill_null(array.indices.cast(pa.int64()), len(array.dictionary))
    return array.dictionary, codes.to_numpy()


def to_column(array: Any) -> Column:
    """Return an array as a column; what JSON does not know is as near as can be."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if _is_text(kind.value_type):
            return _strings(array)
        return to_column(array.dictionary_decode())
    if pa.types.is_boolean(kind):
        return _numbers(_floats(array.cast(pa.uint8())), Kind.BOOLEAN)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(_floats(array), Kind.NUMBER)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        wide = pa.int32() if kind.bit_width == 32 else pa.int64()
        return _numbers(_floats(array.cast(wide)), Kind.NUMBER)
    if _is_text(kind):
        return _strings(array)
    if _is_list(kind) and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    ):
        return _lists(array)
    return cells.to_column(array.to_pylist())


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


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


def _strings(array: Any) -> Column:
    """Return the column of an array of texts."""
    values, indices = coded(array)
    texts = values.to_pylist()
    # A dictionary may hold a text twice, or null.
    places: dict[str | None, int] = {}
    mapped = [-1 if text is None else places.setdefault(text, len(places)) for text in texts]
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
    if pa.types.is_dictionary(kind):
        values, codes = coded(array)
        return np.append(times_of(values), INVALID)[codes]
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
    if pa.types.is_dictionary(array.type):
        values, codes = coded(array)
        return np.append(ids_of(values), np.uint64(0))[codes]
    if not _is_text(array.type):
        return hash_cells(array.to_pylist())
    wide = array.cast(pa.large_string())
    _, offsets, data = wide.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[wide.offset : wide.offset + len(wide) + 1]
    length = np.where(array.is_null().to_numpy(zero_copy_only=False), -1, np.diff(ends))
    texts = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
    return hash_spans(texts, ends[:-1].copy(), length)
