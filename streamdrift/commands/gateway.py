"""`streamdrift gateway`: takes CloudEvents by HTTP, until it is stopped."""

import asyncio
import os
import socket
import threading
from contextlib import suppress

import structlog
import uvicorn

from streamdrift import __version__
from streamdrift.commands.run import stopped_by_signals
from streamdrift.commands.systemd import telling_systemd
from streamdrift.config import Settings
from streamdrift.durations import SECOND
from streamdrift.gateway.app import make_app
from streamdrift.gateway.metrics import GatewayMetrics
from streamdrift.gateway.writer import AwayError, Writer
from streamdrift.http.server import listen, make_server
from streamdrift.kafka.topics import Right, TopicNeed, ensure_topics
from streamdrift.logs import Level, set_up_logs

_IDLE = 75
"""Seconds after which a connection without requests is closed; clients reuse theirs for a while."""
_MOST_IDLE = 4_096
"""Connections beside those of which requests are worked on."""
_log = structlog.get_logger("streamdrift")


def run_gateway(settings: Settings, log_level: Level) -> None:
    """Take events until SIGTERM or SIGINT, and then finish what was begun."""
    set_up_logs(log_level)
    gateway = settings.gateway
    token = gateway.secret()
    listener = listen("gateway.bind", gateway.address())
    need = TopicNeed(gateway.topic, "prediction events", (Right.WRITE,))
    writer = Writer(
        settings.kafka,
        gateway.topic,
        gateway.timeout / SECOND,
        lambda connection: ensure_topics(connection, [need], create=settings.topics.create),
    )
    app = make_app(gateway, token, writer, GatewayMetrics())
    leaving = max(1, settings.shutdown_timeout // SECOND - 1)
    server = make_server(app, gateway.max_requests + _MOST_IDLE, _IDLE, leaving)
    served = _Gateway(server, listener, writer)
    with (
        telling_systemd(served, os.environ),
        stopped_by_signals(served, settings.shutdown_timeout / SECOND),
    ):
        try:
            served.run()
        finally:
            writer.close()
    _log.info("stopped: everything accepted is written")


class _Gateway:
    """The server on a thread of its own, as signals belong to the main one."""

    connecting = False
    healthy = True

    def __init__(self, server: uvicorn.Server, listener: socket.socket, writer: Writer) -> None:
        self._server = server
        self._listener = listener
        self._writer = writer

    @property
    def ready(self) -> bool:
        return self._server.started

    def stop(self) -> None:
        """Take no more requests, and finish those that were begun."""
        self._server.should_exit = True

    def run(self) -> None:
        """Serve until it is stopped."""
        thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http")
        thread.start()
        thread.join()

    async def _serve(self) -> None:
        host, port = self._listener.getsockname()[:2]
        # Where the brokers do not answer, the log says so, and requests get 503 until they do.
        with suppress(AwayError):
            await self._writer.connect()
        _log.info("taking events", version=__version__, host=host, port=port)
        await self._server.serve(sockets=[self._listener])
