"""The half hours of a rate's past, and the rhythm that is fitted to them."""

import math
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints, State
from streamdrift.references.calendar import Calendar, fit_calendar, local_time, zone_offsets
from streamdrift.references.rhythm import QUICKEST, Rhythm
from streamdrift.references.tracking import DAYS, HALF_HOUR, SLOTS

_SLOWEST, _SLOWEST_BINS = HALF_HOUR, 50
"""The slowest pace of a level whose calendar is known: this long, or so many bins if that is more.
Nobody wants to hear of what is smaller than what it cannot follow."""
_AT_TIME, _LEVEL, _SLOPE, _STATE, _ROW = range(5)
_AT, _BINS, _COUNT, _WEIGHED, _HELD, _SUMS = range(6)
_IS_HELD, _PASSED = 1, 2
_WEEK = DAYS * SLOTS * HALF_HOUR
_SHORT = 12 * HALF_HOUR
"""A pause of the past that is filled in a straight line."""
_OFTEN = 3
"""Days on which a passing change at the same time of day is part of the rhythm."""


class HalfHours:
    """What a rate was in the half hours of the past: their levels and slopes.

    A half hour in which the signal was held is counted for what it became: what was not
    accepted as normal, only where it happens again and again.
    """

    def __init__(self, length: int, zone: ZoneInfo, since: int, room: int) -> None:
        self._length = length
        self._offsets = zone_offsets(zone, since)
        self._room = room
        self._rows = np.empty((0, _ROW))
        self._sums = np.zeros(_SUMS, dtype=np.int64)

    def end_of(self, bins: Ints) -> int:
        """Return how many of the bins int64[n] lie in the half hour of the first."""
        return int(_same(self._offsets, self._length, bins))

    def begin(self, number: int) -> bool:
        """Note the half hour that is over, if a bin begins another; tell whether it does."""
        middle = number * self._length + self._length // 2
        local: int = local_time(self._offsets, middle)
        at = middle - local % HALF_HOUR + HALF_HOUR // 2
        if self._sums[_AT] == at:
            return False
        self._close()
        self._sums[:] = 0
        self._sums[_AT] = at
        return True

    def add(self, bins: Ints, counts: Ints, held: bool) -> None:
        """Sum up counts int64[n] of bins of the half hour that was begun."""
        first = int(self._sums[_AT]) - HALF_HOUR // 2 - self._length // 2
        places = bins - -(-first // self._length)
        self._sums[_BINS] += len(bins)
        self._sums[_COUNT] += int(counts.sum())
        self._sums[_WEIGHED] += int((counts * places).sum())
        self._sums[_HELD] = max(int(self._sums[_HELD]), int(held))

    def _close(self) -> None:
        """Note the half hour that is over, if at least half of it was counted."""
        wanted = HALF_HOUR // self._length
        bins, count = int(self._sums[_BINS]), int(self._sums[_COUNT])
        if 2 * bins < wanted:
            return
        middle = (wanted - 1) / 2
        slope = np.nan
        if bins == wanted:
            squares = wanted * (wanted * wanted - 1) / 12
            lean = int(self._sums[_WEIGHED]) - middle * count
            slope = lean / squares * wanted * wanted / max(count, 1)
        level = math.log(max(count, 0.5) / (bins * self._length / 1e6))
        if bins == wanted:
            # The logarithm of a mean is above the mean of logarithms.
            level -= slope * slope / 24
        row = np.array([[self._sums[_AT], level, slope, self._sums[_HELD]]], dtype=np.float64)
        self._rows = np.concatenate([self._rows, row])[-self._room :]

    def returned(self) -> None:
        """Learn that what was held was a passing change."""
        held = self._rows[:, _STATE] == _IS_HELD
        self._rows[held, _STATE] = _PASSED
        if self._sums[_HELD]:
            self._sums[_HELD] = _PASSED

    def accepted(self, shift: float) -> None:
        """Learn that what was held is normal, and lies by `shift` from what was before."""
        held = self._rows[:, _STATE] == _IS_HELD
        self._rows[~held, _LEVEL] += shift
        self._rows[held, _STATE] = 0.0
        if self._sums[_HELD] == _IS_HELD:
            self._sums[_HELD] = 0

    def _normal(self) -> Floats:
        """Return the rows that are normal, or happened in three days at the same time of day."""
        rows = self._rows
        slots = (rows[:, _AT_TIME] // HALF_HOUR % SLOTS).astype(np.int64)
        passed = rows[:, _STATE] != 0
        often = np.bincount(slots[passed], minlength=SLOTS) >= _OFTEN
        return _filled(rows[~passed | often[slots]])

    def fit(self, zone: ZoneInfo, over: float) -> Rhythm:
        """Return the rhythm of all half hours that are noted, and the pace that they ask for."""
        rows = self._normal()
        times, found = rows[:, _AT_TIME].astype(np.int64), rows[:, _LEVEL]
        offsets = zone_offsets(zone, int(times[0])) if len(times) else self._offsets
        levels, slopes, rest = np.zeros(DAYS * SLOTS), np.zeros(DAYS * SLOTS), found
        calendar = _calendar(found - _growth(times, found), times, zone)
        if calendar is not None:
            levels, rest = calendar.levels, found - calendar.at(times)
            sloping = np.isfinite(rows[:, _SLOPE])
            inner = _calendar(rows[sloping, _SLOPE], times[sloping], zone)
            slopes = slopes if inner is None else inner.levels
        return Rhythm(levels, slopes, offsets, self._pace(times, found, rest, over))

    def _pace(self, times: Ints, found: Floats, rest: Floats, over: float) -> float:
        """Return the time constant that follows a level as it wanders between half hours.

        A random walk of variance q a bin, seen with noise of variance s^2, is followed best
        with the gain sqrt(q / s^2), where that is small (Muth, Journal of the American
        Statistical Association 1960).
        """
        slowest = float(max(_SLOWEST, _SLOWEST_BINS * self._length))
        next_to = np.diff(times) == HALF_HOUR
        if next_to.sum() < SLOTS // 2:
            return slowest
        bins = HALF_HOUR / self._length
        mean = math.exp(float(np.median(found))) * self._length / 1e6
        noise = 1 / max(mean, 1e-3) + over
        steps = np.sort(np.abs(np.diff(rest)[next_to]))
        wander = (1.4826 * float(steps[len(steps) // 2])) ** 2 - 2 * noise / bins
        walk = 1.5 * max(wander, 0.0) / bins
        pace = math.sqrt(noise / max(walk, 1e-300)) * self._length
        return min(max(pace, QUICKEST * self._length), slowest)

    def snapshot(self) -> State:
        """Return the half hours and the sums."""
        return {"rows": self._rows.copy(), "sums": self._sums.copy()}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        self._rows = np.array(state["rows"], dtype=np.float64)
        self._sums = np.array(state["sums"], dtype=np.int64)


def _calendar(scores: Floats, times: Ints, zone: ZoneInfo) -> Calendar | None:
    if not len(scores) or scores.min() == scores.max():
        return None
    return fit_calendar(scores, times, zone)


def _growth(times: Ints, found: Floats) -> Floats:
    """Return what levels grew by from week to week, in a straight line; 0 in the first."""
    _, here, before = np.intersect1d(times, times + _WEEK, return_indices=True)
    if not len(here):
        return np.zeros(len(times))
    steps = np.sort(found[here] - found[before])
    growth: Floats = float(steps[len(steps) // 2]) * ((times - times[-1]) / _WEEK)
    return growth


def _filled(rows: Floats) -> Floats:
    """Return rows with those of short gaps between them, in a straight line.

    A day that lacks a half hour would else lend the others' level to it.
    """
    times = rows[:, _AT_TIME]
    gaps = np.flatnonzero((np.diff(times) > HALF_HOUR) & (np.diff(times) <= _SHORT))
    parts = [rows]
    for gap in gaps.tolist():
        missing = np.arange(times[gap] + HALF_HOUR, times[gap + 1], HALF_HOUR)
        levels = np.interp(missing, times[gap : gap + 2], rows[gap : gap + 2, _LEVEL])
        nothing = np.full(len(missing), np.nan)
        parts.append(np.stack([missing, levels, nothing, np.zeros(len(missing))], axis=1))
    joined = np.concatenate(parts)
    return joined[np.argsort(joined[:, _AT_TIME], kind="stable")]


@kernel
def _same(zone: Floats, length: int, bins: Ints) -> int:
    """Return how many bins lie in the half hour of the first."""
    first = local_time(zone, bins[0] * length + length // 2) // HALF_HOUR
    for i in range(1, len(bins)):
        if local_time(zone, bins[i] * length + length // 2) // HALF_HOUR != first:
            return i
    return len(bins)
