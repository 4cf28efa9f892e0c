"""`streamdrift expect`: says that a model is about to change, so that nobody is paged for it.

Or that it is not, after all.
"""

import getpass
import time
from contextlib import closing
from typing import Any, NamedTuple
from uuid import uuid4

import typer
from pydantic import ValidationError

from streamdrift.commands.state import stored_states
from streamdrift.config import Settings
from streamdrift.durations import parse_duration
from streamdrift.errors import ConnectionsError, InputError, StateError
from streamdrift.kafka.outbox import Outbox
from streamdrift.kafka.topics import ensure_topics
from streamdrift.monitoring.known_models import models_in, named_models, not_known
from streamdrift.operators import Asked, Command, encode
from streamdrift.serving.assembly import commands_need
from streamdrift.serving.deployment import tell_created
from streamdrift.sources import start_time
from streamdrift.times import date_of
from streamdrift.validation import first_mistake


class ExpectOptions(NamedTuple):
    """What the command line says of a planned change."""

    model: str
    lasts: str | None
    """For how long, as `2h`."""
    since: str | None
    note: str
    by: str | None
    withdraw: bool = False
    """Whether what was planned is withdrawn."""
    new: bool = False
    """Whether the model may be one of which no event was seen."""


def run_expect(options: ExpectOptions, settings: Settings) -> None:
    """Write the command, and return when the brokers have it.

    Raises InputError where it says nothing that can be planned, or nobody knows the model;
    ConnectionsError where the brokers do not take it, StateError where the state cannot be read.
    """
    command = _command(options, time.time_ns() // 1_000)
    if not options.new:
        _check_known(command.model, settings)
    need = commands_need(settings)
    tell_created(ensure_topics(settings.kafka, [need], create=settings.topics.create))
    with closing(Outbox(settings.kafka)) as outbox:
        outbox.send(need.name, encode(command), key=command.model.encode())
        outbox.flush()
    typer.echo(
        f"incidents of {command.model} that begin {_when(command)} (deployment {settings.name})"
    )


def _check_known(model: str, settings: Settings) -> None:
    """Raise InputError where neither the last snapshot nor the settings know a model."""
    known = named_models(settings.models)
    if model in known:
        return
    try:
        for state in stored_states(settings):
            known |= models_in(state)
    except (StateError, ConnectionsError) as error:
        raise type(error)(str(error), f"{error.hint or 'try again'}; {_NOT_LOOKED_UP}") from error
    if model not in known:
        raise InputError(
            f"expect: {not_known(model, known)}",
            f"`streamdrift state show` lists the models of {settings.name}, as of its last "
            f"snapshot; if it is to come, {_NOT_LOOKED_UP}",
        )


_NOT_LOOKED_UP = "--new has it written without a look at what is known"


def _when(command: Command) -> str:
    if command.kind is Asked.WITHDRAW:
        return "from the next commit on page again"
    since, until = (f"{date_of(each):%Y-%m-%d %H:%M:%S}" for each in (command.since, command.until))
    return f"from {since} to {until} UTC page nobody"


def _command(options: ExpectOptions, now: int) -> Command:
    try:
        return Command(
            id=uuid4().hex,
            model=options.model,
            by=_user() if options.by is None else options.by,
            note=options.note,
            at=now,
            **_asked(options, now),
        )
    except ValidationError as error:
        raise InputError(f"expect: {first_mistake(error)}") from error
    except ValueError as error:
        raise InputError(f"expect: {error}") from error


def _asked(options: ExpectOptions, now: int) -> dict[str, Any]:
    """Return what is asked for, and for when; raise ValueError where that is not clear."""
    if options.withdraw:
        if options.lasts is not None or options.since is not None:
            raise ValueError("--withdraw is of all that is planned: leave --for and --from out")
        return {"kind": Asked.WITHDRAW}
    if options.lasts is None:
        raise ValueError("say for how long, as --for 2h; or --withdraw")
    since = now if options.since is None else start_time(options.since)
    return {"kind": Asked.EXPECT, "since": since, "until": since + parse_duration(options.lasts)}


def _user() -> str:
    """Return the user's name, where the machine knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
