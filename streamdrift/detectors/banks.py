"""Which signals each bank watches, and how banks are told apart in a snapshot."""

import json
from collections.abc import Iterable, Sequence

import numpy as np

from streamdrift.detectors.bank import Bank
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.learning import Reference
from streamdrift.detectors.rates import ERateBank
from streamdrift.detectors.registry import DetectorSettings, takes
from streamdrift.records import Bools, Ints, State, Stream


class Watcher:
    """A bank and the signals in its slots, int64[k], ascending.

    An e-detector is another one for each kind of stream, so its name has that, too.
    """

    def __init__(
        self, settings: DetectorSettings, bank: Bank, signals: Ints, stream: Stream
    ) -> None:
        told = settings.model_dump(mode="json")
        if settings.kind == "e_detector":
            told["stream"] = stream.value
        self.name = json.dumps(told, sort_keys=True)
        """All parameters, also those that have their defaults: a default that another release
        changes is a change."""
        self.bank = bank
        self.signals = signals
        self._slots = {signal: slot for slot, signal in enumerate(signals.tolist())}

    def slot_of(self, signal: int) -> int | None:
        """Return a signal's slot, if it has one."""
        return self._slots.get(signal)


def groups(
    detectors: Sequence[Sequence[DetectorSettings]], references: Sequence[Reference]
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
            if settings in chosen and takes(settings, references[signal].expected.stream)
        ]
        streams: list[Stream | None] = [None]
        if settings.kind == "e_detector":
            streams = list(Stream)
        for stream in streams:
            signals = [s for s in mine if stream in (None, references[s].expected.stream)]
            if signals:
                found.append((settings, np.array(signals, dtype=np.int64)))
    return found


def learning_besides(banks: Sequence[Watcher], count: int) -> list[int]:
    """Return the places of banks that learn and have a signal that other banks have, too."""
    watched = np.zeros(count, dtype=np.int64)
    for entry in banks:
        watched[entry.signals] += 1
    return [
        place
        for place, entry in enumerate(banks)
        if isinstance(entry.bank, ERateBank | ECategoryBank) and (watched[entry.signals] > 1).any()
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
