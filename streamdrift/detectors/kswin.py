"""KSWIN: the Kolmogorov-Smirnov test of the last values against those before them.

Raab, Heusinger, Schleif, Reactive soft prototype computing for concept drift streams,
Neurocomputing 416 (2020). Where the paper (and `river.drift.KSWIN`) draw a sample of the older
values as large as the newer part, all of them are compared: nothing is left to chance, and the
test is sharper. Significances are exact for values without ties, and hold with them.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.calibration import calibrated
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints, State
from streamdrift.trees import array

COUNT, HEAD, WAIT, DISTANCE = range(4)
"""Places in a slot's whole numbers: values in its window, where the next one goes, values until a
distance can be large enough again, and the distance as it was last, in units of 1 / (older times
newer)."""


class KswinSettings(BaseModel):
    """Settings of a KSWIN bank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["kswin"] = Field(default="kswin", description="Which detector this is.")
    alpha: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Significance of a single test; without it, by the alert budget "
        "(river: 0.005).",
    )
    window_size: int = Field(default=100, ge=2, le=10_000, description="Values in the window.")
    stat_size: int = Field(default=30, ge=1, description="Of these, the last that are compared.")

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "kswin" if self.alpha is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stat_size >= self.window_size:
            raise ValueError(
                f"stat_size must be less than window_size ({self.window_size}), "
                f"not {self.stat_size}"
            )
        return self


@kernel
def significance(older: int, newer: int, distance: int) -> float:
    """Return how likely two samples of one continuous distribution are at least so far apart.

    The distance is that of their empirical distribution functions times `older * newer`. All
    orders of the values are as likely: a path on the lattice for each, those that leave the
    band about the diagonal are counted (Hodges, The significance probability of the Smirnov
    two-sample test, Arkiv foer Matematik 3, 1958).
    """
    left = np.zeros(newer + 1)
    for i in range(older + 1):
        for j in range(newer + 1):
            if abs(i * newer - j * older) >= distance:
                left[j] = 1.0
            elif i + j > 0:
                above = left[j] * i if i > 0 else 0.0
                before = left[j - 1] * j if j > 0 else 0.0
                left[j] = (above + before) / (i + j)
    return float(left[newer])


def critical_distance(older: int, newer: int, alpha: float) -> int:
    """Return the least distance, times `older * newer`, of a significance of at most `alpha`.

    One more than there can be where even the largest is more likely.
    """
    low, high = 1, older * newer + 1
    while low < high:
        middle = (low + high) // 2
        if significance(older, newer, middle) <= alpha:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _distance(window: Floats, recent: Floats, head: int) -> int:
    """Return the largest distance of the two parts' distribution functions, in whole units.

    It is found right at or right before one of the newer values, which `recent` is filled
    with. Counting is a vector loop: faster than to keep the window sorted.
    """
    size, newer = len(window), len(recent)
    for place in range(newer):
        at = head - newer + place  # a full window's newest value lies before the head
        recent[place] = window[at if at >= 0 else at + size]
    farthest = 0
    for value in recent:
        below, upto = 0, 0
        for other in window:
            below += other < value
            upto += other <= value
        newer_below, newer_upto = 0, 0
        for other in recent:
            newer_below += other < value
            newer_upto += other <= value
        # An older value counts `newer` and a newer one `older`: size times less the newer ones.
        rise = newer_upto * size - upto * newer
        fall = below * newer - newer_below * size
        farthest = max(farthest, rise, fall)
    return farthest


@kernel
def _update(
    windows: Floats,
    states: Ints,
    values: Floats,
    rows: Ints,
    start: Ints,
    newer: int,
    criticals: Ints,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was.

    A value changes the distance by the steps of both parts at most, so after a small one
    some values need no test.
    """
    events, size = values.shape[1], windows.shape[1]
    recent = np.empty(newer)
    for slot in range(len(rows)):
        alarms[slot] = events
        window, state, row = windows[slot], states[slot], values[rows[slot]]
        critical = criticals[slot]
        for event in range(start[slot], events):
            value = row[event]
            if not math.isfinite(value):
                continue
            if state[DISTANCE] >= critical:
                state[:] = 0
            window[state[HEAD]] = value
            state[HEAD] = state[HEAD] + 1 if state[HEAD] + 1 < size else 0
            state[COUNT] = min(state[COUNT] + 1, size)
            if state[COUNT] < size:
                continue
            if state[WAIT] > 0:
                state[WAIT] -= 1
                continue
            state[DISTANCE] = _distance(window, recent, state[HEAD])
            if state[DISTANCE] >= critical:
                alarms[slot] = event
                break
            state[WAIT] = (critical - state[DISTANCE] - 1) // size


class KswinBank:
    """KSWIN over many signals; see `Bank`. Costs 8 bytes a slot for each value in the window."""

    name = "kswin"

    def __init__(
        self, settings: KswinSettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        slots = len(expected)
        self._settings = settings
        self._older = settings.window_size - settings.stat_size
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._criticals = np.empty(slots, dtype=np.int64)
        self._found: dict[float, int] = {}
        self._windows = np.zeros((slots, settings.window_size))
        self._states = np.zeros((slots, 4), dtype=np.int64)
        for slot in range(slots):
            self.reset(slot)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        _update(
            self._windows,
            self._states,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            rows,
            start,
            self._settings.stat_size,
            self._criticals,
            alarms,
        )
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        The change may have begun anywhere in the window.
        """
        statistics, thresholds = self.readings()
        statistic, threshold = float(statistics[slot]), float(thresholds[slot])
        return Evidence(statistic, threshold, self._settings.window_size - 1, 0)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Empty the slot's window; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        alpha, asked = self._settings.alpha, self._expected[slot]
        if alpha is None:
            length = float(self._run_lengths[slot])
            alpha = calibrated("kswin", asked.stream, length, asked.mean).value
        if alpha not in self._found:
            newer = self._settings.stat_size
            self._found[alpha] = critical_distance(self._older, newer, alpha)
        self._criticals[slot] = self._found[alpha]
        self._states[slot] = 0

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's distance when it was last tested, and the critical one; see `Bank`."""
        unit = self._older * self._settings.stat_size
        return self._states[:, DISTANCE] / unit, self._criticals / unit

    def snapshot(self) -> State:
        """Return the windows, oldest value first, one slot's after the other's."""
        counts = self._states[:, COUNT]
        ages = np.arange(self._windows.shape[1])
        # A window that is not full begins at place 0.
        oldest = np.where(counts == len(ages), self._states[:, HEAD], 0)[:, np.newaxis]
        places = (oldest + ages) % len(ages)
        windows = np.take_along_axis(self._windows, places, axis=1)
        return {
            "counts": counts.copy(),
            "waits": self._states[:, WAIT].copy(),
            "distances": self._states[:, DISTANCE].copy(),
            "values": windows[ages < counts[:, np.newaxis]],
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._states))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the windows of some slots; see `Bank`."""
        counts = array(state, "counts").astype(np.int64)
        waits, distances, values = (array(state, name) for name in ("waits", "distances", "values"))
        ends = np.cumsum(counts)
        size = self._windows.shape[1]
        for slot, its in zip(slots.tolist(), theirs.tolist(), strict=True):
            count = int(counts[its])
            self._windows[slot, :count] = values[ends[its] - count : ends[its]]
            self._states[slot] = count, count % size, waits[its], distances[its]
