"""One partition on its way into the merge: its clock, its floors and the rows it holds."""

from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from streamdrift.columns import cut, take
from streamdrift.ordering.clock import advance, events, last_key, new_clock
from streamdrift.records import Batch, Decoded, Floor, Ints, Partition, Released, State
from streamdrift.trees import array, flag, integer, optional_integer, text


class Frontier(NamedTuple):
    """A place in the order of all events: those strictly below it are released.

    An empty topic stands before every partition's events of that key.
    """

    key: int
    topic: str
    number: int
    offset: int

    @property
    def watermark(self) -> int:
        """The largest key a released event may have."""
        return self.key if self.topic else self.key - 1

    def snapshot(self) -> State:
        """Return the place as a tree."""
        return self._asdict()

    @classmethod
    def restore(cls, state: State) -> "Frontier":
        """Return the place whose tree this is."""
        return cls(
            integer(state, "key"),
            text(state, "topic"),
            integer(state, "number"),
            integer(state, "offset"),
        )


def after(time: int) -> Frontier:
    """Return the place behind every event with a key up to `time`."""
    return Frontier(time + 1, "", -1, 0)


START = after(int(np.iinfo(np.int64).min))
"""The frontier before anything is released."""


def released_below(batch: Batch, frontier: Frontier) -> int:
    """Return how many events of a released batch, its first ones, lie below the frontier."""
    low = np.searchsorted(batch.time, frontier.key, side="left")
    high = np.searchsorted(batch.time, frontier.key, side="right")
    there = Partition(frontier.topic, frontier.number)
    places = batch.partition[low:high]
    before = np.array([each < there for each in batch.partitions], dtype=np.bool_)
    same = np.array([each == there for each in batch.partitions], dtype=np.bool_)
    below = before[places] | (same[places] & (batch.offset[low:high] < frontier.offset))
    return int(low) + int(below.sum())


def divided(released: Released, frontier: Frontier) -> tuple[Released, Released]:
    """Return what lies below a place in the order, and the rest."""
    below, rest = [], []
    for batch in released.batches:
        count = released_below(batch, frontier)
        below.append(cut(batch, 0, count))
        rest.append(cut(batch, count, len(batch)))
    first = tuple(batch for batch in below if len(batch))
    last = tuple(batch for batch in rest if len(batch))
    return Released(first, frontier.watermark), Released(last, released.watermark)


@dataclass(slots=True)
class _Chunk:
    """The events of one `Decoded`, keys in `time`, each batch in the order of its events."""

    start: int
    """The offset at which reading this chunk begins."""
    clock: Ints
    """The partition's clock before it."""
    batches: list[Batch]
    released: list[int]
    """Events of each batch already released: always its first ones, as keys never fall."""


class Lane:
    """One partition's events between decoding and release.

    `fresh`: its next event may lie below what is released (the partition is new, or was
    idle), so it is held against the frontier. `seen`: the offset up to which it was read
    before a restart; what is read again below it has been ordered already.
    """

    def __init__(self, partition: Partition, *, believed: bool) -> None:
        self.partition = partition
        self.believed = believed
        self.clock = new_clock()
        self.held = 0
        self.fresh = True
        self._idle = False
        self.read_to: int | None = None
        """The offset behind the last message; before the first where reading begins, if known."""
        self._seen: int | None = None
        self._chunks: deque[_Chunk] = deque()
        self._floors: list[tuple[int, int]] = []
        """(offset, key), by offset."""
        self._promises: dict[int, Frontier] = {}
        """By offset: below what place the first event from there on must not fall."""

    @property
    def holding(self) -> bool:
        """Whether the merge waits for this partition."""
        return not self._idle or self._reading_again()

    @property
    def has_floors(self) -> bool:
        """Whether it was given a floor already."""
        return bool(self._floors)

    @property
    def position(self) -> int | None:
        """Where reading resumes from a snapshot of now; None where nothing is known of it."""
        return self._chunks[0].start if self._chunks else self.read_to

    @property
    def seen(self) -> int | None:
        """The offset up to which it was ever read; None before the first message."""
        return self._seen

    def read_past(self, offset: int) -> bool:
        """Tell whether the message at `offset` is read, in this life, or is not there any more."""
        return self._idle or (self.read_to or 0) > offset

    def _reading_again(self) -> bool:
        return self._seen is not None and (self.read_to or 0) < self._seen

    def idle(self) -> None:
        """Hold nobody back until the next event: all there is has been read.

        What was seen before a restart and has not been read again by now is gone.
        """
        self._seen = self.read_to
        self._idle = True
        self.fresh = True

    def foresee(self, floor: Floor) -> None:
        """Take a floor from the journal, before the events it concerns are pushed."""
        entry = (floor.offset, floor.key)
        if entry not in self._floors:
            insort(self._floors, entry)

    def floor_at(self, offset: int) -> int:
        """Return the greatest key of its floors that hold from an offset on."""
        return max((key for start, key in self._floors if start == offset), default=START.watermark)

    def guard(self, frontier: Frontier) -> Floor | None:
        """Promise that no later event falls below the frontier; None where that is sure."""
        if not self.fresh or (self.bound() or START) >= frontier:
            return None
        offset = self._seen or 0
        floor = Floor(self.partition, offset, frontier.watermark + 1)
        if any(passed <= offset and key >= floor.key for passed, key in self._floors):
            return None
        self.foresee(floor)
        return floor

    def promise(self, offset: int, frontier: Frontier) -> None:
        """Let the first event from `offset` on, whenever it comes, not fall below a place.

        That of a shard which has observed everything below it: it would miss the event.
        """
        self._promises[offset] = max(self._promises.get(offset, START), frontier)

    def bound(self) -> Frontier | None:
        """Return the place no later event falls below; None before the first event."""
        if events(self.clock) == 0:
            return None
        assert self.read_to is not None
        key = last_key(self.clock)
        for offset, floor in self._floors:
            if offset <= self.read_to:
                key = max(key, floor)
        return Frontier(key, *self.partition, self.read_to)

    def push(self, decoded: Decoded, frontier: Frontier, max_skew: int) -> list[Floor]:
        """Take the partition's next events; return the floors they had to be lifted to."""
        start, self.read_to = self.read_to, decoded.next_offset
        batches = [by_offset(batch) for batch in decoded.batches if len(batch)]
        if not batches:
            self._seen = max(self._seen or 0, decoded.next_offset)
            return []
        order, offsets, times = interleave(batches)
        if start is None:
            start = int(offsets[0])
        clock = self.clock.copy()
        keys = advance(self.clock, times, max_skew, self.believed)
        self._lift(keys, offsets)
        floors = self._keep_promises(keys, offsets) + self._wake(keys, offsets, frontier)
        keyed = with_keys(batches, keys, order)
        again = self._seen is not None and start < self._seen
        released = [rows_below(batch, self.partition, frontier) if again else 0 for batch in keyed]
        if sum(released) < len(keys):
            self._chunks.append(_Chunk(start, clock, keyed, released))
            self.held += len(keys) - sum(released)
        self._seen = max(self._seen or 0, decoded.next_offset)
        return floors

    def _lift(self, keys: Ints, offsets: Ints) -> None:
        for offset, floor in self._floors:
            first = int(np.searchsorted(offsets, offset))
            np.maximum(keys[first:], floor, out=keys[first:])

    def _keep_promises(self, keys: Ints, offsets: Ints) -> list[Floor]:
        """Lift the first events that something was promised of, if they lie below that."""
        floors = []
        for start in [each for each in self._promises if each <= offsets[-1]]:
            first = int(np.searchsorted(offsets, start))
            floors += self._lift_above(keys, offsets, first, self._promises.pop(start))
        return floors

    def _wake(self, keys: Ints, offsets: Ints, frontier: Frontier) -> list[Floor]:
        """Lift the first new events above the frontier if they lie below it."""
        first = 0 if self._seen is None else int(np.searchsorted(offsets, self._seen))
        if first == len(offsets):
            return []
        fresh, self.fresh, self._idle = self.fresh, False, False
        return self._lift_above(keys, offsets, first, frontier) if fresh else []

    def _lift_above(self, keys: Ints, offsets: Ints, first: int, frontier: Frontier) -> list[Floor]:
        """Lift the events from `first` on above the frontier if the first lies below it."""
        offset = int(offsets[first])
        if Frontier(int(keys[first]), *self.partition, offset) >= frontier:
            return []
        floor = Floor(self.partition, offset, frontier.watermark + 1)
        self.foresee(floor)
        np.maximum(keys[first:], floor.key, out=keys[first:])
        return [floor]

    def pop(self, frontier: Frontier) -> list[Batch]:
        """Return the held events below the frontier, those of one batch in order."""
        pieces = []
        while self._chunks:
            chunk = self._chunks[0]
            for i, batch in enumerate(chunk.batches):
                start, stop = chunk.released[i], rows_below(batch, self.partition, frontier)
                if stop > start:
                    pieces.append(cut(batch, start, stop))
                    chunk.released[i] = stop
                    self.held -= stop - start
            if any(
                released < len(batch)
                for released, batch in zip(chunk.released, chunk.batches, strict=True)
            ):
                break
            self._chunks.popleft()
        return pieces

    def snapshot(self) -> State:
        """Return the state at `position`, without the rows held: they will be read again."""
        position = self.position
        return {
            "topic": self.partition.topic,
            "number": self.partition.number,
            "believed": self.believed,
            "clock": (self._chunks[0].clock if self._chunks else self.clock).copy(),
            "position": position,
            "seen": self._seen,
            "fresh": self.fresh,
            "floors": np.array(self._pruned(position), dtype=np.int64).reshape(-1, 2),
        }

    def _pruned(self, position: int | None) -> list[tuple[int, int]]:
        """Return the floors, those passed before `position` folded into the last of them."""
        passed = [entry for entry in self._floors if position is not None and entry[0] <= position]
        return [*passed[-1:], *self._floors[len(passed) :]]

    def prune(self) -> None:
        """Forget the floors that a later one replaces."""
        if len(self._floors) > 1:
            self._floors = self._pruned(self.position)

    @classmethod
    def restore(cls, state: State) -> "Lane":
        """Return the lane as it was at its snapshot's position.

        An idle one holds the merge again: it may have events by now.
        """
        partition = Partition(text(state, "topic"), integer(state, "number"))
        lane = cls(partition, believed=flag(state, "believed"))
        lane.clock = array(state, "clock").astype(np.int64)
        lane.fresh = flag(state, "fresh")
        lane.read_to = optional_integer(state, "position")
        lane._seen = optional_integer(state, "seen")
        lane._floors = [(int(offset), int(key)) for offset, key in array(state, "floors")]
        return lane


def rows_below(batch: Batch, partition: Partition, frontier: Frontier) -> int:
    """Return how many events of a partition's `batch`, its first ones, lie below the frontier."""
    low = int(np.searchsorted(batch.time, frontier.key, side="left"))
    there = (frontier.topic, frontier.number)
    if partition > there:
        return low
    high = int(np.searchsorted(batch.time, frontier.key, side="right"))
    if partition < there:
        return high
    return low + int(np.searchsorted(batch.offset[low:high], frontier.offset))


def by_offset(batch: Batch) -> Batch:
    """Return the batch with its events by (offset, index), as most decoders bring them."""
    steps = np.diff(batch.offset)
    rises = (steps > 0) | ((steps == 0) & (np.diff(batch.index) > 0))
    if rises.all():
        return batch
    return take(batch, np.lexsort((batch.index, batch.offset)))


def interleave(batches: Sequence[Batch]) -> tuple[Ints | None, Ints, Ints]:
    """Return the order of several batches' events by (offset, index), offsets and times in it.

    The order is None where there is one batch.
    """
    if len(batches) == 1:
        return None, batches[0].offset, batches[0].time
    offsets = np.concatenate([batch.offset for batch in batches])
    indices = np.concatenate([batch.index for batch in batches])
    times = np.concatenate([batch.time for batch in batches])
    order = np.lexsort((indices, offsets)) if indices.any() else np.argsort(offsets, kind="stable")
    return order, offsets[order], times[order]


def with_keys(batches: Sequence[Batch], keys: Ints, order: Ints | None) -> list[Batch]:
    """Return the batches with their keys (given in `order`) in the place of their times."""
    if order is None:
        return [replace(batches[0], time=keys)]
    scattered = np.empty_like(keys)
    scattered[order] = keys
    ends = np.cumsum([len(batch) for batch in batches])
    parts = np.split(scattered, ends[:-1])
    return [replace(batch, time=part) for batch, part in zip(batches, parts, strict=True)]
