"""Commands on their way to the brokers."""

import asyncio
import threading
from typing import Any

import pytest

from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, LaterError
from streamdrift.operators import Asked, Command, decode
from streamdrift.web import commands
from streamdrift.web.commands import CommandWriter, Turns

COMMAND = Command(id="0" * 32, kind=Asked.EXPECT, model="ü", since=1, until=2, note="planned", at=1)
SETTINGS = Settings.model_validate({"name": "mine"})


class Outboxes:
    """Makes outboxes that keep what is sent, of which some fail."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.made = self.closed = 0
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.options: dict[str, Any] = {}

    def __call__(self, _: object, **options: Any) -> "Outboxes":
        self.made += 1
        self.options = options
        return self

    def send(self, topic: str, value: bytes, *, key: bytes) -> None:
        self.sent.append((topic, value, key))

    def flush(self, timeout: float) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionsError("no broker answers")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def outboxes(monkeypatch: pytest.MonkeyPatch) -> Outboxes:
    made = Outboxes()
    monkeypatch.setattr(commands, "Outbox", made)
    return made


def test_commands_are_written_over_one_connection(outboxes: Outboxes) -> None:
    writer = CommandWriter(SETTINGS)
    assert outboxes.made == 0
    writer.write(COMMAND)
    writer.write(COMMAND)
    (topic, value, key), _ = outboxes.sent
    assert (topic, decode(value), key) == ("mine.commands", COMMAND, "ü".encode())
    assert outboxes.made == 1
    assert outboxes.options["delivery_timeout_ms"] == 10_000
    writer.close()
    assert outboxes.closed == 1


def test_after_a_failure_another_connection_is_made(outboxes: Outboxes) -> None:
    outboxes.fails = 1
    writer = CommandWriter(SETTINGS)
    with pytest.raises(LaterError, match="no broker answers") as caught:
        writer.write(COMMAND)
    assert "post it again" in str(caught.value.hint)
    writer.write(COMMAND)
    assert (outboxes.made, outboxes.closed) == (2, 1)


class Away:
    """Brokers that take commands when the test lets them."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.entered = 0

    def write(self, _: Command) -> None:
        self.entered += 1
        assert self.go_on.wait(10)


async def told(turns: Turns) -> str:
    """Return what becomes of a command."""
    try:
        await turns.write(COMMAND)
    except LaterError as error:
        return str(error)
    return "written"


def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "WRITE_SECONDS", 0.1)
    away = Away()

    async def run() -> list[str]:
        turns = Turns(away.write)
        first = asyncio.create_task(told(turns))
        await asyncio.sleep(0.01)
        second = await told(turns)
        assert away.entered == 1
        away.go_on.set()
        return [second, await first, await told(turns)]

    assert asyncio.run(run()) == ["other commands wait for the brokers", "written", "written"]


def test_more_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_WAITING", 2)
    away = Away()

    async def run() -> list[str]:
        turns = Turns(away.write)
        tasks = [asyncio.create_task(told(turns)) for _ in range(3)]
        await asyncio.sleep(0.05)
        refused = await told(turns)
        away.go_on.set()
        return [refused, *await asyncio.gather(*tasks)]

    assert asyncio.run(run()) == ["too many commands wait for the brokers", *["written"] * 3]


def test_a_command_that_fails_leaves_the_turn_to_the_next() -> None:
    failures = [LaterError("no broker answers")]

    def write(_: Command) -> None:
        if failures:
            raise failures.pop()

    async def run() -> list[str]:
        turns = Turns(write)
        return [await told(turns), await told(turns)]

    assert asyncio.run(run()) == ["no broker answers", "written"]


def test_a_broker_that_is_away_is_no_reason_to_wait_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "WRITE_SECONDS", 0.2)
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    with pytest.raises(LaterError, match=r"127\.0\.0\.1:1"):
        CommandWriter(settings).write(COMMAND)
