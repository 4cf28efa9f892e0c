"""The levels of a category column, commonest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdrift.records import Codes, Floats, State

MAX_LEVELS = 1_000
"""Levels kept of a reference; rarer ones count as unseen."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A reference of categories.

    `names`, commonest first (ties by name), and how often each was seen, float64. `dropped` is
    how often levels beyond MAX_LEVELS were.
    """

    names: tuple[str, ...]
    counts: Floats
    dropped: float

    @classmethod
    def of(cls, codes: Codes, strings: Sequence[str]) -> Self:
        """Return the levels of int32[n] places in `strings`, n >= 1, none of them -1."""
        counts = np.bincount(codes, minlength=len(strings))
        seen = [(int(count), name) for count, name in zip(counts, strings, strict=True) if count]
        seen.sort(key=lambda level: (-level[0], level[1]))
        kept = seen[:MAX_LEVELS]
        dropped = sum(count for count, _ in seen[MAX_LEVELS:])
        masses = np.array([count for count, _ in kept], dtype=np.float64)
        return cls(tuple(name for _, name in kept), masses, float(dropped))

    @property
    def size(self) -> float:
        """How many values were counted."""
        return float(self.counts.sum()) + self.dropped

    def share(self, level: int) -> float:
        """Return a level's share of the reference."""
        return float(self.counts[level]) / self.size

    @property
    def unseen(self) -> float:
        """How often levels that were never seen are expected, in as many values again.

        As often as those seen once (Good 1953), at least once.
        """
        return max(1.0, self.dropped, float(np.count_nonzero(self.counts == 1)))

    def snapshot(self) -> State:
        """Return names and counts."""
        return {
            "names": list(self.names),
            "counts": self.counts,
            "dropped": np.array([self.dropped]),
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        names = state["names"]
        assert isinstance(names, Sequence)
        dropped = float(np.asarray(state["dropped"])[0])
        return cls(tuple(str(name) for name in names), np.asarray(state["counts"]), dropped)
