"""`streamdrift check`: with the settings right, whether connections and topics stand."""

from collections.abc import Iterator, Sequence

import typer

from streamdrift.assembly import make_decoder_of, topic_needs
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError
from streamdrift.following.team import make_lines
from streamdrift.metrics import Metrics
from streamdrift.plain import plain
from streamdrift.topics import TopicReport, inspect_topics

_HEADER = ("topic", "for", "partitions", "replicas", "cleanup", "rights", "stands")


def run_check(settings: Settings, *, offline: bool) -> None:
    """Print what is read and written, and how each topic stands.

    Raises SettingsError where a notification cannot be made, ConnectionsError where the broker
    cannot be reached, or a topic is not as needed.
    """
    lines = make_lines(settings, Metrics())
    make_decoder_of(settings)
    typer.echo(f"settings: all right, deployment {settings.name}")
    if lines:
        typer.echo(f"who is told: {', '.join(line.sink for line in lines)}")
    if offline:
        return
    reports = inspect_topics(settings.kafka, topic_needs(settings))
    rows = [_row(report, will_create=settings.topics.create) for report in reports]
    for row in _aligned([_HEADER, *rows]):
        typer.echo(plain(row))
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
    if problems:
        raise ConnectionsError(
            "; ".join(str(report.problem) for report in problems),
            hint="the commands above mend it",
        )
    typer.echo("connections: all right")


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
