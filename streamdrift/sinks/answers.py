"""What became of an attempt to deliver."""

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """Whether to go on."""

    TAKEN = "taken"
    REFUSED = "refused"
    """This alert will never be taken."""
    FAILED = "failed"
    """Try again: later it may be taken."""


class Answer(NamedTuple):
    """What came of an attempt."""

    verdict: Verdict
    detail: str = ""
    """What went wrong, without secrets."""
    wait: float | None = None
    """Seconds that were asked for until the next attempt."""
