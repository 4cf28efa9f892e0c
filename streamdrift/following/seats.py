"""Where a follower reads its topic: alone, or as one of a group of workers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka import KafkaSettings, connection_errors, make_admin
from streamdrift.records import Messages, Partition
from streamdrift.sources.committed import all_committed
from streamdrift.sources.member import Committed, Member
from streamdrift.sources.reading import Reader, move_into_range


class Seat(Protocol):
    """What of a topic is this follower's to read, and how far the group has read it."""

    reader: Reader

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

    Raises ConnectionsError where the topic is not there.
    """

    def __init__(self, connection: KafkaSettings, group: str, topic: str) -> None:
        self._connection = connection
        self._group = group
        self.reader = Reader(connection, self._lost, group_id=group)
        try:
            with connection_errors(connection, f"read the topic {topic}"):
                numbers = self.reader.consumer.partitions_for_topic(topic) or ()
            if not numbers:
                raise ConnectionsError(f"the topic {topic} is not there yet")
            self._added = {Partition(topic, number) for number in numbers}
            self.reader.consumer.assign([TopicPartition(*each) for each in self._added])
        except BaseException:
            self.reader.close()
            raise

    def poll(self, timeout: float) -> Sequence[Messages]:
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
        self._added -= starts.keys()

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        leave_lost(self.reader, partition, offset, truncated_to)

    def close(self) -> None:
        self.reader.close()


def one_of_many(
    connection: KafkaSettings, group: str, topic: str, instance: str, session: int
) -> Member:
    """Return the seat of one worker of several, which share the partitions of a topic.

    `session` as `Member` has it. Raises ConnectionsError where the topic is not there.
    """
    wanted: Callable[[], Collection[Partition]] = lambda: partitions  # noqa: E731
    partitions: Collection[Partition] = ()
    member = Member(connection, group, instance, session, wanted)
    try:
        with connection_errors(connection, f"read the topic {topic}"):
            numbers = member.reader.consumer.partitions_for_topic(topic) or ()
        if not numbers:
            raise ConnectionsError(f"the topic {topic} is not there yet")
        partitions = frozenset(Partition(topic, number) for number in numbers)
        member.lost = lambda *what: leave_lost(member.reader, *what)
        member.subscribe([topic])
    except BaseException:
        member.close()
        raise
    return member


def leave_lost(reader: Reader, partition: Partition, offset: int, truncated_to: int | None) -> None:
    """Go on where the topic still has alerts."""
    move_into_range(reader, partition, offset, truncated_to, lambda _: False)


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
