"""Snapshots as bytes: explicit, versioned, checksummed; never pickled.

Format 1: `SDST`, one byte with the format's version, the CRC-32C of all that follows (4
bytes, big-endian), the length of the JSON (8 bytes), the JSON, the arrays' bytes. The JSON
is `{"tree": ..., "arrays": [[dtype, shape, start], ...]}`; in the tree an array is
`{"$array": place}`. Arrays are little-endian, in C order.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from streamdrift.errors import StateError
from streamdrift.records import State, StateValue
from streamdrift.trees import Tree

FORMAT = 1
_MAGIC = b"SDST"
_HEAD = struct.Struct(">4sBIQ")
_ARRAY = "$array"
_KINDS = frozenset("biuf")
_RESET = "start with --reset-state to begin anew"


def encode(state: State) -> bytes:
    """Return a snapshot as bytes; raise TypeError where it holds anything but state values."""
    arrays: list[NDArray[np.generic]] = []
    tree = _lay_out(state, arrays)
    table = []
    start = 0
    for array in arrays:
        table.append([array.dtype.str, list(array.shape), start])
        start += array.nbytes
    text = json.dumps({"tree": tree, "arrays": table}, separators=(",", ":")).encode()
    body = b"".join([text, *(array.tobytes() for array in arrays)])
    return _HEAD.pack(_MAGIC, FORMAT, _checksum(len(text), body), len(text)) + body


def _checksum(length: int, body: bytes | memoryview) -> int:
    return crc32c(body, crc32c(length.to_bytes(8, "big")))


def _lay_out(value: StateValue, arrays: list[NDArray[np.generic]]) -> object:
    if value is None or (isinstance(value, bool | int | float | str) and not _is_numpy(value)):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {value.dtype} cannot be stored")
        order = value.dtype.newbyteorder("<")
        arrays.append(np.ascontiguousarray(value).astype(order, copy=False))
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and key != _ARRAY for key in value):
            raise TypeError("the keys of a snapshot are strings")
        return {key: _lay_out(item, arrays) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_lay_out(item, arrays) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be stored")


def _is_numpy(value: object) -> bool:
    return isinstance(value, np.generic)


def decode(data: bytes) -> State:
    """Return the snapshot that `encode` was given.

    Raises StateError where the bytes are damaged, or of a format this version does not know.
    """
    if len(data) < _HEAD.size or data[: len(_MAGIC)] != _MAGIC:
        raise StateError("the stored state is no snapshot of streamdrift", _RESET)
    _, version, checksum, length = _HEAD.unpack_from(data)
    if version != FORMAT:
        raise StateError(
            f"the stored state has format {version}, this version reads format {FORMAT}",
            f"run the version that wrote it, or {_RESET}",
        )
    body = memoryview(data)[_HEAD.size :]
    if _checksum(length, body) != checksum:
        raise StateError("the stored state is damaged: its checksum does not match", _RESET)
    document = json.loads(bytes(body[:length]))
    arrays = [
        _read_array(body[length:], dtype, tuple(shape), start)
        for dtype, shape, start in document["arrays"]
    ]
    return cast(State, _restore(document["tree"], arrays))


def _read_array(
    data: memoryview, dtype: str, shape: tuple[int, ...], start: int
) -> NDArray[np.generic]:
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    flat = np.frombuffer(data[start : start + size], dtype=kind)
    # A copy: what is restored is written to.
    return flat.reshape(shape).astype(kind.newbyteorder("="), copy=True)


def _restore(value: object, arrays: Sequence[NDArray[np.generic]]) -> object:
    if isinstance(value, dict):
        if _ARRAY in value:
            return arrays[value[_ARRAY]]
        return Tree({key: _restore(item, arrays) for key, item in value.items()})
    if isinstance(value, list):
        return [_restore(item, arrays) for item in value]
    return value
