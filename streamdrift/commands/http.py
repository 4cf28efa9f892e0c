"""The HTTP server of `streamdrift run`."""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from streamdrift.config import Settings
from streamdrift.following.incident_table import IncidentTable
from streamdrift.http.server import listen, serve
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.desk import Desk
from streamdrift.web.api import Behind, Health, make_app
from streamdrift.web.commands import CommandWriter
from streamdrift.web.peers import Peers
from streamdrift.workers.places import Place
from streamdrift.workers.worker import owners

_log = structlog.get_logger("streamdrift")


@dataclass(frozen=True, slots=True)
class Here:
    """What this process has to show."""

    health: Health
    desk: Desk
    metrics: Metrics
    table: IncidentTable
    is_read: Callable[[], bool]
    """Whether the table has all incidents."""


@contextmanager
def serving_http(settings: Settings, here: Here) -> Iterator[Place]:
    """Serve what the settings say, until the block ends; yield where others reach it.

    Raises SettingsError where the address cannot be had.
    """
    address = settings.http.address()
    if address is None:
        yield Place(settings.instance, None)
        return
    with ExitStack() as stack:
        listener = stack.enter_context(closing(listen("http.bind", address)))
        place = Place(settings.instance, advertised(settings, listener))
        peers = None
        if settings.mode == "distributed":
            token = settings.http.secret()
            peers = Peers(place, settings.shards, partial(owners, settings), token)
        writer = stack.enter_context(closing(CommandWriter(settings)))
        behind = Behind(
            settings,
            here.health,
            here.desk,
            here.metrics,
            here.table,
            here.is_read,
            writer.write,
            lambda: time.time_ns() // 1_000,
            peers,
        )
        stack.enter_context(serve(make_app(behind), listener))
        host, port = listener.getsockname()[:2]
        _log.info("serving HTTP", host=host, port=port, token=settings.http.needs_token)
        yield place


def advertised(settings: Settings, listener: socket.socket) -> str:
    """Return the host and port under which other workers reach the one that listens."""
    if settings.http.advertise is not None:
        return settings.http.advertise
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
