"""What was found in a reference, with its figures, and the words that tell people."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """What was found."""

    SHORT = "short"
    CONSTANT = "constant"
    CYCLE = "cycle"
    CALENDAR = "calendar"
    MEMORY = "memory"
    NO_LEVEL = "no_level"
    SPREAD_CYCLE = "spread_cycle"
    CLUSTERED_SPREAD = "clustered_spread"
    STEP = "step"
    SLOW_CYCLES = "slow_cycles"
    DISCOUNTED = "discounted"
    NOT_ASSURED = "not_assured"


@dataclass(frozen=True)
class Finding:
    """One thing that was found; `figures` are those its words name."""

    code: Code
    figures: Mapping[str, float] = field(default_factory=dict)


def in_words(finding: Finding) -> str:
    """Say a finding in one sentence, and what follows from it."""
    figures = {name: _number(value) for name, value in finding.figures.items()}
    return _SENTENCES[finding.code].format(**figures)


def _number(value: float) -> str:
    """Return a number with three digits at least, whole from 100 on."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


_SENTENCES: Mapping[Code, str] = {
    Code.SHORT: (
        "the reference holds {values} values: with fewer than {needed} its cycles and its memory "
        "are known too roughly to assure the budget of a signal that has any"
    ),
    Code.CONSTANT: "the reference holds one value only: any other is a change",
    Code.CYCLE: "a cycle of {period} values, {amplitude} sd up and down, is taken off",
    Code.CALENDAR: (
        "it follows the hour of the day and the day of the week, learnt from {days} days: "
        "{explained} % of its variance is taken off"
    ),
    Code.MEMORY: (
        "a value tells of the next (the weights of the past sum to {sum}): a lasting change of "
        "1 sd needs about {needed} values here"
    ),
    Code.NO_LEVEL: (
        "no stable level in the reference: it wanders or contains a change; only jumps out of the "
        "noise and changes of spread are watched"
    ),
    Code.SPREAD_CYCLE: "its spread has a cycle of {period} values, which is divided out",
    Code.CLUSTERED_SPREAD: (
        "large deviations come in clusters: the spread that the recent past lets expect is divided "
        "out, so lasting changes of spread are found late or learnt as clustering"
    ),
    Code.STEP: (
        "the reference contains a step of {size} sd after {left_out} values; only the "
        "{kept} values after it are kept"
    ),
    Code.SLOW_CYCLES: ("cycles slower than {period} values, a fifth of the reference, are unknown"),
    Code.DISCOUNTED: (
        "some dependence is left in the reference: evidence counts to the power {power}, so "
        "changes are found later"
    ),
    Code.NOT_ASSURED: (
        "the budget is not assured: the reference itself still raised {alarms} alarms where about "
        "{expected} were expected"
    ),
}
