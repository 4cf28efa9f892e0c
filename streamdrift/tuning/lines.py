"""Pictures made of characters: what was open when, and how much later each budget was."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamdrift.history import figures
from streamdrift.tuning.results import ModelResult, Outcome, Shared

_NUMBERS = "123456789abcdefghijkl"
_BEND = 30.0
"""How much the axis of delays is bent, so that short ones beside long ones can be told apart."""


class Glyphs(NamedTuple):
    """The characters of the pictures."""

    learning: str
    quiet: str
    open: str
    other: str
    """A change that is not listed."""
    several: str
    """Several in one place."""
    chosen: str
    """Before the budget in the settings."""


UNICODE = Glyphs("·", "─", "━", "●", "+", "▸")
ASCII = Glyphs(".", "-", "=", "*", "+", ">")


def listed(shared: Sequence[Shared]) -> Mapping[str, Shared]:
    """Return the changes that are listed, by the character of each, in the order of time.

    Where there are too many, those that opened incidents go before those that joined them.
    """
    kept = sorted(shared, key=lambda each: not each.change.opens)[: len(_NUMBERS)]
    kept.sort(key=lambda each: each.change.told_at)
    return dict(zip(_NUMBERS, kept, strict=False))


class Line(NamedTuple):
    """A row of the timeline: its characters, and which of them are incidents."""

    text: str
    marks: frozenset[int]


def timeline(result: ModelResult, width: int, glyphs: Glyphs) -> list[Line]:
    """Return a row of `width` characters for each budget, over the history of the model."""
    return [
        _line(outcome, _marks(result, place, glyphs), result, width, glyphs)
        for place, outcome in enumerate(result.outcomes)
    ]


def _marks(result: ModelResult, place: int, glyphs: Glyphs) -> Mapping[tuple[int, str], str]:
    """Return the characters of what a budget told, by when and by which incident."""
    outcome = result.outcomes[place]
    marks = {(each.told_at, each.incident.id): glyphs.other for each in outcome.changes}
    for name, shared in listed(result.shared).items():
        sighting = shared.sightings[place]
        if sighting is not None:
            key = sighting.told_at, sighting.incident
            marks[key] = name if marks.get(key) in (None, glyphs.other) else glyphs.several
    return marks


def _line(
    outcome: Outcome,
    marks: Mapping[tuple[int, str], str],
    result: ModelResult,
    width: int,
    glyphs: Glyphs,
) -> Line:
    first, last = result.seen.first, result.seen.last
    cells = [glyphs.quiet] * width
    watched = column(result.watched.since, first, last, width)
    cells[:watched] = glyphs.learning * watched
    for incident in outcome.incidents:
        end = last if incident.ended_at is None else incident.ended_at
        for place in range(
            column(incident.opened_at, first, last, width), column(end, first, last, width) + 1
        ):
            cells[place] = glyphs.open
    marked: dict[int, str] = {}
    for (time, _), mark in sorted(marks.items()):
        place = column(time, first, last, width)
        marked[place] = mark if place not in marked else glyphs.several
    for place, mark in marked.items():
        cells[place] = mark
    return Line("".join(cells), frozenset(marked))


def column(time: int, first: int, last: int, width: int) -> int:
    """Return the place of a time on a line of `width` characters from `first` to `last`."""
    return min(max((time - first) * width // (last - first + 1), 0), width - 1)


def time_axis(first: int, last: int, width: int) -> str:
    """Return the times below a timeline, each beginning where it is: round ones."""
    span = last - first
    room = len(figures.tick(first, span)) + 6
    times = figures.round_times(first, last, max(1, width // room))
    labels = [(column(time, first, last, width), f"╵{figures.tick(time, span)}") for time in times]
    return _placed(labels, width)


def lag_lines(result: ModelResult, width: int, glyphs: Glyphs) -> list[str]:
    """Return for each budget a row with how much later it found what all found.

    What is listed stands at its delay against the largest budget.
    """
    found = [(name, each.lags) for name, each in listed(result.shared).items() if each.lags]
    longest = longest_lag(result.shared)
    lines = []
    for place in range(len(result.outcomes)):
        cells = [" "] * width
        for mark, lags in found:
            at = lag_column(lags[place], longest, width)
            cells[at] = mark if cells[at] == " " else glyphs.several
        lines.append("".join(cells))
    return lines


def longest_lag(shared: Sequence[Shared]) -> int:
    """Return the longest delay against the largest budget of what is listed, at least 1 us."""
    lags = [max(each.lags) for each in listed(shared).values() if each.lags]
    return max([1, *lags])


def lag_column(lag: int, longest: int, width: int) -> int:
    """Return the place of a delay; one below 0 is at 0."""
    share = min(max(lag / longest, 0.0), 1.0)
    return round((width - 1) * math.log1p(_BEND * share) / math.log1p(_BEND))


def lag_axis(longest: int, width: int) -> str:
    """Return the delays below the rows of `lag_lines`."""
    labels = [(0, "╵0")]
    for lag in figures.STEPS:
        at = lag_column(lag, longest, width)
        label = f"╵{figures.duration(lag)}"
        before, text = labels[-1]
        if lag <= longest and at > before + len(text) + 1 and at + len(label) <= width:
            labels.append((at, label))
    return _placed(labels, width)


def _placed(labels: Sequence[tuple[int, str]], width: int) -> str:
    line = ""
    for at, label in labels:
        if at + len(label) <= width:
            line = line.ljust(at) + label
    return line
