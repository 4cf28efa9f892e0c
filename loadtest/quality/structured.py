"""Streams in which nothing changes but values depend on those before, or on the time.

The noise has standard deviation 1, and time 0 is the beginning of a week, so that one who
knows the structure can turn a path back into the noise it was made of. A day with a calendar
has 144 values, one every ten minutes, so that ten weeks are in a reference of 10,000.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from loadtest.quality import streams
from loadtest.quality.streams import Draw, Stream, normal
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints

DAY = 144
WEEK = 7 * DAY
_STEP = 600.0

Wave = Callable[[Floats], Floats]
"""The level at each time, float64[n] to float64[n]."""


@kernel
def _remembered(noise: Floats, memory: float) -> Floats:
    values = np.empty_like(noise)
    share = math.sqrt(1.0 - memory * memory)
    last = noise[0]
    values[0] = last
    for index in range(1, len(noise)):
        last = memory * last + share * noise[index]
        values[index] = last
    return values


def autoregressive(memory: float) -> Draw:
    """Return AR(1) of standard deviation 1."""
    return lambda random, size: _remembered(random.standard_normal(size), memory)


def forgotten(values: Floats, memory: float) -> Floats:
    """Return the noise of which AR(1) values were made: what `autoregressive` undone gives."""
    noise = values.copy()
    noise[1:] = (values[1:] - memory * values[:-1]) / math.sqrt(1 - memory * memory)
    return noise


def sine(height: float, period: float) -> Wave:
    return lambda time: height * np.sin(2 * math.pi * time / period)


def day_by_week(time: Floats) -> Floats:
    """Return a daily wave that is flatter, and a level that is lower, at the weekend."""
    weekend = (time % WEEK) >= 5 * DAY
    wave = 0.7 * np.sin(2 * math.pi * time / DAY)
    return np.asarray(np.where(weekend, 0.4 * wave - 0.5, wave))


def office_hours(time: Floats) -> Floats:
    """Return 1 from nine to five on five days of the week, and 0 else."""
    hour = (time % DAY) * 24 / DAY
    return ((hour >= 9) & (hour < 17) & ((time % WEEK) < 5 * DAY)).astype(np.float64)


def waved(name: str, wave: Wave, memory: float = 0.0, step: float | None = None) -> Stream:
    """Return a wave under noise, which may be AR(1), and how to see through both."""
    noise = autoregressive(memory) if memory else normal

    def draw(random: np.random.Generator, size: int) -> Floats:
        return noise(random, size) + wave(np.arange(size, dtype=np.float64))

    def innovations(values: Floats) -> Floats:
        return forgotten(values - wave(np.arange(len(values), dtype=np.float64)), memory)

    return Stream(name, draw, "numeric", innovations, step)


def remembering(memory: float) -> Stream:
    return Stream(
        f"AR {memory:g}".replace("0.", "."),
        autoregressive(memory),
        innovations=lambda values: forgotten(values, memory),
    )


def moving_average(width: int) -> Draw:
    """Return means of so many values each, of standard deviation 1."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        sums = np.cumsum(np.concatenate([[0.0], random.standard_normal(size + width - 1)]))
        return np.asarray((sums[width:] - sums[:-width]) / math.sqrt(width))

    return draw


@kernel
def _garch(noise: Floats, shock: float, persistence: float) -> Floats:
    values = np.empty_like(noise)
    variance = 1.0
    for index in range(len(noise)):
        value = math.sqrt(variance) * noise[index]
        values[index] = value
        variance = (1.0 - shock - persistence) + shock * value * value + persistence * variance
    return values


def garch(shock: float, persistence: float) -> Draw:
    """Return GARCH(1, 1) of standard deviation 1."""
    return lambda random, size: _garch(random.standard_normal(size), shock, persistence)


def wobbling(height: float, period: float, wobble: float) -> Draw:
    """Return a wave whose every cycle lasts longer or shorter by a relative `wobble` (its sd)."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        cycles = math.ceil(2 * size / period) + 2
        lasts = period * np.maximum(1 + wobble * random.standard_normal(cycles), 0.5)
        ends = np.concatenate([[0.0], np.cumsum(lasts)])
        phase = np.interp(np.arange(size), ends, np.arange(cycles + 1))
        return random.standard_normal(size) + height * np.sin(2 * math.pi * phase)

    return draw


def breathing(depth: float, period: float) -> Draw:
    """Return normal values whose spread has a cycle."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        wave = depth * np.sin(2 * math.pi * np.arange(size) / period)
        return np.asarray(random.standard_normal(size) * (1 + wave))

    return draw


def wandering(depth: float, memory: float) -> Draw:
    """Return noise about a level that wanders slowly and comes back."""
    level = autoregressive(memory)
    return lambda random, size: random.standard_normal(size) + depth * level(random, size)


def random_walk(random: np.random.Generator, size: int) -> Floats:
    return np.cumsum(random.standard_normal(size))


def bursts(random: np.random.Generator, size: int) -> Floats:
    """Draw noise that is three times as wide in bursts: a fifth of the time, some 50 values each.

    A burst goes on with probability .98, and between bursts nothing happens with .995.
    """
    return random.standard_normal(size) * np.where(
        _bursting(random.random(size), 0.005, 0.98) > 0.5, 3.0, 1.0
    )


def told(rule: Callable[[Ints], Ints]) -> Draw:
    """Return values that follow from their number, counted from somewhere on."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        return rule(random.integers(0, 1_000_000) + np.arange(size)).astype(np.float64)

    return draw


def times_of_events(random: np.random.Generator, size: int) -> Floats:
    return 1.7e9 + np.cumsum(random.exponential(1.0, size))


def nearly_always(random: np.random.Generator, size: int) -> Floats:
    return np.where(random.random(size) < 0.999, 0.0, random.standard_normal(size))


def staying(shares: Floats, stay: float) -> Draw:
    """Return levels with these shares that repeat the last one with a chance."""
    independent = streams.levels(shares)

    def draw(random: np.random.Generator, size: int) -> Floats:
        fresh = random.random(size) >= stay
        fresh[0] = True
        last = np.maximum.accumulate(np.where(fresh, np.arange(size), 0))
        return independent(random, size)[last]

    return draw


def levels_in_bursts(random: np.random.Generator, size: int) -> Floats:
    """Draw five levels, of which the first is more common in bursts of some 50 values."""
    burst = _bursting(random.random(size), 0.02, 0.98) > 0.5
    levels = streams.levels(np.full(5, 0.2))(random, size)
    return np.where(burst & (random.random(size) < 0.6), 0.0, levels)


@kernel
def _bursting(draws: Floats, begin: float, stay: float) -> Floats:
    states = np.empty_like(draws)
    state = 0.0
    for index in range(len(draws)):
        state = 1.0 if draws[index] < (stay if state > 0.5 else begin) else 0.0
        states[index] = state
    return states


ASKED: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        remembering(0.5),
        remembering(0.8),
        remembering(0.95),
        waved("cycle .5 sd", sine(0.5, 1_000)),
        waved("cycle .5 sd + AR .5", sine(0.5, 1_000), 0.5),
        waved("day x week", day_by_week),
        waved("office hours", office_hours),
        Stream("GARCH", garch(0.1, 0.85)),
        Stream("bursts", bursts),
        Stream("moving average 10", moving_average(10)),
        Stream("5 levels, staying .5", staying(streams.FIVE, 0.5), "category"),
        Stream("5 levels, staying .8", staying(streams.FIVE, 0.8), "category"),
        Stream("50 levels, staying .5", staying(streams.FIFTY, 0.5), "category"),
        Stream("5 levels, one in bursts", levels_in_bursts, "category"),
    )
}
"""Those whose false alarms are bounded."""

EXACT: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("n % 24", told(lambda n: n % 24)),
        Stream("n % 7", told(lambda n: n % 7)),
        Stream("n % 2", told(lambda n: n % 2)),
        Stream("n % 1,000", told(lambda n: n % 1_000)),
        Stream("n % 12,345", told(lambda n: n % 12_345)),
        Stream("n // 100 % 24", told(lambda n: n // 100 % 24)),
        Stream("n", told(lambda n: n)),
        Stream("n // 100", told(lambda n: n // 100)),
        Stream("times of events", times_of_events),
        Stream("one value", told(lambda n: 0 * n)),
        Stream("one value in 999 of 1,000", nearly_always),
        Stream("0/1, in turn", told(lambda n: n % 2), "rate"),
        Stream("24 levels in turn", told(lambda n: n % 24), "category"),
        Stream("1,000 levels in turn", told(lambda n: n % 1_000), "category"),
        Stream("7 levels in turn, 100 times each", told(lambda n: n // 100 % 7), "category"),
    )
}
"""Those that a rule tells, all or nearly all."""

BESIDES: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("cycle whose period wobbles by 1 %", wobbling(0.5, 1_000, 0.01)),
        Stream("cycle of the spread", breathing(0.5, 1_000)),
        Stream("noise on a wandering level", wandering(1.0, 0.999)),
        Stream("random walk", random_walk),
    )
}
"""Those that are measured without a bound."""


def busy(quiet: float, loud: float) -> Draw:
    """Return 0/1 values whose rate is `loud` in office hours, and `quiet` else."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        open_ = office_hours(np.arange(size, dtype=np.float64))
        return (random.random(size) < quiet + (loud - quiet) * open_).astype(np.float64)

    return draw


BUSY = Stream("0/1, office hours .3 and .7, with times", busy(0.3, 0.7), "rate", step=_STEP)

CALENDAR: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        waved("day x week, with times", day_by_week, 0.0, _STEP),
        waved("day x week + AR .5, with times", day_by_week, 0.5, _STEP),
        waved("office hours, with times", office_hours, 0.0, _STEP),
        waved("office hours + AR .5, with times", office_hours, 0.5, _STEP),
    )
}
"""Those that come with calendar times."""
