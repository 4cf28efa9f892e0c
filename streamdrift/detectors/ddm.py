"""DDM: an error rate that has risen well above the lowest it has been.

Gama, Medas, Castillo, Rodrigues, Learning with drift detection, SBIA 2004. Arithmetic, its
order and the initial values are those of `river.drift.binary.DDM` (river 0.26), so alarms come
at the same values.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.calibration import calibrated, refuse_uncalibrated
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints, State
from streamdrift.trees import array

COUNT, RATE, LOWEST_RATE, LOWEST_SPREAD, LOWEST_SUM, LOWEST_COUNT, ALARMED = range(7)
"""Places in a slot's sums. LOWEST are rate and spread, their sum and the count when that sum
was least. ALARMED is 1 after an alarm: the next value starts anew."""

WARM_START_ONES = 30
"""Ones to expect in a warm start that the settings leave open. Fewer would often be none, and
then the first 1 after it is an alarm at any threshold."""

_LEAST_SPREAD = 1e-12
"""What a spread of 0 counts as: a rate that was 0 rises above any multiple of it."""


class DdmSettings(BaseModel):
    """Settings of a DDM bank. It takes 0/1 signals and looks for rises only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ddm"] = Field(default="ddm", description="Which detector this is.")
    warm_start: int | None = Field(
        default=None,
        ge=0,
        description="Values before it may alarm; without it, as many as hold 30 ones by the "
        "reference (river: 30).",
    )
    drift_threshold: float | None = Field(
        default=None,
        gt=0,
        description="Rise above the lowest rate that alarms, in its standard deviations; "
        "without it, by the alert budget (river: 3).",
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "ddm" if self.drift_threshold is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "drift_threshold")
        return self


@kernel
def _clear(sums: Floats) -> None:
    """Set a slot's sums as new."""
    sums[:] = 0.0
    sums[LOWEST_SUM] = np.inf


@kernel
def _update(
    sums: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    warm_starts: Floats,
    thresholds: Floats,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        alarms[slot] = events
        own, row = sums[slot], values[rows[slot]]
        warm_start, threshold = warm_starts[slot], thresholds[slot]
        count, rate = own[COUNT], own[RATE]
        for event in range(start[slot], events):
            value = row[event]
            if not math.isfinite(value):
                continue
            if own[ALARMED] > 0.0:
                _clear(own)
                count, rate = 0.0, 0.0
            count += 1.0
            rate += (1.0 / count) * (value - rate)
            if count <= warm_start:
                continue
            spread = math.sqrt(max(rate * (1.0 - rate) / count, 0.0))
            if rate + spread <= own[LOWEST_SUM]:
                own[LOWEST_RATE], own[LOWEST_SPREAD] = rate, spread
                own[LOWEST_SUM], own[LOWEST_COUNT] = rate + spread, count
            if rate + spread > own[LOWEST_RATE] + threshold * own[LOWEST_SPREAD]:
                own[ALARMED] = 1.0
                alarms[slot] = event
                break
        own[COUNT], own[RATE] = count, rate


class DdmBank:
    """DDM over many 0/1 signals; see `Bank`. Costs 56 bytes a slot."""

    name = "ddm"

    def __init__(
        self, settings: DdmSettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        self._settings = settings
        self._warm_starts = np.empty(len(expected))
        self._thresholds = np.empty(len(expected))
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._sums = np.empty((len(expected), 7))
        for slot in range(len(expected)):
            self.reset(slot)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        # Another layout would be compiled for anew.
        values = np.ascontiguousarray(values)
        _update(self._sums, values, rows, start, self._warm_starts, self._thresholds, alarms)
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        The statistic is the distance from the lowest rate in its standard deviations. The
        lowest rate comes about at the change or before it, so that is the earliest onset.
        """
        statistics, thresholds = self.readings()
        count, lowest = self._sums[slot, [COUNT, LOWEST_COUNT]].tolist()
        threshold = float(thresholds[slot])
        statistic = max(float(statistics[slot]), threshold)
        return Evidence(statistic, threshold, int(max(count - lowest - 1, 0)), 0)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        asked, settings = self._expected[slot], self._settings
        warm_start, threshold = settings.warm_start, settings.drift_threshold
        if warm_start is None:
            warm_start = math.ceil(WARM_START_ONES / asked.mean)
        if threshold is None:
            length = float(self._run_lengths[slot])
            threshold = calibrated("ddm", asked.stream, length, asked.mean).value
        self._warm_starts[slot], self._thresholds[slot] = warm_start, threshold
        _clear(self._sums[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's distance from its lowest rate, and the threshold; see `Bank`."""
        count, rate, lowest_rate, lowest_spread, lowest_sum, _, _ = self._sums.T
        spread = np.sqrt(np.maximum(rate * (1 - rate) / np.maximum(count, 1), 0))
        distance = (rate + spread - lowest_rate) / np.maximum(lowest_spread, _LEAST_SPREAD)
        return np.where(np.isfinite(lowest_sum), distance, 0.0), self._thresholds.copy()

    def snapshot(self) -> State:
        """Return the sums, float64[k, 7]."""
        return {"sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self._sums[slots] = array(state, "sums")[theirs]
