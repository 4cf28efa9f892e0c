"""Least squares by normal equations, summed in a fixed order: the same bits on every machine."""

import math

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats


@kernel
def cross_products(columns: Floats, first: int, out: Floats) -> None:
    """Write the inner products of the rows float64[k, n], from place `first` on, to [k, k]."""
    count, size = columns.shape
    for i in range(count):
        for j in range(i, count):
            # Four sums side by side: as fast as a vector loop, in an order of its own.
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            place = first
            while place + 3 < size:
                a += columns[i, place] * columns[j, place]
                b += columns[i, place + 1] * columns[j, place + 1]
                c += columns[i, place + 2] * columns[j, place + 2]
                d += columns[i, place + 3] * columns[j, place + 3]
                place += 4
            while place < size:
                a += columns[i, place] * columns[j, place]
                place += 1
            out[i, j] = (a + b) + (c + d)
            out[j, i] = out[i, j]


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
