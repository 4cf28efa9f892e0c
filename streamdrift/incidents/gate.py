"""Which signals are told as changed: by themselves, or several together.

A signal that passes its own threshold is told at once. One whose evidence would suffice if it
had the whole budget is a candidate: the candidates of a model version are weighed together,
beside the signals that are changed already, on a grid of event time. Nothing of that goes
back to the signals.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamdrift.changes import Step, StepKind
from streamdrift.durations import DAY, SECOND
from streamdrift.incidents.budget import e_bh
from streamdrift.incidents.steps import read_step, step_state
from streamdrift.records import SignalKind, State, StateValue
from streamdrift.trees import array, flag, integer, optional_integer, text, tree, trees

Subject = tuple[str, str, bool]
"""Whose trouble it is: model, version, and whether it is the model's own, of no version."""

OF_THE_MODEL = frozenset({SignalKind.SILENCE, SignalKind.EVENT_RATE})
"""Signals that belong to a model, not to a version."""

GRID = SECOND
"""Candidates are weighed at multiples of this."""
COMPANY = DAY
"""Event time for which signals that are told together are company. One that was told makes it
easier for others for so long: what changes later is another matter, and one change that lasts
must not draw one false alarm after the other. And one that was told for its company alone leaves
after it: of some that are told one may be false, and must not keep an incident open for ever."""


def subject_of(step: Step) -> Subject:
    """Return whose trouble a step is part of."""
    # Versions may have no name: the model's own is kept apart from what changed in such a one.
    return step.model, step.version, step.signal.kind in OF_THE_MODEL


@dataclass(frozen=True, slots=True)
class Told:
    """A step that incidents are to take, of kind CHANGED, CANDIDATE, RETURNED or ACCEPTED.

    The last two may be of signals that were never told.
    """

    step: Step
    together: int = 1
    """How many signals, with it, were told by e-BH; 1 where its own evidence was enough."""


@dataclass(slots=True)
class _Evidence:
    """A signal that is changed, or a candidate."""

    share: float
    candidate: Step | None = None
    """The last CANDIDATE step of one that waits, or was told together with others."""
    told_at: int | None = None
    """When it was told; None while it waits."""

    @property
    def left_alone_at(self) -> int | None:
        """When one that was told together has no company any more; None once that is over."""
        if self.candidate is None or self.told_at is None:
            return None
        return self.told_at + COMPANY


@dataclass(slots=True)
class _Weighing:
    """The evidence of one subject's signals, by ordinal, and when it is to be weighed."""

    evidence: dict[int, _Evidence] = field(default_factory=dict)
    due: int | None = None

    @property
    def next(self) -> int | None:
        """When something comes of what is known already."""
        alone = (each.left_alone_at for each in self.evidence.values())
        return min((time for time in (self.due, *alone) if time is not None), default=None)


class Gate:
    """Weighs the candidates of each subject; a function of the steps alone.

    The steps of a subject come in the order of time. A candidate's evidence stands until it
    says otherwise; a signal that is changed counts as enough by itself, for as long as COMPANY.
    """

    def __init__(self) -> None:
        self._weighings: dict[Subject, _Weighing] = {}

    def take(self, step: Step) -> Iterator[Told]:
        """Yield what comes of a step: first of what was due before it."""
        subject = subject_of(step)
        weighing = self._weighings.setdefault(subject, _Weighing())
        while (time := weighing.next) is not None and time < step.time:
            yield from _advance(weighing, time)
        told = self._hear(weighing, step)
        if told is not None:
            yield told
        if not weighing.evidence:
            del self._weighings[subject]

    def settle(self, is_past: Callable[[str, int], bool]) -> Iterator[Told]:
        """Yield what comes of the candidates that are due: no step can come at their times."""
        for subject, weighing in self._weighings.items():
            while (time := weighing.next) is not None and is_past(subject[0], time):
                yield from _advance(weighing, time)

    def _hear(self, weighing: _Weighing, step: Step) -> Told | None:
        """Learn a step; return what is told of it at once."""
        ordinal, change = step.signal.ordinal, step.change
        if step.kind is StepKind.CANDIDATE:
            assert change is not None
            known = weighing.evidence.get(ordinal)
            if known is None or known.told_at is None:
                weighing.evidence[ordinal] = _Evidence(change.share, step)
            else:
                known.share = change.share
            weighing.due = _next_on_grid(step.time)
            return None
        if step.kind is StepKind.CHANGED:
            assert change is not None
            weighing.evidence[ordinal] = _Evidence(max(1.0, change.share), None, step.time)
            if any(each.told_at is None for each in weighing.evidence.values()):
                weighing.due = _next_on_grid(step.time)
            return Told(step)
        weighing.evidence.pop(ordinal, None)
        withdrawn = step.kind is StepKind.WITHDRAWN
        return Told(replace(step, kind=StepKind.RETURNED) if withdrawn else step)

    def snapshot(self) -> list[State]:
        """Return the evidence of every subject."""
        return [
            _weighing_state(subject, weighing)
            for subject, weighing in sorted(self._weighings.items(), key=lambda item: item[0])
        ]

    def restore(self, states: Sequence[State]) -> None:
        """Become what the snapshot was taken of."""
        self._weighings = {
            (text(state, "model"), text(state, "version"), flag(state, "of_model")): _Weighing(
                dict(map(_read_evidence, trees(state, "signals"))), optional_integer(state, "due")
            )
            for state in states
        }


def _advance(weighing: _Weighing, time: int) -> Iterator[Told]:
    """Yield the signals that leave at `time`, the next one, and then those that are told."""
    for _, each in sorted(weighing.evidence.items()):
        if each.left_alone_at == time and each.candidate is not None:
            step, each.candidate = each.candidate, None
            if each.share < 1:  # Else it is enough by itself, and stays.
                yield Told(replace(step, kind=StepKind.RETURNED, time=time, change=None))
    if weighing.due == time:
        weighing.due = None
        yield from _weigh(weighing, time)


def _weigh(weighing: _Weighing, time: int) -> Iterator[Told]:
    """Yield the candidates that are told at `time`, by ordinal."""
    found = e_bh(
        {
            ordinal: each.share
            for ordinal, each in weighing.evidence.items()
            if each.told_at is None or time < each.told_at + COMPANY
        }
    )
    for ordinal in sorted(found):
        each = weighing.evidence[ordinal]
        if each.told_at is None:
            assert each.candidate is not None
            each.told_at = time
            together = 1 if each.share >= 1 else len(found)
            yield Told(replace(each.candidate, time=time), together)


def _next_on_grid(time: int) -> int:
    """Return the first point of the grid that is not before `time`."""
    return -(-time // GRID) * GRID


def _weighing_state(subject: Subject, weighing: _Weighing) -> dict[str, StateValue]:
    return {
        "model": subject[0],
        "version": subject[1],
        "of_model": subject[2],
        "due": weighing.due,
        "signals": [
            {
                "ordinal": ordinal,
                "share": np.array([each.share]),
                "candidate": None if each.candidate is None else step_state(each.candidate),
                "told_at": each.told_at,
            }
            for ordinal, each in sorted(weighing.evidence.items())
        ],
    }


def _read_evidence(state: State) -> tuple[int, _Evidence]:
    candidate = None if state["candidate"] is None else read_step(tree(state, "candidate"))
    share = float(array(state, "share").astype(np.float64)[0])
    told_at = optional_integer(state, "told_at")
    return integer(state, "ordinal"), _Evidence(share, candidate, told_at)
