"""The parts of a reference's normal: what was found of each, and the arrays that follow it."""

import math
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.records import Floats, Ints
from streamdrift.references.calendar import Calendar, fit_calendar
from streamdrift.references.findings import Code, Finding
from streamdrift.references.lines import Line, find_lines
from streamdrift.references.memory import (
    Clustering,
    Memory,
    first_averages,
    fit_clustering,
    fit_memory,
)
from streamdrift.references.tracking import (
    LARGEST_SIZE,
    LEAST_USUAL,
    MOST_USUAL,
    Layout,
    SizeTracking,
)

_TIED = 1.5
"""Lines tied to a stronger one, whose frequencies are well known, follow together about as fast as
so many others: many lines that follow fast would follow a change of level."""
LINES, SIZE_LINES = 16, 4
"""The most lines of a signal's level and of its spread."""
_PACE = 3.0
"""A line learns with the gain _PACE / max(n / 5, 4 periods): its amplitude follows within two
thirds of that many values."""


@dataclass(frozen=True)
class Scale:
    """How a value becomes a score: by knots and their scores, or without any in a straight line."""

    knots: Floats
    scores: Floats
    centre: float = 0.0
    unit: float = 1.0


@dataclass(frozen=True)
class Parts:
    """What was found in scores float64[n].

    `level` is their mean where calendar and lines are taken off; `rest` float64[n] what is left
    then, which memory predicts. `size_unit` is one over the mean absolute deviation of what
    memory leaves, in its standard deviations. `unit` is the standard deviation of a score.
    """

    scale: Scale
    level: float
    rest: Floats
    calendar: Calendar | None
    lines: tuple[Line, ...]
    memory: Memory | None
    size_unit: float = 1.0
    size_lines: tuple[Line, ...] = ()
    clustering: Clustering | None = None
    deviation: float = 1.0
    unit: float = 1.0

    @property
    def anything(self) -> bool:
        """Whether there is anything to take off."""
        found = (self.calendar, self.lines, self.memory, self.size_lines, self.clustering)
        return any(part is not None and part != () for part in found)

    @property
    def weights(self) -> int:
        """How many numbers lines and memory are learnt with."""
        memory = self.memory
        past = 0 if memory is None else len(memory.lags) + np.count_nonzero(memory.averages)
        return 3 * len(self.lines) + int(past)

    @property
    def wanders(self) -> bool:
        """Whether no level is kept."""
        return self.memory is not None and self.memory.wanders

    @property
    def clustering_gain(self) -> float:
        """How surely the size of deviations clusters; see `Clustering`."""
        return 0.0 if self.clustering is None else self.clustering.gain

    def findings(self, size: int) -> list[Finding]:
        """Say what was found in `size` values."""
        found = list[Finding]()
        if self.calendar is not None:
            found.append(Finding(Code.CALENDAR, self.calendar.figures))
        found += [
            Finding(Code.CYCLE, {"period": line.period, "amplitude": line.amplitude / self.unit})
            for line in self.lines
        ]
        if self.memory is not None and self.memory.wanders:
            found.append(Finding(Code.NO_LEVEL))
        elif self.memory is not None:
            total = self.memory.total
            deviation = self.memory.deviation / self.unit
            needed = max(2 * math.log(1e5) * deviation**2 / (1.0 - total) ** 2, 1.0)
            found.append(Finding(Code.MEMORY, {"sum": total, "needed": needed}))
        found += [
            Finding(Code.SPREAD_CYCLE, {"period": line.period, "amplitude": line.amplitude})
            for line in self.size_lines
        ]
        if self.clustering is not None:
            found.append(
                Finding(Code.CLUSTERED_SPREAD, {"share": float(self.clustering.weights.sum())})
            )
        return found


def find_parts(
    scores: Floats,
    scale: Scale,
    times: Ints | None,
    long: tuple[Floats, Ints] | None,
    zone: ZoneInfo | None,
    flags: bool = False,
) -> Parts:
    """Find the parts of float64[n], n >= 100: calendar or lines, then memory, then size.

    The calendar is looked for in the scores and their `times`, or in `long`, scores and times of
    a thinner sample over a longer time. The size of what is left of `flags`, 0s and 1s, follows
    from their level: it is no part of its own, and they are followed in their own unit.
    """
    parts = _level_parts(scores, scale, times, long, zone)
    if flags:
        return replace(parts, deviation=1.0, unit=float(scores.std()))
    return _with_sizes(parts)


def _level_parts(
    scores: Floats,
    scale: Scale,
    times: Ints | None,
    long: tuple[Floats, Ints] | None,
    zone: ZoneInfo | None,
) -> Parts:
    """Find calendar or lines, then memory."""
    parts = _with_lines(scores, scale)
    if times is None:
        return parts
    calendar = fit_calendar(*(long or (scores, times)), zone)
    if calendar is not None:
        other = _with_lines(scores - calendar.at(times), scale, calendar)
        noise = _long_run(other)
        if long is not None:
            better = calendar.left < 1 - math.log(len(long[0])) / len(long[0])
        else:
            better = _cost(other, noise) < _cost(parts, noise)
        if better and not other.wanders:
            return other
    return parts


def _with_lines(scores: Floats, scale: Scale, calendar: Calendar | None = None) -> Parts:
    level = float(scores.mean())
    lines = find_lines(scores, LINES if calendar is None else SIZE_LINES)
    rest = scores - level
    for line in lines:
        rest -= drawn(line, len(rest))
    memory: Memory | None = fit_memory(rest)
    assert memory is not None
    deviation = memory.deviation
    if memory.gain == 0.0:
        memory, deviation = None, float(rest.std())
    return Parts(scale, level, rest, calendar, lines, memory, deviation=max(deviation, 1e-9))


def _cost(parts: Parts, noise: float) -> float:
    """Return twice the negative log-likelihood of what a rhythm leaves, and its price.

    The calendar's is that of days that were left out; lines cost Schwarz' price times `noise`,
    the long-run variance over the variance: what memory carries on is fitted as if it were a line.
    """
    size = len(parts.rest)
    variance = float(np.var(parts.rest))
    if parts.calendar is not None:
        variance *= parts.calendar.excess
    price = math.log(size) * (3 * len(parts.lines) + float(parts.calendar is not None))
    return size * math.log(max(variance, 1e-12)) + noise * price


def _long_run(parts: Parts) -> float:
    """Return the long-run variance of the rest over its variance, at least 1, at most 50."""
    if parts.memory is None:
        return 1.0
    left = max(1.0 - parts.memory.total, 1e-3)
    ratio = (parts.deviation / left) ** 2 / max(float(np.var(parts.rest)), 1e-12)
    return min(max(ratio, 1.0), 50.0)


def drawn(line: Line, size: int) -> Floats:
    """Return what a line adds to each value of a reference of `size`."""
    times = line.frequency * (np.arange(size) - 0.5 * (size - 1))
    drawn: Floats = line.a * np.cos(times) + line.b * np.sin(times)
    return drawn


def _with_sizes(parts: Parts) -> Parts:
    """Find how the size of what memory leaves varies."""
    surprises = np.abs(follow_memory(parts))
    mean = float(surprises.mean())
    if not mean > 0:
        return parts
    parts = replace(parts, size_unit=1.0 / mean)
    sizes = np.minimum(surprises / mean, LARGEST_SIZE)
    lines = find_lines(sizes, SIZE_LINES)
    usual = np.ones(len(sizes))
    for line in lines:
        usual += drawn(line, len(sizes))
    clustering = fit_clustering(sizes / np.clip(usual, LEAST_USUAL, MOST_USUAL))
    return replace(parts, size_lines=lines, clustering=clustering)


def follow_memory(parts: Parts) -> Floats:
    """Return what memory leaves of the rest, in its standard deviations."""
    bare = replace(parts, scale=Scale(np.empty(0), np.empty(0)), level=0.0, calendar=None, lines=())
    parameters, state = assemble(bare, parts.rest)
    return Layout.run(parameters, state, parts.rest)


def assemble(parts: Parts, values: Floats) -> tuple[Floats, Floats]:
    """Return parameters and state of `tracking` at the beginning of the values float64[n]."""
    size = len(values)
    memory = parts.memory
    lags = np.empty(0) if memory is None else memory.lags
    averages = np.empty(0) if memory is None else memory.averages
    sizes = None
    if parts.size_lines or parts.clustering is not None:
        clustering = parts.clustering
        sizes = SizeTracking(
            parts.size_unit,
            1.0 if clustering is None else clustering.base,
            np.empty(0) if clustering is None else clustering.weights,
            *_tracks(parts.size_lines, size),
        )
    gains, phasors = _tracks(parts.lines, size)
    layout = Layout(
        parts.scale.knots,
        parts.scale.scores,
        parts.scale.centre,
        parts.scale.unit,
        parts.level,
        1.0 / parts.deviation,
        lags,
        averages,
        gains,
        phasors,
        sizes,
        None if parts.calendar is None else parts.calendar.levels,
        np.zeros(3) if parts.calendar is None else parts.calendar.variances,
        parts.wanders,
        None if parts.calendar is None else parts.calendar.zone,
    )
    return layout.arrays(parts.rest[0], first_averages(parts.rest))


def _tracks(lines: tuple[Line, ...], size: int) -> tuple[Floats, Floats]:
    """Return the gains float64[m, 2] of lines and their phasors and rotors float64[m, 4]."""
    gains, phasors = np.empty((len(lines), 2)), np.empty((len(lines), 4))
    for j, line in enumerate(lines):
        gain = _PACE / max(size / 5, 4 * line.period)
        if line.tied and j > 0:
            gain *= min(1.0, _TIED / len(lines))
        # A loop of second order, damped critically, in the phase's own rate of gain / 2.
        gains[j] = gain, gain**2 / (8 * line.amplitude**2)
        phasors[j] = *line.at(-0.5 * (size - 1)), math.cos(line.frequency), math.sin(line.frequency)
    return gains, phasors
