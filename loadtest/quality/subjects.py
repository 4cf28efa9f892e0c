"""streamdrift's own detectors, through their public form over a single series."""

from collections.abc import Callable
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from loadtest.quality.peers import Series
from streamdrift.changes import Effect, StepKind
from streamdrift.detectors import DetectorSettings, EDetector, EDetectorSettings
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.learning import learn
from streamdrift.detectors.series import WARMUP
from streamdrift.detectors.series import Series as OneSeries
from streamdrift.detectors.watch import Watch
from streamdrift.records import Floats, Ints, Sample, Stream
from streamdrift.signals.measures import rate_sample

_MONDAY = 1_767_571_200
"""2026-01-05, UTC, in seconds."""
_BLOCK = 1_024
"""Values shown at once where the first alarm ends a run."""


class Finding(NamedTuple):
    """An alarm, the interval in which it says the change began, and the effect it states."""

    at: int
    onset: tuple[int, int]
    effect: Effect | None


class Ours:
    """One of streamdrift's detectors, made anew for each series."""

    def __init__(self, name: str, make: Callable[[Series], Any]) -> None:
        self.name = name
        self._make = make

    def alarms(self, series: Series, stop: int | None = None) -> Ints:
        detector, values = self._make(series), series.values
        begin = len(values) if stop is None else stop
        found = [detector.update_many(values[:begin])]
        while begin < len(values) and not (len(found) > 1 and found[-1].size):
            indices = detector.update_many(values[begin : begin + _BLOCK])
            found.append(indices + begin)
            begin += _BLOCK
        return np.concatenate(found).astype(np.int64)

    def first(self, series: Series, place: int) -> Finding | None:
        """Return the first alarm at or after `place`, with what it states; None without one."""
        found = self.alarms(series, place)
        after = found[found >= place]
        if not after.size:
            return None
        index = int(after[0])
        detector = self._make(series)
        detector.update_many(series.values[: index + 1])
        return Finding(index, detector.onset, detector.effect)


class _Timed:
    """The default detector over numbers, or 0s and 1s, that have calendar times.

    After an alarm it is held until the series is back at its reference.
    """

    def __init__(self, run_length: float, series: Series) -> None:
        assert series.step is not None
        self._step, self._seen = series.step, len(series.reference)
        sample = Sample(Stream.NUMERIC, series.reference)
        reference = learn(
            rate_sample(series.reference) if series.kind == "rate" else sample,
            self._times(0, self._seen),
            ZoneInfo("UTC"),
            series.seed,
        )
        lengths = Lengths(np.array([run_length]), np.array([run_length]))
        self._watch = Watch([[EDetectorSettings()]], [reference], [series.seed], lengths)

    def _times(self, first: int, count: int) -> Ints:
        """Return times in microseconds, from a Monday's midnight on."""
        seconds = _MONDAY + self._step * np.arange(first, first + count)
        return (seconds * 1e6).astype(np.int64)

    def update_many(self, values: Floats) -> Ints:
        times = self._times(self._seen, len(values))
        self._seen += len(values)
        signs = self._watch.update(values[np.newaxis], times)
        found = [sign.column for sign in signs if sign.kind is StepKind.CHANGED]
        return np.array(found, dtype=np.int64)


def default(run_length: float) -> Ours:
    """Return the default detector at this average run length."""

    def make(series: Series) -> EDetector | _Timed:
        if series.step is not None:
            return _Timed(run_length, series)
        return EDetector(
            arl=run_length, reference=series.reference, kind=series.kind, seed=series.seed
        )

    return Ours("streamdrift", make)


class _One:
    """Any detector of the registry over one series, as `EDetector` is the default one."""

    def __init__(self, settings: DetectorSettings, run_length: float, series: Series) -> None:
        self._series = OneSeries(settings, run_length, series.kind, series.seed, WARMUP)
        self._series.learn(series.reference)
        self.onset: tuple[int, int] | None = None
        self.effect: Effect | None = None

    def update_many(self, values: Floats) -> Ints:
        found = np.array(self._series.take(values), dtype=np.int64)
        self.onset, self.effect = self._series.onset, self._series.effect
        return found


def of(settings: DetectorSettings, run_length: float) -> Ours:
    """Return a detector of the registry on ranks, or on 0/1 values, at this average run length."""
    return Ours(f"streamdrift {settings.kind}", lambda series: _One(settings, run_length, series))
