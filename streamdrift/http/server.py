"""HTTP servers: where they listen, and how many connections they hold, for how long."""

import resource
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

MOST_CONNECTIONS = 288
"""Of the API: some more than requests at a time, as health is answered beyond those."""
IDLE_SECONDS = 10.0
"""After which a connection of the API without a whole request is closed."""
_LEAVING = 3
"""Seconds that answers have at the end."""
_BACKLOG = 128
_LONGEST_HEAD = 65_536
"""Bytes of a request's headers: metadata of a call may be among them."""


def listen(setting: str, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at the address of a setting; port 0 takes a free one.

    Raises SettingsError where the address cannot be had.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Never shared: two processes on one port would each answer half of the requests.
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"{setting}: cannot listen on {host}:{port}: {error.strerror or error}",
            hint=f"stop what listens there, or choose another with --set {setting}=127.0.0.1:0 "
            "(0 takes a free port)",
        ) from error


class _Connection(H11Protocol):
    """A connection that is closed where no request comes, or where another needs its place.

    The server itself closes one that rests behind an answer, and waits for ever for the first
    request, and for the rest of one that has begun. It bounds requests alone: connections would
    take every descriptor of the process.
    """

    def __init__(self, most: int, idle: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._most = most
        self._idle = idle
        self.since = self.loop.time()
        """When it was made, or last answered."""

    @property
    def rests(self) -> bool:
        """Whether no whole head of a request has come since the last answer."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def waits(self) -> bool:
        """Whether the client is to do something: to ask, or to read its answer."""
        return self.rests or self.flow.write_paused

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(self._idle, self._look)
        if len(self.connections) > self._most:
            self._make_room()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def _make_room(self) -> None:
        """Close who has rested longest, or else who does not read, or else this one."""
        others = [
            each
            for each in cast(set[_Connection], self.connections)
            if each is not self and each.waits
        ]
        longest = min(others, key=lambda each: (not each.rests, each.since), default=self)
        # It counts no longer, though it is told of its end only in the loop's next turn.
        self.connections.discard(longest)
        longest.transport.abort()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        left = self.since + self._idle - self.loop.time() if self.rests else self._idle
        if left <= 0:
            self.transport.close()
        else:
            self.loop.call_later(left, self._look)


def make_server(app: ASGIApp, most: int, idle: float, leaving: int) -> uvicorn.Server:
    """Return a server that holds so many connections at most.

    One without a request ends after `idle` seconds, or sooner where another needs its place. At
    the end answers have `leaving` seconds. Half of the files that the process may have open are
    left to others whatever `most` is.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    bounded = files != resource.RLIM_INFINITY
    held = min(most, files // 2) if bounded else most

    def connection(**arguments: Any) -> _Connection:
        return _Connection(held, idle, **arguments)

    config = uvicorn.Config(
        app,
        http=cast(Any, connection),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # So many are taken at once, before any of them can make room.
        backlog=min(_BACKLOG, files // 8) if bounded else _BACKLOG,
        timeout_keep_alive=cast(int, idle),
        timeout_graceful_shutdown=leaving,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
    return uvicorn.Server(config)


@contextmanager
def serve(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` at a listening socket, on a thread of its own, until the block ends.

    The end closes the socket.
    """
    server = make_server(app, MOST_CONNECTIONS, IDLE_SECONDS, _LEAVING)
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
