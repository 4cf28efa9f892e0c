"""ADWIN: a window that grows while nothing changes and drops its old part when something does.

Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SIAM SDM 2007.
Alarms come at the same values as those of river's `AdaptiveWindowing` (river 0.26); after an
alarm the newer part of the window stays, as in the paper.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamdrift.detectors.adaptive_window import STATISTIC, THRESHOLD, readings, update
from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.calibration import calibrated, refuse_uncalibrated
from streamdrift.detectors.exponential_histogram import CONSTANT, LEVELS
from streamdrift.records import Floats, Ints, State


class AdwinSettings(BaseModel):
    """Settings of an ADWIN bank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["adwin"] = Field(default="adwin", description="Which detector this is.")
    delta: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Significance of a cut: smaller alarms less; without it, by the alert budget "
        "(river: 0.002).",
    )
    clock: int = Field(default=32, ge=1, description="Look for cuts every so many values.")
    max_buckets: int = Field(default=5, ge=2, le=100, description="Buckets kept of each size.")
    min_window_length: int = Field(
        default=5, ge=1, description="Values a cut needs on both sides at least."
    )
    grace_period: int = Field(
        default=10, ge=0, description="Do not look before more than this many values."
    )
    minimum_effect: float = Field(
        default=0.1,
        ge=0,
        description="Smallest difference of means that alarms, in standard deviations.",
    )

    @property
    def calibration(self) -> str | None:
        """The table that gives what is not stated; None where all is."""
        return "adwin" if self.delta is None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_uncalibrated(self, "delta", free=("minimum_effect",))
        return self


class AdwinBank:
    """ADWIN over many signals; see `Bank`. Costs about 3 kB a slot."""

    name = "adwin"

    def __init__(
        self, settings: AdwinSettings, expected: Sequence[Expected], run_lengths: Floats
    ) -> None:
        slots = len(expected)
        buckets = (slots, LEVELS, settings.max_buckets + 1)
        self._settings = settings
        self._expected = list(expected)
        self._run_lengths = run_lengths.copy()
        self._deltas = np.empty(slots)
        self._least_effect = np.empty(slots)
        self._totals = np.zeros(buckets)
        self._variances = np.zeros(buckets)
        self._heads = np.zeros((slots, LEVELS), dtype=np.int64)
        self._counts = np.zeros((slots, LEVELS), dtype=np.int64)
        self._moments = np.zeros((slots, 4))
        self._ticks = np.zeros(slots, dtype=np.int64)
        self._findings = np.zeros((slots, 6))
        for slot in range(slots):
            self.reset(slot)

    @property
    def moments(self) -> Floats:
        """Sum, sum of squared deviations, and length of each window, in float64[k, 3]."""
        return self._moments[:, :CONSTANT]

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        settings = self._settings
        alarms = np.empty(len(rows), dtype=np.int64)
        update(
            self._totals,
            self._variances,
            self._heads,
            self._counts,
            self._moments,
            self._ticks,
            self._findings,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            rows,
            start,
            self._deltas,
            settings.clock,
            float(settings.min_window_length),
            float(settings.grace_period),
            self._least_effect,
            alarms,
        )
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`."""
        statistic, threshold, _, _, earliest, latest = self._findings[slot].tolist()
        return Evidence(statistic, threshold, int(earliest), int(latest))

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Empty the slot's window; see `Bank`."""
        if expected is not None:
            self._expected[slot] = expected
        if run_length is not None:
            self._run_lengths[slot] = run_length
        asked, delta = self._expected[slot], self._settings.delta
        if delta is None:
            length = float(self._run_lengths[slot])
            delta = calibrated("adwin", asked.stream, length, asked.mean).value
        self._deltas[slot] = delta
        self._least_effect[slot] = self._settings.minimum_effect * asked.scale
        self._heads[slot] = 0
        self._counts[slot] = 0
        self._moments[slot] = 0.0
        self._ticks[slot] = 0

    def readings(self) -> tuple[Floats, Floats]:
        """Return each window's strongest difference of means and its epsilon; see `Bank`."""
        settings = self._settings
        findings = np.zeros_like(self._findings)
        readings(
            self._totals,
            self._heads,
            self._counts,
            self._moments,
            self._deltas,
            float(settings.min_window_length),
            float(settings.grace_period),
            findings,
        )
        return findings[:, STATISTIC].copy(), findings[:, THRESHOLD].copy()

    def snapshot(self) -> State:
        """Return the windows; of the buckets, those in use, oldest first in each level."""
        levels = int(np.max(np.sum(self._counts > 0, axis=1), initial=0))
        used = self._used()
        return {
            "counts": self._counts[:, :levels].astype(np.uint8),
            "totals": self._totals[used],
            "variances": self._variances[used],
            "moments": self._moments.copy(),
            "ticks": self._ticks.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        everything = np.arange(len(self._counts))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the windows of some slots; see `Bank`."""
        arrays = cast("Mapping[str, NDArray[np.generic]]", state)
        counts = arrays["counts"].astype(np.int64)
        # Buckets lie one slot after the other.
        owner = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        taken = np.isin(owner, theirs)
        self._counts[slots] = 0
        self._counts[slots, : counts.shape[1]] = counts[theirs]
        self._heads[slots] = 0
        slot, level, place = self._used()
        ours = np.isin(slot, slots)
        used = slot[ours], level[ours], place[ours]
        self._totals[used] = arrays["totals"][taken]
        self._variances[used] = arrays["variances"][taken]
        self._moments[slots] = arrays["moments"][theirs]
        self._ticks[slots] = arrays["ticks"][theirs]

    def _used(self) -> tuple[Ints, Ints, Ints]:
        """Return slot, level and place of every bucket in use, in order of age per level."""
        ages = np.arange(self._totals.shape[2])
        slot, level, age = np.nonzero(ages < self._counts[:, :, np.newaxis])
        return slot, level, (self._heads[slot, level] + age) % len(ages)
