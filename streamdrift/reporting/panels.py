"""The panels of a report: a signal each, how it went and what it showed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamdrift.distributions import Distribution
from streamdrift.history import figures
from streamdrift.history.incident_log import Member
from streamdrift.incidents.sentences import shortened
from streamdrift.models.version import ModelVersion
from streamdrift.records import Signal
from streamdrift.reporting.axes import Axis
from streamdrift.reporting.charts import (
    CourseChart,
    Histogram,
    Levels,
    course_chart,
    distribution_chart,
)
from streamdrift.reporting.courses import CourseKey
from streamdrift.reporting.recorder import Recorder, SignalKey
from streamdrift.reporting.timeline import name_of

Versions = Mapping[tuple[str, str], Sequence[ModelVersion]]
"""The parts of each model version that is still there, by model and version."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A signal: how it went, and what it showed before and since its change, or lately."""

    number: int
    name: str
    of: str
    kind: str
    sentences: tuple[tuple[str, str], ...]
    """What was said of its changes, and when."""
    facts: tuple[tuple[str, str], ...]
    courses: tuple[CourseChart, ...]
    distribution: Histogram | Levels | None
    numeric: bool
    now: str
    private: bool


class History(NamedTuple):
    """What panels are drawn from."""

    recorder: Recorder
    versions: Versions
    time: Axis


def key_of(key: CourseKey) -> SignalKey:
    """Return how alerts call the signal of a course."""
    return SignalKey(key.model, key.version, shortened(key.signal.name))


def make_panels(
    history: History,
    numbers: Mapping[SignalKey, int],
    members: Mapping[SignalKey, Sequence[Member]],
) -> Iterator[Panel]:
    """Yield the panels of the signals that have numbers; `members` are their changes, if any."""
    keys: dict[SignalKey, list[CourseKey]] = {}
    for course in history.recorder.courses.keys:
        if key_of(course) in numbers:
            keys.setdefault(key_of(course), []).append(course)
    for key, number in numbers.items():
        yield _panel(history, key, number, keys.get(key, []), members.get(key, ()))


def _panel(
    history: History,
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
        of=name_of(key.model, key.version),
        kind=kind,
        sentences=tuple((figures.moment(each.changed_at), each.told["text"]) for each in members),
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
    history: History, key: SignalKey, signal: Signal | None, changed: bool
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
        yield "effect", f"{figures.count(effect['size'])} sd"
    if told["statistic"] is not None and told["threshold"] is not None:
        yield "statistic", f"{told['statistic']:.3g}, threshold {told['threshold']:.3g}"
    if told["together"] > 1:
        others = figures.counted(told["together"] - 1, "other signal")
        yield "told", f"together with {others}, which makes up for less evidence"
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
