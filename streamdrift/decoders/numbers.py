"""Decimal numbers to the nearest float, in a kernel.

Lemire, Number parsing at a gigabyte per second, Software: Practice and Experience 51 (2021):
one or two 64 x 64 bit products with a power of five rounded to 128 bits give the float that
is nearest to the decimal, ties to even. What the products do not settle is left to others.
"""

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels.compiler import kernel

LEAST, MOST = -65, 65
"""Exponents of ten the table reaches to."""

_MASK = (1 << 64) - 1


def _powers_of_five() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the upper and lower halves of 5**q, scaled to 128 bits, for q in LEAST..MOST."""
    powers = []
    for q in range(LEAST, MOST + 1):
        power = 5 ** abs(q)
        if q >= 0:
            scaled = power << 128 >> power.bit_length()
        else:
            bits = (power - 1).bit_length()
            shift = bits + 127 if q >= -27 else 2 * bits + 128
            scaled = (1 << shift) // power + 1
            scaled >>= max(0, scaled.bit_length() - 128)
        powers.append(scaled)
    upper = np.array([power >> 64 for power in powers], dtype=np.uint64)
    lower = np.array([power & _MASK for power in powers], dtype=np.uint64)
    return upper, lower


UPPER, LOWER = _powers_of_five()


@kernel
def _multiply(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the upper and lower 64 bits of a product."""
    half = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    a0, a1 = a & half, a >> shift
    b0, b1 = b & half, b >> shift
    low = a0 * b0
    middle = a1 * b0 + (low >> shift)
    other = a0 * b1 + (middle & half)
    return a1 * b1 + (middle >> shift) + (other >> shift), a * b


@kernel
def _leading_zeros(value: np.uint64) -> int:
    count = 0
    for step in (32, 16, 8, 4, 2, 1):
        if value >> np.uint64(64 - step) == np.uint64(0):
            value = value << np.uint64(step)
            count += step
    return count


@kernel
def to_bits(digits: np.uint64, exponent: int) -> tuple[bool, np.uint64]:
    """Return whether it is settled, and the bits of the float nearest to digits * 10**exponent.

    `digits` is below 10**19. Never settled are subnormal and infinite results, and
    exponents beyond the table.
    """
    zero, one = np.uint64(0), np.uint64(1)
    if digits == zero:
        return True, zero
    if exponent < LEAST or exponent > MOST:
        return False, zero
    zeros = _leading_zeros(digits)
    scaled = digits << np.uint64(zeros)
    upper, lower = _multiply(scaled, UPPER[exponent - LEAST])
    if upper & np.uint64(0x1FF) == np.uint64(0x1FF):
        more, _ = _multiply(scaled, LOWER[exponent - LEAST])
        lower = lower + more
        if lower < more:
            upper = upper + one
        if lower == np.uint64(0xFFFFFFFFFFFFFFFF) and (exponent < -27 or exponent > 55):
            return False, zero
    top = upper >> np.uint64(63)
    drop = top + np.uint64(9)
    mantissa = upper >> drop
    power = ((217706 * exponent) >> 16) + 63 + np.int64(top) - zeros + 1023
    if power <= 0 or power >= 2046:
        return False, zero
    halfway = lower <= one and mantissa & np.uint64(3) == one
    if halfway and -4 <= exponent <= 23 and mantissa << drop == upper:
        mantissa = mantissa & ~one
    mantissa = (mantissa + (mantissa & one)) >> one
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        power += 1
    fraction = mantissa & np.uint64((1 << 52) - 1)
    return True, fraction | (np.uint64(power) << np.uint64(52))
