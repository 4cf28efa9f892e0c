"""The gateway's producer: one attempt at a time to have it, and only its own failures end it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from streamdrift.errors import ConnectionsError
from streamdrift.gateway import writer as written
from streamdrift.gateway.writer import AwayError, Entry, Writer
from streamdrift.kafka.clients import KafkaSettings

ENTRY = Entry(b"key", b"value", [])


class Pending:
    """An acknowledgement that is given, or not, when the test says so."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[object], object]] = []
        self._errbacks: list[Callable[[Exception], object]] = []

    def add_callback(self, callback: Callable[[object], object]) -> None:
        self._callbacks.append(callback)

    def add_errback(self, errback: Callable[[Exception], object]) -> None:
        self._errbacks.append(errback)

    def acknowledge(self) -> None:
        for each in self._callbacks:
            each(None)

    def fail(self, error: Exception) -> None:
        for each in self._errbacks:
            each(error)


class Producer:
    def __init__(self) -> None:
        self.sent: list[Pending] = []

    def send(self, topic: str, **record: object) -> Pending:
        self.sent.append(Pending())
        return self.sent[-1]


class Brokers:
    """Makes producers, or fails, and keeps who was given up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = False
        self.attempts = 0
        self.made: list[Producer] = []
        self.given_up: list[object] = []
        monkeypatch.setattr(written, "make_producer", self._make)
        monkeypatch.setattr(written, "abandon", self.given_up.append)

    def prepare(self, _: KafkaSettings) -> None:
        self.attempts += 1
        time.sleep(0.1)
        if self.away:
            raise ConnectionsError("no broker answers")

    def _make(self, *_: object, **options: Any) -> Producer:
        self.made.append(Producer())
        return self.made[-1]

    def writer(self, timeout: float = 10.0) -> Writer:
        return Writer(KafkaSettings(), "t", timeout, self.prepare)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    return Brokers(monkeypatch)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.01)


async def refused(writer: Writer) -> bool:
    try:
        await writer.connect()
    except AwayError:
        return True
    return False


def test_who_asks_whether_it_is_ready_shares_one_attempt_and_then_a_rest(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers.away = True

    async def run() -> None:
        writer = brokers.writer()
        assert all(await asyncio.gather(*(refused(writer) for _ in range(50))))
        assert all([await refused(writer) for _ in range(50)])
        assert brokers.attempts == 1
        with pytest.raises(AwayError):
            await writer.write([ENTRY])
        assert brokers.attempts == 1
        brokers.away = False
        monkeypatch.setattr(written, "_REST", 0.0)
        assert not any(await asyncio.gather(*(refused(writer) for _ in range(50))))
        assert (brokers.attempts, len(brokers.made)) == (2, 1)
        writer.close()

    asyncio.run(run())


def test_who_goes_takes_the_attempt_from_nobody(brokers: Brokers) -> None:
    async def run() -> None:
        writer = brokers.writer()
        first = asyncio.create_task(writer.connect())
        second = asyncio.create_task(writer.connect())
        await asyncio.sleep(0.01)
        first.cancel()
        await second
        assert brokers.attempts == 1
        writer.close()

    asyncio.run(run())


def test_a_late_failure_ends_the_producer_it_is_of_alone(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "_REST", 0.0)

    async def run() -> None:
        writer = brokers.writer()
        early = [asyncio.create_task(writer.write([ENTRY])) for _ in range(2)]
        await until(lambda: len(brokers.made) == 1 and len(brokers.made[0].sent) == 2)
        old = brokers.made[0]
        old.sent[0].fail(KafkaTimeoutError())
        with pytest.raises(AwayError):
            await early[0]
        later = asyncio.create_task(writer.write([ENTRY]))
        await until(lambda: len(brokers.made) == 2 and len(brokers.made[1].sent) == 1)
        old.sent[1].fail(KafkaTimeoutError())
        with pytest.raises(AwayError):
            await early[1]
        brokers.made[1].sent[0].acknowledge()
        await later
        assert writer.connected
        assert brokers.given_up == [old]
        writer.close()
        assert brokers.given_up == brokers.made

    asyncio.run(run())


def test_what_waited_for_a_producer_that_failed_is_not_sent_by_it(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        writer = brokers.writer(timeout=0.5)
        await writer.connect()
        (producer,) = brokers.made
        with pytest.raises(AwayError, match="not acknowledged in time"):
            await writer.write([ENTRY])
        assert not writer.connected
        with pytest.raises(AwayError, match="failed meanwhile"):
            writer._send(producer, [ENTRY])
        assert len(producer.sent) == 1
        writer.close()

    asyncio.run(run())
