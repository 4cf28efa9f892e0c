"""Which signals each bank watches, and how banks are told apart in a snapshot."""

import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np

from streamdrift.detectors.bank import Bank, Expected
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.chains import EChainBank
from streamdrift.detectors.chances import EChanceBank
from streamdrift.detectors.rates import ERateBank
from streamdrift.detectors.registry import DetectorSettings, takes
from streamdrift.detectors.sums import EBank
from streamdrift.records import Bools, Ints, State, Stream

LEARNING = (ERateBank, EChainBank, EChanceBank, ECategoryBank)
"""Banks that learn what is normal from the values they see."""


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


def groups(
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


def learning_besides(banks: Sequence[Watcher], count: int) -> list[int]:
    """Return the places of banks that learn and have a signal that other banks have, too."""
    watched = np.zeros(count, dtype=np.int64)
    for entry in banks:
        watched[entry.signals] += 1
    return [
        place
        for place, entry in enumerate(banks)
        if isinstance(entry.bank, LEARNING) and (watched[entry.signals] > 1).any()
    ]


def by_signal(count: int, names: Iterable[tuple[str, Ints]]) -> list[set[str]]:
    """Return the names of each signal's banks, given those of the signals of each bank."""
    chosen: list[set[str]] = [set() for _ in range(count)]
    for name, signals in names:
        for signal in signals.tolist():
            chosen[signal].add(name)
    return chosen


def take_over(entry: Watcher, slots: State, stored: Ints, kept: Bools) -> None:
    """Put the slots of `kept` signals into their state; `stored` are the signals of `slots`."""
    # A kept signal had this bank, too, so it is among the stored ones.
    staying = entry.signals[kept[entry.signals]]
    theirs = np.searchsorted(stored, staying)
    entry.bank.adopt(np.searchsorted(entry.signals, staying), slots, theirs)
