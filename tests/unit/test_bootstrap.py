"""Why a client cannot be connected is said, and at once where trying again is no use."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings, make_admin, make_consumer, make_producer

_VERSIONS, _HANDSHAKE, _AUTHENTICATE = 18, 17, 36
_LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "me",
    "sasl_plain_password": "wrong",
}
_MAKERS = [make_consumer, make_producer, make_admin]


def _text(said: str) -> bytes:
    return struct.pack(">h", len(said)) + said.encode()


def _answer(request: bytes, mechanism: str) -> bytes:
    """Answer as a broker that offers `mechanism`, and knows no user."""
    kind, version = struct.unpack(">hh", request[:4])
    if kind == _VERSIONS:
        known = ((3, 0, 1), (_HANDSHAKE, 0, 1), (_VERSIONS, 0, 0), (_AUTHENTICATE, 0, 0))
        listed = b"".join(struct.pack(">hhh", *each) for each in known)
        return struct.pack(">hi", 35 if version else 0, len(known)) + listed
    if kind == _HANDSHAKE:
        return struct.pack(">hi", 0, 1) + _text(mechanism)
    assert kind == _AUTHENTICATE
    return struct.pack(">h", 58) + _text("Invalid username or password") + struct.pack(">i", 0)


@contextmanager
def _broker(mechanism: str = "PLAIN") -> Iterator[str]:
    """Serve such a broker; yield where it is."""

    def serve(call: socket.socket) -> None:
        with call, suppress(OSError, struct.error), call.makefile("rwb") as stream:
            while True:
                (size,) = struct.unpack(">i", stream.read(4))
                request = stream.read(size)
                answer = request[4:8] + _answer(request, mechanism)
                stream.write(struct.pack(">i", len(answer)) + answer)
                stream.flush()

    def take(server: socket.socket) -> None:
        with suppress(OSError):  # Closed at the end.
            while True:
                call, _ = server.accept()
                threading.Thread(target=serve, args=(call,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=take, args=(server,), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _refusal(make: Callable[..., object], server: str, **options: Any) -> ConnectionsError:
    with pytest.raises(ConnectionsError) as caught:
        make(KafkaSettings(bootstrap_servers=server, **options))
    return caught.value


@pytest.mark.parametrize("make", _MAKERS)
def test_a_wrong_password_is_said_at_once(make: Callable[..., object]) -> None:
    begin = time.monotonic()
    with _broker() as server:
        error = _refusal(make, server, bootstrap_timeout="5m", **_LOGIN)
    assert time.monotonic() - begin < 60
    assert str(error) == (
        f"cannot connect at {server}: SaslAuthenticationFailedError: Invalid username or password"
    )
    assert "kafka.sasl_plain_username" in (error.hint or "")


def test_a_mechanism_that_is_not_offered_is_said_at_once() -> None:
    with _broker("SCRAM-SHA-512") as server:
        error = _refusal(make_consumer, server, bootstrap_timeout="5m", **_LOGIN)
    assert "UnsupportedSaslMechanismError" in str(error)
    assert "SCRAM-SHA-512" in str(error)
    assert "kafka.sasl_mechanism" in (error.hint or "")


@pytest.mark.parametrize("make", _MAKERS)
def test_a_refused_port_is_said_to_be_one(make: Callable[..., object]) -> None:
    error = _refusal(make, "127.0.0.1:1", bootstrap_timeout="300ms")
    assert "127.0.0.1:1: the connection is refused: nothing listens there" in str(error)
    assert "check the port" in (error.hint or "")


def test_a_name_that_does_not_resolve_is_said_to_be_one() -> None:
    error = _refusal(make_consumer, "nowhere.invalid:9092", bootstrap_timeout="300ms")
    assert "nowhere.invalid:9092: the name does not resolve to an address" in str(error)
    assert "check the name" in (error.hint or "")


def test_of_several_servers_each_is_told() -> None:
    error = _refusal(make_consumer, "nowhere.invalid:9092,127.0.0.1:1", bootstrap_timeout="3s")
    assert "127.0.0.1:1: the connection is refused" in str(error)
    assert "nowhere.invalid:9092: the name does not resolve" in str(error)
