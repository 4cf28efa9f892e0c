"""How much the evidence of a signal counts: the dependence its reference still shows.

A front takes off what it finds; what it leaves need not be independent. Every factor is raised to
one power, which keeps its mean at most 1 under uniform ranks (Jensen) and forgives dependence:
first the power that the reference's own block sums ask for, then less while the reference,
replayed, alarms more often than it should.
"""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.detectors.chances import FILLED, KNOWN, SIZE, factors_of
from streamdrift.detectors.mixture import (
    CELL_OF,
    DIVERGENCES,
    FACTORS,
    FORMS,
    POWERED,
    POWERS,
    WEIGHTS,
    Factors,
    Form,
    step,
)
from streamdrift.detectors.rates import WEIGHTS as RATE_WEIGHTS
from streamdrift.detectors.rates import advance
from streamdrift.kernels.compiler import kernel, uniform_hash
from streamdrift.records import Floats, Ints
from streamdrift.references import Code, Finding, Fitted
from streamdrift.references.chances import chances_of
from streamdrift.references.front import LEAST

_ASKED = 1e5
"""The run length at whose delays block sums are taken."""
_LEAST_BLOCKS = 40
"""A block sum is taken over at most this part of the reference."""
_SLIGHT = 0.045 / 0.012
"""By how much the weight of the slightest shift grows where anything was found: there slight shifts
take the place of larger ones, which the front makes smaller."""
_FIRM = (12, 2, 0)
"""Alarms that a reference of n values may raise at the thresholds n / 10, n and 10 n."""
_FREE = (15, 4, 1)
"""The same where nothing was found."""
_STRICT = (5, 1, 0)
"""The same where size clusters, or the first replay was loud."""
_EXPECTED = (10.0, 1.0, 0.1)
"""Alarms to be expected of independent values at these thresholds, at most."""
_CLUSTERS = 8.0
_LOUD, _VERY_LOUD = 14, 20
"""Sums of alarms, weighted 1, 3 and 10, from which on a replay is loud."""
_PLAIN = (20, 5, 2)
"""The same of 0s and 1s that look independent, but for this: hardly ever more where they are."""
_STEP = 3
"""A discount of 2^(-3/6), about .7."""
_MOST_DISCOUNTS = 8


@dataclass(frozen=True)
class Armed:
    """What a signal's evidence counts.

    `power` k means factors to the power 2^(-k/6), 0 to POWERS - 1. `loud` where the reference
    still alarms too often at that power, or only a strong discount silenced it: its budget is not
    assured.
    """

    power: int
    loud: bool
    findings: tuple[Finding, ...]


def weights_of(found: bool) -> Factors:
    """Return the alternatives' weights float32[32], for signals of whom something was found."""
    return _WEIGHTS_FOUND if found else WEIGHTS


def _weights_found() -> Factors:
    slight = [
        place
        for place, form in enumerate(FORMS)
        if form is Form.LEVEL and DIVERGENCES[place] < 0.6 * 0.25**2 / 2
    ]
    weights = WEIGHTS.astype(np.float64)
    weights[slight] *= _SLIGHT
    weights /= weights.sum()
    return weights.astype(np.float32)


_WEIGHTS_FOUND = _weights_found()


@kernel
def _ranks(places: Ints, seed: int, out: Floats) -> None:
    """Write the ranks of values within themselves: `places` sorts them, at random within a rank."""
    size = len(places)
    for k in range(size):
        out[places[k]] = (k + uniform_hash(seed, places[k])) / size


@kernel
def _ratio(ranks: Floats, logs: Floats, length: int) -> float:
    """Return the variance of sums of `length` log factors over that of independent ones.

    `logs` float64[64] is one alternative's; all sums of neighbours are taken, overlapping.
    """
    size = len(ranks)
    terms = np.empty(size)
    mean = 0.0
    for i in range(size):
        terms[i] = logs[CELL_OF[int(ranks[i] * 16384.0)]]
        mean += terms[i]
    mean /= size
    square, running, squares = 0.0, 0.0, 0.0
    for i in range(size):
        terms[i] -= mean
        square += terms[i] * terms[i]
        running += terms[i]
        if i >= length:
            running -= terms[i - length]
        if i >= length - 1:
            squares += running * running
    sums = size - length + 1
    # The mean is the reference's own, which takes length / size of the variance away.
    return (squares / sums) / (length * (square / size) * (1.0 - length / size))


@kernel
def _replay(
    ranks: Floats, table: Factors, weights: Factors, thresholds: Floats, counts: Ints
) -> None:
    """Count the alarms of ranks at each threshold, starting anew after each alarm."""
    sums = np.zeros((len(thresholds), 32), dtype=np.float32)
    counts[:] = 0
    for i in range(len(ranks)):
        for place in range(len(thresholds)):
            if step(sums[place], table, weights, ranks[i]) >= thresholds[place]:
                counts[place] += 1
                sums[place] = 0.0


def arm(residuals: Floats, fitted: Fitted, seed: int = 0) -> Armed:
    """Return the power at which a signal's evidence counts.

    `residuals` float64[n] is what the front leaves of the reference (the values themselves
    without one), in stream order; what is not finite is left out. `seed` drives the coins
    among equal ones.
    """
    finite = residuals[np.isfinite(residuals)]
    size = len(finite)
    if size < LEAST or finite.min() == finite.max():
        return Armed(0, False, ())
    ranks = ranks_within(finite, seed)
    found = fitted.found
    weights = weights_of(found)
    power = discount(ranks, weights) if found else 0
    first = counts = replay(ranks, power, weights)
    limits = _FIRM if found else _FREE
    clusters = fitted.clustering > _CLUSTERS
    loudness = _loudness(first)
    if found and (clusters or loudness >= _LOUD):
        limits = _STRICT
    power += _STEP * (int(clusters) + int(loudness >= _VERY_LOUD and power > 0))
    power = min(power, POWERS - 1)
    for _ in range(_MOST_DISCOUNTS):
        counts = replay(ranks, power, weights)
        if _within(counts, limits) or power == POWERS - 1:
            break
        power = min(power + _STEP, POWERS - 1)
    still = not _within(counts, limits)
    loud = still or (found and loudness >= _VERY_LOUD)
    return _armed(power, loud, counts if still else first)


def _armed(power: int, loud: bool, counts: Ints) -> Armed:
    """Return what follows from a replay; `counts` are of the loudest."""
    findings = list[Finding]()
    if power > 0:
        findings.append(Finding(Code.DISCOUNTED, {"power": 2 ** (-power / 6)}))
    if loud:
        findings.append(_not_assured(counts))
    return Armed(power, loud, tuple(findings))


def _not_assured(counts: Ints) -> Finding:
    """Tell of the threshold at which there were most alarms for what was to be expected."""
    place = int(np.argmax(counts / np.array(_EXPECTED)))
    figures = {"alarms": float(counts[place]), "expected": _EXPECTED[place]}
    return Finding(Code.NOT_ASSURED, figures)


@kernel
def _replay_flags(
    middles: Floats,
    counts: Floats,
    figures: Floats,
    weights: Factors,
    thresholds: Floats,
    alarms: Ints,
) -> None:
    """Count the alarms of middles at each threshold, starting anew after each alarm."""
    sums = np.zeros((len(thresholds), len(weights)), dtype=np.float32)
    ages = np.zeros((len(thresholds), len(weights)), dtype=np.float32)
    factors = np.empty(len(weights), dtype=np.float32)
    alarms[:] = 0
    for i in range(len(middles)):
        factors_of(middles[i], counts, figures, factors)
        for place in range(len(thresholds)):
            if advance(sums[place], ages[place], factors, weights) >= thresholds[place]:
                alarms[place] += 1
                sums[place] = 0.0


def replay_flags(middles: Floats, doubt: float, power: int) -> Ints:
    """Return how often n middles alarm at the thresholds n / 10, n and 10 n, int64[3]."""
    chances = chances_of(middles)
    counts = np.zeros(FILLED)
    counts[[SIZE, KNOWN]] = len(middles), (chances * (1 - chances)).sum()
    figures = np.array([2 ** (-power / 6), doubt])
    thresholds = len(middles) * np.array([0.1, 1.0, 10.0])
    alarms = np.empty(3, dtype=np.int64)
    _replay_flags(middles, counts, figures, RATE_WEIGHTS, thresholds, alarms)
    return alarms


def too_loud(middles: Floats) -> bool:
    """Tell whether middles of a reference alarm more often than what is explained would."""
    return len(middles) >= LEAST and not _within(replay_flags(middles, 0.0, 0), _PLAIN)


def arm_flags(middles: Floats, doubt: float, power: int) -> Armed:
    """Return the power, `power` or more, at which the evidence of a rate counts.

    `middles` float64[n] are those of the reference, none of them NaN; see `arm`.
    """
    first = counts = replay_flags(middles, doubt, power)
    for _ in range(_MOST_DISCOUNTS):
        if _within(counts, _FIRM) or power == POWERS - 1:
            break
        power = min(power + _STEP, POWERS - 1)
        counts = replay_flags(middles, doubt, power)
    still = not _within(counts, _FIRM)
    return _armed(power, still or _loudness(first) >= _VERY_LOUD, counts if still else first)


def ranks_within(values: Floats, seed: int) -> Floats:
    """Return the ranks of float64[n], none of them NaN, among themselves: on [0, 1), even."""
    out = np.empty(len(values))
    # Equal values fall in the order of their coins: the stream's own would be a pattern.
    coins = np.empty(len(values))
    _coins(seed, coins)
    _ranks(np.lexsort((coins, values)), seed, out)
    return out


@kernel
def _coins(seed: int, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = uniform_hash(seed + 1, i)


def discount(ranks: Floats, weights: Factors) -> int:
    """Return the power at which block sums of log factors vary as independent ones would.

    Each alternative at the time it takes to find itself; its power is one over the ratio of
    variances, the signal's the mean of their logarithms by weight.
    """
    size = len(ranks)
    total = 0.0
    for place, weight in enumerate(weights.tolist()):
        length = int(math.log(_ASKED / weight) / DIVERGENCES[place])
        length = max(min(length, size // _LEAST_BLOCKS), 1)
        logs = np.log(FACTORS[:, place].astype(np.float64))
        total += weight * max(math.log(_ratio(ranks, logs, length)), 0.0)
    return min(round(6 * total / math.log(2)), POWERS - 1)


def replay(ranks: Floats, power: int, weights: Factors) -> Ints:
    """Return how often n ranks alarm at the thresholds n / 10, n and 10 n, int64[3]."""
    counts = np.empty(3, dtype=np.int64)
    thresholds = len(ranks) * np.array([0.1, 1.0, 10.0])
    _replay(ranks, POWERED[power], weights, thresholds, counts)
    return counts


def _loudness(counts: Ints) -> int:
    return int(counts[0] + 3 * counts[1] + 10 * counts[2])


def _within(counts: Ints, limits: tuple[int, ...]) -> bool:
    return all(int(count) <= limit for count, limit in zip(counts, limits, strict=True))
