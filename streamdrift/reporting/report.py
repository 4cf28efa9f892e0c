"""What a report says, put together from the record of a replay and from what it ended with."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamdrift.history import figures
from streamdrift.history.extents import Seen
from streamdrift.history.incident_log import Incident, Member
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.sharded import Shards
from streamdrift.monitoring.standing import standing
from streamdrift.reporting.axes import Tick, time_axis
from streamdrift.reporting.courses import Courses
from streamdrift.reporting.panels import History, Panel, key_of, make_panels
from streamdrift.reporting.recorder import Recorder, SignalKey
from streamdrift.reporting.timeline import Row, ended, make_rows, name_of

MOST_CHANGED, MOST_OTHERS = 100, 100
"""Signals that are drawn: those that changed, the strongest, and others, nearest to alarms."""
MOST_INCIDENTS, MOST_ROWS, MOST_QUIET_ROWS = 200, 40, 8
"""Incidents that are listed, and rows of the timeline with any and without."""
_CHIPS = 12


class Fact(NamedTuple):
    """A figure at the top of the report."""

    figure: str
    name: str
    beside: str


class Chip(NamedTuple):
    """A signal's name, and its panel where there is one."""

    name: str
    panel: int | None


@dataclass(frozen=True, slots=True)
class Story:
    """An incident in words."""

    number: int
    of: str
    severity: str
    opened: str
    ended: str
    sentences: tuple[tuple[str, str], ...]
    signals: tuple[Chip, ...]
    more: int
    """Signals that are not named."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows."""

    title: str
    span: str
    first: int
    last: int
    """Event times, in milliseconds."""
    timed: bool
    """Whether events have times; else they are made up."""
    facts: tuple[Fact, ...]
    ticks: tuple[Tick, ...]
    rows: tuple[Row, ...]
    rows_left_out: int
    watched: bool
    """Whether any signal was."""
    stories: tuple[Story, ...]
    stories_left_out: int
    changed: tuple[Panel, ...]
    changed_left_out: int
    others: tuple[Panel, ...]
    others_left_out: int
    summary: tuple[str, ...]


def make_report(
    source: str,
    recorder: Recorder,
    incidents: Sequence[Incident],
    seen: Mapping[tuple[str, str], Seen],
    monitor: Shards,
    summary: Sequence[str],
    *,
    timed: bool = True,
) -> Report:
    """Return the report of a replay that is over.

    `incidents` are in the order of their opening; `seen` says what there was of each version;
    `summary` are the lines that say what was watched, what was not and why. `timed` is False where
    event times are made up.
    """
    first = min((each.first for each in seen.values()), default=0)
    last = max((each.last for each in seen.values()), default=0)
    versions: dict[tuple[str, str], list[ModelVersion]] = {}
    for version in monitor.versions():
        versions.setdefault((version.model, version.version), []).append(version)
    time = time_axis(first, last)
    history = History(recorder, versions, time)
    members = _members(incidents)
    changed = sorted(members, key=lambda key: (-_size(members[key]), key))
    numbers = {key: number for number, key in enumerate(changed[:MOST_CHANGED], 1)}
    quiet = _nearest(recorder.courses, members)
    others = {key: number for number, key in enumerate(quiet[:MOST_OTHERS], len(numbers) + 1)}
    rows = make_rows(incidents[:MOST_INCIDENTS], seen, recorder.watched, time)
    quiet_rows = [each for each in rows if not each.bars][:MOST_QUIET_ROWS]
    shown = (*[each for each in rows if each.bars][:MOST_ROWS], *quiet_rows)
    span = (
        f"{figures.moment(first)} to {figures.moment(last)} UTC ({figures.duration(last - first)})"
    )
    return Report(
        title=source,
        span=span if seen else "no events",
        first=first // 1_000,
        last=last // 1_000,
        timed=timed,
        facts=tuple(_facts(recorder.courses, incidents, seen, members, monitor)),
        ticks=time.ticks,
        rows=shown,
        rows_left_out=len(rows) - len(shown),
        watched=bool(recorder.courses.keys),
        stories=tuple(_stories(incidents[:MOST_INCIDENTS], numbers)),
        stories_left_out=max(0, len(incidents) - MOST_INCIDENTS),
        changed=tuple(make_panels(history, numbers, members)),
        changed_left_out=len(changed) - len(numbers),
        others=tuple(make_panels(history, others, {})),
        others_left_out=len(quiet) - len(others),
        summary=tuple(summary),
    )


def _members(incidents: Sequence[Incident]) -> dict[SignalKey, list[Member]]:
    """Return the changes of each signal that had any, in the order of time."""
    found: dict[SignalKey, list[Member]] = {}
    for incident in incidents:
        for member in incident.members:
            key = SignalKey(incident.model, incident.version, member.signal)
            found.setdefault(key, []).append(member)
    return found


def _size(members: Sequence[Member]) -> float:
    """Return how large the largest of a signal's changes is; silence is as large as can be."""
    effects = [each.told["effect"] for each in members]
    return max(float("inf") if each is None else each["size"] or 0.0 for each in effects)


def _nearest(courses: Courses, changed: Mapping[SignalKey, object]) -> list[SignalKey]:
    """Return the signals that did not change, those that came nearest to it first."""
    peaks: dict[SignalKey, float] = {}
    for each in courses.keys:
        course = courses.course(each)
        if course.peak is not None and key_of(each) not in changed:
            share = float(course.shares[course.peak])
            peaks[key_of(each)] = max(share, peaks.get(key_of(each), 0.0))
    return sorted(peaks, key=lambda key: (-peaks[key], key))


def _stories(incidents: Sequence[Incident], numbers: Mapping[SignalKey, int]) -> Iterator[Story]:
    for number, each in enumerate(incidents, 1):
        names = list(dict.fromkeys(member.signal for member in each.members))
        chips = tuple(
            Chip(name, numbers.get(SignalKey(each.model, each.version, name)))
            for name in names[:_CHIPS]
        )
        sentences = tuple(
            (figures.moment(time), text) for time, text in sorted(each.sentences.items())
        )
        yield Story(
            number=number,
            of=name_of(each.model, each.version),
            severity=each.severity,
            opened=figures.moment(each.opened_at),
            ended=ended(each),
            sentences=sentences,
            signals=chips,
            more=len(names) - len(chips),
        )


def _facts(
    courses: Courses,
    incidents: Sequence[Incident],
    seen: Mapping[tuple[str, str], Seen],
    members: Mapping[SignalKey, object],
    monitor: Shards,
) -> Iterator[Fact]:
    stands = standing(monitor.monitors)
    opened = len(incidents)
    grave = Counter(each.severity for each in incidents)
    kinds = [each for each in ("critical", "warning", "info") if grave[each]]
    beside = ", ".join(f"{grave[each]} {each}" for each in kinds)
    yield Fact(f"{opened:,}", "incident" if opened == 1 else "incidents", beside)
    realised = stands.realised
    allowed = sum(each.watched / each.budget.period for each in realised)
    budgets = {f"{each.budget.alarms:g} a {each.budget.unit}" for each in realised}
    budget = budgets.pop() if len(budgets) == 1 else f"{len(budgets)} different budgets"
    if realised:
        name = "false alarms allowed" if len(realised) == 1 else "false alarms allowed in all"
        each_model = "" if len(realised) == 1 else ", each model"
        yield Fact(figures.count(allowed), name, f"alert budget {budget}{each_model}")
    signals = {key_of(key) for key in courses.keys}
    name = "signal changed" if len(members) == 1 else "signals changed"
    yield Fact(f"{len(members):,}", name, f"of {len(signals):,} watched")
    events = sum(each.events for each in seen.values())
    models = {model for model, _ in seen}
    versions = figures.counted(len(seen), "version")
    yield Fact(
        figures.count(events), "events", f"{figures.counted(len(models), 'model')}, {versions}"
    )
