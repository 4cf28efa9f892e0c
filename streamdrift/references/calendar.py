"""The calendar: levels by half hour of the day and day of the week, in local time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints
from streamdrift.references.tracking import DAYS, SLOTS, calendar_cell

LEAST_DAYS = 3
"""Days that a daily rhythm must be seen on."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1970, 2070
_AHEAD = 40
"""Transitions of the zone kept from the reference on: two a year in most."""
_NEVER = -(2.0**62)


@dataclass(frozen=True)
class Calendar:
    """Levels of calendar cells.

    `levels` float64[DAYS * SLOTS], Monday's first half hour first; `cells` int64[n] the cells of
    the reference's values; `gain` the share of an error that a cell learns; `zone` float64[t, 2].
    """

    levels: Floats
    cells: Ints
    gain: float
    zone: Floats
    figures: Mapping[str, float]


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
    for before, after in zip(moments, moments[1:], strict=False):
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

    An *occasion* is one half hour of one day. The mean over all days of a half hour is shrunk
    towards none, what weekends and then single days of the week add towards 0, each by how much
    of its variance the spread between occasions explains already.
    """
    offsets = zone_offsets(zone, int(times[0]))
    cells, days = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    _place(times, offsets, cells, days)
    days -= days[0]
    span = int(days[-1]) + 1
    if len(np.unique(days)) < LEAST_DAYS:
        return None
    slots = cells % SLOTS
    occasions = days * SLOTS + slots
    counts = np.bincount(occasions, minlength=span * SLOTS).reshape(span, SLOTS)
    centred = scores - scores.mean()
    sums = np.bincount(occasions, centred, minlength=span * SLOTS).reshape(span, SLOTS)
    weekday = (int(cells[0]) // SLOTS + np.arange(span)) % DAYS
    levels, share = _shrunk(counts, sums, weekday)
    if share == 0.0:
        return None
    explained = 1.0 - float(np.var(centred - levels[cells]) / np.var(centred))
    figures = {"days": float(len(np.unique(days))), "explained": 100 * explained}
    gain = 0.5 * share * DAYS * SLOTS / len(scores)
    return Calendar(levels + scores.mean(), cells, gain, offsets, figures)


def _shrunk(counts: Ints, sums: Floats, weekday: Ints) -> tuple[Floats, float]:
    """Return the levels of all cells, and the share of what half hours say that is believed."""
    profile, share = _level([(counts, sums)])
    rest = sums - counts * profile[0]
    weekend = weekday >= 5
    groups = [(counts[~weekend], rest[~weekend]), (counts[weekend], rest[weekend])]
    extra, _ = _level(groups)
    levels = np.empty((DAYS, SLOTS))
    for day in range(DAYS):
        levels[day] = profile[0] + extra[int(day >= 5)]
    rest = sums - counts * levels[weekday]
    single, _ = _level([(counts[weekday == day], rest[weekday == day]) for day in range(DAYS)])
    return (levels + np.array(single)).ravel(), share


def _level(groups: list[tuple[Ints, Floats]]) -> tuple[list[Floats], float]:
    """Return each group's mean by slot, shrunk towards 0 by one common share.

    A group's rows are days: counts and sums by slot. The spread of a slot's mean between days
    says how well it is known; without two days in any slot nothing is.
    """
    means, known = list[Floats](), list[Floats]()
    within, freedom = 0.0, 0
    for counts, sums in groups:
        total = counts.sum(axis=0)
        mean = np.where(total > 0, sums.sum(axis=0) / np.maximum(total, 1), 0.0)
        seen = counts > 0
        deviations = np.where(seen, sums - counts * mean, 0.0)
        # The variance of one value's worth: counts weigh the means of occasions.
        within += float((deviations**2 / np.maximum(counts, 1)).sum())
        freedom += int((seen.sum(axis=0) - 1).clip(0).sum())
        means.append(mean)
        known.append(total.astype(np.float64))
    if freedom == 0:
        return [np.zeros(SLOTS) for _ in groups], 0.0
    noise = within / freedom
    flat, weight = np.concatenate(means), np.concatenate(known)
    used = weight > 0
    signal = float((flat[used] ** 2 - noise / weight[used]).mean())
    if signal <= 0:
        return [np.zeros(SLOTS) for _ in groups], 0.0
    shrunk = [
        mean * np.where(own > 0, signal / (signal + noise / np.maximum(own, 1)), 0.0)
        for mean, own in zip(means, known, strict=True)
    ]
    return shrunk, signal / (signal + noise / float(weight[used].mean()))
