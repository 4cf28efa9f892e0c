"""The optimum: CUSUM that is told the change, and needs only to find out when.

The sum is empty when the change comes, which is its worst case, the one that is optimal
(Lorden). Told several changes it runs a sum for each, as for a shift whose direction is not
told.

Page, Continuous inspection schemes, Biometrika 41 (1954); Lorden, Procedures for reacting to a
change in distribution, Annals of Mathematical Statistics 42 (1971). Its increments are log
likelihood ratios of each value given those before; the threshold comes from quiet increments.
"""

import math
from collections.abc import Callable

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats

Ratio = Callable[[Floats], Floats]
"""Log likelihood ratios of a path's values, changed against unchanged: float64[n] to the same."""


@kernel
def first_alarm(increments: Floats, threshold: float) -> int:
    """Return the first place where the sum exceeds the threshold; without one the length."""
    total = 0.0
    for index in range(len(increments)):
        total = max(total, 0.0) + increments[index]
        if total > threshold:
            return index
    return len(increments)


@kernel
def count_alarms(increments: Floats, threshold: float) -> int:
    """Return how often the sum exceeds the threshold; it begins anew each time."""
    total, alarms = 0.0, 0
    for index in range(len(increments)):
        total = max(total, 0.0) + increments[index]
        if total > threshold:
            alarms += 1
            total = 0.0
    return alarms


def calibrate(quiet: Floats, run_length: float) -> float:
    """Return the threshold that alarms every `run_length` of these quiet increments on average.

    Needs many times that number of increments: with 100 times the run length it is
    right to some 10 %, and the delay to 1 %.
    """
    low, high = 0.0, 2 * math.log(run_length) + 5
    allowed = len(quiet) / run_length
    for _ in range(30):
        middle = 0.5 * (low + high)
        if count_alarms(quiet, middle) > allowed:
            low = middle
        else:
            high = middle
    return high


def normal_shift(shift: float) -> Ratio:
    """Return the ratio of N(shift, 1) to N(0, 1)."""
    return lambda values: shift * values - 0.5 * shift * shift


def normal_spread(factor: float) -> Ratio:
    """Return the ratio of N(0, factor**2) to N(0, 1)."""
    slope = 0.5 * (1 - 1 / (factor * factor))
    return lambda values: slope * values * values - math.log(factor)


def rates(before: float, after: float) -> Ratio:
    """Return the ratio of 0/1 values with one rate to another."""
    one, zero = math.log(after / before), math.log((1 - after) / (1 - before))
    return lambda values: np.asarray(np.where(values > 0.5, one, zero))


def shares(before: Floats, after: Floats) -> Ratio:
    """Return the ratio of level codes; a level that was never there decides at once."""
    with np.errstate(divide="ignore"):
        table = np.log(after) - np.log(before)
    return lambda values: np.asarray(table[values.astype(np.int64)])


def chains(before: tuple[float, float], after: tuple[float, float]) -> Ratio:
    """Return the ratio of two Markov chains, each with its share of ones and its memory."""

    def given(chain: tuple[float, float]) -> Floats:
        share, memory = chain
        ones = np.array([share * (1 - memory), share + memory * (1 - share)])
        return np.asarray(np.log(np.array([1 - ones, ones])))

    table: Floats = given(after) - given(before)

    def ratio(values: Floats) -> Floats:
        codes = values.astype(np.int64)
        increments = np.zeros(len(values))
        increments[1:] = table[codes[1:], codes[:-1]]
        return increments

    return ratio


def densities(before: Ratio, after: Ratio) -> Ratio:
    """Return the ratio of two log densities."""
    return lambda values: np.asarray(after(values) - before(values))


def log_normal_density(values: Floats) -> Floats:
    """Return the log density of N(0, 1), without its constant."""
    return -0.5 * values * values


def log_lognormal_ratio(factor: float) -> Ratio:
    """Return the ratio of lognormal(0, 1) values multiplied by a factor to themselves."""
    shift = math.log(factor)
    return lambda values: shift * np.log(values) - 0.5 * shift * shift


def student_shift(degrees: int, shift: float) -> Ratio:
    """Return the ratio of Student's t of standard deviation 1, moved, to itself."""
    spread = degrees - 2

    def density(values: Floats) -> Floats:
        return np.asarray(-0.5 * (degrees + 1) * np.log1p(values * values / spread))

    return lambda values: density(values - shift) - density(values)
