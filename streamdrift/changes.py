"""What signals say of themselves: that they changed, how much, and since when.

Times are as in `streamdrift.records`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist
from typing import NamedTuple

from streamdrift.records import Signal

_STANDARD = NormalDist()

REST = "(other)"
"""Among shares, the name of all levels that are not told apart."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a signal looked like before or after a change, in its column's own terms.

    `mean` is that of numbers, of a rate, of events a second, or of a pause in seconds; NaN of
    categories, and where it is not known. Numeric columns have quantiles {0.05, 0.5, 0.95},
    category columns shares of levels.
    """

    mean: float
    quantiles: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)


class Estimate(NamedTuple):
    """A figure with an interval that holds the truth with 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Effect:
    """How large a change is.

    `shift` in standard deviations of the reference, signed; `spread` the ratio of standard
    deviations, 1 where it stayed; `variation` the total variation distance, from 0 to 1. Of
    numbers the first two are of normal scores of ranks, so outliers do not decide them.
    """

    shift: Estimate
    spread: Estimate
    variation: Estimate

    @property
    def size(self) -> float:
        """How large all in all, as the shift in standard deviations that is as easily seen.

        A total variation v is that of two normal distributions 2 Phi^-1((1 + v) / 2) apart.
        """
        variation = min(self.variation.value, 0.999_999)
        return max(abs(self.shift.value), 2 * _STANDARD.inv_cdf((1 + variation) / 2))


@dataclass(frozen=True, slots=True)
class Onset:
    """The stretch of the stream in which a change began."""

    earliest: int
    latest: int
    offsets: Mapping[str, Mapping[int, tuple[int, int]]]
    """First and last offset by topic and partition."""


class StepKind(StrEnum):
    """What a signal says of itself."""

    CHANGED = "changed"
    """Its own evidence is enough."""
    CANDIDATE = "candidate"
    """It would be if the signal had the whole budget.

    Said at points of the grid, with the evidence of then, from where that reaches the
    signal's patience: again where it is another, until it changed or was withdrawn.
    """
    WITHDRAWN = "withdrawn"
    """A candidate that did not change has lost its evidence."""
    RETURNED = "returned"
    ACCEPTED = "accepted"
    RESOLVED = "resolved"
    """An operator says that it is mended."""


@dataclass(frozen=True, slots=True)
class Change:
    """A detector's decision that a signal changed, or its evidence that it may have."""

    detector: str
    statistic: float
    threshold: float
    effect: Effect | None
    """None of silence."""
    before: Summary
    after: Summary
    onset: Onset | None
    share: float
    """The evidence over what the signal needs to be told by itself: 1 or more where it changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a signal says of itself at a time, such as that it changed."""

    kind: StepKind
    model: str
    version: str
    """Empty for what belongs to the model, not to a version: silence and event rate."""
    signal: Signal
    time: int
    change: Change | None = None
    """Given where `kind` is CHANGED or CANDIDATE."""


class Heard(NamedTuple):
    """What another shard says of its signals: all their steps below `watermark`."""

    shard: int
    watermark: int
    steps: tuple[Step, ...]
