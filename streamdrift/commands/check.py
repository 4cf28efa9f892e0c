"""`streamdrift check`: with the settings right, whether connections and topics stand."""

from collections.abc import Iterator, Sequence

import typer

from streamdrift.commands.paging import Contact, Said, contacts_of, tried
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, SettingsError
from streamdrift.following.lines import Line
from streamdrift.following.team import make_lines, sink_group
from streamdrift.kafka.topics import TopicReport, inspect_topics
from streamdrift.plain import plain
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.assembly import make_decoder_of, topic_needs
from streamdrift.workers.offline import groups_of

_HEADER = ("topic", "for", "partitions", "replicas", "cleanup", "rights", "stands")
_ASKED_HEADER = ("asked", "at", "stands")


def run_check(settings: Settings, *, offline: bool, send_test: bool = False) -> None:
    """Print what is read and written, how each topic stands, and who can be reached.

    With `send_test` those who page are sent a test notification. Raises SettingsError where a
    notification cannot be made, ConnectionsError where the broker, the schema registry or who
    pages cannot be reached, or a topic is not as needed.
    """
    if offline and send_test:
        raise SettingsError(
            "--offline connects to nobody, and --send-test does", "leave one of both out"
        )
    lines = make_lines(settings, Metrics())
    make_decoder_of(settings)
    typer.echo(f"settings: all right, deployment {settings.name}")
    if lines:
        typer.echo(f"who is told: {', '.join(line.sink for line in lines)}")
    if offline:
        return
    contacts = contacts_of(settings)
    faults = [*_check_topics(settings, lines), *_ask(contacts, send=send_test)]
    if len(faults) > 1:
        told = "\n".join(f"  {each}\n  hint: {each.hint or 'see its log'}" for each in faults)
        raise ConnectionsError(f"{len(faults)} connections are wrong:\n{told}")
    if faults:
        raise faults[0]
    typer.echo("connections: all right")


def _check_topics(settings: Settings, lines: Sequence[Line]) -> list[ConnectionsError]:
    """Print how each topic stands; return what is wrong."""
    try:
        reports = inspect_topics(settings.kafka, topic_needs(settings))
    except ConnectionsError as error:
        return [error]
    rows = [_row(report, will_create=settings.topics.create) for report in reports]
    for row in _aligned([_HEADER, *rows]):
        typer.echo(plain(row))
    for line in _other_rights(settings, lines):
        typer.echo(plain(line))
    problems = [
        report
        for report in reports
        if report.problem and (report.exists or not settings.topics.create)
    ]
    missing = [report for report in reports if not report.exists]
    if missing and settings.topics.create:
        typer.echo("topics that are missing are created at the start (topics.create)")
    for report in [*problems, *(each for each in missing if each not in problems)]:
        if report.command:
            typer.echo(plain(report.command))
    if not problems:
        return []
    told = "; ".join(str(report.problem) for report in problems)
    return [ConnectionsError(told, hint="the commands above mend it")]


def _ask(contacts: Sequence[Contact], *, send: bool) -> list[ConnectionsError]:
    """Print what each says who is asked; return what is wrong."""
    if not contacts:
        return []
    said = [tried(each, send=send) for each in contacts]
    rows = [(each.name, each.place, _standing(each)) for each in said]
    for row in _aligned([_ASKED_HEADER, *rows]):
        typer.echo(plain(row))
    return [ConnectionsError(each.problem, each.cure) for each in said if each.problem]


def _standing(said: Said) -> str:
    return "wrong" if said.problem else f"ok: {said.answer}"


def _other_rights(settings: Settings, lines: Sequence[Line]) -> Iterator[str]:
    """Yield what rights are needed beside those to topics, of which brokers show nothing here."""
    own = (settings.name,) if settings.mode == "standalone" else groups_of(settings)
    groups = (*own, *(sink_group(settings, line) for line in lines))
    yield f"consumer groups (read): {', '.join(groups)}"
    if settings.guarantee != "at_least_once":
        ids = settings.name if settings.mode == "standalone" else f"{settings.name}/..."
        yield f"transactional ids (write): {ids}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(report: TopicReport, *, will_create: bool) -> tuple[str, ...]:
    need = report.need
    rights = ", ".join(right.value.lower() for right in need.rights)
    if not report.exists:
        state = "will be created" if will_create else "missing"
        return need.name, need.purpose, "-", "-", "-", rights, state
    return (
        need.name,
        need.purpose,
        str(report.partitions),
        str(report.replication),
        report.cleanup_policy or "?",
        rights,
        "wrong" if report.problem else "ok",
    )
