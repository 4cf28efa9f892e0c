"""Where a follower reads its topic: alone, or as one of a group of workers."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings, connection_errors, make_admin
from streamdrift.records import Messages, Partition
from streamdrift.sources.committed import all_committed
from streamdrift.sources.member import Committed, Member
from streamdrift.sources.reading import Lost, Reader

_FETCH_BYTES = 2 << 20


class Seat(Protocol):
    """What of a topic is this follower's to read, and how far the group has read it."""

    reader: Reader
    lost: Lost
    """Called where what was to be read next is not there."""

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return what has arrived, after at most `timeout` seconds."""
        ...

    def added(self) -> frozenset[Partition]:
        """Return the partitions given to it that were not started yet."""
        ...

    def gone(self) -> frozenset[Partition]:
        """Return the partitions that were taken from it since the last call."""
        ...

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed] | None:
        """Return what the group has committed of partitions, None where that is not sure yet."""
        ...

    def start(self, starts: Mapping[Partition, int]) -> None:
        """Begin to read partitions that were added."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class Alone:
    """The seat of a deployment's one process: it has all partitions that there are.

    New ones are looked for every `discovery` microseconds. Raises ConnectionsError where
    the topic is not there.
    """

    def __init__(self, connection: KafkaSettings, group: str, topic: str, discovery: int) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._added: set[Partition] = set()
        self.lost: Lost = _leave
        self.reader = Reader(
            connection,
            lambda *what: self.lost(*what),
            group_id=group,
            **_options(discovery),
        )
        try:
            if not self._assign():
                raise ConnectionsError(f"the topic {topic} is not there yet")
        except BaseException:
            self.reader.close()
            raise

    def _assign(self) -> bool:
        """Take all partitions that there are, some may be new; tell whether there are any."""
        consumer = self.reader.consumer
        with connection_errors(self._connection, f"read the topic {self._topic}"):
            numbers = consumer.partitions_for_topic(self._topic) or ()
        there = {Partition(self._topic, number) for number in numbers}
        positions = dict(self.reader.positions)
        new = there - positions.keys() - self._added
        if new:
            self.reader.drop(positions.keys() - there)
            consumer.assign([TopicPartition(*each) for each in there])
            self.reader.seek({key: at for key, at in positions.items() if key in there})
            for partition in there - positions.keys():
                consumer.pause(TopicPartition(*partition))
                consumer.seek(TopicPartition(*partition), 0)
            self._added |= new
        return bool(there)

    def poll(self, timeout: float) -> Sequence[Messages]:
        self._assign()
        return self.reader.poll(timeout)

    def added(self) -> frozenset[Partition]:
        return frozenset(self._added)

    def gone(self) -> frozenset[Partition]:
        return frozenset()

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed] | None:
        admin = make_admin(self._connection)
        try:
            return all_committed(admin, self._connection, self._group)
        finally:
            admin.close()

    def start(self, starts: Mapping[Partition, int]) -> None:
        self.reader.seek(starts)
        self.reader.consumer.resume(*(TopicPartition(*each) for each in starts))
        self._added -= starts.keys()

    def close(self) -> None:
        self.reader.close()


def one_of_many(
    connection: KafkaSettings, group: str, topic: str, discovery: int, instance: str, session: int
) -> Member:
    """Return the seat of one worker of several, which share the partitions of a topic.

    `discovery` as `Alone` has it, `session` as `Member`. Raises ConnectionsError where the
    topic is not there.
    """
    partitions: set[Partition] = set()
    member = Member(
        connection,
        group,
        instance,
        session,
        lambda: partitions,
        **_options(discovery),
    )
    try:
        with connection_errors(connection, f"read the topic {topic}"):
            numbers = member.reader.consumer.partitions_for_topic(topic) or ()
        if not numbers:
            raise ConnectionsError(f"the topic {topic} is not there yet")
        partitions |= {Partition(topic, number) for number in numbers}
        member.subscribe([topic])
    except BaseException:
        member.close()
        raise
    return member


def _options(discovery: int) -> dict[str, Any]:
    """Return the client's options: what is fetched is what waits for a sink that is down."""
    return {
        "metadata_max_age_ms": discovery // 1_000,
        "fetch_max_bytes": _FETCH_BYTES,
        "max_partition_fetch_bytes": _FETCH_BYTES,
    }


def _leave(partition: Partition, offset: int, truncated_to: int | None) -> None:
    """Do nothing: what is not there is asked for again."""


def commit(
    seat: Seat, connection: KafkaSettings, positions: Mapping[Partition, tuple[int, str]]
) -> None:
    """Commit offsets, each with its note; raise ConnectionsError where that fails."""
    offsets = {
        TopicPartition(*partition): OffsetAndMetadata(offset, note, -1)
        for partition, (offset, note) in positions.items()
    }
    with connection_errors(connection, "commit how far alerts are delivered"):
        seat.reader.consumer.commit(offsets)
