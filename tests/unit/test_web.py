import socket
import urllib.error
import urllib.request
from email.message import Message

import pytest

from streamdrift.errors import SettingsError
from streamdrift.web import Answer, serve

HANDLERS = {
    "/metrics": lambda: Answer(b"events 1\n"),
    "/readyz": lambda: Answer(b"restoring\n", 503),
}


def get(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, bytes, Message]:
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def test_serves_each_path_by_its_handler() -> None:
    with serve(("127.0.0.1", 0), HANDLERS) as address:
        status, body, headers = get(address, "/metrics?name=x")
        assert (status, body) == (200, b"events 1\n")
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert get(address, "/readyz")[:2] == (503, b"restoring\n")


def test_an_unknown_path_says_what_there_is() -> None:
    with serve(("127.0.0.1", 0), HANDLERS) as address:
        status, body, _ = get(address, "/metric")
    assert status == 404
    assert body == b"nothing at /metric; there is: /metrics, /readyz\n"


def test_head_has_no_body() -> None:
    with serve(("127.0.0.1", 0), HANDLERS) as address:
        status, body, headers = get(address, "/metrics", method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "9")


def test_other_methods_are_refused() -> None:
    with serve(("127.0.0.1", 0), HANDLERS) as address:
        assert get(address, "/metrics", method="POST")[0] == 501


def test_the_port_is_free_again_afterwards() -> None:
    with serve(("127.0.0.1", 0), HANDLERS) as address:
        pass
    with serve(address, HANDLERS) as again:
        assert again == address


def test_a_port_in_use_is_a_mistake_in_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}") as error,
            serve(("127.0.0.1", port), HANDLERS),
        ):
            pass
    assert error.value.hint is not None
    assert "--set http.bind=" in error.value.hint


def test_a_client_that_hangs_up_disturbs_nobody() -> None:
    with serve(("127.0.0.1", 0), HANDLERS) as address:
        with socket.create_connection(address) as client:
            client.sendall(b"GET /met")
        assert get(address, "/metrics")[0] == 200
