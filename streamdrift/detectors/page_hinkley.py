"""The Page-Hinkley test: a cumulative sum of deviations from the running mean.

Page, Continuous inspection schemes, Biometrika 41 (1954). Arithmetic, its order and the
initial values are those of `river.drift.PageHinkley` (river 0.26), so alarms come at the
same values.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.calibration import LEAST_RATE, calibrated, refuse_uncalibrated
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints, State, Stream

(
    COUNT,
    MEAN,
    TOTAL,
    RISE,
    LOWEST,
    LOWEST_COUNT,
    LOWEST_TOTAL,
    FALL,
    HIGHEST,
    HIGHEST_COUNT,
    HIGHEST_TOTAL,
    ALARMED,
) = range(12)
"""Places in a slot's sums. RISE and FALL are the cumulative sums that look for an increase
and a decrease; LOWEST and HIGHEST their extremes, each with the count and total of the values
seen by then. ALARMED is 1 after an alarm: the next value starts anew."""

STATISTIC, THRESHOLD, BEFORE, AFTER, BACK = range(5)
"""Places in a slot's findings; BACK is the first value after the extreme, counted back."""

ONSET_QUANTILE = 2.76
"""The extreme of a random walk that drifts away from it by a standard deviations a value lies
within this / a^2 values with 97.5 % (Bai, Estimation of a change point in multiple regression
models, Review of Economics and Statistics 1997)."""

Mode = Literal["up", "down", "both"]


class PageHinkleySettings(BaseModel):
    """Settings of a Page-Hinkley bank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["page_hinkley"] = Field(
        default="page_hinkley", description="Which detector this is."
    )
    min_instances: int = Field(default=30, ge=1, description="Values before it may alarm.")
    delta: float = Field(
        default=0.25, ge=0, description="Allowance for each value, in standard deviations."
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        description="Cumulative sum that alarms, in standard deviations; without it, by the "
        "alert budget (river: 50, in the signal's own units).",
    )
    headroom: float = Field(
        default=5.0,
        ge=0,
        description="Added to a stated threshold, in the signal's own units: a few rare 1s pass.",
    )
    alpha: float = Field(
        default=1.0, gt=0, le=1, description="Factor by which sums fade; 1 forgets nothing."
    )
    mode: Mode = Field(default="both", description="Whether to look for rises, falls, or both.")
    minimum_effect: float = Field(
        default=0.1,
        ge=0,
        description="Smallest difference of means that alarms, in standard deviations.",
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "page_hinkley" if self.threshold is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "threshold", free=("headroom", "mode", "minimum_effect"))
        return self


@kernel
def _start(sums: Floats) -> None:
    """Set a slot's sums as new."""
    sums[:] = 0.0
    sums[LOWEST] = np.inf
    sums[HIGHEST] = -1.0


@kernel
def _find(sums: Floats, up: bool, threshold: float, finding: Floats) -> float:
    """Fill in the finding of an alarm; return the difference of means."""
    count, total = sums[LOWEST_COUNT], sums[LOWEST_TOTAL]
    finding[STATISTIC] = sums[RISE] - sums[LOWEST]
    if not up:
        count, total = sums[HIGHEST_COUNT], sums[HIGHEST_TOTAL]
        finding[STATISTIC] = sums[HIGHEST] - sums[FALL]
    finding[THRESHOLD] = threshold
    finding[BEFORE] = total / count
    finding[AFTER] = (sums[TOTAL] - total) / max(sums[COUNT] - count, 1.0)
    finding[BACK] = max(sums[COUNT] - count - 1.0, 0.0)
    return math.fabs(finding[AFTER] - finding[BEFORE])


@kernel
def _run(
    sums: Floats,
    values: Floats,
    event: int,
    min_instances: float,
    delta: float,
    threshold: float,
    alpha: float,
    upward: bool,
    downward: bool,
) -> int:
    """Take values from `event` on into a slot's sums, up to one that exceeds the threshold.

    Return its place; len(values) if there is none. The sums are held in registers, and
    extremes are chosen rather than branched on, as new ones come too irregularly for a
    processor to foresee: together three times as fast.
    """
    count, mean, total = sums[COUNT], sums[MEAN], sums[TOTAL]
    rise, lowest = sums[RISE], sums[LOWEST]
    lowest_count, lowest_total = sums[LOWEST_COUNT], sums[LOWEST_TOTAL]
    fall, highest = sums[FALL], sums[HIGHEST]
    highest_count, highest_total = sums[HIGHEST_COUNT], sums[HIGHEST_TOTAL]
    while event < len(values):
        value = values[event]
        event += 1
        if not math.isfinite(value):
            continue
        count += 1.0
        total += value
        mean += (1.0 / count) * (value - mean)
        deviation = value - mean
        rise = alpha * rise + deviation - delta
        fall = alpha * fall + deviation + delta
        lower = rise < lowest
        lowest = rise if lower else lowest
        lowest_count = count if lower else lowest_count
        lowest_total = total if lower else lowest_total
        higher = fall > highest
        highest = fall if higher else highest
        highest_count = count if higher else highest_count
        highest_total = total if higher else highest_total
        above = (upward and rise - lowest > threshold) or (downward and highest - fall > threshold)
        if above and count >= min_instances:
            sums[ALARMED] = 1.0
            event -= 1
            break
    sums[COUNT], sums[MEAN], sums[TOTAL] = count, mean, total
    sums[RISE], sums[LOWEST] = rise, lowest
    sums[LOWEST_COUNT], sums[LOWEST_TOTAL] = lowest_count, lowest_total
    sums[FALL], sums[HIGHEST] = fall, highest
    sums[HIGHEST_COUNT], sums[HIGHEST_TOTAL] = highest_count, highest_total
    return event


@kernel
def _update(
    sums: Floats,
    findings: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    min_instances: float,
    deltas: Floats,
    thresholds: Floats,
    alpha: float,
    upward: bool,
    downward: bool,
    least_effect: Floats,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        alarms[slot] = events
        own, row = sums[slot], values[rows[slot]]
        delta, threshold = deltas[slot], thresholds[slot]
        event = start[slot]
        while event < events:
            if own[ALARMED] > 0.0:
                event = _next_finite(row, event)
                if event == events:
                    break
                _start(own)
            event = _run(own, row, event, min_instances, delta, threshold, alpha, upward, downward)
            if event == events:
                break
            up = upward and own[RISE] - own[LOWEST] > threshold
            if _find(own, up, threshold, findings[slot]) >= least_effect[slot]:
                alarms[slot] = event
                break
            event += 1


@kernel
def _next_finite(values: Floats, event: int) -> int:
    """Return the place of the next finite value from `event` on; len(values) without one."""
    while event < len(values) and not math.isfinite(values[event]):
        event += 1
    return event


def _unit(expected: Expected) -> float:
    """Return what a threshold is in: standard deviations, of a rate that is not too low.

    Else a single 1 would be above any threshold that was measured.
    """
    if expected.stream is not Stream.RATE:
        return expected.scale
    return max(expected.scale, math.sqrt(LEAST_RATE * (1 - LEAST_RATE)))


class PageHinkleyBank:
    """Page-Hinkley over many signals; see `Bank`. Costs about 150 bytes a slot."""

    name = "page_hinkley"

    def __init__(
        self, settings: PageHinkleySettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        slots = len(expected)
        self._settings = settings
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._scale = np.empty(slots)
        self._deltas = np.empty(slots)
        self._thresholds = np.empty(slots)
        self._least_effect = np.empty(slots)
        self._sums = np.empty((slots, 12))
        self._findings = np.zeros((slots, 5))
        for slot in range(slots):
            self.reset(slot)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        settings = self._settings
        alarms = np.empty(len(rows), dtype=np.int64)
        _update(
            self._sums,
            self._findings,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            rows,
            start,
            float(settings.min_instances),
            self._deltas,
            self._thresholds,
            settings.alpha,
            settings.mode != "down",
            settings.mode != "up",
            self._least_effect,
            alarms,
        )
        return alarms

    def extreme(self, slot: int) -> int:
        """Return the first value after the sum's extreme, counted back from the alarm's."""
        return int(self._findings[slot, BACK])

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        The onset is the cumulative sum's extreme and a 95 % interval about it, at the noise
        the signal had under its reference. Before the change the sum drifts by delta only,
        so its extreme tends to come too early; after it by the effect less delta.
        """
        statistic, threshold, before, after, _ = self._findings[slot].tolist()
        back, delta = self.extreme(slot), float(self._deltas[slot])
        oldest = int(self._sums[slot, COUNT]) - 1
        earlier = self._margin(slot, abs(after - before) - delta, oldest)
        later = self._margin(slot, delta, oldest)
        earliest, latest = min(back + earlier, oldest), max(back - later, 0)
        return Evidence(statistic, threshold, earliest, latest)

    def _margin(self, slot: int, drift: float, most: int) -> int:
        """Return how many values the extreme may lie off on a side with this drift."""
        noise = float(self._scale[slot]) / max(drift, 1e-300)
        return math.ceil(min(ONSET_QUANTILE * noise * noise, most))

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        asked, settings = self._expected[slot], self._settings
        self._scale[slot] = asked.scale
        self._deltas[slot] = settings.delta * asked.scale
        self._least_effect[slot] = settings.minimum_effect * asked.scale
        if settings.threshold is None:
            length = float(self._run_lengths[slot])
            threshold = calibrated(self.name, asked.stream, length, asked.mean).value
            self._thresholds[slot] = threshold * _unit(asked)
        else:
            self._thresholds[slot] = settings.threshold * asked.scale + settings.headroom
        _start(self._sums[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return the larger of each slot's two statistics and its threshold; see `Bank`."""
        sums, settings = self._sums, self._settings
        rise = sums[:, RISE] - sums[:, LOWEST]
        fall = sums[:, HIGHEST] - sums[:, FALL]
        statistic = {"up": rise, "down": fall, "both": np.maximum(rise, fall)}[settings.mode]
        able = sums[:, COUNT] >= settings.min_instances
        return np.where(able, statistic, 0.0), self._thresholds.copy()

    def snapshot(self) -> State:
        """Return the sums, float64[k, 12]."""
        return {"sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self._sums[slots] = cast("Mapping[str, NDArray[np.float64]]", state)["sums"][theirs]
