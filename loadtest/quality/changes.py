"""Changes of streams: what becomes of a path from one value on, and how it is drawn."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from loadtest.quality import oracles, streams
from loadtest.quality.oracles import Ratio
from loadtest.quality.streams import FIFTY, FIVE, Draw, Stream
from loadtest.quality.structured import BUSY
from streamdrift.records import Floats

After = Callable[[np.random.Generator, Floats], Floats]
"""What a path becomes, given what it would have been: float64[n] to the same."""


class Change(NamedTuple):
    """A stream, what becomes of it, and the ratio one could use who is told both.

    `told` is of the values as they are drawn; more than one where not all is told.
    """

    name: str
    before: Stream
    after: After
    horizon: int
    told: tuple[Ratio, ...] = ()


class Path(NamedTuple):
    """A reference, then values that change at `place`; `begin` is where the values begin."""

    whole: Floats
    begin: int
    place: int

    @property
    def reference(self) -> Floats:
        return self.whole[: self.begin]

    @property
    def values(self) -> Floats:
        return self.whole[self.begin :]


def draw_path(
    change: Change, random: np.random.Generator, reference: int, quiet: int, after: int
) -> Path:
    """Draw one path; the quiet values are up to twice as many, so that no cycle is favoured."""
    before = reference + quiet + int(random.integers(0, quiet + 1))
    whole = change.before.draw(random, before + after)
    whole = np.concatenate([whole[:before], change.after(random, whole[before:])])
    return Path(whole, reference, before - reference)


def shifted(by: float) -> After:
    return lambda _, path: path + by


def scaled(factor: float) -> After:
    return lambda _, path: path * factor


def in_episodes(after: After, lasts: int, rests: int) -> After:
    """Return a change that lasts so many values, is gone for some, and comes again for good."""

    def episodes(random: np.random.Generator, path: Floats) -> Floats:
        values = after(random, path)
        values[lasts : lasts + rests] = path[lasts : lasts + rests]
        return values

    return episodes


def replaced(draw: Draw) -> After:
    return lambda random, path: draw(random, len(path))


NORMAL = Stream("normal", streams.normal)

SHIFTS: Mapping[float, Change] = {
    shift: Change(
        f"mean +{shift:g} sd",
        NORMAL,
        shifted(shift),
        20_000,
        (oracles.normal_shift(shift), oracles.normal_shift(-shift)),
    )
    for shift in (0.25, 0.5, 1.0, 2.0)
}

SPREADS: Mapping[str, Change] = {
    f"sd x {factor:g}": Change(
        f"sd x {factor:g}", NORMAL, scaled(factor), 20_000, (oracles.normal_spread(factor),)
    )
    for factor in (1.5, 2.0, 0.5)
}

TAILS: Mapping[str, Change] = {
    change.name: change
    for change in (
        Change(
            "lognormal x 1.5",
            Stream("lognormal", streams.lognormal),
            scaled(1.5),
            20_000,
            (oracles.log_lognormal_ratio(1.5),),
        ),
        Change(
            "t3 + 1 sd",
            Stream("t3", streams.student(3)),
            shifted(1.0),
            20_000,
            (oracles.student_shift(3, 1.0),),
        ),
    )
}


def without_middle(share: float, rescaled: bool = True) -> Draw:
    """Return normal values of which the middle `share` never comes; sd 1 if `rescaled`."""
    edge = NormalDist().inv_cdf(0.5 + share / 2)
    density = math.exp(-0.5 * edge * edge) / math.sqrt(2 * math.pi)
    scale = 1 / math.sqrt(1 + 2 * edge * density / (1 - share)) if rescaled else 1.0

    def draw(random: np.random.Generator, size: int) -> Floats:
        values = random.standard_normal(size)
        while (inside := np.flatnonzero(np.abs(values) < edge)).size:
            values[inside] = random.standard_normal(inside.size)
        return values * scale

    return draw


def _shape(name: str, draw: Draw, horizon: int = 1_500) -> Change:
    return Change(name, NORMAL, replaced(draw), horizon)


SHAPES: Sequence[Change] = (
    _shape("two humps .9", streams.humps(0.9)),
    _shape("two humps .8", streams.humps(0.8)),
    _shape("split 80/20, .9", streams.humps(0.9, 0.2)),
    _shape("split 90/10, .9", streams.humps(0.9, 0.1)),
    _shape("split 70/30, .8", streams.humps(0.8, 0.3)),
    *(_shape(f"hole of {share:.0%}", without_middle(share)) for share in (0.1, 0.2, 0.3)),
    *(
        _shape(f"hole of {share:.0%}, sd not kept", without_middle(share, False))
        for share in (0.1, 0.2, 0.3)
    ),
    _shape("normal to gamma(4)", streams.gamma(4)),
    Change(
        "gamma(4) to normal",
        Stream("gamma(4)", streams.gamma(4)),
        replaced(streams.normal),
        1_500,
    ),
    _shape("normal to exponential", streams.gamma(1)),
    _shape("normal to uniform", streams.uniform),
    _shape("normal to Laplace", streams.laplace),
    _shape("normal to t3", streams.student(3)),
    _shape("normal to t5", streams.student(5)),
    _shape("two humps .7", streams.humps(0.7), 6_000),
)


def moved_to_one(before: Floats, variation: float, level: int) -> Floats:
    """Return shares of which `variation` has moved to one level, from all others alike."""
    after: Floats = before * (1 - variation / (1 - before[level]))
    after[level] = before[level] + variation
    return after


def spread_out(before: Floats, variation: float) -> Floats:
    """Return shares of which `variation` has moved from every second level to the others.

    Within both halves each level gains, or loses, in proportion.
    """
    gains = np.arange(len(before)) % 2 == 1
    after = before.copy()
    after[gains] *= 1 + variation / before[gains].sum()
    after[~gains] *= 1 - variation / before[~gains].sum()
    return after


def _mix(name: str, before: Floats, after: Floats, horizon: int = 20_000) -> Change:
    return Change(
        name,
        Stream(f"{len(before)} levels", streams.levels(before), "category"),
        replaced(streams.levels(after)),
        horizon,
        (oracles.shares(before, after),),
    )


def _mixes(before: Floats, level: int) -> list[Change]:
    count = len(before)
    return [
        change
        for variation in (0.1, 0.2)
        for change in (
            _mix(
                f"{count} levels, {variation:g} to one",
                before,
                moved_to_one(before, variation, level),
            ),
            _mix(f"{count} levels, {variation:g} spread", before, spread_out(before, variation)),
        )
    ]


MIXES: Sequence[Change] = (*_mixes(FIVE, 2), *_mixes(FIFTY, 9))


def _with_new(shares: Floats, share: float) -> Change:
    """Return a change to a level that was never there; its likelihood ratio is infinite."""
    after = np.append(shares * (1 - share), share)
    return Change(
        f"{len(shares)} levels, a new one at {share:.0%}",
        Stream(f"{len(shares)} levels", streams.levels(shares), "category"),
        replaced(streams.levels(after)),
        20_000,
    )


NEW_LEVELS: Sequence[Change] = (
    _with_new(FIVE, 0.01),
    _with_new(FIFTY, 0.01),
    _with_new(FIVE, 0.05),
)

RATES: Sequence[Change] = tuple(
    Change(
        f"rate {before:g} to {after:g}",
        Stream(f"0/1, rate {before:g}", streams.bernoulli(before), "rate"),
        replaced(streams.bernoulli(after)),
        20_000,
        (oracles.rates(before, after),),
    )
    for before, after in ((0.2, 0.25), (0.2, 0.3), (0.2, 0.1), (0.01, 0.03), (0.05, 0.07))
)

LARGE: Sequence[Change] = (
    *(Change(f"mean +{shift:g} sd", NORMAL, shifted(shift), 1_000) for shift in (5.0, 10.0)),
    Change("sd x 5", NORMAL, scaled(5.0), 1_000),
    Change("constant to another", Stream("constant", streams.constant(0.0)), shifted(7.0), 1_000),
)
"""Changes of numbers that are seen in a few values."""

JUMPS: Mapping[tuple[float, float], Change] = {
    (before, after): Change(
        f"rate {before:g} to {after:g}",
        Stream(f"0/1, rate {before:g}", streams.bernoulli(before), "rate"),
        replaced(streams.bernoulli(after)),
        1_000,
    )
    for before, after in (
        (0.0, 1.0), (0.0, 0.5), (0.001, 1.0), (0.01, 1.0), (0.01, 0.5), (0.01, 0.1), (0.2, 0.8),
        (0.2, 0.0),
    )
}  # fmt: skip
"""Changes of rates such as columns make that go missing: by their rates before and after."""

OUTAGES: Sequence[Change] = (
    Change(
        "5 levels, all new",
        Stream("5 levels", streams.levels(FIVE), "category"),
        replaced(streams.levels(np.append(0 * FIVE, FIVE))),
        1_000,
    ),
    Change(
        "5 levels, one only",
        Stream("5 levels", streams.levels(FIVE), "category"),
        replaced(streams.constant(2.0)),
        1_000,
    ),
    Change(
        "1 level, a new one at 1%",
        Stream("1 level", streams.constant(0.0), "category"),
        replaced(streams.bernoulli(0.01)),
        20_000,
    ),
)
"""Changes of categories such as renamed, defaulted or added levels make."""

CHAINS: Sequence[Change] = tuple(
    Change(
        f"rate .2 to .3, memory {memory:g}",
        Stream(f"0/1, .2, memory {memory:g}", streams.chain(0.2, memory), "rate"),
        replaced(streams.chain(0.3, memory)),
        20_000,
        (oracles.chains((0.2, memory), (0.3, memory)),),
    )
    for memory in (0.0, 0.5, 0.8)
)


def _more(share: float) -> After:
    """Return a change after which so many of the 0s are 1s."""
    return lambda random, path: np.maximum(path, random.random(len(path)) < share)


RISING: Sequence[Change] = tuple(
    Change(f"{stream.name}, of 0s {share:g} more", stream, _more(share), 20_000)
    for stream, share in (
        (streams.MOVING["0/1, .5 +- .2, period 100"], 0.2),
        (streams.MOVING["0/1, .4 +- .2, period 1,000"], 0.33),
        (streams.MOVING["0/1, .1 to .3 in the reference"], 0.2),
        (BUSY, 0.33),
    )
)

BURSTING = Change(
    "hidden bursts, rate in bursts .5 to .8",
    Stream("0/1, hidden bursts .05/.5", streams.hidden_bursts(0.05, 0.5, 0.99), "rate"),
    replaced(streams.hidden_bursts(0.05, 0.8, 0.99)),
    20_000,
)


def shift_of(stream: Stream, by: float, horizon: int = 20_000) -> Change:
    """Return a change of a stream's level, in standard deviations of its noise."""
    return Change(f"{stream.name}, +{by:g} sd", stream, shifted(by), horizon)
