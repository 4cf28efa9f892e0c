"""`streamdrift run`: the service, its HTTP endpoints, and how it is stopped."""

import ipaddress
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from types import FrameType
from typing import Protocol

import structlog
from prometheus_client import ProcessCollector

from streamdrift import __version__
from streamdrift.assembly import make_pipeline, service_settings
from streamdrift.config import Settings
from streamdrift.deployment import Deployment, after_reset
from streamdrift.desk import Desk
from streamdrift.durations import SECOND
from streamdrift.following.incidents import TopicReader, following_incidents
from streamdrift.incident_table import IncidentTable
from streamdrift.logs import Level, set_up_logs
from streamdrift.memory import keep_memory_small
from streamdrift.metrics import Metrics
from streamdrift.service import Service
from streamdrift.web.api import Behind, make_app
from streamdrift.web.commands import CommandWriter
from streamdrift.web.peers import Peers
from streamdrift.web.server import listen, serve
from streamdrift.workers.offline import reset_workers
from streamdrift.workers.places import Place
from streamdrift.workers.worker import Worker, owners

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

    @property
    def desk(self) -> Desk:
        """Where the API asks."""
        ...

    def run(self) -> None:
        """Serve until it is stopped."""
        ...

    def stop(self) -> None:
        """Ask it to commit and leave; may be called from a signal or a thread."""
        ...


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
    metrics = Metrics(max_series=settings.http.most_series)
    ProcessCollector(registry=metrics.registry)
    with ExitStack() as stack:
        address = settings.http.address()
        listener = None if address is None else stack.enter_context(closing(listen(address)))
        place = Place(settings.instance, advertised(settings, listener))
        service = _service(settings, metrics, step, place, reset=reset)
        stack.enter_context(stopped_by_signals(service, settings.shutdown_timeout / SECOND))
        incidents = IncidentTable(settings.alerts.keep_resolved)
        reader = stack.enter_context(
            following_incidents(settings.kafka, settings.alerts.incidents, incidents, metrics)
        )
        if listener is not None:
            behind = _behind(stack, settings, service, metrics, place, incidents, reader)
            stack.enter_context(serve(make_app(behind), listener))
            host, port = listener.getsockname()[:2]
            _log.info("serving HTTP", host=host, port=port, token=settings.http.needs_token)
        _log.info(
            "starting",
            version=__version__,
            deployment=settings.name,
            mode=settings.mode,
            bootstrap_servers=settings.kafka.bootstrap_servers,
            guarantee=settings.guarantee,
            **_worker(settings),
        )
        service.run()


def _worker(settings: Settings) -> Mapping[str, object]:
    """Return what tells one worker from another in the log."""
    if settings.mode == "standalone":
        return {}
    return {"instance": settings.instance, "roles": settings.worker.roles}


def advertised(settings: Settings, listener: socket.socket | None) -> str | None:
    """Return the host and port under which other workers reach the one that listens."""
    if listener is None:
        return None
    if settings.http.advertise is not None:
        return settings.http.advertise
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _behind(
    stack: ExitStack,
    settings: Settings,
    service: Served,
    metrics: Metrics,
    place: Place,
    incidents: IncidentTable,
    reader: TopicReader,
) -> Behind:
    """Return what the API is about."""
    peers = None
    if settings.mode == "distributed":
        token = settings.http.secret()
        peers = Peers(place, settings.shards, partial(owners, settings), token)
    writer = stack.enter_context(closing(CommandWriter(settings)))
    return Behind(
        settings,
        service,
        service.desk,
        metrics,
        incidents,
        lambda: reader.complete,
        writer.write,
        lambda: time.time_ns() // 1_000,
        peers,
    )


def _service(
    settings: Settings, metrics: Metrics, step: Callable[[str], None], place: Place, *, reset: bool
) -> Served:
    """Return what serves in the mode of the settings."""
    if settings.mode == "distributed":
        if reset:
            reset_workers(settings)
        return Worker(settings, metrics, step, place.address)
    return Service(
        service_settings(settings),
        Deployment(settings, reset=reset).open_session,
        lambda: make_pipeline(settings),
        metrics,
        step=step,
    )


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
                os._exit(128 + number)
            return
        asked_at = time.monotonic()
        service.stop()
        if service.connecting:
            raise SystemExit(0)  # There is nothing to commit, and no telling how long it takes.
        timer = threading.Timer(timeout, os._exit, (128 + number,))
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
