"""Repeated events: whether an event's id was among the last ones of its model version."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from streamdrift.kernels.compiler import kernel
from streamdrift.records import (
    Batch,
    Codes,
    Column,
    ColumnKey,
    Floats,
    Group,
    Ids,
    Kind,
    State,
)

DUPLICATES = ColumnKey(Group.TRAFFIC, "duplicates")
"""BOOLEAN: whether an event's id is a repeated one; ABSENT where it has no id."""
_FEWEST = 256
"""Ids there is room for at first; a version with few never has more."""


class DuplicateSettings(BaseModel):
    """How far back a repeated event id is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(
        8_192,
        ge=0,
        le=1 << 24,
        description="Different event ids of a model version that are remembered, 8 bytes of state "
        "each: an id that comes again while it is one of the last so many is a repeat, later it "
        "is new. 0 watches no ids.",
    )


class RecentIds:
    """The last `window` different ids of a stream, by when each was new.

    A ring holds them in that order, and a hash table (open addressing, linear probing)
    their places in it. An id that is repeated keeps its place: repeats push nobody out.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._new = 0
        """Ids that were new; the next one goes to the place of this, modulo the window."""
        self._ring: Ids = np.empty(0, dtype=np.uint64)
        self._table: Codes = np.empty(0, dtype=np.int32)

    def observe(self, ids: Ids) -> Floats:
        """Take the ids uint64[n] of the next events.

        Returns float64[n]: 1 for a repeat, 0 for a new id, NaN where there is no id.
        """
        flags = np.full(len(ids), np.nan)
        if self._window and ids.any():
            self._make_room(self._new + len(ids))
            self._new = _observe(ids, self._new, self._window, self._ring, self._table, flags)
        return flags

    def _make_room(self, wanted: int) -> None:
        """Let the ring and the table grow to hold `wanted` ids, or the window if that is less."""
        room = min(self._window, max(wanted, _FEWEST))
        if len(self._ring) >= room:
            return
        # Doubling; so far nothing was let go, so ids stand at the places of their ordinals.
        ring = np.zeros(min(self._window, 1 << (room - 1).bit_length()), dtype=np.uint64)
        ring[: self._new] = self._ring[: self._new]
        self._ring = ring
        self._table = np.full(1 << (2 * len(ring) - 1).bit_length(), -1, dtype=np.int32)
        _enter_all(self._ring, self._new, self._table)

    def snapshot(self) -> State:
        """Return the ids, the oldest first; the table follows from them."""
        there = min(self._new, self._window)
        first = self._new % self._window if self._new > there else 0
        return {"ids": np.roll(self._ring[:there], -first), "new": self._new}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned, of the same window."""
        ids, new = np.asarray(state["ids"]), state["new"]
        assert isinstance(new, int)
        if len(ids):
            self._make_room(len(ids))
            first = new % self._window if new > len(ids) else 0
            self._ring[: len(ids)] = np.roll(ids, first)
            _enter_all(self._ring, len(ids), self._table)
        self._new = new


def with_flags(batch: Batch, flags: Floats) -> Batch:
    """Return the batch with the column DUPLICATES of the flags `RecentIds` gave it."""
    there = ~np.isnan(flags)
    if not there.any():
        return batch
    kinds = np.where(there, np.uint8(Kind.BOOLEAN), np.uint8(Kind.ABSENT))
    return replace(batch, columns={**batch.columns, DUPLICATES: Column(kinds, flags)})


def only_flags(batch: Batch) -> Batch:
    """Return the batch without all other columns."""
    there = batch.columns.get(DUPLICATES)
    return replace(batch, columns={} if there is None else {DUPLICATES: there})


@kernel
def _home(key: np.uint64, table: Codes) -> np.int64:
    """Return where in the table an id would best stand."""
    return np.int64(key & np.uint64(len(table) - 1))


@kernel
def _find(key: np.uint64, ring: Ids, table: Codes) -> np.int64:
    """Return the slot of the table that holds an id, or the empty one where it would go."""
    slot = _home(key, table)
    while table[slot] >= 0 and ring[table[slot]] != key:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@kernel
def _enter_all(ring: Ids, count: int, table: Codes) -> None:
    for place in range(count):
        table[_find(ring[place], ring, table)] = place


@kernel
def _forget(key: np.uint64, ring: Ids, table: Codes) -> None:
    """Empty the slot of an id, and move up those behind that it kept from a better one."""
    mask = len(table) - 1
    hole = _find(key, ring, table)
    probe = (hole + 1) & mask
    while table[probe] >= 0:
        home = _home(ring[table[probe]], table)
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            table[hole] = table[probe]
            hole = probe
        probe = (probe + 1) & mask
    table[hole] = -1


@kernel
def _observe(ids: Ids, new: int, window: int, ring: Ids, table: Codes, flags: Floats) -> int:
    """Flag the repeats among `ids`, remember the others; return how many were new so far."""
    for i in range(len(ids)):
        key = ids[i]
        if key == np.uint64(0):
            continue
        if table[_find(key, ring, table)] >= 0:
            flags[i] = 1.0
            continue
        flags[i] = 0.0
        place = new % window
        if new >= window:
            _forget(ring[place], ring, table)
        ring[place] = key
        table[_find(key, ring, table)] = place
        new += 1
    return new
