"""The calendar: levels by half hour of the day and day of the week, in local time."""

import math
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
_PASSES = (0, 1, 2, 4, 8, 16, 32)
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

    `levels` float64[DAYS * SLOTS], Monday's first half hour first, about their mean;
    `variances` float64[3] of a level's error, of occasions beyond a level, and of one value, which
    say how much a cell learns from one occasion; `zone` float64[t, 2]: since when
    which offset applies; `left` the share of variance they leave on days that were not used,
    `excess` how many times what they leave on those that were. `slopes` float64[2 * SLOTS], where
    known: by how much the level rises within half hours of workdays, then of weekends.
    """

    levels: Floats
    variances: Floats
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
def local_time(zone: Floats, time: int) -> int:
    """Return a UTC time, in microseconds, as local time."""
    low, high = 0, len(zone)
    while high - low > 1:
        middle = (low + high) // 2
        if zone[middle, 0] <= time:
            low = middle
        else:
            high = middle
    return time + int(zone[low, 1])


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
    present, rows = np.unique(days, return_inverse=True)
    if len(present) < LEAST_DAYS:
        return None
    centred = scores - scores.mean()
    occasions = rows * SLOTS + cells % SLOTS
    shape = (len(present), SLOTS)
    everything = shape[0] * shape[1]
    counts = np.bincount(occasions, minlength=everything).reshape(shape).astype(np.float64)
    sums = np.bincount(occasions, centred, minlength=everything).reshape(shape).astype(np.float64)
    return calendar_of(counts, sums, present, float((centred**2).sum()), offsets)


def calendar_of(
    counts: Floats, sums: Floats, days: Ints, squares: float, offsets: Floats
) -> Calendar | None:
    """Return the calendar of scores, given occasion by occasion; None where it says nothing.

    `counts` and `sums` float64[d, SLOTS] of the scores less their mean, on `days` int64[d] since
    the epoch; `squares` is their sum of squares.
    """
    if len(days) < LEAST_DAYS or not squares > 0:
        return None
    weekday = np.mod(days + _THURSDAY, DAYS)
    levels, gain = np.zeros((DAYS, SLOTS)), 0.0
    known = 0.0
    clear = 2 * math.log(counts.sum()) * squares / float(counts.sum())
    for group_of in (np.zeros(DAYS, np.int64), np.arange(DAYS) // 5, np.arange(DAYS)):
        added = _level(counts, sums - counts * levels[weekday], group_of[weekday])
        # Days that are all alike may still differ from weekends, but then clearly.
        if added is None or (known == 0.0 and group_of.any() and added.gain < clear):
            continue
        levels += added.means[group_of]
        gain += added.gain
        known += added.error
    if known == 0.0:
        return None
    expected = levels[weekday]
    taken = float((2 * expected * sums - expected**2 * counts).sum())
    inside = max(1.0 - taken / squares, 1e-3)
    left = max(1.0 - gain / squares, 1e-3)
    noise, between = _variances(counts, sums, expected, squares)
    return Calendar(
        levels.ravel(),
        np.array([known * (between + noise / float(counts[counts > 0].mean())), between, noise]),
        offsets,
        left,
        max(left / inside, 1.0),
        {"days": float(len(days)), "explained": 100 * (1.0 - inside)},
    )


def slopes_of(counts: Floats, sums: Floats, days: Ints, noise: float) -> Floats:
    """Return how much levels rise within half hours of workdays, then of weekends.

    `counts` and `sums` float64[d, 2 * SLOTS] of quarters of an hour on `days` since the epoch.
    Shrunk towards 0 by what of their size is noise: `noise` is the variance of one value.
    """
    weekday = np.mod(days + _THURSDAY, DAYS)
    found = np.zeros((2, SLOTS))
    for number, used in enumerate((weekday < 5, weekday >= 5)):
        of_counts = counts[used].sum(axis=0).reshape(SLOTS, 2)
        of_sums = sums[used].sum(axis=0).reshape(SLOTS, 2)
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


def _variances(
    counts: Floats, sums: Floats, expected: Floats, squares: float
) -> tuple[float, float]:
    """Return the variance of values within an occasion, and that of occasions' means beyond it.

    Of the means, what is `expected` is taken off.
    """
    seen = counts > 0
    counts, means = counts[seen], sums[seen] / counts[seen]
    freedom = float((counts - 1).sum())
    if freedom <= 0:
        return squares / float(counts.sum()), 0.0
    within = max(squares - float((counts * means**2).sum()), 0.0) / freedom
    return within, max(float(((means - expected[seen]) ** 2 - within / counts).mean()), 0.0)


@dataclass(frozen=True)
class _Level:
    """Means of groups of days, float64[g, SLOTS], and what they gain on days left out.

    `error` is the variance of a mean's error in that of one occasion's mean.
    """

    means: Floats
    gain: float
    error: float


def _level(counts: Floats, sums: Floats, groups: Ints) -> _Level | None:
    """Return each group's mean by half hour; None where it says nothing of other days.

    `counts` and `sums` float64[d, SLOTS] of d days, `groups` int64[d]. The smoothing and the
    share of the means (one for all groups) are those by which days are best predicted by the
    other days of their group.
    """
    days = len(groups)
    own = np.zeros((DAYS, days))
    own[groups, np.arange(days)] = 1.0
    best: _Level | None = None
    smooth_counts, smooth_sums = counts, sums
    passes = 0
    for wanted in _PASSES:
        while passes < wanted:
            smooth_counts, smooth_sums = _smoothed(smooth_counts), _smoothed(smooth_sums)
            passes += 1
        group_counts, group_sums = _gather(own, smooth_counts), _gather(own, smooth_sums)
        others = group_counts[groups] - smooth_counts
        # What rounding leaves of a group's only day is no other day.
        known = others > 1e-6
        means = (group_sums[groups] - smooth_sums) / np.where(known, others, 1.0)
        predicted = np.where(known, means, 0.0)
        power = float((counts * predicted**2).sum())
        agreement = float((sums * predicted).sum())
        if agreement <= 0:
            continue
        share = min(agreement / power, 1.0)
        gain = 2 * share * agreement - share**2 * power
        if best is None or gain > best.gain:
            whole = np.where(group_counts > 1e-6, group_counts, np.inf)
            # The passes' weights are nearly a normal curve of variance passes / 2.
            width = max(math.sqrt(2 * math.pi * passes), 1.0)
            error = share**2 * len(np.unique(groups)) / (days * width)
            best = _Level(share * group_sums / whole, gain, error)
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
