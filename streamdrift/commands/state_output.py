"""How `streamdrift state` prints what it found: JSON for programs, tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from streamdrift.commands.overview import Overview
from streamdrift.plain import plain
from streamdrift.state.archive import Archive
from streamdrift.state.catalog import Listed
from streamdrift.state.ownership import Claim
from streamdrift.times import rfc3339

_WIDE = 250
"""Columns where the output is no terminal: as good as nothing is wrapped."""
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def listing_document(
    listed: Sequence[Listed], claims: Mapping[str, Claim], now: int
) -> list[dict[str, Any]]:
    """Return the deployments as JSON has them; `now` is in microseconds since the epoch."""
    rows: list[dict[str, Any]] = []
    for each in listed:
        row: dict[str, Any] = {
            "deployment": each.deployment,
            "shards": each.shards,
            "sequence": each.sequence,
            "bytes": each.size,
        }
        if each.saved_at is not None:
            row["saved_at"] = rfc3339(each.saved_at)
            row["age_seconds"] = max(0.0, (now - each.saved_at) / 1e6)
        if each.oldest_at is not None:
            row["oldest_seconds"] = max(0.0, (now - each.oldest_at) / 1e6)
        claim = claims.get(each.deployment)
        row["epoch"], row["owner"] = claim or (None, None)
        rows.append({**row, "problem": each.problem})
    return rows


def print_listing(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what `listing_document` returned; a column that no row has is left out."""
    # What was written at an unknown time has no age, and what is all right has no problem.
    optional = {"age_seconds", "oldest_seconds", "problem"}
    names = ["deployment", "shards", "sequence", "bytes", "age_seconds", "oldest_seconds"]
    names = [
        name
        for name in [*names, "epoch", "owner", "problem"]
        if name not in optional or any(row.get(name) is not None for row in rows)
    ]
    written = {"age_seconds": _age, "oldest_seconds": _age}
    cells = [[written.get(name, _cell)(row.get(name)) for name in names] for row in rows]
    _print_table("", [name.removesuffix("_seconds") for name in names], cells)


def overview_document(archive: Archive, found: Overview) -> dict[str, Any]:
    """Return what snapshots hold as JSON has it; times are RFC 3339."""
    return {
        "deployment": archive.deployment,
        "shards": len(archive.snapshots),
        "sequence": archive.sequence,
        "bytes": archive.size,
        "journal": archive.journal,
        "settings": dict(found.fingerprint),
        "positions": [
            {"topic": topic, "partition": number, "offset": offset}
            for (topic, number), offset in found.positions.items()
        ],
        "versions": [{**asdict(each), "last_at": rfc3339(each.last_at)} for each in found.versions],
        "incidents": [
            {**asdict(each), "opened_at": rfc3339(each.opened_at)} for each in found.incidents
        ],
        "alerts": dict(found.alerts),
        "published_since": found.published_since,
    }


def print_overview(document: Mapping[str, Any]) -> None:
    """Print what `overview_document` returned."""
    names = ["deployment", "shards", "sequence", "bytes", "journal"]
    _print_table(
        "",
        ["deployment", "shards", "sequence", "bytes", "journal offset"],
        [[_cell(document[name]) for name in names]],
    )
    _print_table("settings it depends on", ["key", "value"], _rows(document["settings"].items()))
    positions = [tuple(each.values()) for each in document["positions"]]
    _print_table("positions", ["topic", "partition", "offset"], _rows(positions))
    _print_table(
        "model versions",
        ["model", "version", "events", "last event", "reference", "signals", "held"],
        _rows(
            (
                *(each[name] for name in ("model", "version", "events", "last_at")),
                "complete" if each["complete"] else "collecting",
                each["signals"],
                each["held"],
            )
            for each in document["versions"]
        ),
    )
    _print_table(
        "found in references",
        ["model", "version", "signals"],
        _rows(
            (each["model"], each["version"], line)
            for each in document["versions"]
            for line in each["findings"]
        ),
    )
    names = ["model", "version", "kind", "severity", "opened_at", "signals", "id"]
    _print_table(
        "open incidents",
        [name.replace("_", " ") for name in names],
        _rows([each[name] for name in names] for each in document["incidents"]),
    )
    _print_table("alerts so far", ["model", "number"], _rows(document["alerts"].items()))
    _print_table("", ["alerts published since"], [[_cell(document["published_since"])]])


def _rows(rows: Iterable[Iterable[object]]) -> list[list[str]]:
    return [[_cell(value) for value in row] for row in rows]


def _print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Names come from events: they are no markup, and no commands to the terminal.
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    if title:
        console.print(f"\n{title}" + ("" if rows else ": none"))
    if rows:
        console.print(table)


def _cell(value: object) -> str:
    if value is None or value in ("", ()):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return plain(str(value))


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in _AGES:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
