"""EDDM: errors that have come closer together than they ever were apart.

Baena-Garcia, del Campo-Avila, Fidalgo, Bifet, Gavalda, Morales-Bueno, Early drift detection
method, 4th International Workshop on Knowledge Discovery from Data Streams, 2006. Arithmetic,
its order and the initial values are those of `river.drift.binary.EDDM` (river 0.26), so alarms
come at the same values.
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

COUNT, ERRORS, LAST_ERROR, MEAN, SQUARES, WIDEST, WIDEST_COUNT, ALARMED = range(8)
"""Places in a slot's sums. MEAN is that of the distances between errors, SQUARES the sum of
their squared deviations. WIDEST is the largest mean plus two standard deviations there was,
WIDEST_COUNT the count of values then. ALARMED is 1 after an alarm: the next value starts anew."""


class EddmSettings(BaseModel):
    """Settings of an EDDM bank. It takes 0/1 signals and looks for rises only.

    The widest distances are those of its first errors, by chance, so it alarms soon or hardly
    ever: no `beta` keeps a long run length. Where the alert budget asks for one that was not
    reached in simulation, it has the `beta` that alarms least of those tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["eddm"] = Field(default="eddm", description="Which detector this is.")
    warm_start: int = Field(default=30, ge=0, description="Values and errors before it may alarm.")
    beta: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the widest distance below which it alarms; without it, by the "
        "alert budget (river: 0.9).",
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "eddm" if self.beta is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "beta")
        return self


@kernel
def _clear(sums: Floats) -> None:
    """Set a slot's sums as new."""
    sums[:] = 0.0
    sums[WIDEST] = -1.0


@kernel
def _distance(sums: Floats) -> float:
    """Return the mean distance between errors and two standard deviations."""
    errors = sums[ERRORS]
    variance = sums[SQUARES] / (errors - 1.0) if errors > 1.0 else 0.0
    return float(sums[MEAN]) + 2.0 * math.sqrt(variance)


@kernel
def _err(sums: Floats, warm_start: float, beta: float) -> bool:
    """Take an error at the slot's present count; tell whether it alarms."""
    count = sums[COUNT]
    sums[ERRORS] += 1.0
    distance, old = count - sums[LAST_ERROR], sums[MEAN]
    sums[MEAN] += (1.0 / sums[ERRORS]) * (distance - old)
    sums[SQUARES] += (distance - old) * (distance - sums[MEAN])
    sums[LAST_ERROR] = count
    if count <= warm_start:
        return False
    now = _distance(sums)
    if now > sums[WIDEST]:
        sums[WIDEST], sums[WIDEST_COUNT] = now, count
        return False
    return bool(sums[ERRORS] > warm_start and now / sums[WIDEST] < beta)


@kernel
def _update(
    sums: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    warm_start: float,
    betas: Floats,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        alarms[slot] = events
        own, row = sums[slot], values[rows[slot]]
        for event in range(start[slot], events):
            value = row[event]
            if not math.isfinite(value):
                continue
            if own[ALARMED] > 0.0:
                _clear(own)
            own[COUNT] += 1.0
            if value == 1.0 and _err(own, warm_start, betas[slot]):
                own[ALARMED] = 1.0
                alarms[slot] = event
                break


class EddmBank:
    """EDDM over many 0/1 signals; see `Bank`. Costs 64 bytes a slot."""

    name = "eddm"

    def __init__(
        self, settings: EddmSettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        self._settings = settings
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._betas = np.empty(len(expected))
        self._sums = np.empty((len(expected), 8))
        for slot in range(len(expected)):
            self.reset(slot)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        values = np.ascontiguousarray(values)  # another layout would be compiled for anew
        warm_start = float(self._settings.warm_start)
        _update(self._sums, values, rows, start, warm_start, self._betas, alarms)
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        The statistic is the share of the widest distance that is missing. Errors were apart
        as never before until the change or before it, so that is the earliest onset.
        """
        statistics, thresholds = self.readings()
        count, widest = self._sums[slot, [COUNT, WIDEST_COUNT]].tolist()
        threshold = float(thresholds[slot])
        statistic = max(float(statistics[slot]), threshold)
        return Evidence(statistic, threshold, int(max(count - widest - 1, 0)), 0)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        beta, asked = self._settings.beta, self._expected[slot]
        if beta is None:
            length = float(self._run_lengths[slot])
            beta = calibrated("eddm", asked.stream, length, asked.mean).value
        self._betas[slot] = beta
        _clear(self._sums[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return which share of its widest distance each slot misses; see `Bank`."""
        errors, widest = self._sums[:, ERRORS], self._sums[:, WIDEST]
        able = (errors > self._settings.warm_start) & (widest > 0)
        variance = np.where(errors > 1, self._sums[:, SQUARES] / np.maximum(errors - 1, 1), 0.0)
        now = self._sums[:, MEAN] + 2 * np.sqrt(variance)
        share = np.where(able, now / np.where(able, widest, 1.0), 1.0)
        return 1.0 - share, 1.0 - self._betas

    def snapshot(self) -> State:
        """Return the sums, float64[k, 8]."""
        return {"sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self._sums[slots] = array(state, "sums")[theirs]
