"""What was found in a reference, with its figures, and the words that tell people."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from streamdrift.durations import DAY, SECOND


class Code(StrEnum):
    """What was found."""

    SHORT = "short"
    CONSTANT = "constant"
    PATTERN = "pattern"
    RISES = "rises"
    CYCLE = "cycle"
    CALENDAR = "calendar"
    MEMORY = "memory"
    ORDER = "order"
    NO_LEVEL = "no_level"
    SPREAD_CYCLE = "spread_cycle"
    CLUSTERED_SPREAD = "clustered_spread"
    STEP = "step"
    SLOW_CYCLES = "slow_cycles"
    PROVISIONAL = "provisional"
    REPEATS = "repeats"
    FOLLOWED = "followed"
    DISCOUNTED = "discounted"
    NOT_ASSURED = "not_assured"
    COMES_BACK = "comes_back"
    EXTRAPOLATED = "extrapolated"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATIONS = frozenset({"covered", "shown", "over"})
_UNITS = (
    ("days", DAY),
    ("hours", DAY // 24),
    ("minutes", DAY // 1440),
    ("seconds", SECOND),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was found; `figures` are those its words name."""

    code: Code
    figures: Mapping[str, float] = field(default_factory=dict)


def codes_of(findings: Iterable[tuple[str, Sequence[Finding]]]) -> tuple[tuple[str, str], ...]:
    """Return the kinds of findings of signals, given by their names: each once a signal."""
    return tuple(
        (name, code)
        for name, own in findings
        for code in sorted({finding.code.value for finding in own})
    )


@dataclass(frozen=True)
class Gathered:
    """A kind of finding: the signals that have it, and the words of the first one's."""

    code: Code
    signals: Sequence[str]
    words: str


_TRIFLES: Mapping[Code, tuple[str, float]] = {
    Code.CALENDAR: ("explained", 1.0),
    Code.CYCLE: ("amplitude", 0.05),
    Code.SPREAD_CYCLE: ("amplitude", 0.05),
}
"""Figures below which what was found, and is taken off, is not worth telling."""


def _is_trifle(finding: Finding) -> bool:
    figure, least = _TRIFLES.get(finding.code, ("", 0.0))
    return finding.figures.get(figure, math.inf) < least


def gather(findings: Iterable[tuple[str, Sequence[Finding]]]) -> list[Gathered]:
    """Return the kinds of findings of signals, given by their names, in the order of `Code`.

    Trifles are left out.
    """
    found: dict[Code, dict[str, Finding]] = {}
    for signal, own in findings:
        for finding in own:
            if _is_trifle(finding):
                continue
            found.setdefault(finding.code, {}).setdefault(signal, finding)
    return [
        Gathered(code, tuple(found[code]), in_words(next(iter(found[code].values()))))
        for code in Code
        if code in found
    ]


def told(findings: Iterable[tuple[str, Sequence[Finding]]], most: int = 3) -> list[str]:
    """Return a line for each kind of finding: its signals, `most` by name, and its words."""
    lines = []
    for each in gather(findings):
        names = ", ".join(each.signals[:most])
        more = len(each.signals) - most
        others = f" and {more:,} more" if more > 0 else ""
        first = f"for example {each.signals[0]}: " if len(each.signals) > 1 else ""
        lines.append(f"{names}{others}: {first}{each.words}")
    return lines


def in_words(finding: Finding) -> str:
    """Say a finding in one sentence, and what follows from it."""
    figures = {name: _figure(name, value) for name, value in finding.figures.items()}
    return _SENTENCES[finding.code].format(**figures)


def _figure(name: str, value: float) -> str:
    """Return a figure's text: those of times and durations are in microseconds."""
    if name == "until":
        moment = _EPOCH + timedelta(seconds=value // SECOND)
        return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    if name in _DURATIONS:
        unit, size = next((each for each in _UNITS if value >= 2 * each[1]), _UNITS[-1])
        return f"{_number(round(value / size, 1))} {unit}"
    return _number(value)


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
    Code.PATTERN: (
        "the same {period} values come again and again: any other, or one out of its place, is a "
        "change"
    ),
    Code.RISES: (
        "it only rises, or falls, as a counter, an identifier or a time does: it has no stable "
        "level, so the steps between its values are watched"
    ),
    Code.CYCLE: "a cycle of {period} values, {amplitude} sd up and down, is taken off",
    Code.CALENDAR: (
        "it follows the hour of the day and the day of the week, learnt from {days} days: "
        "{explained} % of its variance is taken off"
    ),
    Code.MEMORY: (
        "a value tells of the next (the weights of the past sum to {sum}): a lasting change of "
        "1 sd needs about {needed} values here"
    ),
    Code.ORDER: (
        "its levels follow each other in an order, which tells {share} % of them: how common they "
        "are is hardly watched, that they leave the order is"
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
    Code.PROVISIONAL: (
        "a provisional reference of {covered} is watched with until {until}: cycles of hours and "
        "days are unknown so far, so only changes that show within {shown} are found"
    ),
    Code.REPEATS: (
        "few of its values differ, in uneven steps: a daily or weekly rhythm cannot be taken off, "
        "and would be told as changes"
    ),
    Code.FOLLOWED: (
        "its level wanders in a way that the calendar does not explain: it is followed over about "
        "{over}, so only changes that show within {shown} are found"
    ),
    Code.DISCOUNTED: (
        "some dependence is left in the reference: evidence counts to the power {power}, so "
        "changes are found later"
    ),
    Code.NOT_ASSURED: (
        "the budget is not assured: in the reference itself, at a threshold for {expected}, "
        "{alarms} alarms were raised"
    ),
    Code.COMES_BACK: (
        "it changed and came back {times} times within {values} values, more often than the whole "
        "budget lets it: its evidence counts to the power {power} now, so what changes has to be "
        "larger, or to last longer"
    ),
    Code.EXTRAPOLATED: (
        "a detector is asked for a run length of {run_length} values, longer than it was measured "
        "at: its threshold is extrapolated, and false alarms may be more"
    ),
}
