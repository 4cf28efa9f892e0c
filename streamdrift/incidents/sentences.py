"""What an alert says to a person, in one sentence."""

import math
from collections.abc import Mapping, Sequence
from enum import Enum

from streamdrift.changes import REST, Change, Effect, Onset, Step, StepKind, Summary
from streamdrift.durations import format_duration
from streamdrift.incidents.asked import Word
from streamdrift.operators import Asked
from streamdrift.records import Signal, SignalKind
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
_OF_THE_MODEL = frozenset({SignalKind.NULL_OUTPUT, SignalKind.FAILED, SignalKind.DUPLICATES})
"""Rates of the version's calls, not of a column's cells."""

_TIMES = ((1, "a second"), (60, "a minute"), (3_600, "an hour"))
"""In which numbers of events are told: seconds, and their name."""

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


def lasting_sentence(steps: Sequence[Step], lasted: int, severity: str) -> str:
    """Return the sentence of an incident that `steps` are in, and have been for so long."""
    verb = "has" if len(steps) == 1 else "have"
    age = format_duration(lasted)
    place = _place(steps[0])
    return f"{_names(steps)} of {place} {verb} been off for {age}; severity rose to {severity}"


def resolved_sentence(steps: Mapping[StepKind, Sequence[Step]]) -> str:
    """Return the sentence of an incident that all its signals have left.

    `steps` are those by which they joined, strongest first, by how they left.
    """
    clauses: list[str] = []
    for end, those in steps.items():
        lead = those[0]
        if end is StepKind.RETURNED and all(
            step.signal.kind is SignalKind.SILENCE for step in those
        ):
            clauses.append(f"{lead.model} sends events again")
            continue
        place = "" if clauses else f" of {_place(lead)}"
        verb = "is" if len(those) == 1 else "are"
        clauses.append(f"{_names(those)}{place} {verb} {_ENDS[end]}")
    return "; ".join(clauses)


_ENDS: Mapping[StepKind, str] = {
    StepKind.RETURNED: "back at the reference",
    StepKind.ACCEPTED: "accepted as the new normal",
    StepKind.RESOLVED: "said to be mended, and watched again",
}


def asked_sentence(steps: Sequence[Step], word: Word) -> str:
    """Return the sentence of an operator's word on an incident of which `steps` are left."""
    names, lead = _names(steps), steps[0]
    if word.kind is Asked.ACKNOWLEDGE:
        return f"the change of {names} of {_place(lead)} is acknowledged{word.sentence()}"
    verb = "is" if len(steps) == 1 else "are"
    end = "to be accepted as the new normal"
    return f"{names} of {_place(lead)} {verb} {end}{word.sentence()}"


def describe(signal: Signal, change: Change) -> str:
    """Return how a signal changed, in the terms of its kind: `median 12.5 -> 40.1`."""
    before, after = change.before, change.after
    if signal.kind in _RATES:
        return f"{_RATES[signal.kind]} {_percent(before.mean)} -> {_percent(after.mean)}"
    if signal.kind is SignalKind.UNSEEN:
        return _describe_unseen(before, after)
    if signal.kind is SignalKind.SILENCE:
        return f"longest usual gap {_number(before.mean)} s, now over {_number(after.mean)} s"
    if signal.kind is SignalKind.EVENT_RATE:
        return _describe_events(before.mean, after.mean)
    if signal.kind is SignalKind.CATEGORY:
        return _describe_shares(change)
    return _describe_numbers(signal, change)


def _sentence(step: Step) -> str:
    change = step.change
    assert change is not None
    if step.signal.kind is SignalKind.SILENCE:
        since = "" if change.onset is None else f" since {_clock(change.onset.earliest)} UTC"
        return f"{step.model} has sent no events{since}: {describe(step.signal, change)}"
    effect = ""
    # Two percentages say it all; in deviations of a rate that was near 0, any rise is huge.
    says_itself = step.signal.kind in _RATES or step.signal.kind is SignalKind.UNSEEN
    if change.effect is not None and not says_itself:
        against = " against what was expected then" if _is_against(step.signal, change) else ""
        effect = f" ({_effect(step.signal.kind, change.effect)}{against})"
    began = "" if change.onset is None else f", began {_began(change.onset)}"
    verb = "changed"
    if step.signal.kind is SignalKind.EVENT_RATE:
        rose = (change.after.mean > change.before.mean) != _is_against(step.signal, change)
        verb = "rose" if rose else "fell"
    return f"{_subject(step)} {verb}: {describe(step.signal, change)}{effect}{began}"


def _is_against(signal: Signal, change: Change) -> bool:
    """Tell whether a level went one way as people see it, and the other against its rhythm."""
    effect, before, after = change.effect, change.before, change.after
    if effect is None or signal.kind is SignalKind.CATEGORY or _form(effect) is not _Form.LEVEL:
        return False
    moved = after.mean - before.mean
    if before.quantiles and after.quantiles:
        moved = after.quantiles["0.5"] - before.quantiles["0.5"]
    return moved * effect.shift.value < 0


class _Form(Enum):
    LEVEL = "level"
    SPREAD = "spread"
    SHAPE = "shape"


def _form(effect: Effect) -> _Form:
    """Return what of a distribution changed most.

    A ratio s of standard deviations is as easily seen as a shift of sqrt(2) |ln s| of them.
    """
    shift = abs(effect.shift.value)
    spread = math.sqrt(2) * abs(math.log(max(effect.spread.value, 1e-3)))
    if max(shift, spread) < effect.size / 2:
        return _Form.SHAPE
    return _Form.LEVEL if shift >= spread else _Form.SPREAD


def _effect(kind: SignalKind, effect: Effect) -> str:
    """Say the effect; of one that leaves the reference behind, that it is at least so large."""
    shift, spread = effect.shift, effect.spread
    form = _Form.SHAPE if kind is SignalKind.CATEGORY else _form(effect)
    if form is _Form.LEVEL:
        unknown = not math.isfinite(shift.high if shift.value > 0 else shift.low)
        return f"effect {shift.value:+.1f} sd" + (" or beyond" if unknown else "")
    if form is _Form.SPREAD:
        unknown = not math.isfinite(spread.high)
        return f"spread x{spread.value:.2g}" + (" or more" if unknown else "")
    return f"total variation {_percent(effect.variation.value)}"


def _subject(step: Step) -> str:
    """Return what people call the thing that changed, by its column where it has one."""
    signal, place = step.signal, _place(step)
    if signal.kind in _OF_THE_MODEL:
        return place + _where(signal)
    name = signal.name.removesuffix(f" ({signal.kind.value.replace('_', ' ')})")
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


def _describe_numbers(signal: Signal, change: Change) -> str:
    """Say in the column's own terms what changed, where they may be told and are known."""
    before, after, effect = change.before, change.after, change.effect
    assert effect is not None
    form, words = _form(effect), _MEDIANS.get(signal.kind, "median")
    told = None
    if before.quantiles and after.quantiles:
        old, new = before.quantiles["0.5"], after.quantiles["0.5"]
        told = _moved(words, _number(old), _number(new))
        if form is not _Form.LEVEL:
            told = _moved("middle 90 %", _range(before), _range(after))
        # Where few values differ, quantiles stay while the mean moves.
        if told is None and math.isfinite(before.mean) and math.isfinite(after.mean):
            means = _number(before.mean), _number(after.mean)
            told = _moved(words.replace("median", "mean"), *means)
    return told or f"its {form.value} is not what it was"


def _moved(words: str, old: str, new: str) -> str | None:
    return None if old == new else f"{words} {old} -> {new}"


def _range(summary: Summary) -> str:
    low, high = summary.quantiles["0.05"], summary.quantiles["0.95"]
    return f"{_number(low)} to {_number(high)}"


def _describe_shares(change: Change) -> str:
    before, after = change.before, change.after
    names = [*after.shares]  # Those that moved most, for what they were, come first.
    if not names:
        return "the shares of its categories are not what they were"
    return ", ".join(
        f"{_category(name)} {_percent(before.shares.get(name, 0))} -> "
        f"{_percent(after.shares[name])}"
        for name in names[:_NAMED]
    )


def _describe_events(before: float, after: float) -> str:
    """Say two numbers of events a second, or in the time in which there is one at least.

    >>> _describe_events(100.0, 152.34), _describe_events(0.02, 0.05)
    ('100 -> 152 a second', '1.2 -> 3 a minute')
    """
    most = max(before, after)
    seconds, unit = next((each for each in _TIMES if most * each[0] >= 1), _TIMES[-1])
    return f"{before * seconds:.3g} -> {after * seconds:.3g} {unit}"


def _describe_unseen(before: Summary, after: Summary) -> str:
    # Where rare ones are not told apart, those to come are among them.
    which = "rare or new to it" if REST in before.shares else "new to it"
    rate = f"categories {which} {_percent(before.mean)} -> {_percent(after.mean)}"
    new = [name for name, share in after.shares.items() if share and name not in before.shares]
    new = new[:_NAMED]
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
