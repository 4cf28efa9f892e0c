"""What operators asked for, as incidents tell it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streamdrift.operators import Asked, Command
from streamdrift.records import State
from streamdrift.times import rfc3339
from streamdrift.trees import integer, text

MOST_PLANS = 1_000
"""Planned changes that are remembered, of all models; those that end first go first."""


class Word(NamedTuple):
    """Who asked for what, of an incident."""

    kind: Asked
    by: str
    note: str
    at: int

    def data(self) -> dict[str, object]:
        """Return it as an alert has it."""
        return {
            "kind": self.kind.value,
            "by": self.by or None,
            "note": self.note or None,
            "at": rfc3339(self.at),
        }

    def sentence(self) -> str:
        """Return the end of a sentence: `, asked by Zoë: release 7`."""
        return f"{f' by {self.by}' if self.by else ''}{f': {self.note}' if self.note else ''}"


def word_of(command: Command) -> Word:
    """Return what a command says of an incident."""
    return Word(command.kind, command.by, command.note, command.at)


def word_state(word: Word | None) -> State | None:
    """Return a word as a tree."""
    return None if word is None else {**word._asdict(), "kind": word.kind.value}


def read_word(state: State | None) -> Word | None:
    """Return the word that `word_state` wrote."""
    if state is None:
        return None
    kind = Asked(text(state, "kind"))
    return Word(kind, text(state, "by"), text(state, "note"), integer(state, "at"))


class Plan(NamedTuple):
    """A planned change of a model: from `since` up to `until`, in event time."""

    model: str
    since: int
    until: int
    by: str
    note: str

    def data(self) -> dict[str, object]:
        """Return it as an alert has it."""
        return {
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
            "by": self.by or None,
            "note": self.note or None,
        }


class Plans:
    """The planned changes of all models."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []

    def add(self, command: Command) -> None:
        """Take a planned change."""
        plan = Plan(command.model, command.since, command.until, command.by, command.note)
        self._plans = sorted([*self._plans, plan], key=lambda each: each.until)[-MOST_PLANS:]

    def withdraw(self, model: str, time: int) -> None:
        """Let all planned changes of a model end at an event time; none begins any more.

        What began before it, and is told only later, began in a planned change still.
        """
        kept = [
            plan._replace(until=min(plan.until, time)) if plan.model == model else plan
            for plan in self._plans
            if plan.model != model or plan.since < time
        ]
        self._plans = sorted(kept, key=lambda each: each.until)

    def lasts(self, model: str, time: int) -> bool:
        """Tell whether a change of a model is planned for an event time, or for a later one."""
        return any(plan.model == model and plan.until > time for plan in self._plans)

    def of(self, model: str, time: int) -> Plan | None:
        """Return the planned change that a time is in, the one that ends last; None in none."""
        found: Iterable[Plan] = (
            plan
            for plan in reversed(self._plans)
            if plan.model == model and plan.since <= time < plan.until
        )
        return next(iter(found), None)

    def snapshot(self) -> list[State]:
        """Return all of them as trees."""
        return [plan_state(plan) for plan in self._plans]

    def restore(self, states: Sequence[State]) -> None:
        """Become what the snapshot was taken of."""
        self._plans = [read_plan(state) for state in states]


def plan_state(plan: Plan) -> State:
    """Return a planned change as a tree."""
    return plan._asdict()


def read_plan(state: State) -> Plan:
    """Return the planned change that `plan_state` wrote."""
    names, times = ("model", "by", "note"), ("since", "until")
    model, by, note = (text(state, name) for name in names)
    since, until = (integer(state, name) for name in times)
    return Plan(model, since, until, by, note)
