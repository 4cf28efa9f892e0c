"""Which changes belong together: one incident per model version at a time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from streamdrift.changes import Step, StepKind
from streamdrift.incidents.alerts import (
    Facts,
    Member,
    asked,
    by_strength,
    lasting,
    make_id,
    opened,
    resolved,
    updated,
)
from streamdrift.incidents.asked import Plans, word_of
from streamdrift.incidents.gate import Gate, Subject, Told, subject_of
from streamdrift.incidents.incident import (
    Count,
    Incident,
    count_state,
    incident_state,
    read_count,
    read_incident,
)
from streamdrift.incidents.sentences import opened_sentence
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.incidents.severity import Severity, severity_of
from streamdrift.incidents.steps import read_step, step_state
from streamdrift.operators import PLANNING, Asked, Command, decode, encode
from streamdrift.records import Alert, SignalKind, State
from streamdrift.trees import integer, text, trees

Tell = Callable[[int, Alert], None]
"""Takes an alert, by which of its incident's it is."""


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
        self._incidents: dict[Subject, Incident] = {}
        self._gate = Gate()
        self._counts: dict[str, Count] = {}
        """By model."""
        self._plans = Plans()
        self._words: list[tuple[int, Command]] = []
        """Said at times that are not past yet, of models that were behind."""

    def take(self, steps: Sequence[Step]) -> None:
        """Take steps, none below the last watermark, for the next call of `observe`."""
        self._waiting += steps

    def ask(self, command: Command, steps: Sequence[Step], time: int) -> tuple[Alert, ...]:
        """Take what an operator asks for at `time`, the last watermark, and what follows from it.

        Return what is told of it. That waits for no later watermark: in a silence there may be
        none for long, and whatever comes yet at that time is behind what was asked.
        """

        def do(tell: Tell) -> None:
            if command.kind not in PLANNING:
                self._note(time, command, tell)
            for step in sorted(steps, key=_order):
                for told in self._gate.take(step):
                    self._take(told, tell)

        self._plan(command, time)
        return self._telling(do)

    def ask_later(self, command: Command, steps: Sequence[Step], time: int) -> None:
        """Take what an operator asks for of a model that is behind, for when it is that far.

        What is said of an incident that is over by then is left out.
        """
        self.take(steps)
        self._plan(command, time)
        if command.kind not in PLANNING:
            self._words.append((time, command))

    def _plan(self, command: Command, time: int) -> None:
        if command.kind is Asked.EXPECT:
            self._plans.add(command)
        elif command.kind is Asked.WITHDRAW:
            self._plans.withdraw(command.model, time)

    def lacks(self, command: Command, time: int) -> str:
        """Return why a command of `time` has no effect; nothing where it has one."""
        if command.kind is Asked.WITHDRAW:
            planned = self._plans.lasts(command.model, time)
            return "" if planned else "no change of this model is planned"
        if command.kind is Asked.EXPECT or self.is_open(command):
            return ""
        return "no such incident is open"

    def is_open(self, command: Command) -> bool:
        """Tell whether the incident that a command is of is open."""
        incident = self._incidents.get(_subject(command))
        return incident is not None and incident.id == command.incident

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

    def open_count(self, *, expected: bool) -> Mapping[tuple[str, str], int]:
        """Return how many incidents are open (and told), by model and version.

        They are those that began in a planned change, or the others.
        """
        return Counter(
            key[:2]
            for key, incident in self._incidents.items()
            if incident.told and (incident.expected is not None) is expected
        )

    def _take_all(
        self, steps: list[Step], is_past: Callable[[str, int], bool], *, ended: bool = False
    ) -> tuple[Alert, ...]:
        def do(tell: Tell) -> None:
            words: Sequence[tuple[int, Command]]
            words = [word for word in self._words if is_past(word[1].model, word[0])]
            for step in sorted(steps, key=_order):
                words = self._hear(words, step.time, tell)
                for told in self._gate.take(step):
                    self._take(told, tell)
            for told in self._gate.settle(is_past):
                self._take(told, tell)
            self._hear(words, None, tell)
            for key, incident in list(self._incidents.items()):
                if incident.due is not None and is_past(key[0], incident.due):
                    self._tell_gathered(key, incident, tell)
            for key, incident in self._incidents.items():
                graver_at = incident.graver_at
                # Whether it lasts beyond the end of the input nobody knows.
                if graver_at is not None and not ended and is_past(key[0], graver_at):
                    self._grow_graver(key, incident, tell)

        return self._telling(do)

    def _telling(self, do: Callable[[Tell], None]) -> tuple[Alert, ...]:
        """Return what is told while something is done, numbered in the order of alerts."""
        alerts: list[tuple[int, str, str, int, Alert]] = []

        def tell(number: int, alert: Alert) -> None:
            alerts.append((alert.due, alert.model, alert.version, number, alert))

        do(tell)
        alerts.sort(key=lambda entry: entry[:4])
        return tuple(self._numbered(entry[4]) for entry in alerts)

    def _hear(
        self, words: Sequence[tuple[int, Command]], before: int | None, tell: Tell
    ) -> Sequence[tuple[int, Command]]:
        """Take what was said before a time, or all of it; return the rest."""
        now = [word for word in words if before is None or word[0] <= before]
        for time, command in now:
            self._words.remove((time, command))
            self._note(time, command, tell)
        return words[len(now) :]

    def _note(self, time: int, command: Command, tell: Tell) -> None:
        """Let an incident bear what was said of it, and tell of it; a resolution tells itself."""
        key, word = _subject(command), word_of(command)
        if not self.is_open(command):
            return
        incident = self._incidents[key]
        if command.kind is Asked.ACKNOWLEDGE:
            incident.acknowledged = word
        else:
            incident.asked = word
        if command.kind is not Asked.RESOLVE and not incident.over:
            incident.told += 1
            tell(incident.told, asked(self._facts(key, incident), word, time))

    def _numbered(self, alert: Alert) -> Alert:
        count = self._counts.setdefault(alert.model, Count())
        count.alerts += 1
        return replace(alert, number=count.alerts)

    def _take(self, told: Told, tell: Tell) -> None:
        step, key = told.step, subject_of(told.step)
        incident = self._incidents.get(key)
        if incident and incident.due is not None and incident.due <= step.time:
            self._tell_gathered(key, incident, tell)
            incident = self._incidents.get(key)
        if incident and incident.graver_at is not None and incident.graver_at <= step.time:
            self._grow_graver(key, incident, tell)
        if step.kind in (StepKind.CHANGED, StepKind.CANDIDATE):
            if incident is None:
                incident = self._incidents[key] = Incident(opened_at=step.time)
            self._join(incident, told)
        elif incident:
            self._leave(key, incident, step, tell)

    def _join(self, incident: Incident, told: Told) -> None:
        step, ordinal = told.step, told.step.signal.ordinal
        member = incident.members.get(ordinal)
        if member and member.active:
            return
        incident.members[ordinal] = Member(step, told.together)
        incident.gathered[ordinal] = step
        if incident.due is None:
            # Silence is late already when it is noticed, and nothing moves with it.
            silence = step.signal.kind is SignalKind.SILENCE
            gather = 0 if silence else self._settings_of(step.model).gather
            incident.due = step.time + gather

    def _leave(
        self,
        key: Subject,
        incident: Incident,
        step: Step,
        tell: Tell,
    ) -> None:
        member = incident.members.get(step.signal.ordinal)
        if member is None or not member.active:
            return
        member.left, incident.left_at = step.kind, step.time
        if incident.over and incident.due is None:
            self._resolve(key, incident, step.time, tell)

    def _tell_gathered(self, key: Subject, incident: Incident, tell: Tell) -> None:
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
            incident.headline = opened_sentence(steps)
            incident.expected = self._plans.of(key[0], incident.opened_at)
            if settings.persist_after and incident.severity < Severity.CRITICAL:
                incident.graver_at = incident.opened_at + settings.persist_after
            tell(1, opened(self._facts(key, incident), steps, due))
        else:
            self._counts.setdefault(key[0], Count()).joined += len(steps)
            tell(incident.told, updated(self._facts(key, incident), steps, due, risen))
        incident.gathered, incident.due = {}, None
        if incident.over:
            self._resolve(key, incident, due, tell)

    def _grow_graver(self, key: Subject, incident: Incident, tell: Tell) -> None:
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
        incident: Incident,
        due: int,
        tell: Tell,
    ) -> None:
        incident.told += 1
        tell(incident.told, resolved(self._facts(key, incident), incident.left_at, due))
        del self._incidents[key]

    def _facts(self, key: Subject, incident: Incident) -> Facts:
        return Facts(
            id=incident.id,
            opened_at=incident.opened_at,
            number=incident.told,
            kind=incident.kind,
            headline=incident.headline,
            severity=incident.severity,
            together=incident.together,
            members=tuple(incident.members.values()),
            labels=self._labels_of(key[0]),
            acknowledged=incident.acknowledged,
            asked=incident.asked,
            expected=incident.expected,
        )

    def snapshot(self) -> State:
        """Return the open incidents and the steps still waiting."""
        return {
            "waiting": [step_state(step) for step in sorted(self._waiting, key=_order)],
            "incidents": [
                incident_state(key, incident)
                for key, incident in sorted(self._incidents.items(), key=lambda item: item[0])
            ],
            "told": [count_state(model, count) for model, count in sorted(self._counts.items())],
            "evidence": self._gate.snapshot(),
            "plans": self._plans.snapshot(),
            "words": [
                {"time": time, "command": encode(command).decode()} for time, command in self._words
            ],
        }

    def restore(self, state: State) -> None:
        """Become what the snapshot was taken of."""
        self._waiting = [read_step(step) for step in trees(state, "waiting")]
        self._incidents = dict(map(read_incident, trees(state, "incidents")))
        self._gate.restore(trees(state, "evidence"))
        self._counts = {text(each, "model"): read_count(each) for each in trees(state, "told")}
        self._plans.restore(trees(state, "plans"))
        self._words = [
            (integer(each, "time"), decode(text(each, "command").encode()))
            for each in trees(state, "words")
        ]


def _subject(command: Command) -> Subject:
    """Return whose incident a command is of."""
    return command.model, command.version, command.of_model


def _order(step: Step) -> tuple[int, str, str, int]:
    return step.time, step.model, step.version, step.signal.ordinal
