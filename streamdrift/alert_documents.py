"""Published alerts as their readers have them: the document, and what it says of its incident."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from streamdrift.errors import InputError
from streamdrift.times import microseconds
from streamdrift.validation import first_mistake

SEVERITIES = ("info", "warning", "critical")
"""From the least to the gravest."""

Severity = Literal["info", "warning", "critical"]
Type = Literal["opened", "updated", "resolved"]
_TYPES: Mapping[str, Type] = {
    "io.streamdrift.incident.opened.v1": "opened",
    "io.streamdrift.incident.updated.v1": "updated",
    "io.streamdrift.incident.resolved.v1": "resolved",
}

Resolution = Literal["returned", "accepted", "resolved"]

_PATTERN = "^(" + "|".join(_TYPES).replace(".", r"\.") + ")$"


class _Data(BaseModel):
    incident: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    step: Annotated[int, Field(ge=1)]
    severity: Severity
    kind: str
    model: str
    version: str
    opened_at: AwareDatetime
    headline: str
    summary: str
    labels: Mapping[str, str] = {}
    expected: object = None
    acknowledged: object = None
    resolution: Resolution | None = None


class _Signal(BaseModel):
    name: str
    changed_at: AwareDatetime


class _Event(BaseModel):
    id: str
    type: Annotated[str, Field(pattern=_PATTERN)]
    source: str
    time: AwareDatetime
    data: _Data


@dataclass(frozen=True, slots=True)
class Published:
    """An alert as it was published, which says how its incident stands from then on.

    Times are in microseconds since the epoch: `opened_at` and `time`, that of this step, are of
    the events, `published_at` is the clock's.
    """

    id: str
    type: Type
    deployment: str
    incident: str
    step: int
    """1 is the opening."""
    model: str
    version: str
    """Empty where the incident is the model's own: silence, event rate."""
    kind: str
    severity: Severity
    opened_at: int
    time: int
    published_at: int
    headline: str
    """What opened the incident."""
    summary: str
    """What this alert says."""
    labels: Mapping[str, str]
    expected: bool
    """Whether it began while a change was expected: then it pages nobody."""
    acknowledged: bool
    """Whether somebody looks after it."""
    resolution: Resolution | None
    """How it ended; None while it lasts."""
    document: bytes
    """The CloudEvent, as JSON."""

    @property
    def is_open(self) -> bool:
        """Whether the incident lasts."""
        return self.type != "resolved"

    @property
    def subject(self) -> str:
        """The model version, or the model, as people write it."""
        return f"{self.model}/{self.version}" if self.version else self.model

    @property
    def changed_until(self) -> int:
        """The event time of the last change that the alert tells of."""
        return max([self.time, *(microseconds(each.changed_at) for each in self._signals())])

    def names(self, signal: str) -> bool:
        """Tell whether the alert names a signal."""
        return any(each.name == signal for each in self._signals())

    def _signals(self) -> Iterator[_Signal]:
        """Yield the signals of the alert; what is none, and somebody else wrote, is left out."""
        signals = self.event()["data"].get("signals")
        for each in signals if isinstance(signals, list) else ():
            with suppress(ValidationError):
                yield _Signal.model_validate(each)

    def event(self) -> dict[str, Any]:
        """Return the CloudEvent as an object."""
        event: dict[str, Any] = orjson.loads(self.document)
        return event


def signal_lines(data: Mapping[str, Any], most: int) -> list[str]:
    """Return what changed, a line for each of the strongest signals, and how many more there are.

    `data` is an event's.
    """
    signals: Sequence[Mapping[str, Any]] = data.get("signals") or ()
    lines = [
        f"{each['name']}: {each['text']}" if each.get("text") else str(each["name"])
        for each in signals[:most]
    ]
    more = len(signals) - len(lines) + int(data.get("signals_left_out") or 0)
    return lines + ([f"and {more} more"] if more else [])


def read_alert(document: bytes, published_at: int) -> Published:
    """Return what a record of the alerts or incidents topic says.

    Raises InputError where it is no alert: somebody else wrote to the topic.
    """
    try:
        event = _Event.model_validate_json(document)
    except ValidationError as error:
        raise InputError(
            f"no alert: {first_mistake(error, 'the record')}",
            "let nothing else write to alerts.topic and alerts.incidents",
        ) from error
    data = event.data
    return Published(
        id=event.id,
        type=_TYPES[event.type],
        deployment=event.source,
        incident=data.incident,
        step=data.step,
        model=data.model,
        version=data.version,
        kind=data.kind,
        severity=data.severity,
        opened_at=microseconds(data.opened_at),
        time=microseconds(event.time),
        published_at=published_at,
        headline=data.headline,
        summary=data.summary,
        labels=data.labels,
        expected=data.expected not in (None, False),
        acknowledged=data.acknowledged not in (None, False),
        resolution=data.resolution,
        document=document,
    )
