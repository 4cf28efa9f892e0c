"""A server on loopback that takes posts, and answers what a test wants."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Post(NamedTuple):
    """What came; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


class Reply(NamedTuple):
    """What is answered."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Receiver:
    """Keeps what was posted; `reply` says what each is answered."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.reply: Callable[[Post], Reply] = lambda _: Reply()
        self.connections = 0
        self.url = ""


@contextmanager
def receiving(port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Take posts, and what else is asked, until the block ends; by TLS with a `context`."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            post = Post(self.path, headers, body, self.command)
            reply = receiver.reply(post)
            receiver.posts.append(post)
            self.send_response(reply.status)
            for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_OPTIONS = do_POST  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if context is not None:
        # A handshake that fails, or never comes, must hold up nobody who is accepted later.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who hangs up is no news
    scheme = "http" if context is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/alerts"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answering(answer: bytes, pause: float = 0.0, heard: list[bytes] | None = None) -> Iterator[str]:
    """Answer every connection with these bytes, whatever they are, and close it; yield the URL.

    With a `pause`, in seconds, it comes before each byte. What comes over each is added to `heard`.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    came = connection.recv(65_536)
                    if heard is not None:
                        heard.append(came)
                    if not pause:
                        connection.sendall(answer)
                        continue
                    for byte in answer:
                        time.sleep(pause)
                        connection.sendall(bytes([byte]))
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
