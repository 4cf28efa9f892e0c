"""How often a broker is called that takes calls and says nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from kafka.errors import KafkaError
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from streamdrift.kafka.clients import back_off_where_cut_short

_SECONDS = 1.0
_NODE = "bootstrap-0"


@contextmanager
def _hangs_up() -> Iterator[tuple[int, list[float]]]:
    """Take calls on a port and end them at once; note when each came."""
    calls: list[float] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def take() -> None:
            with suppress(OSError):  # Closed at the end.
                while True:
                    call, _ = server.accept()
                    calls.append(time.monotonic())
                    call.close()

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1], calls
        server.shutdown(socket.SHUT_RDWR)


def _calls(*, patient: bool) -> int:
    """Return how often a client calls that wants to be connected for a second."""
    with _hangs_up() as (port, calls):
        net = NetworkSelector()
        manager = KafkaConnectionManager(
            net, bootstrap_servers=f"127.0.0.1:{port}", reconnect_backoff_max_ms=1_000
        )
        if patient:
            back_off_where_cut_short(manager)
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            with suppress(KafkaError):
                manager.get_connection(_NODE)
            net.poll(timeout_ms=5)
        manager.close()
        net.close()
        return len(calls)


def test_who_hangs_up_is_called_less_and_less_often() -> None:
    # After 50, 100, 200, 400 and 800 ms, a fifth more or less.
    assert 3 <= _calls(patient=True) <= 6
    # The client as it is, or there would be nothing to mend.
    assert _calls(patient=False) > 20


def test_what_is_no_broker_is_reset_as_before() -> None:
    net = NetworkSelector()
    manager = KafkaConnectionManager(net, bootstrap_servers="127.0.0.1:1")
    back_off_where_cut_short(manager)
    manager.update_backoff("metadata")
    assert manager.connection_delay("metadata") > 0
    manager.reset_backoff("metadata")
    assert manager.connection_delay("metadata") == 0
    manager.close()
    net.close()
