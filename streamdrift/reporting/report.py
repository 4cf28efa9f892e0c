"""What a report says, put together from the record of a replay and from what it ended with."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamdrift import figures
from streamdrift.distributions import Distribution
from streamdrift.extents import Seen
from streamdrift.incident_log import Incident, Member
from streamdrift.incidents.sentences import shortened
from streamdrift.model import ModelVersion
from streamdrift.records import Signal
from streamdrift.reporting.axes import Axis, Tick, percent, time_axis
from streamdrift.reporting.charts import (
    CourseChart,
    Histogram,
    Levels,
    Span,
    course_chart,
    distribution_chart,
)
from streamdrift.reporting.courses import CourseKey, Courses
from streamdrift.reporting.recorder import Recorder, SignalKey
from streamdrift.sharded import Shards
from streamdrift.standing import standing

MOST_CHANGED, MOST_OTHERS = 100, 60
"""Signals that are drawn: those that changed, the strongest, and others, nearest to alarms."""
MOST_INCIDENTS, MOST_ROWS = 200, 40
"""Incidents that are listed, and rows of the timeline: the first that had any."""
_CHIPS = 12


class Fact(NamedTuple):
    """A figure at the top of the report."""

    figure: str
    name: str
    beside: str


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
class Panel:
    """A signal: how it went, and what it showed before and since its change, or lately."""

    number: int
    name: str
    of: str
    kind: str
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    courses: tuple[CourseChart, ...]
    distribution: Histogram | Levels | None
    numeric: bool
    now: str
    private: bool


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows."""

    title: str
    span: str
    first: int
    last: int
    """Event times, in milliseconds."""
    facts: tuple[Fact, ...]
    ticks: tuple[Tick, ...]
    rows: tuple[Row, ...]
    rows_left_out: int
    stories: tuple[Story, ...]
    stories_left_out: int
    changed: tuple[Panel, ...]
    changed_left_out: int
    others: tuple[Panel, ...]
    others_left_out: int
    summary: tuple[str, ...]


Versions = Mapping[tuple[str, str], Sequence[ModelVersion]]


class _History(NamedTuple):
    """What the parts of a report are made of."""

    recorder: Recorder
    incidents: Sequence[Incident]
    versions: Versions
    time: Axis


def make_report(
    source: str,
    recorder: Recorder,
    incidents: Sequence[Incident],
    seen: Mapping[tuple[str, str], Seen],
    monitor: Shards,
    summary: Sequence[str],
) -> Report:
    """Return the report of a replay that is over.

    `incidents` are in the order of their opening; `seen` says what there was of each version;
    `summary` are the lines that say what was watched, what was not and why.
    """
    first = min(each.first for each in seen.values())
    last = max(each.last for each in seen.values())
    versions: dict[tuple[str, str], list[ModelVersion]] = {}
    for version in monitor.versions():
        versions.setdefault((version.model, version.version), []).append(version)
    history = _History(recorder, incidents, versions, time_axis(first, last))
    members = _members(incidents)
    changed = sorted(members, key=lambda key: (-_size(members[key]), key))
    numbers = {key: number for number, key in enumerate(changed[:MOST_CHANGED], 1)}
    quiet = _nearest(recorder.courses, members)
    others = {key: number for number, key in enumerate(quiet[:MOST_OTHERS], len(numbers) + 1)}
    rows = _rows(history, seen)
    span = f"{figures.moment(first)} to {figures.moment(last)} UTC"
    return Report(
        title=source,
        span=f"{span} ({figures.duration(last - first)})",
        first=first // 1_000,
        last=last // 1_000,
        facts=tuple(_facts(history, seen, members, monitor)),
        ticks=history.time.ticks,
        rows=rows[:MOST_ROWS],
        rows_left_out=max(0, len(rows) - MOST_ROWS),
        stories=tuple(_stories(incidents[:MOST_INCIDENTS], numbers)),
        stories_left_out=max(0, len(incidents) - MOST_INCIDENTS),
        changed=tuple(_panels(history, numbers, members)),
        changed_left_out=len(changed) - len(numbers),
        others=tuple(_panels(history, others, {})),
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


def _key(key: CourseKey) -> SignalKey:
    """Return how alerts call the signal of a course."""
    return SignalKey(key.model, key.version, shortened(key.signal.name))


def _nearest(courses: Courses, changed: Mapping[SignalKey, object]) -> list[SignalKey]:
    """Return the signals that did not change, those that came nearest to it first."""
    peaks: dict[SignalKey, float] = {}
    for each in courses.keys:
        course = courses.course(each)
        if course.peak is not None and _key(each) not in changed:
            share = float(course.shares[course.peak])
            peaks[_key(each)] = max(share, peaks.get(_key(each), 0.0))
    return sorted(peaks, key=lambda key: (-peaks[key], key))


def _panels(
    history: _History,
    numbers: Mapping[SignalKey, int],
    members: Mapping[SignalKey, Sequence[Member]],
) -> Iterator[Panel]:
    keys: dict[SignalKey, list[CourseKey]] = {}
    for course in history.recorder.courses.keys:
        if _key(course) in numbers:
            keys.setdefault(_key(course), []).append(course)
    for key, number in numbers.items():
        yield _panel(history, key, number, keys.get(key, []), members.get(key, ()))


def _panel(
    history: _History,
    key: SignalKey,
    number: int,
    courses: Sequence[CourseKey],
    members: Sequence[Member],
) -> Panel:
    charts = tuple(
        course_chart(each.detector, history.recorder.courses.course(each), members, history.time)
        for each in courses
    )
    signal = courses[0].signal if courses else None
    distribution, private = _distribution(history, key, signal, bool(members))
    kind = _kind(signal, members)
    return Panel(
        number=number,
        name=key.signal,
        of=f"{key.model}/{key.version}" if key.version else key.model,
        kind=kind,
        sentences=tuple(dict.fromkeys(each.told["text"] for each in members)),
        facts=tuple(_member_facts(members[-1])) if members else (),
        courses=charts,
        distribution=None if distribution is None else distribution_chart(distribution, kind),
        numeric=distribution is not None and bool(distribution.edges),
        now=_now(distribution),
        private=private,
    )


def _kind(signal: Signal | None, members: Sequence[Member]) -> str:
    kind = signal.kind.value if signal is not None else str(members[0].told["kind"])
    return kind.replace("_", " ")


def _distribution(
    history: _History, key: SignalKey, signal: Signal | None, changed: bool
) -> tuple[Distribution | None, bool]:
    """Return what to show of a signal's values, and whether its column is private."""
    if signal is None:
        return None, False
    if changed:
        taken = history.recorder.changes
        full = SignalKey(key.model, key.version, signal.name)
        return taken.get(full), full in taken and taken[full] is None
    for version in history.versions.get((key.model, key.version), ()):
        if signal in version.signals:
            found = version.distribution(signal)
            return found, found is None
    return None, False


def _now(distribution: Distribution | None) -> str:
    if distribution is None:
        return ""
    values = figures.counted(distribution.values, "value")
    if distribution.since is None:
        return f"last {values}"
    return f"since {figures.moment(distribution.since)} ({values})"


def _member_facts(member: Member) -> Iterator[tuple[str, str]]:
    """Yield what is to be known of a change."""
    told = member.told
    yield "noticed", f"{figures.moment(member.changed_at)} UTC"
    if member.latest is not None:
        first, last = figures.moment(member.earliest), figures.moment(member.latest)
        yield "began", f"{first} UTC" if first == last else f"{first} to {last[11:]} UTC"
    effect = told["effect"]
    if effect is not None and effect["size"] is not None:
        yield "effect", f"{effect['size']:.2g} sd"
    if told["statistic"] is not None and told["threshold"] is not None:
        yield "statistic", f"{told['statistic']:.3g}, threshold {told['threshold']:.3g}"
    yield "detector", told["detector"]
    onset = told["onset"]
    if onset is not None:
        places = [
            f"{topic}/{partition}: {span[0]:,} to {span[1]:,}"
            for topic, partitions in onset["offsets"].items()
            for partition, span in partitions.items()
        ]
        if places:
            more = len(places) - 3 + onset["partitions_left_out"]
            yield "offsets", "; ".join(places[:3]) + (f" and {more:,} more" if more > 0 else "")


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
            of=_name(each),
            severity=each.severity,
            opened=figures.moment(each.opened_at),
            ended=_ended(each),
            sentences=sentences,
            signals=chips,
            more=len(names) - len(chips),
        )


def _name(incident: Incident) -> str:
    return f"{incident.model}/{incident.version}" if incident.version else incident.model


def _ended(incident: Incident) -> str:
    if incident.ended_at is None:
        return "still open at the end"
    how = {"returned": "back to normal", "accepted": "accepted as the new normal"}
    lasted = figures.duration(incident.ended_at - incident.opened_at)
    return f"{how.get(incident.resolution or '', 'resolved')} after {lasted}"


def _rows(history: _History, seen: Mapping[tuple[str, str], Seen]) -> tuple[Row, ...]:
    """Return the rows of the timeline: those with incidents first, each by name."""
    bars: dict[tuple[str, str], list[Bar]] = {}
    for number, each in enumerate(history.incidents, 1):
        if number <= MOST_INCIDENTS:
            bars.setdefault((each.model, each.version), []).append(_bar(number, each, history.time))
    models = {(model, "") for model, version in bars if not version}
    keys = sorted({*seen, *models}, key=lambda key: (key not in bars, key))
    rows = []
    for model, version in keys:
        known = seen.get((model, version))
        spans = [each for (name, _), each in seen.items() if name == model]
        first, last = min(each.first for each in spans), max(each.last for each in spans)
        if known is not None:
            first, last = known.first, known.last
        left = percent(history.time.place(first))
        there = Span(left, round(percent(history.time.place(last)) - left, 2))
        watched = _watched(history, model, version)
        name = f"{model}/{version}" if version else model
        rows.append(Row(name, there, watched, tuple(bars.get((model, version), ()))))
    return tuple(rows)


def _watched(history: _History, model: str, version: str) -> float | None:
    spans = [each.watched for each in history.versions.get((model, version), ())]
    since = [each.since for each in spans if each is not None]
    return percent(history.time.place(min(since))) if since else None


def _bar(number: int, incident: Incident, time: Axis) -> Bar:
    left = percent(time.place(incident.opened_at))
    right = 100.0 if incident.ended_at is None else percent(time.place(incident.ended_at))
    began = figures.moment(incident.opened_at)
    told = f"{incident.severity}, {began} UTC, {_ended(incident)}: {', '.join(incident.openers)}"
    span = Span(left, round(right - left, 2))
    return Bar(number, span, incident.severity, told, incident.ended_at is None)


def _facts(
    history: _History,
    seen: Mapping[tuple[str, str], Seen],
    members: Mapping[SignalKey, object],
    monitor: Shards,
) -> Iterator[Fact]:
    stands = standing(monitor.monitors)
    opened = len(history.incidents)
    grave = Counter(each.severity for each in history.incidents)
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
    signals = {_key(key) for key in history.recorder.courses.keys}
    yield Fact(f"{len(members):,}", "signals changed", f"of {len(signals):,} watched")
    events = sum(each.events for each in seen.values())
    models = {model for model, _ in seen}
    versions = figures.counted(len(seen), "version")
    yield Fact(
        figures.count(events), "events", f"{figures.counted(len(models), 'model')}, {versions}"
    )
