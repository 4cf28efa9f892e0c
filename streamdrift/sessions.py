"""Sessions, one after the other: each serves until its connection fails, or all is stopped."""

import gc
import threading
import time
from collections.abc import Callable

import structlog

from streamdrift.backoff import Backoff
from streamdrift.errors import ConnectionsError
from streamdrift.metrics import Metrics, Read

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
HUNG = 120.0
"""Seconds without a turn after which a loop is said to hang."""
_log = structlog.get_logger("streamdrift")


class Sessions:
    """Serves in sessions, which read `what`, until `stop`; `monotonic` is a clock of seconds.

    What fails before anything was ever served is raised. Later, a session whose connection
    fails is given up, as nothing may be written with a producer that failed, and a new one
    recovers from the last commit, after a wait that grows until there is a commit again.
    """

    def __init__(
        self, metrics: Metrics, what: Read, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._what = what
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._backoff = Backoff(first=_FIRST_WAIT, longest=_LONGEST_WAIT)
        self._beat = monotonic()
        self.served = False
        """Whether anything was ever served."""
        self.serving = False
        """Whether something is served now."""

    @property
    def stopped(self) -> bool:
        """Whether it is time to leave."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask for the end; may be called from a signal or a thread."""
        self._stopping.set()

    @property
    def healthy(self) -> bool:
        """Whether the loop goes round (a broker that is away is waited for: no illness)."""
        return self._monotonic() - self._beat < HUNG

    def run(self, session: Callable[[], None]) -> None:
        """Run sessions until the end: each calls `serve` once it is connected."""
        self._backoff.worked()
        while not self.stopped:
            self._beat = self._monotonic()
            wait = self._wait_after(session)
            if wait is None:
                continue
            # A session's parts refer to each other, and they hold much: the collector would
            # find that late, as it looks seldom. (The error, which holds them too, is gone.)
            gc.collect()
            self._stopping.wait(wait)

    def _wait_after(self, session: Callable[[], None]) -> float | None:
        """Run a session; return the seconds to wait after it, None if its connection stood."""
        try:
            session()
        except ConnectionsError as error:
            if not self.served or self.stopped:
                raise  # At the end, what was read last is not committed.
            wait = self._backoff.failed()
            self._metrics.connected(self._what, answering=False)
            _log.warning("connection lost, trying again", error=str(error), seconds=wait)
            return wait
        finally:
            self.serving = False
        return None

    def serve(self, turn: Callable[[], bool], finish: Callable[[], None]) -> None:
        """Take turns, which tell of commits, until the end; then `finish`."""
        self.served = self.serving = True
        while not self.stopped:
            self._beat = self._monotonic()
            if turn():
                self._backoff.worked()
        self.serving = False
        finish()
