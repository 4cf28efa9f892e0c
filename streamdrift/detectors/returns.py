"""Signals that change and come back, again and again: a budget holds for them, too.

What a reference leaves unexplained is measured on the reference itself; bursts that it did not
hold are not. So who alone raises more alarms than the whole model may, each of which passed by
itself, has shown that its evidence counts too much: from then on it counts to half the power. What
is larger, or lasts longer, is still told. Alarms that something explains cannot be told from those
of a rhythm that is not known; of values that look independent, for which the bound is proved, more
is asked for.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamdrift.detectors.mixture import POWERS
from streamdrift.records import State
from streamdrift.references.findings import Code, Finding
from streamdrift.trees import array

_HALF = 6
"""By how much a power k rises that counts as 2^(-k/6)."""
_LEAST = 2
"""Returns that may be more than was to be expected: one is no habit."""
_CHANCE: Mapping[bool, float] = {True: 0.05, False: 0.001}
"""How probable so many alarms are at most, at the budget: where anything explains the values, and
where nothing does."""


class _Habit(NamedTuple):
    """What a signal that came back does again and again."""

    times: int
    raised: int
    seen: int
    """Values seen when it last came back."""


_NONE = _Habit(0, 0, 0)


class Returns:
    """How often each signal came back since its reference, and what follows.

    `powers` are those at which evidence counts under the signals' references.
    """

    def __init__(self, powers: Sequence[int]) -> None:
        self._learned = list(powers)
        self._since = [0] * len(powers)
        """Values seen before the reference was taken."""
        self._habits: dict[int, _Habit] = {}

    def begin(self, signal: int, power: int, seen: int) -> None:
        """Forget a signal's returns: it has a new reference, of this power, `seen` values in."""
        self._learned[signal], self._since[signal] = power, seen
        self._habits.pop(signal, None)

    def came_back(self, signal: int, seen: int, run_length: float, explained: bool) -> bool:
        """Take the return of a signal, `seen` values in; tell whether its power rises for it.

        `run_length` is after how many values it may raise an alarm if nothing else does;
        `explained` says that something is taken off its values, or makes up for them.
        """
        before = self._habits.get(signal, _NONE)
        times, expected = before.times + 1, (seen - self._since[signal]) / run_length
        often = times >= _LEAST and _chance(times, expected) < _CHANCE[explained]
        rises = often and self.power(signal) < POWERS - 1
        raised = before.raised + (_HALF if rises else 0)
        self._habits[signal] = _Habit(times, raised, seen)
        return rises

    def power(self, signal: int) -> int:
        """Return the power at which a signal's evidence counts."""
        raised = self._habits.get(signal, _NONE).raised
        return min(self._learned[signal] + raised, POWERS - 1)

    def findings(self, signal: int) -> tuple[Finding, ...]:
        """Return what people should know of a signal: nothing while its power did not rise."""
        habit = self._habits.get(signal, _NONE)
        if not habit.raised:
            return ()
        figures = {
            "times": float(habit.times),
            "values": float(habit.seen - self._since[signal]),
            "power": 2 ** (-self.power(signal) / 6),
        }
        return (Finding(Code.COMES_BACK, figures),)

    def snapshot(self) -> State:
        """Return what is not known from the references."""
        signals = sorted(self._habits)
        habits = np.array([self._habits[signal] for signal in signals], dtype=np.int64)
        return {
            "since": np.array(self._since, dtype=np.int64),
            "signals": np.array(signals, dtype=np.int64),
            "habits": habits.reshape(len(signals), len(_NONE)),
        }

    def restore(self, state: State) -> None:
        """Take over the snapshot of as many signals with the same references."""
        self._since = array(state, "since").astype(np.int64).tolist()
        signals, habits = (array(state, name).tolist() for name in ("signals", "habits"))
        self._habits = {signal: _Habit(*each) for signal, each in zip(signals, habits, strict=True)}


def _chance(count: int, expected: float) -> float:
    """Return how probable `count` alarms or more are where so many are expected (Poisson)."""
    fewer = (math.exp(-expected) * expected**k / math.factorial(k) for k in range(count))
    return 1 - math.fsum(fewer)
