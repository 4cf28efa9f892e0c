"""The levels of a category column, commonest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdrift.records import Codes, Floats, State

MAX_LEVELS = 1_000
"""Levels kept of a reference; rarer ones count as unseen."""
_RARE = 5
"""Counts up to which a level's own says too much of what is to come."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A reference of categories.

    `names`, commonest first (ties by name), and how often each was seen, float64. `dropped` is
    how often other levels were: of more than MAX_LEVELS the rarer ones, and those seen once.
    `unseen` is how often other levels than `names` are to be expected in as many values again,
    at least once.
    """

    names: tuple[str, ...]
    counts: Floats
    dropped: float
    unseen: float

    @classmethod
    def of(cls, codes: Codes, strings: Sequence[str], nameless: int = 0) -> Self:
        """Return the levels of int32[n] places in `strings`, none of them -1.

        Beside them, `nameless` values were of other levels; there is one value at least.
        """
        counts = np.bincount(codes, minlength=len(strings))
        seen = [(int(count), name) for count, name in zip(counts, strings, strict=True) if count]
        seen.sort(key=lambda level: (-level[0], level[1]))
        kept = len(seen)
        if nameless or kept > MAX_LEVELS:
            kept = min(MAX_LEVELS, sum(count > 1 for count, _ in seen))
        masses = np.array([count for count, _ in seen], dtype=np.float64)
        dropped = float(masses[kept:].sum()) + nameless
        unseen = max(1.0, nameless + _expected_besides(masses, kept))
        return cls(tuple(name for _, name in seen[:kept]), masses[:kept], dropped, unseen)

    @property
    def size(self) -> float:
        """How many values were counted."""
        return float(self.counts.sum()) + self.dropped

    def share(self, level: int) -> float:
        """Return a level's share of the reference."""
        return float(self.counts[level]) / self.size

    def snapshot(self) -> State:
        """Return names and counts."""
        return {
            "names": list(self.names),
            "counts": self.counts,
            "others": np.array([self.dropped, self.unseen]),
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        names = state["names"]
        assert isinstance(names, Sequence)
        others = np.asarray(state["others"]).tolist()
        return cls(tuple(str(name) for name in names), np.asarray(state["counts"]), *others)


def _expected_besides(counts: Floats, kept: int) -> float:
    """Return how often levels beyond the first `kept` come in as many values again.

    Those that were never seen come as often as those seen once did, and of those seen r times
    each (r + 1) times the number seen r + 1 times over the number seen r times (Good, The
    population frequencies of species and the estimation of population parameters, Biometrika
    1953).
    """
    numbers = np.bincount(counts.astype(np.int64), minlength=_RARE + 2)
    besides = counts[kept:]
    expected = float(numbers[1]) + float(besides[besides > _RARE].sum())
    for count in range(1, _RARE + 1):
        there = np.count_nonzero(besides == count)
        if there:
            expected += there * (count + 1) * float(numbers[count + 1]) / float(numbers[count])
    return expected
