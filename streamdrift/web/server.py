"""The HTTP server on a thread of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from streamdrift.errors import SettingsError

MOST_CONNECTIONS = 256
_IDLE, _LEAVING = 10, 3
"""Seconds after which a connection without requests is closed, and that answers have at the end."""
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


@contextmanager
def serve(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` at a listening socket until the block ends, which closes it."""
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
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=_IDLE,
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
