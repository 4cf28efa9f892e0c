"""The service's loop: one session's turns, in which it reads, orders, observes and commits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from streamdrift.commit import (
    PART_BYTES,
    Letters,
    Outgoing,
    Places,
    ServiceWork,
    Take,
    commit_at_least_once,
    many,
    nothing_due,
)
from streamdrift.desk import Desk
from streamdrift.idleness import Idleness, Look
from streamdrift.metrics import Metrics
from streamdrift.pipeline import Pipeline
from streamdrift.records import Messages, Partition, Reached
from streamdrift.rota import Rota
from streamdrift.sinks import Sink
from streamdrift.sources import Source
from streamdrift.state import TopicStore, encode
from streamdrift.state.commands import CommandLog, Received
from streamdrift.telling import Telling, tell
from streamdrift.transaction import Transaction, commit_transaction

_POLL_SECONDS = 0.2
_SHOW_EVERY = 1.0
_CHECK_EVERY = 5.0
"""Seconds between two looks at who owns the deployment, while nothing is committed."""
_log = structlog.get_logger("streamdrift")


@dataclass(frozen=True, slots=True)
class Session:
    """What the service works with until a connection fails; then it opens another."""

    store: TopicStore
    sinks: Sequence[Sink]
    letters: Letters
    open_source: Callable[[Mapping[Partition, int], Mapping[str, int]], Source]
    """Opens what is read, from positions in topics that identities tell from others."""
    check_owner: Callable[[], None]
    """Raises FencedError where another process has taken over the deployment."""
    transaction: Transaction | None = None
    """What all writers write into; None where alerts are delivered at least once."""
    group: str = ""
    """The consumer group whose offsets show how far the input is read."""
    has_committed: Callable[[], bool] = lambda: False
    """Tells whether the group has offsets, from this life of the deployment or another."""
    open_commands: Callable[[int | None], CommandLog] | None = None
    """Opens what operators ask, from behind the last place that is known."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Intervals in seconds, but `idle_after` in microseconds as in the settings."""

    commit_interval: float
    bytes_per_second: float
    idle_after: int
    max_pending: int
    fingerprint: Mapping[str, str]
    """How the input is read, which must not change while state is kept: a text by key."""


class Clock(Protocol):
    """The machine's clocks, as the service needs them."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        ...

    def now(self) -> int:
        """Return microseconds since the epoch."""
        ...


class Loop:
    """One session's turns: read, order, observe, publish, commit."""

    def __init__(
        self,
        session: Session,
        source: Source,
        commands: CommandLog | None,
        pipeline: Pipeline,
        outgoing: Outgoing,
        rota: Rota,
        settings: ServiceSettings,
        metrics: Metrics,
        desk: Desk,
        clock: Clock,
        step: Callable[[str], None],
        note_reached: Callable[[Mapping[Partition, Reached]], None],
    ) -> None:
        self._session = session
        self._source = source
        self._commands = commands
        self._asked: list[Received] = []
        """What operators asked that has not taken effect yet."""
        self._pipeline = pipeline
        self._settings = settings
        self._metrics = metrics
        self._desk = desk
        self._telling = Telling(metrics, "input")
        self._clock = clock
        self._step = step
        self._note_reached = note_reached
        self._outgoing = outgoing
        self._rota = rota
        self._places = Places(session.store, session.sinks, session.letters)
        self._idleness = Idleness(settings.idle_after, clock.monotonic())
        self._taken = 0
        """Bytes of the snapshots that the last commit wrote."""
        self.kept = False
        """Whether snapshots were committed."""
        self._paused: set[Partition] = set()
        self._committed: dict[Partition, int] = dict(pipeline.ordering.read_to())
        """The group's offsets: those of the last commit."""
        self._shown_at = float("-inf")
        self._check_due = clock.monotonic() + _CHECK_EVERY
        self._listen_due = clock.monotonic()
        self._commit_due = self._snapshot_due = clock.monotonic() + settings.commit_interval
        self._assign()

    def turn(self) -> bool:
        """Do one round, which takes _POLL_SECONDS where nothing comes; tell of a commit."""
        wait = 0.0 if self._desk.waiting else _POLL_SECONDS
        messages = self._timed("read", lambda: self._source.poll(wait))
        self._assign()
        shown = self._feed(messages)
        self._watch_source()
        self._judge_idle(shown)
        self._observe()
        self._balance()
        now = self._clock.monotonic()
        if messages:
            self._rota.all_changed()
        if now >= self._listen_due and self._commands is not None:
            self._listen_due = now + self._settings.commit_interval
            self._asked += self._commands.read()
        due = self._due(now)
        if due:
            # The first commit of all says where reading began.
            missing = bool(self._rota.missing)
            snapshots = missing or (self._rota.unsaved and now >= self._snapshot_due)
            self._commit(self._take_due if snapshots else nothing_due)
        elif now >= self._check_due:
            self._session.check_owner()
            self._check_due = now + _CHECK_EVERY
        if now >= self._shown_at + _SHOW_EVERY:
            self._shown_at = now
            self._show()
        self._desk.serve(self._pipeline.monitor.monitors)
        return due

    def finish(self) -> None:
        """Commit what was read, at the end.

        Snapshots go in parts that are soon written, all of this moment: whoever dies amid
        them leaves some that are ahead of others, as by turns.
        """
        self._observe()
        self._rota.all_changed()
        while self._rota.unsaved:
            self._commit(self._take_part)
        self._show()
        _log.info("stopped: everything read is committed")

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        start = self._clock.monotonic()
        result = work()
        self._metrics.spent(stage, self._clock.monotonic() - start)
        return result

    def _feed(self, messages: Sequence[Messages]) -> set[Partition]:
        """Decode messages; return the partitions that have shown events."""
        shown: set[Partition] = set()
        start = self._clock.monotonic()
        for group in messages:
            decoded = self._pipeline.feed(group)
            if self._telling.decoded(group, decoded):
                shown.add(group.partition)
            if decoded.dead_letters:
                self._outgoing.add(letters=decoded.dead_letters)
                if many(self._outgoing.letters):
                    self._commit_amid()
        if messages:
            self._metrics.spent("decode", self._clock.monotonic() - start)
        return shown

    def _commit_amid(self) -> None:
        """Commit before all that was handed out is fed."""
        self._rota.all_changed()
        # What is published needs a state that it came after.
        self._commit(self._take_due if self._rota.missing else nothing_due)

    def _assign(self) -> None:
        """Let what is read take part, before its events do."""
        anew = self._pipeline.ordering.know(self._source.identities())
        if anew:
            begun = [each for each in self._pending() if each.topic in anew]
            self._idleness.forget(begun)
            for partition in begun:  # With the topic went the group's offsets.
                self._committed.pop(partition, None)
        self._outgoing.know(self._pipeline.ordering.identities)
        self._pipeline.ordering.assign(self._source.partitions())
        if self._pipeline.ordering.begin(self._source.begun()):
            self._rota.all_changed()

    def _watch_source(self) -> None:
        self._telling.source(self._source.notices(), connected=self._source.connected)

    def _judge_idle(self, shown: Collection[Partition]) -> None:
        """Let idle partitions hold nobody back, and time go on where all are."""
        partitions = self._source.partitions()
        left = self._pending().keys() - set(partitions)
        now, at_end = self._clock.monotonic(), self._source.at_end()
        verdict = self._idleness.judge(Look(now, partitions, at_end, shown, left))
        for partition in verdict.idle:
            self._pipeline.idle(partition)
        if verdict.silent_for is not None:
            self._pipeline.tick_after(verdict.silent_for)

    def _observe(self) -> None:
        before = self._pipeline.events
        observation = self._timed("observe", self._pipeline.release)
        for notice in observation.notices:
            tell(notice)
        self._telling.alerts(observation.alerts)
        self._outgoing.add(observation.alerts)
        # The last events before a rest are observed when nothing more comes.
        if observation.alerts or self._pipeline.events > before:
            self._rota.all_changed()

    def _obey(self) -> None:
        """Do what operators asked, at this place; after what was asked in another life."""
        if self._pipeline.foresees:
            return
        for received in self._asked:
            self._telling.commanded(received)
            if received.command is not None:
                taken, notices = self._pipeline.command(received.place, received.command)
                self._outgoing.commands.append(taken)
                for notice in notices:
                    tell(notice)
                self._rota.all_changed()
        self._asked.clear()

    def _pending(self) -> Mapping[Partition, int]:
        return self._pipeline.ordering.pending()

    def _balance(self) -> None:
        """Pause partitions that run far ahead of the others, and resume them later."""
        pending, limit = self._pending(), self._settings.max_pending
        ahead = {partition for partition, events in pending.items() if events > limit}
        if ahead - self._paused:
            self._source.pause(ahead - self._paused)
            self._paused |= ahead
        caught_up = {each for each in self._paused if pending.get(each, 0) <= limit // 2}
        if caught_up:
            self._source.resume(caught_up)
            self._paused -= caught_up

    def _due(self, now: float) -> bool:
        """Tell whether there is something to commit, and its time has come.

        Alerts leave at once, but for transactions, which cost too much for that.
        """
        asked = bool(self._asked) and not self._pipeline.foresees
        waiting = asked or bool(self._outgoing) or self._pipeline.ordering.has_floors
        if self._session.transaction is not None:
            return (waiting or self._rota.unsaved) and now >= self._commit_due
        return waiting or (self._rota.unsaved and now >= self._snapshot_due)

    def _commit(self, take: Take) -> None:
        start = self._clock.monotonic()
        self._obey()
        alerts = tuple(self._outgoing.alerts)
        self._taken = 0
        self._commit_with(self._session.transaction, take)
        end = self._clock.monotonic()
        self._metrics.published(alerts, self._clock.now())
        self._metrics.committed(end - start)
        self._metrics.observed(self._pipeline.watermark)
        self._commit_due = end + self._settings.commit_interval
        if self._taken:
            self.kept = True
            self._metrics.stored(self._rota.size)
            spread = self._taken / self._settings.bytes_per_second
            self._snapshot_due = end + max(self._settings.commit_interval, spread)

    def _commit_with(self, transaction: Transaction | None, take: Take) -> None:
        what = (self._pipeline, self._outgoing, self._places)
        if transaction is None:
            check = self._session.check_owner
            commit_at_least_once(*what, check, take=take, reached=self._step)
        else:
            work = ServiceWork(*what, take, self._committed)
            commit_transaction(work, transaction, self._session.group, self._step)

    def _take_due(self) -> Mapping[int, bytes]:
        """Take the snapshots that the budget of one interval allows."""
        return self._take(self._settings.bytes_per_second * self._settings.commit_interval)

    def _take_part(self) -> Mapping[int, bytes]:
        return self._take(PART_BYTES)

    def _take(self, budget: float) -> Mapping[int, bytes]:
        taken = self._rota.take(self._encode, budget, self._pipeline.ahead())
        self._taken = sum(map(len, taken.values()))
        return taken

    def _encode(self, shard: int) -> bytes:
        settings = self._settings.fingerprint
        return encode({"settings": settings, **self._pipeline.snapshot(shard)})

    def _show(self) -> None:
        self._metrics.observed(self._pipeline.watermark)
        self._metrics.pending(sum(self._pending().values()))
        lag, pending = self._source.lag(), self._pending()
        self._metrics.lagging("input", lag)
        # What is known to be behind is not published, and what is read and waits is not observed.
        if not self._outgoing and lag.keys() >= set(self._source.partitions()):
            read = self._pipeline.ordering.read_to()
            self._note_reached(
                {
                    key: Reached(read.get(key, 0) - pending.get(key, 0), read.get(key, 0) + left)
                    for key, left in lag.items()
                }
            )
        self._metrics.displaced(self._pipeline.ordering.counts())
        self._metrics.blocked(len(self._source.blocked()))
        self._telling.progress(self._pipeline.monitor.monitors)
