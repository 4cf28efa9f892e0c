"""The distribution of a reference's values, as counts between some of its order statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdrift.records import Codes, Floats, State

_PLACES = (
    4, 12, 31, 73, 154, 287, 478, 725, 1024, 1354, 1720, 2112, 2525, 2954, 3397, 3851, 4315, 4785,
    5262, 5743, 6229, 7208,
)  # fmt: skip
"""Which order statistics are borders, below the median, in 1 / 16,384 of the reference: denser
towards the tail, where the factors of detectors bend most."""
QUANTILES: Floats = np.array([*_PLACES, 8_192, *(16_384 - each for each in _PLACES[::-1])]) / 16_384
BORDERS = len(QUANTILES)
_MANY_EQUAL = 0.4
"""Share of a reference that is equal from which on ranks by coins would blur what values tell."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A reference's distribution.

    `borders` float64[m], ascending, m at most BORDERS; a value that repeats in the reference
    stands there twice, and its mass is that of the cell between. `cumulative` int32[m + 2]:
    cell c has cumulative[c + 1] - cumulative[c] of all cumulative[m + 1] values. A value
    equal to a single border belongs to the cell below.
    """

    borders: Floats
    cumulative: Codes

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the counts of float64[n], none of them NaN."""
        ordered = np.sort(np.nan_to_num(values))
        borders = _borders(ordered)
        below = np.searchsorted(ordered, borders, side="left")
        through = np.searchsorted(ordered, borders, side="right")
        cumulative = np.zeros(len(borders) + 2, dtype=np.int32)
        cumulative[1:-1] = through
        # The first of two equal borders has what is below it, the second what is equal, too.
        first_of_two = np.flatnonzero(borders[:-1] == borders[1:])
        cumulative[1 + first_of_two] = below[first_of_two]
        # The gap above the last value counts one (and that below the first, if it has none).
        cumulative[1:] += max(0, 1 - int(cumulative[1]))
        cumulative[-1] = max(len(ordered), int(cumulative[-2])) + 1
        return cls(borders, cumulative)

    @property
    def tied(self) -> int:
        """The cell of the one value that many are equal to; -1 where there is none."""
        twice = self.borders[1:] == self.borders[:-1]
        cells = np.where(twice, np.diff(self.cumulative)[1:-1], 0)
        many = len(cells) > 0 and cells.max() >= _MANY_EQUAL * self.cumulative[-1]
        return int(np.argmax(cells)) + 1 if many else -1

    def snapshot(self) -> State:
        """Return the arrays as they are."""
        return {"borders": self.borders, "cumulative": self.cumulative}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        return cls(np.asarray(state["borders"]), np.asarray(state["cumulative"]))


def _borders(ordered: Floats) -> Floats:
    """Return as many of the order statistics as fit, those that repeat twice."""
    size = len(ordered)
    if size == 0:
        return np.zeros(0)
    for step in (1, 2, 3, 4, 6):
        places = np.clip((QUANTILES[step // 2 :: step] * size).astype(np.int64), 1, size) - 1
        edges = np.unique(ordered[places])
        repeats = np.searchsorted(ordered, edges, "right") - np.searchsorted(ordered, edges) > 1
        borders: Floats = np.repeat(edges, np.where(repeats, 2, 1))
        if len(borders) <= BORDERS:
            return borders
    raise AssertionError("a sixth of the quantiles, twice, are fewer than all")
