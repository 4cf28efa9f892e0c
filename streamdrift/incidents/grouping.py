"""Which changes belong together: one incident per model version at a time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from streamdrift.incidents.alerts import (
    Facts,
    Member,
    by_strength,
    lasting,
    make_id,
    opened,
    resolved,
    updated,
)
from streamdrift.incidents.gate import Gate, Subject, Told, subject_of
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.incidents.severity import Severity, severity_of
from streamdrift.incidents.steps import read_step, step_state
from streamdrift.records import Alert, SignalKind, State, StateValue, Step, StepKind
from streamdrift.trees import flag, integer, optional_integer, text, tree, trees


@dataclass(slots=True)
class _Incident:
    """One subject's trouble, from the first change to the last return."""

    opened_at: int
    id: str = ""
    """Empty until it is published as opened; so is `kind`."""
    kind: str = ""
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
    resolution: StepKind = StepKind.RETURNED
    """When and how the last signal left."""

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


class Incidents:
    """Groups the steps of signals into incidents, and incidents' steps into alerts.

    The first change of a model version, of a signal by itself or of several together (see
    `gate`), opens an incident. What changes within `gather` of it is told with it, at the
    end of that time; later changes join in the same way. When no signal is changed any more
    the incident is resolved; where it lasts, its severity rises by one. Alerts are a function of
    the steps alone: a step counts once
    the watermark is above its time, when no further step can have that time, so it does not
    matter which call brought it.
    """

    def __init__(
        self,
        settings_of: Callable[[str], IncidentSettings],
        labels_of: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._settings_of = settings_of
        self._labels_of = labels_of
        self._waiting: list[Step] = []
        """Steps at or above the last watermark."""
        self._incidents: dict[Subject, _Incident] = {}
        self._gate = Gate()
        self._counts: dict[str, Count] = {}
        """By model."""

    def observe(
        self,
        steps: Sequence[Step],
        watermark: int,
        behind: Mapping[str, int] = MappingProxyType({}),
    ) -> tuple[Alert, ...]:
        """Return the alerts that are due below `watermark`, by (due, model, version, step).

        `steps` come in any order, but those of one signal in theirs; none that a later
        call brings may have a time below `watermark`. Models that are `behind` have lower
        watermarks of their own.
        """

        def is_past(model: str, time: int) -> bool:
            return time < behind.get(model, watermark)

        self._waiting += steps
        ready = [step for step in self._waiting if is_past(step.model, step.time)]
        if ready:
            self._waiting = [step for step in self._waiting if not is_past(step.model, step.time)]
        return self._take_all(ready, is_past)

    def drain(self) -> tuple[Alert, ...]:
        """Return all alerts still to come: the input has ended."""
        ready, self._waiting = self._waiting, []
        return self._take_all(ready, lambda *_: True, ended=True)

    def counts(self, model: str) -> Count:
        """Return what was told of a model so far."""
        return replace(self._counts.get(model, Count()))

    def open_count(self) -> Mapping[tuple[str, str], int]:
        """Return how many incidents are open (and told), by model and version."""
        return Counter(key[:2] for key, incident in self._incidents.items() if incident.told)

    def _take_all(
        self, steps: list[Step], is_past: Callable[[str, int], bool], *, ended: bool = False
    ) -> tuple[Alert, ...]:
        alerts: list[tuple[int, str, str, int, Alert]] = []

        def tell(number: int, alert: Alert) -> None:
            alerts.append((alert.due, alert.model, alert.version, number, alert))

        for step in sorted(steps, key=_order):
            for told in self._gate.take(step):
                self._take(told, tell)
        for told in self._gate.settle(is_past):
            self._take(told, tell)
        for key, incident in list(self._incidents.items()):
            if incident.due is not None and is_past(key[0], incident.due):
                self._tell_gathered(key, incident, tell)
        for key, incident in self._incidents.items():
            graver_at = incident.graver_at
            # Whether it lasts beyond the end of the input nobody knows.
            if graver_at is not None and not ended and is_past(key[0], graver_at):
                self._grow_graver(key, incident, tell)
        alerts.sort(key=lambda entry: entry[:4])
        return tuple(self._numbered(entry[4]) for entry in alerts)

    def _numbered(self, alert: Alert) -> Alert:
        count = self._counts.setdefault(alert.model, Count())
        count.alerts += 1
        return replace(alert, number=count.alerts)

    def _take(self, told: Told, tell: Callable[[int, Alert], None]) -> None:
        step, key = told.step, subject_of(told.step)
        incident = self._incidents.get(key)
        if incident and incident.due is not None and incident.due <= step.time:
            self._tell_gathered(key, incident, tell)
            incident = self._incidents.get(key)
        if incident and incident.graver_at is not None and incident.graver_at <= step.time:
            self._grow_graver(key, incident, tell)
        if step.kind in (StepKind.CHANGED, StepKind.CANDIDATE):
            if incident is None:
                incident = self._incidents[key] = _Incident(opened_at=step.time)
            self._join(incident, told)
        elif incident:
            self._leave(key, incident, step, tell)

    def _join(self, incident: _Incident, told: Told) -> None:
        step, ordinal = told.step, told.step.signal.ordinal
        member = incident.members.get(ordinal)
        if member and member.active:
            return
        incident.members[ordinal] = Member(step, told.together, active=True)
        incident.gathered[ordinal] = step
        if incident.due is None:
            # Silence is late already when it is noticed, and nothing moves with it.
            silence = step.signal.kind is SignalKind.SILENCE
            gather = 0 if silence else self._settings_of(step.model).gather
            incident.due = step.time + gather

    def _leave(
        self,
        key: Subject,
        incident: _Incident,
        step: Step,
        tell: Callable[[int, Alert], None],
    ) -> None:
        member = incident.members.get(step.signal.ordinal)
        if member is None or not member.active:
            return
        member.active = False
        incident.left_at, incident.resolution = step.time, step.kind
        if incident.over and incident.due is None:
            self._resolve(key, incident, step.time, tell)

    def _tell_gathered(
        self, key: Subject, incident: _Incident, tell: Callable[[int, Alert], None]
    ) -> None:
        """Publish what was gathered: as the opening, or as an update."""
        due = incident.due
        assert due is not None
        steps = by_strength(incident.gathered.values())
        settings = self._settings_of(key[0])
        severity = max(severity_of(step, settings) for step in steps)
        risen = severity > incident.severity
        incident.severity = max(incident.severity, severity)
        incident.told += 1
        if incident.told == 1:
            self._count_opened(key[0], steps)
            ordinals = sorted(incident.gathered)
            found = [incident.members[ordinal].together for ordinal in ordinals]
            incident.together = 1 if 1 in found else max(found)
            incident.id = make_id("incident", *key[:2], incident.opened_at, ordinals)
            incident.kind = steps[0].signal.alert_kind.value
            if settings.persist_after and incident.severity < Severity.CRITICAL:
                incident.graver_at = incident.opened_at + settings.persist_after
            tell(1, opened(self._facts(key, incident), steps, due))
        else:
            self._counts.setdefault(key[0], Count()).joined += len(steps)
            tell(incident.told, updated(self._facts(key, incident), steps, due, risen))
        incident.gathered, incident.due = {}, None
        if incident.over:
            self._resolve(key, incident, due, tell)

    def _grow_graver(
        self, key: Subject, incident: _Incident, tell: Callable[[int, Alert], None]
    ) -> None:
        """Tell that an incident lasts: it is graver than its effect alone says."""
        due, incident.graver_at = incident.graver_at, None
        assert due is not None
        if incident.severity < Severity.CRITICAL:
            incident.severity = Severity(incident.severity + 1)
            incident.told += 1
            tell(incident.told, lasting(self._facts(key, incident), due))

    def _count_opened(self, model: str, steps: Sequence[Step]) -> None:
        count = self._counts.setdefault(model, Count())
        if all(step.signal.kind is SignalKind.SILENCE for step in steps):
            count.silences += 1
        else:
            count.opened += 1

    def _resolve(
        self,
        key: Subject,
        incident: _Incident,
        due: int,
        tell: Callable[[int, Alert], None],
    ) -> None:
        incident.told += 1
        facts = self._facts(key, incident)
        tell(incident.told, resolved(facts, incident.left_at, due, incident.resolution))
        del self._incidents[key]

    def _facts(self, key: Subject, incident: _Incident) -> Facts:
        return Facts(
            id=incident.id,
            opened_at=incident.opened_at,
            number=incident.told,
            kind=incident.kind,
            severity=incident.severity,
            together=incident.together,
            members=tuple(incident.members.values()),
            labels=self._labels_of(key[0]),
        )

    def snapshot(self) -> State:
        """Return the open incidents and the steps still waiting."""
        return {
            "waiting": [step_state(step) for step in sorted(self._waiting, key=_order)],
            "incidents": [
                _incident_state(key, incident)
                for key, incident in sorted(self._incidents.items(), key=lambda item: item[0])
            ],
            "told": [
                {
                    "model": model,
                    "alerts": count.alerts,
                    "opened": count.opened,
                    "joined": count.joined,
                    "silences": count.silences,
                }
                for model, count in sorted(self._counts.items())
            ],
            "evidence": self._gate.snapshot(),
        }

    def restore(self, state: State) -> None:
        """Become what the snapshot was taken of."""
        self._waiting = [read_step(step) for step in trees(state, "waiting")]
        self._incidents = {
            (
                text(incident, "model"),
                text(incident, "version"),
                flag(incident, "of_model"),
            ): _read_incident(incident)
            for incident in trees(state, "incidents")
        }
        self._gate.restore(trees(state, "evidence"))
        self._counts = {text(each, "model"): _read_count(each) for each in trees(state, "told")}


def _order(step: Step) -> tuple[int, str, str, int]:
    return step.time, step.model, step.version, step.signal.ordinal


def _incident_state(key: Subject, incident: _Incident) -> dict[str, StateValue]:
    return {
        "model": key[0],
        "version": key[1],
        "of_model": key[2],
        "opened_at": incident.opened_at,
        "id": incident.id,
        "kind": incident.kind,
        "told": incident.told,
        "together": incident.together,
        "severity": incident.severity.label,
        "members": [
            {
                "step": step_state(member.step),
                "together": member.together,
                "active": member.active,
            }
            for _, member in sorted(incident.members.items())
        ],
        "gathered": [step_state(step) for _, step in sorted(incident.gathered.items())],
        "due": incident.due,
        "graver_at": incident.graver_at,
        "left_at": incident.left_at,
        "resolution": incident.resolution.value,
    }


def _read_count(state: State) -> Count:
    return Count(
        integer(state, "alerts"),
        integer(state, "opened"),
        integer(state, "joined"),
        integer(state, "silences"),
    )


def _read_member(state: State) -> Member:
    return Member(read_step(tree(state, "step")), integer(state, "together"), flag(state, "active"))


def _read_incident(state: State) -> _Incident:
    members = [_read_member(member) for member in trees(state, "members")]
    gathered = [read_step(step) for step in trees(state, "gathered")]
    return _Incident(
        opened_at=integer(state, "opened_at"),
        id=text(state, "id"),
        kind=text(state, "kind"),
        told=integer(state, "told"),
        together=integer(state, "together"),
        severity=Severity[text(state, "severity").upper()],
        members={member.step.signal.ordinal: member for member in members},
        gathered={step.signal.ordinal: step for step in gathered},
        due=optional_integer(state, "due"),
        graver_at=optional_integer(state, "graver_at"),
        left_at=integer(state, "left_at"),
        resolution=StepKind(text(state, "resolution")),
    )
