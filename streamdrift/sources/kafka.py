"""Messages from Kafka topics, all of whose partitions the source assigns to itself."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from kafka.errors import (
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RetriableError,
)
from kafka.structs import TopicPartition

from streamdrift.durations import SECOND
from streamdrift.kafka import KafkaSettings, connection_errors, connections_error, make_consumer
from streamdrift.records import Messages, Notice, Partition
from streamdrift.sources import SourceSettings, notice, start_time
from streamdrift.sources.batches import CorruptBatchError
from streamdrift.sources.blocked import Blocked
from streamdrift.sources.discovery import Discovery
from streamdrift.sources.fetching import (
    as_records,
    enlarge_socket_reads,
    fetch_ahead,
    install_batch_records,
    watch_answers,
)
from streamdrift.sources.packing import pack

# A broker answers a fetch within 0.5 s even when there is nothing new. Ten times that
# without an answer, while asking, is a broker that is away.
_PATIENCE = 5.0
_PAUSE = 0.1
_LOOK_UP_MS = 10_000
_READS_OF_DAMAGED_BATCH = 3
_NO_POSITIONS: Mapping[Partition, int] = MappingProxyType({})


class KafkaSource:
    """Reads topics from stored positions, or from `settings.start` where there are none.

    A partition without a position of a topic that has some, and any partition or topic that
    appears while running, is read from its beginning. No pattern matches a topic of `own`,
    those the deployment writes to. With `fast`, record batches are walked by a compiled
    kernel; else, or where the client's inside is not as expected (then a notice says so),
    its public `poll` is used.

    Raises ConnectionsError where no broker answers, or a right is missing.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        settings: SourceSettings,
        positions: Mapping[Partition, int] = _NO_POSITIONS,
        *,
        own: Collection[str] = (),
        fast: bool = True,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._notices: list[Notice] = []
        self._next: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._gone: set[str] = set()
        self._missing: set[str] = set()
        self._identities: dict[str, object] = {}
        self._doubts: dict[Partition, frozenset[Partition]] = {}
        self._stored = positions
        self._damaged: dict[tuple[Partition, int], int] = {}
        self._at_end: frozenset[Partition] = frozenset()
        self._blocked = Blocked()
        self.connected = True
        interval = settings.discovery_interval / SECOND
        self._discovery = Discovery(connection, settings.predictions, interval, own)
        try:
            self._consumer = make_consumer(
                connection,
                fetch_max_bytes=settings.fetch_max_bytes,
                max_partition_fetch_bytes=settings.partition_fetch_max_bytes,
                max_poll_records=2**31 - 1,
            )
        except BaseException:
            self._discovery.close()
            raise
        self._fast = fast and install_batch_records(self._consumer)
        if fast and not (enlarge_socket_reads() and self._fast):
            self._notices.append(notice("fast fetch unavailable", client="kafka-python"))
        self._answers = watch_answers(self._consumer)
        self._fetch_ahead = fetch_ahead(self._consumer)
        self._polled_at = time.monotonic()
        self._asking_since = self._polled_at
        try:
            self._begin(positions)
        except BaseException:
            self.close()
            raise

    # Where to start, and what appears later.

    def _begin(self, positions: Mapping[Partition, int]) -> None:
        found = self._taken_up = self._discovery.known
        stored_topics = {partition.topic for partition in positions}
        stored = {partition: positions[partition] for partition in found & positions.keys()}
        beside = set(found) - stored.keys()
        grown = {partition for partition in beside if partition.topic in stored_topics}
        with connection_errors(self._connection, "find the start of the topics"):
            starts = self._earliest(grown) | self._starts(beside - grown)
        for topic in self._settings.predictions:
            if topic.name is not None and all(key.topic != topic.name for key in found):
                self._notices.append(notice("topic missing", topic=topic.name))
        self._assign(stored | starts)

    def _starts(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        start = self._settings.start
        if start == "earliest":
            return self._earliest(partitions)
        if start == "latest":
            return self._latest(partitions)
        return dict(self.offsets_at(start_time(start), partitions))

    def _earliest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        keys = [TopicPartition(*partition) for partition in partitions]
        return _by_partition(self._consumer.beginning_offsets(keys, timeout_ms=_LOOK_UP_MS))

    def _latest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        keys = [TopicPartition(*partition) for partition in partitions]
        return _by_partition(self._consumer.end_offsets(keys, timeout_ms=_LOOK_UP_MS))

    def offsets_at(
        self, moment: int, partitions: Collection[Partition] | None = None
    ) -> Mapping[Partition, int]:
        """Return each partition's first offset of a record at `moment` (us) or later.

        That is the log's end where there is none.
        """
        wanted = self._next if partitions is None else partitions
        # Kafka's times are milliseconds: a moment within one counts as its end.
        milliseconds = -(-moment // 1_000)
        times = {TopicPartition(*partition): milliseconds for partition in wanted}
        with connection_errors(self._connection, "look up offsets by time"):
            found = self._consumer.offsets_for_times(times, timeout_ms=_LOOK_UP_MS)
            offsets = {
                Partition(*key): at.offset for key, at in found.items() if at and at.offset >= 0
            }
            return self._latest([key for key in wanted if key not in offsets]) | offsets

    def _assign(self, starts: Mapping[Partition, int]) -> None:
        self._next |= starts
        if not starts:
            return
        for partition in starts:
            self._identities[partition.topic] = self._discovery.identities.get(partition.topic)
            self._doubts.pop(partition, None)
        self._consumer.assign([TopicPartition(*partition) for partition in sorted(self._next)])
        for partition, offset in starts.items():
            self._consumer.seek(TopicPartition(*partition), offset)

    def _take_up_new(self) -> None:
        """Begin with partitions that appeared since, and mark the topics that vanished."""
        known = self._discovery.known
        if known is self._taken_up:
            return
        self._note_vanished({partition.topic for partition in known})
        returned = {partition for partition in known if partition.topic in self._gone}
        new = (known - self._next.keys()) | returned
        if not new:
            self._taken_up = known
            return
        try:
            starts = self._earliest(new)
            starts |= {key: self._stored[key] for key in new - returned if key in self._stored}
        except KafkaError:
            return  # The broker does not know them yet, or is away: the next poll asks again.
        self._taken_up = known
        self._gone -= {partition.topic for partition in new}
        self._assign(starts)
        for partition in sorted(new):
            self._notices.append(
                notice(
                    "partition found",
                    topic=partition.topic,
                    partition=partition.number,
                    offset=starts[partition],
                )
            )

    def _note_vanished(self, topics: set[str]) -> None:
        missing = {partition.topic for partition in self._next} - topics - self._gone
        # A broker that has just started may not know all topics yet: two look-ups must agree.
        vanished, self._missing = missing & self._missing, missing
        identities = self._discovery.identities
        anew = {
            topic
            for topic in topics & self._identities.keys() - self._gone
            if identities.get(topic) not in (None, self._identities[topic])
        }
        self._gone |= vanished | anew
        self._notices += [notice("topic missing", topic=topic) for topic in sorted(vanished)]
        self._notices += [notice("topic made anew", topic=topic) for topic in sorted(anew)]

    # The protocol of sources.

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return what has arrived, at most one `Messages` per fetched response partition."""
        before, self._polled_at = self._polled_at, time.monotonic()
        self._take_up_new()
        if not self._next:
            time.sleep(min(timeout, self._settings.discovery_interval / SECOND))
            self._watch_connection(before)
            return ()
        try:
            fetched = self._consumer.poll(timeout_ms=round(timeout * 1000))
        except KafkaError as error:
            self._mend(error)
            return ()
        except CorruptBatchError as error:
            self._read_again(error.partition, error.first, error.last + 1, str(error))
            return ()
        messages = self._hand_over(fetched)
        if messages:
            with suppress(KafkaError):  # The next poll meets it again.
                self._fetch_ahead()
        self._watch_connection(before)
        return messages

    def _hand_over(self, fetched: Mapping[TopicPartition, list[Any]]) -> list[Messages]:
        if self._fast:
            messages = [group for groups in fetched.values() for group in groups]
        else:
            messages = list(self._packed(fetched))
        for group in messages:
            self._next[group.partition] = group.next_offset
        return messages

    def _packed(self, fetched: Mapping[TopicPartition, list[Any]]) -> Iterable[Messages]:
        for partition, offset in self._next.items():
            key = TopicPartition(*partition)
            records = fetched.get(key, [])
            if not records and (self._consumer.highwater(key) or 0) <= offset:
                continue
            after = self._consumer.position(key, timeout_ms=0)
            if records or (after is not None and after > offset):
                yield pack(partition, as_records(records), after)

    def partitions(self) -> Sequence[Partition]:
        """Return all partitions that are read now, sorted: those of deleted topics are not."""
        return sorted(key for key in self._next if key.topic not in self._gone)

    def at_end(self) -> frozenset[Partition]:
        """Return the partitions read to their end of which a broker said so lately.

        A transaction that is still open keeps a partition from its end.
        """
        return self._at_end

    def pause(self, partitions: Collection[Partition]) -> None:
        """Stop handing out messages of `partitions`; one response of each may wait."""
        chosen = set(partitions) & self._next.keys() - self._paused
        self._paused |= chosen
        self._consumer.pause(*(TopicPartition(*partition) for partition in chosen))

    def resume(self, partitions: Collection[Partition]) -> None:
        """Take `partitions` up again where they were paused."""
        chosen = set(partitions) & self._paused
        self._paused -= chosen
        self._consumer.resume(*(TopicPartition(*partition) for partition in chosen))

    def lag(self) -> Mapping[Partition, int]:
        """Return how far each partition is behind its log's end, from its last fetch on."""
        lag: dict[Partition, int] = {}
        for partition, offset in self._next.items():
            end = self._consumer.highwater(TopicPartition(*partition))
            if end is not None:
                lag[partition] = max(0, end - offset)
        return lag

    def blocked(self) -> frozenset[Partition]:
        """Return the partitions in which an open transaction hides what comes next."""
        return self._blocked.partitions

    def notices(self) -> tuple[Notice, ...]:
        """Return what happened since the last call: lost offsets, a broker away, a new topic."""
        notices, self._notices = tuple(self._notices), []
        return notices

    def close(self) -> None:
        """Close the connections."""
        self._discovery.close()
        self._consumer.close(autocommit=False, timeout_ms=1_000)

    # What can go wrong.

    def _watch_connection(self, polled_before: float) -> None:
        """Find out whether brokers answered since the poll before this one."""
        now = time.monotonic()
        lately = min(polled_before, now - _PATIENCE)
        fetched = self._next.keys() - self._paused
        if self._answers is None or not fetched:
            connected, answered = self._discovery.reachable, fetched
        else:
            # A source that was paused throughout has not been waiting for an answer.
            connected = max(self._answers.latest(), self._asking_since) >= lately
            answered = {key for key in fetched if self._answers.since(key) >= lately}
        if not fetched:
            self._asking_since = now
        if connected != self.connected:
            event = "broker back" if connected else "broker away"
            servers = self._connection.bootstrap_servers
            self._notices.append(notice(event, bootstrap_servers=servers))
        self.connected = connected
        lag = self.lag() if connected else {}
        self._at_end = frozenset(key for key in answered if lag.get(key) == 0)
        standing = {key: self._next[key] for key in answered if lag.get(key, 0) > 0}
        for partition in sorted(self._blocked.look(standing, now)):
            self._notices.append(
                notice(
                    "open transaction",
                    topic=partition.topic,
                    partition=partition.number,
                    offset=self._next[partition],
                    effect="what is behind it waits until its producer or the broker ends it",
                )
            )

    def _mend(self, error: KafkaError) -> None:
        """Decide how to go on after the client raised `error`, or raise ConnectionsError."""
        if isinstance(error, OffsetOutOfRangeError):
            for key, offset in error.args[0].items():
                self._move_into_range(Partition(*key), offset)
        elif isinstance(error, LogTruncationError):
            for key, known in error.divergent_offsets.items():
                partition = Partition(*key)
                self._move_into_range(partition, self._next[partition], known and known.offset)
        elif isinstance(error, RetriableError):
            time.sleep(_PAUSE)
        else:
            raise connections_error(self._connection, "read the topics", error) from error

    def _move_into_range(
        self, partition: Partition, offset: int, truncated_to: int | None = None
    ) -> None:
        """Go on at the log's beginning where it was cut off, at its end where it shrank.

        Reading a log again that shrank (an unclean leader election, a topic made anew) would
        show the detectors all its old events a second time. A topic made anew under its
        name is no such log: whether it is one, a new look-up must tell first.
        """
        try:
            first = self._earliest([partition])[partition]
            last = self._latest([partition])[partition]
        except KafkaError:
            return  # The client raises the same error at the next poll.
        known = self._discovery.known
        if offset > last and (
            partition.topic in self._gone or self._doubts.setdefault(partition, known) is known
        ):
            self._discovery.look_now()
            time.sleep(_PAUSE)
            return
        self._doubts.pop(partition, None)
        target = first if offset < first else min(offset, last)
        if truncated_to is not None:
            target = max(first, truncated_to)
        self._next[partition] = target
        self._consumer.seek(TopicPartition(*partition), target)
        self._notices.append(
            notice(
                "offsets lost" if target > offset else "log truncated",
                topic=partition.topic,
                partition=partition.number,
                from_offset=offset,
                to_offset=target,
            )
        )

    def _read_again(self, partition: Partition, offset: int, after: int, reason: str) -> None:
        """Fetch a damaged batch anew, and leave it out where it stays damaged."""
        offset = max(offset, self._next[partition])
        reads = self._damaged.get((partition, offset), 0) + 1
        self._damaged[partition, offset] = reads
        target = offset
        if reads >= _READS_OF_DAMAGED_BATCH:
            del self._damaged[partition, offset]
            target = max(after, offset + 1)
            self._notices.append(
                notice(
                    "damaged batch skipped",
                    topic=partition.topic,
                    partition=partition.number,
                    from_offset=offset,
                    to_offset=target,
                    reason=reason,
                )
            )
        self._next[partition] = target
        self._consumer.seek(TopicPartition(*partition), target)


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {Partition(*key): offset for key, offset in offsets.items()}
