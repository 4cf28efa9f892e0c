"""One incident, and what was told of a model, as they are remembered."""

from dataclasses import dataclass, field

from streamdrift.changes import Step, StepKind
from streamdrift.incidents.alerts import Member
from streamdrift.incidents.asked import Plan, Word, plan_state, read_plan, read_word, word_state
from streamdrift.incidents.gate import Subject
from streamdrift.incidents.severity import Severity
from streamdrift.incidents.steps import read_step, step_state
from streamdrift.records import State, StateValue
from streamdrift.trees import (
    flag,
    integer,
    optional_integer,
    optional_text,
    optional_tree,
    text,
    tree,
    trees,
)


@dataclass(slots=True)
class Incident:
    """One subject's trouble, from the first change to the last return."""

    opened_at: int
    id: str = ""
    """Empty until it is published as opened; so are `kind` and `headline`."""
    kind: str = ""
    headline: str = ""
    """What opened it, in a sentence."""
    told: int = 0
    """Steps published."""
    together: int = 1
    """How many signals opened it by e-BH; 1 where one was enough."""
    severity: Severity = Severity.INFO
    members: dict[int, Member] = field(default_factory=dict)
    """By the signal's ordinal: all that ever joined."""
    gathered: dict[int, Step] = field(default_factory=dict)
    """By the signal's ordinal: changes to be told at `due`."""
    due: int | None = None
    """When what is gathered is told; all and only incidents with something gathered have it."""
    graver_at: int | None = None
    """When it will have lasted so long that its severity rises."""
    left_at: int = 0
    """When the last signal left."""
    acknowledged: Word | None = None
    asked: Word | None = None
    """That it be resolved, or what changed be accepted."""
    expected: Plan | None = None
    """The planned change that it began in."""

    @property
    def over(self) -> bool:
        return not any(member.active for member in self.members.values())


@dataclass(slots=True)
class Count:
    """What was told of a model so far."""

    alerts: int = 0
    opened: int = 0
    """Incidents that were opened by tests, which the budget is for."""
    joined: int = 0
    """Changes that joined one later."""
    silences: int = 0
    """Those that were opened by silence."""


def incident_state(key: Subject, incident: Incident) -> dict[str, StateValue]:
    """Return an incident, and whose it is, as a tree."""
    return {
        "model": key[0],
        "version": key[1],
        "of_model": key[2],
        "opened_at": incident.opened_at,
        "id": incident.id,
        "kind": incident.kind,
        "headline": incident.headline,
        "told": incident.told,
        "together": incident.together,
        "severity": incident.severity.label,
        "members": [
            {
                "step": step_state(member.step),
                "together": member.together,
                "left": None if member.left is None else member.left.value,
            }
            for _, member in sorted(incident.members.items())
        ],
        "gathered": [step_state(step) for _, step in sorted(incident.gathered.items())],
        "due": incident.due,
        "graver_at": incident.graver_at,
        "left_at": incident.left_at,
        "acknowledged": word_state(incident.acknowledged),
        "asked": word_state(incident.asked),
        "expected": None if incident.expected is None else plan_state(incident.expected),
    }


def count_state(model: str, count: Count) -> dict[str, StateValue]:
    """Return what was told of a model as a tree."""
    return {
        "model": model,
        "alerts": count.alerts,
        "opened": count.opened,
        "joined": count.joined,
        "silences": count.silences,
    }


def read_count(state: State) -> Count:
    """Return what `count_state` wrote."""
    return Count(
        integer(state, "alerts"),
        integer(state, "opened"),
        integer(state, "joined"),
        integer(state, "silences"),
    )


def _read_member(state: State) -> Member:
    left = optional_text(state, "left")
    return Member(
        read_step(tree(state, "step")),
        integer(state, "together"),
        None if left is None else StepKind(left),
    )


def read_incident(state: State) -> tuple[Subject, Incident]:
    """Return what `incident_state` wrote."""
    key = text(state, "model"), text(state, "version"), flag(state, "of_model")
    members = [_read_member(member) for member in trees(state, "members")]
    gathered = [read_step(step) for step in trees(state, "gathered")]
    expected = optional_tree(state, "expected")
    incident = Incident(
        opened_at=integer(state, "opened_at"),
        id=text(state, "id"),
        kind=text(state, "kind"),
        headline=text(state, "headline"),
        told=integer(state, "told"),
        together=integer(state, "together"),
        severity=Severity[text(state, "severity").upper()],
        members={member.step.signal.ordinal: member for member in members},
        gathered={step.signal.ordinal: step for step in gathered},
        due=optional_integer(state, "due"),
        graver_at=optional_integer(state, "graver_at"),
        left_at=integer(state, "left_at"),
        acknowledged=read_word(optional_tree(state, "acknowledged")),
        asked=read_word(optional_tree(state, "asked")),
        expected=None if expected is None else read_plan(expected),
    )
    return key, incident
