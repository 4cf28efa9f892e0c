"""Many signals under their detectors: who changed, who came back.

A signal is *watched* until one of its detectors raises an alarm, then *held*: its detectors
are reset and see nothing until the signal is back at its reference or what it became is
accepted as the new one. So one change makes one step, however long it lasts.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from streamdrift.detectors import Bank, DetectorSettings, Evidence, make_bank
from streamdrift.durations import Duration
from streamdrift.kernels import kernel
from streamdrift.records import Bools, Floats, Ints, State
from streamdrift.trees import array, text, tree, trees

RETURN_BLOCK = 500
"""Own values of a held signal between two looks at its return."""
_RING = 16
_TOLERANCE = 0.2
"""A return is believed within this many standard deviations of the reference, or within
half of the change if that is less ..."""
_PRECISION = 8.0
"""... over so many blocks that the mean's standard error is this much smaller than the change."""

_SMALLEST = 0.1
"""Changes below this many standard deviations are treated as that large."""


class HoldSettings(BaseModel):
    """When a changed signal is watched again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept_after: Duration = Field(
        24 * 3_600_000_000,
        description="Event time after which a lasting change is accepted as the new normal.",
    )
    accept_events: int = Field(
        1_000, ge=100, description="Values of the signal since its change needed to accept it."
    )


class Sign(NamedTuple):
    """What one signal did at a row of a block."""

    row: int
    signal: int
    detector: str | None
    """Name of the detector that raised the alarm; None where the signal returned."""
    evidence: Evidence | None
    scale: float
    """The signal's standard deviation under the reference."""


class _BankOf(NamedTuple):
    settings: DetectorSettings
    bank: Bank
    signals: Ints


class Watch:
    """The detectors and the hold of `count` signals.

    `detectors[s]` are the settings of signal s's detectors; `mean` and `scale` float64[count]
    are its mean and standard deviation under the reference.
    """

    def __init__(
        self, detectors: Sequence[Sequence[DetectorSettings]], mean: Floats, scale: Floats
    ) -> None:
        count = len(detectors)
        kinds: list[DetectorSettings] = []
        for chosen in detectors:
            kinds += [detector for detector in chosen if detector not in kinds]
        self._banks: list[_BankOf] = []
        for kind in kinds:
            signals = np.array([s for s in range(count) if kind in detectors[s]], dtype=np.int64)
            self._banks.append(_BankOf(kind, make_bank(kind, scale[signals]), signals))
        self._mean = mean.copy()
        self._scale = scale.copy()
        self.held: Bools = np.zeros(count, dtype=np.bool_)
        self._worst = np.zeros(count)
        self._seen = np.zeros(count, dtype=np.int64)
        self._sum = np.zeros(count)
        self._ring = np.zeros((count, _RING))

    def update(self, values: Floats) -> list[Sign]:
        """Consume a block float64[count, n] (NaN: no event of that signal).

        Returns what the signals did, in the order of (row, signal).
        """
        size = values.shape[1]
        start = np.zeros(len(self.held), dtype=np.int64)
        signs: list[Sign] = []
        while True:
            turned = self._returns(values, start, signs)
            turned |= self._alarms(values, start, signs)
            if not turned:
                break
        assert (start == size).all()
        return sorted(signs, key=lambda sign: (sign.row, sign.signal))

    def _alarms(self, values: Floats, start: Ints, signs: list[Sign]) -> bool:
        """Run the watched signals on from `start` to their first alarm."""
        size = values.shape[1]
        first = np.full(len(start), size)
        raised: dict[int, _BankOf] = {}
        for entry in self._banks:
            signals = entry.signals
            begin = np.where(self.held[signals], size, start[signals])
            rows = entry.bank.update(values, signals, begin)
            for slot in np.flatnonzero(rows < np.minimum(first[signals], size)).tolist():
                signal = int(signals[slot])
                first[signal] = rows[slot]
                raised[signal] = entry
        start[~self.held] = size
        for signal in sorted(raised):
            _, bank, signals = raised[signal]
            slot = int(np.searchsorted(signals, signal))
            evidence = bank.evidence(slot)
            signs.append(
                Sign(int(first[signal]), signal, bank.name, evidence, float(self._scale[signal]))
            )
            self._hold(signal, evidence)
            start[signal] = first[signal] + 1
        return bool(raised)

    def _hold(self, signal: int, evidence: Evidence) -> None:
        self.held[signal] = True
        self._worst[signal] = abs(evidence.after - self._mean[signal])
        self._seen[signal] = 0
        self._sum[signal] = 0.0
        self._ring[signal] = 0.0
        self._reset(signal)

    def _reset(self, signal: int) -> None:
        for _, bank, signals in self._banks:
            slot = int(np.searchsorted(signals, signal))
            if slot < len(signals) and signals[slot] == signal:
                bank.reset(slot, float(self._scale[signal]))

    def _returns(self, values: Floats, start: Ints, signs: list[Sign]) -> bool:
        """Run the held signals on from `start` to their return."""
        size = values.shape[1]
        turned = False
        for signal in np.flatnonzero(self.held & (start < size)).tolist():
            row = _run_held(
                values[signal],
                int(start[signal]),
                float(self._mean[signal]),
                float(self._scale[signal]),
                signal,
                self._seen,
                self._sum,
                self._worst,
                self._ring,
            )
            start[signal] = min(row + 1, size)
            if row < size:
                self.held[signal] = False
                signs.append(Sign(row, signal, None, None, float(self._scale[signal])))
                turned = True
        return turned

    def rearm(self, signal: int, mean: float, scale: float) -> None:
        """Watch a signal again, from now on under a new reference."""
        self._mean[signal], self._scale[signal] = mean, scale
        self.held[signal] = False
        self._reset(signal)

    @property
    def reading_count(self) -> int:
        """How many readings there are."""
        return sum(len(signals) for _, _, signals in self._banks)

    def readings(self) -> list[tuple[int, str, float, float]]:
        """Return (signal, detector, statistic, threshold) of every signal and detector."""
        readings = []
        for _, bank, signals in self._banks:
            statistics, thresholds = bank.readings()
            for slot, signal in enumerate(signals):
                readings.append(
                    (int(signal), bank.name, float(statistics[slot]), float(thresholds[slot]))
                )
        return readings

    def snapshot(self) -> State:
        """Return the detectors' state and the hold's."""
        return {
            "banks": [
                {"detector": _told(kind), "signals": signals.copy(), "slots": bank.snapshot()}
                for kind, bank, signals in self._banks
            ],
            "mean": self._mean.copy(),
            "scale": self._scale.copy(),
            "held": self.held.copy(),
            "worst": self._worst.copy(),
            "seen": self._seen.copy(),
            "sum": self._sum.copy(),
            "ring": self._ring.copy(),
        }

    def restore(self, state: State) -> list[int]:
        """Take over what `snapshot` returned; return the signals that had other detectors.

        All detectors of these start afresh. Their hold, and all of the other signals, go on.
        """
        count = len(self.held)
        stored = [
            (text(each, "detector"), array(each, "signals").astype(np.int64), tree(each, "slots"))
            for each in trees(state, "banks")
        ]
        had = _by_signal(count, ((told, signals) for told, signals, _ in stored))
        have = _by_signal(count, ((_told(kind), signals) for kind, _, signals in self._banks))
        kept = np.array([old == new for old, new in zip(had, have, strict=True)], dtype=np.bool_)
        ours = {_told(entry.settings): entry for entry in self._banks}
        for told, signals, slots in stored:
            if told in ours:
                _take_over(ours[told], slots, signals, kept)
        self._mean = np.array(state["mean"])
        self._scale = np.array(state["scale"])
        self.held = np.array(state["held"], dtype=np.bool_)
        self._worst = np.array(state["worst"])
        self._seen = np.array(state["seen"])
        self._sum = np.array(state["sum"])
        self._ring = np.array(state["ring"])
        return np.flatnonzero(~kept).tolist()


def _told(settings: DetectorSettings) -> str:
    """Return a detector's settings with every parameter, also those that have their defaults.

    So a default that another release changes is a change.
    """
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)


def _by_signal(count: int, detectors: Iterable[tuple[str, Ints]]) -> list[set[str]]:
    """Return each signal's detectors."""
    chosen: list[set[str]] = [set() for _ in range(count)]
    for told, signals in detectors:
        for signal in signals.tolist():
            chosen[signal].add(told)
    return chosen


def _take_over(entry: _BankOf, slots: State, stored: Ints, kept: Bools) -> None:
    """Put the slots of `kept` signals into their state; `stored` are the signals of `slots`."""
    # A kept signal had this detector, too, so it is among the stored ones.
    staying = entry.signals[kept[entry.signals]]
    theirs = np.searchsorted(stored, staying)
    entry.bank.adopt(np.searchsorted(entry.signals, staying), slots, theirs)


@kernel
def _run_held(
    values: Floats,
    start: int,
    mean: float,
    scale: float,
    signal: int,
    seen: Ints,
    sums: Floats,
    worst: Floats,
    ring: Floats,
) -> int:
    """Run one held signal; return the row at which it is back, len(values) if it is not.

    Means are taken over blocks of RETURN_BLOCK own values. The change's size is the largest
    distance from the reference that was seen since; the smaller it is, the more blocks
    (_RING at most) must be near the reference together.
    """
    for row in range(start, len(values)):
        x = values[row]
        if np.isnan(x):
            continue
        seen[signal] += 1
        sums[signal] += x
        if seen[signal] % RETURN_BLOCK != 0:
            continue
        blocks = seen[signal] // RETURN_BLOCK
        distance = sums[signal] / RETURN_BLOCK - mean
        ring[signal, blocks % _RING] = distance
        sums[signal] = 0.0
        noise = 2.0 * scale / np.sqrt(RETURN_BLOCK)
        worst[signal] = max(worst[signal], abs(distance) - noise)
        size = max(worst[signal] / scale, _SMALLEST)
        needed = min(float(_RING), max(1.0, np.ceil((_PRECISION / size) ** 2 / RETURN_BLOCK)))
        if blocks < needed:
            continue
        total = 0.0
        for k in range(int(needed)):
            total += ring[signal, (blocks - k) % _RING]
        if abs(total / needed) <= min(_TOLERANCE, size / 2.0) * scale:
            return row
    return len(values)
