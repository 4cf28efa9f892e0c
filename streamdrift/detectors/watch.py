"""Many signals under their detectors: who changed, who came back.

A signal is *watched* until one of its detectors raises an alarm, then *held*: its detectors are
reset and see nothing, and its reference learns nothing, until the signal is back at the reference
or what it became is accepted as the new one. So one change makes one sign, however long it lasts.
"""

from collections.abc import Container, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from streamdrift.detectors.bank import Bank, Expected
from streamdrift.detectors.banks import LEARNING, Banks, Lengths, Watcher
from streamdrift.detectors.block import Block, new_block
from streamdrift.detectors.candidates import Candidates, Seen, Together, none_any_more
from streamdrift.detectors.held import Held
from streamdrift.detectors.judge import Judge, Sign
from streamdrift.detectors.learning import Reference
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, Look
from streamdrift.detectors.rates import LATE
from streamdrift.detectors.recent import Recent
from streamdrift.detectors.registry import DetectorSettings
from streamdrift.detectors.returns import Returns
from streamdrift.detectors.scoring import Copies, Scoring, urn_at
from streamdrift.detectors.stepper import Stepper, stepper_of
from streamdrift.detectors.sums import evidence_of
from streamdrift.readings import BankReadings
from streamdrift.records import Bools, Floats, Ints, State, StepKind, Stream
from streamdrift.references.binning import Cells
from streamdrift.references.chances import flags_of, middles_of
from streamdrift.references.findings import Finding
from streamdrift.references.shares import cells_of
from streamdrift.trees import array, integer, tree, trees

_NO_TIME: Ints = np.zeros(1, dtype=np.int64)
MINIMUM_EFFECT = 0.05
"""Standard deviations: the evidence of a lasting smaller shift is dropped."""
_QUICK = 0.125
"""Evidence of a younger age, in parts of what is slow, is of no rhythm."""


class Watch:
    """The references, the detectors and the hold of `count` signals.

    `detectors[s]` are the settings of signal s's detectors, `references[s]` what it is held
    against, `seeds[s]` its coins'. `together` is that of `Candidates`.
    """

    def __init__(
        self,
        detectors: Sequence[Sequence[DetectorSettings]],
        references: Sequence[Reference],
        seeds: Sequence[int],
        lengths: Lengths,
        minimum_effect: float = MINIMUM_EFFECT,
        together: Together | None = None,
    ) -> None:
        count = len(references)
        self._expected = [reference.expected for reference in references]
        self._scoring = Scoring(references, seeds)
        self._banks = Banks(detectors, self._expected, lengths)
        self.held: Bools = np.zeros(count, dtype=np.bool_)
        self._holds: dict[int, Held] = {}
        self._returns = Returns([each.power for each in self._expected])
        self._candidates = Candidates(count, together)
        self._recent = Recent([each.stream for each in self._expected])
        within = np.array([reference.within for reference in references])
        self._judge = Judge(self._expected, self._recent, minimum_effect, within)
        self._stepper = self._make_stepper()

    def _make_stepper(self) -> Stepper | None:
        """Return what takes single values of the only signal, if there is such a way."""
        if len(self._expected) != 1 or len(self._banks.all) != 1:
            return None
        bank = self._banks.all[0].e_bank
        return None if bank is None else stepper_of(bank, self._scoring, self._recent)

    def __getstate__(self) -> dict[str, object]:
        # The stepper looks at the arrays of the banks; a copy's has to look at the copy's.
        return {**self.__dict__, "_stepper": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._stepper = self._make_stepper()

    def update(self, values: Floats, times: Ints, looks: Ints = NO_LOOKS) -> list[Sign]:
        """Consume a block float64[count, n] (NaN: no event of that signal).

        `times` int64[n] in microseconds; `looks` are the columns before which a second is
        over. Returns what the signals did, in the order of (column, signal).
        """
        tied = bool(self._scoring.urns.tied.any())
        block = new_block(values, times, looks, self._banks.scored, tied)
        block.fresh[self.held] = values.shape[1]
        signs: list[Sign] = []
        size = values.shape[1]
        held = set(np.flatnonzero(self.held).tolist())
        if len(looks):
            self._let_go(int(looks[0]))
        while (block.start < size).any():
            self._run_held(block, signs)
            self._run_watched(block, signs)
        signs += self._candidates.weigh(signs, held)
        self._recent.add(block.codes, block.fresh)
        return sorted(signs, key=lambda sign: (sign.column, sign.signal))

    def look(self) -> list[Sign]:
        """Look at what has been consumed: another second is over. Columns are 0."""
        block = new_block(np.empty((len(self.held), 0)), NO_LOOKS, NO_LOOKS)
        self._let_go(0)
        for entry in self._banks.all:
            if entry.e_bank is not None:
                self._look_at(entry, entry.e_bank.sums.look(), block)
        return self._candidates.weigh([], set(np.flatnonzero(self.held).tolist()))

    def step(self, value: float) -> list[Sign]:
        """Consume one value of the only signal: as `update` with a block of it, but quickly."""
        if self._stepper is None:
            return self.update(np.array([[value]]), _NO_TIME)
        if self.held[0]:
            cells = self._scoring.cells(0, np.array([[value]]), _NO_TIME, 0)
            if self._holds[0].run(cells, 0) == len(cells):
                return []
            self._release(0)
            return [Sign(0, 0, StepKind.RETURNED)]
        if not self._stepper.take(value):
            return []
        block = new_block(np.empty((1, 0)), NO_LOOKS, NO_LOOKS)
        sign = self._sign(0, self._banks.all[0], block, 0)
        if sign is not None:
            self._hold(0, sign, block, 0)
        self._reset(0)
        return [] if sign is None else [sign._replace(column=0)]

    def _let_go(self, column: int) -> None:
        """Let candidates be none any more that lost the detector with their evidence."""
        for signal in np.flatnonzero(self._candidates.there & ~self._banks.summed).tolist():
            self._candidates.see(none_any_more(column, signal))

    def _run_watched(self, block: Block, signs: list[Sign]) -> None:
        """Run the watched signals on to their first alarm."""
        size = block.values.shape[1]
        begin = np.where(self.held, size, block.start)
        running = np.flatnonzero(begin < size)
        if not len(running):
            return
        copies = self._scoring.score(block, running, begin)
        stored = self._banks.stored()
        first = np.full(len(begin), size)
        raised: dict[int, Watcher] = {}
        looked: list[tuple[Watcher, list[Look]]] = []
        for entry in self._banks.all:
            rows = self._banks.update(entry, block, begin)
            if entry.e_bank is not None:
                looked.append((entry, entry.e_bank.sums.looked()))
            for slot in np.flatnonzero(rows < np.minimum(first[entry.signals], size)).tolist():
                signal = int(entry.signals[slot])
                first[signal] = rows[slot]
                raised[signal] = entry
        for entry, looks in looked:
            before = [look for look in looks if look.row <= first[entry.signals[look.slot]]]
            self._look_at(entry, before, block, copies, raised)
        block.start[running] = size
        for signal in sorted(raised):
            stop = int(first[signal]) + 1
            self._scoring.go_back(signal, copies, stop)
            sign = self._sign(signal, raised[signal], block, stop)
            since = int(begin[signal])
            self._banks.unlearn(signal, raised[signal], stored, block, since, stop)
            block.scores[signal, stop:] = block.values[signal, stop:]
            self._quicken(signal, raised[signal])
            if sign is not None:
                signs.append(sign)
                self._hold(signal, sign, block, stop)
            self._reset(signal)
            block.start[signal] = stop

    def _sign(self, signal: int, entry: Watcher, block: Block, stop: int) -> Sign | None:
        """Return what the alarm of a signal at column stop - 1 says; None if it is a trifle."""
        slot = entry.slot_of(signal)
        assert slot is not None
        evidence = entry.bank.evidence(slot)
        if self._judge.dismisses(signal, evidence):
            return None
        share = 1.0
        if entry.e_bank is not None:
            share = max(share, evidence.statistic / evidence.threshold)
        urn = partial(self._scoring.urn, signal)
        return self._judge.sign(
            signal, StepKind.CHANGED, entry.bank.name, evidence, block, stop, share, urn
        )

    def _look_at(
        self,
        entry: Watcher,
        looks: Sequence[Look],
        block: Block,
        copies: Copies | None = None,
        raised: Container[int] = (),
    ) -> None:
        """See which looks found candidates, and which found that a signal is none any more.

        `copies` are of where the signals were before the block; None where they are at the looks.
        Of what is recent of signals that `raised` an alarm, nothing will be left soon.
        """
        thresholds = entry.bank.readings()[1] if looks else np.empty(0)
        for look in looks:
            signal, threshold = int(entry.signals[look.slot]), float(thresholds[look.slot])
            stream = self._expected[signal].stream
            evidence = evidence_of(look.statistic, threshold, look.age, stream)
            known = bool(self._candidates.there[signal])
            # Who is one stays one as long as there is evidence: others were weighed with it.
            stays = look.statistic >= WITHDRAW * self._banks.lengths.patience[signal]
            if not stays or (not known and self._judge.dismisses(signal, evidence)):
                if known:
                    self._candidates.see(none_any_more(look.row, signal))
                continue
            share = look.statistic / threshold
            kind, name = StepKind.CANDIDATE, entry.bank.name
            urn = partial(self._scoring.urn, signal)
            if copies is not None:
                urn = partial(urn_at, signal, copies, look.row)
            say = partial(
                self._judge.sign, signal, kind, name, evidence, block, look.row, share, urn
            )
            if signal in raised:
                say = partial(_as_it_is, say())
            self._candidates.see(Seen(look.row, signal, share, say))

    def _quicken(self, signal: int, entry: Watcher) -> None:
        """Let the slow level of a signal follow what may have been a rhythm."""
        slot = entry.slot_of(signal)
        assert slot is not None
        age = entry.bank.evidence(slot).age
        within = float(self._judge.within[signal])
        if _QUICK * within <= age:
            self._scoring.quicken(signal, age, within)

    def _hold(self, signal: int, sign: Sign, block: Block, stop: int) -> None:
        """Hold a signal against what it was before its change."""
        assert sign.evidence is not None
        expected = self._expected[signal]
        length = sign.evidence.age
        since = self._judge.last(signal, block, stop, length)
        onset = self._scoring.cells_of_codes(signal, since)
        self._scoring.forget(signal, since)
        before = self._before(signal, since, length)
        numbers = expected.stream is Stream.NUMERIC
        self.held[signal], self._candidates.there[signal] = True, False
        evened = expected.chances is not None and expected.chances.remembers
        self._holds[signal] = Held(before, numbers, onset, expected.power, evened)
        self._recent.clear(signal)
        block.fresh[signal] = block.values.shape[1]

    def _before(self, signal: int, since: Cells, length: int) -> Floats:
        """Return how often a signal has shown each cell of `Scoring.cells` before its change.

        What was learned of the `length` values since then is forgotten.
        """
        expected = self._expected[signal]
        if expected.stream is Stream.NUMERIC:
            return self._scoring.in_cells(signal)
        for entry in self._banks.all:
            slot = entry.slot_of(signal)
            if slot is not None and isinstance(entry.bank, LEARNING):
                if expected.recall is not None:
                    # What counted of a value is not known any more.
                    entry.bank.reset(slot, expected)
                    break
                if length > len(since) and entry.bank.learned(slot).sum() < LATE:
                    # Much of what was learned is of the change, and not known any more.
                    entry.bank.reset(slot, expected)
                else:
                    entry.bank.take_back(slot, self._judge.values_of(signal, since))
                return entry.bank.learned(slot)
        if expected.stream is Stream.RATE:
            return expected.counts
        return cells_of(expected.counts, expected.closed).counts

    def _reset(
        self, signal: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Make the signal's detectors as new."""
        is_candidate = bool(self._candidates.there[signal])
        self._banks.reset(signal, expected, run_length, is_candidate=is_candidate)
        self._stepper = self._make_stepper()

    def _run_held(self, block: Block, signs: list[Sign]) -> None:
        """Run the held signals on to their return."""
        size = block.values.shape[1]
        for signal in np.flatnonzero(self.held & (block.start < size)).tolist():
            begin = int(block.start[signal])
            state = self._scoring.front_state(signal)
            cells = self._scoring.cells(signal, block.values, block.times, begin)
            column = self._holds[signal].run(cells, begin)
            block.start[signal] = min(column + 1, size)
            if column < size:
                self._scoring.follow_to(signal, state, block.values, block.times, begin, column + 1)
                self._release(signal)
                block.fresh[signal] = column + 1
                signs.append(Sign(column, signal, StepKind.RETURNED))

    def _release(self, signal: int, *, by_itself: bool = True) -> None:
        self.held[signal] = False
        del self._holds[signal]
        self._banks.lose(signal)  # they saw nothing while the signal was held
        self._reset(signal, self._weighed_anew(signal) if by_itself else None)

    def _weighed_anew(self, signal: int) -> Expected | None:
        """Return what is expected of a signal that is back, if its evidence now counts less."""
        expected = self._expected[signal]
        explained = expected.dependent or expected.power > 0 or expected.chances is not None
        if (
            not self._banks.summed[signal]
            or expected.chain is not None
            or expected.recall is not None
        ):
            return None  # Of these, all counts that is not explained.
        # One that is weighed with no other has a budget of its own.
        lengths = self._banks.lengths
        length = float(min(lengths.patience[signal], lengths.alone[signal]))
        if not self._returns.came_back(signal, self._scoring.seen(signal), length, explained):
            return None
        return self._take_power(signal)

    def _take_power(self, signal: int) -> Expected:
        """Return what is expected of a signal, by the power at which its evidence counts now."""
        expected = replace(self._expected[signal], power=self._returns.power(signal))
        self._expected[signal] = expected
        return expected

    def findings(self, signal: int) -> tuple[Finding, ...]:
        """Return what people should know of a signal that its reference does not show."""
        return self._returns.findings(signal)

    def let_go(self, signal: int) -> None:
        """Watch a held signal again, under the reference it has: it is said to be mended."""
        self._release(signal, by_itself=False)
        self._recent.clear(signal)

    def rearm(self, signal: int, reference: Reference, alone: float, patience: float) -> None:
        """Watch a signal anew, from now on under a new reference and run lengths."""
        moved = self._expected[signal].explained != reference.expected.explained
        self._expected[signal] = reference.expected
        self._judge.within[signal] = reference.within
        lengths = self._banks.lengths
        lengths.alone[signal], lengths.patience[signal] = alone, patience
        self._scoring.learn(signal, reference)
        self._returns.begin(signal, reference.expected.power, self._scoring.seen(signal))
        self._recent.clear(signal)
        self.held[signal] = False
        self._holds.pop(signal, None)
        if moved:
            self._banks.regroup(signal)
        self._reset(signal, reference.expected, alone)

    def allow(self, lengths: Lengths) -> None:
        """Go on under other run lengths: thresholds change, what is summed up does not."""
        self._banks.allow(lengths)
        self._stepper = self._make_stepper()

    def expected(self, signal: int) -> Expected:
        """Return what the signal's reference lets expect."""
        return self._expected[signal]

    def recent_ones(self, signal: int) -> tuple[int, int]:
        """Return how many of the last values of a rate were 1, and how many these are."""
        codes = self._recent.kept(signal)
        # Where chances differ a code says the chance, too.
        chances = self._expected[signal].chances is not None
        ones = flags_of(middles_of(codes)) if chances else codes > 0
        return int(ones.sum()), len(codes)

    def bank(self, place: int) -> Bank:
        """Return one of the banks, in the order in which settings name them first."""
        return self._banks.all[place].bank

    @property
    def candidates(self) -> list[int]:
        """Signals that were said to be candidates, and nothing else since."""
        return self._candidates.said

    def readings(self) -> list[BankReadings]:
        """Return every bank's statistics and thresholds."""
        return [
            BankReadings(entry.bank.name, entry.signals, *entry.bank.readings())
            for entry in self._banks.all
        ]

    def snapshot(self) -> State:
        """Return the detectors' state, the scoring's and the hold's."""
        return {
            "banks": self._banks.snapshot(),
            "scoring": self._scoring.snapshot(),
            "recent": self._recent.snapshot(),
            "held": self.held.copy(),
            "returns": self._returns.snapshot(),
            "candidates": self._candidates.snapshot(),
            "holds": [
                {"signal": signal, "hold": self._holds[signal].snapshot()}
                for signal in sorted(self._holds)
            ],
        }

    def restore(self, state: State) -> list[int]:
        """Take over a snapshot of as many signals, made under the same references.

        Returns the signals that had other detectors: all detectors of these start afresh.
        Their hold, and all of the other signals, go on.
        """
        self._returns.restore(tree(state, "returns"))
        for signal in range(len(self.held)):
            if self._returns.power(signal) != self._expected[signal].power:
                self._reset(signal, self._take_power(signal))
        kept = self._banks.restore(trees(state, "banks"))
        self._scoring.restore(tree(state, "scoring"))
        self._recent.restore(tree(state, "recent"))
        self.held = array(state, "held").astype(np.bool_)
        self._candidates.restore(tree(state, "candidates"))
        for signal in np.flatnonzero(self._candidates.there & ~kept).tolist():
            self._reset(signal)
        self._holds = {
            integer(each, "signal"): Held.restore(tree(each, "hold"))
            for each in trees(state, "holds")
        }
        self._stepper = self._make_stepper()
        return np.flatnonzero(~kept).tolist()


def _as_it_is(sign: Sign) -> Sign:
    return sign
