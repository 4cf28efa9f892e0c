"""Many signals under their detectors: who changed, who came back.

A signal is *watched* until one of its detectors raises an alarm, then *held*: its detectors are
reset and see nothing, and its reference learns nothing, until the signal is back at the reference
or what it became is accepted as the new one. So one change makes one sign, however long it lasts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.bank import Bank, Evidence, Stream
from streamdrift.detectors.held import Held
from streamdrift.detectors.learning import Reference
from streamdrift.detectors.recent import Recent
from streamdrift.detectors.registry import DetectorSettings, make_bank
from streamdrift.detectors.scoring import Scoring
from streamdrift.records import Bools, Effect, Floats, Ints, StepKind

MINIMUM_EFFECT = 0.05
"""Standard deviations: the evidence of a lasting smaller shift is dropped."""


class Sign(NamedTuple):
    """What one signal did at a column of a block."""

    column: int
    signal: int
    kind: StepKind
    detector: str = ""
    evidence: Evidence | None = None
    effect: Effect | None = None
    share: float = 1.0
    """The statistic over the threshold; that of a detector without sums is 1."""


class _BankOf(NamedTuple):
    told: str
    bank: Bank
    signals: Ints
    looks: bool
    """Whether it is an e-detector's: an `EBank`."""


class Lengths(NamedTuple):
    """After how many of their own values signals may raise a false alarm, float64[count] both.

    `alone` each by itself; `patience` all signals of the model together: an e-detector's sum
    from which on it counts beside others.
    """

    alone: Floats
    patience: Floats


class Watch:
    """The references, the detectors and the hold of `count` signals.

    `detectors[s]` are the settings of signal s's detectors, `references[s]` what it is held
    against, `seeds[s]` its coins'.
    """

    def __init__(
        self,
        detectors: Sequence[Sequence[DetectorSettings]],
        references: Sequence[Reference],
        seeds: Sequence[int],
        lengths: Lengths,
        minimum_effect: float = MINIMUM_EFFECT,
    ) -> None:
        count = len(references)
        self._expected = [reference.expected for reference in references]
        self._lengths = lengths
        self._minimum_effect = minimum_effect
        self._scoring = Scoring(references, seeds)
        self._banks = [
            self._bank_of(settings, signals) for settings, signals in _groups(detectors, references)
        ]
        self._mixed = _mixed(self._banks, count)
        self.held: Bools = np.zeros(count, dtype=np.bool_)
        self._holds: dict[int, Held] = {}
        streams = np.array([each.stream is Stream.CATEGORY for each in self._expected])
        self._recent = Recent(streams.astype(np.bool_))

    def _bank_of(self, settings: DetectorSettings, signals: Ints) -> _BankOf:
        expected = [self._expected[signal] for signal in signals]
        bank = make_bank(settings, expected, self._lengths.alone[signals])
        looks = settings.kind == "e_detector"
        if looks:
            _as_e(bank).patience = self._lengths.patience[signals]
        return _BankOf(_told(settings), bank, signals, looks)
