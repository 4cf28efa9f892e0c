"""The default detector: an e-detector over ranks, whose threshold is the run length asked for.

Shiryaev-Roberts sums over a mixture of likelihood ratios (Shin, Ramdas, Rinaldo, E-detectors: a
nonparametric framework for sequential change detection, New England Journal of Statistics in
Data Science 2023). While the ranks are uniform and independent the sum less the number of values
is a martingale, so the mean number of values to a false alarm is at least the threshold: nothing
is calibrated. The alternatives are those of `mixture`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from streamdrift.detectors.arming import weights_of
from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, Look, Looks, look_now, mean_age
from streamdrift.detectors.mixture import (
    CELL_OF,
    POWERED,
    WEIGHTS,
    Factors,
    total,
    totals,
)
from streamdrift.kernels import inlined, kernel
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.trees import array

NAME = "e_detector"
_REACH: Mapping[Stream, tuple[float, float]] = {
    Stream.NUMERIC: (12.0, 8.5),
    Stream.RATE: (15.0, 8.0),
    Stream.CATEGORY: (13.0, 9.0),
}
"""How much earlier and later than the mean of the beginnings that explain the sum a change may have
begun, in values that the sum takes to grow by a factor e. On simulated changes (400 of each kind at
a run length of 1e5) that holds 95 to 99 % of the beginnings of shifts and spreads, 95 to 98 % of
rates', 94 to 99 % of categories'."""


class EDetectorSettings(BaseModel):
    """Settings of the default detector. Its threshold follows from the budget."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["e_detector"] = Field("e_detector", description="Which detector this is.")


def head_start(run_length: float, patience: float) -> float:
    """Return the sum a slot begins with; its threshold is higher by as much.

    It is far below the patience: sums that nothing was added to are no evidence, of however
    many signals.
    """
    return min(run_length / 1_000, 100.0, patience / 100)


def evidence_of(statistic: float, threshold: float, age: float, stream: Stream) -> Evidence:
    """Return what a sum over a signal's values is evidence of.

    `age` is the mean number of values that the products in it are of; the change began with the
    first of them.
    """
    pace = age / max(math.log(max(statistic, 1.0)), 1.0)
    earlier, later = _REACH[stream]
    earliest = math.ceil(age - 1 + earlier * pace)
    latest = max(0, math.floor(age - 1 - later * pace))
    return Evidence(statistic, threshold, earliest, latest, pace, max(0, round(age) - 1))


_MIXTURES: Factors = np.stack([weights_of(found=False), weights_of(found=True)])
"""float32[2, 32]: the weights where nothing, and where something, explains the values."""


@inlined
def advance(sums: Factors, ages: Factors, table: Factors, weights: Factors, u: float) -> float:
    """Take one rank into the sums and ages float32[32] of a slot; return the sums' total.

    Each sum is one over all values at which a change may have begun, of the product of the
    factors since; its age is the same sum with each product weighed by how many values it is
    of. Age over sum is so the mean number of values since the change, given all of them, if
    it could have begun at any equally.
    """
    factors = table[CELL_OF[min(int(u * 16384.0), 16383)]]
    for j in range(32):
        begun = sums[j] + weights[j]
        sums[j] = begun * factors[j]
        ages[j] = (ages[j] + begun) * factors[j]
    return total(sums)


@kernel
def _update(
    sums: Factors,
    ages: Factors,
    powers: NDArray[np.uint8],
    mixtures: NDArray[np.uint8],
    thresholds: Floats,
    patience: Floats,
    candidates: Bools,
    tables: Factors,
    weights: Factors,
    values: Floats,
    rows: Ints,
    start: Ints,
    looks: Ints,
    seen: Floats,
    told: Bools,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was.

    `seen` float64[k, len(looks), 2] is filled where `told` bool[k] says so.
    """
    for slot in range(len(rows)):
        row = values[rows[slot]]
        own, age = sums[slot], ages[slot]
        table, weight = tables[powers[slot]], weights[mixtures[slot]]
        limit, enough = thresholds[slot], patience[slot]
        look = np.searchsorted(looks, start[slot])
        alarms[slot] = len(row)
        statistic = total(own)
        for event in range(start[slot], len(row)):
            if look < len(looks) and looks[look] == event:
                if statistic >= enough or candidates[slot]:
                    told[slot] = True
                    seen[slot, look, 0] = statistic
                    seen[slot, look, 1] = mean_age(own, age)
                    candidates[slot] = statistic >= WITHDRAW * enough
                look += 1
            if np.isnan(row[event]):
                continue
            statistic = advance(own, age, table, weight, row[event])
            if statistic >= limit:
                alarms[slot] = event
                break


class EDetectorBank:
    """The e-detector over the ranks of many signals; see `EBank`. 256 bytes a slot."""

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.patience = np.full(slots, np.inf)
        self._sums: Factors = np.zeros((slots, len(WEIGHTS)), dtype=np.float32)
        self._ages: Factors = np.zeros((slots, len(WEIGHTS)), dtype=np.float32)
        self._powers = np.zeros(slots, dtype=np.uint8)
        self._mixtures = np.zeros(slots, dtype=np.uint8)
        self._thresholds = np.zeros(slots)
        self._run_lengths = np.zeros(slots)
        self.candidates: Bools = np.zeros(slots, dtype=np.bool_)
        self._looks = Looks(NO_LOOKS, slots)
        for slot, (each, run_length) in enumerate(zip(expected, run_lengths, strict=True)):
            self.reset(slot, each, float(run_length))

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Let each slot consume its ranks up to its first alarm; see `Bank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        self._looks = Looks(looks, len(rows))
        _update(
            self._sums,
            self._ages,
            self._powers,
            self._mixtures,
            self._thresholds,
            self.patience,
            self.candidates,
            POWERED,
            _MIXTURES,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            rows,
            start,
            looks,
            self._looks.seen,
            self._looks.told,
            alarms,
        )
        return alarms

    def arrays(self, slot: int) -> tuple[Factors, Factors, Factors, Factors, float]:
        """Return a slot's sums and ages, its table, its weights and its threshold."""
        mixture, power = self._mixtures[slot], self._powers[slot]
        threshold = float(self._thresholds[slot])
        return self._sums[slot], self._ages[slot], POWERED[power], _MIXTURES[mixture], threshold

    def looked(self) -> list[Look]:
        """Return what the last `update` saw at its looks; see `EBank`."""
        return self._looks.all()

    def look(self) -> list[Look]:
        """Return what a look now sees; see `EBank`."""
        return look_now(self._sums, self._ages, self.patience, self.candidates)

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        sums, threshold = self._sums[slot], float(self._thresholds[slot])
        age = float(mean_age(sums, self._ages[slot]))
        return evidence_of(float(total(sums)), threshold, age, Stream.NUMERIC)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._powers[slot] = expected.power
            self._mixtures[slot] = expected.dependent
        if run_length is not None:
            self._run_lengths[slot] = run_length
        start = head_start(float(self._run_lengths[slot]), float(self.patience[slot]))
        self._thresholds[slot] = self._run_lengths[slot] + start
        self._sums[slot] = np.float32(start) * _MIXTURES[self._mixtures[slot]]
        self._ages[slot] = 0
        self.candidates[slot] = False

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold; see `Bank`."""
        return totals(self._sums), self._thresholds.copy()

    def snapshot(self) -> State:
        """Return the sums and ages, and who is a candidate."""
        return {
            "sums": self._sums.copy(),
            "ages": self._ages.copy(),
            "candidates": self.candidates.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self._sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self._sums[slots] = array(state, "sums")[theirs]
        self._ages[slots] = array(state, "ages")[theirs]
        self.candidates[slots] = array(state, "candidates")[theirs]
