import struct

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamdrift.decoders.numbers import LEAST, MOST, to_bits


def _check(digits: int, exponent: int) -> bool:
    settled, bits = to_bits(np.uint64(digits), exponent)
    if settled:
        expected = struct.pack("<d", float(f"{digits}e{exponent}"))
        assert struct.pack("<Q", int(bits)) == expected, (digits, exponent)
    return bool(settled)


@settings(max_examples=3_000, deadline=None)
@given(st.integers(0, 10**19 - 1), st.integers(LEAST - 2, MOST + 2))
@example(0, 0)
@example(1, -22)
@example(9007199254740993, 0)
@example(9007199254740991, 22)
@example(18014398509481983, 0)
@example(10**19 - 1, 0)
def test_decimals_become_the_nearest_float(digits: int, exponent: int) -> None:
    _check(digits, exponent)


@settings(max_examples=3_000, deadline=None)
@given(st.floats(1e-30, 1e30))
def test_shortest_texts_of_floats_are_read_back(value: float) -> None:
    mantissa, _, exponent = f"{value!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = int(whole + fraction)
    assert _check(digits, int(exponent or 0) - len(fraction))


@given(st.integers(2**53, 2**63), st.integers(0, 10))
def test_ties_go_to_the_even_neighbour(whole: int, bits: int) -> None:
    _check((whole >> bits << bits) + (1 << bits >> 1), 0)
