"""The memory of a category: the next level is often one of those that came lately.

A level is new with some chance, and then drawn as if there were no memory; else it repeats the last
one, or one of the last few or many, or follows the last one as it usually does (Raftery, A model
for high-order Markov chains, Journal of the Royal Statistical Society B 1985). The chances are
those that explain the reference best, each level told from those before it only. What a value tells
of the shares of levels counts as far as it is new: the likelihood ratio of any shares, as a mean
with 1 by that chance, stays one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from streamdrift.kernels import inlined
from streamdrift.records import Floats, Ints, State
from streamdrift.trees import array

SPANS: Floats = np.array([4.0, 16.0, 64.0, 256.0])
"""Values whose levels an average holds, or so."""
FRESH, LAST, AVERAGE = 0, 1, 2
USUAL = AVERAGE + len(SPANS)
ROUND = USUAL + 1
PARTS = ROUND + 1
"""Places of what a level may be: new, the last one, one of an average, what usually follows, the
one that was in its place in the last round, where all levels have come in rounds."""
PLACE = 1
"""Behind the last cell: the place of the next one in its round."""
_BACKING = 5.0
"""New values as which the shares of all levels count in what follows one of them."""
_SMALL = 1e-100


class Moving(NamedTuple):
    """What a memory is in a stream, as the bets of categories take it; all but chances move on.

    `chances` float64[PARTS], none without a memory; `last` is the last cell, and the place in the
    round; see `Recall` for the others.
    """

    chances: Floats
    averages: Floats
    scales: Floats
    moves: Floats
    round: Ints
    last: Ints

    def snapshot(self) -> State:
        """Return the arrays."""
        return {name: array.copy() for name, array in self._asdict().items()}

    @classmethod
    def restore(cls, state: State) -> Self:
        """Return what `snapshot` was taken of."""
        chances, averages, scales, moves = (
            array(state, name).astype(np.float64) for name in cls._fields[:4]
        )
        around, last = (array(state, name).astype(np.int64) for name in cls._fields[4:])
        return cls(chances, averages, scales, moves, around, last)


NO_RECALL = Moving(
    np.zeros(0),
    np.zeros((0, 0)),
    np.zeros(0),
    np.zeros((0, 0)),
    np.zeros(0, dtype=np.int64),
    np.zeros(2, dtype=np.int64),
)


@dataclass(frozen=True)
class Recall:
    """What a category remembers.

    `chances` float64[PARTS]; `fresh` float64[c] how often each cell was new. What moves on:
    `averages` float64[spans, c], each times its own of `scales`, `moves` float64[s, c] how often
    cells were followed by which (s 0 where that tells nothing), `round` int64[p] the cells of the
    last round, and the `last` cell, or -1. `left` is by how much more than they should sums of
    what all that does not explain vary.
    """

    chances: Floats
    fresh: Floats
    averages: Floats
    scales: Floats
    moves: Floats
    round: Ints
    last: int
    left: float = 1.0

    @property
    def share(self) -> float:
        """The chance that a level follows from those before it."""
        return 1.0 - float(self.chances[FRESH])

    @property
    def ordered(self) -> bool:
        """Whether levels mostly follow one another, rather than come again."""
        return bool(self.chances[USUAL] + self.chances[ROUND] >= 0.5)

    @property
    def variance_ratio(self) -> float:
        """By how much sums of levels vary more than those of independent ones."""
        copied = self.share - float(self.chances[USUAL] + self.chances[ROUND])
        return self.left * (1.0 + copied) / (1.0 - copied)

    def moving(self) -> Moving:
        """Return a copy that moves on."""
        arrays = self.averages.copy(), self.scales.copy(), self.moves.copy(), self.round.copy()
        return Moving(self.chances, *arrays, np.array([self.last, 0]))

    def snapshot(self) -> State:
        """Return everything as a tree."""
        return {
            "chances": self.chances,
            "fresh": self.fresh,
            "averages": self.averages,
            "scales": self.scales,
            "moves": self.moves,
            "round": self.round,
            "last": self.last,
            "left": self.left,
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        names = ("chances", "fresh", "averages", "scales", "moves")
        chances, fresh, averages, scales, moves = (
            np.array(state[name], dtype=np.float64) for name in names
        )
        last, left = state["last"], state["left"]
        assert isinstance(last, int)
        assert isinstance(left, float)
        around = np.array(state["round"], dtype=np.int64)
        return cls(chances, fresh, averages, scales, moves, around, last, left)


@inlined
def parts_of(
    averages: Floats,
    scales: Floats,
    moves: Floats,
    before: int,
    last: int,
    cell: int,
    share: float,
    out: Floats,
) -> None:
    """Write the chances of a cell, whose own share is `share`, under each part, to float64[PARTS].

    `before` is the cell of the last round. A part of which nothing is known expects what is new.
    """
    out[FRESH] = share
    out[LAST] = share if last < 0 else (1.0 if cell == last else 0.0)
    for j in range(len(scales)):
        out[AVERAGE + j] = scales[j] * averages[j, cell]
    out[ROUND] = share if before < 0 else (1.0 if cell == before else 0.0)
    out[USUAL] = share
    if 0 <= last < len(moves):
        # The last column is how often there was any.
        seen = moves[last, moves.shape[1] - 1]
        out[USUAL] = (moves[last, cell] + _BACKING * share) / (seen + _BACKING)


@inlined
def move_on(averages: Floats, scales: Floats, moves: Floats, last: int, cell: int) -> None:
    """Note that a cell followed the last one."""
    for j in range(len(scales)):
        rate = 1.0 / SPANS[j]
        scales[j] *= 1.0 - rate
        averages[j, cell] += rate / scales[j]
        if scales[j] < _SMALL:
            for other in range(averages.shape[1]):
                averages[j, other] *= scales[j]
            scales[j] = 1.0
    if 0 <= last < len(moves):
        moves[last, cell] += 1.0
        moves[last, moves.shape[1] - 1] += 1.0


@inlined
def freshness(
    chances: Floats,
    averages: Floats,
    scales: Floats,
    moves: Floats,
    before: int,
    last: int,
    cell: int,
    share: float,
    parts: Floats,
) -> float:
    """Return how likely a level, whose own share is `share`, is new.

    `parts` float64[PARTS] is where its chances under each part are worked out.
    """
    parts_of(averages, scales, moves, before, last, cell, share, parts)
    whole = 0.0
    for part in range(PARTS):
        whole += chances[part] * parts[part]
    fresh: float = chances[FRESH] * share / whole
    return fresh
