"""A signal that changed, until it is back.

Until then it learns nothing. Its values since the change make a distribution of their own, and
each further one is asked how much likelier it is under the reference, as that was before the
change, than under this one: a CUSUM of the logarithms of these ratios (Page, Continuous inspection
schemes, Biometrika 1954), which drifts downwards while the change lasts.
"""

import math
from typing import Self

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints, State
from streamdrift.trees import array

_BACK = 18.0
"""Log likelihood ratio from which on a return is believed. The larger it is the more seldom a
change that lasts is taken for over: the mean time to that is at least e^18 values."""
_LEAST_PRIOR, _MOST_PRIOR = 20.0, 5_000.0
_PRIOR = 8.0
"""Values that the reference counts as in the distribution since the change, at its beginning: the
more the smaller the change is, in values that evidence takes to grow by a factor e. Of as many the
ratio would favour the reference only because the other is known less well. The return is looked for
after as many values."""

SEEN, RATIO, PRIOR, EXPONENT = range(4)


class Held:
    """One signal since its change. `before` float64[cells] are counts under the reference.

    `pace` is how many values the evidence of the change took to grow by a factor e;
    `exponent`, at most 1, is the power to which its likelihood ratios are taken.
    """

    def __init__(self, before: Floats, pace: float, exponent: float = 1.0) -> None:
        shares = (before + 0.5) / (before.sum() + 0.5 * len(before))
        prior = min(max(_PRIOR * pace, _LEAST_PRIOR), _MOST_PRIOR)
        self._before = shares
        self._since = prior * shares
        self._figures = np.array([0.0, 0.0, prior, exponent])

    def run(self, cells: Ints, start: int) -> int:
        """Take cells[start:], -1 where there is no value; return where the signal is back.

        `len(cells)` if it is not.
        """
        return _run(self._before, self._since, self._figures, cells, start)

    @property
    def seen(self) -> int:
        """Values since the change."""
        return int(self._figures[SEEN])

    def snapshot(self) -> State:
        """Return both distributions and the figures."""
        return {
            "before": self._before.copy(),
            "since": self._since.copy(),
            "figures": self._figures.copy(),
        }

    @classmethod
    def restore(cls, state: State) -> Self:
        """Return what `snapshot` was taken of."""
        held = cls(np.ones(1), 1.0)
        held._before = array(state, "before").astype(np.float64)
        held._since = array(state, "since").astype(np.float64)
        held._figures = array(state, "figures").astype(np.float64)
        return held


@kernel
def _run(before: Floats, since: Floats, figures: Floats, cells: Ints, start: int) -> int:
    for row in range(start, len(cells)):
        cell = cells[row]
        if cell < 0:
            continue
        if figures[SEEN] >= figures[PRIOR]:
            likelier = before[cell] * (figures[SEEN] + figures[PRIOR]) / since[cell]
            figures[RATIO] = max(0.0, figures[RATIO] + figures[EXPONENT] * math.log(likelier))
        since[cell] += 1.0
        figures[SEEN] += 1.0
        if figures[RATIO] >= _BACK:
            return row
    return len(cells)
