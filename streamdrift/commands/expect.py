"""`streamdrift expect`: says that a model is about to change, so that nobody is paged for it."""

import getpass
import time
from contextlib import closing
from typing import NamedTuple
from uuid import uuid4

import typer
from pydantic import ValidationError

from streamdrift.assembly import commands_need
from streamdrift.config import Settings
from streamdrift.deployment import tell_created
from streamdrift.durations import parse_duration
from streamdrift.errors import InputError
from streamdrift.operators import Asked, Command, encode
from streamdrift.outbox import Outbox
from streamdrift.sources import start_time
from streamdrift.times import date_of
from streamdrift.topics import ensure_topics
from streamdrift.validation import first_mistake


class ExpectOptions(NamedTuple):
    """What the command line says of a planned change."""

    model: str
    lasts: str
    """For how long, as `2h`."""
    since: str | None
    note: str
    by: str | None


def run_expect(options: ExpectOptions, settings: Settings) -> None:
    """Write the command, and return when the brokers have it.

    Raises InputError where it says nothing that can be planned, ConnectionsError where the brokers
    do not take it.
    """
    command = _command(options, time.time_ns() // 1_000)
    need = commands_need(settings)
    tell_created(ensure_topics(settings.kafka, [need], create=settings.topics.create))
    with closing(Outbox(settings.kafka)) as outbox:
        outbox.send(need.name, encode(command), key=command.model.encode())
        outbox.flush()
    since, until = (f"{date_of(each):%Y-%m-%d %H:%M:%S}" for each in (command.since, command.until))
    typer.echo(
        f"incidents of {command.model} that begin from {since} to {until} UTC page nobody "
        f"(deployment {settings.name})"
    )


def _command(options: ExpectOptions, now: int) -> Command:
    try:
        since = now if options.since is None else start_time(options.since)
        return Command(
            id=uuid4().hex,
            kind=Asked.EXPECT,
            model=options.model,
            since=since,
            until=since + parse_duration(options.lasts),
            by=_user() if options.by is None else options.by,
            note=options.note,
            at=now,
        )
    except ValidationError as error:
        raise InputError(f"expect: {first_mistake(error)}") from error
    except ValueError as error:
        raise InputError(f"expect: {error}") from error


def _user() -> str:
    """Return the user's name, where the machine knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
