"""One session of a follower: reads a topic for a line, and commits how far that is."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import structlog
from kafka.errors import KafkaError

from streamdrift.errors import ConnectionsError
from streamdrift.following.backlog import Backlog, Look
from streamdrift.following.lines import Line, Moment
from streamdrift.following.outbound import Place
from streamdrift.following.receivers import Record
from streamdrift.following.seats import Seat
from streamdrift.kafka.clients import KafkaSettings, connection_errors
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Messages, Partition, Reached
from streamdrift.sources.reading import PAUSE

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 2.0
"""Between two looks at whether the service has caught up."""
_RECOMMIT_SECONDS = 3_600.0
"""Brokers forget positions that nobody has committed for days (offsets.retention.minutes)."""
_LOST = ("from_offset", "to_offset")
_log = structlog.get_logger("streamdrift")

Commit = Callable[[Mapping[Partition, tuple[int, str]]], None]


def machine_moment() -> Moment:
    """Return what the machine's clocks show."""
    return Moment(time.time_ns() // 1_000, time.monotonic())


class Follower:
    """Turns of one session, until something fails.

    Where nothing is committed yet, the line is told of what is published from `begin_at` on, in
    microseconds since the epoch. `stages` and `within` are as `Backlog` has them.
    """

    def __init__(
        self,
        seat: Seat,
        line: Line,
        connection: KafkaSettings,
        begin_at: int,
        commit: Commit,
        stages: Sequence[Look],
        within: float,
        metrics: Metrics,
        clock: Callable[[], Moment] = machine_moment,
    ) -> None:
        self._seat = seat
        self._line = line
        self._connection = connection
        self._begin_at = begin_at
        self._commit = commit
        self._backlog = Backlog((*stages, self._reached), within)
        self._metrics = metrics
        self._clock = clock
        self._ends: dict[Partition, int] = {}
        """Where partitions end that are to be read before anything is sent."""
        self._committed: dict[Partition, tuple[int, str]] = {}
        self._paused = False
        self._looked_at = float("-inf")
        self._recommit_at = clock().monotonic + _RECOMMIT_SECONDS
        seat.lost = self._lost

    def turn(self) -> None:
        """Do one round: read, deliver what is due, and commit."""
        self._take_up()
        messages = self._seat.poll(_POLL_SECONDS)
        for partition in self._seat.gone():
            self._line.drop(partition)
            self._committed.pop(partition, None)
            self._ends.pop(partition, None)
        for group in messages:
            self._take(group)
        self._tell()
        moment = self._clock()
        self._look(moment)
        self._balance(moment)
        if self._has_read_all():
            self._line.turn(self._clock)
        self._commit_positions()
        self._line.show(self._clock())

    def _take_up(self) -> None:
        added = self._seat.added()
        if not added:
            return
        reader, line = self._seat.reader, self._line
        with connection_errors(self._connection, f"find where to read {line.topic} from"):
            if line.whole:
                starts = {key: (offset, "") for key, offset in reader.earliest(added).items()}
                self._ends |= reader.latest(added)
            else:
                committed = self._seat.committed(added)
                if committed is None:
                    return
                starts = {
                    key: (at.offset, at.note) for key, at in committed.items() if key in added
                }
                new = added - starts.keys()
                found = reader.offsets_at(self._begin_at, new) if new else {}
                starts |= {key: (offset, "") for key, offset in found.items()}
        for partition, (offset, note) in starts.items():
            line.begin(partition, offset, note)
        self._seat.start({partition: offset for partition, (offset, _) in starts.items()})

    def _take(self, group: Messages) -> None:
        for record in records_of(group):
            self._line.take(record, self._clock())
        self._line.passed(group.partition, group.next_offset)

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        """Go on where the topic has alerts that were not read.

        Where it ends before that, it was made anew, or has lost its end: from what was published
        since the begin on, of which some may be told again.
        """
        reader, here = self._seat.reader, [partition]
        with suppress(KafkaError, ConnectionsError):  # The next poll meets it again.
            first, last = reader.earliest(here)[partition], reader.latest(here)[partition]
            if offset < first:
                reader.seek({partition: first})
                self._tell_lost("alerts lost", partition, offset, first)
            elif offset <= last and truncated_to is None:
                reader.seek({partition: offset})  # The broker does not agree with itself yet.
                time.sleep(PAUSE)
            else:
                since = first if self._line.whole else self._since_begin(partition)
                self._line.drop(partition)
                self._line.begin(partition, since, "")
                reader.seek({partition: since})
                self._tell_lost("alerts are others", partition, offset, since)

    def _since_begin(self, partition: Partition) -> int:
        return self._seat.reader.offsets_at(self._begin_at, [partition])[partition]

    def _tell_lost(self, event: str, partition: Partition, offset: int, after: int) -> None:
        self._metrics.sink_passed_over(self._line.sink, "lost", max(0, after - offset))
        _log.warning(
            event,
            sink=self._line.sink,
            topic=partition.topic,
            partition=partition.number,
            from_offset=offset,
            to_offset=after,
        )

    def _tell(self) -> None:
        """Tell of what only this reader knows: of brokers that are away the service tells."""
        for notice in self._seat.reader.notices():
            if notice.event == "damaged batch skipped":
                topic, number = str(notice.fields["topic"]), int(str(notice.fields["partition"]))
                first, after = (int(str(notice.fields[name])) for name in _LOST)
                self._tell_lost(notice.event, Partition(topic, number), first, after)

    def _look(self, moment: Moment) -> None:
        """Find out whether the service has caught up, where anything waits for that."""
        if not self._line.has_history or moment.monotonic < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = moment.monotonic
        since = self._backlog.look(moment.monotonic)
        if since is not None:
            self._line.caught_up(since, moment)

    def _reached(self) -> Mapping[Partition, Reached]:
        """Return how far the line's own topic is read: the last stage."""
        reader = self._seat.reader
        with connection_errors(self._connection, f"find the end of {self._line.topic}"):
            ends = reader.latest(reader.positions)
        return {key: Reached(reader.positions[key], end) for key, end in ends.items()}

    def _has_read_all(self) -> bool:
        """Tell whether what was in the topic when it was taken up is read."""
        positions = self._seat.reader.positions
        for partition, end in list(self._ends.items()):
            if positions.get(partition, 0) >= end:
                del self._ends[partition]
        return not self._ends

    def _balance(self, moment: Moment) -> None:
        """Read no more while the line has enough."""
        full, reader = self._line.is_full(moment), self._seat.reader
        if full != self._paused:
            self._paused = full
            (reader.pause if full else reader.resume)(tuple(reader.positions))

    def _commit_positions(self) -> None:
        found = {key: self._line.position(key) for key in self._seat.reader.positions}
        moved = {
            key: position
            for key, position in found.items()
            if position is not None and self._committed.get(key) != position
        }
        now = self._clock().monotonic
        if now >= self._recommit_at:
            moved = {key: position for key, position in found.items() if position is not None}
            self._recommit_at = now + _RECOMMIT_SECONDS
        if moved:
            self._commit(moved)
            self._committed |= moved


def records_of(group: Messages) -> Iterator[Record]:
    """Yield the records of messages; those without a time are taken to be written just now."""
    for i in range(len(group)):
        begin, size = int(group.key_start[i]), max(0, int(group.key_length[i]))
        key = group.data[begin : begin + size].tobytes().decode(errors="replace")
        time_ = int(group.time[i])
        yield Record(
            Place(group.partition, int(group.offset[i])),
            key,
            group.value(i),
            time_ if time_ >= 0 else time.time_ns() // 1_000,
        )
