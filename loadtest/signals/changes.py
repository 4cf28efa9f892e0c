"""Kinds of change, and detectors that watch them: what docs/signals.md shows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamdrift.detectors import (
    AdwinSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    EDetectorSettings,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
    RiverSettings,
)
from streamdrift.detectors.registry import RATES_ONLY
from streamdrift.detectors.series import Kind, Series
from streamdrift.records import Floats

RUN_LENGTH = 1e5
"""Values for which one false alarm is allowed."""
_REFERENCE = 10_000
_EARLIER = 1_000
"""Values between the reference and a change: some detectors compare with these."""
_LATEST = 5_000
"""Values within which a change must be told to count as seen."""

Draw = np.random.Generator
Values = Callable[[Draw, int, int], Floats]
"""Makes values: of a source of chance, how many, and at which place of the stream they begin."""


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change: how values are drawn before and after it."""

    name: str
    title: str
    kind: Kind
    before: Values
    after: Values


def _normal(draw: Draw, size: int, _: int) -> Floats:
    return draw.standard_normal(size)


def _moved(draw: Draw, size: int, _: int) -> Floats:
    return draw.standard_normal(size) + 1


def _wider(draw: Draw, size: int, _: int) -> Floats:
    return 2 * draw.standard_normal(size)


def _humps(draw: Draw, size: int, _: int) -> Floats:
    centre = 0.9
    sides = draw.choice([-centre, centre], size)
    return sides + math.sqrt(1 - centre**2) * draw.standard_normal(size)


def _wave(place: int, size: int) -> Floats:
    wave: Floats = 2 * np.sin(2 * np.pi * np.arange(place, place + size) / 400)
    return wave


def _cycle(draw: Draw, size: int, place: int) -> Floats:
    return _wave(place, size) + draw.standard_normal(size)


def _cycle_moved(draw: Draw, size: int, place: int) -> Floats:
    return _cycle(draw, size, place) + 1


def _levels(draw: Draw, size: int, _: int) -> Floats:
    return draw.choice(4, size, p=[0.4, 0.3, 0.2, 0.1]).astype(np.float64)


def _new_level(draw: Draw, size: int, place: int) -> Floats:
    return np.where(draw.random(size) < 0.05, 4.0, _levels(draw, size, place))


def _rate(rate: float) -> Values:
    return lambda draw, size, _: (draw.random(size) < rate).astype(np.float64)


CHANGES = (
    Change("level", "Level: mean + 1 sd", "numeric", _normal, _moved),
    Change("spread", "Spread: sd x 2, the mean as it was", "numeric", _normal, _wider),
    Change("shape", "Shape: two humps, mean and sd as they were", "numeric", _normal, _humps),
    Change("category", "A new category, at 5 %", "category", _levels, _new_level),
    Change("missing", "Missing values: 1 % to 5 %", "rate", _rate(0.01), _rate(0.05)),
    Change("rhythm", "Level + 1 sd, on a cycle of 2 sd", "numeric", _cycle, _cycle_moved),
)
DETECTORS: Mapping[str, DetectorSettings] = {
    "e_detector": EDetectorSettings(),
    "adwin": AdwinSettings(),
    "page_hinkley": PageHinkleySettings(),
    "focus": FocusSettings(),
    "kswin": KswinSettings(),
    "hddm_a": HddmASettings(),
    "hddm_w": HddmWSettings(),
    "ddm": DdmSettings(),
    "eddm": EddmSettings(),
    "river": RiverSettings(name="FHDDM"),
}


class Course(NamedTuple):
    """How a detector went through a stream.

    `share` float64[n] is its statistic as a part of its threshold after each value (of the
    e-detector, of their logarithms), up to its alarm; `told` is how many values of the change
    it took, None where it took more than there were.
    """

    share: Floats
    told: int | None


class Stream(NamedTuple):
    """Values of which those from `begin` on are changed, after a reference."""

    reference: Floats
    values: Floats
    begin: int


def stream(change: Change, seed: int, before: int, after: int) -> Stream:
    """Return a stream of so many values before and after a change."""
    draw = np.random.default_rng([seed, *change.name.encode()])
    reference = change.before(draw, _REFERENCE, 0)
    values = [
        change.before(draw, before, _REFERENCE),
        change.after(draw, after, _REFERENCE + before),
    ]
    return Stream(reference, np.concatenate(values), before)


def takes(detector: str, change: Change) -> bool:
    """Tell whether a detector is made for the kind of values."""
    return change.kind == "rate" or detector not in RATES_ONLY


def course(detector: str, change: Change, given: Stream) -> Course:
    """Return how a detector goes through a stream, value by value."""
    series = _series(detector, change, given)
    shares: list[float] = []
    for place, value in enumerate(given.values.tolist()):
        if series.take([value]):
            return Course(np.array([*shares, 1.0]), place + 1 - given.begin)
        bank = series.bank
        assert bank is not None
        (statistic,), (threshold,) = bank.readings()
        if detector == "e_detector":
            statistic, threshold = math.log1p(statistic), math.log1p(threshold)
        # Before ADWIN's first look there is no threshold.
        shares.append(statistic / threshold if threshold > 0 else 0.0)
    return Course(np.array(shares), None)


def delay(detector: str, change: Change, seed: int) -> float:
    """Return how many values of a change a detector takes to tell it; infinite where too many."""
    given = stream(change, seed, _EARLIER, _LATEST)
    found = _series(detector, change, given).take(given.values)
    return next((place + 1 - given.begin for place in found if place >= given.begin), math.inf)


def _series(detector: str, change: Change, given: Stream) -> Series:
    series = Series(DETECTORS[detector], RUN_LENGTH, change.kind, 0, _REFERENCE)
    series.learn(given.reference)
    return series
