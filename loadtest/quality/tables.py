"""Tables as they are printed, and verdicts: what was to be reached beside what was measured."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from loadtest.quality.measures import Coverage, Delays, Rate

BEGIN = "<!-- quality: begin -->"
END = "<!-- quality: end -->"

WORDS = {True: "reached", False: "missed", None: "open"}
"""Of a verdict; open: too few values or runs to tell."""


class Table(NamedTuple):
    """A table: its title, the heads of its columns, rows of cells, and what is to be known."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


class Verdict(NamedTuple):
    """One line of what is to be reached. `held` is None where the runs are too few to tell."""

    what: str
    reach: str
    measured: str
    held: bool | None


class Result(NamedTuple):
    """What a section found."""

    tables: Sequence[Table]
    verdicts: Sequence[Verdict]


def at_most(
    what: str, measured: float, reach: float, error: float = 0.0, form: str = ",.0f"
) -> Verdict:
    """Judge a mean that should be at most `reach`, given the standard error of its measurement.

    Above `reach` by less than 1.645 errors it is open.
    """
    held = True if measured <= reach else None if measured - 1.645 * error <= reach else False
    return Verdict(what, f"<= {reach:{form}}", f"{measured:{form}}", held)


def at_least(
    what: str, measured: float, reach: float, upper: float | None = None, form: str = ".1%"
) -> Verdict:
    """Judge a share that should be at least `reach`; open where its upper bound reaches it."""
    high = measured if upper is None else upper
    held = True if measured >= reach else None if high >= reach else False
    return Verdict(what, f">= {reach:{form}}", f"{measured:{form}}", held)


def bounded(what: str, each: float, upper: float, lower: float, reach: float) -> Verdict:
    """Judge a rate whose 95 % upper bound should be at most `reach`.

    It is missed where its lower bound is above, and else open: more values would tell.
    """
    held = True if upper <= reach else False if lower > reach else None
    return Verdict(what, f"bound <= {reach:.4g}", f"{each:.3g} (bound {upper:.3g})", held)


def rate_cell(rate: Rate) -> str:
    """Return a rate of 100,000 values, its one-sided 95 % upper bound, and the count."""
    return f"{rate.each:.3g} (< {rate.upper:.3g}) [{rate.alarms:,}]"


def delay_cell(delays: Delays) -> str:
    """Return restricted mean and its error, median, and the share found unless it is 1.

    A dagger marks delays that false alarms make meaningless.
    """
    if delays.found == 0:
        return "never"
    digits = 1 if delays.mean < 100 else 0
    error = f" ± {delays.error:,.{digits}f}" if delays.error < math.inf else ""
    median = f"{delays.median:,.0f}" if delays.median < math.inf else "-"
    share = "" if delays.found == 1 else f" [{delays.found:.2f}]"
    return f"{delays.mean:,.{digits}f}{error} / {median}{share}{' †' if delays.blurred else ''}"


def coverage_cell(coverage: Coverage) -> str:
    """Return the share of intervals that held the truth, of how many, and their median width."""
    return f"{coverage.share:.1%} of {coverage.trials} (width {coverage.width:,.3g})"


def markdown(table: Table) -> str:
    """Return a table in Markdown, under its title."""
    lines = [f"#### {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    lines += [_row(table.columns), _row(["---"] * len(table.columns))]
    lines += [_row(row) for row in table.rows]
    return "\n".join(lines) + "\n"


def verdicts_table(title: str, verdicts: Iterable[Verdict]) -> Table:
    """Return verdicts as a table."""
    return Table(
        title,
        ("what", "to be reached", "measured", ""),
        tuple((one.what, one.reach, one.measured, WORDS[one.held]) for one in verdicts),
    )


def tally(verdicts: Iterable[Verdict]) -> str:
    """Return in words how many verdicts there are of each kind."""
    held = [one.held for one in verdicts]
    parts = [f"{held.count(state)} {word}" for state, word in WORDS.items() if state in held]
    return ", ".join(parts) or "nothing measured"


def between_markers(document: str, text: str) -> str:
    """Return the document with what lies between the two markers replaced.

    Raises ValueError if it does not hold both once, in order.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document needs one {BEGIN} and one {END}")
    head, rest = document.split(BEGIN)
    if END not in rest:
        raise ValueError(f"{END} comes before {BEGIN}")
    return f"{head}{BEGIN}\n{text.strip()}\n{END}{rest.split(END)[1]}"


def as_tree(result: Result) -> dict[str, Any]:
    """Return a result as what JSON can hold."""
    return {
        "tables": [table._asdict() for table in result.tables],
        "verdicts": [verdict._asdict() for verdict in result.verdicts],
    }


def of_tree(tree: Mapping[str, Any]) -> Result:
    """Return the result that `as_tree` was given."""
    return Result(
        [
            Table(
                table["title"],
                tuple(table["columns"]),
                tuple(tuple(row) for row in table["rows"]),
                table["note"],
            )
            for table in tree["tables"]
        ],
        [Verdict(**verdict) for verdict in tree["verdicts"]],
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
