"""The sums of an e-detector's slots: how they begin, what they are evidence of, who looks."""

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from streamdrift.detectors.bank import Bank, Evidence
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, Look, Looks, mean_age
from streamdrift.detectors.mixture import Factors, total, totals
from streamdrift.records import Bools, Floats, Ints, State, StateValue, Stream
from streamdrift.trees import array

NAME = "e_detector"
_REACH: Mapping[Stream, tuple[float, float]] = {
    Stream.NUMERIC: (15.0, 8.5),
    Stream.RATE: (15.0, 8.0),
    Stream.CATEGORY: (18.0, 9.0),
}
"""How much earlier and later than the mean of the beginnings that explain the sum a change may
have begun, in values that the sum takes to grow by a factor e. That is for slight changes, which
are older than the last values that are kept; of others the last values say more, see `onset`."""


def head_start(run_length: float, patience: float) -> float:
    """Return the sum a slot begins with; its threshold is higher by as much.

    It is far below the patience: sums that nothing was added to are no evidence, of however
    many signals.
    """
    return min(run_length / 1_000, 100.0, patience / 100)


def evidence_of(statistic: float, threshold: float, age: float, stream: Stream) -> Evidence:
    """Return what a sum over a signal's values is evidence of.

    `age` is the mean number of values that the products in it are of; a slight change began with
    the first of them. Where something rare becomes common at once the age is far too high, as old
    products of what is rare hardly fall.
    """
    pace = age / max(math.log(max(statistic, 1.0)), 1.0)
    earlier, later = _REACH[stream]
    earliest = math.ceil(age - 1 + earlier * pace)
    latest = max(0, math.floor(age - 1 - later * pace))
    return Evidence(statistic, threshold, earliest, latest, pace, max(0, round(age) - 1))


class Sums:
    """What the banks of e-detectors have in common, slot by slot.

    `sums` and `ages` float32[k, bets] are what the bank's own kernel moves on; a slot that has
    fewer bets leaves the last ones 0. All slots are of one kind of `stream`.
    """

    def __init__(self, slots: int, bets: int, stream: Stream) -> None:
        self.sums: Factors = np.zeros((slots, bets), dtype=np.float32)
        self.ages: Factors = np.zeros((slots, bets), dtype=np.float32)
        self.thresholds = np.zeros(slots)
        self.patience = np.full(slots, np.inf)
        """Float64[k]: sums from which on looks tell of a slot; infinite at first. What a slot
        begins with depends on it: it counts from the next `begin` on."""
        self.candidates: Bools = np.zeros(slots, dtype=np.bool_)
        """bool[k]: slots of which the next look tells, whatever their sum is then."""
        self._run_lengths = np.zeros(slots)
        self._stream = stream
        self._looks = Looks(NO_LOOKS, slots)

    def begin(self, slot: int, weights: Factors, run_length: float | None) -> None:
        """Start a slot's sums anew, in proportion to the weights of its bets."""
        if run_length is not None:
            self._run_lengths[slot] = run_length
        start = head_start(float(self._run_lengths[slot]), float(self.patience[slot]))
        self.thresholds[slot] = self._run_lengths[slot] + start
        self.sums[slot] = 0
        self.sums[slot, : len(weights)] = np.float32(start) * weights
        self.ages[slot] = 0
        self.candidates[slot] = False

    def look_at(self, looks: Ints) -> Looks:
        """Return what an update fills in at these looks; `looked` tells it."""
        self._looks = Looks(looks, len(self.sums))
        return self._looks

    def looked(self) -> list[Look]:
        """Return what the last update saw at its looks, by slot and row."""
        return self._looks.all()

    def look(self) -> list[Look]:
        """Return what a look now sees, with all values consumed; rows are 0."""
        statistics = totals(self.sums)
        told = np.flatnonzero((statistics >= self.patience) | self.candidates)
        self.candidates[told] = statistics[told] >= WITHDRAW * self.patience[told]
        return [
            Look(slot, 0, float(statistics[slot]), mean_age(self.sums[slot], self.ages[slot]))
            for slot in told.tolist()
        ]

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to."""
        sums, threshold = self.sums[slot], float(self.thresholds[slot])
        age = float(mean_age(sums, self.ages[slot]))
        return evidence_of(float(total(sums)), threshold, age, self._stream)

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold, float64[k] both."""
        return totals(self.sums), self.thresholds.copy()

    def snapshot(self) -> dict[str, StateValue]:
        """Return the sums and ages, and who is a candidate."""
        return {
            "sums": self.sums.copy(),
            "ages": self.ages.copy(),
            "candidates": self.candidates.copy(),
        }

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self.sums[slots] = array(state, "sums")[theirs]
        self.ages[slots] = array(state, "ages")[theirs]
        self.candidates[slots] = array(state, "candidates")[theirs]


@runtime_checkable
class EBank(Bank, Protocol):
    """A bank whose statistics are sums of e-values, which compare between signals."""

    sums: Sums

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Do what `Bank` says; `looks` are ascending columns that begin another second."""
        ...
