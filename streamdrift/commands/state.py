"""`streamdrift state`: what is remembered, for operators: listed, shown, kept, put back."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from streamdrift.assembly import fingerprint, state_needs
from streamdrift.commands.state_output import (
    listing_document,
    overview_document,
    print_listing,
    print_overview,
)
from streamdrift.config import Settings
from streamdrift.deployment import Deployment
from streamdrift.errors import (
    ConnectionsError,
    InputError,
    OutputError,
    SettingsError,
    StateError,
)
from streamdrift.logs import set_up_logs
from streamdrift.overview import overview
from streamdrift.records import State
from streamdrift.service import changed_settings
from streamdrift.sinks.file import written_anew
from streamdrift.state import TopicStore, decode
from streamdrift.state.archive import Archive, pack, put, take, unpack
from streamdrift.state.catalog import list_deployments
from streamdrift.state.journal import Journaled
from streamdrift.state.kafka import KafkaLog
from streamdrift.state.log import Log
from streamdrift.state.ownership import last_claims
from streamdrift.topics import Right, TopicNeed, inspect_topics
from streamdrift.trees import tree


def run_ls(settings: Settings, *, as_json: bool) -> None:
    """Print the deployments of the state topic."""
    with open_log(settings) as log:
        listed = list_deployments(log, settings.state.topic)
        claims = last_claims(log, settings.state.journal)
    if not listed:
        raise StateError(
            f"the topic {settings.state.topic} holds no state", "was it reset, or never written?"
        )
    rows = listing_document(listed, claims, time.time_ns() // 1_000)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        print_listing(rows)


def run_show(
    settings: Settings, file: Path | None, model: str | None = None, *, as_json: bool
) -> None:
    """Print what the state of the deployment holds, or that in `file`."""
    if file is None:
        with open_log(settings) as log:
            archive = _take(log, settings)
        state = decode(archive.snapshot)
    else:
        archive, state = _read(file)
    found = overview(state, archive.since.published, model)
    if model is not None and not (found.versions or found.incidents or found.alerts):
        raise StateError(
            f"the state holds no model {model!r}", "without --model, all that it holds is shown"
        )
    document = overview_document(archive, found)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_overview(document)


def run_export(settings: Settings, file: Path) -> None:
    """Write the last whole snapshot of the deployment into `file`, which is replaced."""
    with open_log(settings) as log:
        archive = _take(log, settings)
    decode(archive.snapshot)  # What could not be imported is not worth keeping.
    data = pack(archive)
    with written_anew(file) as stream:
        try:
            stream.write(data)
        except OSError as error:
            raise OutputError(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(f"{file}: snapshot {archive.sequence} of {archive.deployment}, {len(data):,} bytes")


def run_import(settings: Settings, file: Path, *, force: bool) -> None:
    """Put the state in `file` into the deployment, and fence whoever runs it.

    Raises InputError where the file cannot be used, StateError where the settings do not
    fit it, or where there is state already and no `force`.
    """
    archive, state = _read(file)
    changed = changed_settings(tree(state, "settings"), fingerprint(settings))
    if changed:
        raise StateError(
            f"the state in {file} does not fit the settings: " + "; ".join(changed),
            "import it with the settings it was made with",
        )
    set_up_logs("warning")
    Deployment(settings).change_state(lambda store: put(archive, store, force=force))
    typer.echo(f"{settings.name} goes on from snapshot {archive.sequence} of {archive.deployment}")


def run_reset(settings: Settings, *, yes: bool) -> None:
    """Forget the state of the deployment, and fence whoever runs it."""
    with open_log(settings) as log:
        kept = {each.deployment for each in list_deployments(log, settings.state.topic)}
        if settings.name not in kept and _store(log, settings).since(0) == Journaled():
            raise _nothing(settings)
    question = f"forget the state of {settings.name}, with all references"
    if not yes and not sys.stdin.isatty():
        raise SettingsError(
            f"not done, as there is no terminal to ask on: {question}?", "say so with --yes"
        )
    if not yes:
        typer.confirm(f"{question}?", abort=True)
    set_up_logs("warning")
    Deployment(settings).change_state(TopicStore.reset)
    typer.echo(f"the state of {settings.name} is forgotten")


@contextmanager
def open_log(settings: Settings) -> Iterator[Log]:
    """Connect to the topics of the state, to read them only.

    Raises StateError where one is missing, ConnectionsError where it may not be read.
    """
    # Whatever else is wrong with a topic, what it holds can be looked at.
    needs = [TopicNeed(each.name, each.purpose, (Right.READ,)) for each in state_needs(settings)]
    for report in inspect_topics(settings.kafka, needs):
        if not report.exists:
            raise StateError(
                f"there is no topic {report.need.name} ({report.need.purpose}) at "
                f"{settings.kafka.bootstrap_servers}, or this user may not see it",
                "check name and state.topic; before the first `streamdrift run` there is none",
            )
        if report.problem:
            raise ConnectionsError(report.problem, report.command)
    with closing(KafkaLog(settings.kafka)) as log:
        yield log


def _store(log: Log, settings: Settings) -> TopicStore:
    return TopicStore(log, settings.name, settings.state.topic, settings.state.journal)


def _take(log: Log, settings: Settings) -> Archive:
    archive = take(log, settings.name, settings.state.topic, settings.state.journal)
    if archive is None:
        raise _nothing(settings)
    return archive


def _nothing(settings: Settings) -> StateError:
    return StateError(
        f"the topic {settings.state.topic} has no state of the deployment {settings.name!r}",
        "`streamdrift state ls` lists what it has; --set name=... chooses another",
    )


def _read(file: Path) -> tuple[Archive, State]:
    """Return what an exported file holds; raise InputError where it cannot be used."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    archive = unpack(data, str(file))
    try:
        return archive, decode(archive.snapshot)
    except StateError as error:
        raise InputError(
            f"{file}: {error}", "use the version of streamdrift that wrote it"
        ) from error
