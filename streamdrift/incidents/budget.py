"""The alert budget: how many false alarms a model is allowed, and how its signals share them.

With T the event time for which one false alarm is allowed, a signal that brings r values per
event time and has the share w of the budget (all shares of a version sum to 1) is allowed one
false alarm by itself in T r / w of its own values: its run length. Several signals together
are told sooner, by the e-BH procedure (Wang and Ramdas 2022, "False discovery rate control
with e-values"; for streams, Dandapanthula and Ramdas 2025, arXiv 2501.04130). docs/budget.md
says what is proved of that.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from streamdrift.durations import DAY

_UNITS = {"hour": DAY // 24, "day": DAY, "week": 7 * DAY, "month": 30 * DAY}
"""Event time in microseconds; a month is 30 days."""
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)/(hour|day|week|month)", re.ASCII)

_LEAST_PATIENCE = 100.0
"""Values for which a false alarm is allowed at the most often: what fewer show is no change."""


@dataclass(frozen=True, slots=True)
class Budget:
    """False alarms that a model is allowed: `alarms` for each `unit` of event time."""

    alarms: float
    unit: str

    @classmethod
    def parse(cls, text: object) -> "Budget":
        """Return the budget that `text` (`2/week`) says.

        Raises ValueError where it says none, or one that no threshold can keep.

        >>> Budget.parse("2/week")
        Budget(alarms=2.0, unit='week')
        """
        match = _BUDGET.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(
                f"{text!r} is no alert budget: write a number, a slash and hour, day, week or "
                "month, such as 2/week"
            )
        budget = cls(float(match[1]), match[2])
        if budget.alarms == 0:
            raise ValueError(
                f"{text!r} allows no false alarm ever, which no test can promise: allow a few, "
                "such as 1/month, or watch nothing with `detectors: []`"
            )
        if not 0 < budget.period < math.inf:
            raise ValueError(f"{text!r} is too large or too small a number")
        return budget

    def __str__(self) -> str:
        return f"{np.format_float_positional(self.alarms, trim='-')}/{self.unit}"

    def part(self, share: float) -> "Budget":
        """Return the part of this budget that a share of it is.

        >>> Budget.parse("2/week").part(0.25)
        Budget(alarms=0.5, unit='week')
        """
        return Budget(self.alarms * share, self.unit)

    @property
    def span(self) -> int:
        """Microseconds of event time that its unit lasts."""
        return _UNITS[self.unit]

    @property
    def period(self) -> float:
        """Event time, in microseconds, for which one false alarm is allowed."""
        return self.span / self.alarms

    @property
    def per_week(self) -> float:
        """False alarms allowed in a week of event time."""
        return _UNITS["week"] / self.period

    def in_unit(self, alarms: int, watched: int) -> float:
        """Return the rate of `alarms` in `watched` microseconds, per the budget's own unit."""
        return alarms * self.span / watched


def _validated(value: object) -> Budget:
    return value if isinstance(value, Budget) else Budget.parse(value)


AlertBudget = Annotated[
    Budget,
    BeforeValidator(_validated),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": rf"^{_BUDGET.pattern}$"}),
]
"""A budget among settings."""


def patience(budget: Budget, rate: float) -> float:
    """Return how many values a signal brings while one false alarm is allowed: at least 100.

    `rate` is in values per microsecond of event time. It is the run length of a signal that
    has the budget alone; one with the share w of it has patience / w.

    >>> patience(Budget.parse("2/week"), 100 / 1e6)
    30240000.0
    """
    return max(_LEAST_PATIENCE, budget.period * rate)


def shares(weights: Sequence[float], groups: int = 1) -> tuple[float, ...]:
    """Return the parts of the budget that signals of these weights, all above 0, have.

    They sum to 1 / `groups`: of a model that is divided, no group knows the signals of the
    others, and each has an equal part.

    >>> shares([1, 1, 2])
    (0.25, 0.25, 0.5)
    """
    whole = math.fsum(weights) * groups
    return tuple(weight / whole for weight in weights)


def e_bh(shares: Mapping[int, float]) -> set[int]:
    """Return which signals have changed, given each one's e-value over what it needs alone.

    With k the largest number such that the k-th largest share is at least 1 / k, these are
    the k with the largest (Wang and Ramdas 2022, with weights and level taken into the
    shares). One that is at least 1 is among them whatever the others are.

    >>> e_bh({0: 0.6, 1: 0.1, 2: 0.5}), e_bh({0: 0.6, 1: 0.1, 2: 0.4})
    ({0, 2}, set())
    """
    order = sorted(shares, key=lambda signal: -shares[signal])
    largest = max((k for k, signal in enumerate(order, 1) if shares[signal] * k >= 1), default=0)
    return set(order[:largest])
