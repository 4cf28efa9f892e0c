"""Events of one partition for tests of the order, by their offset, place in it, time and model."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from streamdrift.records import Batch, Decoded, Partition


class Event(NamedTuple):
    offset: int
    place: int
    time: int
    model: str = "m"


class Row(NamedTuple):
    """What is seen of an event behind the ordering."""

    key: int
    partition: Partition
    offset: int
    place: int


def batches(partition: Partition, events: Sequence[Event]) -> tuple[Batch, ...]:
    """Return events as a decoder would: a batch per model."""
    found = []
    for model in dict.fromkeys(event.model for event in events):
        chosen = [event for event in events if event.model == model]
        found.append(
            Batch(
                model=model,
                version="1",
                partitions=(partition,),
                partition=np.zeros(len(chosen), dtype=np.int32),
                offset=np.array([event.offset for event in chosen], dtype=np.int64),
                index=np.array([event.place for event in chosen], dtype=np.int32),
                ids=np.array([event.offset for event in chosen], dtype=np.uint64),
                time=np.array([event.time for event in chosen], dtype=np.int64),
                columns={},
            )
        )
    return tuple(found)


def decoded(
    partition: Partition, events: Sequence[Event], next_offset: int | None = None
) -> Decoded:
    end = next_offset if next_offset is not None else events[-1].offset + 1
    return Decoded(partition, batches(partition, events), (), end)


def rows_of(found: Sequence[Batch]) -> list[Row]:
    """Return the events of batches, one batch after the other."""
    return [
        Row(int(key), batch.partitions[place], int(offset), int(index))
        for batch in found
        for key, place, offset, index in zip(
            batch.time, batch.partition, batch.offset, batch.index, strict=True
        )
    ]


def random_events(
    random: Random, count: int, *, first: int = 0, start: int = 0, models: str = "xy"
) -> list[Event]:
    """Events of `count` messages: times that rise and stagger, offsets with gaps."""
    events: list[Event] = []
    offset, time = first, start
    for _ in range(count):
        offset += random.choice((1, 1, 3))
        time += random.choice((0, 0, 1, 5, 40))
        for place in range(random.choice((0, 1, 1, 2, 3))):
            late = random.choice((0, 0, 0, -30, 7))
            events.append(Event(offset, place, time + late, random.choice(models)))
    return events


def cut_at_random(
    random: Random, partition: Partition, events: Sequence[Event], end: int
) -> list[Decoded]:
    """Return events up to the offset `end` as what was decoded at a time, some of it nothing."""
    by_offset: dict[int, list[Event]] = {}
    for event in events:
        by_offset.setdefault(event.offset, []).append(event)
    offsets, found, begin = sorted(by_offset), [], 0
    while begin < len(offsets):
        stop = min(len(offsets), begin + random.choice((0, 1, 2, 3, 50)))
        chosen = [event for offset in offsets[begin:stop] for event in by_offset[offset]]
        next_offset = offsets[stop] if stop < len(offsets) else end
        found.append(decoded(partition, chosen, next_offset))
        begin = stop
    return found
