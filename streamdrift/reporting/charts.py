"""The charts of a report as geometry: paths in a box that is stretched to its place on the page.

Labels are no part of a path: they stand beside it in percent, so that they keep their size however
wide the page is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streamdrift.distributions import Distribution
from streamdrift.history import figures
from streamdrift.history.incident_log import Member
from streamdrift.records import Floats
from streamdrift.reporting.axes import (
    Axis,
    Tick,
    decade_of,
    logarithmic_axis,
    number,
    number_axis,
    percent,
    share_axis,
)
from streamdrift.reporting.courses import Course

WIDTH, HEIGHT = 1_000, 200
"""Of the box that paths are in."""
_ROWS = 12
"""Rows of the table that says what a course shows."""


class Span(NamedTuple):
    """A stretch of the time axis, in percent."""

    left: float
    width: float


class Alarm(NamedTuple):
    """When a change was noticed and how near to the threshold that was, in percent; in words."""

    left: float
    bottom: float
    told: str


class CourseRow(NamedTuple):
    """What a course shows of a stretch of time, where it is nearest to its threshold."""

    until: str
    statistic: str
    threshold: str
    share: str


@dataclass(frozen=True, slots=True)
class CourseChart:
    """A statistic against its threshold over time."""

    detector: str
    path: str
    decades: float
    """How many decades the box shows, from its lower end: with `low`, what a place means."""
    low: int
    """The decimal logarithm of the lowest share shown."""
    ticks: tuple[Tick, ...]
    threshold: float
    """Where it lies, in percent from below."""
    learning: Span | None
    changed: tuple[Span, ...]
    onsets: tuple[Span, ...]
    alarms: tuple[Alarm, ...]
    rows: tuple[CourseRow, ...]
    peak: str


class Bin(NamedTuple):
    """A bin of a distribution in words."""

    name: str
    reference: str
    current: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution of numbers: two outlines over the same bins."""

    reference: str
    current: str
    ticks: tuple[Tick, ...]
    top: str
    """The share at the upper edge."""
    logarithmic: bool
    bins: tuple[Bin, ...]


class Level(NamedTuple):
    """A level's shares, and where they lie in percent."""

    name: str
    reference: str
    current: str
    before: float
    now: float
    new: bool


@dataclass(frozen=True, slots=True)
class Levels:
    """A distribution of levels: two dots on a line each."""

    levels: tuple[Level, ...]


def course_chart(
    detector: str, course: Course, members: Sequence[Member], time: Axis
) -> CourseChart:
    """Return the chart of a statistic; `members` are the changes of its signal.

    Alarms are drawn where this detector raised them itself.
    """
    own = [each for each in members if each.told["detector"] == detector]
    times, shares = _with_alarms(course, own)
    positive = shares[shares > 0]
    lowest = float(np.quantile(positive, 0.02)) if len(positive) else 1.0
    low = decade_of(lowest)
    axis = share_axis(low, float(positive.max()) if len(positive) else 1.0)
    at_one = axis.place(1.0)
    places = np.array([time.place(float(each)) for each in times])
    heights = np.array([axis.place(float(each)) if each == each else np.nan for each in shares])
    return CourseChart(
        detector=detector,
        path=_line(places, heights),
        decades=round(-low / at_one, 4),
        low=low,
        ticks=axis.ticks,
        threshold=percent(at_one),
        learning=_learning(course, time),
        changed=tuple(_changed(course, members, time)),
        onsets=tuple(_onsets(members, time)),
        alarms=tuple(
            Alarm(
                percent(time.place(each.changed_at)),
                percent(axis.place(_share_of(each))),
                f"noticed {figures.moment(each.changed_at)} UTC, {share_text(_share_of(each))}",
            )
            for each in own
        ),
        rows=tuple(_rows(course)),
        peak=share_text(float(np.nanmax(shares))) if (shares >= 0).any() else "",
    )


def _with_alarms(course: Course, members: Sequence[Member]) -> tuple[Floats, Floats]:
    """Return the times and shares of a course, NaN while changed, and those of alarms between."""
    shares = np.where(course.changed, np.nan, course.shares)
    noticed = [each.changed_at for each in members]
    # An alarm is the end of what led to it: it stands before all that is later.
    places = np.searchsorted(course.times, noticed)
    times = np.insert(course.times.astype(np.float64), places, noticed)
    return times, np.insert(shares, places, [_share_of(each) for each in members])


def _share_of(member: Member) -> float:
    """Return how near the statistic was to the threshold when a change was noticed."""
    statistic, threshold = member.told["statistic"], member.told["threshold"]
    return 1.0 if statistic is None or not threshold else float(statistic / threshold)


def share_text(share: float) -> str:
    """Return how near a statistic came to its threshold.

    >>> share_text(0.124), share_text(0.00002), share_text(1.3)
    ('12% of its threshold', 'under 0.1% of its threshold', 'reached its threshold')
    """
    if share >= 1:
        return "reached its threshold"
    if share < 0.001:
        return "under 0.1% of its threshold"
    return f"{100 * share:.2g}% of its threshold"


def _line(places: Floats, heights: Floats) -> str:
    """Return the path through points from 0 to 1, broken where there are none (NaN)."""
    xs, ys = np.round(places * WIDTH), np.round((1 - heights) * HEIGHT)
    parts: list[str] = []
    drawing = False
    for i, (x, y) in enumerate(zip(xs.tolist(), ys.tolist(), strict=True)):
        if y != y:
            drawing = False
            continue
        inner = drawing and i + 1 < len(ys)
        if inner and y == ys[i - 1] == ys[i + 1]:
            continue  # Of a level stretch the ends are enough.
        parts.append(f"{'' if drawing else 'M'}{x:.0f} {y:.0f}")
        drawing = True
    return " ".join(parts)


def _learning(course: Course, time: Axis) -> Span | None:
    """Return the stretch before the signal was watched, if there is any."""
    watched = np.flatnonzero(~np.isnan(course.statistics))
    if not len(watched) or watched[0] == 0:
        return None
    return Span(0.0, percent(time.place(float(course.times[watched[0]]))))


def _changed(course: Course, members: Sequence[Member], time: Axis) -> list[Span]:
    """Return the stretches in which the signal was held to be changed."""
    edges = np.flatnonzero(np.diff(course.changed.astype(np.int8), prepend=0, append=0))
    spans = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        before = int(course.times[max(begin - 1, 0)])
        after = int(course.times[end - 1])
        noticed = [each.changed_at for each in members if before < each.changed_at <= after]
        spans.append(span_of(min(noticed, default=before), after, time))
    return spans


def _onsets(members: Sequence[Member], time: Axis) -> list[Span]:
    """Return the stretches in which changes began."""
    return [
        span_of(each.earliest, each.latest, time) for each in members if each.latest is not None
    ]


def span_of(first: int, last: int, time: Axis) -> Span:
    """Return the stretch from one time to another."""
    left = percent(time.place(first))
    return Span(left, round(percent(time.place(last)) - left, 2))


def _rows(course: Course) -> list[CourseRow]:
    """Return where the course was nearest to its threshold, in each of some stretches of time."""
    shares = course.shares
    rows = []
    for part in np.array_split(np.arange(len(shares)), min(_ROWS, len(shares))):
        if np.isnan(shares[part]).all():
            continue
        place = int(part[np.nanargmax(shares[part])])
        figures_of = (float(course.statistics[place]), float(course.thresholds[place]))
        statistic, threshold = (f"{each:.3g}" for each in figures_of)
        until = figures.moment(int(course.times[part[-1]]))
        rows.append(CourseRow(until, statistic, threshold, f"{100 * shares[place]:.2g}%"))
    return rows


def distribution_chart(distribution: Distribution, kind: str) -> Histogram | Levels:
    """Return the chart of a distribution before and since a change, of a signal of a `kind`."""
    return _histogram(distribution) if distribution.edges else _levels(distribution, kind)


def _histogram(distribution: Distribution) -> Histogram:
    edges = distribution.edges
    logarithmic = distribution.logarithmic
    axis = (logarithmic_axis if logarithmic else number_axis)(edges[0], edges[-1])
    most = max(*distribution.reference, *distribution.current, 1e-9)
    places = [axis.place(each) for each in edges]
    step = min(b - a for a, b in pairwise(edges))
    names = [number(each, step / 2 if logarithmic else step) for each in edges]
    spans = [f"{low} to {high}" for low, high in pairwise(names)]
    spans[0], spans[-1] = f"up to {names[1]}", f"from {names[-2]}"
    return Histogram(
        _outline(places, [each / most for each in distribution.reference]),
        _outline(places, [each / most for each in distribution.current]),
        axis.ticks,
        _share(most),
        logarithmic,
        tuple(
            Bin(name, _share(before), _share(now))
            for name, before, now in zip(
                spans, distribution.reference, distribution.current, strict=True
            )
            if before >= 5e-5 or now > 0
        ),
    )


def _outline(places: Sequence[float], heights: Sequence[float]) -> str:
    """Return the outline of bars between places, with heights from 0 to 1."""
    parts = [f"M{WIDTH * places[0]:.0f} {HEIGHT}"]
    for right, height in zip(places[1:], heights, strict=True):
        parts.append(f"V{HEIGHT * (1 - 0.96 * height):.0f}H{WIDTH * right:.0f}")
    return "".join([*parts, f"V{HEIGHT}"])


def _levels(distribution: Distribution, kind: str) -> Levels:
    names, before, now = distribution.names, distribution.reference, distribution.current
    is_rate = names == ("0", "1")
    if is_rate:
        names, before, now = (kind,), before[1:], now[1:]
    most = min(max(*before, *now, 0.0005) * 1.05, 1.0)
    return Levels(
        tuple(
            Level(
                name,
                _share(old),
                _share(new),
                percent(old / most),
                percent(new / most),
                old == 0 and not is_rate,
            )
            for name, old, new in zip(names, before, now, strict=True)
        )
    )


def _share(share: float) -> str:
    """Return a share in percent.

    >>> _share(0.1234), _share(0.0), _share(0.00004)
    ('12.3%', '0%', '0.004%')
    """
    shown = 100 * share
    if shown >= 10 or shown == 0:
        return f"{shown:.1f}".removesuffix(".0") + "%"
    return f"{shown:.2g}%"
