"""The server on a socket, and who is let in."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import pytest

from streamdrift.errors import SettingsError
from streamdrift.http.server import listen, serve
from streamdrift.operators import Command
from streamdrift.web.api import make_app
from streamdrift.web.guard import LARGEST_BODY
from tests.api import TOKEN, World, looped, settings
from tests.deployment import wait_until
from tests.markdown import ROOT

SECRET = settings(http={"token": TOKEN})
PATHS = (
    *("/metrics", "/openapi.json", "/api/v1/models", "/api/v1/models/fraud/signals"),
    *("/api/v1/signals/fraud:3:feature:amount:value", "/api/v1/incidents", "/api/v1/config"),
    *("/nothing", "/api/v1/incidents/x", "//metrics", "/healthz/", "/healthz/../metrics"),
)


@contextmanager
def served(world: World) -> Iterator[int]:
    """Serve on a free port of this machine."""
    with ExitStack() as stack:
        stack.enter_context(looped(world.desk, world.watched))
        listener = listen("http.bind", ("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        stack.enter_context(serve(make_app(world.behind()), listener))
        yield port


def ask(
    port: int, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def is_answered(client: socket.socket) -> bool:
    """Read an answer of `/readyz` to its end."""
    found = b""
    while not found.endswith(b"ok\n"):
        part = client.recv(1_000)
        if not part:
            return False
        found += part
    return found.startswith(b"HTTP/1.1 200")


def is_healthy(port: int) -> bool:
    try:
        return ask(port, "GET", "/healthz")[0] == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_a_socket_serves_what_there_is() -> None:
    with served(World()) as port:
        status, body, headers = ask(port, "GET", "/api/v1/models")
        assert (status, len(json.loads(body)["items"])) == (200, 4)
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        status, body, headers = ask(port, "GET", "/metrics")
        assert (status, int(headers["content-length"])) == (200, len(body))
        status, body, headers = ask(port, "HEAD", "/metrics")
        assert (status, body) == (200, b"")
        assert ask(port, "GET", "/readyz")[:2] == (200, b"ok\n")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_but_health_is_told_without_the_token(path: str) -> None:
    with World(chosen=SECRET).client() as client:
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": TOKEN},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Bearer t\xf6ken"},
        ):
            for method in ("GET", "HEAD", "POST", "OPTIONS"):
                encoded = [(k.encode(), text.encode("latin-1")) for k, text in headers.items()]
                answer = client.request(method, path, headers=encoded)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert TOKEN not in answer.text


def test_two_tokens_are_none() -> None:
    with served(World(chosen=SECRET)) as port:
        two = f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer x\r\n"
        answer = raw(port, f"GET /metrics HTTP/1.1\r\nHost: a\r\n{two}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401")


def test_with_the_token_everything_is_told_from_anywhere() -> None:
    with World(chosen=SECRET).client({"Authorization": f"bearer {TOKEN}"}) as client:
        for path in PATHS[:7]:
            assert client.get(path, headers={"Host": "elsewhere:1"}).status_code == 200
        assert client.get("/nothing").status_code == 404


def test_health_needs_no_token() -> None:
    with World(chosen=SECRET).client() as client:
        for path in ("/healthz", "/readyz"):
            assert client.get(path, headers={"Host": "10.0.0.7:8410"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8410", None, 200),
        ("localhost:8410", None, 200),
        ("localhost", None, 200),
        ("[::1]:8410", None, 200),
        ("[::1]", None, 200),
        ("127.0.0.1:8410", "http://127.0.0.1:8410", 200),
        ("evil.example:8410", None, 403),
        ("127.0.0.1.evil.example", None, 403),
        ("127.0.0.1:8410", "http://evil.example", 403),
        ("127.0.0.1:8410", "null", 403),
        ("10.0.0.7:8410", None, 403),
        ("", None, 403),
    ],
)
def test_without_a_token_no_page_of_another_place_asks(
    host: str, origin: str | None, status: int
) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    with World().client() as client:
        assert client.get("/api/v1/models", headers=headers).status_code == status


def test_a_body_that_does_not_end_is_not_read() -> None:
    world = World()
    with served(world) as port:
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        head = b"POST /api/v1/models/fraud/expect HTTP/1.1\r\nHost: localhost\r\n"
        head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(head + chunk * (LARGEST_BODY // 0x8000 + 1))
            assert client.recv(12) == b"HTTP/1.1 413"
        large = b" " * (LARGEST_BODY + 1)
        status, body, _ = ask(port, "POST", "/api/v1/models/fraud/expect", large)
        assert status == 413
        assert json.loads(body)["status"] == 413
        assert ask(port, "GET", "/readyz")[0] == 200
    assert world.written == []


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%ff%fe%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/signals/%00:%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/models?after=%ff&limit=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/models/x/expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/models/x/expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
        b"",
    ],
)
def test_rubbish_does_no_harm(request_: bytes) -> None:
    with served(World()) as port:
        answer = raw(port, request_)
        assert not answer.startswith(b"HTTP/1.1 5")
        assert ask(port, "GET", "/readyz")[0] == 200


def test_a_client_that_hangs_up_disturbs_nobody() -> None:
    with served(World()) as port:
        for sent in (b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(sent)
        assert ask(port, "GET", "/metrics")[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: local"])
def test_who_asks_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("streamdrift.http.server.IDLE_SECONDS", 0.3)
    whole = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(World()) as port:
        for before in (b"", whole):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(before)
                assert not before or is_answered(client)
                client.sendall(sent)
                assert client.recv(1_000) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            for _ in range(8):  # One that asks now and then is served on.
                client.sendall(whole)
                assert is_answered(client)
                time.sleep(0.1)


def test_who_rests_makes_room_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdrift.http.server.MOST_CONNECTIONS", 8)
    whole = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    begun = b"GET /readyz HTTP/1.1\r\nHost: "
    with served(World()) as port, ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))

        asking = connect()
        asking.sendall(whole)
        assert is_answered(asking)
        resting = []
        for number in range(40):
            resting.append(connect())
            resting[-1].sendall(begun if number % 2 else b"")
            if number % 4 == 0:  # Who asks now and then is not the one that rests longest.
                asking.sendall(whole)
                assert is_answered(asking)
        assert ask(port, "GET", "/readyz")[0] == 200
        for each in resting[:32]:
            with suppress(ConnectionResetError):
                assert each.recv(1) == b""
        resting[-1].sendall(b"localhost\r\n\r\n")
        assert is_answered(resting[-1])


def test_who_does_not_read_makes_room_and_who_is_worked_for_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamdrift.http.server.MOST_CONNECTIONS", 2)
    entered, let_go = threading.Event(), threading.Event()

    def write(_: Command) -> None:
        entered.set()
        assert let_go.wait(20)

    world = World()
    monkeypatch.setattr(world, "write", write)
    document = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(world) as port, ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        deaf = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1))
        with suppress(TimeoutError):
            while True:
                deaf.sendall(document * 100)
        path, body = "/api/v1/models/fraud/expect", b'{"for": "2h"}'
        posted = pool.submit(ask, port, "POST", path, body, content_type="application/json")
        assert entered.wait(10)
        assert wait_until(
            lambda: is_healthy(port)
        )  # Once what the deaf one asked for is in its way.
        let_go.set()
        assert posted.result()[0] == 202
        with pytest.raises(ConnectionError):
            deaf.sendall(document * 100_000)


def test_health_is_answered_whatever_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdrift.web.guard.MOST_REQUESTS", 2)
    head = b"POST /api/v1/models/x/expect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    with served(World()) as port, ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            client.sendall(head)
        assert wait_until(lambda: ask(port, "GET", "/metrics")[0] == 503)
        status, body, headers = ask(port, "GET", "/api/v1/models")
        assert (status, headers["retry-after"]) == (503, "2")
        assert "more than 2 requests at a time" in json.loads(body)["detail"]
        # Nor is a body waited for that health has no use for.
        for path in ("/healthz", "/readyz"):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(
                    f"GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n".encode()
                )
                assert is_answered(client)


def test_commands_that_wait_for_brokers_hold_up_nobody_who_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = threading.Event()

    def write(_: Command) -> None:
        assert let_go.wait(20)

    world = World()
    monkeypatch.setattr(world, "write", write)
    path, body = "/api/v1/models/fraud/expect", b'{"for": "2h"}'
    with served(world) as port, ThreadPoolExecutor(60) as pool:

        def post() -> tuple[int, bytes, dict[str, str]]:
            return ask(port, "POST", path, body, content_type="application/json")

        posted = [pool.submit(post) for _ in range(60)]
        # One is written, 32 wait, and the others are told at once to come again.
        assert wait_until(lambda: sum(each.done() for each in posted) == 60 - 33)
        assert ask(port, "GET", "/metrics")[0] == 200
        assert ask(port, "GET", "/api/v1/incidents")[0] == 200
        let_go.set()
        answers = [each.result() for each in posted]
    statuses = [status for status, _, _ in answers]
    assert (statuses.count(202), statuses.count(503)) == (33, 27)
    assert all(headers["retry-after"] for status, _, headers in answers if status == 503)


_FEW_FILES = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from starlette.responses import PlainTextResponse
from streamdrift.http.server import listen, make_server
listener = listen("gateway.bind", ("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
make_server(PlainTextResponse("ok\\n"), 4_352, 75, 1).run([listener])
"""


def test_connections_leave_files_to_others() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _FEW_FILES],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child, ExitStack() as stack:
        stack.callback(child.kill)
        assert child.stdout is not None
        assert child.stderr is not None
        port = int(child.stdout.readline())
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert ask(port, "GET", "/healthz")[0] == 200
        assert psutil.Process(child.pid).num_fds() < 100
        child.terminate()
        assert "system resource" not in child.stderr.read()


def test_many_ask_at_once() -> None:
    with served(World()) as port:
        paths = ("/metrics", "/api/v1/models", "/api/v1/models/fraud/signals") * 10
        with ThreadPoolExecutor(len(paths)) as pool:
            statuses = list(pool.map(lambda path: ask(port, "GET", path)[0], paths))
    assert statuses == [200] * 30


def test_the_port_is_free_again_afterwards() -> None:
    with served(World()) as port:
        pass
    with listen("http.bind", ("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


def test_the_end_does_not_wait_for_who_holds_a_connection() -> None:
    with ExitStack() as stack:
        with served(World()) as port:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100)
            begun = time.monotonic()
        assert time.monotonic() - begun < 10


def test_a_port_in_use_is_a_mistake_in_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}") as error:
            listen("http.bind", ("127.0.0.1", port))
    assert error.value.hint is not None
    assert "--set http.bind=" in error.value.hint
