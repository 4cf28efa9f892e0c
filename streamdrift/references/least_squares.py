"""Least squares by normal equations, summed in a fixed order: the same bits on every machine."""

import math

import numpy as np

from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.records import Floats, Ints


@kernel
def cross_products(columns: Floats, first: int, out: Floats) -> None:
    """Write the inner products of the rows float64[k, n], from place `first` on, to [k, k]."""
    last = len(columns) - 1
    for i in range(last + 1):
        for j in range(i, last + 1, 3):
            # Three rows at once: what is read of the first serves all.
            second, third = min(j + 1, last), min(j + 2, last)
            found = _three(columns[i], columns[j], columns[second], columns[third], first)
            out[i, j], out[i, second], out[i, third] = found
            out[j, i], out[second, i], out[third, i] = found


@inlined
def _three(x: Floats, y0: Floats, y1: Floats, y2: Floats, first: int) -> tuple[float, float, float]:
    """Return the inner products of a row with three, from place `first` on.

    Each is of four sums side by side: as fast as a vector loop, in an order of its own.
    """
    a0, b0, c0, d0 = 0.0, 0.0, 0.0, 0.0
    a1, b1, c1, d1 = 0.0, 0.0, 0.0, 0.0
    a2, b2, c2, d2 = 0.0, 0.0, 0.0, 0.0
    whole = first + ((len(x) - first) & ~3)
    for place in range(first, whole, 4):
        a, b, c, d = x[place], x[place + 1], x[place + 2], x[place + 3]
        a0, b0 = a0 + a * y0[place], b0 + b * y0[place + 1]
        c0, d0 = c0 + c * y0[place + 2], d0 + d * y0[place + 3]
        a1, b1 = a1 + a * y1[place], b1 + b * y1[place + 1]
        c1, d1 = c1 + c * y1[place + 2], d1 + d * y1[place + 3]
        a2, b2 = a2 + a * y2[place], b2 + b * y2[place + 1]
        c2, d2 = c2 + c * y2[place + 2], d2 + d * y2[place + 3]
    for place in range(whole, len(x)):
        a0, a1, a2 = a0 + x[place] * y0[place], a1 + x[place] * y1[place], a2 + x[place] * y2[place]
    return (a0 + b0) + (c0 + d0), (a1 + b1) + (c1 + d1), (a2 + b2) + (c2 + d2)


@kernel
def fit_chosen(products: Floats, chosen: Ints) -> tuple[Floats, float]:
    """Return the weights of the chosen rows that fit the last one best, and the squares left.

    `products` are those of all rows.
    """
    size, last = len(chosen), len(products) - 1
    block, right = np.empty((size, size)), np.empty(size)
    for i in range(size):
        right[i] = products[chosen[i], last]
        for j in range(size):
            block[i, j] = products[chosen[i], chosen[j]]
    weights = solve(block, right)
    return weights, rest_of(products, chosen, weights)


@kernel
def rest_of(products: Floats, chosen: Ints, weights: Floats) -> float:
    """Return the sum of squares that weights leave of the last row."""
    last = len(products) - 1
    rest = products[last, last]
    for i in range(len(chosen)):
        rest -= 2.0 * (weights[i] * products[chosen[i], last])
        for j in range(len(chosen)):
            rest += weights[i] * weights[j] * products[chosen[i], chosen[j]]
    left: float = max(rest, 1e-12 * products[last, last])
    return left


@kernel
def solve(matrix: Floats, right: Floats) -> Floats:
    """Solve a symmetric system float64[k, k] by Cholesky's method.

    A direction that the rows do not tell from the ones before it gets the solution 0.
    """
    size = len(right)
    lower = np.zeros((size, size))
    solution = right.copy()
    for j in range(size):
        pivot = matrix[j, j]
        for m in range(j):
            pivot -= lower[j, m] * lower[j, m]
        if pivot <= 1e-10 * matrix[j, j] or matrix[j, j] <= 0.0:
            solution[j] = 0.0
            continue
        lower[j, j] = math.sqrt(pivot)
        for i in range(j + 1, size):
            total = matrix[i, j]
            for m in range(j):
                total -= lower[i, m] * lower[j, m]
            lower[i, j] = total / lower[j, j]
        for m in range(j):
            solution[j] -= lower[j, m] * solution[m]
        solution[j] /= lower[j, j]
    for j in range(size - 1, -1, -1):
        if lower[j, j] == 0.0:
            continue
        for i in range(j + 1, size):
            solution[j] -= lower[i, j] * solution[i]
        solution[j] /= lower[j, j]
    return solution
