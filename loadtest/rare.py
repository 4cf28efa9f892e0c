"""How likely a false alarm is that hardly ever comes, by importance sampling.

Streams are drawn from a hidden Markov chain instead of the null distribution: now and then it
leaves the null for one of many tilted distributions and returns. What makes a detector alarm
comes about often, then. An alarm counts by the inverse of its likelihood ratio, the chain's
forward filter, so the estimate of the probability is unbiased for any detector, and far sharper
than counting: run lengths of 1e11 are measured with a thousand short streams. Where the chain
stays away from the null after a change to one distribution, the ratio is the Shiryaev-Roberts
sum.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from streamdrift.detectors import Bank, Expected
from streamdrift.kernels.compiler import kernel, uniform_hash
from streamdrift.records import Floats, Stream

CELLS = 4_096
"""Different values of a rank."""
ENOUGH = 45.0
"""A stream ends where its log likelihood ratio is this large: what a detector did later than that
would count less than e^-45."""
RETURN_AFTER = 16.0
"""Log likelihood ratio that an excursion gathers on average before it returns to the null."""
_PART = 64


class Null(NamedTuple):
    """A stream on which nothing changes, and how it may look as if something did."""

    title: str
    expected: Expected
    values: Floats
    """float64[c]: the values there are."""
    shares: Floats
    """float64[k, c]: how likely each is; row 0 is the null, the others are tilted."""


def ranks() -> Null:
    """Return uniform ranks, tilted exponentially."""
    edges = np.arange(CELLS + 1) / CELLS
    places = [edges]
    for slope in np.geomspace(0.17, 18, 11):
        places += [np.expm1(sign * slope * edges) / np.expm1(sign * slope) for sign in (1, -1)]
    values = (edges[:-1] + edges[1:]) / 2
    return Null("numeric", Expected(Stream.NUMERIC), values, np.diff(places, axis=1))


def rates(rate: float) -> Null:
    """Return 0/1 values of a rate, tilted to other odds."""
    odds = math.log(rate / (1 - rate))
    tilts = [0.0]
    for tilt in np.geomspace(0.1, 6.4, 11):
        tilts += [tilt, -tilt]
    ones = np.array([1 / (1 + math.exp(-odds - tilt)) for tilt in tilts])
    expected = Expected(Stream.RATE, rate, math.sqrt(rate * (1 - rate)))
    return Null(f"{rate:g}", expected, np.array([0.0, 1.0]), np.stack([1 - ones, ones], axis=1))


@kernel
def _pick(shares: Floats, number: float) -> int:
    """Return the first place at which the sum of the shares exceeds `number`."""
    total = 0.0
    for place in range(len(shares) - 1):
        total += shares[place]
        if number < total:
            return place
    return len(shares) - 1


@kernel
def _draw(
    seed: int,
    first: int,
    values: Floats,
    places: Floats,
    ratios: Floats,
    begin: Floats,
    leave: Floats,
    back: Floats,
    streams: Floats,
    logs: Floats,
) -> None:
    """Fill in streams float64[s, n] and the logarithm of their likelihood ratio at each value.

    State s of the chain draws from distribution s modulo k (`places` are their distribution
    functions, `ratios` float64[c, k] to the null). It begins at s with the chance `begin[s]`,
    goes from 0 to s with `leave[s]`, and from s to 0 with `back[s]`.
    """
    count, kinds = len(begin), ratios.shape[1]
    weights = np.empty(count)
    for stream in range(len(streams)):
        ordinal = (first + stream) * (2 * streams.shape[1] + 1)
        streams[stream] = np.nan
        logs[stream] = np.inf
        weights[:] = begin
        state = _pick(begin, uniform_hash(seed, ordinal))
        for event in range(streams.shape[1]):
            ordinal += 2
            if event > 0:
                moving = uniform_hash(seed, ordinal - 1)
                if state == 0:
                    state = _pick(leave, moving)
                elif moving < back[state]:
                    state = 0
            number = uniform_hash(seed, ordinal)
            cell = np.searchsorted(places[state % kinds], number, side="right")
            staying, returning, total = weights[0], 0.0, 0.0
            for other in range(1, count):
                weight = weights[other]
                if event > 0:
                    returning += weight * back[other]
                    weight = weight * (1.0 - back[other]) + staying * leave[other]
                weights[other] = weight * ratios[cell, other % kinds]
                total += weights[other]
            weights[0] = (staying * leave[0] if event > 0 else staying) + returning
            streams[stream, event] = values[cell]
            logs[stream, event] = math.log(total + weights[0])
            if logs[stream, event] > ENOUGH:
                break


def drawn(null: Null, length: int, count: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield `count` streams of the chain in parts, and their log likelihood ratios.

    The chain leaves the null one and a half times in a stream, for ever or for an excursion, and
    some streams begin away from it.
    """
    kinds = len(null.shares)
    places = np.cumsum(null.shares, axis=1)
    places[:, -1] = 2.0
    ratios = np.ascontiguousarray((null.shares / null.shares[0]).T)
    gain = np.sum(null.shares * np.log(null.shares / null.shares[0]), axis=1)
    back = np.concatenate([np.zeros(kinds), np.clip(gain / RETURN_AFTER, 1e-9, 1.0)])
    begin = np.full(2 * kinds, 0.3 / (2 * kinds - 2))
    begin[0], begin[kinds] = 0.7, 0.0
    leave = np.full(2 * kinds, 1.5 / length / (2 * kinds - 2))
    leave[kinds] = back[kinds] = 0.0
    leave[0] = 1.0 - 1.5 / length
    for first in range(0, count, _PART):
        streams, logs = np.empty((_PART, length)), np.empty((_PART, length))
        _draw(seed, first, null.values, places, ratios, begin, leave, back, streams, logs)
        yield streams, logs


def alarm_weights(bank: Bank, streams: Floats, logs: Floats) -> Floats:
    """Return what each stream counts, 0 where the bank does not alarm.

    The mean estimates how likely a new detector alarms within so many values of the null stream.
    """
    slots = len(streams)
    found = bank.update(streams, np.arange(slots), np.zeros(slots, dtype=np.int64))
    alarmed = np.flatnonzero(found < streams.shape[1])
    weights = np.zeros(slots)
    weights[alarmed] = np.exp(-logs[alarmed, found[alarmed]])
    return weights
