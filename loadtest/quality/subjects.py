"""streamdrift's own detectors, through their public form over a single series."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from loadtest.quality.peers import Series
from streamdrift.detectors import ADWIN, EDetector, PageHinkley
from streamdrift.records import Effect, Ints

_BLOCK = 1_024
"""Values shown at once where the first alarm ends a run."""


class Finding(NamedTuple):
    """An alarm, the interval in which it says the change began, and the effect it states."""

    place: int
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


def default(run_length: float) -> Ours:
    """Return the default detector at this average run length."""
    return Ours("streamdrift", lambda series: _e_detector(run_length, series))


def _e_detector(run_length: float, series: Series) -> EDetector:
    return EDetector(arl=run_length, reference=series.reference, kind=series.kind, seed=series.seed)


def adwin(run_length: float) -> Ours:
    """Return streamdrift's ADWIN, on ranks, at this average run length."""
    return Ours(
        "streamdrift ADWIN",
        lambda series: ADWIN(arl=run_length, reference=series.reference),
    )


def page_hinkley(run_length: float) -> Ours:
    """Return streamdrift's Page-Hinkley, on ranks, at this average run length."""
    return Ours(
        "streamdrift Page-Hinkley",
        lambda series: PageHinkley(arl=run_length, reference=series.reference),
    )
