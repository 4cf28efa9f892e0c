"""The HTTP server on a thread of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamdrift.errors import SettingsError

MOST_CONNECTIONS = 256
IDLE_SECONDS = 10
"""After which a connection without a whole request is closed."""
_LEAVING = 3
"""Seconds that answers have at the end."""
_BACKLOG = 128
_LONGEST_HEAD = 65_536


def listen(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises SettingsError where the address cannot be had.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Never shared: two processes on one port would each answer half of the requests.
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"http.bind: cannot listen on {host}:{port}: {error.strerror or error}",
            hint="stop what listens there, or choose another with --set http.bind=127.0.0.1:0 "
            "(0 takes a free port; null serves nothing)",
        ) from error


def _connection(**arguments: Any) -> H11Protocol:
    """Return what serves a connection, which is closed where no request comes.

    The server itself closes one that rests behind an answer, and waits for ever for the first
    request, and for the rest of one that has begun: a few hundred of these would be all it takes.
    """
    made = H11Protocol(**arguments)

    def look(before: object) -> None:
        transport, now = made.transport, made.cycle
        if transport is not None and transport.is_closing():
            return
        if transport is not None and now is before and (now is None or now.response_complete):
            transport.close()
            return
        made.loop.call_later(IDLE_SECONDS, look, now)

    made.loop.call_later(IDLE_SECONDS, look, None)
    return made


@contextmanager
def serve(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` at a listening socket until the block ends, which closes it."""
    config = uvicorn.Config(
        app,
        http=cast(Any, _connection),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=_LEAVING,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="http", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
