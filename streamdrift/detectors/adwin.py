"""ADWIN: a window that grows while nothing changes and drops its old part when something does.

Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SIAM SDM 2007.
The window is an exponential histogram: level i holds up to `max_buckets` buckets of 2^i
values each, oldest first, as their sum and their sum of squared deviations. Arithmetic and
its order are those of river's `AdaptiveWindowing` (river 0.26), so alarms come at the same
values; after an alarm the newer part of the window stays, as in the paper.
"""

import math
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from streamdrift.detectors.bank import Evidence
from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints, State

LEVELS = 32
"""Levels of the histogram: room for 2^32 values times `max_buckets`; the oldest go beyond."""

TOTAL, VARIANCE, WIDTH, CONSTANT = range(4)
"""Places in a slot's moments. VARIANCE is the window's sum of squared deviations; CONSTANT
the one value all values since the reset had, NaN where they differ."""

STATISTIC, THRESHOLD, BEFORE, AFTER, EARLIEST, LATEST = range(6)
"""Places in a slot's findings, in the order of `Evidence`."""

LIKELIHOOD_DROP = 7.35
"""A border belongs to the onset interval while twice its log likelihood is this close to the
best border's: 95 % for a change point (Hansen, Sample splitting and threshold estimation,
Econometrica 2000)."""


class AdwinSettings(BaseModel):
    """Settings of an ADWIN bank. The defaults are calibrated on ranks and 0/1 signals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["adwin"] = Field(default="adwin", description="Which detector this is.")
    delta: float = Field(
        default=1e-6, gt=0, lt=1, description="Significance of a cut: smaller alarms less."
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


@kernel
def _shift(totals: Floats, variances: Floats, counts: Ints, level: int, places: int) -> None:
    """Remove the oldest `places` buckets of a level."""
    remaining = counts[level] - places
    for place in range(remaining):
        totals[level, place] = totals[level, place + places]
        variances[level, place] = variances[level, place + places]
    counts[level] = remaining


@kernel
def _used_levels(counts: Ints) -> int:
    """Return how many levels there are, counted to the highest that holds a bucket."""
    levels = 1
    while levels < len(counts) and counts[levels] > 0:
        levels += 1
    return levels


@kernel
def _drop_oldest(totals: Floats, variances: Floats, counts: Ints, moments: Floats) -> None:
    """Remove the window's oldest bucket."""
    level = _used_levels(counts) - 1
    size = 2.0**level
    mean = totals[level, 0] / size
    moments[WIDTH] -= size
    moments[TOTAL] -= totals[level, 0]
    width = moments[WIDTH]
    rest = moments[TOTAL] / width
    moments[VARIANCE] -= variances[level, 0] + size * width * (mean - rest) * (mean - rest) / (
        size + width
    )
    _shift(totals, variances, counts, level, 1)


@kernel
def _insert(
    totals: Floats,
    variances: Floats,
    counts: Ints,
    moments: Floats,
    value: float,
    max_buckets: int,
) -> None:
    """Add a value to the window and merge what overflows."""
    totals[0, counts[0]] = value
    variances[0, counts[0]] = 0.0
    counts[0] += 1
    if moments[WIDTH] == 0.0:
        moments[CONSTANT] = value
    elif value != moments[CONSTANT]:
        moments[CONSTANT] = np.nan
    moments[WIDTH] += 1.0
    width = moments[WIDTH]
    if width > 1.0:
        deviation = value - moments[TOTAL] / (width - 1.0)
        moments[VARIANCE] += (width - 1.0) * deviation * deviation / width
    moments[TOTAL] += value

    level = 0
    size = 1.0
    while counts[level] == max_buckets + 1:
        if level + 1 == len(counts):
            _drop_oldest(totals, variances, counts, moments)
            return
        difference = totals[level, 0] / size - totals[level, 1] / size
        between = size * 0.5 * difference * difference
        place = counts[level + 1]
        totals[level + 1, place] = totals[level, 0] + totals[level, 1]
        variances[level + 1, place] = variances[level, 0] + variances[level, 1] + between
        counts[level + 1] += 1
        _shift(totals, variances, counts, level, 2)
        level += 1
        size *= 2.0


@kernel
def _epsilon(
    older: float, newer: float, moments: Floats, log_term: float, shortest: float
) -> float:
    """Return the difference of means that `older` and `newer` values must exceed."""
    reciprocal = 1.0 / (older - shortest + 1.0) + 1.0 / (newer - shortest + 1.0)
    spread = moments[VARIANCE] / moments[WIDTH]
    return math.sqrt(2.0 * reciprocal * spread * log_term) + 2.0 / 3.0 * log_term * reciprocal


@kernel
def _found_cut(
    totals: Floats, counts: Ints, moments: Floats, delta: float, shortest: float
) -> bool:
    """Tell whether some border of buckets parts the window into two different halves.

    A border is first held against lower bounds of epsilon, free of division and root and
    widened by far more than rounding can do; only what passes is computed exactly.
    """
    width = moments[WIDTH]
    log_term = math.log(2.0 * math.log(width) / delta)
    linear = 2.0 / 3.0 * log_term * width * (1.0 - 1e-9)
    square = 2.0 * (moments[VARIANCE] / width) * log_term * width * (1.0 - 1e-9)
    older, newer = 0.0, width
    older_total, newer_total = 0.0, moments[TOTAL]
    levels = _used_levels(counts)
    size = 2.0 ** (levels - 1)
    for level in range(levels - 1, -1, -1):
        for place in range(counts[level]):
            older += size
            newer -= size
            older_total += totals[level, place]
            newer_total -= totals[level, place]
            if newer < shortest or older < shortest:
                continue
            if level == 0 and place == counts[0] - 1:
                return False
            left, right = older_total * newer, newer_total * older
            distance = abs(left - right) + 1e-12 * (abs(left) + abs(right))
            if distance < linear or distance * distance < square * older * newer:
                continue
            difference = (older_total / older) - (newer_total / newer)
            if abs(difference) > _epsilon(older, newer, moments, log_term, shortest):
                return True
        size *= 0.5
    return False


@kernel
def _strongest(
    totals: Floats,
    counts: Ints,
    moments: Floats,
    delta: float,
    shortest: float,
    finding: Floats,
) -> float:
    """Fill in all of a finding but the onset; return the best border's likelihood gain.

    Statistic and threshold are those of the border that exceeds its epsilon by the largest
    factor; before and after those of the most likely border, by the variance it explains.
    """
    width = moments[WIDTH]
    log_term = math.log(2.0 * math.log(width) / delta)
    older, newer = 0.0, width
    older_total, newer_total = 0.0, moments[TOTAL]
    largest_ratio, best_gain = -1.0, -1.0
    levels = _used_levels(counts)
    for level in range(levels - 1, -1, -1):
        size = 2.0**level
        for place in range(counts[level]):
            older += size
            newer -= size
            older_total += totals[level, place]
            newer_total -= totals[level, place]
            if newer < shortest or older < shortest:
                continue
            before, after = older_total / older, newer_total / newer
            epsilon = _epsilon(older, newer, moments, log_term, shortest)
            if abs(after - before) > largest_ratio * epsilon:
                largest_ratio = abs(after - before) / epsilon
                finding[STATISTIC], finding[THRESHOLD] = abs(after - before), epsilon
            gain = (after - before) * (after - before) * older * newer / width
            if gain > best_gain:
                best_gain = gain
                finding[BEFORE], finding[AFTER] = before, after
    return best_gain


@kernel
def _locate(
    totals: Floats, counts: Ints, moments: Floats, shortest: float, best: float, finding: Floats
) -> None:
    """Fill in the onset: the buckets around every border about as likely as the best one."""
    width = moments[WIDTH]
    noise = max(moments[VARIANCE] - best, 0.0) / width
    least = best - LIKELIHOOD_DROP * noise
    older, newer = 0.0, width
    older_total, newer_total = 0.0, moments[TOTAL]
    finding[EARLIEST] = -1.0
    likely = False
    levels = _used_levels(counts)
    for level in range(levels - 1, -1, -1):
        size = 2.0**level
        for place in range(counts[level]):
            older += size
            newer -= size
            older_total += totals[level, place]
            newer_total -= totals[level, place]
            if likely:
                finding[LATEST] = newer
            likely = False
            if newer < shortest or older < shortest:
                continue
            difference = newer_total / newer - older_total / older
            likely = difference * difference * older * newer / width >= least
            if likely and finding[EARLIEST] < 0.0:
                finding[EARLIEST] = newer + size - 1.0


@kernel
def _detect(
    totals: Floats,
    variances: Floats,
    counts: Ints,
    moments: Floats,
    delta: float,
    shortest: float,
    finding: Floats,
) -> bool:
    """Drop the oldest buckets until no border parts the window; tell whether any went."""
    constant = moments[CONSTANT]
    if constant == math.floor(constant) and abs(constant) * moments[WIDTH] < 2.0**53:
        return False  # every sum is exact, so every border has two equal means
    found = False
    while _found_cut(totals, counts, moments, delta, shortest):
        if not found:
            best = _strongest(totals, counts, moments, delta, shortest, finding)
            _locate(totals, counts, moments, shortest, best, finding)
        found = True
        _drop_oldest(totals, variances, counts, moments)
    return found


@kernel
def _update(
    totals: Floats,
    variances: Floats,
    counts: Ints,
    moments: Floats,
    ticks: Ints,
    findings: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    delta: float,
    clock: int,
    max_buckets: int,
    shortest: float,
    grace: float,
    least_effect: Floats,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        alarms[slot] = events
        sums, squares = totals[slot], variances[slot]
        count, moment, finding = counts[slot], moments[slot], findings[slot]
        tick = ticks[slot]
        for event in range(start[slot], events):
            value = values[rows[slot], event]
            if not math.isfinite(value):
                continue
            _insert(sums, squares, count, moment, value, max_buckets)
            tick += 1
            if tick < clock:
                continue
            tick = 0
            if moment[WIDTH] <= grace:
                continue
            if _detect(sums, squares, count, moment, delta, shortest, finding) and not (
                abs(finding[AFTER] - finding[BEFORE]) < least_effect[slot]
            ):
                alarms[slot] = event
                break
        ticks[slot] = tick


@kernel
def _readings(
    totals: Floats,
    counts: Ints,
    moments: Floats,
    delta: float,
    shortest: float,
    grace: float,
    findings: Floats,
) -> None:
    """Fill in statistic and threshold of every slot's strongest border as it stands."""
    for slot in range(len(counts)):
        width = moments[slot, WIDTH]
        if width > grace and width >= 2.0 * shortest:
            _strongest(totals[slot], counts[slot], moments[slot], delta, shortest, findings[slot])


class AdwinBank:
    """ADWIN over many signals; see `Bank`. Costs about 3 kB a slot."""

    name = "adwin"

    def __init__(self, settings: AdwinSettings, scale: Floats) -> None:
        slots = len(scale)
        buckets = (slots, LEVELS, settings.max_buckets + 1)
        self._settings = settings
        self._least_effect = settings.minimum_effect * np.asarray(scale, dtype=np.float64)
        self._totals = np.zeros(buckets)
        self._variances = np.zeros(buckets)
        self._counts = np.zeros((slots, LEVELS), dtype=np.int64)
        self._moments = np.zeros((slots, 4))
        self._ticks = np.zeros(slots, dtype=np.int64)
        self._findings = np.zeros((slots, 6))

    @property
    def moments(self) -> Floats:
        """Sum, sum of squared deviations, and length of each window, in float64[k, 3]."""
        return self._moments[:, :CONSTANT]

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values up to its first alarm; see `Bank`."""
        settings = self._settings
        alarms = np.empty(len(rows), dtype=np.int64)
        _update(
            self._totals,
            self._variances,
            self._counts,
            self._moments,
            self._ticks,
            self._findings,
            values,
            rows,
            start,
            settings.delta,
            settings.clock,
            settings.max_buckets,
            float(settings.min_window_length),
            float(settings.grace_period),
            self._least_effect,
            alarms,
        )
        return alarms

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm; see `Bank`."""
        statistic, threshold, before, after, earliest, latest = self._findings[slot].tolist()
        return Evidence(statistic, threshold, before, after, int(earliest), int(latest))

    def reset(self, slot: int) -> None:
        """Empty the slot's window."""
        self._counts[slot] = 0
        self._moments[slot] = 0.0
        self._ticks[slot] = 0

    def readings(self) -> tuple[Floats, Floats]:
        """Return each window's strongest difference of means and its epsilon; see `Bank`."""
        settings = self._settings
        findings = np.zeros_like(self._findings)
        _readings(
            self._totals,
            self._counts,
            self._moments,
            settings.delta,
            float(settings.min_window_length),
            float(settings.grace_period),
            findings,
        )
        return findings[:, STATISTIC].copy(), findings[:, THRESHOLD].copy()

    def snapshot(self) -> State:
        """Return the windows; of the buckets, those in use, slot by slot and level by level."""
        used = self._used()
        levels = int(np.max(np.sum(self._counts > 0, axis=1), initial=0))
        return {
            "counts": self._counts[:, :levels].astype(np.uint8),
            "totals": self._totals[used],
            "variances": self._variances[used],
            "moments": self._moments.copy(),
            "ticks": self._ticks.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same settings and number of slots."""
        arrays = cast("Mapping[str, NDArray[np.generic]]", state)
        counts = arrays["counts"]
        self._counts[:] = 0
        self._counts[:, : counts.shape[1]] = counts
        used = self._used()
        self._totals[used] = arrays["totals"]
        self._variances[used] = arrays["variances"]
        self._moments[:] = arrays["moments"]
        self._ticks[:] = arrays["ticks"]

    def _used(self) -> NDArray[np.bool_]:
        """Return which places of the histograms hold a bucket, bool[k, levels, places]."""
        places = np.arange(self._totals.shape[2])
        return cast("NDArray[np.bool_]", places < self._counts[:, :, np.newaxis])


class ADWIN:
    """ADWIN over one series of raw numbers, with river's interface and default parameters.

    Alarms come at the values at which river's `AdaptiveWindowing` raises them: after an
    alarm the newer part of the window stays (`river.drift.ADWIN` starts anew). Values that
    are not finite are skipped.

    >>> detector = ADWIN()
    >>> for index, value in enumerate([0.0, 1.0] * 500 + [4.0, 5.0] * 500):
    ...     detector.update(value)
    ...     if detector.drift_detected:
    ...         print(index, detector.onset)
    1023 (998, 1002)
    """

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        settings = AdwinSettings(
            delta=delta,
            clock=clock,
            max_buckets=max_buckets,
            min_window_length=min_window_length,
            grace_period=grace_period,
            minimum_effect=0.0,
        )
        self._bank = AdwinBank(settings, np.ones(1))
        self._value = np.empty((1, 1))
        self._place = np.zeros(1, dtype=np.int64)
        self._seen = 0
        self.drift_detected = False
        self.n_detections = 0

    def update(self, x: float) -> None:
        """Take the next value; `drift_detected` then says whether it raised an alarm."""
        self._value[0, 0] = x
        self._seen += 1
        self.drift_detected = bool(self._bank.update(self._value, self._place, self._place)[0] == 0)
        self.n_detections += self.drift_detected

    @property
    def onset(self) -> tuple[int, int] | None:
        """First and last index between which the change began; None without an alarm now.

        Indices count the values given to `update` from 0.
        """
        if not self.drift_detected:
            return None
        evidence = self._bank.evidence(0)
        return self._seen - 1 - evidence.earliest, self._seen - 1 - evidence.latest

    @property
    def width(self) -> int:
        """Number of values in the window."""
        return int(self._bank.moments[0, WIDTH])

    @property
    def total(self) -> float:
        """Sum of the window."""
        return float(self._bank.moments[0, TOTAL])

    @property
    def variance(self) -> float:
        """Variance of the window; 0 while it is empty."""
        return float(self._bank.moments[0, VARIANCE]) / self.width if self.width else 0.0

    @property
    def estimation(self) -> float:
        """Mean of the window; 0 while it is empty."""
        return self.total / self.width if self.width else 0.0
