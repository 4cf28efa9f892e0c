"""Who pages is tried without being asked to page, and each failure says what to do."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamdrift.errors import ConnectionsError
from streamdrift.sinks.alertmanager import AlertmanagerSettings
from streamdrift.sinks.trying import ask_alertmanager, reach_webhook
from streamdrift.sinks.webhook import WebhookSettings
from tests.http_receiver import Receiver, Reply, answering, receiving
from tests.real_kafka import free_ports
from tests.tls import make_certificate, serving

STATUS = {
    "cluster": {"status": "ready", "peers": []},
    "config": {"original": "x" * 100_000},
    "versionInfo": {"version": "0.27.0"},
}
SECRET = "s3cret-path"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        made.reply = lambda _: Reply(200, json.dumps(STATUS).encode())
        yield made


def alertmanager(url: str, **options: Any) -> str:
    settings = AlertmanagerSettings.model_validate({"url": url, "timeout": "2s", **options})
    return ask_alertmanager(url, settings)


def webhook(url: str, **options: Any) -> str:
    return reach_webhook(WebhookSettings.model_validate({"url": url, "timeout": "2s", **options}))


def failure(reach: Any, url: str, **options: Any) -> tuple[str, str]:
    """Return what is said where one is not reached, and what to do."""
    with pytest.raises(ConnectionsError) as caught:
        reach(url, **options)
    told = str(caught.value), str(caught.value.hint)
    assert SECRET not in "".join(told)
    return told


@pytest.mark.parametrize("path", ["", "/", "/api/v2/alerts"])
def test_alertmanager_says_how_it_is(receiver: Receiver, path: str) -> None:
    url = receiver.url.removesuffix("/alerts") + "/prefix" + path
    assert alertmanager(url, bearer_token="t0ken", headers={"X-Scope-OrgID": "me"}) == (
        "version 0.27.0, cluster ready"
    )
    (asked,) = receiver.posts
    assert (asked.method, asked.path, asked.body) == ("GET", "/prefix/api/v2/status", b"")
    assert asked.headers["authorization"] == "Bearer t0ken"
    assert asked.headers["x-scope-orgid"] == "me"


@pytest.mark.parametrize(
    ("reply", "said", "cure"),
    [
        (Reply(401), "answered with status 401", "check username and password_file, or bearer"),
        (Reply(403), "answered with status 403", "of alerts.alertmanager"),
        (Reply(404), "status 404", "check the path of alerts.alertmanager.url, with its prefix"),
        (Reply(302, headers={"location": "/x"}), "302", "redirects are not followed"),
        (Reply(502), "status 502", "its log, or that of the proxy"),
        (Reply(200, b"hello"), "is no Alertmanager with an API v2", "alerts.alertmanager.url"),
        (Reply(200, b"{}"), "is no Alertmanager with an API v2", "alerts.alertmanager.url"),
        (Reply(200, b"[1]"), "is no Alertmanager with an API v2", "alerts.alertmanager.url"),
    ],
)
def test_what_is_wrong_with_alertmanager_is_said(
    receiver: Receiver, reply: Reply, said: str, cure: str
) -> None:
    receiver.reply = lambda _: reply
    told, hint = failure(alertmanager, f"{receiver.url}/{SECRET}")
    assert said in told
    assert cure in hint


def test_an_answer_without_end_is_not_read_to_it(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(200, b" " * (17 << 20))
    told, _ = failure(alertmanager, receiver.url)
    assert "longer than 16,777,216 bytes" in told


def test_to_a_webhook_nothing_is_sent() -> None:
    heard: list[bytes] = []
    with answering(b"", heard=heard) as url:
        assert webhook(f"{url}{SECRET}") == "connected, nothing sent"
    assert heard == [b""]


def test_by_tls_neither(tmp_path: Path) -> None:
    file = make_certificate(tmp_path)
    with receiving(context=serving(file)) as receiver:
        assert webhook(receiver.url, ca_file=file) == "connected, nothing sent"
        assert receiver.connections == 1
    assert receiver.posts == []


@pytest.mark.parametrize("reach", [alertmanager, webhook])
def test_where_nobody_is_that_is_said(reach: Any) -> None:
    (port,) = free_ports(1)
    told, hint = failure(reach, f"http://127.0.0.1:{port}/{SECRET}")
    assert told.endswith(f"at http://127.0.0.1:{port}: [Errno 111] Connection refused")
    assert hint.startswith("nothing listens there: check host and port of alerts.")
    told, hint = failure(reach, f"https://nowhere.invalid/{SECRET}")
    assert hint.startswith("no such name: check the host in alerts.")


@pytest.mark.parametrize("reach", [alertmanager, webhook])
def test_who_does_not_answer_is_not_waited_for(reach: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        told, hint = failure(reach, url, timeout="100ms")
    assert "timed out" in told
    assert "no firewall is between" in hint


@pytest.mark.parametrize("reach", [alertmanager, webhook])
def test_a_certificate_that_is_not_trusted_is_said_to_be(tmp_path: Path, reach: Any) -> None:
    file = make_certificate(tmp_path)
    with receiving(context=serving(file)) as receiver:
        told, hint = failure(reach, receiver.url)
        assert "certificate verify failed: self-signed certificate" in told
        assert "_ssl.c" not in told
        assert hint.startswith("name the authority that signed its certificate in alerts.")
        assert hint.endswith(".ca_file")
        told, hint = failure(reach, receiver.url, ca_file=Path(__file__))
        assert hint.startswith("name files in PEM format")


@pytest.mark.parametrize("reach", [alertmanager, webhook])
def test_a_certificate_of_another_name_is_said_to_be(tmp_path: Path, reach: Any) -> None:
    file = make_certificate(tmp_path, "DNS:elsewhere")
    with receiving(context=serving(file)) as receiver:
        told, hint = failure(reach, receiver.url, ca_file=file)
    assert "certificate is not valid for '127.0.0.1'" in told
    assert hint.startswith("its certificate is for another name: write that one in alerts.")


@pytest.mark.parametrize("reach", [alertmanager, webhook])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_wants_a_certificate_of_the_client_says_so(
    tmp_path: Path, reach: Any, version: ssl.TLSVersion
) -> None:
    """By TLS 1.3 only once the client takes the connection to stand."""
    file = make_certificate(tmp_path)
    context = serving(file, mutual=True)
    context.minimum_version = context.maximum_version = version
    with receiving(context=context) as receiver:
        receiver.reply = lambda _: Reply(200, json.dumps(STATUS).encode())
        assert reach(receiver.url, ca_file=file, cert_file=file)
        _, hint = failure(reach, receiver.url, ca_file=file)
    assert "certificate" in hint
    assert hint.endswith(".cert_file and key_file")


@pytest.mark.parametrize("reach", [alertmanager, webhook])
def test_plain_http_is_no_tls(receiver: Receiver, reach: Any) -> None:
    _, hint = failure(reach, receiver.url.replace("http:", "https:"))
    assert hint.startswith("it speaks no TLS there: check scheme and port of alerts.")


def test_what_is_no_http_is_said_to_be_none() -> None:
    with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
        _, hint = failure(alertmanager, url)
    assert hint.startswith("what answers there speaks no HTTP")


@pytest.mark.parametrize("reach", [alertmanager, webhook])
def test_secrets_are_there_and_are_not_shown(
    receiver: Receiver, tmp_path: Path, reach: Any
) -> None:
    file = tmp_path / "token"
    file.write_text("\n")
    told, hint = failure(reach, receiver.url, bearer_token_file=file)
    assert "the file of bearer_token is empty" in told
    assert "bearer_token_file, of alerts." in hint
    assert receiver.posts == []
    told, hint = failure(alertmanager, receiver.url, bearer_token=f"{SECRET}\n{SECRET}")
    assert "has a secret a line end in it?" in told


def test_a_file_that_is_gone_is_named(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    settings = AlertmanagerSettings.model_validate({"url": receiver.url, "bearer_token_file": file})
    file.unlink()
    with pytest.raises(ConnectionsError, match="No such file") as caught:
        ask_alertmanager(receiver.url, settings)
    assert caught.value.hint == "name a file that this user may read"


def test_through_a_proxy_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for the way, and that is all that is sent."""
    file = make_certificate(tmp_path)
    asked: list[bytes] = []
    proxy = socket.create_server(("127.0.0.1", 0))

    def serve(port: int) -> None:
        connection, _ = proxy.accept()
        with connection, socket.create_connection(("127.0.0.1", port)) as there:
            asked.append(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for pair in ((connection, there), (there, connection)):
                threading.Thread(target=_carry, args=pair, daemon=True).start()
            done.wait(10)

    done = threading.Event()
    with receiving(context=serving(file)) as receiver:
        port = int(receiver.url.split(":")[2].partition("/")[0])
        thread = threading.Thread(target=serve, args=(port,), daemon=True)
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert webhook(receiver.url, ca_file=file) == "connected, nothing sent"
        done.set()
        thread.join(5)
    proxy.close()
    (way,) = asked
    assert way.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1".encode())
    assert receiver.posts == []


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        return
