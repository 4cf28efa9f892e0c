"""The memory of a 0/1 signal: a Markov chain, whose states each have a rate of their own.

The state is the last few values. Given the state the next value is an independent 0 or 1 whose
chance is learnt as that of any rate, in counts of the state's own: so a detector of rates stays
exact behind it. Where a chain does not explain all dependence (bursts that something hidden
switches on and off) there is none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints, State
from streamdrift.references.steps import in_waves

ORDERS = 4
"""The most last values that make a state."""
_SEEN = 30
"""Values that each state is seen with at least."""
_LEAST = 500
"""Values below which no chain is looked for."""
_LAGS, _CORRELATED = 20, 45.3
"""Lags whose correlations are looked at, and the sum of their squares, in variances, that one chain
in a thousand exceeds (Box and Pierce, Journal of the American Statistical Association 1970)."""
LENGTHS = (32, 128, 512)
_CLEAR = 3.5
"""Standard deviations by which the variance of sums may exceed that of independent values."""
_SLOW = 20.0
"""What the slowest waves explain of one in 2,000 references that are independent."""
_FEW = 30
"""0s and 1s, whichever are fewer, from which on their level is judged."""
_LEAST_LASTING = 0.5
"""1s more that a 1 brings in the long run, itself among them, at least: that of values that
alternate."""
_MOST_TIMES = 10.0
"""A chance becomes this part of itself at the least, where a rate moves."""
_RARER = 100
"""0s and 1s, whichever are fewer, from which on their dependence is judged: of fewer, two that
happen to be neighbours look like it."""


@dataclass(frozen=True)
class Chain:
    """A chain of `order` 1 to ORDERS.

    `counts` float64[2^order, 2]: how often each state was followed by 0 and by 1. A state's bits
    are the last values, the latest lowest. `state` is the one behind the reference.
    """

    order: int
    counts: Floats
    state: int

    @property
    def rates(self) -> Floats:
        """The chance of a 1 after each state, float64[2^order]."""
        found: Floats = (self.counts[:, 1] + 0.5) / (self.counts.sum(axis=1) + 1.0)
        return found

    @property
    def variance_ratio(self) -> float:
        """The variance of long sums over that of independent values of the same rate.

        Of order 1 it is (1 + r) / (1 - r) with the correlation r of neighbours.
        """
        shares, ahead = self._lasting()
        ones = (np.arange(len(shares)) & 1).astype(np.float64)
        mean = float((shares * ones).sum())
        variance = mean * (1 - mean)
        return float(2 * (shares * (ones - mean) * ahead).sum() - variance) / variance

    def moved(self, odds: Floats) -> Floats:
        """Return by how much another rate of 1s, at the same memory, multiplies each state's odds.

        `odds` float64[n] are what those of the rate are multiplied by; float64[2^order, n]. The
        chances of a 1 rise or fall in all states as much; at most to a tenth, of either value.
        """
        shares, ahead = self._lasting()
        states, most = np.arange(len(shares)), len(shares) - 1
        mean = float(shares[states & 1 == 1].sum())
        # How far the rate moves with the chances: what a 1 in place of a 0 brings in the long run.
        lasts = float(
            (shares * (ahead[((states << 1) | 1) & most] - ahead[(states << 1) & most])).sum()
        )
        by = (odds * mean / (1 + mean * (odds - 1)) - mean) / max(lasts, _LEAST_LASTING)
        rates = self.rates[:, np.newaxis]
        after = np.clip(rates + by, rates / _MOST_TIMES, 1 - (1 - rates) / _MOST_TIMES)
        found: Floats = after / (1 - after) * (1 - rates) / rates
        return found

    def _lasting(self) -> tuple[Floats, Floats]:
        """Return the states' shares of all values, and how many 1s more than on average follow.

        A state's last value is among those that follow; float64[2^order] both.
        """
        rates, size = self.rates, len(self.counts)
        states = np.arange(size)
        moves = np.zeros((size, size))
        moves[states, (states << 1) & (size - 1)] += 1 - rates
        moves[states, ((states << 1) | 1) & (size - 1)] += rates
        balance = moves.T - np.eye(size)
        balance[-1] = 1.0
        shares: Floats = np.linalg.solve(balance, np.eye(size)[-1])
        ones = (states & 1).astype(np.float64)
        mean = float((shares * ones).sum())
        ahead = np.linalg.solve(np.eye(size) - moves + shares, ones - mean).astype(np.float64)
        return shares, ahead

    def snapshot(self) -> State:
        """Return everything as a tree."""
        return {"order": self.order, "counts": self.counts, "state": self.state}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        order, last = state["order"], state["state"]
        assert isinstance(order, int)
        assert isinstance(last, int)
        return cls(order, np.array(state["counts"], dtype=np.float64), last)


@kernel
def follow_states(
    order: int, state: int, flags: Floats, start: int, stop: int, states: Ints
) -> int:
    """Write the state before each of flags[start:stop]; return the one behind them.

    `flags` float64[n] are 0, 1 or NaN (no value: state -1, nothing moves), `states` int64[n].
    """
    most = (1 << order) - 1
    for i in range(start, stop):
        if math.isnan(flags[i]):
            states[i] = -1
            continue
        states[i] = state
        state = ((state << 1) | (1 if flags[i] > 0.5 else 0)) & most
    return state


@kernel
def _likelihood(states: Ints, flags: Floats, counts: Floats) -> float:
    """Count what follows each state, into float64[s, 2]; return the log-likelihood."""
    counts[:] = 0.0
    for i in range(len(flags)):
        counts[states[i], int(flags[i])] += 1.0
    total = 0.0
    for state in range(len(counts)):
        size = counts[state, 0] + counts[state, 1]
        for value in range(2):
            if counts[state, value] > 0.0:
                total += counts[state, value] * math.log(counts[state, value] / size)
    return total


@kernel
def excess(left: Floats, length: int) -> float:
    """Return the variance of sums of `length` neighbours over that of independent values."""
    size = len(left)
    running, squares, square = 0.0, 0.0, 0.0
    for i in range(size):
        square += left[i] * left[i]
        running += left[i]
        if i >= length:
            running -= left[i - length]
        if i >= length - 1:
            squares += running * running
    return (squares / (size - length + 1)) / (length * square / size * (1.0 - length / size))


def fit_chain(flags: Floats) -> Chain | None:
    """Return the chain of float64[n] 0s and 1s, NaN where there was no value; None without one.

    The order of least BIC (Katz, On some criteria for estimating the order of a Markov chain,
    Technometrics 1981) among those whose states were all seen often enough; none where values
    do not remember or where it leaves dependence.
    """
    used = flags[~np.isnan(flags)]
    if len(used) < _LEAST:
        return None
    best, chosen = math.inf, Chain(0, np.empty((0, 2)), 0)
    for order in range(ORDERS + 1):
        states = np.empty(len(used), dtype=np.int64)
        last = follow_states(order, 0, used, 0, len(used), states)
        counts = np.empty((1 << order, 2))
        # The first values have no full state.
        likelihood = _likelihood(states[ORDERS:], used[ORDERS:], counts)
        if counts.sum(axis=1).min() < _SEEN:
            break
        cost = (1 << order) * math.log(len(used)) - 2 * likelihood
        if cost < best:
            best, chosen = cost, Chain(order, counts, last)
    if chosen.order == 0 or not _explains(chosen, used):
        return None
    return chosen


def variance_left(used: Floats, rates: Floats) -> float:
    """Return the variance of sums of what the rates leave over that of independent values.

    `used` float64[n] are 0 or 1, `rates` float64[n] the chances of a 1. The most of sums of several
    lengths; 1 where values look independent, or too few are known of either kind.
    """
    ones = np.count_nonzero(used)
    if len(used) < _LEAST or min(ones, len(used) - ones) < _RARER:
        return 1.0
    left = _left(used, rates)
    if _look_independent(left):
        return 1.0
    # What is not known of it is as well for the worse.
    return max(
        1.0,
        *(
            excess(left, length) * (1 + _error(len(used), length))
            for length in _lengths_in(len(used), 10)
        ),
    )


def varies_slowly(used: Floats, rates: Floats) -> bool:
    """Tell whether what the rates leave follows waves about as long as the reference."""
    ones = np.count_nonzero(used)
    if len(used) < _LEAST or min(ones, len(used) - ones) < _FEW:
        return False
    return in_waves(_left(used, rates)) > _SLOW


def _lengths_in(size: int, times: int) -> list[int]:
    """Return the lengths that so many times are in a reference, at least."""
    return [length for length in LENGTHS if times * length <= size]


def _explains(chain: Chain, used: Floats) -> bool:
    """Tell whether what a chain leaves of its reference looks independent."""
    states = np.empty(len(used), dtype=np.int64)
    follow_states(chain.order, 0, used, 0, len(used), states)
    return _look_independent(_left(used, chain.rates[states])[ORDERS:])


def _left(used: Floats, rates: Floats) -> Floats:
    """Return what the rates float64[n] do not explain, in standard deviations."""
    left: Floats = (used - rates) / np.sqrt(rates * (1 - rates))
    return left


def _look_independent(left: Floats) -> bool:
    """Tell whether standardised values neither correlate nor add up to more than they should."""
    size = len(left)
    left = left - left.mean()
    square = float((left**2).sum())
    correlations = [float((left[lag:] * left[:-lag]).sum()) / square for lag in range(1, _LAGS + 1)]
    if size * sum(each**2 for each in correlations) > _CORRELATED:
        return False
    return all(
        excess(left, length) - 1 < _CLEAR * _error(size, length) for length in _lengths_in(size, 20)
    )


def _error(size: int, length: int) -> float:
    """Return the standard error of a ratio of variances, of overlapping sums, that is 1.

    Lo and MacKinlay, Stock market prices do not follow random walks, Review of Financial Studies
    1988.
    """
    return math.sqrt(4 * length / (3 * size))
