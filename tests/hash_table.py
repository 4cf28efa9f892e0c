"""A table of some columns over a hash index: what the seam of keyed state is proved with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streamdrift.kernels.compiler import hash64, kernel
from streamdrift.records import Bools, Codes, Ids, Ints
from streamdrift.state.segments import Rows
from streamdrift.state.table import Changes

_NOWHERE = -1
"""The segment of a row that stands in none."""
_FEWEST = 1 << 10


class HashTable:
    """Rows stand at places of arrays, which an open-addressing index finds by their keys."""

    def __init__(self, columns: Mapping[str, DTypeLike]) -> None:
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty(0, kind) for name, kind in columns.items()
        }
        self._keys: Ids = np.empty(0, np.uint64)
        self._segments: Ints = np.empty(0, np.int64)
        self._put: Bools = np.empty(0, np.bool_)
        """Which rows were put since `changes` was called."""
        self._count = 0
        self._free: Codes = np.empty(0, np.int32)
        """A stack of the places without a row."""
        self._index: Codes = np.empty(0, np.int32)
        self._deleted: list[Ids] = []
        self._freed: list[Ints] = []

    def __len__(self) -> int:
        return self._count

    def put(self, rows: Rows) -> None:
        """Put rows, each key once."""
        places = self._enter(rows)
        self._put[places] = True

    def delete(self, keys: Ids) -> None:
        """Delete keys, those that are there."""
        keys, segments = self._leave(keys)
        logged = segments != _NOWHERE
        self._deleted.append(keys[logged])
        self._freed.append(segments[logged])

    def rows(self) -> Rows:
        """Return all rows, by key."""
        there = self._there()
        return self._at(there[np.argsort(self._keys[there])])

    def changes(self) -> Changes:
        places = np.flatnonzero(self._put)
        before = self._segments[places]
        self._put[places] = False
        self._segments[places] = _NOWHERE
        changes = Changes(
            np.concatenate([np.empty(0, np.uint64), *self._deleted]),
            self._at(places),
            np.concatenate([before[before != _NOWHERE], *self._freed]),
        )
        self._deleted, self._freed = [], []
        return changes

    def standing(self, first: int, last: int) -> Rows:
        return self._at(np.flatnonzero((self._segments >= first) & (self._segments <= last)))

    def logged(self, keys: Ids, segment: int) -> None:
        self._segments[_places(keys, self._keys, self._index)] = segment

    def load(self, segment: int, deleted: Ids, rows: Rows) -> Ints:
        _, gone = self._leave(deleted)
        places = self._enter(rows)
        before = self._segments[places]
        self._segments[places] = segment
        return np.concatenate([gone, before[before != _NOWHERE]])

    def _at(self, places: Ints) -> Rows:
        columns = {name: values[places] for name, values in self._columns.items()}
        return Rows(self._keys[places], columns)

    def _there(self) -> Ints:
        there = np.ones(len(self._keys), np.bool_)
        there[self._free[: len(self._keys) - self._count]] = False
        return np.flatnonzero(there)

    def _enter(self, rows: Rows) -> Ints:
        """Return the places of rows, which are there from now on."""
        self._make_room(self._count + len(rows.keys))
        places = np.empty(len(rows.keys), np.int64)
        self._count = _enter(rows.keys, self._count, self._keys, self._free, self._index, places)
        for name, values in self._columns.items():
            values[places] = rows.columns[name]
        return places

    def _leave(self, keys: Ids) -> tuple[Ids, Ints]:
        """Return which of the keys were there, and in which segments their rows stood."""
        places = np.empty(len(keys), np.int64)
        before = self._count
        if before:
            self._count = _leave(keys, before, self._keys, self._free, self._index, places)
        places = places[: before - self._count]
        segments = self._segments[places]
        self._segments[places] = _NOWHERE
        self._put[places] = False
        return self._keys[places], segments

    def _make_room(self, wanted: int) -> None:
        old = len(self._keys)
        if wanted <= old:
            return
        there = self._there()
        more = max(_FEWEST, 1 << (wanted - 1).bit_length()) - old
        self._keys = np.append(self._keys, np.zeros(more, np.uint64))
        self._segments = np.append(self._segments, np.full(more, _NOWHERE))
        self._put = np.append(self._put, np.zeros(more, np.bool_))
        for name, values in self._columns.items():
            self._columns[name] = np.append(values, np.zeros(more, values.dtype))
        free = self._free[: old - self._count]
        new = np.arange(old, old + more, dtype=np.int32)
        self._free = np.concatenate([free, new, np.empty(self._count, np.int32)])
        self._index = np.full(2 * (old + more), -1, np.int32)
        _index_all(there, self._keys, self._index)


@kernel
def _slot(key: np.uint64, keys: Ids, index: Codes) -> np.int64:
    """Return the slot of the index that holds a key, or the empty one where it would go."""
    mask = len(index) - 1
    slot = np.int64(hash64(key, 0) & np.uint64(mask))
    while index[slot] >= 0 and keys[index[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _index_all(places: Ints, keys: Ids, index: Codes) -> None:
    for place in places:
        index[_slot(keys[place], keys, index)] = place


@kernel
def _places(wanted: Ids, keys: Ids, index: Codes) -> Ints:
    """Return the places of keys that are there."""
    places = np.empty(len(wanted), np.int64)
    for i in range(len(wanted)):
        places[i] = index[_slot(wanted[i], keys, index)]
    return places


@kernel
def _enter(wanted: Ids, count: int, keys: Ids, free: Codes, index: Codes, places: Ints) -> int:
    """Find or make places for keys; return how many keys there are then."""
    for i in range(len(wanted)):
        slot = _slot(wanted[i], keys, index)
        if index[slot] < 0:
            index[slot] = free[len(keys) - count - 1]
            keys[index[slot]] = wanted[i]
            count += 1
        places[i] = index[slot]
    return count


@kernel
def _leave(wanted: Ids, count: int, keys: Ids, free: Codes, index: Codes, places: Ints) -> int:
    """Take keys out, those that are there, to `places`; return how many keys are left."""
    mask = len(index) - 1
    left = 0
    for i in range(len(wanted)):
        hole = _slot(wanted[i], keys, index)
        if index[hole] < 0:
            continue
        places[left] = index[hole]
        left += 1
        count -= 1
        free[len(keys) - count - 1] = index[hole]
        # Those behind that it kept from a better slot move up.
        probe = (hole + 1) & mask
        while index[probe] >= 0:
            home = np.int64(hash64(keys[index[probe]], 0) & np.uint64(mask))
            if ((probe - home) & mask) >= ((probe - hole) & mask):
                index[hole] = index[probe]
                hole = probe
            probe = (probe + 1) & mask
        index[hole] = -1
    return count
