"""A step inside a reference: a level that ends, and another that stays."""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats
from streamdrift.references.lines import find_lines
from streamdrift.references.memory import fit_memory
from streamdrift.references.parts import LINES, Parts, drawn
from streamdrift.references.scores import fit_scores, scores_of

_CLEAR, _QUIET = 40.0, 12.5
"""The squared step over the long-run variance that a step has at least, and that each side of it
has at most."""
_LEAST_SIZE, _LEAST_OF_FLAGS = 0.3, 0.05
"""In standard deviations of the scores: of numbers, and of 0s and 1s, of which few may be 1s."""
_SUDDEN = 0.7
"""The share of the step that happens at once."""
_LEAST_VARIANCE = 0.05
"""The least that lines and memory can make of the variance in a first look."""
_MARGIN = 50
"""Values that a side has at least."""
_UNSURE = 11.0
"""The step lies within this many long-run variances over its square with 95 % (Bai, Estimation of
a change point in multiple regression models, Review of Economics and Statistics 1997)."""


_WAVES = 4
"""Half waves that may lie in a reference, for slow ones."""


@dataclass(frozen=True)
class Step:
    """The first value that is surely after a step, and its size in standard deviations."""

    place: int
    size: float


@kernel
def _best_cut(values: Floats, start: int, stop: int) -> tuple[int, float]:
    """Return the cut of values[start:stop] that explains most, and what: n1 n2 D^2 / n."""
    total = 0.0
    for i in range(start, stop):
        total += values[i]
    size = stop - start
    best, place, running = 0.0, start, 0.0
    for i in range(start, stop - 1):
        running += values[i]
        left = i + 1 - start
        if left < 50 or size - left < 50:
            continue
        difference = running / left - (total - running) / (size - left)
        gain = difference * difference * left * (size - left) / size
        if gain > best:
            best, place = gain, i + 1
    return place, best


def in_waves(centred: Floats) -> float:
    """Return what the slowest cosines explain of float64[n], as a sum of squares.

    Of independent values of variance 1 it is a chi-square of as many degrees of freedom: Neyman's
    smooth test (1937), for what is too slow, and too little, for sums of neighbours.
    """
    angles = np.pi * (np.arange(len(centred)) + 0.5) / len(centred)
    waves = np.cos(np.arange(1, _WAVES + 1)[:, np.newaxis] * angles)
    return float(2 * ((waves * centred).sum(axis=1) ** 2).sum() / len(centred))


def find_step(parts: Parts, used: Floats, flags: bool) -> Step | None:
    """Return the one sudden, lasting step of a reference float64[n], lines taken off; else None.

    The level of `flags`, 0s and 1s, is known so roughly that a slow wave looks like a step: the
    step must explain more than those do.

    The noise is that of both sides' deviations from their own means: its long-run variance, from
    their memory.
    """
    rest = parts.rest
    scores = rest
    if len(parts.scale.knots) == 0:
        knots, marks = fit_scores(np.sort(used))
        scores = rest = scores_of(used, knots, marks)
    elif parts.calendar is None:
        scores = scores_of(used, parts.scale.knots, parts.scale.scores)
    place, gain = _best_cut(rest, 0, len(rest))
    if gain < _CLEAR * _LEAST_VARIANCE * float(np.var(rest)):
        return None
    if parts.lines or parts.wanders:
        # The step itself bent the lines, or hid them: they are looked for anew without it.
        level = np.where(np.arange(len(rest)) < place, scores[:place].mean(), scores[place:].mean())
        rest = scores.copy()
        for line in find_lines(scores - level, LINES):
            rest -= drawn(line, len(rest))
        place, gain = _best_cut(rest, 0, len(rest))
    if flags and gain < in_waves(rest - rest.mean()):
        return None
    return _step_at(rest, place, gain, flags)


def _step_at(rest: Floats, place: int, gain: float, flags: bool) -> Step | None:
    """Return the step at a place where it is clear, large, sudden and the only one."""
    before, after = float(rest[:place].mean()), float(rest[place:].mean())
    size = after - before
    sides = np.concatenate((rest[:place] - before, rest[place:] - after))
    spread = float(sides.std())
    memory = fit_memory(sides)
    if memory.wanders or memory.total >= 1.0 or spread <= 0.0:
        return None
    least = _LEAST_OF_FLAGS if flags else _LEAST_SIZE
    variance = memory.deviation**2 / (1.0 - memory.total) ** 2
    if gain / variance <= _CLEAR or abs(size) < least * spread:
        return None
    for begin, end in ((0, place), (place, len(rest))):
        # The deviation of 0s and 1s is another one where their level is.
        own = float(rest[begin:end].var()) / spread**2 if flags else 1.0
        if _best_cut(rest, begin, end)[1] / variance >= _QUIET * own:
            return None
    near = math.ceil(100 * variance / size**2)
    left, right = rest[max(place - near, 0) : place], rest[place : place + near]
    if (right.mean() - left.mean()) / size <= _SUDDEN:
        return None
    sure = place + math.ceil(_UNSURE * variance / size**2)
    return Step(min(sure, len(rest) - _MARGIN), abs(size) / spread)
