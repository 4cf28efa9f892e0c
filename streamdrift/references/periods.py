"""Values that repeat exactly: an hour of the day, a counter that wraps, a round of levels."""

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats

_LEAST_TELLING = 10
"""Values beside the commonest one that must have been repeated: a few do so by chance."""
_SAME = 1e-9
"""How far values may be apart, in parts of their range, to be the same."""


def tolerance_of(values: Floats) -> float:
    """Return how far apart values of finite float64[n], n >= 1, may be to be the same."""
    return _SAME * float(values.max() - values.min())


def period_of(values: Floats) -> int:
    """Return after how many values finite float64[n] repeat, all of them; 0 where they do not.

    The least such number from 2 on, of which there are two in the values. A few values that
    differ from the commonest one are not enough to tell.
    """
    if len(values) < 4:
        return 0
    tolerance = tolerance_of(values)
    period = int(_least_period(values, tolerance, len(values) // 2))
    if period == 0:
        return 0
    distinct, counts = np.unique(values[:period], return_counts=True)
    commonest = distinct[np.argmax(counts)]
    telling = np.count_nonzero(np.abs(values[period:] - commonest) > tolerance)
    return period if telling >= _LEAST_TELLING else 0


@kernel
def _least_period(values: Floats, tolerance: float, most: int) -> int:
    size = len(values)
    for period in range(2, most + 1):
        repeats = True
        for i in range(size - 1, period - 1, -1):
            if abs(values[i] - values[i - period]) > tolerance:
                repeats = False
                break
        if repeats:
            return period
    return 0
