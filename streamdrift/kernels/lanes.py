"""Vectors of 32 single numbers, for kernels that compute with all of them at once.

Of a loop over short arrays the compiler makes vector instructions only where it can see that none
overlaps another, and what it computes goes through memory. These are vectors from the beginning,
and stay in registers while a kernel runs. Their elements are added and multiplied each by itself,
and a total is added up in a fixed order: the bits are the same on every CPU.
"""

import operator
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.datamodel.registry import register_default
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import intrinsic, lower_builtin
from numpy.typing import NDArray

Lanes = NDArray[np.float32]
"""A float32[32] as a value in a kernel: it can be added to and multiplied by another."""
LANES = 32
_SIDE_BY_SIDE = 4
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_PLACE = ir.IntType(32)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32 x {LANES}")


_LANES = _LanesType()


@register_default(_LanesType)
class _LanesModel(PrimitiveModel):
    """To the compiler it is a vector."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


class _Elementwise(ConcreteTemplate):
    cases = (_LANES(_LANES, _LANES),)


def _lower(function: Callable[..., object], instruction: Callable[..., object]) -> None:
    """Let `function` of two vectors be an instruction of the compiler's."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return instruction(builder, *arguments)

    infer_global(function)(_Elementwise)  # type: ignore[no-untyped-call]
    lower_builtin(function, _LANES, _LANES)(generate)  # type: ignore[no-untyped-call]


_lower(operator.add, ir.IRBuilder.fadd)
_lower(operator.mul, ir.IRBuilder.fmul)


def _address(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(data, _VECTOR.as_pointer())


def _fits(array: Any) -> bool:
    return bool(array.layout == "C" and array.dtype == types.float32)


@intrinsic
def _taken(_typing: Any, array: Any) -> Any:
    if not _fits(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0])
        return builder.load(address, align=4)

    return _LANES(array), generate


@intrinsic
def _kept(_typing: Any, array: Any, vector: Any) -> Any:
    if not _fits(array):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0])
        builder.store(arguments[1], address, align=4)
        return context.get_dummy_value()

    return types.void(array, vector), generate


@intrinsic
def _total(_typing: Any, vector: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        sums = None
        for first in range(0, LANES, _SIDE_BY_SIDE):
            places = [ir.Constant(_PLACE, first + each) for each in range(_SIDE_BY_SIDE)]
            mask = ir.Constant(ir.VectorType(_PLACE, _SIDE_BY_SIDE), places)
            part = builder.shuffle_vector(arguments[0], ir.Constant(_VECTOR, ir.Undefined), mask)
            sums = part if sums is None else builder.fadd(sums, part)
        a, b, c, d = (builder.extract_element(sums, ir.Constant(_PLACE, each)) for each in range(4))
        found = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
        return builder.fpext(found, ir.DoubleType())

    return types.float64(vector), generate


take = cast("Callable[[Lanes], Lanes]", _taken)
"""Return the first 32 elements of a contiguous float32[n]."""
keep = cast("Callable[[Lanes, Lanes], None]", _kept)
"""Write a vector into the first 32 elements of a contiguous float32[n]."""
total = cast("Callable[[Lanes], float]", _total)
"""Return the sum of a vector, added up four elements side by side."""
