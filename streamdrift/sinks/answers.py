"""What became of an attempt to deliver."""

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """Whether to go on."""

    TAKEN = "taken"
    REFUSED = "refused"
    """This alert will never be taken."""
    UNREADABLE = "unreadable"
    """It cannot be told at all: somebody else wrote it, or wrote a part of it."""
    FAILED = "failed"
    """Try again: later it may be taken."""


class Answer(NamedTuple):
    """What came of an attempt."""

    verdict: Verdict
    detail: str = ""
    """What went wrong, without secrets."""
    wait: float | None = None
    """Seconds that were asked for until the next attempt."""
    status: int = 0
    """Of the answer over HTTP; 0 where there was none."""


def unreadable(error: Exception) -> Answer:
    """Return the answer of an alert of which no message could be made."""
    return Answer(Verdict.UNREADABLE, f"{type(error).__name__}: {error}")
