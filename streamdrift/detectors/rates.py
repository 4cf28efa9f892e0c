"""The e-detector of 0/1 streams: Bernoulli likelihood ratios, rises and falls of the odds.

As `e_detector`, with the rate before a change learned from the stream: at once while few values are
known, as the error of a rate that stays is taken for a change; from LATE values on in blocks, one
block late, so that a change does not teach itself. Where values remember in a way that nothing
explains, the factors are taken to a power below 1, which keeps their means at most 1.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, mean_age
from streamdrift.detectors.mixture import Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import inlined, kernel
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.trees import array

_LOG_ODDS = (0.28, 0.5, 0.8, 1.3, 2.0, 3.2)
_WEIGHTS = (0.3, 0.12, 0.09, 0.06, 0.02, 0.012)
ODDS: Floats = np.exp(np.array([*_LOG_ODDS, *(-each for each in _LOG_ODDS)]))
"""Float64[12]: by how much the alternatives multiply the odds of a 1."""
WEIGHTS: Factors = (np.array([*_WEIGHTS, *_WEIGHTS]) / (2 * sum(_WEIGHTS))).astype(np.float32)
_MARGIN = 0.1
"""Part of the error of the learned rate, in standard errors, that the factors forgive."""
_BLOCK = 1_000
LATE = 10_000
"""Values from which on counting is delayed."""

ZEROS, ONES, FILLED, FILLED_ONES, FULL, FULL_ONES = range(6)
"""Places in a slot's counts: 0s and 1s learned; values and 1s of the block being filled; of the
block before."""


@kernel
def factors_of(
    counts: Floats, odds: Floats, margin: float, exponent: float, factors: Factors
) -> None:
    """Write the factors float32[2, n] of a 0 and of a 1 under the learned rate, to a power.

    `odds` float64[n] are what alternatives multiply those of a 1 by; `margin` is the part of the
    rate's standard error that is forgiven.
    """
    size = counts[ZEROS] + counts[ONES]
    rate = (counts[ONES] + 1.0) / (size + 2.0)
    error = margin * np.sqrt(rate * (1.0 - rate) / max(size, 1.0))
    for j in range(len(odds)):
        rarer = 1.0 / (1.0 + rate * (odds[j] - 1.0))
        forgiven = 1.0 + error * abs(odds[j] - 1.0) * rarer
        factors[0, j] = rarer / forgiven
        factors[1, j] = odds[j] * rarer / forgiven
        if exponent < 1.0:
            factors[0, j] = (rarer / forgiven) ** exponent
            factors[1, j] = (odds[j] * rarer / forgiven) ** exponent


@inlined
def note(counts: Floats, block: float, one: bool) -> bool:
    """Note one value; at the end of a block of so many count the block before, and tell so."""
    counts[FILLED] += 1.0
    counts[FILLED_ONES] += 1.0 if one else 0.0
    if counts[FILLED] < block:
        return False
    counts[ONES] += counts[FULL_ONES]
    counts[ZEROS] += counts[FULL] - counts[FULL_ONES]
    counts[FULL], counts[FULL_ONES] = counts[FILLED], counts[FILLED_ONES]
    counts[FILLED], counts[FILLED_ONES] = 0.0, 0.0
    return True


@inlined
def learn(counts: Floats, factors: Factors, exponent: float, one: bool) -> None:
    """Count one value, or note it to be counted late."""
    learned = True
    if counts[ZEROS] + counts[ONES] < LATE:
        counts[ONES if one else ZEROS] += 1.0
    else:
        learned = note(counts, _BLOCK, one)
    if learned:
        factors_of(counts, ODDS, _MARGIN, exponent, factors)


@inlined
def advance(sums: Factors, ages: Factors, factors: Factors, weights: Factors) -> float:
    """Take one value's factors float32[12] into a slot's sums and ages; return the total."""
    for j in range(len(sums)):
        begun = sums[j] + weights[j]
        sums[j] = begun * factors[j]
        ages[j] = (ages[j] + begun) * factors[j]
    return total(sums)


@kernel
def _update(
    sums: Factors,
    ages: Factors,
    factors: Factors,
    counts: Floats,
    exponents: Floats,
    thresholds: Floats,
    patience: Floats,
    candidates: Bools,
    weights: Factors,
    values: Floats,
    rows: Ints,
    start: Ints,
    looks: Ints,
    seen: Floats,
    told: Bools,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; see `e_detector`."""
    for slot in range(len(rows)):
        row, own, age = values[rows[slot]], sums[slot], ages[slot]
        factor, count = factors[slot], counts[slot]
        look = np.searchsorted(looks, start[slot])
        alarms[slot] = len(row)
        statistic = total(own)
        for event in range(start[slot], len(row)):
            if look < len(looks) and looks[look] == event:
                if statistic >= patience[slot] or candidates[slot]:
                    told[slot] = True
                    seen[slot, look, 0] = statistic
                    seen[slot, look, 1] = mean_age(own, age)
                    candidates[slot] = statistic >= WITHDRAW * patience[slot]
                look += 1
            if np.isnan(row[event]):
                continue
            one = row[event] > 0.0
            statistic = advance(own, age, factor[1 if one else 0], weights)
            learn(count, factor, exponents[slot], one)
            if statistic >= thresholds[slot]:
                alarms[slot] = event
                break


class ERateBank:
    """The e-detector over many 0/1 signals; see `EBank`. About 250 bytes a slot."""

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.sums = Sums(slots, len(ODDS), Stream.RATE)
        self._factors: Factors = np.zeros((slots, 2, len(ODDS)), dtype=np.float32)
        self._counts = np.zeros((slots, 6))
        self._exponents = np.ones(slots)
        for slot, (each, run_length) in enumerate(zip(expected, run_lengths, strict=True)):
            self.reset(slot, each, float(run_length))

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Let each slot consume its values up to its first alarm; see `EBank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        seen = self.sums.look_at(looks)
        _update(
            self.sums.sums,
            self.sums.ages,
            self._factors,
            self._counts,
            self._exponents,
            self.sums.thresholds,
            self.sums.patience,
            self.sums.candidates,
            WEIGHTS,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            rows,
            start,
            looks,
            seen.seen,
            seen.told,
            alarms,
        )
        return alarms

    def arrays(self, slot: int) -> tuple[Factors, Factors, Factors, Floats, float, float]:
        """Return a slot's sums, ages, factors and counts, their exponent, and its threshold."""
        figures = float(self._exponents[slot]), float(self.sums.thresholds[slot])
        arrays = self.sums.sums[slot], self.sums.ages[slot], self._factors[slot], self._counts[slot]
        return *arrays, *figures

    def learned(self, slot: int) -> Floats:
        """Return how many 0s and 1s a slot has learned, float64[2]."""
        return self._counts[slot, [ZEROS, ONES]]

    def take_back(self, slot: int, values: Floats) -> None:
        """Let the last values of a slot, float64[n], not be learned; see `learned`."""
        pending = int(self._counts[slot, FILLED] + self._counts[slot, FULL])
        counted = values[: max(len(values) - pending, 0)]
        ones = np.count_nonzero(counted > 0)
        self._counts[slot, [ZEROS, ONES]] -= len(counted) - ones, ones

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        return self.sums.evidence(slot)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew, and drop what is not learned yet; see `Bank`."""
        if expected is not None:
            self._counts[slot, : ONES + 1] = expected.counts
            self._exponents[slot] = 2 ** (-expected.power / 6)
        self._counts[slot, FILLED:] = 0
        self._arrange(slot)
        self.sums.begin(slot, WEIGHTS, run_length)

    def _arrange(self, slot: int) -> None:
        """Make what follows from a slot's counts."""
        exponent = float(self._exponents[slot])
        factors_of(self._counts[slot], ODDS, _MARGIN, exponent, self._factors[slot])

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold; see `Bank`."""
        return self.sums.readings()

    def snapshot(self) -> State:
        """Return the sums and ages, what is learned, and who is a candidate."""
        return {
            **self.sums.snapshot(),
            "counts": self._counts.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self.sums.sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self.sums.adopt(slots, state, theirs)
        self._counts[slots] = array(state, "counts")[theirs]
        for slot in slots.tolist():
            self._arrange(slot)
