"""`streamdrift expect`: what it writes, and what it says."""

from typing import Any

import pytest

from streamdrift.commands import expect
from streamdrift.commands.expect import ExpectOptions, run_expect
from streamdrift.config import Settings
from streamdrift.errors import InputError
from streamdrift.operators import Asked, Command, decode

SETTINGS = Settings.model_validate({"name": "mine"})
Written = list[Command]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """What is written, by brokers that have every topic."""
    found: Written = []

    class Kept:
        def __init__(self, _: object) -> None:
            """Connect to nothing."""

        def send(self, topic: str, value: bytes, *, key: bytes) -> None:
            command = decode(value)
            assert (topic, key) == ("mine.commands", command.model.encode())
            found.append(command)

        def flush(self) -> None:
            """Nothing waits."""

        close = flush

    monkeypatch.setattr(expect, "Outbox", Kept)
    monkeypatch.setattr(expect, "ensure_topics", lambda *_, **__: ())
    monkeypatch.setattr(expect, "tell_created", lambda _: None)
    return found


def options(**given: Any) -> ExpectOptions:
    asked = {"model": "fraud", "lasts": None, "since": None, "note": "", "by": "ada"}
    return ExpectOptions(**{**asked, **given})


def test_a_planned_change_is_written(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    run_expect(options(lasts="2h", since="2026-02-01T12:00:00Z", note="v7"), SETTINGS)
    (command,) = written
    assert (command.kind, command.by, command.note) == (Asked.EXPECT, "ada", "v7")
    assert command.until - command.since == 7_200_000_000
    assert capsys.readouterr().out == (
        "incidents of fraud that begin from 2026-02-01 12:00:00 to 2026-02-01 14:00:00 UTC page "
        "nobody (deployment mine)\n"
    )


def test_it_is_withdrawn(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    run_expect(options(withdraw=True), SETTINGS)
    (command,) = written
    assert (command.kind, command.model, command.by) == (Asked.WITHDRAW, "fraud", "ada")
    assert capsys.readouterr().out == (
        "incidents of fraud that begin from the next commit on page again (deployment mine)\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say for how long, as --for 2h; or --withdraw"),
        ({"lasts": "2h", "withdraw": True}, "leave --for and --from out"),
        ({"since": "2026-02-01T12:00:00Z", "withdraw": True}, "leave --for and --from out"),
        ({"lasts": "2 parsecs"}, "is no duration"),
        ({"lasts": "0s"}, "from a time up to a later one"),
        ({"lasts": "2h", "since": "soon"}, "soon"),
        ({"lasts": "2h", "by": "a\nb"}, "by: "),
    ],
)
def test_what_makes_no_sense_is_refused(written: Written, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=r"^expect: ") as caught:
        run_expect(options(**given), SETTINGS)
    assert said in str(caught.value)
    assert written == []
