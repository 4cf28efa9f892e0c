"""The banks of many signals: which signals each watches, and how they are told apart."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.bank import Bank, Expected
from streamdrift.detectors.block import Block
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.chains import EChainBank
from streamdrift.detectors.chances import EChanceBank
from streamdrift.detectors.e_detector import EDetectorBank
from streamdrift.detectors.rates import LATE, ERateBank
from streamdrift.detectors.registry import DetectorSettings, make_bank, takes
from streamdrift.detectors.sums import EBank
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.trees import array, text, tree

_LEARNING = (ERateBank, EChainBank, EChanceBank, ECategoryBank)
"""Banks that learn what is normal from the values they see."""


class Lengths(NamedTuple):
    """After how many of their own values signals may raise a false alarm, float64[count] both.

    `alone` each by itself; `patience` all signals of the model together: an e-detector's sum
    from which on it counts beside others.
    """

    alone: Floats
    patience: Floats


class Watcher:
    """A bank and the signals in its slots, int64[k], ascending.

    An e-detector is another one for each kind of stream, and for what explains a rate, so its name
    has that, too; `expected` is that of any of the signals.
    """

    def __init__(
        self, settings: DetectorSettings, bank: Bank, signals: Ints, expected: Expected
    ) -> None:
        told = settings.model_dump(mode="json")
        if settings.kind == "e_detector":
            told["stream"] = expected.stream.value
            if expected.explained:
                told[expected.explained] = True
        self.name = json.dumps(told, sort_keys=True)
        """All parameters, also those that have their defaults: a default that another release
        changes is a change."""
        self.bank = bank
        self.e_bank = bank if isinstance(bank, EBank) else None
        """The bank where it is one with sums: to tell by a protocol takes long."""
        self.scored = self.e_bank is None or expected.stream is Stream.NUMERIC
        self.scored |= expected.chances is not None
        """Whether it sees scores: e-detectors of rates and categories see the values, but for rates
        whose values have chances."""
        self.signals = signals
        self._slots = {signal: slot for slot, signal in enumerate(signals.tolist())}

    def slot_of(self, signal: int) -> int | None:
        """Return a signal's slot, if it has one."""
        return self._slots.get(signal)


class Banks:
    """All banks that some signals have.

    `detectors[s]` are the settings of signal s's detectors. `expected`, by signal, belongs to
    whoever watches them: it may be another later.
    """

    def __init__(
        self,
        detectors: Sequence[Sequence[DetectorSettings]],
        expected: Sequence[Expected],
        lengths: Lengths,
    ) -> None:
        self._detectors = detectors
        self._expected = expected
        self.lengths = lengths
        self.summed: Bools = np.zeros(len(expected), dtype=np.bool_)
        """Signals that have a detector with sums."""
        self.all: list[Watcher] = []
        self._arrange([self._watcher(*each) for each in _groups(detectors, expected)])

    def _arrange(self, banks: list[Watcher]) -> None:
        self.all = banks
        count = len(self._expected)
        self._mixed = _learning_besides(banks, count)
        seen = np.array([each.stream is Stream.NUMERIC for each in self._expected], dtype=np.bool_)
        for entry in banks:
            seen[entry.signals] |= entry.scored
            if entry.e_bank is not None:
                self.summed[entry.signals] = True
        self.scored: list[int] = np.flatnonzero(seen).tolist()
        """Signals that have scores which are more than their values, ascending."""

    def _watcher(self, settings: DetectorSettings, signals: Ints) -> Watcher:
        expected = [self._expected[signal] for signal in signals]
        bank = make_bank(settings, expected, self.lengths.alone[signals])
        if isinstance(bank, EBank):
            bank.sums.patience = self.lengths.patience[signals]
            for slot in range(len(signals)):
                bank.reset(slot)
        return Watcher(settings, bank, signals, expected[0])

    def update(self, entry: Watcher, block: Block, begin: Ints) -> Ints:
        """Let one bank run on the columns of its signals from begin[signal] on."""
        bank, signals, seen = entry.bank, entry.signals, self._seen(entry, block)
        if isinstance(bank, EDetectorBank):
            return bank.update(seen, signals, begin[signals], block.looks, block.ties)
        if entry.e_bank is not None:
            return entry.e_bank.update(seen, signals, begin[signals], block.looks)
        return bank.update(seen, signals, begin[signals])

    def _seen(self, entry: Watcher, block: Block) -> Floats:
        """Return what a bank sees: other detectors 0s and 1s, as they know nothing of chances."""
        if not entry.scored:
            return block.values
        if entry.e_bank is not None:
            return block.scores
        moving = [each for each in entry.signals if self._expected[each].chances is not None]
        if not moving:
            return block.scores
        seen = block.scores.copy()
        seen[moving] = block.values[moving]
        return seen

    def stored(self) -> Mapping[int, State]:
        """Return the state of banks that learn beside others, to `unlearn` what follows."""
        return {place: self.all[place].bank.snapshot() for place in self._mixed}

    def unlearn(
        self,
        signal: int,
        raiser: Watcher,
        stored: Mapping[int, State],
        block: Block,
        begin: int,
        stop: int,
    ) -> None:
        """Put banks that learn, beside the one that raised the alarm, to where it was raised."""
        for place, state in stored.items():
            entry = self.all[place]
            slot = entry.slot_of(signal)
            if entry is raiser or slot is None:
                continue
            entry.bank.adopt(np.array([slot]), state, np.array([slot]))
            start = np.full(len(entry.signals), stop)
            start[slot] = begin
            entry.bank.update(self._seen(entry, block)[:, :stop], entry.signals, start)

    def take_back(self, signal: int, values: Floats, length: int) -> Floats | None:
        """Let the bank that learns of a signal forget the `length` values since its change.

        `values` are the last of them, as many as are known. Returns what it then has learned; None
        where no bank has learned what is normal.
        """
        for entry in self.all:
            slot = entry.slot_of(signal)
            if slot is None or not isinstance(entry.bank, _LEARNING):
                continue
            expected = self._expected[signal]
            if expected.recall is not None:
                # What counted of a value is not known any more.
                entry.bank.reset(slot, expected)
                return None
            if length > len(values) and entry.bank.learned(slot).sum() < LATE:
                # Much of what was learned is of the change, and not known any more.
                entry.bank.reset(slot, expected)
            else:
                entry.bank.take_back(slot, values)
            return entry.bank.learned(slot)
        return None

    def reset(
        self,
        signal: int,
        expected: Expected | None = None,
        run_length: float | None = None,
        *,
        is_candidate: bool = False,
    ) -> None:
        """Make the signal's detectors as new; of a candidate the next look tells all the same."""
        for entry in self.all:
            slot = entry.slot_of(signal)
            if slot is None:
                continue
            if entry.e_bank is not None:
                entry.e_bank.sums.patience[slot] = self.lengths.patience[signal]
            entry.bank.reset(slot, expected, run_length)
            if entry.e_bank is not None:
                entry.e_bank.sums.candidates[slot] = is_candidate

    def lose(self, signal: int) -> None:
        """Learn that a signal's last values were not shown."""
        for entry in self.all:
            slot = entry.slot_of(signal)
            if slot is not None and isinstance(entry.bank, EChainBank | ECategoryBank):
                entry.bank.lose(slot)

    def allow(self, lengths: Lengths) -> None:
        """Go on under other run lengths: thresholds change, what is summed up does not."""
        self.lengths = lengths
        before = self.all
        every = np.ones(len(self._expected), dtype=np.bool_)
        self.all = [self._watcher(*each) for each in _groups(self._detectors, self._expected)]
        for entry, old in zip(self.all, before, strict=True):
            _take_over(entry, old.bank.snapshot(), old.signals, every)

    def regroup(self, moved: int) -> None:
        """Let a signal that something else explains now have the bank that is made for it.

        All others go on.
        """
        kept = np.arange(len(self._expected)) != moved
        old = {entry.name: entry for entry in self.all}
        banks = []
        for settings, signals in _groups(self._detectors, self._expected):
            entry = self._watcher(settings, signals)
            before = old.get(entry.name)
            if before is not None and np.array_equal(before.signals, signals):
                entry = before
            elif before is not None:
                _take_over(entry, before.bank.snapshot(), before.signals, kept)
            banks.append(entry)
        self._arrange(banks)

    def snapshot(self) -> list[State]:
        """Return the state of every bank."""
        return [
            {"detector": each.name, "signals": each.signals, "slots": each.bank.snapshot()}
            for each in self.all
        ]

    def restore(self, states: Sequence[State]) -> Bools:
        """Take over a snapshot; return bool[count]: which signals had these detectors, all of them.

        Those of the others start afresh.
        """
        stored = [
            (text(each, "detector"), array(each, "signals").astype(np.int64), tree(each, "slots"))
            for each in states
        ]
        count = len(self._expected)
        had = _by_signal(count, ((told, signals) for told, signals, _ in stored))
        have = _by_signal(count, ((entry.name, entry.signals) for entry in self.all))
        kept = np.array([old == new for old, new in zip(had, have, strict=True)], dtype=np.bool_)
        for told, signals, slots in stored:
            for entry in self.all:
                if entry.name == told:
                    _take_over(entry, slots, signals, kept)
        return kept


def _groups(
    detectors: Sequence[Sequence[DetectorSettings]], expected: Sequence[Expected]
) -> list[tuple[DetectorSettings, Ints]]:
    """Return each bank's settings and signals: those it is made for."""
    kinds: list[DetectorSettings] = []
    for chosen in detectors:
        kinds += [settings for settings in chosen if settings not in kinds]
    found = []
    for settings in kinds:
        mine = [
            signal
            for signal, chosen in enumerate(detectors)
            if settings in chosen and takes(settings, expected[signal].stream)
        ]
        alike = [mine]
        if settings.kind == "e_detector":
            alike = [
                [s for s in mine if (expected[s].stream, expected[s].explained) == each]
                for each in itertools.product(Stream, ("", "chain", "chances"))
            ]
        found += [(settings, np.array(each, dtype=np.int64)) for each in alike if each]
    return found


def _learning_besides(banks: Sequence[Watcher], count: int) -> list[int]:
    """Return the places of banks that learn and have a signal that other banks have, too."""
    watched = np.zeros(count, dtype=np.int64)
    for entry in banks:
        watched[entry.signals] += 1
    return [
        place
        for place, entry in enumerate(banks)
        if isinstance(entry.bank, _LEARNING) and (watched[entry.signals] > 1).any()
    ]


def _by_signal(count: int, names: Iterable[tuple[str, Ints]]) -> list[set[str]]:
    """Return the names of each signal's banks, given those of the signals of each bank."""
    chosen: list[set[str]] = [set() for _ in range(count)]
    for name, signals in names:
        for signal in signals.tolist():
            chosen[signal].add(name)
    return chosen


def _take_over(entry: Watcher, slots: State, stored: Ints, kept: Bools) -> None:
    """Put the slots of `kept` signals into their state; `stored` are the signals of `slots`."""
    # A kept signal had this bank, too, so it is among the stored ones.
    staying = entry.signals[kept[entry.signals]]
    theirs = np.searchsorted(stored, staying)
    entry.bank.adopt(np.searchsorted(entry.signals, staying), slots, theirs)
