"""River's own detectors by name, for signals that want one: values go through them one by one.

Only those whose state can be written out as plain values are offered. What a detector keeps
is listed in `SPECIFICATIONS`; a snapshot holds these attributes of each slot's detector.
"""

# ruff: noqa: SLF001 - river offers no access to its detectors' state but their attributes

import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.records import Floats, Ints, State, StateValue, Stream
from streamdrift.trees import array

_TRIAL = 300
_LONGEST_TRIAL = 100_000
"""Values on which settings are tried, and how many more there may be to fill a window."""
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Its multiples, taken modulo 1, are spread evenly: numbers as if drawn by chance."""
_ONE_SLOT = np.zeros(1, dtype=np.int64)

Reading = Callable[[Any], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Specification:
    """What streamdrift must know of one of river's detectors.

    `reading` returns statistic and threshold, the first above the second at an alarm.
    `plain` attributes are numbers, `windows` what river holds values in.
    `recent` is how many of the last values the detector holds against those before.
    """

    reading: Reading
    plain: Sequence[str]
    windows: Sequence[str]
    recent: Callable[[Any], int]


def _fhddm_reading(detector: Any) -> tuple[float, float]:
    window = list(detector._sliding_window)
    if len(window) < detector.sliding_window_size - 1:
        return 0.0, detector._epsilon
    rate = sum(window) / detector.sliding_window_size
    pairs = [(detector._u_max - rate, detector._epsilon)]
    if detector.short_window_size is not None:
        rate = sum(window[-detector.short_window_size :]) / detector.short_window_size
        pairs.append((detector._u_short_max - rate, detector._epsilon_s))
    return _stronger(pairs)


def _stronger(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the pair whose statistic is the largest multiple of its threshold."""
    statistic, threshold = max(pairs, key=lambda pair: pair[0] / pair[1], default=(0.0, 1.0))
    return max(statistic, 0.0), threshold


SPECIFICATIONS: Mapping[str, Specification] = {
    "FHDDM": Specification(
        reading=_fhddm_reading,
        plain=("n_one", "_u_max", "_u_short_max"),
        windows=("_sliding_window",),
        recent=lambda detector: int(detector.sliding_window_size),
    ),
}
"""The detectors on offer, all of 0/1 signals. FHDDM looks for a falling rate."""


class RiverSettings(BaseModel):
    """Settings of one of river's detectors, by the name it has in `river.drift`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["river"] = Field(default="river", description="Which detector this is.")
    name: str = Field(description="The detector's class in river.drift.binary.")
    parameters: Mapping[str, bool | int | float | str | None] = Field(
        default_factory=dict, description="Arguments of its constructor, as in river."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name not in SPECIFICATIONS:
            raise ValueError(
                f"{self.name!r} is not offered: its state cannot be written out, or there is no "
                f"such detector. Choose one of {', '.join(SPECIFICATIONS)}; the others are kinds "
                "of their own."
            )
        misfits = "; ".join(_misfits(self))
        if misfits:
            raise ValueError(f"parameters of {self.name}: {misfits}")
        try:
            _try(self)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"parameters of {self.name}: it fails on trial: {error}") from error
        return self


def _class(name: str) -> Any:
    # River brings SciPy, 80 MB and half a second: only who names one of its detectors pays.
    return getattr(importlib.import_module("river.drift.binary"), name)


def _make(settings: RiverSettings) -> Any:
    return _class(settings.name)(**settings.parameters)


def _misfits(settings: RiverSettings) -> Iterator[str]:
    """Yield which parameters are unknown, or of another type than the constructor's default."""
    known = inspect.signature(_class(settings.name)).parameters
    for name, value in settings.parameters.items():
        if name not in known:
            yield f"{name} is none of {', '.join(known)}"
            continue
        default = known[name].default
        if isinstance(default, bool):
            fits, wanted = isinstance(value, bool), "true or false"
        elif isinstance(default, float):
            fits = type(value) in (int, float) and math.isfinite(cast("float", value))
            wanted = "a finite number"
        else:
            # What has no default is a whole number, too, where it is given.
            fits = type(value) is int or (default is None and value is None)
            wanted = "a whole number"
        if not fits:
            yield f"{name} must be {wanted}, not {value!r}"


def _try(settings: RiverSettings) -> None:
    """Raise what a detector of these settings raises on values that change again and again.

    Some parameters fail only once a window is full, or near an alarm.
    """
    numbers = [value for value in settings.parameters.values() if type(value) is int]
    ordinal = np.arange(_TRIAL + min(max(numbers, default=0), _LONGEST_TRIAL))
    share = np.where(ordinal // 50 % 2, 0.8, 0.2)
    values = (ordinal * _GOLDEN % 1 < share).astype(np.float64)
    bank, start = RiverBank(settings, [Expected(Stream.RATE)], np.full(1, np.inf)), 0
    while start < len(values):
        block = values[None, start : start + 25]
        alarm = int(bank.update(block, _ONE_SLOT, _ONE_SLOT)[0])
        bank.readings()
        if alarm < block.shape[1]:
            bank.evidence(0)
            bank.reset(0)
        start += alarm + 1


def _write(detector: Any, specification: Specification) -> State:
    """Return a detector's state as plain values and arrays."""
    state: dict[str, StateValue] = {"alarmed": bool(detector.drift_detected)}
    for name in specification.plain:
        if hasattr(detector, name):
            value = getattr(detector, name)
            state[name] = value.item() if isinstance(value, np.generic) else value
    for name in specification.windows:
        state[name] = np.array(getattr(detector, name), dtype=np.float64)
    return state


def _read(detector: Any, specification: Specification, state: Mapping[str, Any]) -> None:
    """Put a new detector into a stored state."""
    detector._drift_detected = state["alarmed"]
    for name in specification.plain:
        if name in state:
            setattr(detector, name, state[name])
    for name in specification.windows:
        getattr(detector, name).extend(map(int, state[name].tolist()))


class RiverBank:
    """One of river's detectors over many signals; see `Bank`. Slow: a Python call a value."""

    def __init__(
        self, settings: RiverSettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._specification = SPECIFICATIONS[settings.name]
        self._detectors: list[Any] = [_make(settings) for _ in expected]
        self._counts = np.zeros(len(expected), dtype=np.int64)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        events = values.shape[1]
        alarms = np.full(len(rows), events, dtype=np.int64)
        for slot, detector in enumerate(self._detectors):
            first = int(start[slot])
            row = values[rows[slot], first:]
            for event in np.flatnonzero(np.isfinite(row)).tolist():
                self._counts[slot] += 1
                detector.update(int(row[event]))
                if detector.drift_detected:
                    alarms[slot] = first + event
                    break
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        The detectors do not say when a change began: the interval is what they compared.
        """
        detector, count = self._detectors[slot], int(self._counts[slot])
        statistic, threshold = self._specification.reading(detector)
        recent = min(self._specification.recent(detector), count)
        return Evidence(float(statistic), float(threshold), recent - 1, 0)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Put a new detector into the slot; river's know no scale."""
        self._detectors[slot] = _make(self._settings)
        self._counts[slot] = 0

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's statistic and threshold as they stand; see `Bank`."""
        pairs = [self._specification.reading(detector) for detector in self._detectors]
        table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        return table[:, 0].copy(), table[:, 1].copy()

    def snapshot(self) -> State:
        """Return every detector's attributes as plain values."""
        return {
            "detectors": [_write(one, self._specification) for one in self._detectors],
            "counts": self._counts.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._detectors))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the detectors of some slots; see `Bank`."""
        detectors = cast("Sequence[Mapping[str, Any]]", state["detectors"])
        for slot, its in zip(slots.tolist(), theirs.tolist(), strict=True):
            self.reset(slot)
            _read(self._detectors[slot], self._specification, detectors[its])
        self._counts[slots] = array(state, "counts")[theirs]
