"""What the watch of a model's event rate needs to know of the model's settings."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.detectors import DetectorSettings
from streamdrift.detectors.banks import Lengths
from streamdrift.durations import DAY
from streamdrift.incidents.budget import Budget

WEEK = 7 * DAY
_LEAST_LENGTH = 100.0
"""Bins for which a false alarm is allowed at the most often."""


@dataclass(frozen=True, slots=True)
class RateSettings:
    """What the event rate's watch needs to know of the model's settings."""

    detectors: tuple[DetectorSettings, ...]
    budget: Budget
    """Its part of the model's."""
    minimum_effect: float
    accept_after: int
    span: int
    zone: ZoneInfo

    def lengths(self, length: int) -> Lengths:
        """Return after how many bins of `length` microseconds a false alarm is allowed.

        It is weighed with no other signal, so no look at it is wanted.
        """
        alone = max(self.budget.period / length, _LEAST_LENGTH)
        return Lengths(np.array([alone]), np.array([np.inf]))

    @property
    def rhythm_after(self) -> int:
        """Event time after which the rhythm is learned."""
        return max(self.span, WEEK)
