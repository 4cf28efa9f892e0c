"""What the API answers and takes: the types of its document."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    field_validator,
)

from streamdrift.durations import parse_duration
from streamdrift.operators import LONGEST_NAME, LONGEST_NOTE, NAME, NOTE

INCIDENT_EXAMPLE = "ff893b18349f82679f12b5522500f714"
SIGNAL_EXAMPLE = "fraud:3:feature:amount:value"
_TIME = "2026-11-21T12:00:00Z"


# None is what they are where they are absent, and no part of the document.
_Length = Annotated[
    int | None,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|h|d|w)\s*$"}),
]


def _check_time(given: object) -> object:
    """Refuse numbers, which could be seconds or milliseconds."""
    if not isinstance(given, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]", given):
        raise ValueError("write a time as RFC 3339 has it, such as 2026-11-21T12:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_check_time)]
"""A time in a request."""
_Time = Annotated[
    AwareDatetime | None,
    BeforeValidator(_check_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Unanswered(_Answer):
    """A worker whose part is missing in an answer."""

    instance: str = Field(description="Its name.", examples=["streamdrift-1"])
    shards: list[int] = Field(description="What is missing: the shards it has.", examples=[[3, 7]])
    reason: str = Field(description="Why it did not answer.", examples=["no answer within 3 s"])


class Page(_Answer):
    """What all pages have."""

    next: str | None = Field(
        None, description="Where the next page begins: its `after`. None at the end."
    )
    unanswered: list[Unanswered] = Field(
        [], description="Workers that did not answer: what they have is missing."
    )


class ModelVersion(_Answer):
    """A version of a model."""

    version: str = Field(examples=["3"])
    events: int = Field(description="Events seen.", examples=[30_000])
    last_event_at: datetime = Field(description="Event time of the last.", examples=[_TIME])
    watched: bool = Field(description="Whether its reference is complete.")
    reference_events: int = Field(description="Events of its reference so far.", examples=[10_000])
    reference_wanted: int = Field(description="Events it waits for.", examples=[10_000])
    signals: int = Field(description="Signals watched.", examples=[5])
    changed: int = Field(description="Signals that changed and are not back.", examples=[1])


class Model(_Answer):
    """A model."""

    id: str = Field(description="Its name as it stands in addresses.", examples=["fraud"])
    model: str = Field(description="Its name.", examples=["fraud"])
    alert_budget: str = Field(description="False alarms allowed.", examples=["2/week"])
    labels: dict[str, str] = Field(examples=[{"owner": "payments"}])
    open_incidents: int = Field(examples=[1])
    versions: list[ModelVersion] = Field(
        description="Those with the latest events first, 100 at most."
    )
    versions_left_out: int = Field(description="How many more there are.", examples=[0])


class Models(Page):
    """A page of models, by name."""

    items: list[Model]


class DetectorReading(_Answer):
    """How near a detector is to a decision."""

    detector: str = Field(examples=["e_detector"])
    statistic: float | None = Field(examples=[812.5])
    threshold: float | None = Field(
        description="The statistic at which the signal is said to have changed.",
        examples=[10_080_000.0],
    )


class SignalSummary(_Answer):
    """A signal: one numeric stream of a model version that can drift."""

    id: str = Field(examples=[SIGNAL_EXAMPLE])
    model: str = Field(examples=["fraud"])
    version: str = Field(description="Empty for the event rate.", examples=["3"])
    name: str = Field(examples=["amount"])
    kind: str = Field(examples=["value"])
    group: str | None = Field(description="What its column is in events.", examples=["feature"])
    column: str | None = Field(examples=["amount"])
    alert_kind: str = Field(description="What its drift is.", examples=["data_drift"])
    changed: bool = Field(description="Whether it changed and is not back.")
    readings: list[DetectorReading]


class Signals(Page):
    """A page of a model's signals, by their ids."""

    items: list[SignalSummary]


class Distribution(_Answer):
    """What a signal shows beside its reference, as shares of the same bins.

    Numbers have `edges`, one more than there are bins, of which the outer ones hold what lies
    beyond; levels and rates have `names`.
    """

    edges: list[float]
    logarithmic: bool = Field(description="Whether edges are evenly spaced by their logarithms.")
    names: list[str]
    reference: list[float]
    current: list[float]
    values: int = Field(description="How many values `current` is of.")
    since: datetime | None = Field(
        description="The event time of the change whose values `current` has; else the last ones."
    )


class IncidentSummary(_Answer):
    """An incident, as its latest alert has it."""

    id: str = Field(examples=[INCIDENT_EXAMPLE])
    model: str = Field(examples=["fraud"])
    version: str = Field(description="Empty for silence and event rate.", examples=["3"])
    state: Literal["open", "acknowledged", "resolved"]
    resolution: Literal["returned", "accepted", "resolved"] | None = Field(
        description="How it ended: `accepted` where at least one signal has a new normal; null "
        "while it lasts."
    )
    severity: Literal["info", "warning", "critical"]
    kind: str = Field(examples=["data_drift"])
    opened_at: datetime = Field(description="Event time of its opening.", examples=[_TIME])
    updated_at: datetime = Field(description="Event time of its latest step.", examples=[_TIME])
    expected: bool = Field(description="Whether it began while a change was expected.")
    headline: str = Field(
        description="What opened it.",
        examples=["amount of fraud/3 changed: median 20.27 -> 36.59 (effect +0.8 sd)"],
    )
    summary: str = Field(
        description="What its latest step is.",
        examples=["amount of fraud/3 is back at the reference"],
    )
    labels: dict[str, str] = Field(examples=[{"owner": "payments"}])


class Incidents(_Answer):
    """A page of incidents, that opened last first."""

    items: list[IncidentSummary]
    next: str | None = Field(
        None, description="Where the next page begins: its `after`. None at the end."
    )


class Incident(IncidentSummary):
    """An incident with all that its latest alert says."""

    alert: dict[str, Any] = Field(description="The alert, a CloudEvent.")


class SignalDetail(SignalSummary):
    """A signal, and what it shows."""

    findings: list[str] = Field(
        description="What is known of its reference.",
        examples=[["explained by a daily rhythm"]],
    )
    distribution: Distribution | None = Field(
        description="None of event rates, and where the column is private."
    )
    changes: list[IncidentSummary] = Field(
        description="The latest incidents it took part in, 20 at most."
    )


class Remark(_Asked):
    """Who asks, and why."""

    by: str = Field("", max_length=LONGEST_NAME, pattern=NAME, examples=["ada@example.com"])
    note: str = Field("", max_length=LONGEST_NOTE, pattern=NOTE, examples=["the new price list"])


class _OfAModel(Remark):
    new: StrictBool = Field(
        False, description="Whether the model has no event yet: else it must be known."
    )


class Withdrawal(_OfAModel):
    """All planned changes of a model are withdrawn."""


class Expectation(_OfAModel):
    """A planned change: incidents that begin in a stretch of event time page nobody."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"oneOf": [{"required": ["for"]}, {"required": ["until"]}]},
    )

    for_: _Length = Field(
        None, alias="for", description="How long, from `since` on.", examples=["2h"]
    )
    since: _Time = Field(None, description="Now, if not given.", examples=[_TIME])
    until: _Time = Field(
        None, description="In the place of `for`.", examples=["2026-11-21T14:00:00Z"]
    )

    @field_validator("for_", "since", "until", mode="before")
    @classmethod
    def _check_given(cls, given: object) -> object:
        if given is None:
            raise ValueError("leave it out, rather than to say null")
        return given


class Accepted(_Answer):
    """A command that the brokers have: it takes effect with the next commit."""

    command: str = Field(
        description="Its id: `command taken` in the log has it, and the commands topic.",
        examples=["5a9cccdd3c0357ff3eb1776a352a0a09"],
    )
    kind: str = Field(examples=["accept"])
    model: str = Field(examples=["fraud"])
    version: str = Field(examples=["3"])
    incident: str | None = Field(examples=[INCIDENT_EXAMPLE])
    since: datetime | None = Field(None, description="Of an expected change.")
    until: datetime | None = Field(None, description="Of an expected change.")


Configuration = Mapping[str, Any]
"""The settings in effect; secrets are hidden."""
