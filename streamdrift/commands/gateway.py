"""`streamdrift gateway`: takes CloudEvents by HTTP, until it is stopped."""

import asyncio
import socket
import threading
from contextlib import suppress

import structlog
import uvicorn

from streamdrift import __version__
from streamdrift.commands.run import stopped_by_signals
from streamdrift.config import Settings
from streamdrift.durations import SECOND
from streamdrift.errors import SettingsError
from streamdrift.gateway.app import make_app
from streamdrift.gateway.metrics import GatewayMetrics
from streamdrift.gateway.writer import AwayError, Writer
from streamdrift.logs import Level, set_up_logs
from streamdrift.topics import Right, TopicNeed, ensure_topics

_IDLE = 75
"""Seconds after which a connection without requests is closed; clients reuse theirs for a while."""
_BACKLOG = 256
_MOST_IDLE = 4_096
_LONGEST_HEAD = 65_536
"""Bytes of a request's headers: metadata of a call may be among them."""
_log = structlog.get_logger("streamdrift")


def run_gateway(settings: Settings, log_level: Level) -> None:
    """Take events until SIGTERM or SIGINT, and then finish what was begun."""
    set_up_logs(log_level)
    gateway = settings.gateway
    token = gateway.secret()
    listener = _listen(gateway.address())
    need = TopicNeed(gateway.topic, "prediction events", (Right.WRITE,))
    writer = Writer(
        settings.kafka,
        gateway.topic,
        gateway.timeout / SECOND,
        lambda connection: ensure_topics(connection, [need], create=settings.topics.create),
    )
    app = make_app(gateway, token, writer, GatewayMetrics())
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Connections, of which most are idle. Beyond it uvicorn says 503 before anything is read.
        limit_concurrency=gateway.max_requests + _MOST_IDLE,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=max(1, settings.shutdown_timeout // SECOND - 1),
    )
    served = _Gateway(uvicorn.Server(config), listener, writer)
    with stopped_by_signals(served, settings.shutdown_timeout / SECOND):
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


def _listen(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"gateway.bind: cannot listen on {host}:{port}: {error.strerror or error}",
            hint="stop what listens there, or choose another with --set gateway.bind=127.0.0.1:0",
        ) from error
