"""What is posted, as records of the commands topic."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress

from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, LaterError
from streamdrift.operators import Command, encode
from streamdrift.outbox import Outbox

WRITE_SECONDS = 10.0

Write = Callable[[Command], None]
"""Writes a command, and returns when the brokers have it; raises LaterError where they do not."""


class CommandWriter:
    """Writes to the commands topic; it connects when there is something to write."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._outbox: Outbox | None = None

    def write(self, command: Command) -> None:
        """Return when all replicas have the command; raise LaterError where that is not sure."""
        if not self._lock.acquire(timeout=WRITE_SECONDS):
            raise LaterError("other commands wait for the brokers", "post it again later")
        try:
            self._write(command)
        except ConnectionsError as error:
            self.close()  # One that failed once is never used again.
            raise LaterError(
                f"the brokers did not take the command, or it is not known: {error}",
                "post it again once they answer; twice the same does no harm",
            ) from error
        finally:
            self._lock.release()

    def _write(self, command: Command) -> None:
        if self._outbox is None:
            milliseconds = int(WRITE_SECONDS * 1_000)
            self._outbox = Outbox(
                self._settings.kafka,
                bootstrap_timeout_ms=milliseconds,
                max_block_ms=milliseconds,
                delivery_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds // 2,
            )
        topic = self._settings.commands.topic
        self._outbox.send(topic, encode(command), key=command.model.encode())
        self._outbox.flush(WRITE_SECONDS)

    def close(self) -> None:
        """Give up the connection."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            with suppress(ConnectionsError), closing(outbox):
                pass
