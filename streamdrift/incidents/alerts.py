"""An incident's step as an alert: ids, and the data that is published."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from streamdrift.changes import Change, Effect, Estimate, Onset, Step, StepKind, Summary
from streamdrift.incidents.asked import Plan, Word
from streamdrift.incidents.sentences import (
    asked_sentence,
    describe,
    lasting_sentence,
    resolved_sentence,
    shortened,
    updated_sentence,
)
from streamdrift.incidents.severity import Severity, strength
from streamdrift.records import Alert, SignalKind
from streamdrift.times import rfc3339

_UNITS = {SignalKind.SILENCE: "s", SignalKind.EVENT_RATE: "events/s"}

MAX_SIGNALS = 50
"""Signals told in one alert, the strongest; the others are counted."""
MAX_PARTITIONS = 50
"""Partitions of an onset told; the others are counted."""


@dataclass(slots=True)
class Member:
    """A signal of an incident: the step by which it joined, and how it left."""

    step: Step
    together: int
    """How many signals it was told with by e-BH, itself included; 1 where it was enough alone."""
    left: StepKind | None = None
    """RETURNED, ACCEPTED or RESOLVED; None while it is changed."""

    @property
    def active(self) -> bool:
        """Whether it is still changed."""
        return self.left is None


def by_strength(steps: Iterable[Step]) -> list[Step]:
    """Return steps with a change strongest first, by ordinal where they are equally strong."""
    return sorted(steps, key=lambda step: (-strength(step), step.signal.ordinal))


def make_id(*parts: str | int | Sequence[int]) -> str:
    """Return a name of 32 hexadecimal digits, a function of `parts` alone."""
    return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Facts:
    """What every step of an incident tells of it."""

    id: str
    opened_at: int
    number: int
    """Of the step: 1 is the opening."""
    kind: str
    headline: str
    """What opened it, in a sentence."""
    severity: Severity
    together: int
    """How many signals opened it by e-BH; 1 where one was enough."""
    members: Sequence[Member]
    labels: Mapping[str, str]
    acknowledged: Word | None = None
    asked: Word | None = None
    """That it be resolved, or what changed be accepted."""
    expected: Plan | None = None
    """The planned change that it began in."""


def opened(facts: Facts, steps: Sequence[Step], due: int) -> Alert:
    """Return the alert of an incident that opens with `steps`, strongest first."""
    time = min(step.time for step in steps)
    return _alert(facts, "opened", steps, time, due, {"summary": facts.headline})


def updated(facts: Facts, steps: Sequence[Step], due: int, risen: bool) -> Alert:
    """Return the alert of an incident that `steps`, strongest first, have joined."""
    time = min(step.time for step in steps)
    sentence = updated_sentence(steps, facts.severity.label if risen else None)
    joined = [shortened(step.signal.name) for step in steps[:MAX_SIGNALS]]
    return _alert(
        facts,
        "updated",
        steps,
        time,
        due,
        {"summary": sentence, "joined": joined, "severity_rose": risen},
    )


def lasting(facts: Facts, due: int) -> Alert:
    """Return the alert of an incident that has lasted until `due`, and is graver for that."""
    steps = by_strength(member.step for member in facts.members if member.active)
    sentence = lasting_sentence(steps, due - facts.opened_at, facts.severity.label)
    told = {"summary": sentence, "joined": [], "severity_rose": True}
    return _alert(facts, "updated", steps, due, due, told)


def asked(facts: Facts, word: Word, due: int) -> Alert:
    """Return the alert of an incident of which an operator said something at `due`."""
    steps = by_strength(member.step for member in facts.members if member.active)
    told = {"summary": asked_sentence(steps, word), "joined": [], "severity_rose": False}
    return _alert(facts, "updated", steps, due, due, told)


def resolved(facts: Facts, time: int, due: int) -> Alert:
    """Return the alert of an incident that its last signal left at `time`."""
    left = {member.step.signal.ordinal: member.left for member in facts.members}
    steps = by_strength(member.step for member in facts.members)
    by_end = {
        end: found
        for end in _AS_TOLD
        if (found := [step for step in steps if left[step.signal.ordinal] is end])
    }
    told = {"summary": resolved_sentence(by_end), "resolution": resolution_of(by_end).value}
    return _alert(facts, "resolved", steps, time, due, told)


_AS_TOLD = (StepKind.RETURNED, StepKind.ACCEPTED, StepKind.RESOLVED)
"""How signals leave, in the order in which a sentence tells of them."""


def resolution_of(ends: Iterable[StepKind]) -> StepKind:
    """Return how an incident ended, by how its signals left it.

    It returned only where all of them did. ACCEPTED comes before the others: something is not
    what it was, which is what a retraining is started by.
    """
    found = frozenset(ends)
    before = (StepKind.ACCEPTED, StepKind.RESOLVED)
    return next((end for end in before if end in found), StepKind.RETURNED)


def _alert(
    facts: Facts, kind: str, steps: Sequence[Step], time: int, due: int, told: Mapping[str, object]
) -> Alert:
    model, version = steps[0].model, steps[0].version
    ordinals = sorted(step.signal.ordinal for step in steps)
    by_ordinal = {member.step.signal.ordinal: member for member in facts.members}
    members = by_strength(member.step for member in facts.members)
    told_signals = members[:MAX_SIGNALS]
    data = {
        "incident": facts.id,
        "step": facts.number,
        "severity": facts.severity.label,
        "kind": facts.kind,
        "headline": facts.headline,
        "model": model,
        "version": version,
        "opened_at": rfc3339(facts.opened_at),
        "rule": "alone" if facts.together == 1 else "together",
        "together": facts.together,
        "acknowledged": None if facts.acknowledged is None else facts.acknowledged.data(),
        "asked": None if facts.asked is None else facts.asked.data(),
        "expected": None if facts.expected is None else facts.expected.data(),
        **told,
        "signals": [_signal_data(by_ordinal[step.signal.ordinal]) for step in told_signals],
        "signals_left_out": len(members) - len(told_signals),
        "labels": dict(facts.labels),
    }
    return Alert(
        id=make_id(model, version, facts.opened_at, facts.number, kind, ordinals, time),
        type=kind,
        model=model,
        version=version,
        time=time,
        due=due,
        data=data,
    )


def _signal_data(member: Member) -> dict[str, object]:
    step = member.step
    signal, change = step.signal, step.change
    assert change is not None
    column = None if signal.column is None else signal.column.name
    return {
        "name": shortened(signal.name),
        "column": None if column is None else shortened(column),
        "kind": signal.kind.value,
        "alert_kind": signal.alert_kind.value,
        "segment": signal.segment,
        "changed_at": rfc3339(step.time),
        "detector": change.detector,
        **_figures(change),
        "before": _summary_data(change.before),
        "after": _summary_data(change.after),
        "onset": None if change.onset is None else _onset_data(change.onset),
        "text": describe(signal, change),
        "unit": _UNITS.get(signal.kind),
        "together": member.together,
        "active": member.active,
        "left": None if member.left is None else member.left.value,
    }


def _figures(change: Change) -> dict[str, object]:
    return {
        "statistic": _finite(change.statistic),
        "threshold": _finite(change.threshold),
        "effect": None if change.effect is None else _effect_data(change.effect),
        "share": _finite(change.share),
    }


def _effect_data(effect: Effect) -> dict[str, object]:
    return {
        "size": _finite(effect.size),
        "shift": _estimate_data(effect.shift),
        "spread": _estimate_data(effect.spread),
        "variation": _estimate_data(effect.variation),
    }


def _estimate_data(estimate: Estimate) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in estimate._asdict().items()}


def _summary_data(summary: Summary) -> dict[str, object]:
    data: dict[str, object] = {"mean": _finite(summary.mean)}
    if summary.quantiles:
        data["quantiles"] = {name: _finite(value) for name, value in summary.quantiles.items()}
    if summary.shares:
        data["shares"] = {shortened(name): _finite(value) for name, value in summary.shares.items()}
    return data


def _onset_data(onset: Onset) -> dict[str, object]:
    places = sorted(
        (topic, number, span)
        for topic, partitions in onset.offsets.items()
        for number, span in partitions.items()
    )
    offsets: dict[str, dict[str, list[int]]] = {}
    for topic, number, span in places[:MAX_PARTITIONS]:
        offsets.setdefault(topic, {})[str(number)] = list(span)
    return {
        "earliest": rfc3339(onset.earliest),
        "latest": rfc3339(onset.latest),
        "offsets": offsets,
        "partitions_left_out": max(0, len(places) - MAX_PARTITIONS),
    }


def _finite(value: float) -> float | None:
    """Return None for what JSON has no number for."""
    return value if math.isfinite(value) else None
