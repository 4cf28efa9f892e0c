"""The table of docs/signals.md: how long each detector takes to tell each kind of change."""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from loadtest.signals.changes import CHANGES, DETECTORS, Change, delay, takes

_BEGIN, _END = "<!-- delays: begin -->\n", "<!-- delays: end -->\n"
_RUNS = 40
_NEVER, _OTHER = "-", ""


def delays() -> str:
    """Return the table as Markdown: of each cell the median of the runs."""
    return "".join(f"| {' | '.join(row)} |\n" for row in _rows())


def cell(detector: str, change: Change, runs: int) -> str:
    """Return the median delay, with the part of runs that told where it is not all of them."""
    if not takes(detector, change):
        return _OTHER
    found = [delay(detector, change, seed) for seed in range(runs)]
    told = sum(each < math.inf for each in found)
    if told < runs / 2:
        return _NEVER
    # Of an even number the lower one: a median of one that is infinite is none.
    median = f"{statistics.median_low(found):,.0f}"
    return median if told == runs else f"{median} ({told / runs:.0%})"


def _rows() -> Iterator[list[str]]:
    yield ["detector", *(change.name for change in CHANGES)]
    yield ["---"] * (1 + len(CHANGES))
    for detector in DETECTORS:
        yield [f"`{detector}`", *(cell(detector, change, _RUNS) for change in CHANGES)]


def write_table(page: Path) -> None:
    """Put the table into its place in the page."""
    text = page.read_text()
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    page.write_text(f"{before}{_BEGIN}{delays()}{_END}{after}")
