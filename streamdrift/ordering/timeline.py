"""One partition on its way to the exchange: event times in, order keys that never fall out."""

import base64
from typing import NamedTuple

import numpy as np

from streamdrift.errors import StateError
from streamdrift.ordering.clock import advance, events, last_key, late, new_clock, unbelieved
from streamdrift.ordering.lane import by_offset, interleave, with_keys
from streamdrift.records import Batch, Decoded, Extent, Floor, Partition

_FORMAT = 1
_HEAD = 7
"""Numbers in the notes before the clock's."""
_NONE = np.iinfo(np.int64).min
_ANY = Extent(0, 0)


class Keyed(NamedTuple):
    """Events of one partition with their order keys in the place of their times."""

    batches: tuple[Batch, ...]
    floor: Floor | None
    """Given where the events were lifted by a promise: a replay needs it."""


class Timeline:
    """The clock of one partition of the input, and what was promised of it.

    A promise is a key that no later event falls below. It is made while the partition rests,
    so that it holds nobody back; an event that is older all the same is lifted to it. `terms`
    tell the settings by which the partition is read: 64 bits that must stay as they are.
    `meant` tells which topic it is of, among those of its name.
    """

    def __init__(
        self, partition: Partition, offset: int, terms: int = 0, meant: Extent = _ANY
    ) -> None:
        self.partition = partition
        self.terms = terms
        self.offset = offset
        """Where reading goes on."""
        self.announced = False
        """Whether the others are to be told of the partition."""
        self.taking_part = False
        """Whether they have been, so that its events may be sent."""
        self.meant = meant
        self._clock = new_clock()
        self._promised: int | None = None
        self._journaled: int | None = None

    @property
    def key(self) -> int | None:
        """The key no later event falls below; None where nothing is sure yet."""
        last = self.last
        if last is None or self._promised is None:
            return self._promised if last is None else last
        return max(last, self._promised)

    @property
    def last(self) -> int | None:
        """The clock's time at the last event, None before the first."""
        return last_key(self._clock) if events(self._clock) else None

    @property
    def displaced(self) -> tuple[int, int]:
        """How many events were late, and how many were not believed."""
        return late(self._clock), unbelieved(self._clock)

    def push(self, decoded: Decoded, max_skew: int) -> Keyed:
        """Take the partition's next events."""
        self.offset = decoded.next_offset
        batches = [by_offset(batch) for batch in decoded.batches if len(batch)]
        if not batches:
            return Keyed((), None)
        order, offsets, times = interleave(batches)
        keys = advance(self._clock, times, max_skew, False)
        floor = None
        promised = self._promised
        if promised is not None and keys[0] < promised:
            if self._journaled != promised:
                floor = Floor(self.partition, int(offsets[0]), promised)
                self._journaled = promised
            np.maximum(keys, promised, out=keys)
        return Keyed(tuple(with_keys(batches, keys, order)), floor)

    def promise(self, key: int) -> None:
        """Promise that no later event has a key below `key`."""
        if self.key is None or key > self.key:
            self._promised = key

    def leave(self) -> None:
        """Take part no more, as the topic is read no more; what was read of it counts."""
        self.taking_part = False
        self.meant = Extent(self.meant.life + 1, 0, self.meant.identity)

    def take_up(self, meant: Extent, begin: int) -> None:
        """Be of what is meant by the topic's name now; of another topic, from its beginning.

        Of another life, too, it takes part once the others know.
        """
        if self.meant.is_same(meant):
            return
        self.taking_part = False
        if self.meant.identity != meant.identity:
            self.offset = begin
            if self.key is not None:
                # Above all that was promised, as the order goes by offsets where keys are equal.
                self.promise(self.key + 1)
        self.meant = meant

    def written(self) -> str:
        """Return everything that decides what comes next, but the offset, as a short text."""
        head = [_FORMAT, self.terms, self.taking_part, self.meant.life, self.meant.identity]
        rest = (self._promised, self._journaled)
        head += [_NONE if each is None else each for each in rest]
        values = np.concatenate([np.array(head, dtype=np.int64), self._clock])
        return base64.b64encode(values.astype("<i8").tobytes()).decode()

    @classmethod
    def read(cls, partition: Partition, offset: int, text: str, terms: int = 0) -> "Timeline":
        """Return the timeline that was `written`.

        Raises StateError where the text is none, or of other terms.
        """
        timeline = cls(partition, offset, terms)
        try:
            values = np.frombuffer(base64.b64decode(text, validate=True), "<i8").astype(np.int64)
        except ValueError:
            values = np.empty(0, dtype=np.int64)
        if len(values) != _HEAD + len(timeline._clock) or values[0] != _FORMAT:
            raise StateError(
                f"the committed offset of {partition.topic} [{partition.number}] does not bear "
                "this version's notes",
                "let nobody else commit offsets for the deployment's group; begin anew with "
                "--reset-state, or under another name",
            )
        if values[1] != terms:
            raise StateError(
                "source.format, source.mapping, shards or feature_groups are others than those by "
                f"which {partition.topic} [{partition.number}] was read, and what follows from it "
                "is in the shards",
                "change them back, start with --reset-state to begin anew, or run a deployment "
                "of another name beside this one; `streamdrift state reshard` changes shards",
            )
        timeline.taking_part = bool(values[2])
        timeline.meant = Extent(int(values[3]), 0, int(values[4]))
        rest = [None if each == _NONE else each for each in values[5:_HEAD].tolist()]
        timeline._promised, timeline._journaled = rest
        timeline._clock = values[_HEAD:].copy()
        return timeline
