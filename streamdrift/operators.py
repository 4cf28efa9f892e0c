"""What operators ask for, and the records of the commands topic that say so.

Whoever runs the deployment takes a command at a commit boundary, notes in the journal where in the
stream that was, and does the same there after a restart.
"""

from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamdrift.errors import InputError
from streamdrift.validation import first_mistake

LONGEST_NAME, LONGEST_NOTE = 200, 2_000
NAME, NOTE = r"^[^\x00-\x1f\x7f]*$", r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
"""Who asks, on one line, and why, on several: no other control characters."""
_LATEST = 253_402_300_799_999_999


class Asked(StrEnum):
    """What may be asked for."""

    ACKNOWLEDGE = "acknowledge"
    """Somebody looks after the incident."""
    RESOLVE = "resolve"
    """What changed is mended: its signals are watched again, as they were."""
    ACCEPT = "accept"
    """What changed is the new normal: its values since the change become the reference."""
    EXPECT = "expect"
    """The model is about to change: incidents that begin meanwhile page nobody."""


class Command(BaseModel):
    """One command.

    All but EXPECT are of an `incident`, by its id, and of the model version it belongs to; one that
    is the model's own (silence, event rate) has no version and is `of_model`. They are about what
    changed `through` an event time, the last that whoever asks has seen. EXPECT holds for
    event times from `since` up to `until`. All times are in microseconds since the epoch, `at` is
    when it was asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    kind: Asked
    model: str
    version: str = ""
    of_model: bool = False
    incident: str = Field("", pattern=r"^([0-9a-f]{32})?$")
    through: int = Field(_LATEST, ge=0, le=_LATEST)
    since: int = Field(0, ge=0, le=_LATEST)
    until: int = Field(0, ge=0, le=_LATEST)
    by: str = Field("", max_length=LONGEST_NAME, pattern=NAME)
    note: str = Field("", max_length=LONGEST_NOTE, pattern=NOTE)
    at: int = Field(ge=0, le=_LATEST)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind is not Asked.EXPECT and not self.incident:
            raise ValueError(f"{self.kind.value} is of an incident: give its id")
        if self.kind is Asked.EXPECT and self.since >= self.until:
            raise ValueError("expect holds from a time up to a later one")
        return self


class Taken(NamedTuple):
    """A command that has taken effect."""

    place: int
    """Its offset in the commands topic: which of all it is."""
    where: tuple[int, str, int, int]
    """Where in the stream that was: the frontier of all events. Of a shard of several workers, an
    offset in its partition of the exchange, and no more."""
    command: Command


class CommandsSettings(BaseModel):
    """Where operators' commands come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(
        "streamdrift.commands",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic of what operators ask for, by the HTTP API and `streamdrift expect`.",
    )


def encode(command: Command) -> bytes:
    """Return the value of the record that says a command; its key is the model."""
    return command.model_dump_json(exclude_defaults=True).encode()


def decode(value: bytes) -> Command:
    """Return the command that a record's value says. Raises InputError where it says none."""
    try:
        return Command.model_validate_json(value)
    except ValidationError as error:
        raise InputError(
            f"no command: {first_mistake(error, 'the record')}",
            "commands are written by `streamdrift expect` and the HTTP API",
        ) from error
