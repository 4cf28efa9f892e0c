"""What is injected into the demo's traffic, when, and which signals each injection touches."""

from dataclasses import dataclass
from typing import NamedTuple

from streamdrift.records import SignalKind

FRAUD = "fraud"
DELIVERY = "delivery-time"

_WARM_UP = 0.13
"""Share of the demo in which references form and nothing is injected."""
_ACTIVE = 0.38
"""Share of the time between two injections on a model in which the first is in effect."""


class Touched(NamedTuple):
    """A signal that an injection changes: its column (empty for silence) and its kind."""

    column: str
    kind: SignalKind


@dataclass(frozen=True, slots=True)
class Injection:
    """A change of one model's events from `begin` to `end` (seconds since the start).

    `touched` holds the signals it may change; the first is the one that must be found.
    Until `over` the model recovers, and nothing else is injected into it.
    """

    name: str
    model: str
    touched: tuple[Touched, ...]
    begin: float
    end: float
    over: float


_FRAUD = (
    (
        "sudden mean shift",
        (Touched("amount", SignalKind.VALUE),),
    ),
    ("wider spread", (Touched("velocity", SignalKind.VALUE),)),
    (
        "new category",
        (Touched("country", SignalKind.UNSEEN), Touched("country", SignalKind.CATEGORY)),
    ),
    ("type break", (Touched("account_days", SignalKind.TYPE_BREAK),)),
    (
        "score shift",
        (
            Touched("score", SignalKind.VALUE),
            Touched("label", SignalKind.CATEGORY),
        ),
    ),
)
_DELIVERY = (
    (
        "gradual mean shift",
        (Touched("distance_km", SignalKind.VALUE),),
    ),
    ("category shift", (Touched("vehicle", SignalKind.CATEGORY),)),
    ("missing values", (Touched("temperature", SignalKind.MISSING),)),
    ("null outputs", (Touched("null", SignalKind.NULL_OUTPUT),)),
    ("traffic stop", (Touched("", SignalKind.SILENCE),)),
)


def schedule(seconds: float) -> tuple[Injection, ...]:
    """Return the ten injections of a demo of that length, in the order of their begin.

    Those of the two models take turns, half an interval apart.
    """
    first = _WARM_UP * seconds
    interval = (0.96 * seconds - first) / (len(_FRAUD) + 0.5)
    injections = []
    for model, kinds, shift in ((FRAUD, _FRAUD, 0.0), (DELIVERY, _DELIVERY, 0.5)):
        for place, (name, touched) in enumerate(kinds):
            begin = first + (place + shift) * interval
            end = begin + _ACTIVE * interval
            injections.append(Injection(name, model, touched, begin, end, begin + interval))
    return tuple(sorted(injections, key=lambda injection: injection.begin))
