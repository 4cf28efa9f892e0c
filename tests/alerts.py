"""Steps and alerts for tests."""

from collections.abc import Mapping
from typing import Any

import orjson

from streamdrift.changes import Change, Effect, Estimate, Onset, Step, StepKind, Summary
from streamdrift.records import Alert, AlertKind, ColumnKey, Group, Signal, SignalKind
from streamdrift.sinks.cloudevents import encode
from streamdrift.times import rfc3339

SECOND = 1_000_000
NOON = 1_795_262_400 * SECOND
"""2026-11-21T12:00:00Z."""


def make_signal(
    ordinal: int = 0,
    name: str = "amount",
    kind: SignalKind = SignalKind.VALUE,
    alert_kind: AlertKind = AlertKind.DATA_DRIFT,
    segment: str | None = None,
) -> Signal:
    column = None if kind is SignalKind.SILENCE else ColumnKey(Group.FEATURE, name)
    shown = name if kind is SignalKind.VALUE else f"{name} ({kind.value})"
    return Signal(ordinal, shown, column, kind, alert_kind, segment)


def make_effect(shift: float = 0.8, spread: float = 1.0, variation: float = 0.0) -> Effect:
    """Return an effect of these sizes, each known exactly."""
    return Effect(*(Estimate(size, size, size) for size in (shift, spread, variation)))


def make_change(
    effect: float | Effect | None = 0.8,
    before: Summary | None = None,
    after: Summary | None = None,
    onset: Onset | None = None,
    share: float = 1.0,
) -> Change:
    return Change(
        detector="adwin",
        statistic=12.0,
        threshold=10.0,
        effect=make_effect(effect) if isinstance(effect, float | int) else effect,
        before=before or Summary(0.5, {"0.05": 1.0, "0.5": 12.5, "0.95": 40.0}),
        after=after or Summary(0.5, {"0.05": 2.0, "0.5": 40.1, "0.95": 90.0}),
        onset=onset,
        share=share,
    )


def changed(
    time: int,
    signal: Signal | None = None,
    change: Change | None = None,
    model: str = "fraud",
    version: str = "3",
) -> Step:
    return Step(
        StepKind.CHANGED, model, version, signal or make_signal(), time, change or make_change()
    )


def candidate(
    time: int, signal: Signal, share: float, model: str = "fraud", version: str = "3"
) -> Step:
    return Step(StepKind.CANDIDATE, model, version, signal, time, make_change(share=share))


def left(
    time: int,
    signal: Signal | None = None,
    kind: StepKind = StepKind.RETURNED,
    model: str = "fraud",
    version: str = "3",
) -> Step:
    return Step(kind, model, version, signal or make_signal(), time)


def make_alert(
    number: int = 1,
    model: str = "fraud",
    version: str = "3",
    data: Mapping[str, object] | None = None,
) -> Alert:
    return Alert(
        id=f"{number:032x}",
        type="opened",
        model=model,
        version=version,
        time=NOON + number,
        due=NOON + number + SECOND,
        data=data
        if data is not None
        else {"summary": "amount of fraud/3 changed", "incident": "a" * 32},
    )


def make_document(
    incident: int = 1,
    step: int = 1,
    kind: str = "opened",
    *,
    model: str = "fraud",
    version: str = "3",
    severity: str = "warning",
    opened_at: int = NOON,
    time: int | None = None,
    **more: Any,
) -> bytes:
    """Return an alert as its topic has it; `more` are entries of its data."""
    data = {
        "incident": f"{incident:032x}",
        "step": step,
        "severity": severity,
        "kind": "data_drift",
        "model": model,
        "version": version,
        "opened_at": rfc3339(opened_at),
        "headline": f"amount of {model}/{version} changed",
        "summary": f"amount of {model}/{version} changed",
        "signals": [],
        "labels": {},
    }
    alert = Alert(
        id=f"{1000 * incident + step:032x}",
        type=kind,
        model=model,
        version=version,
        time=opened_at + (step - 1) * SECOND if time is None else time,
        due=opened_at,
        data=data | more,
    )
    return orjson.dumps(encode(alert, "streamdrift"))
