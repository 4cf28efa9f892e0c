"""A signal's rhythm, learnt over days from every one of its values, whatever their rate.

While a signal is watched by a provisional reference, of each local day and quarter of an hour the
number and the sum of its values' scores are kept. When the span of the reference is over, the
calendar's levels come from these sums, and so does how slowly a level must be followed that the
calendar does not explain.
"""

import math
from dataclasses import replace
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.durations import DAY
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bools, Floats, Ints, State
from streamdrift.references.calendar import Calendar, calendar_of, slopes_of, zone_offsets
from streamdrift.references.slow import Given, fill_scores, lattice_in, scale_of, shortest_in
from streamdrift.references.tracking import DAYS, SLOTS
from streamdrift.trees import array, flag, integer, number

QUARTERS = 2 * SLOTS
_QUARTER = DAY // QUARTERS
_FASTEST = DAY // 288
"""Five minutes: the quickest a level is followed."""
_PACES = (1, 2, 4, 8, 16, 32, 64)
"""Quarters of an hour over which a level that wanders may be followed."""
_FIRST_VALUES = 20_000.0
"""Values over which a provisional level averages at least: fewer would hide small changes."""
_TRIFLE = 0.015
"""Standard deviations by which a level may be off."""
_TRIFLE_OF_ODDS = 0.05
"""By what part the odds of a rate may be."""
_WORSE = 1.1
_SHORTEST = DAY // 96
_PART = 0.05
"""A change must show itself within a quarter of an hour, or this part of the reference's values,
while slow ones cannot be told from a rhythm that is not known."""
_QUIET_DAYS = 2
_EXPECTED_STRETCH = 2.0
"""How many times the time for which enough values are expected the last ones are kept."""


@kernel
def quarters(times: Ints, offsets: Floats, days: Ints, places: Ints) -> None:
    """Write the local day since the epoch of each time, which do not fall, and the quarter hour."""
    row = 0
    for i in range(len(times)):
        while row + 1 < len(offsets) and offsets[row + 1, 0] <= times[i]:
            row += 1
        local = times[i] + int(offsets[row, 1])
        days[i] = local // 86_400_000_000
        places[i] = (local % 86_400_000_000) // 900_000_000


@kernel
def _gather(
    parameters: Floats,
    values: Floats,
    days: Ints,
    places: Ints,
    first: int,
    held: Floats,
    seen: Ints,
    counts: Floats,
    sums: Floats,
    squares: Floats,
    changed: Bools,
) -> None:
    scores = np.empty(len(values))
    seen[0] += fill_scores(parameters, values, 0, len(values), seen[0], scores)
    begin = 0
    while begin < len(values):
        day, place = days[begin], places[begin]
        end = begin + 1
        while end < len(values) and days[end] == day and places[end] == place:
            end += 1
        day -= first
        if 0 <= day < len(counts):
            # In variables of its own: most blocks lie in one quarter of an hour.
            count, total, square = counts[day, place], sums[day, place], squares[day, place]
            was = changed[day, place]
            for i in range(begin, end):
                value = scores[i]
                if not math.isnan(value):
                    count += 1.0
                    total += value
                    square += value * value
                    was |= held[i] != 0.0
            counts[day, place], sums[day, place], squares[day, place] = count, total, square
            changed[day, place] = was
        begin = end


class Occasions:
    """What one signal has shown since `since`, until `until` (microseconds).

    `parameters` are those of the stage of `slow` that the signal is watched with meanwhile, `rate`
    how many values it has in a microsecond. The scores of `flags` are 0s and 1s.
    """

    def __init__(
        self,
        parameters: Floats,
        zone: ZoneInfo,
        since: int,
        until: int,
        rate: float,
        flags: bool = False,
    ) -> None:
        self._parameters = parameters
        self._zone = zone
        self._offsets = zone_offsets(zone, since)
        self.since, self.until, self.rate, self.flags = since, until, rate, flags
        days, places = np.empty(2, np.int64), np.empty(2, np.int64)
        quarters(np.array([since, until]), self._offsets, days, places)
        self._first = int(days[0])
        shape = int(days[1] - days[0]) + 1, QUARTERS
        self._counts, self._sums = np.zeros(shape), np.zeros(shape)
        self._squares, self._changed = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        self._seen = np.zeros(1, dtype=np.int64)

    def collect_from(self, values: int) -> int:
        """Return from when on the last values must be kept so that there are enough of them."""
        return self.until - int(min(_EXPECTED_STRETCH * values / self.rate, 2.0**62))

    @property
    def offsets(self) -> Floats:
        """Since when which offset of the zone applies, float64[t, 2]."""
        return self._offsets

    def again(self) -> Self:
        """Return the same, with nothing learnt, over the next span of the same length."""
        later = 2 * self.until - self.since
        return type(self)(self._parameters, self._zone, self.until, later, self.rate, self.flags)

    def add(self, values: Floats, days: Ints, places: Ints, held: Floats) -> None:
        """Take the next values float64[n], their local days and quarters int64[n].

        A NaN is no value; where `held` float64[n] is not 0 the signal was changed.
        """
        _gather(
            self._parameters,
            values,
            days,
            places,
            self._first,
            held,
            self._seen,
            self._counts,
            self._sums,
            self._squares,
            self._changed,
        )

    def given(self, seed: int) -> Given | None:
        """Return what has been learnt; None where no value was."""
        used = self._usual()
        counts = np.where(used, self._counts, 0.0)
        size = float(counts.sum())
        if size == 0:
            return None
        level = float(self._sums[used].sum()) / size
        squares = float(self._squares[used].sum()) - size * level**2
        sums = np.where(used, self._sums, 0.0) - level * counts
        calendar = self._calendar(counts, sums, squares)
        trifle = _TRIFLE_OF_ODDS * level * (1 - level) if self.flags else _TRIFLE
        if self.flags and calendar is not None:
            moves = math.sqrt(max(1.0 - calendar.left, 0.0) * squares / size)
            calendar = calendar if moves > trifle else None
        pace = self._pace(counts, sums, calendar, trifle)
        shortest = shortest_in(self._parameters)
        gain = 0.0 if pace is None else 1.0 / max(pace * self.rate, shortest)
        scale, lattice = scale_of(self._parameters), lattice_in(self._parameters)
        return Given(gain, lattice, seed, scale, calendar, level, shortest, size)

    def _weekend(self) -> Bools:
        """Return which days are of a weekend."""
        weekday = np.mod(np.arange(self._first + 3, self._first + 3 + len(self._counts)), DAYS)
        return np.asarray(weekday >= 5)

    def _usual(self) -> Bools:
        """Return which quarters of an hour count.

        Those in which the signal was changed do not, where it was not on two other days: what
        changes on all days is no change but the rhythm.
        """
        used = self._counts > 0
        weekend = self._weekend()
        for days in (weekend, ~weekend):
            quiet = (used & ~self._changed)[days].sum(axis=0) >= _QUIET_DAYS
            used[days] &= ~(self._changed[days] & quiet)
        return used

    def _calendar(self, counts: Floats, sums: Floats, squares: float) -> Calendar | None:
        """Return the calendar of the scores less their mean, with slopes."""
        used = np.flatnonzero(counts.any(axis=1))
        days, counts, sums = self._first + used, counts[used], sums[used]
        halves = len(used), SLOTS, 2
        found = calendar_of(
            counts.reshape(halves).sum(axis=2),
            sums.reshape(halves).sum(axis=2),
            days,
            squares,
            self._offsets,
        )
        if found is None:
            return None
        covered = round(np.count_nonzero(counts) / QUARTERS, 1)
        slopes = slopes_of(counts, sums, days, float(found.variances[2]))
        return replace(found, slopes=slopes, figures={**found.figures, "days": covered})

    def _pace(
        self, counts: Floats, sums: Floats, calendar: Calendar | None, trifle: float
    ) -> float | None:
        """Return over how many microseconds the level must be followed; None where it stays.

        The slowest average of past quarters of an hour that predicts the next about as well as
        the best one does; it may be off by `trifle`.
        """
        left = self._left(counts, sums, calendar)
        used = counts > 0
        means = left[used]
        weights = np.minimum(counts[used], float(np.median(counts[used])))
        best = [float((weights * means**2).sum() / weights.sum())]
        for pace in _PACES[::-1]:
            best.append(_predicted(means, weights, 1.0 / pace))
        limit = _WORSE * min(best) + trifle**2
        place = next(place for place, error in enumerate(best) if error <= limit)
        if place == 0:
            return None
        pace = _PACES[::-1][place - 1]
        return float(_FASTEST if pace == 1 else pace * _QUARTER)

    def _left(self, counts: Floats, sums: Floats, calendar: Calendar | None) -> Floats:
        """Return the means of quarters of an hour that the calendar leaves, float64[d, QUARTERS].

        On days that were used: they are widened to what it leaves on others.
        """
        means = sums / np.maximum(counts, 1.0)
        if calendar is None:
            return means
        days = len(means)
        weekday = np.mod(np.arange(self._first + 3, self._first + 3 + days), DAYS)
        levels = calendar.levels.reshape(DAYS, SLOTS)[weekday]
        weekend = self._weekend().astype(np.int64)
        slopes = np.zeros((2, SLOTS)) if calendar.slopes is None else calendar.slopes
        rise = slopes.reshape(2, SLOTS)[weekend] / 4
        expected = np.stack((levels - rise, levels + rise), axis=2).reshape(days, QUARTERS)
        alike = np.array([np.count_nonzero(weekend == kind) for kind in weekend.tolist()])
        widening = np.minimum(alike / np.maximum(alike - 1, 1), 2.0)
        widened: Floats = (means - expected) * widening[:, np.newaxis]
        return widened

    def snapshot(self) -> State:
        """Return everything but the zone."""
        return {
            "parameters": self._parameters,
            "since": self.since,
            "until": self.until,
            "rate": self.rate,
            "flags": self.flags,
            "counts": self._counts.copy(),
            "sums": self._sums.copy(),
            "squares": self._squares.copy(),
            "changed": self._changed.copy(),
            "seen": self._seen.copy(),
        }

    @classmethod
    def restore(cls, state: State, zone: ZoneInfo) -> Self:
        """Return what `snapshot` was taken of."""
        since, until = integer(state, "since"), integer(state, "until")
        parameters = array(state, "parameters").astype(np.float64)
        rate, flags = number(state, "rate"), flag(state, "flags")
        rhythm = cls(parameters, zone, since, until, rate, flags)
        rhythm._counts = array(state, "counts").astype(np.float64)
        rhythm._sums = array(state, "sums").astype(np.float64)
        rhythm._squares = array(state, "squares").astype(np.float64)
        rhythm._changed = array(state, "changed").astype(np.bool_)
        rhythm._seen = array(state, "seen").astype(np.int64)
        return rhythm


@kernel
def _predicted(means: Floats, weights: Floats, gain: float) -> float:
    """Return the mean squared error of an exponential average as a prediction of the next."""
    level, total, errors = 0.0, 0.0, 0.0
    for i in range(len(means)):
        error = means[i] - level
        errors += weights[i] * error * error
        total += weights[i]
        level += gain * error
    return errors / total


def first_gain(rate: float) -> float:
    """Return the gain of a provisional slow level, `rate` being values in a microsecond."""
    return 1.0 / max(_FASTEST * rate, _FIRST_VALUES)


def shown_within(rate: float, size: int) -> float:
    """Return within how many values a change must show itself by a reference of `size` values."""
    return max(_SHORTEST * rate, _PART * size)
