"""HDDM: a mean that differs from what it was by more than a bound of large deviations.

Frias-Blanco, del Campo-Avila, Ramos-Jimenez, Morales-Bueno, Ortiz-Diaz, Caballero-Mota, Online
and non-parametric drift detection methods based on Hoeffding's bounds, IEEE Transactions on
Knowledge and Data Engineering 27(3), 2015. The A test compares plain means by Hoeffding's
inequality, the W test exponentially weighted ones by McDiarmid's. Arithmetic, its order and the
initial values are those of `river.drift.binary.HDDMA` and `HDDMW` (river 0.26), so alarms come
at the same values. Values lie within [0, 1].
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

COUNT, MEAN, WEIGHT, CUT, CUT_COUNT, CUT_MEAN, CUT_WEIGHT, SINCE_MEAN, SINCE_WEIGHT, ALARMED = (
    range(10)
)
"""Places in a side's sums. COUNT, MEAN and WEIGHT are of all values, CUT_... of those up to the
cut after which the mean is thought to have risen (side 0) or fallen (side 1), SINCE_... of those
after it. The A test knows counts and plain means and needs no more; in the W test means are
weighted, WEIGHT is the sum of the squared weights, and CUT the least (greatest) bound of the mean.
ALARMED is 1 after an alarm: the next value starts anew."""

RISE, FALL = 0, 1

LATE_CUT = 1.25
"""Values in which a change began, for each value since the cut."""


class HddmASettings(BaseModel):
    """Settings of a bank of HDDM's A test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["hddm_a"] = Field(default="hddm_a", description="Which detector this is.")
    drift_confidence: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Significance of a difference; without it, by the alert budget (river: 0.001).",
    )
    two_sided_test: bool = Field(
        default=True, description="Whether to look for falls as well (river: false)."
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "hddm_a" if self.drift_confidence is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "drift_confidence", free=("two_sided_test",))
        return self


class HddmWSettings(BaseModel):
    """Settings of a bank of HDDM's W test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["hddm_w"] = Field(default="hddm_w", description="Which detector this is.")
    drift_confidence: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Significance of a difference; without it, by the alert budget (river: 0.001).",
    )
    lambda_val: float = Field(
        default=0.05, gt=0, lt=1, description="Weight of a new value in the means."
    )
    two_sided_test: bool = Field(
        default=True, description="Whether to look for falls as well (river: false)."
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "hddm_w" if self.drift_confidence is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "drift_confidence", free=("two_sided_test",))
        return self


@kernel
def _clear(sums: Floats) -> None:
    """Set the sums of both of a slot's sides as new."""
    sums[:] = 0.0
    sums[:, WEIGHT] = 1.0
    sums[:, SINCE_WEIGHT] = 1.0
    sums[RISE, CUT] = np.inf
    sums[FALL, CUT] = -np.inf


@kernel
def _take_a(own: Floats, value: float, log_one: float, sign: float) -> None:
    """Take a value into a side of the A test; `sign` is 1 where rises are looked for."""
    own[COUNT] += 1.0
    own[MEAN] += (1.0 / own[COUNT]) * (value - own[MEAN])
    margin = math.sqrt(1.0 / (2.0 * own[COUNT]) * log_one)
    if own[CUT_COUNT] > 0.0:
        cut_margin = math.sqrt(1.0 / (2.0 * own[CUT_COUNT]) * log_one)
        cut = own[CUT_MEAN] + sign * cut_margin
        now = own[MEAN] + sign * margin
        if sign * cut < sign * now:
            return
    own[CUT_COUNT], own[CUT_MEAN] = own[COUNT], own[MEAN]


@kernel
def _compare_a(own: Floats, log_two: float, sign: float) -> tuple[float, float]:
    """Return by how much the mean has risen (fallen) since the cut, and the bound of it."""
    if own[CUT_COUNT] == own[COUNT]:
        return 0.0, np.inf
    share = (own[COUNT] - own[CUT_COUNT]) / own[CUT_COUNT] * (1.0 / own[COUNT])
    bound = math.sqrt(share / 2.0 * log_two)
    return (own[MEAN] - own[CUT_MEAN] if sign > 0.0 else own[CUT_MEAN] - own[MEAN]), bound


@kernel
def _take_w(
    own: Floats, value: float, log_one: float, sign: float, fading: float, kept: float
) -> None:
    """Take a value into a side of the W test; `kept` is (1 - fading) squared."""
    own[COUNT] += 1.0
    own[MEAN] = value if own[COUNT] == 1.0 else fading * value + (1.0 - fading) * own[MEAN]
    own[WEIGHT] = fading * fading + kept * own[WEIGHT]
    bound = own[MEAN] + sign * math.sqrt(own[WEIGHT] * log_one / 2.0)
    if sign * bound < sign * own[CUT]:
        own[CUT] = bound
        own[CUT_COUNT], own[CUT_MEAN], own[CUT_WEIGHT] = own[COUNT], own[MEAN], own[WEIGHT]
        own[SINCE_WEIGHT] = 1.0
        return
    first = own[COUNT] == own[CUT_COUNT] + 1.0
    own[SINCE_MEAN] = value if first else fading * value + (1.0 - fading) * own[SINCE_MEAN]
    own[SINCE_WEIGHT] = fading * fading + kept * own[SINCE_WEIGHT]


@kernel
def _compare_w(own: Floats, log_one: float, sign: float) -> tuple[float, float]:
    """Return by how much the mean has risen (fallen) since the cut, and the bound of it."""
    if own[CUT_COUNT] == own[COUNT]:
        return 0.0, np.inf
    bound = math.sqrt((own[CUT_WEIGHT] + own[SINCE_WEIGHT]) * log_one / 2.0)
    return sign * (own[SINCE_MEAN] - own[CUT_MEAN]), bound


@kernel
def _update(
    sums: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    logs: Floats,
    fading: float,
    kept: float,
    sides: int,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was.

    A `fading` of 0 is the A test.
    """
    events = values.shape[1]
    for slot in range(len(rows)):
        alarms[slot] = events
        own, row = sums[slot], values[rows[slot]]
        log_one, log_two = logs[slot]
        for event in range(start[slot], events):
            value = row[event]
            if not math.isfinite(value):
                continue
            if own[RISE, ALARMED] > 0.0:
                _clear(own)
            for side in range(sides):
                sign = 1.0 if side == RISE else -1.0
                if fading > 0.0:
                    _take_w(own[side], value, log_one, sign, fading, kept)
                    difference, bound = _compare_w(own[side], log_one, sign)
                    found = difference > bound
                else:
                    _take_a(own[side], value, log_one, sign)
                    difference, bound = _compare_a(own[side], log_two, sign)
                    found = difference >= bound
                if found:
                    own[RISE, ALARMED] = 1.0
                    alarms[slot] = event
            if alarms[slot] == event:
                break


@kernel
def _read(sums: Floats, logs: Floats, slots: Ints, fading: float, pairs: Floats) -> None:
    """Fill in the difference of means and the bound of some slots' sides."""
    for place, slot in enumerate(slots):
        log_one, log_two = logs[slot]
        for side in range(pairs.shape[1]):
            sign = 1.0 if side == RISE else -1.0
            own = sums[slot, side]
            if fading > 0.0:
                pairs[place, side] = _compare_w(own, log_one, sign)
            else:
                pairs[place, side] = _compare_a(own, log_two, sign)


class HddmBank:
    """HDDM, test A or W, over many signals; see `Bank`. Costs 160 bytes a slot."""

    def __init__(
        self,
        settings: HddmASettings | HddmWSettings,
        expected: Sequence[Expected],
        run_lengths: Floats,
    ) -> None:
        self.name = settings.kind
        self._settings = settings
        self._fading = settings.lambda_val if isinstance(settings, HddmWSettings) else 0.0
        self._sides = 2 if settings.two_sided_test else 1
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._logs = np.empty((len(expected), 2))
        self._sums = np.empty((len(expected), 2, 10))
        for slot in range(len(expected)):
            self.reset(slot)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        values = np.ascontiguousarray(values)  # another layout would be compiled for anew
        kept = (1 - self._fading) ** 2
        _update(
            self._sums, values, rows, start, self._logs, self._fading, kept, self._sides, alarms
        )
        return alarms

    def _sides_of(self, slots: Ints) -> Floats:
        """Return the difference of means and the bound of slots' sides, float64[k, sides, 2]."""
        pairs = np.empty((len(slots), self._sides, 2))
        _read(self._sums, self._logs, slots, self._fading, pairs)
        return pairs

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        Most often the change began after the cut; the cut may come late by a quarter of the
        values since.
        """
        pairs = self._sides_of(np.array([slot]))[0]
        side = int(np.argmax(pairs[:, 0] / pairs[:, 1]))
        statistic, threshold = pairs[side].tolist()
        count, cut = self._sums[slot, side, [COUNT, CUT_COUNT]].tolist()
        earliest = min(math.ceil(LATE_CUT * (count - cut)), count)
        return Evidence(statistic, threshold, int(earliest) - 1, 0)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        confidence, asked = self._settings.drift_confidence, self._expected[slot]
        if confidence is None:
            length = float(self._run_lengths[slot])
            confidence = calibrated(self.name, asked.stream, length, asked.mean).value
        self._logs[slot] = math.log(1 / confidence), math.log(2 / confidence)
        _clear(self._sums[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's stronger difference of means and its bound; see `Bank`."""
        pairs = self._sides_of(np.arange(len(self._sums)))
        stronger = np.argmax(pairs[:, :, 0] / pairs[:, :, 1], axis=1)
        statistics, bounds = np.take_along_axis(pairs, stronger[:, None, None], axis=1)[:, 0].T
        known = np.isfinite(bounds)
        return np.where(known, np.maximum(statistics, 0), 0.0), np.where(known, bounds, 1.0)

    def snapshot(self) -> State:
        """Return the sums, float64[k, 2, 10]."""
        return {"sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self._sums[slots] = array(state, "sums")[theirs]
