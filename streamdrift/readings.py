"""The statistics and thresholds of many signals, as columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamdrift.records import Bools, Floats, Ints, Signal


@dataclass(frozen=True, slots=True)
class BankReadings:
    """What one bank of detectors reads.

    `signals` int64[k] are the ordinals of the signals in its slots; `statistics` and
    `thresholds` float64[k].
    """

    detector: str
    signals: Ints
    statistics: Floats
    thresholds: Floats


@dataclass(frozen=True, slots=True)
class SignalReading:
    """A signal's statistic against its threshold."""

    model: str
    version: str
    signal: Signal
    detector: str
    statistic: float
    threshold: float
    changed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Every detector's statistic and threshold of some signals of one model version.

    Each reading is one place in the arrays: `signal` int64[n] is the place of its signal in
    `signals`, `detector` int64[n] that of its detector's name in `detectors`; `statistic` and
    `threshold` float64[n]; `changed` bool[n] says whether the signal changed and is not back.
    Nobody changes the arrays: they may be read on any thread.
    """

    model: str
    version: str
    signals: tuple[Signal, ...]
    detectors: tuple[str, ...]
    signal: Ints
    detector: Ints
    statistic: Floats
    threshold: Floats
    changed: Bools

    @classmethod
    def of(
        cls,
        model: str,
        version: str,
        signals: tuple[Signal, ...],
        held: Bools,
        banks: Sequence[BankReadings],
    ) -> "Readings":
        """Return what banks read of signals, of which those `held` bool[s] have changed."""
        detectors = tuple(dict.fromkeys(bank.detector for bank in banks))
        signal: Ints = np.concatenate([*(bank.signals for bank in banks), _NONE])
        return cls(
            model,
            version,
            signals,
            detectors,
            signal,
            np.repeat(
                np.array([detectors.index(bank.detector) for bank in banks], dtype=np.int64),
                [len(bank.signals) for bank in banks],
            ),
            np.concatenate([*(bank.statistics for bank in banks), _NONE]).astype(np.float64),
            np.concatenate([*(bank.thresholds for bank in banks), _NONE]).astype(np.float64),
            held[signal],
        )

    def __len__(self) -> int:
        return len(self.signal)

    def rows(self) -> Iterator[SignalReading]:
        """Yield the readings one by one."""
        columns = (self.signal, self.detector, self.statistic, self.threshold, self.changed)
        for signal, detector, *figures in zip(*(each.tolist() for each in columns), strict=True):
            names = self.signals[signal], self.detectors[detector]
            yield SignalReading(self.model, self.version, *names, *figures)


_NONE: Ints = np.empty(0, dtype=np.int64)


def rows(readings: Iterable[Readings]) -> list[SignalReading]:
    """Return the readings of several model versions one by one."""
    return [row for each in readings for row in each.rows()]
