"""A small HTTP server on its own threads; it answers GET and HEAD, one function per path."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from streamdrift.errors import SettingsError

TEXT = "text/plain; charset=utf-8"
IDLE = 10.0
"""Seconds after which a connection that sends nothing is closed."""


class Answer(NamedTuple):
    """What a request gets."""

    body: bytes
    status: int = 200
    content_type: str = TEXT


Handler = Callable[[], Answer]


@contextmanager
def serve(address: tuple[str, int], handlers: Mapping[str, Handler]) -> Iterator[tuple[str, int]]:
    """Serve `handlers` by path until the block ends; yield the address listened on.

    Port 0 takes a free one. Raises SettingsError where the address cannot be had.
    """
    try:
        server = _Server(address, handlers)
    except OSError as error:
        host, port = address
        raise SettingsError(
            f"http.bind: cannot listen on {host}:{port}: {error.strerror or error}",
            hint="stop what listens there, or choose another with --set http.bind=127.0.0.1:0 "
            "(0 takes a free port; null serves nothing)",
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True)
    thread.start()
    listening = server.server_address
    try:
        yield str(listening[0]), int(listening[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Two processes on one port would each answer half of the requests.
    allow_reuse_port = False

    def __init__(self, address: tuple[str, int], handlers: Mapping[str, Handler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.handlers = handlers
        super().__init__(address, _Request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet: a client that hangs up is no news."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "streamdrift"
    sys_version = ""
    timeout = IDLE
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        handler = self.server.handlers.get(path)
        if handler is None:
            known = ", ".join(self.server.handlers)
            answer = Answer(f"nothing at {path}; there is: {known}\n".encode(), 404)
        else:
            answer = handler()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (its parent's name)
        """Stay quiet: a scrape every few seconds is no fact to act on."""
