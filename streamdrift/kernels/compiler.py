"""The compiler of the hot path, and the one source of randomness in the core."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
import numpy as np

from streamdrift.kernels.cache import KernelCache

Function = TypeVar("Function", bound=Callable[..., object])


_kernels: list[Any] = []
"""All kernels of the modules imported so far, as numba's dispatchers."""


def kernel(function: Function) -> Function:
    """Compile `function` to machine code at its first call, kept on disk between runs.

    A disk that is full or read-only costs time at every start, and nothing else. No fastmath:
    the same input gives the same bits on every CPU.
    """
    compiled: Any = _kept(numba.njit(nogil=True)(function))
    _kernels.append(compiled)
    return cast(Function, compiled)


def _kept(compiled: Any) -> Any:
    """Return a dispatcher that looks on disk for what it compiled before."""
    # Raised where there is no source, as in a notebook.
    with suppress(RuntimeError):
        # As `cache=True` does, with a cache of our own in the place of numba's.
        compiled._cache = KernelCache(compiled.py_func)  # noqa: SLF001
    return compiled


def kernels_of(package: str) -> Sequence[Any]:
    """Return the kernels of a package, or module, as numba's dispatchers."""
    return [each for each in _kernels if f"{each.py_func.__module__}.".startswith(f"{package}.")]


def inlined(function: Function) -> Function:
    """Make `function` part of the kernels that call it, as if it were written there.

    For the innermost steps: loops in a function of its own are not made vector loops.
    """
    # It is called by itself, too, here and there.
    return cast(Function, _kept(numba.njit(nogil=True, inline="always")(function)))


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
