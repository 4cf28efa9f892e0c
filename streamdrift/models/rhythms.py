"""Provisional references, and what makes them whole: each signal's rhythm, learnt over the span."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.changes import StepKind
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.learning_rates import slow_level
from streamdrift.records import Bools, Floats, Ints, Sample, State, Stream
from streamdrift.references.exact import find_exact
from streamdrift.references.findings import Code, Finding
from streamdrift.references.front import LEAST
from streamdrift.references.occasions import Occasions, first_gain, quarters, shown_within
from streamdrift.references.slow import Given, lattice_of
from streamdrift.signals.collector import Latest
from streamdrift.trees import array, flag, integer, tree, trees


class Learnt(NamedTuple):
    """A signal's reference; where that is provisional, what will make it whole."""

    reference: Reference
    rhythm: Occasions | None = None


def learn_first(
    sample: Sample, times: Ints, zone: ZoneInfo, seed: int, span: int, rate: float
) -> Learnt:
    """Learn a reference from a sample whose values came at `times` int64[n].

    It is provisional where they do not cover `span` microseconds. `rate` is how many values come
    in one.
    """
    covered = int(times[-1] - times[0]) if len(times) else span
    if sample.stream is Stream.CATEGORY or covered >= span or rate <= 0:
        return Learnt(learn(sample, times, zone, seed))
    if sample.stream is Stream.RATE:
        return _learn_first_rate(sample, times, zone, seed, span, rate)
    finite = sample.values[np.isfinite(sample.values)]
    if len(finite) < LEAST or finite.min() == finite.max():
        return Learnt(learn(sample, times, zone, seed))
    if find_exact(finite) is not None:
        # What is told exactly has no rhythm beside.
        return Learnt(learn(sample, times, zone, seed))
    lattice = lattice_of(finite)
    if lattice is None:
        found = learn(sample, times, zone, seed)
        return Learnt(replace(found, findings=(Finding(Code.REPEATS), *found.findings)))
    found = learn(sample, times, zone, seed, Given(first_gain(rate), lattice, seed))
    return _provisional(found, times, zone, span, rate, len(finite))


def _learn_first_rate(
    sample: Sample, times: Ints, zone: ZoneInfo, seed: int, span: int, rate: float
) -> Learnt:
    """Learn a rate's first reference; one that is always 0, or always 1, has no rhythm."""
    if sample.order is None or not sample.values.all():
        return Learnt(learn(sample, times, zone, seed))
    given = slow_level(1 / first_gain(rate), Expected.of_rate(*sample.values.tolist()).scale, seed)
    found = learn(sample, times, zone, seed, given)
    if found.front is None:
        return Learnt(found)
    return _provisional(found, times, zone, span, rate, int(sample.values.sum()), flags=True)


def _provisional(
    found: Reference,
    times: Ints,
    zone: ZoneInfo,
    span: int,
    rate: float,
    size: int,
    flags: bool = False,
) -> Learnt:
    """Return a reference of `size` values that is provisional, and what will make it whole."""
    assert found.front is not None
    within, until = shown_within(rate, size), int(times[0]) + span
    covered = float(times[-1] - times[0])
    figures = {"covered": covered, "until": float(until), "shown": within / rate}
    findings = Finding(Code.PROVISIONAL, figures), *found.findings
    first, _ = found.front.slow
    rhythm = Occasions(found.front.parameters[:first], zone, int(times[-1]), until, rate, flags)
    return Learnt(replace(found, findings=findings, within=within), rhythm)


@dataclass(slots=True)
class _Learning:
    rhythm: Occasions
    latest: Latest
    """Its last values, kept from shortly before the span is over."""
    not_before: int
    """The ordinal of the version's event before which nothing is decided."""


class Rhythms:
    """The rhythms of a version's signals that are being learnt.

    `room` is how many of its last values a reference is made from.
    """

    def __init__(self, zone: ZoneInfo, room: int) -> None:
        self._zone = zone
        self._room = room
        self._learning: dict[int, _Learning] = {}
        self._completed: list[int] = []
        """Signals whose references became whole, and are not told yet."""
        self._following = False
        """Whether further references are about to become whole."""

    def __len__(self) -> int:
        return len(self._learning)

    def begin(self, signal: int, rhythm: Occasions | None) -> None:
        """Learn this of a signal from now on, or nothing more."""
        self._learning.pop(signal, None)
        if rhythm is not None:
            self._learning[signal] = _Learning(rhythm, Latest(self._room), 0)

    def add(
        self, times: Ints, rows: Floats, held: Bools, signs: Sequence[Sign], events: int, wait: int
    ) -> None:
        """Take the values float64[s, n] of events at `times`, of which `events` were before.

        `held` says which signals were held before them, `signs` what they did in them. `wait` is
        for how many events after a return nothing is decided.
        """
        if not self._learning:
            return
        days, places = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
        first = next(iter(self._learning.values())).rhythm
        offsets = first.offsets
        quarters(times, offsets, days, places)
        nothing = np.zeros(len(times))
        touched, last = {sign.signal for sign in signs}, int(times[-1])
        for signal, each in self._learning.items():
            changed = nothing
            if held[signal] or signal in touched:
                changed = _changed(len(times), bool(held[signal]), signal, signs)
                returned = [
                    sign.column
                    for sign in signs
                    if sign.signal == signal and sign.kind is StepKind.RETURNED
                ]
                if returned:
                    each.not_before = events + returned[-1] + 1 + wait
            each.rhythm.add(rows[signal], days, places, changed)
            collect_from = each.rhythm.collect_from(self._room)
            if collect_from > last:
                continue
            begin = int(np.searchsorted(times, collect_from))
            there = begin + np.flatnonzero(~np.isnan(rows[signal, begin:]) & (changed[begin:] == 0))
            if len(there):
                each.latest.add(rows[signal, there], times[there])

    def due(self, held: Bools, events: int, time: int) -> int | None:
        """Return the first signal whose span is over at `time`, behind `events` events."""
        for signal in sorted(self._learning):
            each = self._learning[signal]
            over = each.rhythm.until <= time and each.not_before <= events
            if over and not held[signal]:
                return signal
        return None

    def complete(
        self, held: Bools, events: int, time: int, seeds: Sequence[int]
    ) -> tuple[int, Reference] | None:
        """Make one reference whole, if its span is over: fitting takes a while.

        Returns the signal, and its whole reference, if there is one.
        """
        signal = self.due(held, events, time)
        if signal is None:
            self._following = False
            return None
        reference = self._finish(signal, seeds[signal])
        if reference is not None:
            self._completed.append(signal)
        self._following = self.due(held, events, time) is not None
        return None if reference is None else (signal, reference)

    def completed(self) -> Sequence[int]:
        """Return signals whose references became whole: once each.

        Those of which others follow at once wait for them.
        """
        if self._following:
            return ()
        completed, self._completed = self._completed, []
        return completed

    def _finish(self, signal: int, seed: int) -> Reference | None:
        """Return a signal's whole reference; None, and begin anew, where it showed too little."""
        rhythm, latest = self._learning[signal].rhythm, self._learning[signal].latest
        given = rhythm.given(seed)
        values = latest.values()
        if given is None or len(values) < LEAST:
            self.begin(signal, rhythm.again())
            return None
        del self._learning[signal]
        sample = Sample(Stream.NUMERIC, values)
        known: Given | None = given
        if rhythm.flags:
            ones = given.size * given.level
            sample = Sample(Stream.RATE, np.array([given.size - ones, ones]), order=values)
            # One that keeps its level, whatever the hour, is watched as if there were no time.
            known = None if given.gain == 0.0 and given.calendar is None else given
        found = learn(sample, latest.times(), self._zone, seed, known)
        if given.gain == 0.0:
            return found
        within = shown_within(rhythm.rate, len(values))
        over = 1.0 / given.gain / rhythm.rate
        figures = {"over": over, "shown": within / rhythm.rate}
        return replace(
            found, findings=(Finding(Code.FOLLOWED, figures), *found.findings), within=within
        )

    def snapshot(self) -> State:
        """Return everything that is being learnt, and what is not told yet."""
        learning: list[State] = [
            {
                "signal": signal,
                "rhythm": each.rhythm.snapshot(),
                "latest": each.latest.snapshot(),
                "not_before": each.not_before,
            }
            for signal, each in sorted(self._learning.items())
        ]
        return {
            "rhythms": {"learning": learning},
            "completed": np.array(self._completed, dtype=np.int64),
            "following": self._following,
        }

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        for each in trees(tree(state, "rhythms"), "learning"):
            latest = Latest(self._room)
            latest.restore(tree(each, "latest"))
            rhythm = Occasions.restore(tree(each, "rhythm"), self._zone)
            signal = integer(each, "signal")
            self._learning[signal] = _Learning(rhythm, latest, integer(each, "not_before"))
        self._completed = array(state, "completed").tolist()
        self._following = flag(state, "following")


def _changed(size: int, held: bool, signal: int, signs: Sequence[Sign]) -> Floats:
    """Return 1 for each column at which a signal is held, from its change to its return."""
    out = np.zeros(size)
    begin = 0 if held else size
    for sign in signs:
        if sign.signal != signal:
            continue
        if sign.kind is StepKind.CHANGED:
            begin = sign.column
        elif sign.kind is StepKind.RETURNED:
            out[begin : sign.column + 1] = 1.0
            begin = size
    out[begin:] = 1.0
    return out
