"""The e-detector of 0/1 streams that remember: a Markov chain, each of its states a rate.

As `rates`, with a rate learned for each state. Given the state a value is independent of those
before, so the factors of the state's own rate stay e-values, whatever the memory is. Most of the
weight is on rates that rise or fall while the memory stays, which moves the chances of a 1 in all
states as much; the rest on the odds of each state alone.

Counting is late from the beginning: changes take long to show themselves through memory, and would
teach themselves meanwhile. The error of the rates that are known is forgiven instead.
"""

from collections.abc import Sequence

import numpy as np

from streamdrift.detectors import rates
from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, see
from streamdrift.detectors.mixture import Factors, total
from streamdrift.detectors.rates import FILLED, FULL, ODDS, ONES, ZEROS, factors_of, note
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.references.chain import ORDERS, follow_states
from streamdrift.trees import array, values

_BETS = len(ODDS)
_MOST_BETS = _BETS * (1 + (1 << ORDERS))
_LEVEL_WEIGHT = 0.75
"""What the bets on a rate that moves while its memory stays count; those of the states share the
rest."""
_MARGIN = 0.35
"""Part of the errors of the learned rates, in standard errors, that the factors forgive."""
_PARTS, _LEAST_BLOCK = 5, 50.0
"""A block of counting is this part of all values of a state, and so many at least."""
STATE, KNOWN = range(2)
"""Places in a slot's position: the last values, the latest lowest, and how many are known."""


def _weights(states: int) -> Factors:
    """Return what each sum of a chain counts, float32[12 + 12 * states]; together 1."""
    own = np.tile(rates.WEIGHTS * np.float32((1 - _LEVEL_WEIGHT) / states), states)
    found: Factors = np.concatenate([rates.WEIGHTS * np.float32(_LEVEL_WEIGHT), own])
    return found


@inlined
def _block(counts: Floats) -> float:
    """Return how many values of a state are counted at once."""
    return float(max((counts[ZEROS] + counts[ONES]) / _PARTS, _LEAST_BLOCK))


@inlined
def advance(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    factors: Factors,
    odds: Floats,
    counts: Floats,
    position: Ints,
    one: bool,
) -> bool:
    """Take one value into a slot's sums and ages, learn it and move on; tell whether it counted.

    `odds` float64[states, 24] of a level and of the state alone, `factors` float32[states, 2, 24]
    and `counts` float64[states, 6] as those of `rates`. A value whose state is not known moves
    the state on, and is no evidence.
    """
    state, most = position[STATE], len(counts) - 1
    position[STATE] = ((state << 1) | (1 if one else 0)) & most
    if (1 << position[KNOWN]) <= most:
        position[KNOWN] += 1
        return False
    factor = factors[state, 1 if one else 0]
    for j in range(_BETS):
        begun = sums[j] + weights[j]
        sums[j] = begun * factor[j]
        ages[j] = (ages[j] + begun) * factor[j]
    # Of another state alone a value says nothing: a factor of 1.
    first = (state + 1) * _BETS
    for j in range(_BETS, len(sums)):
        begun, age = sums[j] + weights[j], ages[j]
        own = factor[_BETS + j - first] if first <= j < first + _BETS else np.float32(1)
        sums[j] = begun * own
        ages[j] = (age + begun) * own
    own_counts = counts[state]
    if note(own_counts, _block(own_counts), one):
        factors_of(own_counts, odds[state], _MARGIN, 1.0, factors[state])
    return True


@kernel
def _run(
    sums: Factors,
    ages: Factors,
    weights: Factors,
    factors: Factors,
    odds: Floats,
    counts: Floats,
    position: Ints,
    limit: float,
    enough: float,
    candidate: Bools,
    values: Floats,
    start: int,
    looks: Ints,
    seen: Floats,
    told: Bools,
) -> int:
    """Let a slot consume its row from `start` up to its first alarm; return where that was.

    `candidate` and `told` bool[1] are the slot's; see `e_detector`.
    """
    look = np.searchsorted(looks, start)
    statistic = total(sums)
    for event in range(start, len(values)):
        if look < len(looks) and looks[look] == event:
            if statistic >= enough or candidate[0]:
                see(sums, ages, enough, candidate, seen[look], told)
            look += 1
        if np.isnan(values[event]):
            continue
        one = values[event] > 0.0
        if not advance(sums, ages, weights, factors, odds, counts, position, one):
            continue
        statistic = total(sums)
        if statistic >= limit:
            return event
    return len(values)


class EChainBank:
    """The e-detector over rates with chains; see `EBank`. 0.5 kB a slot and 300 bytes a state.

    A slot knows its state from as many values on as make one: none after a new reference, or
    after `lose`.
    """

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.sums = Sums(slots, _MOST_BETS, Stream.RATE)
        self._weights: list[Factors] = [np.zeros(0, dtype=np.float32)] * slots
        self._factors: list[Factors] = [np.zeros((0, 2, 2 * _BETS), dtype=np.float32)] * slots
        self._odds: list[Floats] = [np.zeros((0, 2 * _BETS))] * slots
        self._counts: list[Floats] = [np.zeros((0, 6))] * slots
        self._positions = np.zeros((slots, 2), dtype=np.int64)
        for slot, (each, run_length) in enumerate(zip(expected, run_lengths, strict=True)):
            self.reset(slot, each, float(run_length))

    def update(self, values: Floats, rows: Ints, start: Ints, looks: Ints = NO_LOOKS) -> Ints:
        """Let each slot consume its values up to its first alarm; see `EBank`."""
        values = np.ascontiguousarray(values)  # another layout would be compiled for anew
        alarms = np.empty(len(rows), dtype=np.int64)
        seen = self.sums.look_at(looks)
        for slot in range(len(rows)):
            alarms[slot] = _run(
                *self._bets(slot),
                self._weights[slot],
                self._factors[slot],
                self._odds[slot],
                self._counts[slot],
                self._positions[slot],
                self.sums.thresholds[slot],
                self.sums.patience[slot],
                self.sums.candidates[slot : slot + 1],
                values[rows[slot]],
                start[slot],
                looks,
                seen.seen[slot],
                seen.told[slot : slot + 1],
            )
        return alarms

    def _bets(self, slot: int) -> tuple[Factors, Factors]:
        """Return the sums and ages of the bets that the slot's states have."""
        bets = len(self._weights[slot])
        return self.sums.sums[slot, :bets], self.sums.ages[slot, :bets]

    def arrays(
        self, slot: int
    ) -> tuple[Factors, Factors, Factors, Factors, Floats, Floats, Ints, float]:
        """Return a slot's state in the order `advance` takes it, and its threshold."""
        return (
            *self._bets(slot),
            self._weights[slot],
            self._factors[slot],
            self._odds[slot],
            self._counts[slot],
            self._positions[slot],
            float(self.sums.thresholds[slot]),
        )

    def learned(self, slot: int) -> Floats:
        """Return how many 0s and 1s a slot has learned in all states, float64[2]."""
        found: Floats = self._counts[slot][:, [ZEROS, ONES]].sum(axis=0)
        return found

    def take_back(self, slot: int, values: Floats) -> None:
        """Let the last values of a slot, float64[n], not be learned; see `learned`.

        The first few stay, those whose states are not known from the values alone.
        """
        counts = self._counts[slot]
        order = len(counts).bit_length() - 1
        flags, states = (values > 0).astype(np.float64), np.empty(len(values), dtype=np.int64)
        follow_states(order, 0, flags, 0, len(flags), states)
        for state in range(len(counts)):
            own = flags[order:][states[order:] == state]
            pending = int(counts[state, FILLED] + counts[state, FULL])
            counted = own[: max(len(own) - pending, 0)]
            ones = np.count_nonzero(counted)
            counts[state, [ZEROS, ONES]] -= len(counted) - ones, ones

    def lose(self, slot: int) -> None:
        """Let the slot's state be unknown: it does not see what comes next."""
        self._positions[slot] = 0

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        return self.sums.evidence(slot)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew, and drop what is not learned yet; see `Bank`.

        Under the same reference the state stays.
        """
        if expected is not None:
            assert expected.chain is not None
            counts = expected.chain.counts
            self._counts[slot] = np.zeros((len(counts), 6))
            self._counts[slot][:, : ONES + 1] = counts
            own = np.broadcast_to(ODDS, (len(counts), _BETS))
            self._odds[slot] = np.concatenate([expected.chain.moved(ODDS), own], axis=1)
            self.lose(slot)
        self._counts[slot][:, FILLED:] = 0
        self._arrange(slot)
        self.sums.begin(slot, self._weights[slot], run_length)

    def _arrange(self, slot: int) -> None:
        """Make what follows from a slot's counts."""
        counts = self._counts[slot]
        self._weights[slot] = _weights(len(counts))
        self._factors[slot] = np.zeros((len(counts), 2, 2 * _BETS), dtype=np.float32)
        for own, odds, factors in zip(counts, self._odds[slot], self._factors[slot], strict=True):
            factors_of(own, odds, _MARGIN, 1.0, factors)

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold; see `Bank`."""
        return self.sums.readings()

    def snapshot(self) -> State:
        """Return the sums and ages, what is learned, the states, and who is a candidate."""
        return {
            **self.sums.snapshot(),
            "counts": [each.copy() for each in self._counts],
            "positions": self._positions.copy(),
        }

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self._counts))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        counts = values(state, "counts")
        for slot, its in zip(slots.tolist(), theirs.tolist(), strict=True):
            self._counts[slot] = np.array(counts[its], dtype=np.float64)
            self._arrange(slot)
        self.sums.adopt(slots, state, theirs)
        self._positions[slots] = array(state, "positions")[theirs]
