"""How systemd hears that the process is ready, and that its loop goes round."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from streamdrift.commands import systemd
from streamdrift.commands.systemd import telling_systemd


@dataclass
class _Health:
    ready: bool = False
    healthy: bool = True


@pytest.fixture(params=["file", "abstract"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "abstract":
        return f"@streamdrift-{uuid4().hex}"
    return os.path.relpath(tmp_path / "notify")  # A path of more than 107 bytes is refused.


@pytest.fixture
def heard(place: str) -> Iterator[socket.socket]:
    """Return the end that systemd has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{place[1:]}" if place.startswith("@") else place)
        end.settimeout(60)
        yield end


def _falls_silent(heard: socket.socket) -> bool:
    try:
        for _ in range(100):
            heard.recv(100)
    except TimeoutError:
        return True
    return False


def test_it_hears_of_ready_and_of_a_loop_that_goes_round(
    place: str, heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_EVERY", 0.01)
    health = _Health()
    with telling_systemd(health, {"NOTIFY_SOCKET": place}):
        assert heard.recv(100) == b"WATCHDOG=1"
        health.ready = True
        while (said := heard.recv(100)) == b"WATCHDOG=1":
            pass
        assert said == b"READY=1\nWATCHDOG=1"
        health.ready = health.healthy = False
        heard.settimeout(0.3)
        assert _falls_silent(heard)


def test_one_that_does_not_listen_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_EVERY", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        place = os.path.relpath(tmp_path / "notify")
        with telling_systemd(_Health(), {"NOTIFY_SOCKET": place}):
            end.bind(place)
            end.settimeout(10)
            assert end.recv(100) == b"WATCHDOG=1"
    with telling_systemd(_Health(), {}):
        pass


@pytest.mark.parametrize("place", ["abstract"], indirect=True)
@pytest.mark.parametrize(
    ("command", "first"), [("run", b"WATCHDOG=1"), ("gateway", b"READY=1\nWATCHDOG=1")]
)
def test_the_commands_tell_it(place: str, heard: socket.socket, command: str, first: bytes) -> None:
    """Without brokers `run` is never ready, and the gateway answers 503."""
    away = ("kafka.bootstrap_servers=127.0.0.1:1", "kafka.bootstrap_timeout=20s")
    sets = (*away, "http.bind=null", "gateway.bind=127.0.0.1:0")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamdrift", command]
        + [word for each in sets for word in ("--set", each)],
        env={**os.environ, "NOTIFY_SOCKET": place},
        stderr=subprocess.DEVNULL,
    )
    try:
        while (said := heard.recv(100)) != first:
            assert b"READY" not in said
    finally:
        process.kill()
        process.wait()
