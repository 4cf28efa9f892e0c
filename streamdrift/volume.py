"""The event rate of a model: from its events to the steps of one signal, of no version.

Events are counted in bins of event time. What the rhythm leaves of a count is a signal like any
other: it has a reference, detectors and a hold. In its first hours a model's rhythm of day and week
cannot be known; then the rate is held against its own last minutes, and only what is sudden is a
change. When the span of a reference is over, the rate is held against the rhythm that it showed,
which is looked at again after each further span.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.detectors import DetectorSettings, Evidence
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.mixture import POWERS
from streamdrift.detectors.watch import Watch
from streamdrift.durations import DAY, SECOND
from streamdrift.incidents.budget import Budget
from streamdrift.past_bins import Past
from streamdrift.readings import Readings
from streamdrift.records import (
    Change,
    Floats,
    Ints,
    Sample,
    State,
    Step,
    StepKind,
    Stream,
    Summary,
)
from streamdrift.references.findings import Code, Finding
from streamdrift.references.half_hours import HalfHours
from streamdrift.references.rhythm import (
    LEVEL,
    TREND,
    Follower,
    Rhythm,
    new_level,
    overdispersion,
)
from streamdrift.references.tracking import HALF_HOUR
from streamdrift.signals.volume import EVENT_RATE, Bins, Counted
from streamdrift.trees import array, integer, number, optional_integer, tree

_WEEK = 7 * DAY
_WEEKS_KEPT = 4
"""Spans of half hours that the rhythm is learned from at most."""
_FEWEST, _MOST, _LEARNED_IN = 300, 2_000, 3_600 * SECOND
"""Bins of a reference: as many as an hour has, within these."""
_SOON, _SOON_BINS = 3_600 * SECOND, 30
"""While the rhythm is not known, what a change became is the new normal after an hour, and after so
many bins: what it should have been by then nobody knows."""
_TRIFLE = math.log(1.07)
"""A change by a smaller factor is told to nobody."""
_DISCOUNT = 6
"""By so many sixths of a factor of 2 evidence counts less with each change that returned within a
week of another: such a rate has bursts that its reference did not show."""
_LEAST_LENGTH = 100.0
"""Bins for which a false alarm is allowed at the most often."""


@dataclass(frozen=True, slots=True)
class RateSettings:
    """What the event rate's watch needs to know of the model's settings."""

    detectors: tuple[DetectorSettings, ...]
    budget: Budget
    """Its part of the model's."""
    minimum_effect: float
    accept_after: int
    span: int
    zone: ZoneInfo

    def lengths(self, length: int) -> Lengths:
        """Return after how many bins of `length` microseconds a false alarm is allowed.

        It is weighed with no other signal, so no look at it is wanted.
        """
        alone = max(self.budget.period / length, _LEAST_LENGTH)
        return Lengths(np.array([alone]), np.array([np.inf]))

    @property
    def rhythm_after(self) -> int:
        """Event time after which the rhythm is learned."""
        return max(self.span, _WEEK)


class Volume:
    """The event rate of one model, over all its versions.

    `length` is that of bins, in microseconds, where it is known.
    """

    def __init__(self, model: str, settings: RateSettings, length: int = 0) -> None:
        self._model = model
        self._settings = settings
        self._seed = _seed_of(model)
        self._bins = Bins(length)
        self._past = Past.empty()
        self._level = new_level()
        self._follower: Follower | None = None
        """None until the length of bins is decided; so are the half hours."""
        self._half_hours: HalfHours | None = None
        self._due = 0
        """When the rhythm is learned next."""
        self._reference: Reference | None = None
        self._watch: Watch | None = None
        """None until there is a reference."""
        self._since: int | None = None
        """The bin at which the signal changed, while it is held."""
        self._asked_at: int | None = None
        """When an operator asked to accept that."""
        self._returned_at: int | None = None
        """When it returned from a change last."""
        self._power = 0
        """How far evidence is discounted at least; see `Expected.power`."""

    def observe(self, times: Ints) -> list[Step]:
        """Take the times int64[n] of the model's next events, ascending."""
        return self.take(self._bins.add(times))

    def advance(self, watermark: int) -> list[Step]:
        """Learn that no event is older than `watermark`."""
        return self.take(self._bins.advance(watermark))

    def pause(self, at: int) -> list[Step]:
        """Learn that the model is silent from `at` on: from there on nothing is counted."""
        steps = self.advance(at)
        self._bins.pause()
        return steps

    def take(self, counted: Counted) -> list[Step]:
        """Take the next bins that are complete."""
        steps: list[Step] = []
        if not len(counted):
            return steps
        if self._follower is None:
            self._begin(int(counted.bins[0]))
        begin = 0
        while begin < len(counted):
            bins, counts = counted.bins[begin:], counted.counts[begin:]
            size = self._block_size(bins)
            begin += self._take_block(bins[:size], counts[:size], steps)
        return steps

    def _begin(self, first: int) -> None:
        length, zone = self._bins.length, self._settings.zone
        since = first * length
        self._follower = Follower(length, Rhythm.unknown(zone, since, length), 0.0, self._seed)
        self._half_hours = self._new_half_hours(since)
        self._due = since // HALF_HOUR * HALF_HOUR + self._settings.rhythm_after

    def _new_half_hours(self, since: int) -> HalfHours:
        room = _WEEKS_KEPT * self._settings.rhythm_after // (DAY // 48)
        return HalfHours(self._bins.length, self._settings.zone, since, room)

    def _block_size(self, bins: Ints) -> int:
        """Return how many bins can be taken before something may have to be decided."""
        assert self._half_hours is not None
        size = self._half_hours.end_of(bins)
        if self._watch is None:
            size = min(size, self._wanted - len(self._past.bins))
        if self._since is not None:
            last = self._accept_at // self._bins.length - 1
            size = min(size, max(int(np.searchsorted(bins, last, side="right")), 1))
        return size

    @property
    def _wanted(self) -> int:
        """Bins that a reference waits for."""
        assert self._follower is not None
        learned = min(_LEARNED_IN // self._bins.length, _MOST)
        return max(learned, _FEWEST) + self._follower.settling

    @property
    def _accept_at(self) -> int:
        """When what the rate became is its new normal: at the end of a bin."""
        assert self._follower is not None
        assert self._since is not None
        length, after = self._bins.length, self._settings.accept_after
        if not self._follower.rhythm.known:
            after = min(max(_SOON, _SOON_BINS * length), after)
        due = (self._since + 1 - -after // length) * length
        return due if self._asked_at is None else min(due, -(-self._asked_at // length) * length)

    def _take_block(self, bins: Ints, counts: Ints, steps: list[Step]) -> int:
        """Take bins of one half hour; return how many were taken, up to a change or return."""
        assert self._half_hours is not None
        assert self._follower is not None
        length = self._bins.length
        another = self._half_hours.begin(int(bins[0]))
        if another and self._since is None and bins[0] * length >= self._due:
            self._learn_rhythm()
        sign = None
        if self._watch is None:
            levels = self._follower.follow(self._level, bins, counts, True).levels
        else:
            levels, sign = self._watch_block(self._watch, bins, counts)
            bins, counts = bins[: len(levels)], counts[: len(levels)]
        self._past.add(bins, counts, levels)
        self._half_hours.add(bins, counts, self._since is not None)
        end = (int(bins[-1]) + 1) * length
        if self._watch is None and len(self._past.bins) >= self._wanted:
            self._arm()
        if sign is not None:
            steps += self._told(sign, end)
        if self._since is not None and end >= self._accept_at:
            self._accept()
            steps.append(Step(StepKind.ACCEPTED, self._model, "", EVENT_RATE, end))
        return len(bins)

    def _watch_block(self, watch: Watch, bins: Ints, counts: Ints) -> tuple[Floats, Sign | None]:
        """Run up to the first sign; return the levels of the bins that were taken, and it.

        A rate that is about what it was is back also where it does not fit the reference: its
        level will have moved a little.
        """
        assert self._follower is not None
        held = bool(watch.held[0])
        level, state = self._level.copy(), watch.snapshot()
        followed = self._follower.follow(self._level, bins, counts, not held)
        signs = watch.update(followed.left[np.newaxis], bins * self._bins.length)
        back = self._back_at(bins, counts) if held else len(bins)
        if back < min((sign.column for sign in signs), default=len(bins)):
            signs = [Sign(back, 0, StepKind.RETURNED)]
        if not signs:
            return followed.levels, None
        taken = signs[0].column + 1
        if taken < len(bins):
            # What follows is another level's matter.
            self._level[:] = level
            watch.restore(state)
            followed = self._follower.follow(self._level, bins[:taken], counts[:taken], not held)
            signs[1:] = watch.update(followed.left[np.newaxis], bins[:taken] * self._bins.length)
        sign = signs[-1]
        if sign.kind is StepKind.RETURNED and watch.held[0]:
            self._rearm()
        return followed.levels, sign

    def _back_at(self, bins: Ints, counts: Ints) -> int:
        """Return at which of these bins the held rate is about what it was; len(bins) if none."""
        assert self._follower is not None
        assert self._since is not None
        held = self._past.since(self._since)
        return held.back_at(self._follower, float(self._level[LEVEL]), bins, counts)

    def _told(self, sign: Sign, time: int) -> list[Step]:
        """Return what is told of a change or return; nothing of a change that is a trifle."""
        change = None
        if sign.kind is StepKind.CHANGED:
            assert sign.evidence is not None
            change = self._change(sign, sign.evidence)
            factor = math.log(max(change.after.mean, 1e-9) / max(change.before.mean, 1e-9))
            if abs(factor) < _TRIFLE:
                self._overlook(factor, sign.evidence)
                return []
            self._since = int(self._past.bins[-1])
        else:
            self._return(time)
        return [Step(sign.kind, self._model, "", EVENT_RATE, time, change)]

    def accept(self, time: int) -> None:
        """Make what the rate became its new normal, at the end of a bin."""
        if self._since is not None and self._asked_at is None:
            self._asked_at = time

    def resolve(self, time: int) -> list[Step]:
        """Watch the rate again as before its change."""
        if self._since is None:
            return []
        assert self._watch is not None
        self._forget_change()
        self._watch.let_go(0)
        return [Step(StepKind.RESOLVED, self._model, "", EVENT_RATE, time)]

    def _forget_change(self) -> None:
        """Be as before the change."""
        assert self._half_hours is not None
        assert self._since is not None
        self._half_hours.returned()
        self._past = self._past.until(self._since)
        self._since = self._asked_at = None

    def _discounted(self, reference: Reference) -> Reference:
        """Return the same, by which evidence counts no more than returns have shown it may."""
        power = max(reference.expected.power, self._power)
        return replace(reference, expected=replace(reference.expected, power=power))

    def _overlook(self, factor: float, evidence: Evidence) -> None:
        """Go on at the level that the rate has; it moves faster than was thought."""
        assert self._follower is not None
        self._level[LEVEL] += factor
        rhythm = self._follower.rhythm.quicker(evidence.earliest, self._bins.length)
        self._follower = replace(self._follower, rhythm=rhythm)
        self._rearm()

    def _return(self, time: int) -> None:
        """Be as before the change; of a rate that comes and goes, evidence counts less."""
        assert self._reference is not None
        self._forget_change()
        if self._returned_at is not None and time < self._returned_at + _WEEK:
            self._power = min(self._reference.expected.power + _DISCOUNT, POWERS - 1)
            self._reference = self._discounted(self._reference)
            self._rearm()
        self._returned_at = time

    def _change(self, sign: Sign, evidence: Evidence) -> Change:
        """Return what changed; go back to the level before it."""
        assert self._follower is not None
        past = self._past
        self._level[LEVEL], self._level[TREND] = past.level_before(evidence), 0.0
        before, after = past.before_and_after(self._follower, float(self._level[LEVEL]), evidence)
        return Change(
            detector=sign.detector,
            statistic=evidence.statistic,
            threshold=evidence.threshold,
            effect=sign.effect,
            before=Summary(before),
            after=Summary(after),
            onset=past.onset(evidence, self._bins.length),
            share=sign.share,
        )

    def _accept(self) -> None:
        """Make what the rate became its new normal."""
        assert self._follower is not None
        assert self._half_hours is not None
        assert self._since is not None
        assert self._watch is not None
        assert self._reference is not None
        before = float(self._level[LEVEL])
        self._past = self._past.since(self._since)
        self._since = self._asked_at = None
        if len(self._past.bins) >= self._wanted:
            self._reference = self._learn()
        else:
            self._level = new_level()
            self._follower.follow(self._level, self._past.bins, self._past.counts, True)
        # Before the rhythm is known this may be part of it: half hours stay what they were.
        shift = float(self._level[LEVEL]) - before if self._follower.rhythm.known else 0.0
        self._half_hours.accepted(shift)
        self._rearm()

    def _rearm(self) -> None:
        assert self._watch is not None
        assert self._reference is not None
        lengths = self._settings.lengths(self._bins.length)
        self._watch.rearm(0, self._reference, float(lengths.alone[0]), float(lengths.patience[0]))

    def _learn_rhythm(self) -> None:
        """Learn the rhythm from half hours of the past; the first time, begin to watch by it."""
        assert self._follower is not None
        assert self._half_hours is not None
        first = not self._follower.rhythm.known
        self._due += self._settings.rhythm_after
        rhythm = self._half_hours.fit(self._settings.zone, self._follower.over)
        self._follower = replace(self._follower, rhythm=rhythm)
        if first and self._watch is not None:
            self._reference = self._learn()
            self._rearm()
            return
        self._level = new_level()
        self._past.levels = self._follower.follow(
            self._level, self._past.bins, self._past.counts, True
        ).levels

    def _arm(self) -> None:
        """Begin to watch: there are bins enough for a reference."""
        self._reference = self._learn()
        self._watch = self._new_watch(self._reference)

    def _new_watch(self, reference: Reference) -> Watch:
        return Watch(
            [self._settings.detectors],
            [reference],
            [self._seed],
            self._settings.lengths(self._bins.length),
            self._settings.minimum_effect,
        )

    def _learn(self) -> Reference:
        """Learn a reference, and the level, from the bins of the past."""
        assert self._follower is not None
        past = self._past
        plain = replace(self._follower, over=0.0).follow(new_level(), past.bins, past.counts, True)
        over = overdispersion(plain.left[~np.isnan(plain.left)], float(past.counts.mean()))
        self._follower = replace(self._follower, over=over)
        self._level = new_level()
        followed = self._follower.follow(self._level, past.bins, past.counts, True)
        past.levels = followed.levels
        left = followed.left[~np.isnan(followed.left)]
        return self._discounted(learn(Sample(Stream.NUMERIC, left), seed=self._seed))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What people should know of the reference."""
        if self._reference is None:
            return ()
        # How many bins a reference has, and no cycle can be longer than, is the same everywhere.
        every = (Code.SHORT, Code.SLOW_CYCLES)
        found = [each for each in self._reference.findings if each.code not in every]
        return (*found, *(self._watch.findings(0) if self._watch is not None else ()))

    @property
    def length(self) -> int:
        """Microseconds that a bin lasts; 0 before that is decided."""
        return self._bins.length

    @property
    def is_watched(self) -> bool:
        """Whether there is a reference."""
        return self._watch is not None

    @property
    def rhythm(self) -> Rhythm | None:
        """What the rate is held against; None before its bins are decided."""
        return None if self._follower is None else self._follower.rhythm

    def readings(self) -> Sequence[Readings]:
        """Return every detector's statistic and threshold, nothing before there is a reference."""
        if self._watch is None:
            return ()
        banks = self._watch.readings()
        return (Readings.of(self._model, "", (EVENT_RATE,), self._watch.held, banks),)

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        follower = self._follower
        return {
            "bins": self._bins.snapshot(),
            "past": self._past.snapshot(),
            "level": self._level.copy(),
            "rhythm": None if follower is None else follower.rhythm.snapshot(),
            "over": 0.0 if follower is None else follower.over,
            "half_hours": None if self._half_hours is None else self._half_hours.snapshot(),
            "due": self._due,
            "reference": None if self._reference is None else self._reference.snapshot(),
            "watch": None if self._watch is None else self._watch.snapshot(),
            "since": self._since,
            "asked_at": self._asked_at,
            "returned_at": self._returned_at,
            "power": self._power,
        }

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self._bins.restore(tree(state, "bins"))
        self._past = Past.restore(tree(state, "past"))
        self._level = array(state, "level").astype(np.float64)
        self._due, self._since = integer(state, "due"), optional_integer(state, "since")
        self._returned_at = optional_integer(state, "returned_at")
        self._asked_at = optional_integer(state, "asked_at")
        self._power = integer(state, "power")
        if isinstance(state["rhythm"], Mapping):
            rhythm = Rhythm.restore(tree(state, "rhythm"))
            over = number(state, "over")
            self._follower = Follower(self._bins.length, rhythm, over, self._seed)
            self._half_hours = self._new_half_hours(self._due - self._settings.rhythm_after)
            self._half_hours.restore(tree(state, "half_hours"))
        if isinstance(state["watch"], Mapping):
            self._reference = Reference.restore(tree(state, "reference"))
            self._watch = self._new_watch(self._reference)
            self._watch.restore(tree(state, "watch"))


def _seed_of(model: str) -> int:
    """Return the seed of the coins of a model's event rate."""
    digest = blake2b(
        f"{model}\0event rate".encode("utf-8", "surrogatepass"), digest_size=7
    ).digest()
    return int.from_bytes(digest, "little")
