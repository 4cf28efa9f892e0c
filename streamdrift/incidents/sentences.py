"""What an alert says to a person, in one sentence."""

import math
from collections.abc import Mapping, Sequence

from streamdrift.records import Change, Onset, Signal, SignalKind, Step, StepKind, Summary
from streamdrift.times import date_of

_NAMED = 3
"""Signals, or categories, named one by one; of more, the rest is counted."""

_MEDIANS: Mapping[SignalKind, str] = {
    SignalKind.VALUE: "median",
    SignalKind.LENGTH: "median length",
    SignalKind.NORM: "median norm",
    SignalKind.DISTANCE: "median distance from the reference's centre",
}
_RATES: Mapping[SignalKind, str] = {
    SignalKind.MISSING: "missing",
    SignalKind.TYPE_BREAK: "values of another type",
    SignalKind.EMPTY: "empty",
    SignalKind.RATE: "true",
    SignalKind.NULL_OUTPUT: "null outputs",
    SignalKind.FAILED: "failed calls",
    SignalKind.DUPLICATES: "repeated events",
}
_REFERENCE_RANK = 0.5
"""Mean rank of a reference's values within it."""
_OF_THE_MODEL = frozenset({SignalKind.NULL_OUTPUT, SignalKind.FAILED, SignalKind.DUPLICATES})
"""Rates of the version's calls, not of a column's cells."""

_LONGEST_NAME = 200


def shortened(name: str) -> str:
    """Return a name, cut where it is too long to be told: it may be as long as an event."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def opened_sentence(steps: Sequence[Step]) -> str:
    """Return the sentence of an incident that opens with `steps`, strongest first."""
    lead, others = steps[0], steps[1:]
    return _sentence(lead) + _further(others, "further signal", "moved with it")


def updated_sentence(steps: Sequence[Step], severity: str | None) -> str:
    """Return the sentence of an incident that `steps` join, strongest first.

    `severity` is what it rose to by that, None where it did not.
    """
    lead, others = steps[0], steps[1:]
    rise = "" if severity is None else f"; severity rose to {severity}"
    joined = _further(others, "further signal", "joined with it")
    return f"{_sentence(lead)}, joining an open incident{joined}{rise}"


def resolved_sentence(steps: Sequence[Step], resolution: StepKind) -> str:
    """Return the sentence of an incident whose signals, those of `steps`, have all left it."""
    lead = steps[0]
    if lead.signal.kind is SignalKind.SILENCE:
        return f"{lead.model} sends events again"
    names = _names(steps)
    verb = "is" if len(steps) == 1 else "are"
    end = "back at the reference"
    if resolution is StepKind.ACCEPTED:
        end = "accepted as the new normal"
    return f"{names} of {_place(lead)} {verb} {end}"


def describe(signal: Signal, change: Change) -> str:
    """Return how a signal changed, in the terms of its kind: `median 12.5 -> 40.1`."""
    before, after = change.before, change.after
    if signal.kind in _RATES:
        return f"{_RATES[signal.kind]} {_percent(before.mean)} -> {_percent(after.mean)}"
    if signal.kind is SignalKind.UNSEEN:
        return _describe_unseen(before, after)
    if signal.kind is SignalKind.SILENCE:
        return f"longest usual gap {_number(before.mean)} s, now over {_number(after.mean)} s"
    if _began_elsewhere(before, after):
        return _describe_rank(before, after)
    if signal.kind is SignalKind.CATEGORY:
        return _describe_shares(before, after)
    if signal.kind is SignalKind.SPREAD:
        return _describe_spread(before, after)
    return _describe_median(_MEDIANS.get(signal.kind, "median"), before, after)


def _sentence(step: Step) -> str:
    change = step.change
    assert change is not None
    if step.signal.kind is SignalKind.SILENCE:
        since = "" if change.onset is None else f" since {_clock(change.onset.earliest)} UTC"
        return f"{step.model} has sent no events{since}: {describe(step.signal, change)}"
    effect = ""
    # Two percentages say it all; in deviations of a rate that was near 0, any rise is huge.
    says_itself = step.signal.kind in _RATES or step.signal.kind is SignalKind.UNSEEN
    if math.isfinite(change.effect) and not says_itself:
        effect = f" (effect {change.effect:+.1f} sd)"
    began = "" if change.onset is None else f", began {_began(change.onset)}"
    return f"{_subject(step)} changed: {describe(step.signal, change)}{effect}{began}"


def _subject(step: Step) -> str:
    """Return what people call the thing that changed, by its column where it has one."""
    signal, place = step.signal, _place(step)
    if signal.kind in _OF_THE_MODEL:
        return place + _where(signal)
    name = signal.name.removesuffix(f" ({signal.kind.value.replace('_', ' ')})")
    if signal.kind is SignalKind.SPREAD:
        name = f"spread of {name}"
    return f"{shortened(name)} of {place}{_where(signal)}"


def _place(step: Step) -> str:
    return f"{step.model}/{step.version}" if step.version else step.model


def _further(steps: Sequence[Step], noun: str, verb: str) -> str:
    if not steps:
        return ""
    count = f"{len(steps)} {noun}" + ("s" if len(steps) > 1 else "")
    return f"; {count} {verb}: {_names(steps)}"


def _names(steps: Sequence[Step]) -> str:
    named = [shortened(step.signal.name) + _where(step.signal) for step in steps[:_NAMED]]
    rest = len(steps) - len(named)
    if rest:
        return f"{', '.join(named)} and {rest} more"
    return " and ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else named[0]


def _where(signal: Signal) -> str:
    return "" if signal.segment is None else f" where {signal.segment}"


def _began_elsewhere(before: Summary, after: Summary) -> bool:
    """Tell whether a ranked signal's change did not begin near its reference.

    Means, and the effect, are of what the detector compared; quantiles and shares before the
    change are the reference's. A detector that starts anew amid a change compares that with
    what follows: the two then differ, and may even move in opposite directions.
    """
    return abs(before.mean - _REFERENCE_RANK) > abs(after.mean - before.mean) / 2


def _describe_median(words: str, before: Summary, after: Summary) -> str:
    if "0.5" in before.quantiles and "0.5" in after.quantiles:
        return f"{words} {_number(before.quantiles['0.5'])} -> {_number(after.quantiles['0.5'])}"
    return _describe_rank(before, after)


def _describe_spread(before: Summary, after: Summary) -> str:
    if {"0.05", "0.95"} <= before.quantiles.keys() & after.quantiles.keys():
        return f"middle 90 % {_range(before)} -> {_range(after)}"
    return _describe_rank(before, after)


def _range(summary: Summary) -> str:
    low, high = summary.quantiles["0.05"], summary.quantiles["0.95"]
    return f"{_number(low)} to {_number(high)}"


def _describe_rank(before: Summary, after: Summary) -> str:
    return f"mean rank in the reference {before.mean:.2f} -> {after.mean:.2f}"


def _describe_shares(before: Summary, after: Summary) -> str:
    names = sorted(
        {*before.shares, *after.shares},
        key=lambda name: (-abs(after.shares.get(name, 0) - before.shares.get(name, 0)), name),
    )
    if not names:
        return _describe_rank(before, after)
    return ", ".join(
        f"{_category(name)} {_percent(before.shares.get(name, 0))} -> "
        f"{_percent(after.shares.get(name, 0))}"
        for name in names[:_NAMED]
    )


def _describe_unseen(before: Summary, after: Summary) -> str:
    rate = f"categories new to it {_percent(before.mean)} -> {_percent(after.mean)}"
    new = [name for name in after.shares if name not in before.shares][:_NAMED]
    return f"{rate} (such as {', '.join(map(_category, new))})" if new else rate


def _category(name: str) -> str:
    """Return a category's name, quoted, and cut where it would fill the sentence."""
    return f"'{name}'" if len(name) <= 40 else f"'{name[:39]}…'"


def _number(value: float) -> str:
    """Return four significant digits, without an exponent where that reads better.

    >>> _number(12.5), _number(1234567.0), _number(0.00001234)
    ('12.5', '1234567', '1.234e-05')
    """
    if math.isfinite(value) and 1e4 <= abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.4g}"


def _percent(rate: float) -> str:
    """Return a rate in per cent, two significant digits where it is small.

    >>> _percent(0.012), _percent(0.14), _percent(0.0)
    ('1.2 %', '14 %', '0 %')
    """
    percent = 100 * rate
    return f"{percent:.0f} %" if abs(percent) >= 10 else f"{percent:.2g} %"


def _clock(time: int) -> str:
    return f"{date_of(time):%Y-%m-%d %H:%M:%S}"


def _began(onset: Onset) -> str:
    earliest, latest = _clock(onset.earliest), _clock(onset.latest)
    if earliest == latest:
        return f"at {earliest} UTC"
    if earliest[:10] == latest[:10]:
        latest = latest[11:]
    return f"between {earliest} and {latest} UTC"
