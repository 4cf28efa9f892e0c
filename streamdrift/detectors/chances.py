"""The e-detector of 0/1 streams whose chances move: each value's odds under its own chance.

As `rates`, with the factors computed for the chance that each value had, which its middle tells
(`references.chances`): of any chance that is known before the value these are e-values. By how much
the level of all chances is off is learned as a rate is: at once while few values are known, then in
blocks, one block late.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, see
from streamdrift.detectors.mixture import Factors, total
from streamdrift.detectors.rates import BLOCK, LATE, MARGIN, ODDS, WEIGHTS, advance
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.references.chances import LEAST_CHANCE, chance_of, is_one
from streamdrift.trees import array

SIZE, EXCESS, KNOWN, FILLED, _FILLED_EXCESS, _FILLED_KNOWN, FULL, _FULL_EXCESS, _FULL_KNOWN = range(
    9
)
"""Places in a slot's counts: values learned, their 1s beyond what their chances sum to, and the sum
of p (1 - p); the same of the block being filled and of the block before."""
_LIKELY: Factors = np.stack([np.ones(len(ODDS)), ODDS]).astype(np.float32)
_MORE: Factors = (ODDS - 1).astype(np.float32)
_FAR: Factors = np.abs(_MORE)
"""What a 0 and a 1 multiply, by how much odds are more than 1, and how far from it."""
_LANES = 16
"""Sums of a slot while it takes values: as many as compilers take eight at a time."""
EXPONENT, DOUBT = range(2)
"""Places in a slot's figures."""


@inlined
def factors_of(middle: float, counts: Floats, figures: Floats, out: Factors) -> None:
    """Write a value's factors float32[12], given what is learned of all."""
    one, chance = is_one(middle), chance_of(middle)
    spread = chance * (1.0 - chance)
    chance += counts[EXCESS] / counts[KNOWN] * spread
    chance = min(max(chance, LEAST_CHANCE), 1.0 - LEAST_CHANCE)
    error = MARGIN * spread / np.sqrt(counts[KNOWN]) + figures[DOUBT]
    likely, single, off = _LIKELY[1 if one else 0], np.float32(chance), np.float32(error)
    for j in range(len(_MORE)):
        out[j] = likely[j] / (np.float32(1) + single * _MORE[j] + off * _FAR[j])
    if figures[EXPONENT] < 1.0:
        exponent = np.float32(figures[EXPONENT])
        for j in range(len(out)):
            out[j] = out[j] ** exponent


@inlined
def learn(counts: Floats, middle: float) -> None:
    """Count one value, or note it; at the end of a block count the block before."""
    chance = chance_of(middle)
    excess, known = (1.0 if is_one(middle) else 0.0) - chance, chance * (1.0 - chance)
    if counts[SIZE] < LATE:
        counts[SIZE] += 1.0
        counts[EXCESS] += excess
        counts[KNOWN] += known
        return
    counts[FILLED] += 1.0
    counts[_FILLED_EXCESS] += excess
    counts[_FILLED_KNOWN] += known
    if counts[FILLED] < BLOCK:
        return
    for place in range(3):
        counts[place] += counts[FULL + place]
        counts[FULL + place] = counts[FILLED + place]
        counts[FILLED + place] = 0.0


@kernel
def _update(
    sums: Factors,
    ages: Factors,
    counts: Floats,
    figures: Floats,
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
    bets = len(_MORE)
    # Those beyond the bets stay 0.
    factors = np.zeros(_LANES, dtype=np.float32)
    own, age, wide = np.zeros_like(factors), np.zeros_like(factors), np.zeros_like(factors)
    wide[:bets] = weights
    for slot in range(len(rows)):
        row = values[rows[slot]]
        own[:bets], age[:bets] = sums[slot], ages[slot]
        count, figure = counts[slot], figures[slot]
        look = np.searchsorted(looks, start[slot])
        alarms[slot] = len(row)
        statistic = total(own)
        for event in range(start[slot], len(row)):
            if look < len(looks) and looks[look] == event:
                one = slice(slot, slot + 1)
                see(own, age, patience[slot], candidates[one], seen[slot, look], told[one])
                look += 1
            if np.isnan(row[event]):
                continue
            factors_of(row[event], count, figure, factors[:bets])
            statistic = advance(own, age, factors, wide)
            learn(count, row[event])
            if statistic >= thresholds[slot]:
                alarms[slot] = event
                break
        sums[slot], ages[slot] = own[:bets], age[:bets]


@kernel
def take_back(counts: Floats, middles: Floats, stop: int) -> None:
    """Let middles[:stop] not be counted any more."""
    for i in range(stop):
        chance = chance_of(middles[i])
        counts[SIZE] -= 1.0
        counts[EXCESS] -= (1.0 if is_one(middles[i]) else 0.0) - chance
        counts[KNOWN] -= chance * (1.0 - chance)


class EChanceBank:
    """The e-detector over the middles of many 0/1 signals; see `EBank`. About 200 bytes a slot."""

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.sums = Sums(slots, len(ODDS), Stream.RATE)
        self._means = np.zeros(slots)
        self._counts = np.zeros((slots, 9))
        self._figures = np.ones((slots, 2))
        for slot, (each, run_length) in enumerate(zip(expected, run_lengths, strict=True)):
            self.reset(slot, each, float(run_length))

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Let each slot consume its middles up to its first alarm; see `EBank`."""
        alarms = np.empty(len(rows), dtype=np.int64)
        seen = self.sums.look_at(looks)
        _update(
            self.sums.sums,
            self.sums.ages,
            self._counts,
            self._figures,
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

    def arrays(self, slot: int) -> tuple[Factors, Factors, Floats, Floats, float]:
        """Return a slot's sums, ages, counts and figures, and its threshold."""
        threshold = float(self.sums.thresholds[slot])
        own = self.sums.sums[slot], self.sums.ages[slot], self._counts[slot], self._figures[slot]
        return *own, threshold

    def learned(self, slot: int) -> Floats:
        """Return how many 0s and 1s would have been seen by now at the mean chance, float64[2]."""
        size, excess = self._counts[slot, SIZE], self._counts[slot, EXCESS]
        ones = min(max(size * self._means[slot] + excess, 0.0), size)
        return np.array([size - ones, ones])

    def take_back(self, slot: int, values: Floats) -> None:
        """Let the last middles of a slot, float64[n], not be learned; see `learned`."""
        pending = int(self._counts[slot, FILLED] + self._counts[slot, FULL])
        take_back(self._counts[slot], values, max(len(values) - pending, 0))

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        return self.sums.evidence(slot)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew, and drop what is not learned yet; see `Bank`."""
        if expected is not None:
            assert expected.chances is not None
            self._means[slot] = expected.mean
            self._counts[slot, : KNOWN + 1] = expected.counts.sum(), 0.0, expected.chances.known
            self._figures[slot] = 2 ** (-expected.power / 6), expected.chances.doubt
        self._counts[slot, FILLED:] = 0
        self.sums.begin(slot, WEIGHTS, run_length)

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold; see `Bank`."""
        return self.sums.readings()

    def snapshot(self) -> State:
        """Return the sums and ages, what is learned, and who is a candidate."""
        return {**self.sums.snapshot(), "counts": self._counts.copy()}

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self._counts))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self.sums.adopt(slots, state, theirs)
        self._counts[slots] = array(state, "counts")[theirs]
