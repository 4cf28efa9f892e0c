"""The compiler of the hot path, and the one source of randomness in the core."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile `function` to machine code at its first call, cached on disk between runs.

    No fastmath: the same input gives the same bits on every CPU.
    """
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


@kernel
def hash64(seed: int | np.uint64, ordinal: int) -> np.uint64:
    """Return 64 well-mixed bits as a function of both arguments.

    The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    generators, OOPSLA 2014), applied to the seed and then to the ordinal.
    """
    z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) + np.uint64(ordinal) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def uniform_hash(seed: int, ordinal: int) -> float:
    """Return a number of [0, 1) as a function of both arguments: 53 of `hash64`'s bits."""
    return np.float64(hash64(seed, ordinal) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
