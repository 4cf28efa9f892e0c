"""A deployment under faults: fed without pause, watched from outside, compared at the end."""

import itertools
import math
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from loadtest.faults.verdict import Verdict, compare
from streamdrift.assembly import make_pipeline, topic_needs
from streamdrift.config import Settings, load_settings
from streamdrift.errors import ConnectionsError
from streamdrift.kafka import KafkaSettings
from streamdrift.outbox import Outbox
from streamdrift.state import TopicStore, decode
from streamdrift.state.journal import read_journal, write_floors
from streamdrift.state.kafka import KafkaLog
from streamdrift.topics import TopicNeed, ensure_topics
from streamdrift.trees import tree
from tests.exactly_once import (
    CYCLE,
    PARTITIONS,
    Life,
    ends,
    events,
    finish,
    letters,
    produce,
    published,
    settings_of,
    started,
)

_LOOK_EVERY = 0.1
_SEND_EVERY = 0.1
_PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a scenario has shown; times in seconds."""

    faults: int
    verdict: Verdict
    events: int
    """Events on the topic that can be decoded."""
    counted: int
    """Events in the last state: each counts once, however often it was read again."""
    decoded: int
    """Events decoded by all processes, as their metrics say: more than there are where some
    were read again, less where a process died before it was asked."""
    commits: tuple[int, ...]
    """Commits between one fault and the next, as far as they were seen."""
    woken: int
    """Floors: what idle partitions brought later was kept behind what had been published."""
    stall: float
    """The longest time without a commit while events waited."""
    resumed: tuple[float, ...]
    """From the end of each fault to the first commit after it, if events waited."""

    @property
    def flawless(self) -> bool:
        """Whether everything is as in the undisturbed run."""
        return self.verdict.equal and self.counted == self.events

    @property
    def median(self) -> float:
        return statistics.median(self.resumed) if self.resumed else math.nan

    @property
    def worst(self) -> float:
        return max(self.resumed, default=math.nan)


@dataclass(slots=True)
class _Seen:
    """Moments, on the clock that never jumps, in the order they were seen."""

    fed: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    decoded: dict[Life, int] = field(default_factory=dict)

    def since(self, start: float) -> float:
        """Return when there was something to commit, from `start` on."""
        last = max((at for at in self.commits if at <= start), default=0.0)
        waiting = next((at for at in self.fed if at > last), math.inf)
        return max(start, waiting)

    def next_commit(self, start: float) -> float:
        return next((at for at in self.commits if at > start), math.inf)

    def stalls(self) -> Iterator[float]:
        for before, after in itertools.pairwise(self.commits):
            yield max(0.0, after - self.since(before))


class Trial:
    """A topic that is fed `rate` events a second, and a deployment that reads it.

    `direct` is how the feeder and the comparison reach the brokers, `servers` how the service
    does. With `pause` the feeder rests for so many seconds after every tenth second.
    """

    def __init__(
        self,
        direct: str,
        name: str,
        *,
        servers: str | None = None,
        seed: int = 1,
        rate: int = 500,
        pause: float = 0.0,
    ) -> None:
        self.direct = KafkaSettings(bootstrap_servers=direct, bootstrap_timeout=5_000_000)
        self.name = name
        self.topic = f"{name}-predictions"
        self.settings = settings_of(servers or direct, name, self.topic)
        self.faults: list[float] = []
        self._seen = _Seen()
        self._ended: list[float] = []
        self._events = events(seed)
        self._fed = 0
        self._rate, self._pause = rate, pause
        self._enough = threading.Event()
        self._feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)

    def __enter__(self) -> Self:
        ensure_topics(self.direct, [TopicNeed(self.topic, "events", (), PARTITIONS)], create=True)
        self._feeder.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._enough.set()

    # What is fed.

    def _feed(self) -> None:
        started_at, part = time.monotonic(), round(self._rate * _SEND_EVERY)
        outbox: Outbox | None = None
        while not self._enough.is_set():
            chosen = list(itertools.islice(self._events, part))
            outbox = self._send(outbox, chosen)
            self._enough.wait(_SEND_EVERY)
            if self._pause and time.monotonic() - started_at > 10:
                self._enough.wait(self._pause)
                started_at = time.monotonic()
        if outbox is not None:
            outbox.close()

    def _send(self, outbox: Outbox | None, chosen: list[tuple[int, bytes]]) -> Outbox | None:
        """Write events, however often that takes: both runs read what then is there."""
        while True:
            try:
                outbox = outbox or Outbox(self.direct)
                for partition, value in chosen:
                    outbox.send(self.topic, value, partition=partition)
                outbox.flush()
            except ConnectionsError:
                if outbox is not None:
                    outbox.close()
                outbox = None
                time.sleep(0.5)
            else:
                self._fed += len(chosen)
                self._seen.fed.append(time.monotonic())
                return outbox

    # What is watched.

    @contextmanager
    def life(self, kill_at: str | None = None) -> Iterator[Life]:
        """Run one process of the deployment, watched for its commits."""
        over = threading.Event()
        with started(self.settings, kill_at) as life:
            watcher = threading.Thread(target=self._watch, args=(life, over), daemon=True)
            watcher.start()
            try:
                yield life
            finally:
                over.set()
                watcher.join()

    def _watch(self, life: Life, over: threading.Event) -> None:
        commits = 0.0
        while not over.wait(_LOOK_EVERY):
            seen = life.metrics(timeout=0.5)
            if seen.get("streamdrift_commit_seconds_count", 0.0) > commits:
                commits = seen["streamdrift_commit_seconds_count"]
                self._seen.commits.append(time.monotonic())
            if "streamdrift_events_total" in seen:
                self._seen.decoded[life] = int(seen["streamdrift_events_total"])

    def wait_for_commits(self, life: Life, count: int, patience: float = _PATIENCE) -> None:
        """Return when so many more commits were seen; raise AssertionError where they are not."""
        wanted = len(self._seen.commits) + count
        deadline = time.monotonic() + patience
        while len(self._seen.commits) < wanted:
            assert life.process.poll() is None, life.said()
            assert time.monotonic() < deadline, f"no commit for {patience} s\n{life.said()}"
            time.sleep(0.05)

    def fault(self) -> None:
        """Say that a fault begins."""
        self.faults.append(time.monotonic())

    def fault_ended(self) -> None:
        """Say that the last fault is over: from now on the service may resume."""
        self._ended.append(time.monotonic())

    # What is compared.

    def end(self, life: Life) -> Report:
        """Feed the cycle to its end, let all of it be observed, and compare."""
        self._enough.set()
        self._feeder.join(_PATIENCE)
        rest = list(itertools.islice(self._events, -self._fed % CYCLE))
        produce(self.direct, self.topic, rest)
        finish(life, self.direct, self.name, self.topic, _PATIENCE)
        calm = f"{self.name}-calm"
        settings = settings_of(self.direct.bootstrap_servers, calm, self.topic)
        floors = self._hand_journal(load_settings(None, settings))
        with started(settings) as undisturbed:
            finish(undisturbed, self.direct, calm, self.topic, _PATIENCE)
        bad = letters(self.direct, calm)
        verdict = compare(
            published(self.direct, calm, self.topic),
            published(self.direct, self.name, self.topic),
            bad,
            letters(self.direct, self.name),
        )
        edges = [0.0, *self.faults]
        return Report(
            faults=len(self.faults),
            verdict=verdict,
            events=sum(ends(self.direct, self.topic).values()) - len(bad),
            counted=self._counted(),
            decoded=sum(self._seen.decoded.values()),
            commits=tuple(
                sum(first < at <= last for at in self._seen.commits)
                for first, last in itertools.pairwise(edges)
            ),
            woken=floors,
            stall=max(self._seen.stalls(), default=0.0),
            resumed=tuple(
                self._seen.next_commit(end) - self._seen.since(end) for end in self._ended
            ),
        )

    def _hand_journal(self, calm: Settings) -> int:
        """Give the undisturbed run the floors of this one: the clock's verdicts are an input."""
        ensure_topics(self.direct, topic_needs(calm), create=True)
        with closing(KafkaLog(self.direct)) as log, closing(Outbox(self.direct)) as outbox:
            log.write_to(outbox)
            floors = read_journal(log, self.name, f"{self.name}.journal").floors
            write_floors(log, calm.name, calm.state.journal, floors)
            log.flush()
        return len(floors)

    def _counted(self) -> int:
        settings = load_settings(None, self.settings)
        with closing(KafkaLog(self.direct)) as log:
            store = TopicStore(log, self.name, settings.state.topic, settings.state.journal)
            snapshot = store.load().snapshot
        assert snapshot is not None
        pipeline = make_pipeline(settings)
        pipeline.restore(tree(decode(snapshot), "pipeline"))
        return sum(version.events for version in pipeline.monitor.versions())
