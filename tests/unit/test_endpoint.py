"""Posting over HTTP: what is sent, and what is made of the answers."""

import base64
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from streamdrift.sinks.answers import Verdict
from streamdrift.sinks.endpoint import Endpoint, EndpointSettings, checked_url
from tests.http_receiver import Post, Receiver, Reply, answering, receiving
from tests.real_kafka import free_ports
from tests.tls import make_certificate, serving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def post(url: str, **settings: Any) -> Any:
    endpoint = Endpoint(url, EndpointSettings.model_validate({"timeout": "2s"} | settings))
    try:
        return endpoint.post(b"[]", {"content-type": "application/json"})
    finally:
        endpoint.close()


def test_what_is_posted_arrives_over_one_connection(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(200, b"thank you")
    endpoint = Endpoint(receiver.url, EndpointSettings())
    for _ in range(3):
        assert endpoint.post(b"[1]", {"content-type": "application/json"}).verdict is Verdict.TAKEN
    endpoint.close()
    assert receiver.connections == 1
    assert [each.body for each in receiver.posts] == [b"[1]"] * 3
    assert receiver.posts[0].path == "/alerts"
    assert receiver.posts[0].headers["content-type"] == "application/json"
    assert receiver.posts[0].headers["user-agent"].startswith("streamdrift/")
    assert "authorization" not in receiver.posts[0].headers


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.TAKEN),
        (202, Verdict.TAKEN),
        (301, Verdict.FAILED),
        (400, Verdict.REFUSED),
        (401, Verdict.FAILED),
        (403, Verdict.FAILED),
        (404, Verdict.FAILED),
        (408, Verdict.FAILED),
        (410, Verdict.REFUSED),
        (413, Verdict.REFUSED),
        (422, Verdict.REFUSED),
        (429, Verdict.FAILED),
        (500, Verdict.FAILED),
        (503, Verdict.FAILED),
        (599, Verdict.FAILED),
    ],
)
def test_the_status_says_whether_to_go_on(
    receiver: Receiver, status: int, verdict: Verdict
) -> None:
    receiver.reply = lambda _: Reply(status, b"why\nand how")
    answer = post(receiver.url)
    assert answer.verdict is verdict
    assert answer.detail == ("" if verdict is Verdict.TAKEN else f"answered {status}: why and how")


@pytest.mark.parametrize(
    ("asked", "wait"),
    [("7", 7.0), ("99999", 3_600.0), ("soon", None), ("-5", None), ("1e9", None)],
)
def test_who_asks_for_time_is_given_it_within_reason(
    receiver: Receiver, asked: str, wait: float | None
) -> None:
    receiver.reply = lambda _: Reply(503, headers={"retry-after": asked})
    assert post(receiver.url).wait == wait


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\x02rubbish",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_rubbish_is_no_answer(answer: bytes) -> None:
    with answering(answer) as url:
        found = post(url)
    assert found.verdict is Verdict.FAILED
    assert found.detail


def test_of_a_long_answer_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(500, b"x" * 5_000_000)
    answer = post(receiver.url)
    assert answer.verdict is Verdict.FAILED
    assert len(answer.detail) < 300


def test_a_body_that_is_not_encoded_as_it_says_is_not_decoded(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(200, b"no gzip", {"content-encoding": "gzip"})
    assert post(receiver.url).verdict is Verdict.TAKEN


def test_nobody_there_and_nobody_who_answers() -> None:
    (port,) = free_ports(1)
    gone = post(f"http://127.0.0.1:{port}/")
    assert (gone.verdict, "ConnectError" in gone.detail) == (Verdict.FAILED, True)
    nowhere = post("http://nowhere.invalid/")
    assert nowhere.verdict is Verdict.FAILED

    silence = threading.Event()
    with receiving() as receiver:

        def wait(_: Post) -> Reply:
            silence.wait(5)
            return Reply()

        receiver.reply = wait
        late = post(receiver.url, timeout="200ms")
        silence.set()
    assert (late.verdict, "no whole answer within 0.2 s" in late.detail) == (Verdict.FAILED, True)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_who_answers_byte_by_byte_holds_nobody_for_longer_than_the_time(head: bytes) -> None:
    """A wait for each part of an answer would not end."""
    start = time.monotonic()
    with answering(head + b"x" * 300, pause=0.05) as url:
        answer = post(url, timeout="500ms")
        assert time.monotonic() - start < 5
    assert answer.verdict is Verdict.FAILED
    assert answer.detail == "TimeoutError: no whole answer within 0.5 s"


def test_secrets_are_read_anew_each_time(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    endpoint = Endpoint(receiver.url, EndpointSettings(bearer_token_file=file))
    endpoint.post(b"", {})
    file.write_text("two\n")
    endpoint.post(b"", {})
    file.unlink()
    gone = endpoint.post(b"", {})
    endpoint.close()
    assert [each.headers["authorization"] for each in receiver.posts] == [
        "Bearer one",
        "Bearer two",
    ]
    assert gone.verdict is Verdict.FAILED
    assert "No such file" in gone.detail


def test_users_and_tokens_are_sent(receiver: Receiver) -> None:
    post(receiver.url, username="me", password="s3cret: ü")
    post(receiver.url, bearer_token=SecretStr("t"))
    basic, bearer = (each.headers["authorization"] for each in receiver.posts)
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "me:s3cret: ü"
    assert bearer == "Bearer t"


def test_headers_of_the_settings_are_sent_and_hidden(receiver: Receiver) -> None:
    post(receiver.url, headers={"X-Scope-OrgID": "t3am", "Content-Type": "text/plain"})
    sent = receiver.posts[0].headers
    assert (sent["x-scope-orgid"], sent["content-type"]) == ("t3am", "application/json")
    settings = EndpointSettings.model_validate({"headers": {"X-Scope-OrgID": "t3am"}})
    assert "t3am" not in settings.model_dump_json() + repr(settings)


def test_a_token_that_no_header_holds_is_a_failure_that_hides_it(receiver: Receiver) -> None:
    answer = post(receiver.url, bearer_token=SecretStr("t0ken\nt0ken"))
    assert answer.verdict is Verdict.FAILED
    assert "t0ken" not in answer.detail
    assert receiver.posts == []


def test_tls_checks_who_answers_and_shows_who_asks(tmp_path: Path) -> None:
    file = make_certificate(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Stay quiet."""

    context = serving(file, mutual=True)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{server.server_address[1]}/"
    try:
        stranger = post(url)
        nobody = post(url, ca_file=file)
        known = post(url, ca_file=file, cert_file=file)
        rubbish = post(url, ca_file=Path(__file__))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "certificate verify failed" in stranger.detail
    assert nobody.verdict is Verdict.FAILED
    assert known.verdict is Verdict.TAKEN
    assert rubbish.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"username": "me"}, "go together"),
        ({"password": "x"}, "go together"),
        ({"bearer_token": "x", "bearer_token_file": __file__}, "not both"),
        ({"username": "me", "password": "x", "bearer_token": "x"}, "not both"),
        ({"key_file": __file__}, "needs cert_file"),
        ({"ca_file": "/nowhere/ca"}, "cannot be read"),
        ({"timeout": 0}, "greater than 0"),
        ({"timeout": "1m"}, "less than or equal"),
        ({"timout": "5s"}, "timout"),
        ({"headers": {"a b": "x"}}, "no name of a header"),
        ({"headers": {"a": "x\r\nb: c"}}, "no header may hold"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        EndpointSettings.model_validate(settings)


@pytest.mark.parametrize(
    "url", ["", "host:9093", "ftp://host", "http://", "http://host:x", "http://a b", "http://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        checked_url(url)


def test_an_address_holds_no_password() -> None:
    with pytest.raises(ValueError, match="must hold no password"):
        checked_url("https://me:secret@host/")
    assert checked_url("https://host:1/a?b=c") == "https://host:1/a?b=c"


def test_of_an_address_only_the_host_is_logged() -> None:
    assert Endpoint("https://host:1/secret?x", EndpointSettings()).place == "https://host:1"
