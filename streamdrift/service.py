"""The service: drives the pipeline from a source, commits, and recovers."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from streamdrift.commit import (
    Letters,
    Outgoing,
    Places,
    Transaction,
    commit_at_least_once,
    commit_exactly_once,
)
from streamdrift.errors import ConnectionsError, StateError
from streamdrift.idleness import Idleness, Look
from streamdrift.metrics import Metrics
from streamdrift.pipeline import Pipeline
from streamdrift.records import Messages, Notice, Partition, State, WarmUp
from streamdrift.sinks import Sink
from streamdrift.sources import Source
from streamdrift.state import Published, TopicStore, decode
from streamdrift.trees import text, tree

POLL_SECONDS = 0.2
_SHOW_EVERY = 1.0
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_CHECK_EVERY = 5.0
"""Seconds between two looks at who owns the deployment, while nothing is committed."""
_HUNG = 120.0
"""Seconds without a turn after which the loop is said to hang."""
_GOOD_NEWS = frozenset({"broker back", "partition found"})
_log = structlog.get_logger("streamdrift")


@dataclass(frozen=True, slots=True)
class Session:
    """What the service works with until a connection fails; then it opens another."""

    store: TopicStore
    sinks: Sequence[Sink]
    letters: Letters
    open_source: Callable[[Mapping[Partition, int]], Source]
    check_owner: Callable[[], None]
    """Raises FencedError where another process has taken over the deployment."""
    transaction: Transaction | None = None
    """What all writers write into; None where alerts are delivered at least once."""
    group: str = ""
    """The consumer group whose offsets show how far the input is read."""


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


class MachineClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> int:
        return time.time_ns() // 1_000


def changed_settings(stored: State, ours: Mapping[str, str]) -> list[str]:
    """Return `key: stored -> ours` for each setting in which two fingerprints differ."""
    return [
        f"{key}: {text(stored, key) if key in stored else 'unset'} -> {ours.get(key, 'unset')}"
        for key in sorted({*stored, *ours})
        if stored.get(key) != ours.get(key)
    ]


class Service:
    """Reads, observes, publishes and commits until it is stopped.

    `open_session` connects; `make_pipeline` returns one without state. `step` is told of
    every step of a commit, for fault tests.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        open_session: Callable[[], AbstractContextManager[Session]],
        make_pipeline: Callable[[], Pipeline],
        metrics: Metrics,
        clock: Clock | None = None,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._open_session = open_session
        self._make_pipeline = make_pipeline
        self._metrics = metrics
        self._clock = clock or MachineClock()
        self._step = step
        self._stopping = threading.Event()
        self._wait = _FIRST_WAIT
        self._beat = self._clock.monotonic()
        self.ready = False
        self._served = False
        self.connecting = False
        """Whether a session is being opened: nothing was read since the last commit."""
        self.pipeline = make_pipeline()

    def stop(self) -> None:
        """Ask the service to commit and leave; may be called from a signal or a thread."""
        self._stopping.set()

    @property
    def healthy(self) -> bool:
        """Whether the loop goes round (a broker that is away is waited for: no illness)."""
        return self._clock.monotonic() - self._beat < _HUNG

    def run(self) -> None:
        """Serve until `stop`; what fails before the first read is raised.

        Later, a session whose connection fails is given up, as nothing may be written with a
        producer that failed, and a new one recovers from the last commit.
        """
        self._wait = _FIRST_WAIT
        while not self._stopping.is_set():
            self._beat = self._clock.monotonic()
            self.connecting = True
            try:
                with self._open_session() as session:
                    self.connecting = False
                    self._serve(session)
            except ConnectionsError as error:
                if not self._served or self._stopping.is_set():
                    raise  # At the end, what was read last is not committed.
                self.ready = False
                self._metrics.connected(False)
                _log.warning("connection lost, trying again", error=str(error), seconds=self._wait)
                self._stopping.wait(self._wait)
                self._wait = min(2 * self._wait, _LONGEST_WAIT)
            finally:
                self.connecting = False
                if self._stopping.is_set():
                    self.ready = False

    def _serve(self, session: Session) -> None:
        positions, published = self._startup(session)
        source = session.open_source(positions)
        loop = _Loop(
            session,
            source,
            self.pipeline,
            Outgoing(published if session.transaction else Published()),
            self._settings,
            self._metrics,
            self._clock,
            self._step,
        )
        try:
            self.ready = self._served = True
            _log.info("reading", **_by_topic(source.partitions()))
            while not self._stopping.is_set():
                self._beat = self._clock.monotonic()
                if loop.turn():
                    self._wait = _FIRST_WAIT
            loop.finish()
        finally:
            source.close()

    def _startup(self, session: Session) -> tuple[Mapping[Partition, int], Published]:
        """Restore the last commit into a new pipeline.

        Return where reading goes on, and what was published of what comes after that.
        """
        self.pipeline = self._make_pipeline()
        stored = session.store.load()
        self._step("loaded")
        if stored.snapshot is None:
            if self._served:
                _log.warning("the stored state is gone: all references are learned anew")
            else:
                _log.info("no state yet: starting anew")
            self.pipeline.ordering.foresee(stored.floors)
            return {}, stored.published
        state = decode(stored.snapshot)
        self._check_fingerprint(tree(state, "settings"))
        notices = self.pipeline.restore(tree(state, "pipeline"))
        self.pipeline.ordering.foresee(stored.floors)
        positions = self.pipeline.ordering.positions()
        _log.info("state restored", bytes=len(stored.snapshot), partitions=len(positions))
        for notice in notices:
            _tell(notice)
        # Dead letters of what the snapshot had seen were published with it or before it, also
        # of messages behind events it held: those are read again, and their marks are not.
        seen = self.pipeline.ordering.seen()
        known = Published(letters={key: offset - 1 for key, offset in seen.items()})
        return positions, known.and_then(stored.published)

    def _check_fingerprint(self, stored: State) -> None:
        changed = changed_settings(stored, self._settings.fingerprint)
        if changed:
            raise StateError(
                "the settings changed so that the stored state does not fit: " + "; ".join(changed),
                "change them back, start with --reset-state to begin anew, or run a deployment "
                "of another name beside this one",
            )


class _Loop:
    """One session's turns: read, order, observe, publish, commit."""

    def __init__(
        self,
        session: Session,
        source: Source,
        pipeline: Pipeline,
        outgoing: Outgoing,
        settings: ServiceSettings,
        metrics: Metrics,
        clock: Clock,
        step: Callable[[str], None],
    ) -> None:
        self._session = session
        self._source = source
        self._pipeline = pipeline
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._step = step
        self._outgoing = outgoing
        self._places = Places(session.store, session.sinks, session.letters)
        self._idleness = Idleness(settings.idle_after, clock.monotonic())
        self._unsaved = False
        self._paused: set[Partition] = set()
        self._dropping: set[str] = set()
        """Topics of which it was said that fields are dropped."""
        self._quarters: dict[tuple[str, str], int] = {}
        self._connected: bool | None = None
        self._shown_at = float("-inf")
        self._check_due = clock.monotonic() + _CHECK_EVERY
        self._commit_due = self._snapshot_due = clock.monotonic() + settings.commit_interval
        pipeline.ordering.assign(source.partitions())

    def turn(self) -> bool:
        """Do one round, which takes POLL_SECONDS where nothing comes; tell of a commit."""
        messages = self._timed("read", lambda: self._source.poll(POLL_SECONDS))
        shown = self._feed(messages)
        self._watch_source()
        self._judge_idle(shown)
        self._observe()
        self._balance()
        now = self._clock.monotonic()
        self._unsaved |= bool(messages)
        due = self._due(now)
        if due:
            self._commit(snapshot=self._unsaved and now >= self._snapshot_due)
        elif now >= self._check_due:
            self._session.check_owner()
            self._check_due = now + _CHECK_EVERY
        if now >= self._shown_at + _SHOW_EVERY:
            self._shown_at = now
            self._show()
        return due

    def finish(self) -> None:
        """Commit what was read, at the end."""
        self._observe()
        self._commit(snapshot=True)
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
            events = sum(len(batch) for batch in decoded.batches)
            if events:
                shown.add(group.partition)
            self._metrics.read(group.partition.topic, len(group), events, decoded.dropped_fields)
            self._tell_dropped(group.partition.topic, decoded.dropped_fields)
            for letter in decoded.dead_letters:
                self._metrics.dead_letter(letter.reason)
            self._outgoing.add(letters=decoded.dead_letters)
        if messages:
            self._metrics.spent("decode", self._clock.monotonic() - start)
        return shown

    def _tell_dropped(self, topic: str, fields: int) -> None:
        if fields and topic not in self._dropping:
            self._dropping.add(topic)
            _log.warning("events with too many fields: some are not watched", topic=topic)

    def _watch_source(self) -> None:
        self._pipeline.ordering.assign(self._source.partitions())
        for notice in self._source.notices():
            say = _log.info if notice.event in _GOOD_NEWS else _log.warning
            say(notice.event, **notice.fields)
        if self._source.connected != self._connected:
            self._connected = self._source.connected
            self._metrics.connected(self._connected)

    def _judge_idle(self, shown: Collection[Partition]) -> None:
        """Let idle partitions hold nobody back, and time go on where all are."""
        partitions = self._source.partitions()
        left = self._pipeline.ordering.pending().keys() - set(partitions)
        now, at_end = self._clock.monotonic(), self._source.at_end()
        verdict = self._idleness.judge(Look(now, partitions, at_end, shown, left))
        for partition in verdict.idle:
            self._pipeline.idle(partition)
        if verdict.silent_for is not None:
            self._pipeline.tick_after(verdict.silent_for)

    def _observe(self) -> None:
        observation = self._timed("observe", self._pipeline.release)
        for notice in observation.notices:
            _tell(notice)
        for alert in observation.alerts:
            _log.info(
                f"incident {alert.type}",
                model=alert.model,
                version=alert.version,
                alert=alert.id,
                summary=alert.data.get("summary"),
            )
        self._outgoing.add(observation.alerts)
        self._unsaved |= bool(observation.alerts)

    def _balance(self) -> None:
        """Pause partitions that run far ahead of the others, and resume them later."""
        pending, limit = self._pipeline.ordering.pending(), self._settings.max_pending
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
        waiting = bool(self._outgoing) or self._pipeline.ordering.has_floors
        if self._session.transaction is not None:
            return (waiting or self._unsaved) and now >= self._commit_due
        return waiting or (self._unsaved and now >= self._snapshot_due)

    def _commit(self, *, snapshot: bool) -> None:
        start = self._clock.monotonic()
        alerts = tuple(self._outgoing.alerts)
        size = self._commit_with(self._session.transaction, snapshot=snapshot)
        end = self._clock.monotonic()
        self._metrics.published(alerts, self._clock.now())
        self._metrics.committed(end - start)
        self._commit_due = end + self._settings.commit_interval
        if snapshot:
            self._unsaved = False
            self._metrics.stored(size)
            wait = max(self._settings.commit_interval, size / self._settings.bytes_per_second)
            self._snapshot_due = end + wait

    def _commit_with(self, transaction: Transaction | None, *, snapshot: bool) -> int:
        what = (self._pipeline, self._outgoing, self._places, self._settings.fingerprint)
        if transaction is None:
            check = self._session.check_owner
            return commit_at_least_once(*what, check, snapshot=snapshot, reached=self._step)
        group = self._session.group
        return commit_exactly_once(*what, transaction, group, snapshot=snapshot, reached=self._step)

    def _show(self) -> None:
        monitor, ordering = self._pipeline.monitor, self._pipeline.ordering
        pending = sum(ordering.pending().values())
        self._metrics.position(
            self._pipeline.watermark, self._source.lag(), pending, ordering.counts()
        )
        self._metrics.blocked(len(self._source.blocked()))
        warm_ups = monitor.warm_ups()
        readings, left_out = monitor.readings(self._metrics.max_series)
        self._metrics.watched(
            readings,
            left_out,
            warm_ups,
            monitor.open_incidents(),
            monitor.unwatched,
            monitor.dropped,
        )
        self._tell_progress(warm_ups)

    def _tell_progress(self, warm_ups: Sequence[WarmUp]) -> None:
        """Log each quarter of a reference; its completion is a notice of the monitor."""
        for each in warm_ups:
            key = (each.model, each.version)
            quarter = 4 * each.events // max(1, each.wanted)
            if each.complete:
                self._quarters.pop(key, None)
            elif self._quarters.get(key, 0) < quarter < 4:
                self._quarters[key] = quarter
                _log.info(
                    "learning the reference",
                    model=each.model,
                    version=each.version,
                    events=each.events,
                    wanted=each.wanted,
                )


def _by_topic(partitions: Sequence[Partition]) -> dict[str, Mapping[str, int]]:
    return {"partitions": dict(Counter(partition.topic for partition in partitions))}


def _tell(notice: Notice) -> None:
    _log.info(notice.event, model=notice.model, version=notice.version, **notice.fields)
