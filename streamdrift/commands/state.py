"""`streamdrift state`: what is remembered, for operators: listed, shown, kept, put back."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from streamdrift.commands.overview import overview
from streamdrift.commands.state_output import (
    listing_document,
    overview_document,
    print_listing,
    print_overview,
)
from streamdrift.config import Settings
from streamdrift.errors import (
    ConnectionsError,
    InputError,
    OutputError,
    SettingsError,
    StateError,
)
from streamdrift.kafka.topics import Right, TopicNeed, inspect_topics
from streamdrift.logs import set_up_logs
from streamdrift.pipeline import oldest
from streamdrift.records import State
from streamdrift.serving.assembly import (
    check_mode,
    fingerprint,
    make_pipeline,
    open_store,
    open_stores,
    state_needs,
)
from streamdrift.serving.deployment import Deployment, after_reset
from streamdrift.serving.recovery import changed_settings
from streamdrift.serving.resharding import reshard
from streamdrift.sinks.file import written_anew
from streamdrift.sources.committed import has_committed
from streamdrift.state import Saved, TopicStore, decode, encode
from streamdrift.state.archive import Archive, pack, put, take, unpack
from streamdrift.state.catalog import list_deployments
from streamdrift.state.journal import KEPT, Journaled
from streamdrift.state.kafka import KafkaLog
from streamdrift.state.log import Log
from streamdrift.state.ownership import last_claims
from streamdrift.trees import tree
from streamdrift.workers.offline import reset_workers, reshard_workers


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
        states = _decode(archive)
    else:
        archive, states = _read(file)
    found = overview(states, archive.since.published, model)
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
    """Write the last whole snapshots of the deployment into `file`, which is replaced."""
    with open_log(settings) as log:
        archive = _take(log, settings)
    _decode(archive)  # What could not be imported is not worth keeping.
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
    archive, states = _read(file)
    # The state of one process has the ordering in it, that of workers where its exchange was.
    if settings.mode == "distributed" or not all("ordering" in each for each in states.values()):
        raise StateError(
            "the state of several workers goes on from their exchange, which no file has",
            "import where mode is standalone, what was exported where it was standalone",
        )
    changed = changed_settings(tree(oldest(states), "settings"), fingerprint(settings))
    if len(states) != settings.shards:
        changed.append(f"shards: {len(states)} -> {settings.shards}")
    if changed:
        raise StateError(
            f"the state in {file} does not fit the settings: " + "; ".join(changed),
            "import it with the settings it was made with; `streamdrift state reshard` changes "
            "the number of shards afterwards",
        )
    make_pipeline(settings).restore(states)  # Who cannot start with it shall not have it.
    if not force:
        _check_free(settings)
    set_up_logs("warning")
    Deployment(settings).change_state(lambda store: put(archive, store, force=force))
    typer.echo(f"{settings.name} goes on from snapshot {archive.sequence} of {archive.deployment}")


def run_reset(settings: Settings, *, yes: bool) -> None:
    """Forget the state of the deployment, and fence whoever runs it."""
    if settings.mode == "standalone":
        with open_log(settings) as log:
            check_mode(log, settings)
            if not _has_anything(log, settings):
                raise _nothing(settings)
    question = f"forget the state of {settings.name}, with all references ({after_reset(settings)})"
    if not yes and not sys.stdin.isatty():
        raise SettingsError(
            f"not done, as there is no terminal to ask on: {question}?", "say so with --yes"
        )
    if not yes:
        typer.confirm(f"{question}?", abort=True)
    set_up_logs("warning")
    if settings.mode == "distributed":
        _say_waiting("for their groups to notice")
        reset_workers(settings)
    else:
        Deployment(settings).change_state(TopicStore.reset)
    typer.echo(f"the state of {settings.name} is forgotten: {after_reset(settings)}")


def _has_anything(log: Log, settings: Settings) -> bool:
    """Tell whether there is anything to be forgotten, or was and is gone."""
    listed = {each.deployment for each in list_deployments(log, settings.state.topic)}
    store = open_store(log, settings)
    if settings.name in listed or store.since(0) != Journaled():
        return True
    word = store.last_word()
    return word == KEPT or (word is None and has_committed(settings.kafka, settings.name))


def run_reshard(settings: Settings, shards: int) -> None:
    """Divide the state of the deployment, which is stopped, into another number of shards.

    Raises StateError where it has that already, where its shards are not of the same moment,
    or where a process still writes to it.
    """
    if settings.mode == "distributed" and settings.shards != shards:
        set_up_logs("warning")
        _say_waiting("for the shards to take what is in the exchange")
        reshard_workers(settings, shards)
        typer.echo(_resharded(settings, settings.shards, shards))
        return
    with open_log(settings) as log:
        archive = _take(log, settings)
    if len(archive.snapshots) == shards:
        raise StateError(f"the state of {settings.name} has {shards} shards already")
    divided = {
        shard: Saved(encode(state), archive.sequence, archive.journal)
        for shard, state in reshard(_decode(archive), shards).items()
    }

    def change(store: TopicStore) -> None:
        if store.last() != archive.snapshots:
            raise StateError(
                f"the state of {settings.name} was written meanwhile: nothing is changed",
                "stop the process that runs the deployment, then do this again",
            )
        store.replace(divided, None, force=True)

    set_up_logs("warning")
    Deployment(settings).change_state(change)
    typer.echo(_resharded(settings, len(archive.snapshots), shards))


def _say_waiting(more: str) -> None:
    typer.echo(f"waiting for all workers to have stopped, and {more}: a minute or so", err=True)


def _resharded(settings: Settings, before: int, shards: int) -> str:
    return (
        f"the state of {settings.name} has {shards} shards, and had {before}: "
        f"set shards: {shards} before it is started"
    )


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


def _check_free(settings: Settings) -> None:
    """Raise StateError where there is state, before whoever runs the deployment is disturbed."""
    if all(report.exists for report in inspect_topics(settings.kafka, state_needs(settings))):
        with open_log(settings) as log:
            open_store(log, settings).check_free()


def stored_states(settings: Settings) -> Iterator[State]:
    """Return what is remembered, by shard; raise StateError where that is nothing."""
    with open_log(settings) as log:
        archive = _take(log, settings)
    return (decode(saved.snapshot) for saved in archive.snapshots.values())


def _take(log: Log, settings: Settings) -> Archive:
    check_mode(log, settings)
    archive = take(open_stores(log, settings))
    if archive is None:
        raise _nothing(settings)
    return archive


def _nothing(settings: Settings) -> StateError:
    return StateError(
        f"the topic {settings.state.topic} has no state of the deployment {settings.name!r}",
        "`streamdrift state ls` lists what it has; --set name=... chooses another",
    )


def _decode(archive: Archive) -> dict[int, State]:
    return {shard: decode(saved.snapshot) for shard, saved in archive.snapshots.items()}


def _read(file: Path) -> tuple[Archive, dict[int, State]]:
    """Return what an exported file holds; raise InputError where it cannot be used."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    archive = unpack(data, str(file))
    try:
        return archive, _decode(archive)
    except StateError as error:
        raise InputError(
            f"{file}: {error}", "use the version of streamdrift that wrote it"
        ) from error
