"""The ingest role: reads the input, and sends the shards what is in it."""

import itertools
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from streamdrift.exchange.frames import Progress
from streamdrift.exchange.ingest import Ingest
from streamdrift.exchange.roll import Roll
from streamdrift.kafka.transaction import Reached, commit_transaction
from streamdrift.ordering.timeline import Timeline
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import DeadLetter, Extent, Messages, Partition
from streamdrift.serving.commit import many
from streamdrift.serving.idleness import Idleness, Look
from streamdrift.serving.telling import Telling
from streamdrift.sources.member import Member
from streamdrift.state.journal import write_floors
from streamdrift.workers.control import Ahead, Control
from streamdrift.workers.input import Input
from streamdrift.workers.post import Post

_POLL_SECONDS = 0.2
_MOST_PENDING = 100_000
"""Events that make a commit due before its time."""
_EVERYTHING_EVERY = 10.0
"""Seconds between two words on every partition, for workers that are new."""
_REST_EVERY = 5.0
"""Seconds between two promises while all partitions rest."""
_log = structlog.get_logger("streamdrift")


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Intervals in seconds, but `idle_after` in microseconds as in the settings."""

    commit_interval: float
    idle_after: int
    max_pending: int


class _Work:
    """What the ingest role has made since its last commit."""

    def __init__(
        self,
        ingest: Ingest,
        timelines: Mapping[Partition, Timeline],
        progress: Progress | None,
        letters: Sequence[DeadLetter],
        post: Post,
    ) -> None:
        self._ingest = ingest
        self._progress = progress
        self._letters = letters
        self._post = post
        self.offsets = {key: each.offset for key, each in timelines.items()}
        self.notes = {key: each.written() for key, each in timelines.items()}
        self.bytes = 0

    def write(self, reached: Reached) -> None:
        for shard, frame in self._ingest.frames(self._progress):
            self._post.send(shard, frame)
            self.bytes += len(frame)
        reached("frames written")
        self._post.letters.write(self._letters)
        reached("letters written")

    def remember(self, reached: Reached) -> None:
        write_floors(
            self._post.log, self._post.deployment, self._post.journal, self._ingest.floors()
        )
        reached("journaled")

    def flush(self) -> None:
        self._post.outbox.flush()

    def read_to(self) -> tuple[Mapping[Partition, int], Mapping[Partition, str]]:
        return self.offsets, self.notes

    def done(self) -> None:
        self._ingest.told(self._progress)


class Ingesting:
    """One session's turns of the ingest role: read, decode, promise, commit."""

    def __init__(
        self,
        settings: IngestSettings,
        post: Post,
        member: Member,
        source: Input,
        control: Control,
        ingest: Ingest,
        roll: Roll,
        metrics: Metrics,
        reached: Reached,
    ) -> None:
        now = time.monotonic()
        self._settings = settings
        self._post = post
        self._member = member
        self._source = source
        self._control = control
        self._ingest = ingest
        self._roll = roll
        self._metrics = metrics
        self._telling = Telling(metrics, "input")
        self._reached = reached
        self._letters: list[DeadLetter] = []
        self._idleness = Idleness(settings.idle_after, now)
        self._resting: set[Partition] = set()
        self._silent_for = 0
        """Microseconds for which all that is written to this worker's partitions is read."""
        self._known: Mapping[str, Extent] = {}
        """The partitions by topic, as they were told last."""
        self._committed: dict[Partition, tuple[int, str]] = {}
        """Offset and note of each partition, as this session has committed them."""
        self._displaced: dict[Partition, tuple[int, int]] = {}
        self._late = self._unbelieved = 0
        self._ahead = Ahead(settings.max_pending)
        self._events: Counter[Partition] = Counter()
        """Events since the last commit."""
        self._commit_due = now + settings.commit_interval
        self._everything_due = self._rest_due = now
        member.release = self._release

    def turn(self) -> bool:
        """Do one round; tell of a commit."""
        self._source.look()
        self._let_go()
        start = time.monotonic()
        messages = self._member.poll(_POLL_SECONDS)
        self._metrics.spent("read", time.monotonic() - start)
        self._let_go()
        self._source.take_up(heard_all=self._control.heard_all)
        self._let_go()  # It may have learned from the notes what a topic is by now.
        shown = self._feed(messages)
        reader = self._member.reader
        self._telling.source(reader.notices(), connected=reader.connected)
        now = time.monotonic()
        self._judge_idle(shown, now)
        for progress in self._control.heard():
            self._roll.hear(progress, now)
        self._let_go()
        self._balance()
        full = self._ingest.pending_events >= _MOST_PENDING
        if not full and now < self._commit_due:
            return False
        self._commit_due = now + self._settings.commit_interval
        self._promise(now)
        self._show()
        return self._member.stable and self.commit()

    def _let_go(self) -> None:
        """Forget the partitions that this worker has no more, or not as they were."""
        self._source.take_back()
        partitions = self._member.gone()
        self._idleness.forget(partitions)
        for partition in partitions:
            self._ingest.drop(partition)
            self._ahead.drop(partition)
            self._resting.discard(partition)
            self._events.pop(partition, None)
            self._committed.pop(partition, None)
            self._displaced.pop(partition, None)
        self._letters = [each for each in self._letters if each.partition not in partitions]

    def _feed(self, messages: Sequence[Messages]) -> set[Partition]:
        """Decode messages; return the partitions that have shown events."""
        shown: set[Partition] = set()
        start = time.monotonic()
        for group in messages:
            if group.partition not in self._ingest.timelines:
                continue  # Let go since it was fetched: it is read again, by whoever has it.
            decoded = self._ingest.feed(group)
            events = self._telling.decoded(group, decoded)
            if events:
                shown.add(group.partition)
                self._resting.discard(group.partition)
            self._events[group.partition] += events
            if decoded.dead_letters:
                self._letters += decoded.dead_letters
                if many(self._letters) and self._member.stable:
                    self.commit()
        if messages:
            self._metrics.spent("decode", time.monotonic() - start)
        return shown

    def _judge_idle(self, shown: set[Partition], now: float) -> None:
        partitions = self._member.reader.positions.keys()
        look = Look(now, partitions, self._member.reader.at_end, shown, ())
        verdict = self._idleness.judge(look)
        self._resting.update(verdict.idle)
        if not self._resting >= partitions:
            self._silent_for = 0
        elif verdict.silent_for is not None:
            self._silent_for = verdict.silent_for

    def _promise(self, now: float) -> None:
        """Let partitions that rest hold nobody back."""
        if not self._resting:
            return
        all_rest = self._roll.all_rest
        if all_rest and now < self._rest_due:
            return
        key = self._roll.promise(now, self._silent_for)
        if key is None:
            return
        self._rest_due = now + _REST_EVERY
        # Brokers refuse a whole commit with what was promised of a topic that is deleted.
        for partition in self._resting - self._member.reader.unsure(self._resting):
            self._ingest.timelines[partition].promise(key)

    def _balance(self) -> None:
        """Pause partitions that run far ahead of the others, and resume them later."""
        full, few = self._ahead.full(self._roll.watermark())
        self._member.reader.pause(full)
        self._member.reader.resume(few)

    def finish(self) -> None:
        """Commit what was read: at the end."""
        if self._member.stable:
            self.commit()
        else:
            _log.warning("stopped while the group gives out partitions: not all is committed")

    def _release(self, _: Collection[Partition]) -> None:
        """Commit what was read, before partitions are another worker's."""
        if self._member.stable:
            self.commit()

    def commit(self) -> bool:
        """Commit what there is; tell whether there was anything."""
        now = time.monotonic()
        known = dict(self._roll.known)
        everything = now >= self._everything_due or known != self._known
        progress = self._ingest.progress(self._resting, known, everything=everything)
        timelines = {**self._ingest.timelines, **self._source.left}
        changed = {
            key: each
            for key, each in timelines.items()
            if self._committed.get(key) != (each.offset, each.written())
        }
        if progress is None and not self._letters and not changed:
            return False
        # With no offset at all, nobody would ask whether this member was replaced.
        work = _Work(
            self._ingest,
            changed or dict(itertools.islice(timelines.items(), 1)),
            progress,
            self._letters,
            self._post,
        )
        commit_transaction(work, self._post.outbox, self._member.metadata, self._reached)
        self._committed |= {key: (work.offsets[key], work.notes[key]) for key in work.offsets}
        self._letters = []
        self._source.left.clear()
        self._known = known
        if everything:
            self._everything_due = now + _EVERYTHING_EVERY
        self._note_sent()
        self._metrics.committed(time.monotonic() - now)
        self._metrics.exchanged(work.bytes)
        return True

    def _note_sent(self) -> None:
        for partition, events in self._events.items():
            timeline = self._ingest.timelines.get(partition)
            if events and timeline is not None and timeline.key is not None:
                self._ahead.sent(partition, timeline.key, events)
        self._events.clear()

    def _show(self) -> None:
        for partition, timeline in self._ingest.timelines.items():
            # Since this worker has it: what others have counted is in their metrics.
            late, unbelieved = timeline.displaced
            before = self._displaced.get(partition, timeline.displaced)
            self._late += late - before[0]
            self._unbelieved += unbelieved - before[1]
            self._displaced[partition] = timeline.displaced
        self._metrics.displaced({"late": self._late, "unbelieved": self._unbelieved})
        self._metrics.lagging("input", self._member.reader.lag())
        self._metrics.blocked(len(self._member.reader.blocked()))
        self._metrics.assigned("ingest", len(self._member.reader.positions))
