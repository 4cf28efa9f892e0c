"""FOCuS: the likelihood ratio of a change of mean at any past value, to any other mean.

Romano, Eckley, Fearnhead, Rigaill, Fast online changepoint detection via functional pruning
CUSUM statistics, Journal of Machine Learning Research 24 (2023). Only values at which a convex
hull of the cumulative sum bends can be the likeliest beginning of a change, about the logarithm
of the values seen. The same hull serves any likelihood of one parameter (Ward, Romano, Eckley,
Fearnhead, A constant-per-iteration likelihood ratio test for online changepoint detection for
exponential family models, Statistics and Computing 34, 2024): here the normal one for numbers,
whose standard deviation is the reference's, and Bernoulli's for rates.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.calibration import calibrated, refuse_uncalibrated
from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints, State, Stream
from streamdrift.trees import array

CORNERS = 48
"""Corners kept of a hull. That of noise has as many after e^48 values (e^96 where the mean is
known); of a steady slope, on which all values are corners, some are kept of every age."""

COUNT, TOTAL, ALARMED = range(3)
"""Places in a slot's sums. TOTAL is of the deviations from the reference's mean. ALARMED is 1
after an alarm: the next value starts anew."""

STATISTIC, BACK, EFFECT = range(3)
"""Places in a finding: the log likelihood ratio of the likeliest change, how many values ago its
first one came, and the difference of means."""

MEAN, SCALE, THRESHOLD, LEAST_EFFECT, IS_RATE = range(5)
"""Places in what a slot is told. MEAN is subtracted from its values, and the mean before a change
where that is known; it is 0 of a rate that is not, whose sums are thus exact."""

ONSET_QUANTILE = 11.03
"""The likeliest beginning of a change of a standard deviations lies within this / a^2 values of
the true one with 95 % (Bai, Estimation of a change point in multiple regression models, Review of
Economics and Statistics 1997)."""


class FocusSettings(BaseModel):
    """Settings of a FOCuS bank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["focus"] = Field(default="focus", description="Which detector this is.")
    mean: Literal["known", "unknown"] = Field(
        default="known",
        description="Whether the mean before a change is the reference's, or estimated from "
        "the values since the start.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        description="Log likelihood ratio that alarms; without it, by the alert budget.",
    )
    minimum_effect: float = Field(
        default=0.1,
        ge=0,
        description="Smallest difference of means that alarms, in standard deviations.",
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return f"focus_{self.mean}" if self.threshold is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "threshold", free=("mean", "minimum_effect"))
        return self


@kernel
def _divergence(share: float, expected: float) -> float:
    """Return the Kullback-Leibler divergence of two Bernoulli distributions."""
    result = 0.0
    if share > 0.0:
        result += share * math.log(share / expected)
    if share < 1.0:
        result += (1.0 - share) * math.log((1.0 - share) / (1.0 - expected))
    return result


@kernel
def _ratio(
    count: float, total: float, after: float, since: float, told: Floats, known: bool
) -> tuple[float, float]:
    """Return the log likelihood ratio of a change, and the difference of means.

    `count` values have the sum of deviations `total`, the `after` last ones `since` of it.
    """
    older = count - after
    effect = since / after
    if not known:
        if older == 0.0:
            return 0.0, 0.0
        effect -= (total - since) / older
    if told[IS_RATE] == 0.0:
        weight = after if known else after * older / count
        return 0.5 * weight * (effect / told[SCALE]) * (effect / told[SCALE]), effect
    mean = told[MEAN]
    last = min(max(mean + since / after, 0.0), 1.0)
    if known:
        return after * _divergence(last, mean), effect
    pooled = total / count
    if pooled <= 0.0 or pooled >= 1.0:
        return 0.0, effect
    first = min(max((total - since) / older, 0.0), 1.0)
    return after * _divergence(last, pooled) + older * _divergence(first, pooled), effect


@kernel
def _promising(
    count: float,
    total: float,
    places: Floats,
    heights: Floats,
    size: int,
    need: float,
    least: float,
    known: bool,
) -> bool:
    """Tell whether a change from some corner of a hull on may exceed the threshold.

    Free of division and logarithm. `need` is the variance times twice the threshold: the
    square of the normal distance, of which the likelihood ratio is half.
    """
    if known:
        for corner in range(size):
            after = count - places[corner]
            rise = total - heights[corner]
            if rise * rise >= need * after and rise >= least * after:
                return True
        return False
    for corner in range(size):
        older = places[corner]
        after = count - older
        cross = (total - heights[corner]) * older - heights[corner] * after
        weight = after * older
        if cross > 0.0 and cross * cross >= need * count * weight and cross >= least * weight:
            return True
    return False


@kernel
def _find(
    sums: Floats, places: Floats, heights: Floats, sizes: Ints, told: Floats, known: bool
) -> tuple[float, float, float]:
    """Return the likeliest change of a large enough effect as a finding; zeros without one."""
    statistic, back, effect = 0.0, 0.0, 0.0
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for corner in range(sizes[side]):
            after = sums[COUNT] - places[side, corner]
            if after == 0.0:
                continue
            since = sums[TOTAL] - sign * heights[side, corner]
            ratio, size = _ratio(sums[COUNT], sums[TOTAL], after, since, told, known)
            if sign * size >= told[LEAST_EFFECT] and ratio > statistic:
                statistic, back, effect = ratio, after - 1.0, size
    return statistic, back, effect


@kernel
def _drop(places: Floats, heights: Floats, count: float) -> int:
    """Drop a full hull's corner whose neighbours are nearest by its age; return the new size."""
    least, dropped = np.inf, 1
    for corner in range(1, CORNERS - 1):
        gap = (places[corner + 1] - places[corner - 1]) / (count - places[corner])
        if gap < least:
            least, dropped = gap, corner
    for corner in range(dropped, CORNERS - 1):
        places[corner], heights[corner] = places[corner + 1], heights[corner + 1]
    return CORNERS - 1


@kernel
def _push(
    places: Floats, heights: Floats, size: int, count: float, height: float, known: bool
) -> int:
    """Add a corner to a hull, whose slopes rise (above 0 where `known`); return its new size.

    What is as good as on a straight line is no corner: rounding would make many.
    """
    while size > 0:
        place, top = places[size - 1], heights[size - 1]
        if size > 1:
            slope = (height - top) * (place - places[size - 2])
            if (top - heights[size - 2]) * (count - place) < slope - 1e-12 * abs(slope):
                break
        elif not known or height > top:
            break
        size -= 1
    if size == CORNERS:
        size = _drop(places, heights, count)
    places[size], heights[size] = count, height
    return size + 1


@kernel
def _clear(sums: Floats, places: Floats, heights: Floats, sizes: Ints) -> None:
    """Set a slot as new: the only corners are those before its first value."""
    sums[:] = 0.0
    places[:] = 0.0
    heights[:] = 0.0
    sizes[:] = 1


@kernel
def _run(
    sums: Floats,
    places: Floats,
    heights: Floats,
    sizes: Ints,
    values: Floats,
    event: int,
    told: Floats,
    known: bool,
    finding: Floats,
) -> int:
    """Take values from `event` on into a slot, up to one that alarms.

    Return its place; len(values) if there is none. What is promising is widened by more than
    rounding can do. For a rate the chi-square statistic is twice what bounds the likelihood
    ratio (Kullback-Leibler divergences are below it, not below half of it).
    """
    count, total = sums[COUNT], sums[TOTAL]
    up, up_heights, up_size = places[0], heights[0], sizes[0]
    down, down_heights, down_size = places[1], heights[1], sizes[1]
    mean, is_rate = told[MEAN], told[IS_RATE] > 0.0
    twice = 2.0 * told[THRESHOLD] * (1.0 - 1e-9)
    least = told[LEAST_EFFECT] * (1.0 - 1e-9)
    need = twice * (0.5 * mean * (1.0 - mean) if is_rate else told[SCALE] * told[SCALE])
    while event < len(values):
        value = values[event]
        event += 1
        if not math.isfinite(value):
            continue
        count += 1.0
        total += value - mean
        if is_rate and not known:
            need = twice * 0.5 * (total / count) * (1.0 - total / count)
        if _promising(count, total, up, up_heights, up_size, need, least, known) or _promising(
            count, -total, down, down_heights, down_size, need, least, known
        ):
            sums[COUNT], sums[TOTAL] = count, total
            sizes[0], sizes[1] = up_size, down_size
            finding[STATISTIC], finding[BACK], finding[EFFECT] = _find(
                sums, places, heights, sizes, told, known
            )
            if finding[STATISTIC] >= told[THRESHOLD]:
                sums[ALARMED] = 1.0
                return event - 1
        up_size = _push(up, up_heights, up_size, count, total, known)
        down_size = _push(down, down_heights, down_size, count, -total, known)
    sums[COUNT], sums[TOTAL] = count, total
    sizes[0], sizes[1] = up_size, down_size
    return event


@kernel
def _update(
    sums: Floats,
    places: Floats,
    heights: Floats,
    sizes: Ints,
    findings: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    told: Floats,
    known: bool,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        row, event = values[rows[slot]], start[slot]
        if sums[slot, ALARMED] > 0.0:
            while event < events and not math.isfinite(row[event]):
                event += 1
            if event < events:
                _clear(sums[slot], places[slot], heights[slot], sizes[slot])
        alarms[slot] = events
        if event < events:
            alarms[slot] = _run(
                sums[slot],
                places[slot],
                heights[slot],
                sizes[slot],
                row,
                event,
                told[slot],
                known,
                findings[slot],
            )


@kernel
def _read(
    sums: Floats,
    places: Floats,
    heights: Floats,
    sizes: Ints,
    told: Floats,
    known: bool,
    statistics: Floats,
) -> None:
    """Fill in every slot's largest log likelihood ratio as it stands."""
    for slot in range(len(sums)):
        statistics[slot], _, _ = _find(
            sums[slot], places[slot], heights[slot], sizes[slot], told[slot], known
        )


class FocusBank:
    """FOCuS over many signals; see `Bank`. Costs 1.7 kB a slot."""

    name = "focus"

    def __init__(
        self, settings: FocusSettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        slots = len(expected)
        self._settings = settings
        self._known = settings.mean == "known"
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._told = np.empty((slots, 5))
        self._sums = np.zeros((slots, 3))
        self._places = np.zeros((slots, 2, CORNERS))
        self._heights = np.zeros((slots, 2, CORNERS))
        self._sizes = np.ones((slots, 2), dtype=np.int64)
        self._findings = np.zeros((slots, 3))
        for slot in range(slots):
            self.reset(slot)

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        _update(
            self._sums,
            self._places,
            self._heights,
            self._sizes,
            self._findings,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            rows,
            start,
            self._told,
            self._known,
            alarms,
        )
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`.

        The onset is the likeliest beginning and a 95 % interval about it. What alarms looks
        larger than it is: the interval is that of an effect a standard error less.
        """
        statistic, back, effect = self._findings[slot].tolist()
        expected, threshold = self._expected[slot], float(self._told[slot, THRESHOLD])
        variance = expected.scale**2
        if expected.stream is Stream.RATE:
            after = min(max(expected.mean + effect, 0.0), 1.0)
            variance = max(variance, after * (1 - after))
        least = abs(effect) * max(1 - 1 / math.sqrt(2 * statistic), 0.1)
        oldest = int(self._sums[slot, COUNT]) - 1
        margin = math.ceil(min(ONSET_QUANTILE * variance / least**2, oldest))
        earliest, latest = min(int(back) + margin, oldest), max(int(back) - margin, 0)
        return Evidence(statistic, threshold, earliest, latest)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Forget the slot's past; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        asked, settings = self._expected[slot], self._settings
        is_rate = asked.stream is Stream.RATE
        threshold = settings.threshold
        if threshold is None:
            length = float(self._run_lengths[slot])
            threshold = calibrated(f"focus_{settings.mean}", asked.stream, length, asked.mean).value
        self._told[slot] = (
            0.0 if is_rate and not self._known else asked.mean,
            asked.scale,
            threshold,
            settings.minimum_effect * asked.scale,
            is_rate,
        )
        _clear(self._sums[slot], self._places[slot], self._heights[slot], self._sizes[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's largest log likelihood ratio and its threshold; see `Bank`."""
        statistics = np.empty(len(self._sums))
        _read(
            self._sums,
            self._places,
            self._heights,
            self._sizes,
            self._told,
            self._known,
            statistics,
        )
        return statistics, self._told[:, THRESHOLD].copy()

    def snapshot(self) -> State:
        """Return the sums, and the corners in use: side 0's of slot 0, then side 1's, and on."""
        used = np.arange(CORNERS) < self._sizes[:, :, np.newaxis]
        return {
            "sums": self._sums.copy(),
            "sizes": self._sizes.astype(np.uint8),
            "places": self._places[used],
            "heights": self._heights[used],
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over sums and corners of some slots; see `Bank`."""
        sizes = array(state, "sizes").astype(np.int64)
        used = np.arange(CORNERS) < sizes[:, :, np.newaxis]
        self._sums[slots] = array(state, "sums")[theirs]
        self._sizes[slots] = sizes[theirs]
        for own, stored in ((self._places, "places"), (self._heights, "heights")):
            corners = np.zeros(used.shape)
            corners[used] = array(state, stored)
            own[slots] = corners[theirs]
