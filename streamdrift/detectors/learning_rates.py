"""From the 0s and 1s of a reference to what a rate is held against.

As simple as they let it be: one rate; a Markov chain, where that explains how they remember; else
chances that a front lets expect, of a rhythm, a slow level or a memory. Each is replayed at the
detector that it arms.
"""

import math
from dataclasses import replace
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.detectors.arming import arm_flags, too_loud
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.mixture import POWERS
from streamdrift.records import Floats, Ints, Sample
from streamdrift.references.chain import (
    ORDERS,
    Chain,
    fit_chain,
    follow_states,
    variance_left,
    varies_slowly,
)
from streamdrift.references.chances import Chances, chances_of, fill_middles
from streamdrift.references.findings import Code, Finding
from streamdrift.references.front import Fitted, Front, fit
from streamdrift.references.slow import SHORTEST, Given

NEEDED = 2 * math.log(1e5)
"""How much a change of 1 standard deviation needs, in its square, to be seen among 100,000."""
_LEVEL, _SHORTEST_LEVEL = 100.0, 15.0
"""Values over which a slow level averages at first, and at least, times p (1 - p)."""
_FOLLOWED = 1 / 8
"""The part of the reference over which a level that wanders is followed."""
_DOUBT = 0.25
"""Part of the error of a chance, in standard errors, that the factors forgive."""


class Rate(NamedTuple):
    """What a rate is held against; see `Reference`."""

    expected: Expected
    front: Front | None = None
    findings: tuple[Finding, ...] = ()


def learn_rate(
    sample: Sample, times: Ints | None, zone: ZoneInfo | None, given: Given | None
) -> Rate:
    """Learn what a rate is held against; see `learn`.

    Where something is `given` the counts of the sample are of a longer time than its flags.
    """
    expected = Expected.of_rate(*sample.values.tolist())
    flags = sample.order
    if flags is None or not sample.values.all():
        return Rate(expected)
    if given is not None:
        fitted = fit(flags, times, zone, given=given, flags=True)
        return _of_chances(expected, flags, fitted, given)
    used = flags[~np.isnan(flags)]
    chain = fit_chain(flags)
    if chain is not None and _explains(used[ORDERS:], _rates_of(chain, used)):
        ratio = chain.variance_ratio
        # That of the last value alone whose sums vary as much.
        figures = {"sum": (ratio - 1) / (ratio + 1), "needed": NEEDED * ratio}
        found = replace(expected, chain=chain, power=power_of(ratio))
        return Rate(found, findings=(Finding(Code.MEMORY, figures),))
    even = np.full(len(used), expected.mean)
    ratio = variance_left(used, even)
    if ratio == 1.0 and _explains(used, even):
        return Rate(expected)
    fitted = fit(flags, times, zone, flags=True)
    steps = tuple(each for each in fitted.findings if each.code is Code.STEP)
    if steps:
        rest = flags[fitted.start :]
        ones = np.count_nonzero(rest == 1)
        counts = np.array([np.count_nonzero(rest == 0), ones], dtype=np.float64)
        later = None if times is None else times[fitted.start :]
        kept = learn_rate(sample._replace(values=counts, order=rest), later, zone, None)
        return kept._replace(findings=(*steps, *kept.findings))
    if fitted.found:
        return _of_chances(expected, flags, fitted, None)
    if varies_slowly(used, even):
        return _that_wanders(expected, flags)
    armed = arm_flags(_middles(used, even), 0.0, power_of(ratio))
    return Rate(replace(expected, power=armed.power), findings=armed.findings)


def _explains(used: Floats, chances: Floats) -> bool:
    """Tell whether chances explain 0s and 1s, as far as slow waves and a replay tell."""
    return not varies_slowly(used, chances) and not too_loud(_middles(used, chances))


def _that_wanders(expected: Expected, flags: Floats) -> Rate:
    """Return what a rate is held against whose level moves more slowly than its past can tell."""
    size = float(expected.counts.sum())
    given = wandering(expected.scale, size)
    found = _of_chances(expected, flags, fit(flags, given=given, flags=True), given)
    return found._replace(findings=(Finding(Code.NO_LEVEL), *found.findings))


def wandering(scale: float, size: float) -> Given:
    """Return how the level of a rate is followed that moves within a reference of `size` values."""
    given = slow_level(_FOLLOWED * size, scale)
    return replace(given, gain=1 / max(_FOLLOWED * size, given.shortest))


def slow_level(values: float, scale: float, seed: int = 0) -> Given:
    """Return a slow level that averages over so many values of a rate, or more.

    `scale` is their standard deviation. What the level is off must be little beside the least odds
    that are looked for.
    """
    each = 1 / scale**2
    return Given(
        1 / max(values, _LEVEL * each),
        seed=seed,
        shortest=max(SHORTEST, _SHORTEST_LEVEL * each),
    )


def _of_chances(expected: Expected, flags: Floats, fitted: Fitted, given: Given | None) -> Rate:
    """Return what a rate is held against whose values have chances of their own."""
    if fitted.front is None:
        return Rate(expected, findings=fitted.findings)
    kept = flags[fitted.start :]
    middles = np.empty(len(kept))
    fill_middles(kept, fitted.residuals, 0, len(kept), middles)
    middles = middles[~np.isnan(middles)]
    chances = chances_of(middles)
    known = float((chances * (1 - chances)).mean())
    size = float(expected.counts.sum())
    # The error of what is learnt from the values, of a level that follows, and of cells.
    error = known * fitted.weights / len(middles)
    if given is not None:
        error += known * given.gain / 2
        error += 0.0 if given.calendar is None else float(given.calendar.variances[0])
    doubt = _DOUBT * math.sqrt(error)
    ratio = variance_left((middles > 0.5).astype(np.float64), chances)
    armed = arm_flags(middles, doubt, power_of(ratio))
    remembers = any(each.code in (Code.MEMORY, Code.NO_LEVEL) for each in fitted.findings)
    learnt = Chances(known * size, doubt, remembers)
    found = replace(expected, chances=learnt, power=armed.power)
    return Rate(found, fitted.front, (*fitted.findings, *armed.findings))


def _rates_of(chain: Chain, used: Floats) -> Floats:
    """Return the chances that a chain gives to used[ORDERS:]."""
    states = np.empty(len(used), dtype=np.int64)
    follow_states(chain.order, 0, used, 0, len(used), states)
    return chain.rates[states][ORDERS:]


def _middles(used: Floats, chances: Floats) -> Floats:
    out = np.empty(len(used))
    fill_middles(used, used - chances, 0, len(used), out)
    return out


def power_of(ratio: float) -> int:
    """Return the power of evidence whose sums vary `ratio` times as much as they should."""
    return min(max(round(6 * math.log2(ratio)), 0), POWERS - 1)
