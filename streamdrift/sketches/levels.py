"""The levels of a category column, commonest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdrift.records import Codes, Floats, State

MAX_LEVELS = 1_000
"""Levels kept of a reference; rarer ones count as unseen."""
_FEW = 20
"""Levels seen once that are kept; where there are more, rare ones are not told apart."""
_KEPT = 20
"""How often a level was seen that is kept then: smaller counts say little of what is to come."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A reference of categories.

    `names`, commonest first (ties by name), and how often each was seen, float64. `dropped` is
    how often other levels were: of more than MAX_LEVELS the rarer ones, and all rare ones where
    many were seen once. `unseen` is how often other levels than `names` are to be expected in as
    many values again, at least once.
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
        masses = np.array([count for count, _ in seen], dtype=np.float64)
        kept = len(seen)
        if nameless or kept > MAX_LEVELS or np.count_nonzero(masses == 1) > _FEW:
            kept = min(MAX_LEVELS, int(np.count_nonzero(masses >= _KEPT)))
        names = tuple(name for _, name in seen[:kept])
        dropped = float(masses[kept:].sum()) + nameless
        return cls(names, masses[:kept], dropped, max(1.0, nameless + _besides(masses, kept)))

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
        dropped, unseen = np.asarray(state["others"]).tolist()
        return cls(tuple(str(name) for name in names), np.asarray(state["counts"]), dropped, unseen)


def _besides(counts: Floats, kept: int) -> float:
    """Return how often levels beyond the first `kept` come in as many values again.

    Rare levels were seen because they happened to come: of those seen r times each comes
    (r + 1) times the number seen r + 1 times over the number seen r times, and those that were
    never seen as often as those seen once did (Good, The population frequencies of species and the
    estimation of population parameters, Biometrika 1953).
    """
    numbers = np.bincount(counts.astype(np.int64), minlength=_KEPT + 1)
    besides = counts[kept:]
    expected = float(numbers[1]) + float(besides[besides >= _KEPT].sum())
    for count in range(1, _KEPT):
        if (there := int(np.count_nonzero(besides == count))) > 0:
            expected += there * (count + 1) * float(numbers[count + 1]) / float(numbers[count])
    return expected
