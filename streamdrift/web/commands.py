"""What is posted, as records of the commands topic."""

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress

from starlette.concurrency import run_in_threadpool

from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, LaterError
from streamdrift.kafka.outbox import Outbox
from streamdrift.operators import Command, encode

WRITE_SECONDS = 10.0
MOST_WAITING = 32
"""Commands that wait for their turn; more are refused at once."""

Write = Callable[[Command], None]
"""Writes a command, and returns when the brokers have it; raises LaterError where they do not."""


class Turns:
    """Lets commands be written one after the other.

    While brokers are away each takes a thread for seconds: all at once they would leave none to
    those who only look.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._one = asyncio.Lock()
        self._waiting = 0

    async def write(self, command: Command) -> None:
        """Return when the brokers have the command; raise LaterError where that is not sure."""
        if self._waiting >= MOST_WAITING:
            raise LaterError("too many commands wait for the brokers", "post it again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._one.acquire()
        except TimeoutError:
            raise LaterError("other commands wait for the brokers", "post it again later") from None
        finally:
            self._waiting -= 1
        try:
            await run_in_threadpool(self._write, command)
        finally:
            self._one.release()


class CommandWriter:
    """Writes to the commands topic, from one thread at a time.

    It connects when there is something to write.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._outbox: Outbox | None = None

    def write(self, command: Command) -> None:
        """Return when all replicas have the command; raise LaterError where that is not sure."""
        try:
            self._write(command)
        except ConnectionsError as error:
            self.close()  # One that failed once is never used again.
            raise LaterError(
                f"the brokers did not take the command, or it is not known: {error}",
                "post it again once they answer; twice the same does no harm",
            ) from error

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
