"""Streams in which nothing changes: independent values, and 0/1 values with memory.

Each draws one path from a numpy Generator that it is given, so equal generators give equal
paths. Where a unit of shift is meant it is the standard deviation, here 1 for all numeric
streams but the lognormal, whose change is a factor.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats

Kind = Literal["numeric", "rate", "category"]
Draw = Callable[[np.random.Generator, int], Floats]
"""Draws float64[n]: one path, from time 0 on."""


class Stream(NamedTuple):
    """A stream in which nothing changes.

    `innovations` turns a path that begins at time 0 into independent values of standard
    deviation 1, as one could who knows the structure; None where values are independent.
    `step` is the time between two values in seconds where calendar time means something.
    """

    name: str
    draw: Draw
    kind: Kind = "numeric"
    innovations: Callable[[Floats], Floats] | None = None
    step: float | None = None


def normal(random: np.random.Generator, size: int) -> Floats:
    return random.standard_normal(size)


def uniform(random: np.random.Generator, size: int) -> Floats:
    """Draw uniform values of mean 0 and standard deviation 1."""
    return random.uniform(-math.sqrt(3), math.sqrt(3), size)


def lognormal(random: np.random.Generator, size: int) -> Floats:
    return random.lognormal(0.0, 1.0, size)


def laplace(random: np.random.Generator, size: int) -> Floats:
    return random.laplace(0.0, math.sqrt(0.5), size)


def student(degrees: int) -> Draw:
    """Return Student's t of standard deviation 1; takes three degrees of freedom or more."""
    scale = math.sqrt((degrees - 2) / degrees)
    return lambda random, size: random.standard_t(degrees, size) * scale


def gamma(shape: float) -> Draw:
    """Return a gamma distribution of mean 0 and standard deviation 1; shape 1: exponential."""
    return lambda random, size: (random.gamma(shape, size=size) - shape) / math.sqrt(shape)


def outliers(share: float, size_in_sd: float) -> Draw:
    """Return normal values of which a share is moved by so many standard deviations, either way."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        values = random.standard_normal(size)
        there = random.random(size) < share
        signs = np.where(random.random(size) < 0.5, -1.0, 1.0)
        return np.where(there, values + size_in_sd * signs, values)

    return draw


def humps(apart: float, share: float = 0.5) -> Draw:
    """Return two normal humps of mean 0 and standard deviation 1 in all.

    `apart`**2 is the variance between the humps; `share` the weight of the upper one.
    """
    upper = apart * math.sqrt((1 - share) / share)
    lower = -apart * math.sqrt(share / (1 - share))
    width = math.sqrt(1 - apart * apart)

    def draw(random: np.random.Generator, size: int) -> Floats:
        centre = np.where(random.random(size) < share, upper, lower)
        return centre + width * random.standard_normal(size)

    return draw


def bernoulli(share: float) -> Draw:
    return lambda random, size: (random.random(size) < share).astype(np.float64)


def constant(value: float) -> Draw:
    return lambda _, size: np.full(size, value)


def levels(shares: Floats) -> Draw:
    """Return level codes 0, 1, ... with these shares."""
    edges = np.cumsum(shares)[:-1]
    return lambda random, size: np.searchsorted(edges, random.random(size), "right").astype(float)


def resampled(column: Floats) -> Draw:
    """Return the values of a column in random order, with replacement."""
    return lambda random, size: column[random.integers(0, len(column), size)]


@kernel
def _chain(draws: Floats, after_zero: float, after_one: float, share: float) -> Floats:
    values = np.empty_like(draws)
    last = 1.0 if draws[0] < share else 0.0
    values[0] = last
    for index in range(1, len(draws)):
        last = 1.0 if draws[index] < (after_one if last > 0.5 else after_zero) else 0.0
        values[index] = last
    return values


def chain(share: float, memory: float) -> Draw:
    """Return a two-state Markov chain: its share of ones and its lag-one autocorrelation."""
    after_one, after_zero = share + memory * (1 - share), share * (1 - memory)
    return lambda random, size: _chain(random.random(size), after_zero, after_one, share)


def hidden_bursts(quiet: float, loud: float, stay: float) -> Draw:
    """Return 0/1 values whose rate is that of a hidden state which is left with 1 - `stay`.

    Half the time the rate is `quiet`, half the time `loud`.
    """
    hidden = chain(0.5, 2 * stay - 1)

    def draw(random: np.random.Generator, size: int) -> Floats:
        rates = np.where(hidden(random, size) > 0.5, loud, quiet)
        return (random.random(size) < rates).astype(np.float64)

    return draw


def moving(share: float, height: float, period: float) -> Draw:
    """Return 0/1 values whose rate is a sine wave about `share`, from any phase on."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        phase = random.random()
        wave = height * np.sin(2 * math.pi * (np.arange(size) / period + phase))
        return (random.random(size) < share + wave).astype(np.float64)

    return draw


def stepped(before: float, after: float, place: int) -> Draw:
    """Return 0/1 values whose rate becomes another one at `place`."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        rates = np.where(np.arange(size) < place, before, after)
        return (random.random(size) < rates).astype(np.float64)

    return draw


def skewed(count: int, power: float = 1.0) -> Floats:
    """Return shares of `count` levels that fall like 1 / rank^power."""
    weights = np.arange(1, count + 1) ** -power
    return np.asarray(weights / weights.sum())


FIVE = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
FIFTY = skewed(50)

INDEPENDENT: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("normal", normal),
        Stream("uniform", uniform),
        Stream("lognormal", lognormal),
        Stream("t3", student(3)),
        Stream("outliers 1/1000 of 10 sd", outliers(0.001, 10.0)),
        Stream("0/1, rate .2", bernoulli(0.2), "rate"),
        Stream("0/1, rate .01", bernoulli(0.01), "rate"),
        Stream("5 levels", levels(FIVE), "category"),
        Stream("50 levels", levels(FIFTY), "category"),
        Stream("300 levels, alike", levels(skewed(300, 0.0)), "category"),
        Stream("1,000 levels, alike", levels(skewed(1_000, 0.0)), "category"),
        Stream("5,000 levels, rarer and rarer", levels(skewed(5_000)), "category"),
    )
}

REMEMBERING: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("0/1, .2, memory 0", bernoulli(0.2), "rate"),
        Stream("0/1, .2, memory .5", chain(0.2, 0.5), "rate"),
        Stream("0/1, .2, memory .8", chain(0.2, 0.8), "rate"),
        Stream("0/1, hidden bursts .05/.5", hidden_bursts(0.05, 0.5, 0.99), "rate"),
    )
}

MOVING: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("0/1, .5 +- .2, period 100", moving(0.5, 0.2, 100), "rate"),
        Stream("0/1, .4 +- .2, period 1,000", moving(0.4, 0.2, 1_000), "rate"),
        Stream("0/1, .02 +- .015, period 5,000", moving(0.02, 0.015, 5_000), "rate"),
        Stream("0/1, .05 +- .03, period 20,000", moving(0.05, 0.03, 20_000), "rate"),
        Stream("0/1, .1 to .3 in the reference", stepped(0.1, 0.3, 6_000), "rate"),
    )
}
