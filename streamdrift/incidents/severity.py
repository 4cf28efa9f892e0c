"""How grave a change is."""

import math
from enum import IntEnum

from streamdrift.changes import Step
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.records import SignalKind

TROUBLES = frozenset(
    {
        SignalKind.MISSING,
        SignalKind.TYPE_BREAK,
        SignalKind.UNSEEN,
        SignalKind.EMPTY,
        SignalKind.NULL_OUTPUT,
        SignalKind.FAILED,
        SignalKind.DUPLICATES,
    }
)
"""Signals that are the rate of something unwanted."""


_FACTORS = math.log(1.25), math.log(2)
_NO_EVENTS = 1e-9


class Severity(IntEnum):
    """`info`: look when there is time; `warning`: today; `critical`: now."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2

    @property
    def label(self) -> str:
        """How alerts write it."""
        return self.name.lower()


def severity_of(step: Step, settings: IncidentSettings) -> Severity:
    """Return how grave the change of a step is.

    Silence is critical. The event rate goes by the factor of its change, up or down: a warning
    from 1.25 on, critical from 2 on. The rate of a trouble goes by how far it rose (its fall is
    good news: info). Everything else goes by the size of its effect.
    """
    change = step.change
    assert change is not None
    if step.signal.kind is SignalKind.SILENCE:
        return Severity.CRITICAL
    if step.signal.kind is SignalKind.EVENT_RATE:
        before, after = max(change.before.mean, _NO_EVENTS), max(change.after.mean, _NO_EVENTS)
        return _grade(abs(math.log(after / before)), *_FACTORS)
    if step.signal.kind in TROUBLES:
        rise = change.after.mean - change.before.mean
        return _grade(rise, settings.warning_rate, settings.critical_rate)
    return _grade(strength(step), settings.warning_effect, settings.critical_effect)


def _grade(size: float, warning: float, critical: float) -> Severity:
    if size >= critical:
        return Severity.CRITICAL
    return Severity.WARNING if size >= warning else Severity.INFO


def strength(step: Step) -> float:
    """Return how large a step's change is all in all, 0 for silence."""
    assert step.change is not None
    return 0.0 if step.change.effect is None else step.change.effect.size
