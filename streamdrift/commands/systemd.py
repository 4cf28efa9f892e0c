"""What systemd is told of a process that it has started: that it is ready, and goes round."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from streamdrift.web.api import Health

_EVERY = 1.0


@contextmanager
def telling_systemd(health: Health, environment: Mapping[str, str]) -> Iterator[None]:
    """Tell systemd each second how a process stands, until the block ends.

    By sd_notify: READY=1 while it is ready, WATCHDOG=1 while its loop goes round. `environment`
    names the socket, where systemd wants to know (Type=notify); elsewhere nothing is told.
    """
    place = environment.get("NOTIFY_SOCKET")
    if not place:
        yield
        return
    ended = threading.Event()
    # Apart from the loop, which may wait for brokers for long: that is no illness.
    teller = threading.Thread(
        target=_tell, args=(health, place, ended), name="systemd", daemon=True
    )
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def _tell(health: Health, place: str, ended: threading.Event) -> None:
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        while not ended.wait(_EVERY):
            stands = {b"READY=1": health.ready, b"WATCHDOG=1": health.healthy}
            said = b"\n".join(word for word, so in stands.items() if so)
            if said:
                with suppress(OSError):  # It is told again in a second.
                    channel.sendto(said, address)
