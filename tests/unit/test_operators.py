"""Commands as records: what is written is read, and what is none is refused."""

import pytest
from pydantic import ValidationError

from streamdrift.errors import InputError
from streamdrift.operators import Asked, Command, decode, encode

ID, INCIDENT = "0" * 32, "ab" * 16
ACCEPT = Command(
    id=ID, kind=Asked.ACCEPT, model="fraud", version="3", incident=INCIDENT, by="Zoë", at=7
)
EXPECT = Command(id=ID, kind=Asked.EXPECT, model="fraud", since=5, until=9, note="release", at=7)


WITHDRAW = Command(id=ID, kind=Asked.WITHDRAW, model="fraud", by="Zoë", at=7)


@pytest.mark.parametrize("command", [ACCEPT, EXPECT, WITHDRAW])
def test_what_is_written_is_read(command: Command) -> None:
    assert decode(encode(command)) == command


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"incident": ""}, "accept is of an incident: give its id"),
        ({"kind": "expect", "since": 9, "until": 9}, "from a time up to a later one"),
        ({"id": "x"}, "id"),
        ({"by": "a\nb"}, "by"),
        ({"note": "a\x00b"}, "note"),
        ({"until": 10**18}, "until"),
        ({"other": 1}, "other"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Command.model_validate({**ACCEPT.model_dump(), **changed})


@pytest.mark.parametrize("value", [b"", b"rubbish", b"[]", b"{}", b'{"id": 1}', b"\xff"])
def test_a_record_that_is_no_command_says_why(value: bytes) -> None:
    with pytest.raises(InputError, match="no command: ") as caught:
        decode(value)
    assert "streamdrift expect" in str(caught.value.hint)
