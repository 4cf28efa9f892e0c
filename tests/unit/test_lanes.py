"""Vectors in kernels: what they compute is what loops over their elements do, bit for bit."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from streamdrift.detectors.mixture import Factors, totals
from streamdrift.kernels import lanes
from streamdrift.kernels.compiler import kernel
from streamdrift.kernels.lanes import LANES


@kernel
def grow(rows: Factors, weights: Factors, out: Factors) -> float:
    """Write (row + weights) * row of every row; return the total of the last."""
    weight, found = lanes.take(weights), 0.0
    for place in range(len(rows)):
        row = lanes.take(rows[place])
        row = (row + weight) * row
        lanes.keep(out[place], row)
        found = lanes.total(row)
    return found


@kernel
def column_total(rows: Factors) -> float:
    return lanes.total(lanes.take(rows[:, 0]))


def test_elements_are_added_and_multiplied_each_by_itself() -> None:
    rng = np.random.default_rng(1)
    rows = rng.lognormal(sigma=5, size=(7, LANES)).astype(np.float32)
    weights = rng.random(LANES).astype(np.float32)
    out = np.zeros((7, LANES), dtype=np.float32)
    grow(rows, weights, out)
    assert out.tolist() == ((rows + weights) * rows).tolist()


def test_a_total_is_added_up_in_the_order_of_that_of_an_array() -> None:
    rows = np.random.default_rng(2).lognormal(sigma=5, size=(50, LANES)).astype(np.float32)
    nothing, out = np.zeros(LANES, dtype=np.float32), np.zeros((1, LANES), dtype=np.float32)
    found = [grow(row[np.newaxis], nothing, out) for row in rows]
    assert found == totals(rows * rows).tolist()


def test_a_column_is_no_vector() -> None:
    with pytest.raises(TypingError):
        column_total(np.zeros((LANES, 2), dtype=np.float32))
