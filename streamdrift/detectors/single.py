"""Detectors for a single series, with the interface that river's have."""

from collections.abc import Mapping
from copy import copy, deepcopy
from types import MappingProxyType
from typing import Self

import numpy as np

from streamdrift.changes import Effect
from streamdrift.detectors.adwin import AdwinBank, AdwinSettings
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.e_detector import EDetectorSettings
from streamdrift.detectors.exponential_histogram import TOTAL, VARIANCE, WIDTH
from streamdrift.detectors.page_hinkley import Mode, PageHinkleyBank, PageHinkleySettings
from streamdrift.detectors.series import WARMUP, Kind, Series, Value, Values, finite, number
from streamdrift.records import Floats, Ints, Stream

_RAW = Expected(Stream.NUMERIC, scale=1.0)
_NO_BUDGET: Floats = np.full(1, np.inf)


class SeriesDetector:
    """What the detectors of a single series have in common: that of river's, and more."""

    def __init__(self, series: "Series | _Raw", own: Mapping[str, object]) -> None:
        self._series = series
        self._own = own
        """Parameters of this detector alone, by name; None where it follows from the run length."""
        self.drift_detected = False
        """Whether the last value raised an alarm."""
        self.n_detections = 0
        """Alarms so far."""

    def update(self, x: Value) -> None:
        """Take the next value; `drift_detected` then says whether it raised an alarm."""
        self.drift_detected = self._series.take_one(x)
        self.n_detections += self.drift_detected

    def update_many(self, values: Values) -> Ints:
        """Take further values; return the places among them that raised an alarm, int64[k].

        As so many calls of `update`, and much faster.
        """
        found = self._series.take(values)
        self.drift_detected = bool(found) and found[-1] == len(values) - 1
        self.n_detections += len(found)
        return np.array(found, dtype=np.int64)

    def clone(self) -> Self:
        """Return a new one with the same parameters and reference, that has seen no values."""
        new = copy(self)
        SeriesDetector.__init__(new, self._series.new(), self._own)
        return new

    def __repr__(self) -> str:
        known = {**self._own, **self._series.parameters}
        stated = [f"{name}={value!r}" for name, value in known.items() if value is not None]
        return f"{type(self).__name__}({', '.join(stated)})"

    def __copy__(self) -> Self:
        # One that shared its series would move on with values that the other was given.
        return deepcopy(self)

    @property
    def onset(self) -> tuple[int, int] | None:
        """First and last index between which the last change began; None before there is one.

        Indices count the values from 0, those that were skipped left out; they are negative
        within a reference that was given.
        """
        return self._series.onset

    @property
    def effect(self) -> Effect | None:
        """How large the last change is; None before there is one, and without a reference."""
        return self._series.effect

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found in the reference and what follows from it, in sentences.

        What is taken off, what is watched instead, and where `arl` is not assured. None where there
        is nothing to say, and without a reference.
        """
        return self._series.findings


class EDetector(SeriesDetector):
    """The default detector over one series of numbers, of 0s and 1s, or of levels.

    `arl` is the average run length: how many values a false alarm may take on average, at
    least; above 1, and 1e30 at most. `reference` are values of the past, in their order; without
    it the first `warmup` values are. `kind` says what the values are: levels of a category may be
    anything hashable. After an alarm the series is held until it is back at the reference, or
    2,000 values have passed, which then become the reference: a change that lasts is one alarm.
    Numbers that are not finite, None, and what a masked array hides are skipped; of a category
    None is a level, and NaN and what is hidden the same one. `seed` drives the coins of ranks
    among equals.

    >>> from random import Random
    >>> draw = Random(4)
    >>> detector = EDetector(arl=1e5, reference=[draw.gauss(0, 1) for _ in range(10_000)])
    >>> for index in range(4_000):
    ...     detector.update(draw.gauss(0 if index < 2_000 else 1, 1))
    ...     if detector.drift_detected:
    ...         print(index, detector.onset, round(detector.effect.shift.value, 1))
    2016 (1991, 2009) 1.3
    """

    def __init__(
        self,
        arl: float = 1e5,
        reference: Values | None = None,
        kind: Kind = "numeric",
        seed: int = 0,
        warmup: int = WARMUP,
    ) -> None:
        series = Series(EDetectorSettings(), arl, kind, seed, warmup)
        super().__init__(_learned(series, reference), {})


class ADWIN(SeriesDetector):
    """ADWIN over one series.

    Without `arl` it is river's, on raw numbers, with river's parameters and defaults: alarms
    come where river's `AdaptiveWindowing` raises them, and after one the newer part of the
    window stays (`river.drift.ADWIN` starts anew). With `arl`, the average run length that
    `delta` then follows from, it watches ranks under a `reference` (or the first `warmup`
    values), holds after an alarm and goes on as `EDetector` does: of a category, ranks of how
    rare each level is. It compares values with those before them, not with the reference: where
    all values are of after the change it finds none. Values that are not finite, and None, are
    skipped.

    >>> detector = ADWIN()
    >>> for index, value in enumerate([0.0, 1.0] * 500 + [4.0, 5.0] * 20):
    ...     detector.update(value)
    ...     if detector.drift_detected:
    ...         print(index, detector.onset)
    1023 (996, 1003)
    """

    def __init__(
        self,
        delta: float | None = None,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
        *,
        arl: float | None = None,
        reference: Values | None = None,
        kind: Kind = "numeric",
        seed: int = 0,
        warmup: int = WARMUP,
    ) -> None:
        shape = {
            "clock": clock,
            "max_buckets": max_buckets,
            "min_window_length": min_window_length,
            "grace_period": grace_period,
        }
        if arl is None:
            _refuse(reference, kind, seed, warmup)
            delta = 0.002 if delta is None else delta
            raw = AdwinSettings(delta=delta, minimum_effect=0, **shape)
            series: Series | _Raw = _Raw(AdwinBank(raw, [_RAW], _NO_BUDGET))
        else:
            settings = AdwinSettings(delta=delta, **shape)
            series = _learned(Series(settings, arl, kind, seed, warmup), reference)
        super().__init__(series, {"delta": delta, **shape})

    @property
    def width(self) -> int:
        """Number of values in the window."""
        return int(self._moments[WIDTH])

    @property
    def total(self) -> float:
        """Sum of the window: of ranks, where an average run length is given."""
        return float(self._moments[TOTAL])

    @property
    def variance(self) -> float:
        """Variance of the window; 0 while it is empty."""
        return float(self._moments[VARIANCE]) / self.width if self.width else 0.0

    @property
    def estimation(self) -> float:
        """Mean of the window; 0 while it is empty."""
        return self.total / self.width if self.width else 0.0

    @property
    def _moments(self) -> Floats:
        bank = self._series.bank
        return bank.moments[0] if isinstance(bank, AdwinBank) else np.zeros(3)


class PageHinkley(SeriesDetector):
    """Page-Hinkley over one series.

    Without `arl` it is river's, on raw numbers, with river's parameters and defaults. With
    `arl`, the average run length that `threshold` then follows from, it watches ranks under a
    `reference` (or the first `warmup` values), holds after an alarm and goes on as `EDetector`
    does; `delta` and `threshold` are then in standard deviations of ranks. What it sees of a
    category, and that it compares values with those before them, is as of `ADWIN`. Values that
    are not finite, and None, are skipped.

    >>> detector = PageHinkley()
    >>> for index, value in enumerate([1.0, 0.0] * 500 + [5.0, 4.0] * 7):
    ...     detector.update(value)
    ...     if detector.drift_detected:
    ...         print(index, detector.onset)
    1012 (999, 1012)
    """

    def __init__(
        self,
        min_instances: int = 30,
        delta: float | None = None,
        threshold: float | None = None,
        alpha: float | None = None,
        mode: Mode = "both",
        *,
        arl: float | None = None,
        reference: Values | None = None,
        kind: Kind = "numeric",
        seed: int = 0,
        warmup: int = WARMUP,
    ) -> None:
        given = {"delta": delta, "threshold": threshold, "alpha": alpha}
        stated = {name: value for name, value in given.items() if value is not None}
        if arl is None:
            _refuse(reference, kind, seed, warmup)
            stated = {"delta": 0.005, "threshold": 50.0, "alpha": 1 - 0.0001} | stated
            raw = PageHinkleySettings(
                min_instances=min_instances, mode=mode, headroom=0, minimum_effect=0, **stated
            )
            series: Series | _Raw = _Raw(PageHinkleyBank(raw, [_RAW], _NO_BUDGET))
        else:
            settings = PageHinkleySettings(min_instances=min_instances, mode=mode, **stated)
            series = _learned(Series(settings, arl, kind, seed, warmup), reference)
        super().__init__(series, {"min_instances": min_instances, **stated, "mode": mode})


def _learned(series: Series, reference: Values | None) -> Series:
    """Return the series, with a reference where one is given."""
    if reference is not None:
        series.learn(reference)
    return series


def _refuse(reference: object, kind: Kind, seed: int, warmup: int) -> None:
    """Raise ValueError where something is given that raw numbers have no use for."""
    if reference is not None or (kind, seed, warmup) != ("numeric", 0, WARMUP):
        raise ValueError(
            "reference, kind, seed and warmup are used with an average run length: give arl, too"
        )


class _Raw:
    """A bank's only slot over raw numbers, as river has it: with no reference and no hold."""

    effect: Effect | None = None
    findings: tuple[str, ...] = ()
    parameters: Mapping[str, object] = MappingProxyType({})

    def __init__(self, bank: AdwinBank | PageHinkleyBank) -> None:
        self.bank = bank
        self.onset: tuple[int, int] | None = None
        self._seen = 0
        self._value = np.empty((1, 1))
        self._place = np.zeros(1, dtype=np.int64)

    def new(self) -> "_Raw":
        """Return one with a bank of the same settings, and no values."""
        bank = deepcopy(self.bank)
        bank.reset(0)
        return _Raw(bank)

    def take_one(self, value: Value) -> bool:
        self._value[0, 0] = number(value)
        if not np.isfinite(self._value[0, 0]):
            return False
        return bool(self._run(self._value))

    def take(self, values: Values) -> list[int]:
        numbers, there = finite(values)
        return [int(there[place]) for place in self._run(numbers[np.newaxis])]

    def _run(self, values: Floats) -> list[int]:
        found: list[int] = []
        begin, size = 0, values.shape[1]
        while begin < size:
            alarm = int(self.bank.update(values, self._place, np.array([begin]))[0])
            if alarm < size:
                found.append(alarm)
                evidence, index = self.bank.evidence(0), self._seen + alarm
                self.onset = index - evidence.earliest, index - evidence.latest
            begin = alarm + 1
        self._seen += size
        return found
