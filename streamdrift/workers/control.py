"""What all workers say of their partitions, as each of them hears it; and who runs ahead."""

import time
from collections import deque
from collections.abc import Mapping

from kafka.structs import TopicPartition

from streamdrift.durations import SECOND
from streamdrift.exchange.frames import Progress, decode
from streamdrift.kafka.clients import KafkaSettings, connection_errors
from streamdrift.records import Partition
from streamdrift.sources.reading import Reader

_LOOK_BACK = 60
"""Seconds of progress that tell where everybody is."""
_LOOK_BACK_RECORDS = 1_000
"""So many tell it also where nobody has said anything for longer."""


class Control:
    """Reads the partition of the exchange that has the progress alone."""

    def __init__(self, connection: KafkaSettings, partition: Partition) -> None:
        self._partition = partition
        self._reader = Reader(connection, self._lost)
        try:
            self._reader.consumer.assign([TopicPartition(*partition)])
            since = time.time_ns() // 1_000 - _LOOK_BACK * SECOND
            begin = self._reader.offsets_at(since, [partition])[partition]
            end = self._reader.latest([partition])[partition]
            first = self._reader.earliest([partition])[partition]
            self._reader.seek({partition: max(first, min(begin, end - _LOOK_BACK_RECORDS))})
            self._end = end
        except BaseException:
            self.close()
            raise
        self._connection = connection

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        with connection_errors(self._connection, "find the start of the exchange"):
            self._reader.seek(self._reader.earliest([partition]))

    def heard(self) -> list[Progress]:
        """Return what was committed since the last call, without waiting for more."""
        frames = [
            decode(messages.data[start : start + length].data)
            for messages in self._reader.poll(0)
            for start, length in zip(messages.start, messages.length, strict=True)
            if length >= 0
        ]
        return [frame for frame in frames if isinstance(frame, Progress)]

    @property
    def heard_all(self) -> bool:
        """Whether all is heard that was committed before this began."""
        return self._reader.positions[self._partition] >= self._end

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()


class Ahead:
    """How many events of each partition wait in the shards for slower partitions.

    As many are held in memory by whoever has the shards, so a partition that has more than
    `most` is to be paused, and to be resumed at half of that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: dict[Partition, deque[tuple[int, int]]] = {}
        """The greatest key of each commit, and its events."""

    def sent(self, partition: Partition, key: int, events: int) -> None:
        """Take note of events that were sent, of which `key` is the greatest."""
        self._sent.setdefault(partition, deque()).append((key, events))

    def drop(self, partition: Partition) -> None:
        """Forget a partition that is another worker's now."""
        self._sent.pop(partition, None)

    def waiting(self, watermark: int | None) -> Mapping[Partition, int]:
        """Return how many events wait, now that all partitions have reached a key."""
        for sent in self._sent.values():
            while sent and watermark is not None and sent[0][0] <= watermark:
                sent.popleft()
        return {
            partition: sum(events for _, events in sent) for partition, sent in self._sent.items()
        }

    def full(self, watermark: int | None) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Return the partitions that have too many events waiting, and those that have few."""
        waiting = self.waiting(watermark)
        return (
            frozenset(each for each, events in waiting.items() if events > self._most),
            frozenset(each for each, events in waiting.items() if events <= self._most // 2),
        )
