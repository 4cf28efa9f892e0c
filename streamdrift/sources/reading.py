"""A consumer and where it is in each of its partitions: what every source on Kafka shares."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from kafka.consumer import KafkaConsumer
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError, RetriableError
from kafka.structs import TopicPartition

from streamdrift.kafka.clients import (
    LOOK_UP_MS,
    KafkaSettings,
    beginning_offsets,
    connection_errors,
    connections_error,
    end_offsets,
    make_consumer,
)
from streamdrift.records import Messages, Notice, Partition
from streamdrift.sources import notice
from streamdrift.sources.batches import CorruptBatchError
from streamdrift.sources.blocked import Blocked
from streamdrift.sources.fetching import (
    as_records,
    enlarge_socket_reads,
    fetch_ahead,
    install_batch_records,
    watch_answers,
)
from streamdrift.sources.packing import pack
from streamdrift.sources.sameness import IsSame, Sameness, trust

# A broker answers a fetch within 0.5 s even when there is nothing new. Ten times that
# without an answer, while asking, is a broker that is away.
_PATIENCE = 5.0
PAUSE = 0.1
_READS_OF_DAMAGED_BATCH = 3


class Lost(Protocol):
    """What is done where a partition's log no longer has what was to be read next."""

    def __call__(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        """Choose where reading goes on, and `seek` that.

        `truncated_to`: where the log is another from, if its leader was lost; the offset
        itself where that is not known. It is asked again until something is chosen.
        """
        ...


class Reader:
    """Polls a consumer; hands out `Messages`, and watches what the brokers answer.

    With `fast`, record batches are walked by a compiled kernel; else, or where the client's
    inside is not as expected (then a notice says so), its public `poll` is used. `reachable`
    tells whether brokers answer, where no fetch does. After it was sought, and after a refused
    fetch or none for long, what is fetched of a partition is held back until its topic
    `is_same`. `options` are the client's. Raises ConnectionsError where no broker answers.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        lost: Lost,
        *,
        is_same: IsSame = trust,
        reachable: Callable[[], bool] = lambda: True,
        fast: bool = True,
        **options: Any,
    ) -> None:
        self._connection = connection
        self._lost = lost
        self._sameness = Sameness(is_same)
        self._reachable = reachable
        self._notices: list[Notice] = []
        self._next: dict[Partition, int] = {}
        self._sought: set[Partition] = set()
        """Those of which nothing was handed out since."""
        self._held: list[Messages] = []
        """Those of partitions that it is not sure of."""
        self._holding: set[Partition] = set()
        """Those of which the consumer fetches no more meanwhile."""
        self._truncated: dict[Partition, int] = {}
        """Where a log is another from, of those whose reading is still to be put right."""
        self._paused: set[Partition] = set()
        self._damaged: dict[tuple[Partition, int], int] = {}
        self._blocked = Blocked()
        self.at_end: frozenset[Partition] = frozenset()
        """The partitions read to their end of which a broker said so lately.

        A transaction that is still open keeps a partition from its end."""
        self.connected = True
        self.consumer: KafkaConsumer = make_consumer(
            connection, max_poll_records=2**31 - 1, **options
        )
        self._fast = fast and install_batch_records(self.consumer)
        if fast and not (enlarge_socket_reads() and self._fast):
            self._notices.append(notice("fast fetch unavailable", client="kafka-python"))
        self._answers = watch_answers(self.consumer)
        self._fetch_ahead = fetch_ahead(self.consumer)
        self._polled_at = time.monotonic()
        self._asking_since = self._polled_at

    # Where it is.

    @property
    def positions(self) -> Mapping[Partition, int]:
        """Where each partition's reading goes on."""
        return self._next

    def seek(self, starts: Mapping[Partition, int]) -> None:
        """Read partitions, which the consumer has been assigned, from these offsets on."""
        self._next |= starts
        self._sought |= starts.keys()
        self._sameness.sought(starts)
        self._held = [group for group in self._held if group.partition not in starts]
        for partition, offset in starts.items():
            self._truncated.pop(partition, None)
            self.consumer.seek(TopicPartition(*partition), offset)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that the consumer has no more."""
        for partition in partitions:
            self._next.pop(partition, None)
            self._truncated.pop(partition, None)
            self._sameness.drop(partition)
        for known in (self._paused, self._sought, self._holding):
            known.difference_update(partitions)
        self._held = [group for group in self._held if group.partition in self._next]

    def earliest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the first offset there is in each partition; raise KafkaError else."""
        keys = [TopicPartition(*partition) for partition in partitions]
        return _by_partition(beginning_offsets(self.consumer, keys))

    def latest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the offset behind the last of each partition; raise KafkaError else."""
        keys = [TopicPartition(*partition) for partition in partitions]
        return _by_partition(end_offsets(self.consumer, keys))

    def offsets_at(self, moment: int, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return each partition's first offset of a record at `moment` (us) or later.

        That is the log's end where there is none.
        """
        # Kafka's times are milliseconds: a moment within one counts as its end.
        milliseconds = -(-moment // 1_000)
        times = {TopicPartition(*partition): milliseconds for partition in partitions}
        with connection_errors(self._connection, "look up offsets by time"):
            found = self.consumer.offsets_for_times(times, timeout_ms=LOOK_UP_MS)
            offsets = {
                Partition(*key): at.offset for key, at in found.items() if at and at.offset >= 0
            }
            return self.latest([key for key in partitions if key not in offsets]) | offsets

    # Reading.

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return what has arrived, at most one `Messages` per fetched response partition."""
        before, self._polled_at = self._polled_at, time.monotonic()
        for partition, offset in tuple(self._truncated.items()):
            self._lost(partition, self._next[partition], offset)
        messages = self._hand_out([]) if self._held else []
        if not messages:
            try:
                fetched = self.consumer.poll(timeout_ms=round(timeout * 1000))
            except KafkaError as error:
                self._mend(error)
                return ()
            except CorruptBatchError as error:
                self._read_again(error.partition, error.first, error.last + 1, str(error))
                return ()
            messages = self._hand_out(self._as_messages(fetched))
        if messages:
            with suppress(KafkaError):  # The next poll meets it again.
                self._fetch_ahead()
        self._watch_connection(before)
        return messages

    def rest(self, timeout: float) -> None:
        """Wait instead of a poll, as there is nothing to poll."""
        before, self._polled_at = self._polled_at, time.monotonic()
        time.sleep(timeout)
        self._watch_connection(before)

    def _hand_out(self, fetched: Iterable[Messages]) -> list[Messages]:
        """Hold back what it is not sure of, and hand out the rest, behind what was held."""
        # What was fetched for who had the partition before is none of ours.
        messages = [
            group
            for group in (*self._held, *fetched)
            if group.partition in self._next and group.partition not in self._truncated
        ]
        doubtful = self.unsure({each.partition for each in messages})
        if doubtful or self._holding:
            self._hold(doubtful)
            self._held = [group for group in messages if group.partition in doubtful]
            messages = [group for group in messages if group.partition not in doubtful]
        for group in messages:
            self._next[group.partition] = group.next_offset
            self._sought.discard(group.partition)
        return messages

    def _hold(self, partitions: set[Partition]) -> None:
        """Have no more fetched of these, and go on with those that were held before."""
        more, again = partitions - self._holding, self._holding - partitions - self._paused
        self._holding = partitions
        self.consumer.pause(*(TopicPartition(*partition) for partition in more))
        self.consumer.resume(*(TopicPartition(*partition) for partition in again))

    def unsure(self, partitions: Collection[Partition]) -> set[Partition]:
        """Return those that may be of another topic by now, or of none; then a look-up begins."""
        if self._answers is None:
            return {each for each in partitions if not self._sameness.is_sure(each)}
        broken = self._answers.broken
        return {each for each in partitions if not self._sameness.is_sure(each, broken(each))}

    def _as_messages(self, fetched: Mapping[TopicPartition, list[Any]]) -> Iterable[Messages]:
        if self._fast:
            return (group for groups in fetched.values() for group in groups)
        return self._packed(fetched)

    def _packed(self, fetched: Mapping[TopicPartition, list[Any]]) -> Iterable[Messages]:
        for partition, offset in self._next.items():
            if partition in self._holding:
                continue
            key = TopicPartition(*partition)
            records = fetched.get(key, [])
            if not records and (self.consumer.highwater(key) or 0) <= offset:
                continue
            after = self.consumer.position(key, timeout_ms=0)
            if records or (after is not None and after > offset):
                yield pack(partition, as_records(records), after)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Stop handing out messages of `partitions`; one response of each may wait."""
        chosen = set(partitions) & self._next.keys() - self._paused
        self._paused |= chosen
        self.consumer.pause(*(TopicPartition(*partition) for partition in chosen))

    def resume(self, partitions: Collection[Partition]) -> None:
        """Take `partitions` up again where they were paused."""
        chosen = set(partitions) & self._paused
        self._paused -= chosen
        chosen -= self._holding
        self.consumer.resume(*(TopicPartition(*partition) for partition in chosen))

    def lag(self) -> Mapping[Partition, int]:
        """Return how far each partition is behind its log's end, from its last fetch on."""
        lag: dict[Partition, int] = {}
        for partition, offset in self._next.items():
            end = self.consumer.highwater(TopicPartition(*partition))
            if end is not None:
                lag[partition] = max(0, end - offset)
        return lag

    def blocked(self) -> frozenset[Partition]:
        """Return the partitions in which an open transaction hides what comes next."""
        return self._blocked.partitions

    def tell(self, told: Notice) -> None:
        """Add what an operator should know."""
        self._notices.append(told)

    def notices(self) -> tuple[Notice, ...]:
        """Return what happened since the last call."""
        notices, self._notices = tuple(self._notices), []
        return notices

    def close(self) -> None:
        """Close the connections."""
        self.consumer.close(autocommit=False, timeout_ms=1_000)

    # What can go wrong.

    def _watch_connection(self, polled_before: float) -> None:
        """Find out whether brokers answered since the poll before this one."""
        now = time.monotonic()
        lately = min(polled_before, now - _PATIENCE)
        fetched = self._next.keys() - self._paused - self._holding
        if self._answers is None or not fetched:
            connected, answered = self._reachable(), fetched
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
        self.at_end = frozenset(key for key in answered if lag.get(key) == 0)
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
        # Of what is read no more the client may still tell.
        if isinstance(error, OffsetOutOfRangeError):
            for key, offset in error.args[0].items():
                if Partition(*key) in self._next:
                    self._lost(Partition(*key), offset, None)
        elif isinstance(error, LogTruncationError):
            for key, known in error.divergent_offsets.items():
                self._note_truncation(Partition(*key), None if known is None else known.offset)
        elif isinstance(error, RetriableError):
            time.sleep(PAUSE)
        else:
            raise connections_error(self._connection, "read the topics", error) from error

    def _note_truncation(self, partition: Partition, offset: int | None) -> None:
        if partition in self._sought:
            # The client tells of the position before, a poll later: perhaps in another topic of
            # the name. What was sought has no epoch that a leader's could differ from.
            self.seek({partition: self._next[partition]})
        elif partition in self._next:
            self._truncated[partition] = self._next[partition] if offset is None else offset

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
        self.seek({partition: target})


def move_into_range(
    reader: Reader,
    partition: Partition,
    offset: int,
    truncated_to: int | None,
    perhaps_anew: Callable[[Partition], bool],
) -> None:
    """Go on at the log's beginning where it was cut off, at its end where it shrank.

    Reading a log again that shrank (an unclean leader election, a topic made anew) would show
    the detectors all its old events a second time. A topic made anew under its name is no such
    log: while it is `perhaps_anew`, as a new look-up will tell, nothing is done.
    """
    try:
        first = reader.earliest([partition])[partition]
        last = reader.latest([partition])[partition]
    except KafkaError:
        return  # The client raises the same error at the next poll.
    if (offset > last or truncated_to is not None) and perhaps_anew(partition):
        time.sleep(PAUSE)
        return
    target = max(first, min(last, offset if truncated_to is None else min(offset, truncated_to)))
    reader.seek({partition: target})
    if target == offset:
        time.sleep(PAUSE)  # The broker does not agree with itself yet, or nothing is known lost.
        return
    reader.tell(
        notice(
            "offsets lost" if target > offset else "log truncated",
            topic=partition.topic,
            partition=partition.number,
            from_offset=offset,
            to_offset=target,
        )
    )


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {Partition(*key): offset for key, offset in offsets.items()}
