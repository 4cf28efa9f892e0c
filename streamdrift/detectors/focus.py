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
from streamdrift.detectors.hull import (
    CORNERS,
    COUNT,
    THRESHOLD,
    clear,
    read,
    update,
)
from streamdrift.records import Floats, Ints, State, Stream
from streamdrift.trees import array

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
        update(
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
        clear(self._sums[slot], self._places[slot], self._heights[slot], self._sizes[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's largest log likelihood ratio and its threshold; see `Bank`."""
        statistics = np.empty(len(self._sums))
        read(
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
