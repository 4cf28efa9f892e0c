"""`streamdrift run`: the service, its HTTP endpoints, and how it is stopped."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Protocol

import structlog
from prometheus_client import ProcessCollector

from streamdrift import __version__
from streamdrift.commands.compile import compile_at_start
from streamdrift.commands.http import Here, serving_http
from streamdrift.commands.systemd import telling_systemd
from streamdrift.config import Settings
from streamdrift.durations import SECOND
from streamdrift.following.backlog import Look
from streamdrift.following.incident_table import IncidentTable
from streamdrift.following.incidents import following_incidents
from streamdrift.following.team import following_alerts, make_lines, worker_stages
from streamdrift.logs import Level, set_up_logs
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.assembly import make_pipeline, service_settings
from streamdrift.serving.compiling import telling_compiled
from streamdrift.serving.deployment import Deployment, after_reset
from streamdrift.serving.desk import Desk
from streamdrift.serving.memory import keep_memory_small
from streamdrift.serving.service import Service
from streamdrift.serving.sessions import HUNG
from streamdrift.workers.offline import reset_workers
from streamdrift.workers.places import Place
from streamdrift.workers.worker import Worker

_LAST_WORD = 0.5
"""Seconds for a line in the log before the process ends at once."""
_ONE_WISH = 0.5
"""Seconds within which a second signal is the first one once more."""
_log = structlog.get_logger("streamdrift")


class Served(Protocol):
    """What is run until it is stopped."""

    @property
    def ready(self) -> bool:
        """Whether the input is read."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether it goes round."""
        ...

    @property
    def connecting(self) -> bool:
        """Whether there is nothing to commit, as nothing was read."""
        ...

    def run(self) -> None:
        """Serve until it is stopped."""
        ...

    def stop(self) -> None:
        """Ask it to commit and leave; may be called from a signal or a thread."""
        ...


class _Preparing:
    """What is served before there is a service: alive as long as it goes on."""

    ready = False
    connecting = False

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self._stopped = False

    def go_on(self) -> None:
        """Say that it goes on; raise SystemExit where it is not to: nothing was read yet."""
        # Not by the signal's handler: the compiler ends the process where that raises within it.
        if self._stopped:
            raise SystemExit(0)
        self._beat = time.monotonic()

    @property
    def healthy(self) -> bool:
        return time.monotonic() - self._beat < HUNG

    def run(self) -> None:
        """Serve nothing."""

    def stop(self) -> None:
        """Let it leave before what comes next."""
        self._stopped = True


class _Current:
    """How the one stands that is served at the time."""

    def __init__(self, served: Served) -> None:
        self.served = served

    @property
    def ready(self) -> bool:
        return self.served.ready

    @property
    def healthy(self) -> bool:
        return self.served.healthy


def run_service(
    settings: Settings,
    log_level: Level,
    *,
    reset: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT; a second one leaves at once.

    `step` is told of every step of a commit, for fault tests.
    """
    keep_memory_small()
    set_up_logs(log_level)
    if reset:
        _log.warning("the stored state is forgotten", then=after_reset(settings))
    metrics, desk = Metrics(max_series=settings.http.most_series), Desk()
    lines = make_lines(settings, metrics)
    timeout = settings.shutdown_timeout / SECOND
    preparing = _Preparing()
    current = _Current(preparing)
    ProcessCollector(registry=metrics.registry)
    with ExitStack() as stack:
        incidents = IncidentTable(settings.alerts.keep_resolved)
        reader = stack.enter_context(
            following_incidents(settings.kafka, settings.alerts.incidents, incidents, metrics)
        )
        here = Here(current, desk, metrics, incidents, lambda: reader.complete)
        place = stack.enter_context(serving_http(settings, here))
        stack.enter_context(telling_systemd(current, os.environ))
        stack.enter_context(stopped_by_signals(preparing, timeout))
        _say_starting(settings)
        compile_at_start(preparing.go_on)
        preparing.go_on()
        metrics.exposition()  # What makes the text is loaded now: that would hold up the loop.
        service = current.served = _service(settings, metrics, desk, step, place, reset=reset)
        stack.enter_context(stopped_by_signals(service, timeout))
        preparing.go_on()  # A signal may have come while there was no service to ask.
        stack.enter_context(telling_compiled(_say_compiled))
        if lines:
            _log.info("paging", sinks=[line.sink for line in lines])
        stages = _stages(settings, service)
        stack.enter_context(following_alerts(settings, lines, stages, metrics))
        service.run()


def _say_starting(settings: Settings) -> None:
    _log.info(
        "starting",
        version=__version__,
        deployment=settings.name,
        mode=settings.mode,
        bootstrap_servers=settings.kafka.bootstrap_servers,
        guarantee=settings.guarantee,
        **_worker(settings),
    )


def _worker(settings: Settings) -> Mapping[str, object]:
    """Return what tells one worker from another in the log."""
    if settings.mode == "standalone":
        return {}
    return {"instance": settings.instance, "roles": settings.worker.roles}


def _service(
    settings: Settings,
    metrics: Metrics,
    desk: Desk,
    step: Callable[[str], None],
    place: Place,
    *,
    reset: bool,
) -> Served:
    """Return what serves in the mode of the settings."""
    if settings.mode == "distributed":
        if reset:
            reset_workers(settings)
        return Worker(settings, metrics, desk, step, place)
    return Service(
        service_settings(settings),
        Deployment(settings, reset=reset).open_session,
        lambda: make_pipeline(settings),
        metrics,
        step=step,
        desk=desk,
    )


def _stages(settings: Settings, service: Served) -> Sequence[Look]:
    """Return the stages on the way to the alerts."""
    return [lambda: service.reached] if isinstance(service, Service) else worker_stages(settings)


def _say_compiled(name: str) -> None:
    # No start has called it: a lag behind the input may have this reason.
    _log.info("kernel compiled late", kernel=name)


def _leave_at_once(number: int, reason: str) -> None:
    """Say so and end the process, for which nothing is waited: neither locks nor the log."""

    def say() -> None:
        _log.warning(
            "left at once: what was not committed is read again", reason=reason, signal=number
        )

    # Where a signal came while the log was written, that is locked until the handler returns.
    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(_LAST_WORD)
    os._exit(128 + number)


@contextmanager
def stopped_by_signals(service: Served, timeout: float) -> Iterator[None]:
    """Let the first signal ask the service to leave, and the second, or time, make it."""
    asked_at: float | None = None
    timers: list[threading.Timer] = []

    def leave(number: int, _: FrameType | None) -> None:
        nonlocal asked_at
        if asked_at is not None:
            # Some senders signal the process and its group: that is one wish, not two.
            if time.monotonic() - asked_at > _ONE_WISH:
                _leave_at_once(number, "a second signal")
            return
        asked_at = time.monotonic()
        service.stop()
        if service.connecting:
            raise SystemExit(0)  # There is nothing to commit, and no telling how long it takes.
        timer = threading.Timer(timeout, _leave_at_once, (number, "shutdown_timeout is over"))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    previous = {each: signal.signal(each, leave) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for each, handler in previous.items():
            signal.signal(each, handler)
