"""The rhythm of a rate: what counts are expected by the calendar and by a level that moves.

A rate has the rhythm of the people and programs behind it, and wanders besides. It is predicted as
exp(calendar + level): the calendar from half hours of the past (see `half_hours`), the level from
the last values, followed at a pace that the past asks for. Before there is a calendar the level has
a trend, and both follow fast (Brown, Smoothing, forecasting and prediction of discrete time series,
1963): only what is sudden can be seen then.

What a count c leaves under the mean m is 2 (sqrt(c + 3/8) - E sqrt(C + 3/8)), whose variance is
about 1 for Poisson counts (Anscombe, The transformation of Poisson, binomial and negative-binomial
data, Biometrika 1948), over the standard deviation that the counts' own spread asks for.
"""

import math
from dataclasses import dataclass, replace
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.kernels import kernel, uniform_hash
from streamdrift.records import Floats, Ints, State
from streamdrift.references.calendar import local_time, zone_offsets
from streamdrift.references.scores import normal_score
from streamdrift.references.tracking import DAYS, HALF_HOUR, SLOTS, calendar_cell
from streamdrift.trees import array, number

_BLUR = 0.03
"""Of a rate, in one bin: smaller differences are drowned, however many events or regular bins."""
_QUICK, _QUICK_TIME, QUICKEST = 200.0, HALF_HOUR, 8.0
"""The pace of a level whose calendar is not known: so many values, at most this long, at least."""
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
        nothing = np.zeros(DAYS * SLOTS)
        return cls(nothing, nothing, zone_offsets(zone, since), pace, known=False)

    def quicker(self, bins: int, length: int) -> "Rhythm":
        """Return the same with a level that follows within half of so many bins of `length`."""
        pace = max(bins / 2, QUICKEST) * length
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
        return max(self.rhythm.pace / self.length, QUICKEST)

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
def _usual_at(levels: Floats, slopes: Floats, zone: Floats, time: int) -> float:
    """Return what the calendar says at a time."""
    local = local_time(zone, time)
    cell = calendar_cell(local)
    usual: float = levels[cell] + slopes[cell] * ((local % HALF_HOUR) / HALF_HOUR - 0.5)
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
        if bins[i] - state[LAST] - 1.0 > forget:
            state[SEEN] = 0.0
        state[LAST] = bins[i]
        if state[SEEN] == 0.0:
            state[LEVEL] = math.log(max(count, 0.5) / (length / 1e6)) - usual
            state[TREND], state[SEEN] = 0.0, 1.0
            left[i], before[i] = np.nan, state[LEVEL]
            continue
        level = state[LEVEL] + state[TREND]
        before[i] = level
        mean = math.exp(min(level + usual, 50.0)) * length / 1e6
        spread = 1.0 + (over + _BLUR * _BLUR) * mean
        root = math.sqrt(mean + 0.375) - 0.125 * mean / (mean + 0.375) ** 1.5
        coin = normal_score(max(uniform_hash(seed, bins[i]), 1e-12))
        blurred = 2.0 * (math.sqrt(count + 0.375) - root) + _BLUR * math.sqrt(mean) * coin
        left[i] = np.nan if state[SEEN] < settling else blurred / math.sqrt(spread)
        if not learn:
            continue
        # A jump is not to be followed at once: it counts as two standard deviations at most.
        error = (count - mean) / max(mean, 1.0)
        reach = 2.0 * math.sqrt((1.0 + over * mean) / max(mean, 1.0))
        error = min(max(error, -reach), reach)
        share = 1.0 / (state[SEEN] + 1.0)
        if share <= gain:
            state[TREND] += rise * error
        state[LEVEL] = level + max(gain, share) * error
        state[SEEN] += 1.0


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
