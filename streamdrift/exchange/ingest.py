"""The ingest side: from the messages of a worker's partitions to frames for every shard.

It keeps no state but each partition's timeline, which is committed with its offset.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from streamdrift.columns import cut, join
from streamdrift.decoders import Decoder
from streamdrift.exchange.frames import Events, Progress, Reach, encode
from streamdrift.models.groups import divide
from streamdrift.monitoring.shards import shard_of
from streamdrift.ordering.timeline import Timeline
from streamdrift.records import (
    Batch,
    Codes,
    Column,
    DeadLetter,
    Decoded,
    Extent,
    Floor,
    Ints,
    Kind,
    Messages,
    Partition,
)

FRAME_BYTES = 900_000
"""A frame of several events is no larger."""
MESSAGE_BYTES = 1_000_000
"""What a larger message holds might not pass the exchange in any number of frames."""
_NUMBER = int(Kind.NUMBER)
_PLACE_BYTES = 14
"""About what an event has beside its columns: offset, time and id."""


class Addressed(NamedTuple):
    """A frame, and the partition of the exchange it is for."""

    shard: int
    frame: bytes


class Ingest:
    """Decodes, orders within partitions, and divides among the shards.

    `decoder_of` gives the decoder of a topic, `groups_of` the number of a model's groups.
    The partition of the exchange after the last shard's has the progress alone.
    """

    def __init__(
        self,
        decoder_of: Callable[[str], Decoder],
        groups_of: Callable[[str], int],
        shards: int,
        max_skew: int,
    ) -> None:
        self._decoder_of = decoder_of
        self._groups_of = groups_of
        self._shards = shards
        self._max_skew = max_skew
        self._decoders: dict[str, Decoder] = {}
        self.timelines: dict[Partition, Timeline] = {}
        """Those of the partitions that this worker reads."""
        self._pending: dict[tuple[int, Partition], list[Batch]] = {}
        self._floors: list[Floor] = []
        self._starts: dict[Partition, int] = {}
        """Where the events of each partition begin that are not told of yet."""
        self._told: dict[Partition, Reach] = {}
        """The reaches last told."""

    @property
    def pending_events(self) -> int:
        """How many events are not in a frame yet; those of divided models once a group."""
        return sum(len(batch) for batches in self._pending.values() for batch in batches)

    def add(self, timeline: Timeline) -> None:
        """Take up a partition, or take it up anew where it is now."""
        self.drop(timeline.partition)
        self.timelines[timeline.partition] = timeline
        self._starts[timeline.partition] = timeline.offset

    def drop(self, partition: Partition) -> None:
        """Leave a partition to another worker, with what is not in a frame yet."""
        self.timelines.pop(partition, None)
        self._starts.pop(partition, None)
        self._told.pop(partition, None)
        for place in [place for place in self._pending if place[1] == partition]:
            del self._pending[place]
        self._floors = [floor for floor in self._floors if floor.partition != partition]

    def feed(self, messages: Messages) -> Decoded:
        """Take the next messages of a partition; return what they held."""
        topic = messages.partition.topic
        decoder = self._decoders.get(topic)
        if decoder is None:
            decoder = self._decoders[topic] = self._decoder_of(topic)
        fitting, letters = _without_large(messages)
        decoded = decoder.decode(fitting)
        if letters:
            decoded = replace(decoded, dead_letters=(*decoded.dead_letters, *letters))
        keyed = self.timelines[messages.partition].push(decoded, self._max_skew)
        if keyed.floor is not None:
            self._floors.append(keyed.floor)
        for batch in keyed.batches:
            for part in divide(batch, self._groups_of(batch.model)):
                shard = shard_of(part.model, part.group, self._shards)
                self._pending.setdefault((shard, messages.partition), []).append(part)
        return decoded

    def progress(
        self, idle: Iterable[Partition], known: Mapping[str, Extent], *, everything: bool
    ) -> Progress | None:
        """Return how far the partitions are that moved since this was `told`, or `everything`.

        None where there is nothing to tell. Nothing is told of topics that are deleted, also
        where there is another under the name by now that is not taken up.
        """
        resting = set(idle)
        reaches = []
        for partition, timeline in self.timelines.items():
            meant = known.get(partition.topic, timeline.meant)
            told_of = timeline.announced or timeline.taking_part
            if not told_of or not meant.is_same(timeline.meant):
                continue
            before, start = self._told.get(partition), self._starts[partition]
            now = Reach(
                partition,
                start,
                timeline.offset,
                timeline.key,
                timeline.last,
                partition in resting,
                timeline.taking_part,
            )
            if everything or before is None or now[2:] != before[2:]:
                reaches.append(now)
        return Progress(tuple(reaches), known) if reaches or everything else None

    def frames(self, progress: Progress | None) -> Iterator[Addressed]:
        """Yield everything that is for the shards: events, and then the progress, for all."""
        yield from event_frames(self._pending)
        if progress is not None:
            frame = encode(progress)
            for shard in range(self._shards + 1):
                yield Addressed(shard, frame)

    def floors(self) -> Sequence[Floor]:
        """Return the promises that lifted events which are not told yet, for the journal."""
        return tuple(self._floors)

    def told(self, progress: Progress | None) -> None:
        """Take note that all this is committed."""
        self._pending.clear()
        self._floors.clear()
        if progress is not None:
            self._told |= {reach.partition: reach for reach in progress.reaches}
            self._starts |= {reach.partition: reach.offset for reach in progress.reaches}


def event_frames(
    waiting: Mapping[tuple[int, Partition], Sequence[Batch]],
) -> Iterator[Addressed]:
    """Yield events as frames, given by the shard they are for and their partition, in order."""
    for (shard, partition), batches in waiting.items():
        for frame in _frames(Events(partition, _joined(batches))):
            yield Addressed(shard, frame)


def _without_large(messages: Messages) -> tuple[Messages, list[DeadLetter]]:
    """Return the messages that fit, and dead letters of the others."""
    large = messages.length > MESSAGE_BYTES
    if not large.any():
        return messages, []
    letters = [
        DeadLetter(
            reason="too_large",
            detail=f"the message has {messages.length[i]:,} bytes: with mode: distributed, one "
            f"may have {MESSAGE_BYTES:,}",
            partition=messages.partition,
            offset=int(messages.offset[i]),
            index=0,
            time=int(messages.time[i]),
            value=None,
        )
        for i in np.flatnonzero(large).tolist()
    ]
    return messages.take(~large), letters


def _joined(batches: Sequence[Batch]) -> tuple[Batch, ...]:
    """Return the batches of one partition, those of one group of a version as one."""
    parts: dict[tuple[str, str, int], list[Batch]] = {}
    for batch in batches:
        parts.setdefault((batch.model, batch.version, batch.group), []).append(batch)
    return tuple(join(parts[name]) for name in sorted(parts))


def _frames(events: Events) -> Iterator[bytes]:
    """Yield events as frames that are not too large, each with all that is before the next."""
    # One message may hold events that are too large together: then their places in it decide.
    places: list[Ints | Codes] = [batch.offset for batch in events.batches]
    if len(np.unique(np.concatenate(places))) == 1:
        places = [batch.index for batch in events.batches]
    found = np.unique(np.concatenate(places))
    # What is sure to be divided is not encoded first.
    if len(found) == 1 or _size(events) <= FRAME_BYTES:
        frame = encode(events)
        if len(found) == 1 or len(frame) <= FRAME_BYTES:
            yield frame
            return
    middle = found[len(found) // 2]
    ends = [int(np.searchsorted(each, middle)) for each in places]
    pairs = list(zip(events.batches, ends, strict=True))
    for part in (
        [cut(batch, 0, end) for batch, end in pairs],
        [cut(batch, end, len(batch)) for batch, end in pairs],
    ):
        yield from _frames(Events(events.partition, tuple(batch for batch in part if len(batch))))


def _size(events: Events) -> int:
    """Return about how many bytes the numbers of a frame take, and no more."""
    return sum(
        len(batch) * _PLACE_BYTES + sum(map(_number_bytes, batch.columns.values()))
        for batch in events.batches
    )


def _number_bytes(column: Column) -> int:
    return 8 * int(np.count_nonzero(column.kinds == _NUMBER))
