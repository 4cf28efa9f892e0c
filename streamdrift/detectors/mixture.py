"""The alternatives of the default detector: one table of factors for every numeric signal.

A value becomes its rank u, uniform on [0, 1] while nothing changes, whatever the signal. So the
likelihood ratio of any alternative is a function of u alone. Here are 32 of them, averaged over
64 cells of u: the factor of a cell is the alternative's mass there over the cell's width, so each
stays an e-value exactly: its mean under uniform ranks is 1.

The sum over all possible beginnings of a change of the mixture of these products is a
Shiryaev-Roberts e-detector: its first passage of a threshold A takes A values or more on average
while nothing changes (Shin, Ramdas, Rinaldo, E-detectors: a nonparametric framework for
sequential change detection, New England Journal of Statistics in Data Science 2023).
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from math import pi
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Floats

Factors = NDArray[np.float32]
Distribution = Callable[[float], float]

GRID = 16_384
"""Places on [0, 1] that know their cell."""
_LEFT = (
    0, 4, 12, 31, 73, 154, 287, 478, 725, 1019, 1024, 1354, 1720, 2048, 2112, 2525, 2954, 3072,
    3397, 3851, 4096, 4315, 4785, 5120, 5262, 5743, 6144, 6229, 6717, 7168, 7208, 7700, 8192,
)  # fmt: skip
"""Borders of the cells in the lower half, in 1 / GRID: denser towards the tail, and where the
densities of the alternatives bend."""
POWERS = 31
"""Tables kept: the factors to the powers 2^(-k/6), k from 0 on. A power below 1 keeps the mean
of a factor at most 1, and forgives ranks that are not independent."""

_NORMAL = NormalDist()


class Form(StrEnum):
    """What kind of change an alternative is."""

    LEVEL = "level"
    SPREAD = "spread"
    SHAPE = "shape"


def _shift(size: float) -> Distribution:
    return lambda u: _NORMAL.cdf(_normal(u) - size)


def _scale(ratio: float) -> Distribution:
    return lambda u: _NORMAL.cdf(_normal(u) / ratio)


def _cosine(order: int, size: float) -> Distribution:
    return lambda u: u + size * 2**0.5 * np.sin(order * pi * u) / (order * pi)


def _humps(apart: float) -> Distribution:
    """Return two normal humps of mean 0 and standard deviation 1 in all, at -apart and +apart."""
    width = (1 - apart * apart) ** 0.5

    def humps(u: float) -> float:
        z = _normal(u)
        return 0.5 * _NORMAL.cdf((z + apart) / width) + 0.5 * _NORMAL.cdf((z - apart) / width)

    return humps


def _low_tail(u: float) -> float:
    outer, density = 1 / 512, 5.0
    if u <= outer:
        return density * u
    return density * outer + (u - outer) * (1 - density * outer) / (1 - outer)


def _high_tail(u: float) -> float:
    return 1 - _low_tail(1 - u)


def _core_and_wide(u: float) -> float:
    return 0.85 * _scale(0.8)(u) + 0.15 * _scale(2.0)(u)


def _half_uniform(u: float) -> float:
    flat = (_normal(u) + 3**0.5) / 12**0.5
    return 0.5 * u + 0.5 * min(max(flat, 0.0), 1.0)


def _normal(u: float) -> float:
    if u <= 0:
        return -np.inf
    return np.inf if u >= 1 else _NORMAL.inv_cdf(u)


def _alternatives() -> list[tuple[Form, float, Distribution]]:
    """Return form, weight and distribution function of every alternative."""
    levels = ((0.125, 0.012), (0.25, 0.075), (0.5, 0.062), (1.0, 0.045), (2.0, 0.030))
    spreads = ((0.5, 0.040), (0.7, 0.015), (1.4, 0.043), (2.0, 0.075))
    cosines = (
        (2, 0.25, 0.015), (2, 0.6, 0.015), (3, 0.3, 0.030), (4, 0.25, 0.025), (5, 0.3, 0.012),
        (6, 0.3, 0.015),
    )  # fmt: skip
    found: list[tuple[Form, float, Distribution]] = []
    for sign in (1, -1):
        found += [(Form.LEVEL, weight, _shift(sign * size)) for size, weight in levels]
    found += [(Form.SPREAD, weight, _scale(ratio)) for ratio, weight in spreads]
    for sign in (1, -1):
        found += [
            (Form.SHAPE, weight, _cosine(order, sign * size)) for order, size, weight in cosines
        ]
    return [
        *found,
        (Form.SHAPE, 0.012, _cosine(4, -0.6)),
        (Form.SHAPE, 0.012, _humps(0.7)),
        (Form.SHAPE, 0.010, _low_tail),
        (Form.SHAPE, 0.010, _high_tail),
        (Form.SHAPE, 0.075, _core_and_wide),
        (Form.SHAPE, 0.046, _half_uniform),
    ]


def _factors(borders: Floats, distributions: Sequence[Distribution]) -> Floats:
    table = np.empty((len(borders) - 1, len(distributions)))
    for place, distribution in enumerate(distributions):
        table[:, place] = np.diff([distribution(u) for u in borders.tolist()]) / np.diff(borders)
    return table


_ALTERNATIVES = _alternatives()
_TOTAL = sum(weight for _, weight, _ in _ALTERNATIVES)
BORDERS: Floats = np.array([*_LEFT, *(GRID - each for each in _LEFT[-2::-1])]) / GRID
"""float64[65]: where the cells of u begin and end."""
CELL_OF: NDArray[np.uint8] = (
    np.searchsorted(BORDERS, np.arange(GRID) / GRID, side="right") - 1
).astype(np.uint8)
"""uint8[GRID]: the cell of int(u * GRID)."""
FORMS: tuple[Form, ...] = tuple(form for form, _, _ in _ALTERNATIVES)
WEIGHTS: Factors = np.array([weight / _TOTAL for _, weight, _ in _ALTERNATIVES], np.float32)
"""float32[32]: what each alternative counts; the sum is 1."""
_EXACT = _factors(BORDERS, [distribution for _, _, distribution in _ALTERNATIVES])
FACTORS: Factors = _EXACT.astype(np.float32)
"""float32[64, 32]: likelihood ratio by cell and alternative."""
POWERED: Factors = np.stack([_EXACT**2 ** (-k / 6) for k in range(POWERS)]).astype(np.float32)
"""float32[POWERS, 64, 32]."""
MASSES: Floats = np.concatenate(
    [
        np.zeros((POWERS, 1, len(FORMS))),
        np.cumsum(np.diff(BORDERS)[:, None] * POWERED.astype(np.float64), axis=1),
    ],
    axis=1,
)
"""float64[POWERS, 65, 32]: the integral of each factor from 0 to each border."""
DIVERGENCES: Floats = (np.diff(BORDERS)[:, None] * _EXACT * np.log(_EXACT)).sum(axis=0)
"""float64[32]: the Kullback-Leibler divergence of each alternative from uniform ranks, the rate
at which its log factors grow once it is true."""


ROUNDED_UP = 1.00001
"""Far more than rounding makes of a total, or of a product of a few factors."""


@inlined
def total(sums: Factors) -> float:
    """Return the sum of float32[n], n a multiple of 4, added up in a fixed order."""
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for j in range(0, len(sums), 4):
        a += sums[j]
        b += sums[j + 1]
        c += sums[j + 2]
        d += sums[j + 3]
    return np.float64((a + b) + (c + d))


@kernel
def step(sums: Factors, table: Factors, weights: Factors, u: float) -> float:
    """Take one rank into the sums float32[32] of a signal; return their total.

    R_j becomes (R_j + w_j) times the factor of the rank's cell. The total is added up in a
    fixed order that compilers can take four at a time.
    """
    cell = CELL_OF[min(int(u * 16384.0), 16383)]
    factors = table[cell]
    for j in range(32):
        sums[j] = (sums[j] + weights[j]) * factors[j]
    return total(sums)


@kernel
def totals(sums: Factors) -> Floats:
    """Return the total of each row of float32[k, n]."""
    found = np.empty(len(sums))
    for slot in range(len(sums)):
        found[slot] = total(sums[slot])
    return found
