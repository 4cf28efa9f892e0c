"""Where values lie on the axes of a chart, and what stands beside them."""

import math
from collections.abc import Callable
from typing import NamedTuple

from streamdrift.history import figures

TIMES = 6
"""Ticks of a time axis, at most."""
_NUMBERS = 5
_LOWEST_SHARE = 1e-6


class Tick(NamedTuple):
    """A label and its place on an axis, in percent from its beginning."""

    place: float
    label: str


class Axis(NamedTuple):
    """An axis: `place` says where a value lies on it, from 0 to 1 for all that it shows."""

    place: Callable[[float], float]
    ticks: tuple[Tick, ...]
    last: int = 0
    """The end of a time axis."""


def time_axis(first: int, last: int) -> Axis:
    """Return the axis of event times in microseconds."""
    span = max(last - first, 1)

    def place(time: float) -> float:
        return min(max((time - first) / span, 0.0), 1.0)

    times = figures.round_times(first, last, TIMES) if last > first else (first,)
    ticks = tuple(Tick(percent(place(t)), figures.tick(t, span)) for t in times)
    return Axis(place, ticks, last)


def decade_of(lowest: float) -> int:
    """Return the decade, as an exponent, at which the axis begins whose lowest share this is."""
    return math.floor(math.log10(min(max(lowest, _LOWEST_SHARE), 0.1)))


def share_axis(low: int, highest: float) -> Axis:
    """Return the logarithmic axis of statistics as parts of their thresholds: 1 is at it.

    What is below 10^low lies at 0.
    """
    high = math.log10(max(highest, 1.0)) - low * 0.08
    length = high - low

    def place(share: float) -> float:
        exponent = math.log10(share) if share > 0 else low
        return min(max((exponent - low) / length, 0.0), 1.0)

    every = 2 if low < -3 else 1
    ticks = tuple(
        Tick(percent(place(10.0**each)), f"1/{10**-each:,}" if each else "threshold")
        for each in range(0, low - 1, -every)
    )
    return Axis(place, ticks)


def number_axis(low: float, high: float) -> Axis:
    """Return the axis of numbers, of which `low` is less than `high`."""
    length = high - low

    def place(value: float) -> float:
        return min(max((value - low) / length, 0.0), 1.0)

    step = _step(length)
    first = math.ceil(low / step)
    values = [each * step for each in range(first, math.floor(high / step) + 1)]
    return Axis(place, tuple(Tick(percent(place(v)), number(v, step)) for v in values))


def logarithmic_axis(low: float, high: float) -> Axis:
    """Return the logarithmic axis of positive numbers, of which `low` is less than `high`."""
    start, length = math.log10(low), math.log10(high) - math.log10(low)

    def place(value: float) -> float:
        return min(max((math.log10(value) - start) / length, 0.0), 1.0)

    decades = range(math.floor(start), math.ceil(start + length) + 1)
    factors = (1, 2, 5) if length < 1.5 else ((1, 3) if length < 3 else (1,))
    every = 1 if length < 6 else math.ceil(length / 5)
    values = [
        factor * 10.0**decade for decade in decades if decade % every == 0 for factor in factors
    ]
    shown = [value for value in values if low <= value <= high]
    return Axis(place, tuple(Tick(percent(place(v)), number(v, v)) for v in shown))


def number(value: float, step: float) -> str:
    """Return a number to the last place that a step between two has.

    >>> number(1200.0, 100.0), number(0.25, 0.05), number(3e7, 1e7), number(-0.0, 1.0)
    ('1,200', '0.25', '3e+07', '0')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) >= 1e6 or step < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.{max(0, -math.floor(math.log10(step)))}f}"


def percent(place: float) -> float:
    """Return a place from 0 to 1 in percent, as short as it can be drawn exactly."""
    return round(100 * place, 2)


def _step(length: float) -> float:
    """Return a round step of which a few fit into a length."""
    rough = length / _NUMBERS
    decade = 10.0 ** math.floor(math.log10(rough))
    return next((each * decade for each in (1, 2, 5) if each * decade >= rough), 10 * decade)
