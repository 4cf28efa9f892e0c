"""The calendar: levels by half hour of the day and day of the week, in local time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints
from streamdrift.references.tracking import DAYS, SLOTS, calendar_cell

LEAST_DAYS = 3
"""Days that a daily rhythm must be seen on."""
_PASSES = (0, 1, 2, 4, 8, 16)
"""How often levels are averaged with their neighbours."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1970, 2070
_AHEAD = 40
"""Transitions of the zone kept from the reference on: two a year in most."""
_NEVER = -(2.0**62)
_THURSDAY = 3
"""The weekday of the epoch, Monday being 0."""


@dataclass(frozen=True)
class Calendar:
    """Levels of calendar cells.

    `levels` float64[DAYS * SLOTS], Monday's first half hour first, about their mean; `gain` the
    share of its mean error that a cell learns from one occasion; `zone` float64[t, 2]: since when
    which offset applies; `left` the share of variance they leave on days that were not used,
    `excess` how many times what they leave on those that were. `slopes` float64[2 * SLOTS], where
    known: by how much the level rises within half hours of workdays, then of weekends.
    """

    levels: Floats
    gain: float
    zone: Floats
    left: float
    excess: float
    figures: Mapping[str, float]
    slopes: Floats | None = None

    def at(self, times: Ints) -> Floats:
        """Return the level at each of int64[n] times."""
        cells, days = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
        _place(times, self.zone, cells, days)
        return self.levels[cells]


def zone_offsets(zone: ZoneInfo | None, start: int) -> Floats:
    """Return float64[t, 2]: since when which offset applies, in microseconds, from `start` on."""
    if zone is None:
        return np.array([[_NEVER, 0.0]])
    table = _transitions(zone)
    first = max(int(np.searchsorted(table[:, 0], start, side="right")) - 1, 0)
    found = table[first : first + _AHEAD].copy()
    found[0, 0] = _NEVER
    return found


@lru_cache(maxsize=64)
def _transitions(zone: ZoneInfo) -> Floats:
    """Return all of a zone's changes of offset, searched day by day and then by halving."""
    moments = [
        datetime(year, month, 1, tzinfo=UTC)
        for year in range(_FIRST_YEAR, _LAST_YEAR)
        for month in range(1, 13)
    ]
    found = [(_NEVER, _offset(zone, moments[0]) / _MICROSECOND)]
    for before, after in pairwise(moments):
        middle = before + (after - before) / 2
        for left, right in ((before, middle), (middle, after)):
            if _offset(zone, left) != _offset(zone, right):
                found.append(_change(zone, left, right))
    return np.array(found, dtype=np.float64)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _change(zone: ZoneInfo, left: datetime, right: datetime) -> tuple[float, float]:
    before = _offset(zone, left)
    while right - left > timedelta(seconds=1):
        middle = left + (right - left) / 2
        if _offset(zone, middle) == before:
            left = middle
        else:
            right = middle
    exact = right.replace(microsecond=0)
    return (exact - _EPOCH) / _MICROSECOND, _offset(zone, right) / _MICROSECOND


@kernel
def _place(times: Ints, zone: Floats, cells: Ints, days: Ints) -> None:
    """Write the calendar cell of each time, and its local day since the epoch."""
    for i in range(len(times)):
        row = 0
        while row + 1 < len(zone) and zone[row + 1, 0] <= times[i]:
            row += 1
        local = times[i] + int(zone[row, 1])
        cells[i] = calendar_cell(local)
        days[i] = local // 86_400_000_000


def fit_calendar(scores: Floats, times: Ints, zone: ZoneInfo | None) -> Calendar | None:
    """Fit the levels of float64[n] at times int64[n]; None where the calendar says nothing.

    A profile of all days, then what weekends and what single days of the week add. Each is
    smoothed over neighbouring half hours and shrunk towards 0 as far as days that were left out
    are best predicted by the others.
    """
    offsets = zone_offsets(zone, int(times[0]))
    cells, days = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    _place(times, offsets, cells, days)
    first = int(days.min())
    days -= first
    different = len(np.unique(days))
    if different < LEAST_DAYS:
        return None
    span = int(days.max()) + 1
    centred = scores - scores.mean()
    occasions = days * SLOTS + cells % SLOTS
    counts = np.bincount(occasions, minlength=span * SLOTS).astype(np.float64)
    sums = np.bincount(occasions, centred, minlength=span * SLOTS).astype(np.float64)
    weekday = np.mod(np.arange(first + _THURSDAY, first + _THURSDAY + span, dtype=np.int64), DAYS)
    levels, gain, share = _levels(counts.reshape(span, SLOTS), sums.reshape(span, SLOTS), weekday)
    if share == 0.0:
        return None
    variance = float(np.var(centred))
    inside = max(float(np.var(centred - levels[cells])) / variance, 1e-3)
    figures = {"days": float(different), "explained": 100 * (1.0 - inside)}
    # Each cell is as well known as the occasions it was seen on, and by its neighbours better.
    pace = 0.5 * share / (1.0 + span / DAYS)
    left = max(1.0 - gain / len(scores) / variance, 1e-3)
    return Calendar(levels, pace, offsets, left, max(left / inside, 1.0), figures)


def calendar_of(
    counts: Floats, sums: Floats, first: int, variance: float, offsets: Floats
) -> Calendar | None:
    """Return the calendar of scores by their `counts` and `sums` float64[d, 2 * SLOTS].

    The columns are quarters of an hour, the rows local days, the first being `first` days
    after the epoch. `variance` is that of the scores, the sums are about their mean. None where
    the calendar says nothing.
    """
    days = len(counts)
    seen = np.flatnonzero(counts.any(axis=1))
    if len(seen) < LEAST_DAYS:
        return None
    weekday = np.mod(np.arange(first + _THURSDAY, first + _THURSDAY + days, dtype=np.int64), DAYS)
    half_counts = counts.reshape(days, SLOTS, 2).sum(axis=2)
    half_sums = sums.reshape(days, SLOTS, 2).sum(axis=2)
    levels, gain, share = _levels(half_counts, half_sums, weekday)
    size = float(counts.sum())
    if share == 0.0 or not variance > 0:
        return None
    expected = levels.reshape(DAYS, SLOTS)[weekday]
    taken = float((2 * expected * half_sums - expected**2 * half_counts).sum()) / size
    inside = max(1.0 - taken / variance, 1e-3)
    left = max(1.0 - gain / size / variance, 1e-3)
    covered = round(np.count_nonzero(counts) / counts.shape[1], 1)
    figures = {"days": covered, "explained": 100 * (1.0 - inside)}
    pace = 0.5 * share / (1.0 + days / DAYS)
    slopes = _slopes(counts, sums, weekday, variance * inside)
    return Calendar(levels, pace, offsets, left, max(left / inside, 1.0), figures, slopes)


def _slopes(counts: Floats, sums: Floats, weekday: Ints, noise: float) -> Floats:
    """Return how much levels rise within half hours, of workdays and of weekends.

    Shrunk towards 0 by what of their size is noise: `noise` is the variance of one value.
    """
    found = np.zeros((2, SLOTS))
    for number, days in enumerate((weekday < 5, weekday >= 5)):
        of_counts = counts[days].sum(axis=0).reshape(SLOTS, 2)
        of_sums = sums[days].sum(axis=0).reshape(SLOTS, 2)
        known = of_counts.min(axis=1) > 0
        if not known.any():
            continue
        means = of_sums[known] / of_counts[known]
        # The middles of two quarters lie half of a half hour apart.
        slopes = 2 * (means[:, 1] - means[:, 0])
        error = 4 * noise * (1 / of_counts[known]).sum(axis=1)
        signal = max(float((slopes**2 - error).mean()), 0.0)
        if signal > 0:
            found[number, known] = slopes * signal / (signal + error)
    return found.ravel()


def _levels(counts: Floats, sums: Floats, weekday: Ints) -> tuple[Floats, float, float]:
    """Return the levels of all cells, what they gain on days left out, and the profile's share.

    `counts` and `sums` float64[d, SLOTS] of d days, whose `weekday` int64[d] is 0 on Mondays.
    """
    every = np.zeros(len(weekday), dtype=np.int64)
    levels = np.zeros((DAYS, SLOTS))
    total, first = 0.0, 0.0
    for number, (groups, group_of) in enumerate(
        ((every, np.zeros(DAYS, np.int64)), (weekday // 5, np.arange(DAYS) // 5), (weekday, None))
    ):
        found, gain, share = _level(counts, sums - counts * levels[weekday], groups)
        levels += found[np.arange(DAYS) if group_of is None else group_of]
        total += gain
        if number == 0:
            if share == 0.0:
                break
            first = share
    return levels.ravel(), total, first


def _level(counts: Floats, sums: Floats, groups: Ints) -> tuple[Floats, float, float]:
    """Return each group's mean by half hour, float64[g, SLOTS], what it gains, and its share.

    What it gains: by how much the sum of squares of days falls that are predicted by the other
    days of their group; the smoothing and the share (one for all groups) that gain most.
    """
    days, size = len(groups), DAYS
    own = np.zeros((size, days))
    own[groups, np.arange(days)] = 1.0
    best = (np.zeros((size, SLOTS)), 0.0, 0.0)
    smooth_counts, smooth_sums = counts, sums
    passes = 0
    for wanted in _PASSES:
        while passes < wanted:
            smooth_counts, smooth_sums = _smoothed(smooth_counts), _smoothed(smooth_sums)
            passes += 1
        group_counts, group_sums = _gather(own, smooth_counts), _gather(own, smooth_sums)
        others = group_counts[groups] - smooth_counts
        known = others > 1e-6
        predicted = np.where(
            known, (group_sums[groups] - smooth_sums) / np.where(known, others, 1), 0
        )
        power = float((counts * predicted**2).sum())
        if power <= 0:
            continue
        share = min(max(float((sums * predicted).sum()) / power, 0.0), 1.0)
        gain = 2 * share * float((sums * predicted).sum()) - share**2 * power
        if gain > best[1]:
            means = np.where(group_counts > 1e-6, group_sums / np.maximum(group_counts, 1e-6), 0)
            best = (share * means, gain, share)
    return best


def _gather(own: Floats, rows: Floats) -> Floats:
    """Return the sum of each group's rows, added up in a fixed order."""
    found = np.zeros((len(own), rows.shape[1]))
    for day in range(own.shape[1]):
        found += own[:, day : day + 1] * rows[day]
    return found


def _smoothed(rows: Floats) -> Floats:
    """Return rows averaged over neighbours in the day, weights 1/4, 1/2, 1/4."""
    around: Floats = np.roll(rows, 1, axis=1) + np.roll(rows, -1, axis=1)
    return 0.5 * rows + 0.25 * around
