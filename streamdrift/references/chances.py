"""0s and 1s whose chance moves: with a rhythm, a slow level, a memory that no chain explains.

A front as that of numbers says what it expects of the next value: its chance of being a 1. So
detectors see two things at once, the value and its chance, as one number: the *middle* of the part
of [0, 1] that is the value's, from 0 to 1 - p of a 0, from 1 - p to 1 of a 1.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels.compiler import inlined, kernel, uniform_hash
from streamdrift.records import Floats, Ints, State
from streamdrift.trees import flag, number

LEAST_CHANCE = 1e-6
_HALF = 0.5
_STEPS = 127
"""Steps of the chances that codes tell apart."""


@dataclass(frozen=True, slots=True)
class Chances:
    """How well the chances of a rate's values are known.

    `known` is the sum of p (1 - p) over the reference's values, `doubt` by how much a chance that
    the front lets expect may be off, beyond the level of all. Where it `remembers`, chances follow
    the values whatever these become.
    """

    known: float
    doubt: float
    remembers: bool = False

    def snapshot(self) -> State:
        """Return everything as a tree."""
        return {"known": self.known, "doubt": self.doubt, "remembers": self.remembers}

    @classmethod
    def restore(cls, state: State) -> "Chances":
        """Return what `snapshot` was taken of."""
        return cls(number(state, "known"), number(state, "doubt"), flag(state, "remembers"))


@inlined
def is_one(middle: float) -> bool:
    """Tell whether a middle is that of a 1."""
    return middle > _HALF


@inlined
def chance_of(middle: float) -> float:
    """Return the chance of a 1 that a value had."""
    return 2.0 * (1.0 - middle) if middle > _HALF else 1.0 - 2.0 * middle


@inlined
def code_of(middle: float) -> int:
    """Return the byte that a value is kept as: whether it is a 1, and its chance.

    Chances are as far apart as makes the same of their standard deviations, a hundredth.
    """
    step = int(np.arcsin(np.sqrt(chance_of(middle))) * _STEPS / (0.5 * np.pi) + 0.5)
    return step + 128 if is_one(middle) else step


def middles_of(codes: NDArray[np.unsignedinteger[Any]]) -> Floats:
    """Return the middles of values, by their codes."""
    ones, steps = codes >= 128, codes % 128
    chances = np.sin(steps * (0.5 * np.pi / _STEPS)) ** 2
    chances = np.clip(chances, LEAST_CHANCE, 1.0 - LEAST_CHANCE)
    found: Floats = np.where(ones, 1.0 - 0.5 * chances, 0.5 * (1.0 - chances))
    return found


def flags_of(middles: Floats) -> Floats:
    """Return the 0s and 1s of float64[n] middles."""
    return (middles > _HALF).astype(np.float64)


def chances_of(middles: Floats) -> Floats:
    """Return their chances of a 1."""
    return np.where(middles > _HALF, 2.0 * (1.0 - middles), 1.0 - 2.0 * middles)


@kernel
def fill_middles(flags: Floats, left: Floats, start: int, stop: int, out: Floats) -> None:
    """Write the middles of flags[start:stop]; `left` is what their chances leave of them.

    A value that is none leaves NaN.
    """
    for i in range(start, stop):
        if math.isnan(flags[i]):
            out[i] = np.nan
            continue
        one = 1.0 if flags[i] > 0.0 else 0.0
        chance = min(max(one - left[i], LEAST_CHANCE), 1.0 - LEAST_CHANCE)
        out[i] = 1.0 - 0.5 * chance if one > 0.0 else 0.5 * (1.0 - chance)


def evened(middles: Floats, mean: float, seed: int, ordinal: int) -> Ints:
    """Return 0s and 1s of one chance, `mean`, int64[n], for values whose chances differ; -1: none.

    A 1 that was likelier than that is one as often as it makes up for it, and so is a 0: by coins,
    of which `ordinal` were taken before.
    """
    found = np.empty(len(middles), dtype=np.int64)
    _fill_evened(middles, mean, seed, ordinal, found)
    return found


@kernel
def _fill_evened(middles: Floats, mean: float, seed: int, ordinal: int, out: Ints) -> None:
    for i in range(len(middles)):
        if math.isnan(middles[i]):
            out[i] = -1
            continue
        coin, chance = uniform_hash(seed, ordinal), chance_of(middles[i])
        ordinal += 1
        if is_one(middles[i]):
            out[i] = 1 if coin * chance < mean else 0
        else:
            out[i] = 0 if coin * (1.0 - chance) < 1.0 - mean else 1
