"""What evidence says of a signal, and what is too small, or too slow, to be said."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.block import Block
from streamdrift.detectors.effect import effect_of
from streamdrift.detectors.onset import span_of
from streamdrift.detectors.recent import Recent
from streamdrift.records import Effect, Floats, StepKind, Stream
from streamdrift.references.binning import NOTHING, Cells
from streamdrift.references.chances import evened, middles_of
from streamdrift.references.urn import UrnState

_LEAST_PRODUCT = 4.0
"""Evidence over the values it is of; where nothing ever happens this is 2."""


class Sign(NamedTuple):
    """What one signal did at a column of a block."""

    column: int
    signal: int
    kind: StepKind
    detector: str = ""
    evidence: Evidence | None = None
    effect: Effect | None = None
    share: float = 1.0
    """The statistic over the threshold; that of a detector without sums is 1."""


class Judge:
    """Turns evidence into signs. `expected` and `recent` are those of all signals.

    `minimum_effect` in standard deviations; `within` float64[count] is in how many values a
    change of each signal must show itself.
    """

    def __init__(
        self,
        expected: Sequence[Expected],
        recent: Recent,
        minimum_effect: float,
        within: Floats,
    ) -> None:
        self._expected = expected
        self._recent = recent
        self._minimum_effect = minimum_effect
        self.within = within

    def dismisses(self, signal: int, evidence: Evidence) -> bool:
        """Tell whether the change is too small, or may be a rhythm that is not known yet."""
        return self._is_trifle(signal, evidence) or evidence.age > float(self.within[signal])

    def _is_trifle(self, signal: int, evidence: Evidence) -> bool:
        """Tell whether the evidence grew so slowly that the change is below the minimum effect.

        Under a shift of d standard deviations it grows by d^2 / 2 a value. A sum of products that
        are about 1 grows, too: as the values that it is of, all signals in step.
        """
        if evidence.pace is None:
            return False
        if evidence.pace == 0 or evidence.statistic < _LEAST_PRODUCT * evidence.age:
            return True
        exponent = 2 ** (-self._expected[signal].power / 6)
        return math.sqrt(2 / (evidence.pace * exponent)) < self._minimum_effect

    def last(self, signal: int, block: Block, stop: int, count: int) -> Cells:
        """Return the codes of a signal's last values before column `stop`, since it was armed."""
        return self._recent.last(signal, block.codes[signal, block.fresh[signal] : stop], count)

    def values_of(self, signal: int, codes: Cells) -> Floats:
        """Return what the bank of a signal that is no number saw, by its codes."""
        if self._expected[signal].chances is not None:
            return middles_of(codes)
        return codes.astype(np.float64)

    def sign(
        self,
        signal: int,
        kind: StepKind,
        detector: str,
        evidence: Evidence,
        block: Block,
        stop: int,
        share: float,
        urn: Callable[[], UrnState],
    ) -> Sign:
        """Return what the evidence for a change says, seen before column `stop`.

        `urn` is by what a numeric signal's values were ranked then.
        """
        expected = self._expected[signal]
        fresh = block.codes[signal, block.fresh[signal] : stop]
        there = int(self._recent.counts[signal]) + int(np.count_nonzero(fresh != NOTHING))
        codes, tails = self.last(signal, block, stop, there), None
        shown = scores = self.values_of(signal, codes)
        if expected.stream is Stream.NUMERIC:
            state = urn()
            shown = scores = state.ranks_of_last(codes)
            tails = state.tails(codes)
        elif expected.chances is not None:
            shown = evened(scores, expected.mean, 0, 0).astype(np.float64)
        span = span_of(expected, shown, evidence, there)
        evidence = replace(
            evidence, earliest=span.most - 1, latest=span.least - 1, began=span.likeliest - 1
        )
        effect = effect_of(expected, scores, span, tails)
        column = stop - 1 if kind is StepKind.CHANGED else stop
        return Sign(column, signal, kind, detector, evidence, effect, share)
