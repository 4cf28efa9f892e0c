"""The merge of partitions whose order keys are known: behind the exchange."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from streamdrift.columns import cut
from streamdrift.errors import StateError
from streamdrift.ordering.lane import START, Frontier, after, rows_below
from streamdrift.ordering.merge import merged
from streamdrift.records import Batch, Extent, Partition, Released, State
from streamdrift.trees import integer, optional_integer, text, tree, trees


class Bound(NamedTuple):
    """How far a partition is read, as it is told: from one offset to another, and its key."""

    partition: Partition
    start: int
    offset: int
    key: int | None


@dataclass(slots=True)
class _Held:
    """Batches of one partition; of each the first `released` events are let go."""

    place: int
    """Where in the exchange they stand."""
    batches: Sequence[Batch]
    released: list[int]
    least: int
    """The least key of these and of all that was pushed behind them."""

    @property
    def done(self) -> bool:
        return all(r == len(b) for r, b in zip(self.released, self.batches, strict=True))


@dataclass(slots=True)
class _Path:
    """One partition's events on their way through the merge."""

    offset: int | None = None
    """The one behind the last event that is told of; None before the first word of it."""
    key: int | None = None
    held: deque[_Held] = field(default_factory=deque)

    def push(self, held: _Held) -> None:
        """Hold batches behind the others; keys fall only where a topic was made anew."""
        for other in reversed(self.held):
            if other.least <= held.least:
                break
            other.least = held.least
        self.held.append(held)


class Junction:
    """Merges partitions by (key, topic, partition, offset, index), up to what all promise.

    All partitions that anybody knows are waited for. What is taken again after a restore is
    known by its place in the exchange: below the frontier everything of it was released.
    """

    def __init__(self) -> None:
        self._paths: dict[Partition, _Path] = {}
        """In the order of partitions."""
        self._extents: dict[str, Extent] = {}
        self._frontier = START
        self._next = 0
        """The place behind everything taken so far."""
        self._taken = 0
        """The place behind everything taken before the snapshot that this began with."""
        self._lifts: dict[int, int] = {}
        """By the place of events that wait: the key to which they were lifted."""
        self.lifted = 0
        """Events that came below the frontier, against a promise, and were lifted to it."""

    @property
    def frontier(self) -> Frontier:
        """The place in the order up to which everything is released."""
        return self._frontier

    @property
    def position(self) -> int:
        """Where in the exchange reading goes on from a snapshot of now."""
        return min(
            (path.held[0].place for path in self._paths.values() if path.held), default=self._next
        )

    @property
    def held(self) -> int:
        """How many events wait."""
        return sum(
            len(batch) - released
            for path in self._paths.values()
            for held in path.held
            for batch, released in zip(held.batches, held.released, strict=True)
        )

    def passed(self, place: int) -> None:
        """Learn that everything before a place of the exchange is taken."""
        self._next = max(self._next, place)

    def push(self, partition: Partition, batches: Iterable[Batch], place: int) -> None:
        """Take events of a partition, each batch's in order, that stand at a place."""
        self.passed(place + 1)
        kept = [batch for batch in batches if len(batch)]
        if place >= self._taken:
            below = sum(rows_below(batch, partition, self._frontier) for batch in kept)
            if below:
                self.lifted += below
                self._lifts[place] = self._frontier.watermark + 1
        if place in self._lifts:
            kept = [_lifted(batch, self._lifts[place]) for batch in kept]
        released = [rows_below(batch, partition, self._frontier) for batch in kept]
        least = min((int(batch.time[0]) for batch in kept), default=0)
        held = _Held(place, kept, released, least)
        if not held.done:
            self._path(partition).push(held)

    def hear(self, bounds: Iterable[Bound], known: Mapping[str, Extent], place: int) -> None:
        """Learn, by a word at a place, how far partitions are, and which there are by topic.

        Raises StateError where events are missing between this word and the last one.
        """
        self.passed(place + 1)
        if place < self._taken:
            return
        for topic, extent in known.items():
            self._learn(topic, extent)
        for partition, start, offset, key in bounds:
            extent = known.get(partition.topic, Extent(0, partition.number + 1))
            if not extent.partitions or extent.life < self._extent(partition.topic).life:
                continue  # Of a topic that is deleted: its offsets mean nothing any more.
            self._learn(partition.topic, extent._replace(partitions=partition.number + 1))
            path = self._path(partition)
            if path.offset is not None and start > path.offset:
                raise StateError(
                    f"events of {partition.topic} [{partition.number}] are missing from the "
                    f"exchange: those from offset {path.offset} to {start}",
                    "does anybody else write to the exchange, or was it made anew? Start with "
                    "--reset-state to begin anew",
                )
            path.offset = offset
            if key is not None:
                path.key = key if path.key is None else max(path.key, key)

    def _extent(self, topic: str) -> Extent:
        return self._extents.get(topic, Extent(0, 0))

    def _learn(self, topic: str, extent: Extent) -> None:
        """Wait for the partitions that a topic has now, and for none of a life before."""
        before = self._extent(topic)
        if topic in self._extents and extent <= before:
            return
        self._extents[topic] = extent
        if extent.life > before.life:
            for partition, path in self._paths.items():
                if partition.topic == topic:
                    path.offset = path.key = None
        for number in range(extent.partitions):
            self._path(Partition(topic, number))

    def _path(self, partition: Partition) -> _Path:
        path = self._paths.get(partition)
        if path is None:
            path = self._paths[partition] = _Path()
            self._paths = dict(sorted(self._paths.items()))
        return path

    def release(self) -> Released:
        """Return the events no later one can precede, one batch per group of a version."""
        if self._next >= self._taken:  # Before, what was held lies below it and is missing.
            self._frontier = max(self._frontier, self._low_watermark())
        pieces: dict[tuple[str, str, int], list[Batch]] = {}
        for partition, path in self._paths.items():
            for piece in self._pop(partition, path):
                pieces.setdefault((piece.model, piece.version, piece.group), []).append(piece)
        batches = tuple(merged(pieces[name]) for name in sorted(pieces))
        return Released(batches, self._frontier.watermark)

    def _low_watermark(self) -> Frontier:
        bounds = []
        for partition, path in self._paths.items():
            extent = self._extents.get(partition.topic)
            if extent is not None and partition.number >= extent.partitions:
                continue
            if path.key is None or path.offset is None:
                return START
            bounds.append(Frontier(path.key, *partition, path.offset))
        if not bounds:  # Everything is deleted: nothing comes that could be before what is held.
            held = [
                batch for path in self._paths.values() for h in path.held for batch in h.batches
            ]
            return max((after(int(batch.time[-1])) for batch in held), default=START)
        return min(bounds)

    def _pop(self, partition: Partition, path: _Path) -> Iterable[Batch]:
        for held in path.held:
            if held.least > self._frontier.key:
                break
            for i, batch in enumerate(held.batches):
                begin, end = held.released[i], rows_below(batch, partition, self._frontier)
                if end > begin:
                    held.released[i] = end
                    yield cut(batch, begin, end)
        while path.held and path.held[0].done:
            self._lifts.pop(path.held.popleft().place, None)

    def snapshot(self) -> State:
        """Return the state without the events held, which are taken again from `position`."""
        return {
            "frontier": self._frontier.snapshot(),
            "paths": [
                {
                    "topic": partition.topic,
                    "number": partition.number,
                    "offset": path.offset,
                    "key": path.key,
                }
                for partition, path in self._paths.items()
            ],
            "topics": [
                {"topic": topic, **extent._asdict()}
                for topic, extent in sorted(self._extents.items())
            ],
            "position": self.position,
            "taken": max(self._next, self._taken),
            "lifts": [{"place": place, "key": key} for place, key in sorted(self._lifts.items())],
            "lifted": self.lifted,
        }

    def restore(self, state: State) -> None:
        """Become what the snapshot was taken of."""
        self._frontier = Frontier.restore(tree(state, "frontier"))
        self._paths = {
            Partition(text(path, "topic"), integer(path, "number")): _Path(
                optional_integer(path, "offset"), optional_integer(path, "key")
            )
            for path in trees(state, "paths")
        }
        self._extents = {
            text(told, "topic"): Extent(*(integer(told, name) for name in Extent._fields))
            for told in trees(state, "topics")
        }
        self._lifts = {
            integer(lift, "place"): integer(lift, "key") for lift in trees(state, "lifts")
        }
        self._next, self._taken = integer(state, "position"), integer(state, "taken")
        self.lifted = integer(state, "lifted")


def _lifted(batch: Batch, key: int) -> Batch:
    return replace(batch, time=np.maximum(batch.time, key))
