"""The compiler of the hot path, and the one source of randomness in the core."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., object])


_UNUSABLE = (OSError, EOFError, pickle.UnpicklingError)
"""What reading or writing a cache raises where the disk is full, read-only or was damaged."""


class _Cache(FunctionCache):
    """Compiled kernels on disk: one that cannot be kept there is compiled at the next start."""

    def load_overload(self, *arguments: Any) -> Any:
        with suppress(*_UNUSABLE):
            return super().load_overload(*arguments)  # type: ignore[no-untyped-call]
        return None

    def save_overload(self, *arguments: Any) -> None:
        with suppress(*_UNUSABLE):
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]


def kernel(function: Function) -> Function:
    """Compile `function` to machine code at its first call, cached on disk between runs.

    A disk that is full or read-only costs time at every start, and nothing else. No fastmath:
    the same input gives the same bits on every CPU.
    """
    compiled: Any = numba.njit(nogil=True)(function)
    # Raised where there is no folder to write to.
    with suppress(RuntimeError):
        # As `cache=True` does, with a cache of numba's own.
        compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return cast(Function, compiled)


def inlined(function: Function) -> Function:
    """Make `function` part of the kernels that call it, as if it were written there.

    For the innermost steps: loops in a function of its own are not made vector loops.
    """
    return cast(Function, numba.njit(nogil=True, inline="always")(function))


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
