"""The timeline of a report: when what was open, a row for each model version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from streamdrift.history import figures
from streamdrift.history.extents import Seen
from streamdrift.history.incident_log import Incident
from streamdrift.reporting.axes import Axis, percent
from streamdrift.reporting.charts import Span, span_of


class Bar(NamedTuple):
    """An incident on the timeline."""

    number: int
    span: Span
    severity: str
    told: str
    open: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A model version on the timeline; `watched` is from when on it was, in percent."""

    name: str
    there: Span
    watched: float | None
    bars: tuple[Bar, ...]


def make_rows(
    incidents: Sequence[Incident],
    seen: Mapping[tuple[str, str], Seen],
    watched: Mapping[tuple[str, str], int],
    time: Axis,
) -> list[Row]:
    """Return the rows: those with incidents first, each by name.

    `incidents` are numbered from 1 on, `watched` says from when on model versions were. What
    belongs to a model, and not to a version, has a row of its own.
    """
    bars: dict[tuple[str, str], list[Bar]] = {}
    for number, each in enumerate(incidents, 1):
        bars.setdefault((each.model, each.version), []).append(_bar(number, each, time))
    there = dict(seen)
    for model in sorted({model for model, version in bars if not version}):
        of_model = [each for (name, _), each in seen.items() if name == model]
        there.setdefault((model, ""), reduce(Seen.joined, of_model))
    rows = []
    for key in sorted(there, key=lambda key: (key not in bars, key)):
        span = span_of(there[key].first, there[key].last, time)
        since = watched.get(key, None if key in seen else there[key].first)
        start = None if since is None else percent(time.place(since))
        rows.append(Row(name_of(*key), span, start, tuple(bars.get(key, ()))))
    return rows


def name_of(model: str, version: str) -> str:
    """Return what people call a model version, or a model where there is no version."""
    return f"{model}/{version}" if version else model


def _bar(number: int, incident: Incident, time: Axis) -> Bar:
    # One that is open lasts to the end of all.
    last = time.last if incident.ended_at is None else incident.ended_at
    began = figures.moment(incident.opened_at)
    told = f"{incident.severity}, {began} UTC, {ended(incident)}: {', '.join(incident.openers)}"
    return Bar(
        number,
        span_of(incident.opened_at, last, time),
        incident.severity,
        told,
        incident.ended_at is None,
    )


def ended(incident: Incident) -> str:
    """Say how an incident ended, and after how long."""
    if incident.ended_at is None:
        return "still open at the end"
    how = {"returned": "back to normal", "accepted": "accepted as the new normal"}
    words = how.get(incident.resolution or "", "resolved")
    in_part = " in part" if len(incident.left) > 1 else ""
    lasted = figures.duration(incident.ended_at - incident.opened_at)
    return f"{words}{in_part} after {lasted}"
