"""The service: serves in sessions, each from the state of the last commit on."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import structlog

from streamdrift.commit import Outgoing
from streamdrift.desk import Desk
from streamdrift.errors import StateError
from streamdrift.loop import Clock, Loop, ServiceSettings, Session
from streamdrift.metrics import Metrics
from streamdrift.pipeline import Pipeline
from streamdrift.records import Partition, Reached
from streamdrift.recovery import recover
from streamdrift.rota import Rota
from streamdrift.sessions import Sessions
from streamdrift.sources import by_topic
from streamdrift.state import Published
from streamdrift.state.commands import CommandLog
from streamdrift.telling import tell

_log = structlog.get_logger("streamdrift")


class MachineClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> int:
        return time.time_ns() // 1_000


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
        desk: Desk | None = None,
    ) -> None:
        self._settings = settings
        self._open_session = open_session
        self._make_pipeline = make_pipeline
        self._metrics = metrics
        self._clock = clock or MachineClock()
        self._step = step
        self._sessions = Sessions(metrics, "input", self._clock.monotonic)
        self.desk = desk or Desk()
        """Where other threads ask the loop."""
        self.connecting = False
        """Whether a session is being opened: nothing was read since the last commit."""
        self.reached: Mapping[Partition, Reached] | None = None
        """How far each partition is taken and published, a second ago; None where not known."""
        self.pipeline = make_pipeline()
        self._kept = False
        """Whether a state was there, or was committed."""
        self._commands_before: int | None = None
        """The place of the last command before the first session, until there is a state."""

    def stop(self) -> None:
        """Ask the service to commit and leave; may be called from a signal or a thread."""
        self._sessions.stop()

    @property
    def ready(self) -> bool:
        """Whether the input is read."""
        return self._sessions.serving

    @property
    def healthy(self) -> bool:
        """Whether the loop goes round."""
        return self._sessions.healthy

    def run(self) -> None:
        """Serve until `stop`; what fails before the first read is raised."""
        self._sessions.run(self._run_session)

    def _run_session(self) -> None:
        self.connecting = True
        try:
            with self._open_session() as session:
                self.connecting = False
                self._serve(session)
        finally:
            self.connecting = False

    def _serve(self, session: Session) -> None:
        positions, published, rota = self._startup(session)
        source = session.open_source(positions, self.pipeline.ordering.identities)
        commands = self._listen(session)
        loop = Loop(
            session,
            source,
            commands,
            self.pipeline,
            Outgoing(published if session.transaction else Published()),
            rota,
            self._settings,
            self._metrics,
            self.desk,
            self._clock,
            self._step,
            self._note_reached,
        )
        try:
            _log.info("reading", partitions=by_topic(source.partitions()))
            with self.desk.served():
                self._sessions.serve(loop.turn, loop.finish)
        finally:
            self.reached = None
            self._kept = self._kept or loop.kept
            source.close()

    def _note_reached(self, reached: Mapping[Partition, Reached]) -> None:
        self.reached = reached

    def _listen(self, session: Session) -> CommandLog | None:
        """Return what operators ask from here on."""
        if session.open_commands is None:
            return None
        if self._kept:
            return session.open_commands(self.pipeline.commanded)
        # What is asked from the first session on counts, also where that ends before it commits.
        commands = session.open_commands(self._commands_before)
        self._commands_before = commands.known
        self.pipeline.know_commands(commands.known)
        return commands

    def _startup(self, session: Session) -> tuple[Mapping[Partition, int], Published, Rota]:
        """Restore the last commit into a new pipeline.

        Return where reading goes on, what was published of what comes after that, and the
        shards' turns.
        """
        self.pipeline = self._make_pipeline()
        stored = session.store.load()
        self._step("loaded")
        recovered = recover(self.pipeline, stored, self._settings.fingerprint)
        rota = Rota()
        for shard in range(self.pipeline.monitor.count):
            rota.add(shard, stored.snapshots.get(shard))
        self._kept = self._kept or bool(stored.snapshots)
        if stored.snapshots:
            read = len(recovered.positions)
            _log.info("state restored", bytes=rota.size, partitions=read)
        elif self._kept or (not stored.reset and session.has_committed()):
            raise StateError(
                "the deployment has committed before, and there is no state of it",
                "were its topics deleted, or are state.topic and state.journal others now? "
                "`streamdrift state reset`, or a start with --reset-state, begins anew",
            )
        else:
            _log.info("no state yet: starting anew")
        for notice in recovered.notices:
            tell(notice)
        return recovered.positions, recovered.published, rota
