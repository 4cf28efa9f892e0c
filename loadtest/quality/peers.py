"""Detectors of river 0.26 and the protocol under which all are measured.

A river detector has no reference: it is fed those values first, and what it then says is left
out. It goes on by itself after an alarm, as river's do.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from river import drift
from river.drift import binary

from loadtest.quality.streams import Kind
from streamdrift.records import Floats, Ints


class Series(NamedTuple):
    """What a detector is shown: a reference and the values to watch.

    `seed` is for a detector's own randomness. `step` is the time between two values in
    seconds, from a Monday's midnight on, where there are calendar times.
    """

    reference: Floats
    values: Floats
    kind: Kind = "numeric"
    seed: int = 0
    step: float | None = None


class Detector(Protocol):
    """A detector as it is measured."""

    name: str

    def alarms(self, series: Series, stop: int | None = None) -> Ints:
        """Return the indices of values at which it alarmed, int64[k], ascending.

        With `stop` it may end at its first alarm at or after that index.
        """


class River:
    """One of river's detectors."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self.make = make

    def alarms(self, series: Series, stop: int | None = None) -> Ints:
        detector = self.make()
        for value in series.reference.tolist():
            detector.update(value)
        update, found = detector.update, []
        for index, value in enumerate(series.values.tolist()):
            update(value)
            if detector.drift_detected:
                found.append(index)
                if stop is not None and index >= stop:
                    break
        return np.array(found, dtype=np.int64)


def adwin(delta: float) -> River:
    """Return river's ADWIN with this delta."""
    make: Any = drift.ADWIN
    return River(f"ADWIN, delta {delta:.3g}", lambda: make(delta=delta))


def page_hinkley(threshold: float) -> River:
    """Return river's Page-Hinkley with this threshold."""
    return River(
        f"Page-Hinkley, threshold {threshold:.3g}",
        lambda: drift.PageHinkley(threshold=threshold),
    )


ADWIN = River("river ADWIN", drift.ADWIN)
PAGE_HINKLEY = River("river Page-Hinkley", drift.PageHinkley)
KSWIN = River("river KSWIN", lambda: drift.KSWIN(seed=1))
"""130 us a value: only where there are few."""

_BITS: Mapping[str, Callable[[], Any]] = {
    "river DDM": binary.DDM,
    "river EDDM": binary.EDDM,
    "river HDDM-A": binary.HDDMA,
    "river HDDM-W": binary.HDDMW,
}
OF_BITS: tuple[River, ...] = tuple(River(name, make) for name, make in _BITS.items())
"""Those that take 0/1 values only."""
