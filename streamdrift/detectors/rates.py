"""The e-detector of 0/1 streams: Bernoulli likelihood ratios, rises and falls of the odds.

As `e_detector`, with the rate before a change learned from the stream: at once while few values are
known, as the error of a rate that stays is taken for a change; from LATE values on in blocks, one
block late, so that a change does not teach itself. Where values remember in a way that nothing
explains, the factors are taken to a power below 1, which keeps their means at most 1.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, see
from streamdrift.detectors.mixture import ROUNDED_UP, Factors, total
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.trees import array

_LOG_ODDS = (0.28, 0.5, 0.8, 1.3, 2.0, 3.2)
_WEIGHTS = (0.3, 0.12, 0.09, 0.06, 0.02, 0.012)
ODDS: Floats = np.exp(np.array([*_LOG_ODDS, *(-each for each in _LOG_ODDS)]))
"""Float64[12]: by how much the alternatives multiply the odds of a 1."""
WEIGHTS: Factors = (np.array([*_WEIGHTS, *_WEIGHTS]) / (2 * sum(_WEIGHTS))).astype(np.float32)
MARGIN = 0.1
"""Part of the error of the learned rate, in standard errors, that the factors forgive."""
BLOCK = 1_000
LATE = 10_000
"""Values from which on counting is delayed."""
_AT_ONCE = 8
"""Values taken together, where none of them can raise an alarm or be looked at."""
_LANES = 16
"""Sums of a slot while it takes values, the last ones 0: what compilers take eight at a time."""
_WIDE_WEIGHTS: Factors = np.append(WEIGHTS, np.zeros(_LANES - len(WEIGHTS), dtype=np.float32))

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
def _count_block(counts: Floats) -> None:
    """Count the block before the one that is full, which takes its place."""
    counts[ONES] += counts[FULL_ONES]
    counts[ZEROS] += counts[FULL] - counts[FULL_ONES]
    counts[FULL], counts[FULL_ONES] = counts[FILLED], counts[FILLED_ONES]
    counts[FILLED], counts[FILLED_ONES] = 0.0, 0.0


@inlined
def note(counts: Floats, block: float, one: bool) -> bool:
    """Note one value; at the end of a block of so many count the block before, and tell so."""
    counts[FILLED] += 1.0
    counts[FILLED_ONES] += 1.0 if one else 0.0
    if counts[FILLED] < block:
        return False
    _count_block(counts)
    return True


@inlined
def learn(counts: Floats, factors: Factors, exponent: float, one: bool) -> bool:
    """Count one value, or note it to be counted late; tell whether the factors are others now."""
    if counts[ZEROS] + counts[ONES] < LATE:
        counts[ONES if one else ZEROS] += 1.0
    elif not note(counts, BLOCK, one):
        return False
    factors_of(counts, ODDS, MARGIN, exponent, factors)
    return True


@inlined
def advance(sums: Factors, ages: Factors, factors: Factors, weights: Factors) -> float:
    """Take one value's factors float32[12] into a slot's sums and ages; return the total."""
    for j in range(len(sums)):
        begun = sums[j] + weights[j]
        sums[j] = begun * factors[j]
        ages[j] = (ages[j] + begun) * factors[j]
    return total(sums)


@inlined
def _advance_all(
    sums: Factors, ages: Factors, factors: Factors, weights: Factors, ones: Bools
) -> None:
    """Take _AT_ONCE values into the sums and ages float32[_LANES]: as `advance`, one by one."""
    for j in range(_LANES):
        own, age, weight = sums[j], ages[j], weights[j]
        of_none, of_one = factors[0, j], factors[1, j]
        for each in range(_AT_ONCE):
            factor = of_one if ones[each] else of_none
            begun = own + weight
            own = begun * factor
            age = (age + begun) * factor
        sums[j], ages[j] = own, age


@inlined
def _read(row: Floats, event: int, ones: Bools) -> tuple[int, int]:
    """Read the next _AT_ONCE values; return where they end and how many are 1s.

    Where there are fewer the end is beyond that of the row.
    """
    if event + _AT_ONCE <= len(row):
        there, positive = 0, 0
        for each in range(_AT_ONCE):
            value = row[event + each]
            ones[each] = value > 0.0
            positive += int(value > 0.0)
            there += int(not np.isnan(value))
        if there == _AT_ONCE:
            return event + _AT_ONCE, positive
    found, positive = 0, 0
    while event < len(row) and found < _AT_ONCE:
        one = row[event] > 0.0
        if not np.isnan(row[event]):
            ones[found] = one
            positive += int(one)
            found += 1
        event += 1
    return (event if found == _AT_ONCE else event + 1), positive


@kernel
def _growths(factors: Factors, single: Floats, together: Floats) -> None:
    """Write how much a 0 and a 1, and _AT_ONCE values of which k are 1s, multiply sums at most."""
    for kind in range(2):
        most = 1.0
        for j in range(len(ODDS)):
            most = max(most, factors[kind, j])
        single[kind] = most * ROUNDED_UP
    for ones in range(_AT_ONCE + 1):
        together[ones] = single[0] ** (_AT_ONCE - ones) * single[1] ** ones


@kernel
def _run(
    sums: Factors,
    ages: Factors,
    factors: Factors,
    counts: Floats,
    exponent: float,
    limit: float,
    enough: float,
    candidate: Bools,
    row: Floats,
    start: int,
    looks: Ints,
    seen: Floats,
    told: Bools,
) -> int:
    """Let a slot consume its row from `start` up to its first alarm; return where that was.

    Sums, ages, factors and weights are float32[..., _LANES]; `candidate` and `told` bool[1] are
    the slot's; see `e_detector`. The sums are added up only where it may matter: they are `most`
    at most.
    """
    look, event = np.searchsorted(looks, start), start
    single, together = np.empty(2), np.empty(_AT_ONCE + 1)
    ones = np.zeros(_AT_ONCE, dtype=np.bool_)
    _growths(factors, single, together)
    matters, most = min(limit, enough), total(sums) * ROUNDED_UP
    few = False
    while event < len(row):
        while look < len(looks) and looks[look] <= event:
            if looks[look] == event and (most >= enough or candidate[0]):
                see(sums, ages, enough, candidate, seen[look], told)
            look += 1
        late = counts[ZEROS] + counts[ONES] >= LATE
        if late and counts[FILLED] + _AT_ONCE <= BLOCK and not few and not candidate[0]:
            end, positive = _read(row, event, ones)
            later = (most + _AT_ONCE) * together[positive]
            few = end > len(row)
            if not few and later < matters:
                _advance_all(sums, ages, factors, _WIDE_WEIGHTS, ones)
                counts[FILLED] += _AT_ONCE
                counts[FILLED_ONES] += positive
                if counts[FILLED] == BLOCK:
                    _count_block(counts)
                    factors_of(counts, ODDS, MARGIN, exponent, factors)
                    _growths(factors, single, together)
                most, event = later, end
                continue
        if np.isnan(row[event]):
            event += 1
            continue
        one = row[event] > 0.0
        statistic = advance(sums, ages, factors[1 if one else 0], _WIDE_WEIGHTS)
        if learn(counts, factors, exponent, one):
            _growths(factors, single, together)
        most = statistic * ROUNDED_UP
        if statistic >= limit:
            return event
        event += 1
    return len(row)


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
    values: Floats,
    rows: Ints,
    start: Ints,
    looks: Ints,
    seen: Floats,
    told: Bools,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; see `e_detector`."""
    bets = len(ODDS)
    own, age = np.zeros(_LANES, dtype=np.float32), np.zeros(_LANES, dtype=np.float32)
    factor = np.zeros((2, _LANES), dtype=np.float32)
    for slot in range(len(rows)):
        own[:bets], age[:bets], factor[:, :bets] = sums[slot], ages[slot], factors[slot]
        alarms[slot] = _run(
            own,
            age,
            factor,
            counts[slot],
            exponents[slot],
            thresholds[slot],
            patience[slot],
            candidates[slot : slot + 1],
            values[rows[slot]],
            start[slot],
            looks,
            seen[slot],
            told[slot : slot + 1],
        )
        sums[slot], ages[slot], factors[slot] = own[:bets], age[:bets], factor[:, :bets]


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
        factors_of(self._counts[slot], ODDS, MARGIN, exponent, self._factors[slot])

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
