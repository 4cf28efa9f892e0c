"""Values that others tell exactly: those that repeat, as an hour does, and those that only rise.

A first stage before `slow` and `tracking`. Of values that repeat without end, it takes off the one
that has its place in the pattern; nothing is left, and any other value is a change. Of a counter,
an identifier or a time, whose level is another one always, it takes off the last value: what is
left are its steps, or how they differ from the usual one.

All lies in two flat arrays, `parameters` (fixed) and `state` (moves on).
"""

from typing import NamedTuple

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats
from streamdrift.references.periods import period_of, tolerance_of

_RISES, _TOLERANCE = range(2)
"""Places of `parameters`: whether the last value is taken off (1 or 0), and what counts as nothing.
"""
_PLACE, _LAST, _OWN = range(3)
"""Places of `state`: where in the pattern the next value is, and the last value, NaN before there
is one; behind them lie the values, or steps, of the pattern, if there is one."""
_PARTS = 10
"""Parts of a reference in each of which values that only rise must do so."""
_MOSTLY = 0.995
"""Share of values that are by the same step from the last one, where they begin anew at times."""
_ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""By what part of the values their steps may be off."""


class Exact(NamedTuple):
    """A stage: whether values only rise, or fall, and after how many they, or their steps, repeat.

    0 where these do not.
    """

    parameters: Floats
    state: Floats
    rises: bool
    period: int


def find_exact(values: Floats) -> Exact | None:
    """Return the stage of finite float64[n], n >= 1, not all the same; None without one.

    Its state is that before the first value.
    """
    rises, step, tolerance = False, None, tolerance_of(values)
    period = period_of(values)
    if not period:
        steps, off = np.diff(values), _ROUNDING * float(np.abs(values).max())
        step = _step(steps, off)
        rises = step is not None or _rises(values) or _rises(-values)
        if not rises:
            return None
        values, tolerance = steps, max(tolerance_of(steps), off)
        period = period_of(values) if step is None else 0
    # From the last ones on, seen from the beginning.
    pattern = np.roll(values[len(values) - period :], len(values) % period if period else 0)
    if step is not None:
        pattern = np.array([step])
    parameters = np.array([float(rises), tolerance])
    return Exact(parameters, np.concatenate(([0.0, np.nan], pattern)), rises, period)


def _rises(values: Floats) -> bool:
    """Tell whether values never fall, and rise all along."""
    steps = np.diff(values)
    if len(steps) < _PARTS or (steps < 0).any():
        return False
    return all(bool((part > 0).any()) for part in np.array_split(steps, _PARTS))


def _step(steps: Floats, off: float) -> float | None:
    """Return by what nearly all values rise or fall from the last one; None if by no one step."""
    if len(steps) < _PARTS:
        return None
    middle = float(np.sort(steps)[len(steps) // 2])
    same = np.count_nonzero(np.abs(steps - middle) <= off)
    return middle if abs(middle) > off and same >= _MOSTLY * len(steps) else None


@kernel
def take_off(
    parameters: Floats, state: Floats, values: Floats, start: int, stop: int, out: Floats
) -> None:
    """Write what is left of values[start:stop]; NaN where that is not known; move `state` on."""
    rises, tolerance = parameters[_RISES] > 0.0, parameters[_TOLERANCE]
    size = len(state) - _OWN
    place, last = int(state[_PLACE]), state[_LAST]
    for i in range(start, stop):
        value = values[i]
        out[i] = np.nan
        if not np.isfinite(value):
            continue
        left = value - last if rises else value
        last = value
        if np.isnan(left):
            continue
        if size > 0:
            left -= state[_OWN + place]
            place = place + 1 if place + 1 < size else 0
        out[i] = 0.0 if abs(left) <= tolerance else left
    state[_PLACE], state[_LAST] = place, last
