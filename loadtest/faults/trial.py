"""A deployment under faults: fed without pause, watched from outside, compared at the end."""

import itertools
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from loadtest.faults.counted import counted
from loadtest.faults.feeder import Feeder
from loadtest.faults.inside import Coordinates, Inside
from loadtest.faults.progress import advances, resumed, stalls
from loadtest.faults.verdict import Verdict, compare
from loadtest.faults.watched import Growth, Watched
from streamdrift.config import load_settings
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.topics import TopicNeed, ensure_topics
from tests.exactly_once import (
    PARTITIONS,
    Life,
    ends,
    events,
    finish,
    finish_all,
    hand_journal,
    letters,
    published,
    settings_of,
    started,
)

DISTRIBUTED = ("mode=distributed", "shards=8", "worker.session=6s")
_PATIENCE = 180.0
_FIRST = "w0"


@dataclass(frozen=True, slots=True)
class Report:
    """What a scenario has shown; times in seconds."""

    faults: int
    verdict: Verdict
    events: int
    """Events on the topic that can be decoded."""
    counted: int
    """Events in the last state: each counts once, however often it was read again."""
    commits: tuple[int, ...]
    """Commits between one fault and the next, as far as they were seen."""
    woken: int
    """Floors: what idle partitions brought later was kept behind what had been published."""
    stall: float
    """The longest time in which the watermark of the whole deployment stood while it was fed."""
    resumed: tuple[float, ...]
    """From the end of each fault until all that was fed by then was observed, in all shards."""
    growth: tuple[Growth, ...]
    """Of the lives that were long enough to tell."""

    @property
    def equal(self) -> bool:
        """Whether everything is as in the undisturbed run."""
        return self.verdict.equal and self.counted == self.events

    @property
    def flawless(self) -> bool:
        """Whether everything is as in the undisturbed run, and nothing grew."""
        return self.equal and all(each.flat for each in self.growth)

    @property
    def median(self) -> float:
        return statistics.median(self.resumed) if self.resumed else math.nan

    @property
    def worst(self) -> float:
        return max(self.resumed, default=math.nan)


class Trial:
    """A topic that is fed, and a deployment of one process or several that reads it.

    `direct` is how the feeder and the comparison reach the brokers, `servers` how the service
    does. `stream` is what is fed, `rate` events a second; with `pause` the feeder rests for so
    many seconds after every tenth second. `options` are settings of the deployment alone: the
    undisturbed run does without. Of several `workers`, all but the one that a scenario has in
    `life` are started here, and live as long as the trial.
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
        stream: Iterator[tuple[int, bytes]] | None = None,
        options: Sequence[str] = (),
        workers: int = 1,
    ) -> None:
        self.direct = KafkaSettings(bootstrap_servers=direct, bootstrap_timeout=5_000_000)
        self.name = name
        self.topic = f"{name}-predictions"
        self.settings = [*settings_of(servers or direct, name, self.topic), *options]
        self._workers = workers
        self._beside: list[Life] = []
        self._stack = ExitStack()
        if workers > 1:
            self.settings += DISTRIBUTED
        self.faults: list[float] = []
        self._watched: list[Watched] = []
        self._named: dict[str | None, Watched] = {}
        self._ended: list[float] = []
        stream = events(seed) if stream is None else stream
        self._feeder = Feeder(self.direct, self.topic, stream, rate, pause)

    def __enter__(self) -> Self:
        ensure_topics(self.direct, [TopicNeed(self.topic, "events", (), PARTITIONS)], create=True)
        self._feeder.start()
        for number in range(1, self._workers):
            self._beside.append(self._stack.enter_context(self.life(f"w{number}")))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._feeder.stop()
        self._stack.close()

    # What lives, and is watched.

    @contextmanager
    def life(
        self,
        instance: str | None = None,
        *,
        command: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Life]:
        """Run one process of the deployment, watched, beside others or alone.

        `command` and `environment` are those of `Life`. It is killed at the end where it is
        still there.
        """
        if instance is None and self._workers > 1:
            instance = _FIRST
        own = [] if instance is None else [f"instance={instance}"]
        life = Life([*self.settings, *own], command, environment)
        watched = Watched(life)
        self._watched.append(watched)
        # What another replaces is no part of the deployment, though it may not know it yet.
        if instance in self._named:
            self._named[instance].end()
        self._named[instance] = watched
        try:
            yield life
        finally:
            watched.end()
            life.end()

    def commits(self, life: Life | None = None) -> list[float]:
        """Return when a process committed, or any of them, in order."""
        chosen = [each for each in self._watched if life is None or each.life is life]
        return sorted(at for each in chosen for at in each.commits)

    def wait_for_commits(self, life: Life, count: int, patience: float = _PATIENCE) -> None:
        """Return when `life`, and each beside it, has done so many more.

        Raises AssertionError where one does not.
        """
        wanted = {each: len(self.commits(each)) + count for each in (life, *self._beside)}
        deadline = time.monotonic() + patience
        while missing := [each for each, to in wanted.items() if len(self.commits(each)) < to]:
            for each in missing:
                assert each.process.poll() is None, each.said()
                assert time.monotonic() < deadline, f"no commit for {patience} s\n{each.said()}"
            time.sleep(0.05)

    def fault(self) -> None:
        """Say that a fault begins."""
        self.faults.append(time.monotonic())

    def fault_ended(self) -> None:
        """Say that the last fault is over: from now on the deployment may resume."""
        self._ended.append(time.monotonic())

    def inside(self) -> Inside:
        """Return what the brokers say: of several workers, of the one that `life` has."""
        if self._workers == 1:
            return Inside(self.direct, dict.fromkeys(Coordinates, self.name))
        transaction, group = f"{self.name}/{_FIRST}/detect", f"{self.name}.detect"
        return Inside(self.direct, {Coordinates.TRANSACTION: transaction, Coordinates.GROUP: group})

    # What is compared.

    def end(self, *lives: Life) -> Report:
        """Feed the cycle to its end, let the processes observe all of it, and compare."""
        self._feeder.end(_PATIENCE)
        finish_all([*lives, *self._beside], self.direct, self.name, self.topic, _PATIENCE)
        calm = f"{self.name}-calm"
        settings = settings_of(self.direct.bootstrap_servers, calm, self.topic)
        floors = hand_journal(self.direct, self.name, settings)
        with started(settings) as undisturbed:
            finish(undisturbed, self.direct, calm, self.topic, _PATIENCE)
        bad = letters(self.direct, calm)
        verdict = compare(
            published(self.direct, calm, self.topic),
            published(self.direct, self.name, self.topic),
            bad,
            letters(self.direct, self.name),
        )
        commits, edges = self.commits(), [0.0, *self.faults]
        fed, shards = self._feeder.fed, self._watched[0].life.shards or 1
        marks = advances([each.looks for each in self._watched], shards)
        return Report(
            faults=len(self.faults),
            verdict=verdict,
            events=sum(ends(self.direct, self.topic).values()) - len(bad),
            counted=counted(self.direct, load_settings(None, self.settings)),
            commits=tuple(
                sum(first < at <= last for at in commits)
                for first, last in itertools.pairwise(edges)
            ),
            woken=floors,
            stall=max(stalls(marks, fed), default=0.0),
            # None of one since which nothing was fed.
            resumed=tuple(resumed(marks, fed, end) for end in self._ended if end < fed[-1].at),
            growth=tuple(found for each in self._watched if (found := each.growth()) is not None),
        )
