"""`streamdrift expect`: what it writes, and what it says."""

from typing import Any

import pytest

from streamdrift.commands import expect
from streamdrift.commands.expect import ExpectOptions, run_expect
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, InputError, StateError
from streamdrift.operators import Asked, Command, decode
from streamdrift.state import decode as decode_state
from tests.exported import snapshots

_STORED = list(snapshots().values())
"""Of the models `fraud` and `young`."""
SETTINGS = Settings.model_validate({"name": "mine", "models": {"named": {}, "spam-*": {}}})
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
    monkeypatch.setattr(expect, "stored_states", lambda _: map(decode_state, _STORED))
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


@pytest.mark.parametrize("withdraw", [False, True])
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("frod", "expect: no event of the model 'frod' was seen, perhaps 'fraud' is meant"),
        ("FRAUD", "perhaps 'fraud' is meant"),
        ("nemed", "perhaps 'named' is meant"),
        ("spam-*", "no event of the model 'spam-*' was seen"),
        ("quite another", "no event of the model 'quite another' was seen"),
    ],
)
def test_a_model_that_nobody_knows_is_not_written(
    written: Written, withdraw: bool, model: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        run_expect(
            options(model=model, lasts=None if withdraw else "2h", withdraw=withdraw), SETTINGS
        )
    assert said in str(caught.value)
    assert "if it is to come, --new" in str(caught.value.hint)
    assert written == []


@pytest.mark.parametrize("model", ["fraud", "young", "named"])
def test_one_that_is_seen_or_in_the_settings_is(written: Written, model: str) -> None:
    run_expect(options(model=model, lasts="2h"), SETTINGS)
    assert [each.model for each in written] == [model]


def test_one_that_is_to_come_is_written_without_a_look(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expect, "stored_states", None)
    run_expect(options(model="churn", lasts="2h", new=True), SETTINGS)
    assert [each.model for each in written] == ["churn"]


@pytest.mark.parametrize("kind", [StateError, ConnectionsError])
def test_where_the_state_cannot_be_read_that_is_said(
    written: Written, monkeypatch: pytest.MonkeyPatch, kind: type[StateError | ConnectionsError]
) -> None:
    def away(_: object) -> None:
        raise kind("there is no topic", "check name")

    monkeypatch.setattr(expect, "stored_states", away)
    with pytest.raises(kind, match="there is no topic") as caught:
        run_expect(options(lasts="2h"), SETTINGS)
    assert str(caught.value.hint).startswith("check name; --new")
    assert written == []
