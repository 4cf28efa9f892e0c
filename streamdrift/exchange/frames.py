"""What workers send each other, as bytes: columns stay columns.

Format 2: one byte with the format's version, the length of the JSON (4 bytes, big-endian),
the JSON, the arrays' bytes, little-endian. In the JSON an array is `[dtype, place, length]`,
and an array of whole numbers `[least, [dtype, place, length]]`, of which each is the distance
from the least. What is the same for all events, or follows from the rest, is not written.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamdrift.changes import Heard
from streamdrift.columns import canonical
from streamdrift.errors import StateError
from streamdrift.incidents.steps import read_step, step_state
from streamdrift.records import (
    Batch,
    Codes,
    Column,
    ColumnKey,
    Extent,
    Floats,
    Group,
    Kind,
    Partition,
    Vectors,
)
from streamdrift.state.codec import decode as decode_state
from streamdrift.state.codec import encode as encode_state

FORMAT = 2
_HEAD = struct.Struct(">BI")
_UNSIGNED = tuple(
    (kind, int(np.iinfo(kind).max)) for kind in (np.uint8, np.uint16, np.uint32, np.uint64)
)
# Members of an enumeration are slow to compare an array with.
_NUMBER, _BOOLEAN = int(Kind.NUMBER), int(Kind.BOOLEAN)
_WHOLE = ("|u1", "<u2", "<u4", "<u8")
_RUBBISH = (
    ValueError, TypeError, LookupError, AttributeError, OverflowError, AssertionError, StateError
)  # fmt: skip
_HINT = "let all workers run one version, and nobody else write to the exchange"


class Reach(NamedTuple):
    """How far a partition of the input is read, and what can still come."""

    partition: Partition
    start: int
    """The offset at which the events since the last reach begin."""
    offset: int
    """The one behind them."""
    key: int | None
    """No later event's order key is below this; None where nothing is sure yet."""
    last: int | None
    """The order key of the last event, None where there was none."""
    idle: bool
    """Whether the partition was read to its end, and rests."""
    begun: bool = True
    """Whether its events may come: not by the first word of one that is new."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a worker has read its partitions, by one commit."""

    reaches: tuple[Reach, ...]
    known: Mapping[str, Extent]
    """Partitions of every topic of the input that the worker knows, by topic."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one partition of the input: their times are their order keys."""

    partition: Partition
    batches: tuple[Batch, ...]


Frame = Progress | Events | Heard


def encode(frame: Frame) -> bytes:
    """Return a frame as bytes."""
    arrays = _Arrays()
    document: dict[str, Any]
    if isinstance(frame, Progress):
        reaches = [[*each.partition, *each[1:]] for each in frame.reaches]
        known = {topic: list(extent) for topic, extent in frame.known.items()}
        document = {"reaches": reaches, "known": known}
    elif isinstance(frame, Events):
        batches = [_lay_out(canonical(batch), arrays) for batch in frame.batches]
        document = {"partition": list(frame.partition), "batches": batches}
    else:
        steps = encode_state({"steps": [step_state(step) for step in frame.steps]})
        place = arrays.put(np.frombuffer(steps, dtype=np.uint8))
        document = {"shard": frame.shard, "watermark": frame.watermark, "steps": place}
    text = orjson.dumps(document)
    return b"".join([_HEAD.pack(FORMAT, len(text)), text, *arrays.pieces])


def decode(data: memoryview) -> Frame:
    """Return the frame that `encode` was given.

    Raises StateError where the bytes are none of a format this version knows.
    """
    if len(data) < _HEAD.size:
        raise StateError(f"a frame of the exchange has {len(data)} bytes only", _HINT)
    version, length = _HEAD.unpack_from(data)
    if version != FORMAT:
        raise StateError(
            f"a frame of the exchange has format {version}, this version reads {FORMAT}", _HINT
        )
    start = _HEAD.size + length
    try:
        return _read_frame(orjson.loads(data[_HEAD.size : start]), data[start:])
    except _RUBBISH as error:
        raise StateError(f"a frame of the exchange cannot be read: {error!r}", _HINT) from error


def _read_frame(document: Any, arrays: memoryview) -> Frame:
    """Return a frame; raise one of _RUBBISH where there is none."""
    if "reaches" in document:
        known = {topic: Extent(*map(_int, told)) for topic, told in document["known"].items()}
        return Progress(tuple(map(_read_reach, document["reaches"])), known)
    if "batches" in document:
        partition = _read_partition(*document["partition"])
        return Events(
            partition, tuple(_read(batch, partition, arrays) for batch in document["batches"])
        )
    steps = decode_state(_plain(document["steps"], arrays, "|u1").tobytes())["steps"]
    assert isinstance(steps, list)
    shard, watermark = _int(document["shard"]), _int(document["watermark"])
    return Heard(shard, watermark, tuple(map(read_step, steps)))


def _read_partition(topic: Any, number: Any) -> Partition:
    return Partition(_text(topic), _int(number))


def _read_reach(values: Sequence[Any]) -> Reach:
    topic, number, start, offset, key, last, idle, begun = values
    return Reach(
        _read_partition(topic, number),
        _int(start),
        _int(offset),
        None if key is None else _int(key),
        None if last is None else _int(last),
        bool(idle),
        bool(begun),
    )


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"no whole number: {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r}")
    return value


class _Arrays:
    """The arrays of one frame, one after the other."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._size = 0

    def put(self, values: NDArray[Any]) -> list[Any]:
        """Add an array as it is."""
        values = np.ascontiguousarray(values)
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        piece = values.tobytes()
        self.pieces.append(piece)
        place, self._size = self._size, self._size + len(piece)
        return [values.dtype.str, place, len(values)]

    def put_whole(self, values: NDArray[Any]) -> list[Any]:
        """Add whole numbers, in as few bytes as their range allows."""
        if not len(values):
            return [0, self.put(values.astype(np.uint8))]
        least, most = int(values.min()), int(values.max())
        if least == most:
            return [least, len(values)]
        kind = next(kind for kind, largest in _UNSIGNED if most - least <= largest)
        return [least, self.put((values - values.dtype.type(least)).astype(kind))]


def _plain(told: Sequence[Any], arrays: memoryview, *dtypes: str) -> NDArray[Any]:
    """Return an array of one of the `dtypes`."""
    dtype, place, length = told
    if dtype not in dtypes or _int(length) < 0:
        raise ValueError(f"no array of {' or '.join(dtypes)}: {told}")
    # A copy lies as kernels want it: aligned, and to be written to.
    found: NDArray[Any] = np.frombuffer(arrays, dtype, length, _int(place)).copy()
    return found


def _whole(
    told: Sequence[Any], arrays: memoryview, kind: type[np.integer[Any]], size: int
) -> NDArray[Any]:
    least, rest = kind(_int(told[0])), told[1]
    if isinstance(rest, int):
        _check_size(rest, size)
        return np.full(size, least, dtype=kind)
    _check_size(rest[2], size)
    # Distances may need all 64 bits: adding wraps around to the right number.
    found: NDArray[Any] = _plain(rest, arrays, *_WHOLE).astype(kind) + least
    return found


def _check_size(found: Any, size: int) -> None:
    if found != size:
        raise ValueError(f"an array of {found} where {size} belong")


def _size(told: Mapping[str, Any]) -> int:
    """Return how many events there are: checked before any memory is taken for them."""
    rests = [told[name][1] for name in ("offset", "index")]
    size = _int(rests[0] if isinstance(rests[0], int) else rests[0][2])
    # No two events have one place, so of several the places are not all one number.
    if size < 0 or (size > 1 and all(isinstance(rest, int) for rest in rests)):
        raise ValueError(f"{size} events")
    return size


def _lay_out(batch: Batch, arrays: _Arrays) -> dict[str, Any]:
    return {
        "of": [batch.model, batch.version, batch.group],
        "offset": arrays.put_whole(batch.offset),
        "index": arrays.put_whole(batch.index),
        "time": arrays.put_whole(batch.time),
        "ids": arrays.put(batch.ids) if batch.ids.any() else None,
        "columns": [
            [key.group.value, key.name, *_lay_out_column(column, arrays)]
            for key, column in batch.columns.items()
        ],
    }


def _read(told: Mapping[str, Any], partition: Partition, arrays: memoryview) -> Batch:
    size = _size(told)
    model, version, group = told["of"]
    ids = np.zeros(size, np.uint64)
    if told["ids"] is not None:
        ids = _plain(told["ids"], arrays, "<u8")
        _check_size(len(ids), size)
    return Batch(
        model=_text(model),
        version=_text(version),
        partitions=(partition,),
        partition=np.zeros(size, dtype=np.int32),
        offset=_whole(told["offset"], arrays, np.int64, size),
        index=_whole(told["index"], arrays, np.int32, size),
        ids=ids,
        time=_whole(told["time"], arrays, np.int64, size),
        columns={
            ColumnKey(Group(of), _text(name)): _read_column(size, arrays, *column)
            for of, name, *column in told["columns"]
        },
        group=_int(group),
    )


def _lay_out_column(column: Column, arrays: _Arrays) -> list[Any]:
    """Return kinds, numbers, strings and vectors."""
    there = _has_number(column.kinds)
    numbers = column.numbers if there.all() else column.numbers[there]
    flags = not (column.kinds == _NUMBER).any()
    vectors = column.vectors
    return [
        arrays.put_whole(column.kinds),
        arrays.put(numbers.astype(np.uint8) if flags else numbers),
        None if column.codes is None else [arrays.put_whole(column.codes), column.strings],
        None
        if vectors is None
        else [arrays.put(vectors.flat), *map(arrays.put_whole, (vectors.start, vectors.length))],
    ]


def _has_number(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (kinds == _NUMBER) | (kinds == _BOOLEAN)
    return found


def _read_column(
    size: int, arrays: memoryview, kinds: Any, numbers: Any, strings: Any, vectors: Any
) -> Column:
    read: NDArray[np.uint8] = _whole(kinds, arrays, np.uint8, size)
    there = _has_number(read)
    values: Floats = np.full(size, np.nan)
    values[there] = _plain(numbers, arrays, "<f8", "|u1")
    codes: Codes | None = None
    names: tuple[str, ...] = ()
    if strings is not None:
        codes, names = _whole(strings[0], arrays, np.int32, size), tuple(map(_text, strings[1]))
        _check_range(codes, -1, len(names))
    return Column(
        kinds=read,
        numbers=values,
        codes=codes,
        strings=names,
        vectors=None if vectors is None else _read_vectors(size, arrays, *vectors),
    )


def _read_vectors(size: int, arrays: memoryview, flat: Any, start: Any, length: Any) -> Vectors:
    found = Vectors(
        _plain(flat, arrays, "<f8"),
        _whole(start, arrays, np.int64, size),
        _whole(length, arrays, np.int64, size),
    )
    _check_range(found.length, 0, len(found.flat) + 1)
    _check_range(found.start, 0, len(found.flat) + 1)
    _check_range(found.start + found.length, 0, len(found.flat) + 1)
    return found


def _check_range(values: NDArray[Any], least: int, end: int) -> None:
    if len(values) and not (values.min() >= least and values.max() < end):
        raise ValueError(f"a number that is not between {least} and {end}")
