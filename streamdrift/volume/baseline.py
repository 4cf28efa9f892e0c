"""What is expected of a model's event rate: a level, which follows the rate, times a rhythm.

In a model's first hours its rhythm of day and week cannot be known: then the level follows the last
minutes, and it is all that is expected. The rhythm is learned from the half hours of the past.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np

from streamdrift.detectors import Evidence
from streamdrift.durations import DAY, SECOND
from streamdrift.records import Floats, Ints, Sample, State, Stream
from streamdrift.references.half_hours import HalfHours
from streamdrift.references.rhythm import (
    LEVEL,
    TREND,
    Followed,
    Follower,
    Rhythm,
    new_level,
    overdispersion,
)
from streamdrift.references.tracking import HALF_HOUR
from streamdrift.trees import array, integer, number, tree
from streamdrift.volume.past_bins import Past
from streamdrift.volume.settings import RateSettings

_WEEKS_KEPT = 4
"""Spans of half hours that the rhythm is learned from at most."""
_FEWEST, _MOST, _LEARNED_IN = 300, 2_000, 3_600 * SECOND
"""Bins of a reference: as many as an hour has, within these."""


class Baseline:
    """The level and the rhythm of an event rate, and the bins that they are learned from.

    `follower` knows the rhythm, `half_hours` are those of the past, and when `due` the rhythm is
    learned next.
    """

    def __init__(
        self, settings: RateSettings, follower: Follower, half_hours: HalfHours, due: int
    ) -> None:
        self._settings = settings
        self._follower = follower
        self._half_hours = half_hours
        self._due = due
        self._level = new_level()
        self.past = Past.empty()

    @classmethod
    def begin(cls, settings: RateSettings, length: int, first: int, seed: int) -> Self:
        """Return that of a rate whose first bin has the number `first`; see `Follower`."""
        since = first * length
        follower = Follower(length, Rhythm.unknown(settings.zone, since, length), 0.0, seed)
        due = since // HALF_HOUR * HALF_HOUR + settings.rhythm_after
        return cls(settings, follower, _new_half_hours(settings, length, since), due)

    @property
    def rhythm(self) -> Rhythm:
        """What the level is multiplied by."""
        return self._follower.rhythm

    @property
    def missing(self) -> int:
        """How many bins a reference still waits for: none, or less, where there are enough."""
        learned = max(min(_LEARNED_IN // self._follower.length, _MOST), _FEWEST)
        return learned + self._follower.settling - len(self.past.bins)

    def end_of_half_hour(self, bins: Ints) -> int:
        """Return how many of the bins int64[n] lie in the half hour of the first."""
        return self._half_hours.end_of(bins)

    def come_to(self, first: int) -> bool:
        """Come to the bin of a number; tell whether the rhythm is due to be learned there."""
        another = self._half_hours.begin(first)
        return another and first * self._follower.length >= self._due

    def level(self) -> Floats:
        """Return where the level is, to `go_back` to."""
        return self._level.copy()

    def go_back(self, level: Floats) -> None:
        """Be at a level of before."""
        self._level[:] = level

    def follow(self, bins: Ints, counts: Ints, *, learn: bool) -> Followed:
        """Hold the counts int64[n] of bins against what is expected; see `Follower`."""
        return self._follower.follow(self._level, bins, counts, learn)

    def take(self, bins: Ints, counts: Ints, levels: Floats, *, held: bool) -> None:
        """Keep bins of one half hour, and the levels that were expected of them.

        `held` tells whether the rate had changed.
        """
        self.past.add(bins, counts, levels)
        self._half_hours.add(bins, counts, held)

    def back_at(self, since: int, bins: Ints, counts: Ints) -> int:
        """Return at which of the next bins the rate is about what it was before it changed.

        That was behind the bin of the number `since`. len(bins) where it is not back.
        """
        level = float(self._level[LEVEL])
        return self.past.since(since).back_at(self._follower, level, bins, counts)

    def before_and_after(self, evidence: Evidence) -> tuple[float, float]:
        """Go back to the level before a change; return events a second until and since then."""
        self._level[LEVEL], self._level[TREND] = self.past.level_before(evidence), 0.0
        return self.past.before_and_after(self._follower, float(self._level[LEVEL]), evidence)

    def forget(self, since: int) -> None:
        """Be as before a change, which was behind the bin of the number `since`."""
        self._half_hours.returned()
        self.past = self.past.until(since)

    def hurry(self, factor: float, evidence: Evidence) -> None:
        """Go on at the level that a trifling change led to: it moves faster than was thought.

        `factor` is the logarithm of that by which the rate changed.
        """
        self._level[LEVEL] += factor
        rhythm = self.rhythm.quicker(evidence.earliest, self._follower.length)
        self._follower = replace(self._follower, rhythm=rhythm)

    def accept(self, since: int) -> Sample | None:
        """Expect what the rate became behind the bin of the number `since`.

        Returns what `learn` does, None where there are too few bins.
        """
        before = float(self._level[LEVEL])
        self.past = self.past.since(since)
        sample = None
        if self.missing <= 0:
            sample = self.learn()
        else:
            self._level = new_level()
            self.follow(self.past.bins, self.past.counts, learn=True)
        # Before the rhythm is known this may be part of it: half hours stay what they were.
        shift = float(self._level[LEVEL]) - before if self.rhythm.known else 0.0
        self._half_hours.accepted(shift)
        return sample

    def learn(self) -> Sample:
        """Learn the level, and how far counts spread, from the bins of the past.

        Returns what is left of them.
        """
        past = self.past
        plain = replace(self._follower, over=0.0).follow(new_level(), past.bins, past.counts, True)
        over = overdispersion(plain.left[~np.isnan(plain.left)], float(past.counts.mean()))
        self._follower = replace(self._follower, over=over)
        left = self.find_level().left
        return Sample(Stream.NUMERIC, left[~np.isnan(left)])

    def find_level(self) -> Followed:
        """Find the level anew from the bins of the past; return how they were followed."""
        self._level = new_level()
        followed = self.follow(self.past.bins, self.past.counts, learn=True)
        self.past.levels = followed.levels
        return followed

    def learn_rhythm(self) -> None:
        """Learn the rhythm from half hours of the past."""
        self._due += self._settings.rhythm_after
        rhythm = self._half_hours.fit(self._settings.zone, self._follower.over)
        self._follower = replace(self._follower, rhythm=rhythm)

    def snapshot(self) -> State:
        """Return everything that decides what is expected next."""
        return {
            "past": self.past.snapshot(),
            "level": self._level.copy(),
            "rhythm": self.rhythm.snapshot(),
            "over": self._follower.over,
            "half_hours": self._half_hours.snapshot(),
            "due": self._due,
        }

    @classmethod
    def restore(cls, settings: RateSettings, length: int, seed: int, state: State) -> Self | None:
        """Return what `snapshot` was taken of, or `nothing_expected`, which is None."""
        if not isinstance(state["rhythm"], Mapping):
            return None
        rhythm, due = Rhythm.restore(tree(state, "rhythm")), integer(state, "due")
        half_hours = _new_half_hours(settings, length, due - settings.rhythm_after)
        half_hours.restore(tree(state, "half_hours"))
        follower = Follower(length, rhythm, number(state, "over"), seed)
        baseline = cls(settings, follower, half_hours, due)
        baseline._level = array(state, "level").astype(np.float64)
        baseline.past = Past.restore(tree(state, "past"))
        return baseline


def nothing_expected() -> State:
    """Return the snapshot of no baseline: before the length of bins is decided there is none."""
    return {
        "past": Past.empty().snapshot(),
        "level": new_level(),
        "rhythm": None,
        "over": 0.0,
        "half_hours": None,
        "due": 0,
    }


def _new_half_hours(settings: RateSettings, length: int, since: int) -> HalfHours:
    room = _WEEKS_KEPT * settings.rhythm_after // (DAY // 48)
    return HalfHours(length, settings.zone, since, room)
