"""A model version whose reference is complete: from its events to its signals' steps."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamdrift.changes import Change, Effect, Step, StepKind
from streamdrift.columns import cut
from streamdrift.detectors import Evidence
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference
from streamdrift.detectors.registry import extrapolations
from streamdrift.detectors.watch import Watch
from streamdrift.distributions import Distribution, of_rate
from streamdrift.durations import SECOND
from streamdrift.models.first_references import signal_seed
from streamdrift.models.held_signals import HeldSignals, Since
from streamdrift.models.rhythms import Rhythms, learn_first
from streamdrift.models.version_signals import VersionSignals
from streamdrift.models.watch_settings import WatchSettings
from streamdrift.readings import Readings
from streamdrift.records import (
    Batch,
    ColumnKey,
    Floats,
    Group,
    Ints,
    Signal,
    State,
    Stream,
)
from streamdrift.references.findings import Finding, codes_of
from streamdrift.references.occasions import Occasions
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.marks import STRIDE, Marks
from streamdrift.signals.roles import Role
from streamdrift.trees import array, integer, lists, number, optional_integer, tree, trees

BLOCK = 2_048
"""Events whose signals are computed at once: small enough for the processor's cache."""


class Watching:
    """The signals of one model version, their detectors, and where they are in the stream.

    `signals` are those of `columns`, as `signals_of` gave them for all of the version's;
    `references` are what they are held against, and `present` float64[s] the part of the events
    that have a value of each. These and the `pace`, how many events the model brings in a
    microsecond, set the run lengths. `rhythms` are those of signals whose references are
    provisional.
    """

    def __init__(
        self,
        model: str,
        version: str,
        settings: WatchSettings,
        columns: Sequence[ColumnSignals],
        roles: Mapping[ColumnKey, Role],
        signals: Sequence[Signal],
        references: Sequence[Reference],
        present: Floats,
        pace: float,
        rhythms: Mapping[int, Occasions],
    ) -> None:
        self._model = model
        self._version = version
        self._settings = settings
        self._columns = VersionSignals(columns, settings.private)
        self.roles = roles
        self.signals = tuple(signals)
        self._references = list(references)
        self._present = present.copy()
        self.pace = pace
        self._seeds = [signal_seed(model, version, signal) for signal in self.signals]
        self._watch = Watch(
            [settings.detectors(signal) for signal in self.signals],
            self._references,
            self._seeds,
            self._lengths(),
            settings.minimum_effect,
            settings.together,
        )
        self._marks = Marks(len(self.signals))
        self._ordinal = 0
        self._held = HeldSignals(settings.room)
        self._rhythms = Rhythms(settings.zone, settings.room)
        for ordinal, rhythm in rhythms.items():
            self._rhythms.begin(ordinal, rhythm)
        self._codes: tuple[tuple[str, str], ...] | None = None
        """What was found, as long as it stays so: to look at all references takes long."""
        self._second: int | None = None
        """The second of the last event, until it has been looked at."""

    def observe(self, batch: Batch) -> list[Step]:
        """Take the version's next events, in order; return what its signals did."""
        steps: list[Step] = []
        begin = 0
        while begin < len(batch):
            end = self._block_end(batch.time, begin)
            steps += self._observe_block(cut(batch, begin, end))
            begin = end
        return steps

    def advance(self, watermark: int) -> list[Step]:
        """Learn that no event is older than `watermark`: a second may be over."""
        if self._second is None or watermark < (self._second + 1) * SECOND:
            return []
        over, self._second = (self._second + 1) * SECOND, None
        # All of the last block is before it, however long that was.
        return [self._step(sign, over, BLOCK) for sign in self._watch.look()]

    def _block_end(self, time: Ints, begin: int) -> int:
        """Return where a block must end so that acceptance falls on a fixed ordinal.

        A block spans less than `accept_after`, so nothing that changes in it is due in it;
        once something is due, blocks end at multiples of STRIDE, where it is decided.
        """
        accept_after = self._settings.hold.accept_after
        span = int(np.searchsorted(time, time[begin] + accept_after))
        end = min(len(time), begin + BLOCK, max(span, begin + 1))
        due = self._held.due(accept_after)
        events, last = self._ordinal + end - begin, int(time[end - 1])
        whole = self._rhythms.due(self._watch.held, events, last)
        if whole is not None or (due is not None and last >= due):
            end = min(end, begin + STRIDE - self._ordinal % STRIDE)
        return end

    def _observe_block(self, batch: Batch) -> list[Step]:
        rows = self._columns.fill(batch)
        seconds = batch.time // SECOND
        before = seconds[0] if self._second is None else self._second
        befores = np.concatenate([[before], seconds[:-1]])
        steps = []
        added = 0
        held = self._watch.held.copy()
        signs = self._watch.update(rows, batch.time, np.flatnonzero(seconds > befores))
        for sign in sorted(signs, key=lambda sign: (_stop(sign), sign.signal)):
            self._marks.add(batch, rows, added, _stop(sign))
            added = _stop(sign)
            over = (int(befores[sign.column]) + 1) * SECOND
            time = over if sign.kind in _AT_LOOKS else int(batch.time[sign.column])
            steps.append(self._step(sign, time, added - 1))
        self._marks.add(batch, rows, added, len(batch))
        self._second = int(seconds[-1])
        self._held.add(self._columns, rows, batch.time)
        self._rhythms.add(batch.time, rows, held, signs, self._ordinal, BLOCK)
        self._ordinal += len(batch)
        if self._held and self._ordinal % STRIDE == 0:
            steps += self._accept(int(batch.time[-1]))
        if self._rhythms and self._ordinal % STRIDE == 0:
            self._complete(int(batch.time[-1]))
        return steps

    def _complete(self, time: int) -> None:
        """Make one provisional reference whole, if its span is over."""
        found = self._rhythms.complete(self._watch.held, self._ordinal, time, self._seeds)
        if found is not None:
            ordinal, reference = found
            self._references[ordinal] = reference
            self._rearm(ordinal)

    def _rearm(self, ordinal: int) -> None:
        """Watch a signal by its reference from now on."""
        self._codes = None
        lengths = self._lengths()
        figures = float(lengths.alone[ordinal]), float(lengths.patience[ordinal])
        self._watch.rearm(ordinal, self._references[ordinal], *figures)

    def completed(self) -> Sequence[tuple[Signal, tuple[Finding, ...]]]:
        """Return signals whose references became whole, and what was found: once each.

        Those of which others follow at once wait for them.
        """
        completed = self._rhythms.completed()
        return [(self.signals[each], self._references[each].findings) for each in completed]

    def _step(self, sign: Sign, time: int, last: int) -> Step:
        """Return what a sign says; `last` is the last column of the block it is about.

        It is -1 where the sign is about what was before, and may lie beyond the block's end.
        """
        change = None
        if sign.evidence is not None and sign.effect is not None:
            change = self._change(sign, sign.evidence, sign.effect, time, last)
        if sign.kind is StepKind.RETURNED:
            self._held.let_go(sign.signal)
            self._codes = None
        if sign.kind is StepKind.CHANGED:
            begin = sign.column + 1
            self._held.hold(sign.signal, time, self._ordinal + begin, begin)
        signal = self.signals[sign.signal]
        return Step(sign.kind, self._model, self._version, signal, time, change)

    def _change(
        self, sign: Sign, evidence: Evidence, effect: Effect, time: int, last: int
    ) -> Change:
        expected, reference = self._watch.expected(sign.signal), self._references[sign.signal]
        before, after = self._columns.describe(
            sign.signal, expected, reference, effect, last, evidence.age
        )
        position = self._marks.position(sign.signal) - 1
        onset = self._marks.onset(
            sign.signal, position - evidence.earliest, position - evidence.latest, time
        )
        return sign.change(before, after, onset)

    def _accept(self, time: int) -> list[Step]:
        """Make the new normal of what changed long enough ago their reference.

        One that has shown no value for as long keeps the reference it had: what is not
        there cannot return, and would keep its incident open for ever.
        """
        accept_after = self._settings.hold.accept_after
        steps = []
        for ordinal in self._held:
            since = self._held.get(ordinal)
            if since is None or time < since.due(accept_after):
                continue
            touched = [ordinal]
            if since.values.seen >= self._settings.hold.accept_events:
                touched = self._relearn(ordinal, since, time)
            elif time < since.changed_at + accept_after or time <= since.seen_at + accept_after:
                continue
            for other in touched:
                self._rearm(other)
                if self._held.let_go(other):
                    signal = self.signals[other]
                    step = Step(StepKind.ACCEPTED, self._model, self._version, signal, time)
                    steps.append(step)
        return steps

    def _relearn(self, ordinal: int, since: Since, time: int) -> list[int]:
        """Learn a signal's reference, and those that hang on it, anew; return which these are."""
        settings, touched = self._settings, []
        events = self._ordinal - since.ordinal
        pace = events / max(time - since.changed_at, SECOND)
        self._present[ordinal] = since.values.seen / events
        for place, sample in self._columns.accept(ordinal, since.values.values()).items():
            rate = float(self._present[place]) * pace
            seed, times = self._seeds[place], since.values.times()
            learnt = learn_first(sample, times, settings.zone, seed, settings.span, rate)
            self._references[place] = learnt.reference
            self._rhythms.begin(place, learnt.rhythm)
            touched.append(place)
        return touched

    def _lengths(self) -> Lengths:
        return self._settings.lengths(self.signals, self._present * self.pace)

    def go_at(self, pace: float) -> None:
        """Watch at another pace from now on: run lengths follow, what is summed up stays."""
        self.pace = pace
        self._codes = None
        self._watch.allow(self._lengths())

    def accept(self, through: int, time: int) -> None:
        """Make the new normal of what changed by then its reference, once it has shown enough."""
        self._held.ask(through, time)

    def resolve(self, through: int, time: int) -> list[Step]:
        """Watch what changed by then again, under the references it has."""
        steps = []
        for ordinal in self._held.changed_by(through):
            self._held.let_go(ordinal)
            self._watch.let_go(ordinal)
            signal = self.signals[ordinal]
            steps.append(Step(StepKind.RESOLVED, self._model, self._version, signal, time))
        return steps

    def retire(self, time: int) -> list[Step]:
        """Let go of all that is held, or a candidate, as the version sends nothing any more."""
        left = [(ordinal, StepKind.RETURNED) for ordinal in self._held]
        left += [(ordinal, StepKind.WITHDRAWN) for ordinal in self._watch.candidates]
        return [
            Step(kind, self._model, self._version, self.signals[ordinal], time)
            for ordinal, kind in sorted(left)
        ]

    @property
    def run_lengths(self) -> Floats:
        """After how many of its own values each signal may raise a false alarm alone."""
        return self._lengths().alone

    @property
    def findings(self) -> list[tuple[Signal, tuple[Finding, ...]]]:
        """What people should know of signals, where there is anything: most of it of references."""
        found = []
        lengths = self.run_lengths.tolist()
        for place, (signal, each) in enumerate(zip(self.signals, self._references, strict=True)):
            chosen = self._settings.detectors(signal)
            own = [
                *each.findings,
                *self._watch.findings(place),
                *extrapolations(chosen, each.expected, lengths[place]),
            ]
            if own:
                found.append((signal, tuple(own)))
        return found

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """The kinds of the findings, each once a signal; of signals that are the same, the same."""
        if self._codes is None:
            self._codes = codes_of((signal.name, found) for signal, found in self.findings)
        return self._codes

    @property
    def changes(self) -> list[tuple[Signal, int, int]]:
        """Signals that are changed, since when, and how many values there were since."""
        return [
            (self.signals[ordinal], since.changed_at, since.values.seen)
            for ordinal, since in self._held.items()
        ]

    def distribution(self, signal: Signal) -> Distribution | None:
        """Return what a signal shows beside its reference: since its change, or the last values.

        None where people are to see no values of its column; how often something is so they may.
        """
        place = self.signals.index(signal)
        since = self._held.get(place)
        changed_at = None if since is None else since.changed_at
        values = None if since is None else since.values.values()
        reference, expected = self._references[place], self._watch.expected(place)
        if expected.stream is Stream.RATE:
            ones, count = self._watch.recent_ones(place)
            if values is not None:
                ones, count = self._columns.ones_of(place, values), len(values)
            return of_rate(expected.ones, ones, count, changed_at)
        shape = reference.counts if reference.shape is None else reference.shape
        return self._columns.distribution(place, shape, values, changed_at)

    def readings(self) -> Readings:
        """Return every detector's statistic and threshold."""
        banks = self._watch.readings()
        return Readings.of(self._model, self._version, self.signals, self._watch.held, banks)

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "columns": self._columns.snapshot(),
            "roles": [[key.group.value, key.name, role.value] for key, role in self.roles.items()],
            "references": [reference.snapshot() for reference in self._references],
            "present": self._present.copy(),
            "pace": self.pace,
            "watch": self._watch.snapshot(),
            "marks": self._marks.snapshot(),
            "ordinal": self._ordinal,
            "second": self._second,
            "since": self._held.snapshot(),
            **self._rhythms.snapshot(),
        }

    @classmethod
    def restore(
        cls,
        model: str,
        version: str,
        settings: WatchSettings,
        columns: Sequence[ColumnSignals],
        signals: Sequence[Signal],
        state: State,
    ) -> tuple["Watching", Sequence[Signal]]:
        """Return what `snapshot` was taken of, with the columns that `restore_columns` gave.

        Beside it, the signals whose detectors start afresh: the settings give them others.
        """
        roles = {
            ColumnKey(Group(group), name): Role(role) for group, name, role in lists(state, "roles")
        }
        references = [Reference.restore(each) for each in trees(state, "references")]
        present, pace = array(state, "present").astype(np.float64), number(state, "pace")
        watching = cls(
            model, version, settings, columns, roles, signals, references, present, pace, {}
        )
        watching._rhythms.restore(state)
        restarted = watching._watch.restore(tree(state, "watch"))
        watching._marks.restore(tree(state, "marks"))
        watching._ordinal = integer(state, "ordinal")
        watching._second = optional_integer(state, "second")
        watching._held.restore(lists(state, "since"))
        return watching, [watching.signals[signal] for signal in restarted]


_AT_LOOKS = frozenset({StepKind.CANDIDATE, StepKind.WITHDRAWN})


def _stop(sign: Sign) -> int:
    """Return the column before which all is that a sign is about."""
    return sign.column if sign.kind in _AT_LOOKS else sign.column + 1
