"""A reader whose partitions come from a consumer group: cooperative, with static membership."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.base import MemberState
from kafka.errors import FencedInstanceIdError, KafkaTimeoutError
from kafka.structs import TopicPartition

from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError, FencedError, StreamdriftError
from streamdrift.kafka.clients import KafkaSettings, connection_errors
from streamdrift.kafka.outbox import PUT_OUT
from streamdrift.records import Messages, Partition
from streamdrift.sources import by_topic, notice
from streamdrift.sources.membership import (
    Assignor,
    ask_anew,
    ask_whether_known,
    watch_membership,
)
from streamdrift.sources.orphans import Orphans
from streamdrift.sources.reading import Lost, Reader
from streamdrift.sources.sameness import IsSame, trust

_LONGEST_TURN_MS = 120_000
"""A member that does not poll for this long is put out of the group."""
_ASK_MS = 1_000
_JOIN_MS = 5_000
_HEARTBEATS = 3
"""Within the time of a session."""

Release = Callable[[Collection[Partition]], None]


class Committed(NamedTuple):
    """A committed offset, and the note that was committed with it."""

    offset: int
    note: str


class Member:
    """One worker's membership in a consumer group, and the reader of what it is given.

    `session` is the time in microseconds after which the group gives a silent member up;
    `wanted`, called on another thread, are the partitions that somebody must have. What
    one that was given up has read is void: it commits nothing, and all its methods that ask or
    tell the group raise ConnectionsError. Another must be made in its place.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        group: str,
        instance: str,
        session: int,
        wanted: Callable[[], Collection[Partition]],
        **options: Any,
    ) -> None:
        self.connection = connection
        self._is_put_out = False
        self._added: set[Partition] = set()
        self._gone: set[Partition] = set()
        self.release: Release = _nothing
        """Called while the group waits, on the client's own thread, with partitions that are
        another's from then on: to commit what was made of them."""
        self.lost: Lost = _leave
        """Called where what was to be read next is not there."""
        self.is_same: IsSame = trust
        """Called after a refused fetch."""
        session_ms = session * 1_000 // SECOND
        self.reader = Reader(
            connection,
            lambda *what: self.lost(*what),
            is_same=lambda *what: self.is_same(*what),
            group_id=group,
            group_instance_id=instance,
            partition_assignment_strategy=(Assignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // _HEARTBEATS,
            max_poll_interval_ms=_LONGEST_TURN_MS,
            **options,
        )
        watch_membership(self._coordinator, self._put_out)
        try:
            self._orphans = Orphans(connection, group, instance, wanted)
        except BaseException:
            self.reader.close()
            raise

    def _put_out(self) -> None:
        self._is_put_out = True

    def _check(self) -> None:
        """Raise ConnectionsError where others may have what this member has."""
        if self._is_put_out:
            raise ConnectionsError(*PUT_OUT)

    @property
    def _coordinator(self) -> Any:
        return self.reader.consumer._coordinator  # noqa: SLF001

    def subscribe(self, topics: Collection[str]) -> None:
        """Ask the group for a share of the partitions of `topics`, in the place of others."""
        self.reader.consumer.subscribe(topics=sorted(topics), listener=_Listener(self))

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return what has arrived; raise FencedError where another has this one's name."""
        try:
            self._join()
            messages = self.reader.poll(timeout)
        except ConnectionsError as error:
            if isinstance(error.__cause__, FencedInstanceIdError):
                raise FencedError(str(error)) from error
            if (told := _told_by_listener(error)) is not None:
                raise told from error
            raise
        self._check()
        self._ask_for_orphans()
        return messages

    def _ask_for_orphans(self) -> None:
        orphans = by_topic(self._orphans.take())
        if orphans:
            self.reader.tell(notice("partitions without a worker", partitions=orphans))
            ask_anew(self._coordinator)

    def _join(self) -> None:
        """Wait for the group's answer where it is to be joined anew.

        The client forgets why it asked as soon as it has: an answer that arrives between two
        polls it takes only where it is told that it has to join, and else never.
        """
        coordinator = self._coordinator
        if coordinator._join_task is not None or coordinator.need_rejoin():  # noqa: SLF001
            coordinator.rejoin_needed = True
            with connection_errors(self.connection, "join the group"):
                coordinator.poll(timeout_ms=_JOIN_MS)

    @property
    def stable(self) -> bool:
        """Whether the group knows this member under the generation that it would commit by."""
        state = self.reader.consumer.group_metadata().state
        return state is MemberState.STABLE and not self._is_put_out

    @property
    def metadata(self) -> Any:
        """What fences a member that was replaced, when it commits.

        Raises ConnectionsError where it was put out: the group may know it again by now.
        """
        metadata = self.reader.consumer.group_metadata()
        self._check()
        return metadata

    def confirm(self) -> None:
        """Return where the group says just now that this is a member still.

        Raises ConnectionsError where it says otherwise, or nothing: others may have what this
        member has, and have changed whatever it looks at.
        """
        with connection_errors(self.connection, "ask the consumer group"):
            try:
                ask_whether_known(self._coordinator, _JOIN_MS)
            finally:
                self._check()

    def added(self) -> frozenset[Partition]:
        """Return the partitions given to this member that were not started yet."""
        return frozenset(self._added)

    def gone(self) -> frozenset[Partition]:
        """Return the partitions that were taken from it since the last call."""
        gone, self._gone = frozenset(self._gone), set()
        return gone

    def start(self, starts: Mapping[Partition, int]) -> None:
        """Begin to read partitions that were added."""
        there = {key: offset for key, offset in starts.items() if key in self._added}
        self.reader.seek(there)
        self.reader.consumer.resume(*(TopicPartition(*key) for key in there))
        self._added -= there.keys()

    def take_back(self, partitions: Iterable[Partition]) -> None:
        """Let partitions be as if they had just been given: what was read of them is void."""
        chosen = [each for each in partitions if each not in self._added]
        if chosen:
            self.reader.drop(chosen)
            self._gone |= set(chosen)
            self.take(chosen)

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, Committed] | None:
        """Return what the group has committed of partitions.

        None where that is not sure yet: while a transaction is open on it, of whoever had them
        before, the brokers do not say.
        """
        if not partitions:
            return {}
        keys = [TopicPartition(*key) for key in sorted(partitions)]
        # The client's own `committed` asks for one partition at a time.
        coordinator = self._coordinator
        # It keeps a question that had no answer in time, and takes that for the next one's: then
        # what others have committed since would be read again.
        coordinator._offset_fetch_futures.clear()  # noqa: SLF001
        try:
            with connection_errors(self.connection, "look up committed offsets"):
                found = coordinator.fetch_committed_offsets(keys, timeout_ms=_ASK_MS)
        except ConnectionsError as error:
            if isinstance(error.__cause__, KafkaTimeoutError):
                return None
            raise
        return {
            Partition(*key): Committed(at.offset, at.metadata or "") for key, at in found.items()
        }

    def close(self) -> None:
        """Close the connections; the group keeps the partitions for the time of a session."""
        self.release = _nothing
        self._orphans.close()
        self.reader.close()

    # What the listener tells, on the client's thread, while this one's waits in `poll`.

    def take(self, partitions: Collection[Partition]) -> None:
        """Hold new partitions back: where to begin is found out first."""
        consumer = self.reader.consumer
        for partition in partitions:
            key = TopicPartition(*partition)
            consumer.pause(key)
            consumer.seek(key, 0)
        self._added |= set(partitions)

    def give(self, partitions: Collection[Partition], *, orderly: bool) -> None:
        """Let partitions go."""
        started = set(partitions) - self._added
        self._added -= set(partitions)
        if orderly and started and not self._is_put_out:
            self.release(started)
        self.reader.drop(started)
        self._gone |= started


def _told_by_listener(error: ConnectionsError) -> StreamdriftError | None:
    """Return what `release` raised, which the client wraps."""
    wrapped = error.__cause__
    told = None if wrapped is None else wrapped.__cause__
    return told if isinstance(told, StreamdriftError) else None


def _nothing(_: Collection[Partition]) -> None:
    """Do nothing: there is nothing to be committed."""


def _leave(partition: Partition, offset: int, truncated_to: int | None) -> None:
    """Do nothing: what is not there is asked for again."""


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    def __init__(self, member: Member) -> None:
        self._member = member

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._member.give([Partition(*key) for key in revoked], orderly=True)

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self._member.give([Partition(*key) for key in lost], orderly=False)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._member.take([Partition(*key) for key in assigned])
