"""The rhythm of a rate: what counts are expected by the calendar and by a level that moves.

A rate has the rhythm of the people and programs behind it, and wanders besides. It is predicted as
exp(calendar + level): the calendar from half hours of the past (`fit_rhythm`), the level from the
last values, followed at a pace that the past asks for. Before there is a calendar the level has a
trend, and both follow fast (Brown, Smoothing, forecasting and prediction of discrete time series,
1963): only what is sudden can be seen then.

What a count c leaves under the mean m is 2 (sqrt(c + 3/8) - E sqrt(C + 3/8)), whose variance is
about 1 for Poisson counts (Anscombe, The transformation of Poisson, binomial and negative-binomial
data, Biometrika 1948), over the standard deviation that the counts' own spread asks for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.kernels import kernel, uniform_hash
from streamdrift.records import Floats, Ints, State
from streamdrift.references.calendar import Calendar, fit_calendar, zone_offsets
from streamdrift.references.scores import normal_score
from streamdrift.references.tracking import DAYS, SLOTS, calendar_cell
from streamdrift.trees import array, number

HALF_HOUR = 1_800_000_000
"""Microseconds of a calendar cell."""
_CELLS = DAYS * SLOTS
_BLUR = 0.03
"""Of a rate, in one bin: smaller differences are drowned, however many events or regular bins."""
_QUICK, _QUICK_TIME, _QUICKEST = 200.0, HALF_HOUR, 8.0
"""The pace of a level whose calendar is not known: so many values, at most this long, at least."""
_SLOWEST, _SLOWEST_BINS = HALF_HOUR, 50
"""The slowest pace of a level whose calendar is known: this long, or so many bins if that is more.
Nobody wants to hear of what is smaller than what it cannot follow."""
_FORGET = 600_000_000
"""A pause after which a level that has no calendar is found anew."""

LEVEL, TREND, SEEN, LAST = range(4)
"""Places of a level's state: the logarithm of events a second (less the calendar), its rise in a
bin, how many bins it is known from, and the last of them (-1: none)."""


@dataclass(frozen=True)
class Rhythm:
    """What is expected of a rate's logarithm by the calendar.

    `levels` float64[DAYS * SLOTS] of the half hours of the week, Monday's first, about their mean,
    and `slopes`, by how much it rises within each; `zone` float64[t, 2]: since when which offset
    applies. `pace` is the time, in microseconds, in which the level follows what the calendar does
    not explain.
    """

    levels: Floats
    slopes: Floats
    zone: Floats
    pace: float
    known: bool = True
    """Whether the calendar is: without it, the level has a trend."""

    @classmethod
    def unknown(cls, zone: ZoneInfo, since: int, length: int) -> Self:
        """Return what is expected of bins of `length` before the calendar is known."""
        pace = float(min(_QUICK * length, _QUICK_TIME))
        nothing = np.zeros(_CELLS)
        return cls(nothing, nothing, zone_offsets(zone, since), pace, known=False)

    def quicker(self, bins: int, length: int) -> "Rhythm":
        """Return the same with a level that follows within half of so many bins of `length`."""
        pace = max(bins / 2, _QUICKEST) * length
        return replace(self, pace=min(self.pace, pace))

    def snapshot(self) -> State:
        """Return everything as a tree."""
        return {
            "levels": self.levels,
            "slopes": self.slopes,
            "zone": self.zone,
            "pace": self.pace,
            "known": self.known,
        }

    @classmethod
    def restore(cls, state: State) -> Self:
        """Return what `snapshot` was taken of."""
        levels, slopes, zone = (
            array(state, name).astype(np.float64) for name in ("levels", "slopes", "zone")
        )
        return cls(levels, slopes, zone, number(state, "pace"), bool(state["known"]))


@dataclass(frozen=True)
class Followed:
    """What was left of counts, float64[n] (NaN: not known yet), and the levels before each."""

    left: Floats
    levels: Floats


@dataclass(frozen=True)
class Follower:
    """Follows the counts of bins of `length` microseconds.

    `over` is by how much the variance of counts is above their mean m, in m^2; `seed` that of
    the noise that hides trifles.
    """

    length: int
    rhythm: Rhythm
    over: float = 0.0
    seed: int = 0

    @property
    def settling(self) -> int:
        """How many bins a level is found from before anything is held against it."""
        return max(5, math.ceil(self._pace / 4)) if not self.rhythm.known else 30

    @property
    def _pace(self) -> float:
        return max(self.rhythm.pace / self.length, _QUICKEST)

    def follow(self, state: Floats, bins: Ints, counts: Ints, learn: bool) -> Followed:
        """Follow counts int64[n] of `bins` int64[n], ascending; moves the level's `state` on.

        Without `learn` the level stays where it is, as for a signal that is held.
        """
        left, before = np.empty(len(bins)), np.empty(len(bins))
        kept = 1.0 - 1.0 / self._pace
        known = self.rhythm.known
        figures = np.array(
            [
                self.length,
                1.0 - kept if known else 1.0 - kept * kept,
                0.0 if known else (1.0 - kept) ** 2,
                self.settling,
                math.inf if known else _FORGET / self.length,
                self.over,
            ]
        )
        _follow(
            figures,
            self.rhythm.levels,
            self.rhythm.slopes,
            self.rhythm.zone,
            state,
            bins,
            counts,
            self.seed,
            learn,
            left,
            before,
        )
        return Followed(left, before)

    def rates(self, level: float, bins: Ints) -> Floats:
        """Return how many events a second are expected in bins int64[n], at a level."""
        usual = np.empty(len(bins))
        _usual(self.rhythm.levels, self.rhythm.slopes, self.rhythm.zone, self.length, bins, usual)
        rates: Floats = np.exp(level + usual)
        return rates


def new_level() -> Floats:
    """Return the state of a level of which nothing is known."""
    return np.array([0.0, 0.0, 0.0, -1.0])


@kernel
def _local(zone: Floats, time: int) -> int:
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
def _usual_at(levels: Floats, slopes: Floats, zone: Floats, time: int) -> float:
    """Return what the calendar says at a time."""
    local = _local(zone, time)
    cell = calendar_cell(local)
    usual: float = levels[cell] + slopes[cell] * ((local % 1_800_000_000) / 1.8e9 - 0.5)
    return usual


@kernel
def _usual(
    levels: Floats, slopes: Floats, zone: Floats, length: int, bins: Ints, out: Floats
) -> None:
    for i in range(len(bins)):
        out[i] = _usual_at(levels, slopes, zone, bins[i] * length + length // 2)


@kernel
def _follow(
    figures: Floats,
    levels: Floats,
    slopes: Floats,
    zone: Floats,
    state: Floats,
    bins: Ints,
    counts: Ints,
    seed: int,
    learn: bool,
    left: Floats,
    before: Floats,
) -> None:
    length, gain, rise, settling, forget, over = figures
    whole = int(length)
    for i in range(len(bins)):
        usual = _usual_at(levels, slopes, zone, bins[i] * whole + whole // 2)
        count = float(counts[i])
        if bins[i] - state[3] - 1.0 > forget:
            state[2] = 0.0
        state[3] = bins[i]
        if state[2] == 0.0:
            state[0] = math.log(max(count, 0.5) / (length / 1e6)) - usual
            state[1], state[2] = 0.0, 1.0
            left[i], before[i] = np.nan, state[0]
            continue
        level = state[0] + state[1]
        before[i] = level
        mean = math.exp(min(level + usual, 50.0)) * length / 1e6
        spread = 1.0 + (over + 0.03 * 0.03) * mean
        root = math.sqrt(mean + 0.375) - 0.125 * mean / (mean + 0.375) ** 1.5
        coin = normal_score(max(uniform_hash(seed, bins[i]), 1e-12))
        blurred = 2.0 * (math.sqrt(count + 0.375) - root) + 0.03 * math.sqrt(mean) * coin
        left[i] = np.nan if state[2] < settling else blurred / math.sqrt(spread)
        if not learn:
            continue
        # A jump is not to be followed at once: it counts as two standard deviations at most.
        error = (count - mean) / max(mean, 1.0)
        reach = 2.0 * math.sqrt((1.0 + over * mean) / max(mean, 1.0))
        error = min(max(error, -reach), reach)
        share = 1.0 / (state[2] + 1.0)
        if share <= gain:
            state[1] += rise * error
        state[0] = level + max(gain, share) * error
        state[2] += 1.0


@kernel
def back_at(expected: Floats, counts: Ints, start: int, window: int, reach: float) -> int:
    """Return the first place from `start` on where counts are as expected; len(counts) if none.

    There the sum of the last `window` counts int64[n] is by less than the factor exp(`reach`) from
    that of what was `expected`, float64[n].
    """
    for i in range(max(start, window - 1), len(counts)):
        found, usual = 0.0, 0.0
        for j in range(i - window + 1, i + 1):
            found += counts[j]
            usual += expected[j]
        if found > 0.0 and abs(math.log(found / usual)) < reach:
            return i
    return len(counts)


def overdispersion(left: Floats, mean: float) -> float:
    """Return by how much the variance of counts is above their mean, in its square.

    `left` float64[n] is what a follower with `over` of 0 leaves, NaN left out.
    """
    ordered = np.sort(left)
    if not len(ordered) or mean <= 0:
        return 0.0
    spread = (ordered[3 * len(ordered) // 4] - ordered[len(ordered) // 4]) / 1.349
    blurred = spread**2 * (1 + _BLUR**2 * mean) - _BLUR**2 * mean
    return max(float(blurred) - 1.0, 0.0) / mean


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
        local: int = _local(self._offsets, middle)
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
        levels, slopes, rest = np.zeros(_CELLS), np.zeros(_CELLS), found
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
        return min(max(pace, _QUICKEST * self._length), slowest)

    def snapshot(self) -> State:
        """Return the half hours and the sums."""
        return {"rows": self._rows.copy(), "sums": self._sums.copy()}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        self._rows = np.array(state["rows"], dtype=np.float64)
        self._sums = np.array(state["sums"], dtype=np.int64)


_AT_TIME, _LEVEL, _SLOPE, _STATE, _ROW = range(5)
_AT, _BINS, _COUNT, _WEIGHED, _HELD, _SUMS = range(6)
_IS_HELD, _PASSED = 1, 2
_WEEK = DAYS * SLOTS * HALF_HOUR
_SHORT = 12 * HALF_HOUR
"""A pause of the past that is filled in a straight line."""
_OFTEN = 3
"""Days on which a passing change at the same time of day is part of the rhythm."""


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
    first = _local(zone, bins[0] * length + length // 2) // 1_800_000_000
    for i in range(1, len(bins)):
        if _local(zone, bins[i] * length + length // 2) // 1_800_000_000 != first:
            return i
    return len(bins)
