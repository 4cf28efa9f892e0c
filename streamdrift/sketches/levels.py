"""The levels of a category column, ranked by surprisal under the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdrift.kernels import kernel, uniform_hash
from streamdrift.records import Codes, Floats, State

MAX_LEVELS = 1_000
"""Levels kept of a reference; rarer ones count as unseen."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A reference of categories.

    `names`, commonest first (ties by name); `cumulative` float64[len(names) + 2]: level l
    holds the ranks from cumulative[l] to cumulative[l + 1], and the last interval is that
    of levels never seen. A level's surprisal rises with its place, so its rank is that of
    the surprisal. The unseen weigh as much as those seen once (Good 1953), at least one.
    """

    names: tuple[str, ...]
    cumulative: Floats

    @classmethod
    def of(cls, codes: Codes, strings: Sequence[str]) -> Self:
        """Return the levels of int32[n] places in `strings`, n >= 1, none of them -1."""
        counts = np.bincount(codes, minlength=len(strings))
        seen = [(int(count), name) for count, name in zip(counts, strings, strict=True) if count]
        seen.sort(key=lambda level: (-level[0], level[1]))
        kept = seen[:MAX_LEVELS]
        dropped = sum(count for count, _ in seen[MAX_LEVELS:])
        unseen = max(1, dropped, sum(count == 1 for count, _ in kept))
        masses = np.array([0, *(count for count, _ in kept), unseen], dtype=np.float64)
        return cls(tuple(name for _, name in kept), np.cumsum(masses) / masses.sum())

    def share(self, level: int) -> float:
        """Return a level's share of the reference."""
        return float(self.cumulative[level + 1] - self.cumulative[level])

    @property
    def unseen(self) -> float:
        """The share kept for levels that were never seen."""
        return self.share(len(self.names))

    def snapshot(self) -> State:
        """Return names and ranks."""
        return {"names": list(self.names), "cumulative": self.cumulative}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        names = state["names"]
        assert isinstance(names, Sequence)
        return cls(tuple(str(name) for name in names), np.asarray(state["cumulative"]))


@kernel
def fill_levels(
    codes: Codes,
    places: Codes,
    levels: int,
    cumulative: Floats,
    seed: int,
    ordinal: int,
    ranks: Floats,
    unseen: Floats,
    seen_as: Codes,
) -> int:
    """Write the ranked surprisal, the unseen flag and the place of each cell.

    `places` maps the batch's codes to places among the levels, with `levels` and above for
    unseen ones. Cells with code -1 become NaN (place -1). Returns the new `ordinal`.
    """
    for i in range(len(codes)):
        if codes[i] < 0:
            ranks[i] = np.nan
            unseen[i] = np.nan
            seen_as[i] = -1
            continue
        place = places[codes[i]]
        seen_as[i] = place
        level = min(place, levels)
        start = cumulative[level]
        ranks[i] = start + uniform_hash(seed, ordinal) * (cumulative[level + 1] - start)
        unseen[i] = 1.0 if level == levels else 0.0
        ordinal += 1
    return ordinal
