"""What is said of alarms: rates with their bounds, delays, hits expected by chance, coverage."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

ONE_SIDED = 1.6448536269514722
"""The normal quantile of 95 %."""

PER = 100_000


def poisson_below(count: int, mean: float) -> float:
    """Return the probability of at most `count` events where `mean` are expected."""
    if count < 0:
        return 0.0
    if mean <= 0:
        return 1.0
    logs = [index * math.log(mean) - mean - math.lgamma(index + 1) for index in range(count + 1)]
    top = max(logs)
    return min(math.exp(top) * math.fsum(math.exp(log - top) for log in logs), 1.0)


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a Poisson mean of which `count` were seen."""
    return _crossing(
        lambda mean: poisson_below(count, mean) <= 1 - confidence,
        float(count),
        count + 10 * math.sqrt(count + 1) + 10,
    )


def poisson_lower(count: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a Poisson mean of which `count` were seen."""
    if count == 0:
        return 0.0
    return _crossing(
        lambda mean: 1 - poisson_below(count - 1, mean) >= 1 - confidence, 0.0, float(count)
    )


def share_lower(hits: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a share of which `hits` of `trials` were seen."""
    if hits == 0:
        return 0.0
    return _crossing(
        lambda share: 1 - _binomial_below(hits - 1, trials, share) >= 1 - confidence,
        0.0,
        1.0,
    )


def share_upper(hits: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a share of which `hits` of `trials` were seen."""
    return 1 - share_lower(trials - hits, trials, confidence)


def _binomial_below(count: int, trials: int, share: float) -> float:
    if share <= 0:
        return 1.0
    if share >= 1:
        return 0.0 if count < trials else 1.0
    return math.fsum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(trials - hits + 1)
            + hits * math.log(share)
            + (trials - hits) * math.log1p(-share)
        )
        for hits in range(count + 1)
    )


def _crossing(above: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a condition that is false at `low` becomes true, found by halving."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        if above(middle):
            high = middle
        else:
            low = middle
    return high


class Rate(NamedTuple):
    """Alarms in so many values in which nothing changed."""

    alarms: int
    values: int

    @property
    def each(self) -> float:
        """Alarms in 100,000 values."""
        return self.alarms * PER / self.values

    @property
    def upper(self) -> float:
        """One-sided 95 % upper bound of `each`, alarms being rare and independent."""
        return poisson_upper(self.alarms) * PER / self.values

    @property
    def lower(self) -> float:
        """One-sided 95 % lower bound of `each`."""
        return poisson_lower(self.alarms) * PER / self.values

    def by_chance(self, horizon: int) -> float:
        """Return the probability of a hit within so many values where there is nothing to hit."""
        return -math.expm1(-self.alarms / self.values * horizon)

    def __add__(self, other: object) -> "Rate":
        """Return the rate of both taken together."""
        if not isinstance(other, Rate):
            return NotImplemented
        return Rate(self.alarms + other.alarms, self.values + other.values)


class Delays(NamedTuple):
    """Delays in values, a miss being as long as the horizon.

    Runs with an alarm before the change are left out (`early` of them), unless they are more
    than half: then none is, and what is found says little.
    """

    delays: tuple[int, ...]
    horizon: int
    early: int
    quiet: Rate

    @property
    def mean(self) -> float:
        """Restricted mean delay: a miss counts as the horizon."""
        return float(np.mean(self.delays)) if self.delays else math.nan

    @property
    def error(self) -> float:
        """Standard error of the restricted mean; infinite where there is one run only."""
        count = len(self.delays)
        return float(np.std(self.delays, ddof=1)) / math.sqrt(count) if count > 1 else math.inf

    @property
    def median(self) -> float:
        """Median delay; infinite where half are misses."""
        middle = float(np.median(self.delays)) if self.delays else math.nan
        return middle if middle < self.horizon else math.inf

    @property
    def found(self) -> float:
        """Share of changes found within the horizon."""
        return self.within(self.horizon)

    def within(self, horizon: int) -> float:
        """Return the share of changes found within so many values."""
        return sum(delay < horizon for delay in self.delays) / max(len(self.delays), 1)

    @property
    def blurred(self) -> bool:
        """Whether alarms are so many that a hit within the horizon says nothing."""
        return self.quiet.by_chance(self.horizon) >= 0.5


def delays_of(
    firsts: Sequence[int], earlies: Sequence[int], quiets: Sequence[int], horizon: int
) -> Delays:
    """Gather runs: first alarm after the change, alarms before it, values before it.

    `firsts` counts from the change: 0 is an alarm at the first changed value, whose delay is
    1; anything from `horizon` on is a miss.
    """
    noisy = sum(early > 0 for early in earlies)
    everything = noisy > len(firsts) / 2
    delays = tuple(
        min(first + 1, horizon)
        for first, early in zip(firsts, earlies, strict=True)
        if everything or not early
    )
    return Delays(delays, horizon, noisy, Rate(sum(earlies), max(sum(quiets), 1)))


class Coverage(NamedTuple):
    """How often an interval held the truth, and how wide it was."""

    held: int
    trials: int
    width: float

    @property
    def share(self) -> float:
        """Share of intervals that held the truth."""
        return self.held / self.trials if self.trials else math.nan
