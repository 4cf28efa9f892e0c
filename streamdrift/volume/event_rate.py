"""The event rate of a model: from its events to the steps of one signal, of no version.

Events are counted in bins of event time. What the rhythm leaves of a count is a signal like any
other: it has a reference, detectors and a hold. In its first hours a model's rhythm of day and week
cannot be known; then the rate is held against its own last minutes, and only what is sudden is a
change. When the span of a reference is over, the rate is held against the rhythm that it showed,
which is looked at again after each further span.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamdrift.changes import Change, Step, StepKind, Summary
from streamdrift.detectors import Evidence
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.mixture import POWERS
from streamdrift.detectors.watch import Watch
from streamdrift.durations import SECOND
from streamdrift.readings import Readings
from streamdrift.records import Floats, Ints, Sample, State
from streamdrift.references.findings import Code, Finding
from streamdrift.references.rhythm import Rhythm
from streamdrift.seeds import seed_of
from streamdrift.signals.volume import EVENT_RATE, Bins, Counted
from streamdrift.trees import integer, optional_integer, tree
from streamdrift.volume.baseline import Baseline, nothing_expected
from streamdrift.volume.settings import WEEK, RateSettings

_SOON, _SOON_BINS = 3_600 * SECOND, 30
"""While the rhythm is not known, what a change became is the new normal after an hour, and after so
many bins: what it should have been by then nobody knows."""
_TRIFLE = math.log(1.07)
"""A change by a smaller factor is told to nobody."""
_DISCOUNT = 6
"""By so many sixths of a factor of 2 evidence counts less with each change that returned within a
week of another: such a rate has bursts that its reference did not show."""


class Volume:
    """The event rate of one model, over all its versions.

    `length` is that of bins, in microseconds, where it is known.
    """

    def __init__(self, model: str, settings: RateSettings, length: int = 0) -> None:
        self._model = model
        self._settings = settings
        self._seed = seed_of(model, "event rate")
        self._bins = Bins(length)
        self._baseline: Baseline | None = None
        """None until the length of bins is decided."""
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
        if self._baseline is None:
            first = int(counted.bins[0])
            self._baseline = Baseline.begin(self._settings, self._bins.length, first, self._seed)
        begin = 0
        while begin < len(counted):
            bins, counts = counted.bins[begin:], counted.counts[begin:]
            size = self._block_size(self._baseline, bins)
            begin += self._take_block(self._baseline, bins[:size], counts[:size], steps)
        return steps

    def _block_size(self, baseline: Baseline, bins: Ints) -> int:
        """Return how many bins can be taken before something may have to be decided."""
        size = baseline.end_of_half_hour(bins)
        if self._watch is None:
            size = min(size, baseline.missing)
        if self._since is not None:
            last = self._accept_at(baseline, self._since) // self._bins.length - 1
            size = min(size, max(int(np.searchsorted(bins, last, side="right")), 1))
        return size

    def _accept_at(self, baseline: Baseline, since: int) -> int:
        """Return when what the rate became is its new normal: at the end of a bin."""
        length, after = self._bins.length, self._settings.accept_after
        if not baseline.rhythm.known:
            after = min(max(_SOON, _SOON_BINS * length), after)
        due = (since + 1 - -after // length) * length
        return due if self._asked_at is None else min(due, -(-self._asked_at // length) * length)

    def _take_block(self, baseline: Baseline, bins: Ints, counts: Ints, steps: list[Step]) -> int:
        """Take bins of one half hour; return how many were taken, up to a change or return."""
        if baseline.come_to(int(bins[0])) and self._since is None:
            self._learn_rhythm(baseline)
        sign = None
        if self._watch is None:
            levels = baseline.follow(bins, counts, learn=True).levels
        else:
            levels, sign = self._watch_block(baseline, self._watch, bins, counts)
            bins, counts = bins[: len(levels)], counts[: len(levels)]
        baseline.take(bins, counts, levels, held=self._since is not None)
        end = (int(bins[-1]) + 1) * self._bins.length
        if self._watch is None and baseline.missing <= 0:
            self._arm(baseline)
        if sign is not None:
            steps += self._told(baseline, sign, end)
        if self._since is not None and end >= self._accept_at(baseline, self._since):
            self._accept(baseline, self._since)
            steps.append(Step(StepKind.ACCEPTED, self._model, "", EVENT_RATE, end))
        return len(bins)

    def _watch_block(
        self, baseline: Baseline, watch: Watch, bins: Ints, counts: Ints
    ) -> tuple[Floats, Sign | None]:
        """Run up to the first sign; return the levels of the bins that were taken, and it.

        A rate that is about what it was is back also where it does not fit the reference: its
        level will have moved a little.
        """
        held = bool(watch.held[0])
        level, state = baseline.level(), watch.snapshot()
        followed = baseline.follow(bins, counts, learn=not held)
        signs = watch.update(followed.left[np.newaxis], bins * self._bins.length)
        back = len(bins)
        if held:
            assert self._since is not None
            back = baseline.back_at(self._since, bins, counts)
        if back < min((sign.column for sign in signs), default=len(bins)):
            signs = [Sign(back, 0, StepKind.RETURNED)]
        if not signs:
            return followed.levels, None
        taken = signs[0].column + 1
        if taken < len(bins):
            # What follows is another level's matter.
            baseline.go_back(level)
            watch.restore(state)
            followed = baseline.follow(bins[:taken], counts[:taken], learn=not held)
            signs[1:] = watch.update(followed.left[np.newaxis], bins[:taken] * self._bins.length)
        sign = signs[-1]
        if sign.kind is StepKind.RETURNED and watch.held[0]:
            self._rearm()
        return followed.levels, sign

    def _told(self, baseline: Baseline, sign: Sign, time: int) -> list[Step]:
        """Return what is told of a change or return; nothing of a change that is a trifle."""
        change = None
        if sign.kind is StepKind.CHANGED:
            assert sign.evidence is not None
            change = self._change(baseline, sign, sign.evidence)
            factor = math.log(max(change.after.mean, 1e-9) / max(change.before.mean, 1e-9))
            if abs(factor) < _TRIFLE:
                baseline.hurry(factor, sign.evidence)
                self._rearm()
                return []
            self._since = int(baseline.past.bins[-1])
        else:
            self._return(baseline, time)
        return [Step(sign.kind, self._model, "", EVENT_RATE, time, change)]

    def accept(self, time: int) -> None:
        """Make what the rate became its new normal, at the end of a bin."""
        if self._since is not None and self._asked_at is None:
            self._asked_at = time

    def resolve(self, time: int) -> list[Step]:
        """Watch the rate again as before its change."""
        if self._since is None:
            return []
        assert self._baseline is not None
        assert self._watch is not None
        self._forget_change(self._baseline)
        self._watch.let_go(0)
        return [Step(StepKind.RESOLVED, self._model, "", EVENT_RATE, time)]

    def _forget_change(self, baseline: Baseline) -> None:
        """Be as before the change."""
        assert self._since is not None
        baseline.forget(self._since)
        self._since = self._asked_at = None

    def _return(self, baseline: Baseline, time: int) -> None:
        """Be as before the change; of a rate that comes and goes, evidence counts less."""
        assert self._reference is not None
        self._forget_change(baseline)
        if self._returned_at is not None and time < self._returned_at + WEEK:
            self._power = min(self._reference.expected.power + _DISCOUNT, POWERS - 1)
            self._reference = self._discounted(self._reference)
            self._rearm()
        self._returned_at = time

    def _discounted(self, reference: Reference) -> Reference:
        """Return the same, by which evidence counts no more than returns have shown it may."""
        power = max(reference.expected.power, self._power)
        return replace(reference, expected=replace(reference.expected, power=power))

    def _change(self, baseline: Baseline, sign: Sign, evidence: Evidence) -> Change:
        """Return what changed; go back to the level before it."""
        before, after = baseline.before_and_after(evidence)
        onset = baseline.past.onset(evidence, self._bins.length)
        return sign.change(Summary(before), Summary(after), onset)

    def _accept(self, baseline: Baseline, since: int) -> None:
        """Make what the rate became its new normal."""
        self._since = self._asked_at = None
        sample = baseline.accept(since)
        if sample is not None:
            self._reference = self._learn(sample)
        self._rearm()

    def _learn_rhythm(self, baseline: Baseline) -> None:
        """Learn the rhythm; the first time, begin to watch by it."""
        first = not baseline.rhythm.known
        baseline.learn_rhythm()
        if first and self._watch is not None:
            self._reference = self._learn(baseline.learn())
            self._rearm()
            return
        baseline.find_level()

    def _learn(self, sample: Sample) -> Reference:
        return self._discounted(learn(sample, seed=self._seed))

    def _arm(self, baseline: Baseline) -> None:
        """Begin to watch: there are bins enough for a reference."""
        self._reference = self._learn(baseline.learn())
        self._watch = self._new_watch(self._reference)

    def _rearm(self) -> None:
        assert self._watch is not None
        assert self._reference is not None
        lengths = self._settings.lengths(self._bins.length)
        self._watch.rearm(0, self._reference, float(lengths.alone[0]), float(lengths.patience[0]))

    def _new_watch(self, reference: Reference) -> Watch:
        return Watch(
            [self._settings.detectors],
            [reference],
            [self._seed],
            self._settings.lengths(self._bins.length),
            self._settings.minimum_effect,
        )

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
        return None if self._baseline is None else self._baseline.rhythm

    def readings(self) -> Sequence[Readings]:
        """Return every detector's statistic and threshold, nothing before there is a reference."""
        if self._watch is None:
            return ()
        banks = self._watch.readings()
        return (Readings.of(self._model, "", (EVENT_RATE,), self._watch.held, banks),)

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "bins": self._bins.snapshot(),
            **(nothing_expected() if self._baseline is None else self._baseline.snapshot()),
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
        self._baseline = Baseline.restore(self._settings, self._bins.length, self._seed, state)
        self._since, self._power = optional_integer(state, "since"), integer(state, "power")
        self._returned_at = optional_integer(state, "returned_at")
        self._asked_at = optional_integer(state, "asked_at")
        if isinstance(state["watch"], Mapping):
            self._reference = Reference.restore(tree(state, "reference"))
            self._watch = self._new_watch(self._reference)
            self._watch.restore(tree(state, "watch"))
