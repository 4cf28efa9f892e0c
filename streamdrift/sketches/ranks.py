"""Randomised ranks: where a number stands in its reference, uniform while nothing changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import kernel, uniform_hash
from streamdrift.records import Floats, State

EDGES = 64
"""Order statistics kept of a reference; a rank is random within the cell between two."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A reference distribution in at most 2 * EDGES + 1 cells.

    `edges` float64[m] ascending. The cells are (-inf, e0), {e0}, (e0, e1), {e1}, ...,
    (e[m-1], inf), so that values which repeat keep their own mass. `cumulative`
    float64[2m + 2]: cell c holds the ranks from cumulative[c] to cumulative[c + 1].
    """

    edges: Floats
    cumulative: Floats

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the cells of the reference `values` float64[n], n >= 1, none of them NaN."""
        ordered = np.sort(values)
        size = len(ordered)
        places = (np.arange(1, EDGES + 1) * size) // (EDGES + 1)
        edges = np.unique(ordered[places])
        below = np.searchsorted(ordered, edges, side="left")
        through = np.searchsorted(ordered, edges, side="right")
        # A value that stands alone is no atom: its mass belongs to the interval behind it.
        through = np.where(through - below > 1, through, below)
        counts = np.empty(2 * len(edges) + 2)
        counts[0] = 0
        counts[1:-1:2] = below
        counts[2:-1:2] = through
        counts[-1] = size
        return cls(edges, counts / size)

    def quantile(self, probability: float) -> float:
        """Return the edge nearest to a quantile: exact to about 1 / EDGES in rank."""
        middles = (self.cumulative[1:-1:2] + self.cumulative[2:-1:2]) / 2
        return float(self.edges[int(np.argmin(np.abs(middles - probability)))])

    def snapshot(self) -> State:
        """Return the arrays as they are."""
        return {"edges": self.edges, "cumulative": self.cumulative}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        return cls(np.asarray(state["edges"]), np.asarray(state["cumulative"]))


@kernel
def fill_ranks(
    kinds: NDArray[np.uint8],
    expected: int,
    numbers: Floats,
    edges: Floats,
    cumulative: Floats,
    seed: int,
    ordinal: int,
    values: Floats,
    spreads: Floats,
) -> int:
    """Write the ranks u of `numbers` into `values` and |2u - 1| into `spreads`.

    Cells of another kind than `expected` become NaN. `spreads` of length 0 is left out.
    `ordinal` counts the column's values so far, and drives the coins; returns the new count.
    """
    for i in range(len(kinds)):
        if kinds[i] != expected:
            values[i] = np.nan
            if len(spreads):
                spreads[i] = np.nan
            continue
        value = numbers[i]
        # Counting all edges below is a vector loop: five times as fast as a binary search,
        # as long as it stands here and not in a function of its own.
        low = 0
        for place in range(len(edges)):
            low += edges[place] < value
        cell = 2 * low
        if low < len(edges) and edges[low] == value:
            cell += 1
        start = cumulative[cell]
        u = start + uniform_hash(seed, ordinal) * (cumulative[cell + 1] - start)
        ordinal += 1
        values[i] = u
        if len(spreads):
            spreads[i] = abs(2.0 * u - 1.0)
    return ordinal
