"""Writing records so that each writer knows when its own are acknowledged."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.producer.future import FutureRecordMetadata

from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError
from streamdrift.headers import Header
from streamdrift.kafka.clients import KafkaSettings, make_producer
from streamdrift.kafka.outbox import abandon

_REST = 1.0
"""Seconds after a failure in which the brokers are not called again."""
_CONNECT = 5 * SECOND
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_log = structlog.get_logger("streamdrift")


Result = TypeVar("Result")


class Entry(NamedTuple):
    """A record to be written."""

    key: bytes
    value: bytes
    headers: Sequence[Header]


class AwayError(Exception):
    """The records are not known to be written: they have to be sent again."""


class TooLargeError(Exception):
    """A record is larger than the brokers allow."""


class Writer:
    """One producer, used from a thread of its own.

    One that has failed is never used again: another takes its place, and what waited is told
    that it is not known to be written. `prepare` is called before each, to see to the topic.
    `timeout` is in seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        timeout: float,
        prepare: Callable[[KafkaSettings], object],
    ) -> None:
        connect = min(settings.bootstrap_timeout, _CONNECT)
        self._settings = settings.model_copy(update={"bootstrap_timeout": connect})
        self._topic = topic
        self._prepare = prepare
        self._timeout = timeout
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="producer")
        self._producer: KafkaProducer | None = None
        self._attempt: asyncio.Future[KafkaProducer] | None = None
        self._failed_at = float("-inf")
        self._answering = True

    @property
    def connected(self) -> bool:
        """Whether the brokers answered last."""
        return self._producer is not None and self._answering

    async def connect(self) -> None:
        """Connect, so that the first request need not wait; raise AwayError where that fails."""
        await self._connected()

    async def write(self, entries: Sequence[Entry]) -> None:
        """Return when all replicas have all entries.

        Raises AwayError where that is not so in time, and TooLargeError. Some entries may be
        written all the same.
        """
        producer = None
        try:
            async with asyncio.timeout(self._timeout):
                producer = await self._connected()
                futures = await self._on_thread(partial(self._send, producer, entries))
                for future in futures:
                    await _acknowledged(future)
        except TimeoutError as error:
            self._give_up(producer, "no answer in time")
            raise AwayError("the brokers have not acknowledged in time") from error
        except _TOO_LARGE as error:
            raise TooLargeError(str(error)) from error
        except KafkaError as error:
            self._give_up(producer, str(error))
            raise AwayError(f"the brokers refuse: {type(error).__name__}") from error
        if not self._answering:
            self._answering = True
            _log.info("the brokers answer again")

    def close(self) -> None:
        """Give up the producer; what was not acknowledged by now is not known to be written."""
        self._thread.submit(self._abandon, self._producer)
        self._thread.shutdown(wait=True)

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _connected(self) -> KafkaProducer:
        """Return the producer; raise AwayError where no broker answers, or did just now.

        Those that wait for one share the attempt to make it.
        """
        if self._producer is not None:
            return self._producer
        if self._attempt is None or self._attempt.done():
            if time.monotonic() < self._failed_at + _REST:
                raise AwayError("the brokers do not answer")
            self._attempt = asyncio.ensure_future(self._on_thread(self._made))
            # Who waited may have gone.
            self._attempt.add_done_callback(lambda made: made.cancelled() or made.exception())
        return await asyncio.shield(self._attempt)

    def _made(self) -> KafkaProducer:
        """Return the producer, a new one where there is none; raise AwayError as above."""
        if self._producer is None:
            milliseconds = round(self._timeout * 1_000)
            try:
                self._prepare(self._settings)
                self._producer = make_producer(
                    self._settings,
                    # An idempotent one fails for all after one record that is too large. Whoever
                    # posts again after a lost answer writes twice anyhow, under one id.
                    enable_idempotence=False,
                    request_timeout_ms=milliseconds // 2,
                    delivery_timeout_ms=milliseconds,
                    max_block_ms=milliseconds // 2,
                )
            except ConnectionsError as error:
                self._note(str(error))
                raise AwayError("the brokers do not answer") from error
        return self._producer

    def _send(
        self, producer: KafkaProducer, entries: Sequence[Entry]
    ) -> list[FutureRecordMetadata]:
        if self._producer is None or self._producer is not producer:
            raise AwayError("the brokers have failed meanwhile")
        return [
            producer.send(self._topic, value=each.value, key=each.key, headers=list(each.headers))
            for each in entries
        ]

    def _give_up(self, producer: KafkaProducer | None, reason: str) -> None:
        """Use a producer no more, unless another has taken its place by now."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        self._note(reason)
        self._thread.submit(self._abandon, producer)

    def _note(self, reason: str) -> None:
        self._failed_at = time.monotonic()
        if self._answering:
            self._answering = False
            _log.warning("events are refused until the brokers answer", error=reason)

    @staticmethod
    def _abandon(producer: KafkaProducer | None) -> None:
        if producer is not None:
            abandon(producer)


async def _acknowledged(future: FutureRecordMetadata) -> None:
    """Return when a record is acknowledged; raise the client's error where it is not."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if told.done():
            return
        if error is None:
            told.set_result(None)
        else:
            told.set_exception(error)

    future.add_callback(lambda _: loop.call_soon_threadsafe(tell, None))
    future.add_errback(lambda error: loop.call_soon_threadsafe(tell, error))
    await told
