"""What every detector bank offers, and what it says of an alarm."""

from dataclasses import dataclass
from typing import Protocol

from streamdrift.records import Floats, Ints, State


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a detector raised an alarm.

    `statistic` is above `threshold`, both in the detector's own terms. `before` and `after`
    are means of the signal's values. The change began between `earliest` and `latest`,
    counted in the signal's own values back from the alarm's (0 is the alarm's own value),
    so `earliest >= latest`.
    """

    statistic: float
    threshold: float
    before: float
    after: float
    earliest: int
    latest: int


class Bank(Protocol):
    """One detector's instances over many signals; a signal's place in the bank is its slot.

    Cutting the input into other batches changes neither an alarm nor a bit of state.
    """

    @property
    def name(self) -> str:
        """The detector's name as alerts and metrics show it."""
        ...

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values; return where each raised its first alarm.

        `values` float64[s, n] holds signals as rows, events as columns; NaN means that the
        event has no value of that signal. Slot j (`rows` and `start` are int64[k], k the
        slots of the bank) consumes `values[rows[j], start[j]:]` and stops right after its
        first alarm. The result, int64[k], is the alarm's column, n where there was none.
        """
        ...

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm.

        Valid after an `update` that raised one, until the slot is updated or reset; it is no
        part of a snapshot.
        """
        ...

    def reset(self, slot: int, scale: float | None = None) -> None:
        """Make the slot as new, with another scale where its reference changed."""
        ...

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's statistic and threshold as they stand, float64[k] both.

        A slot that cannot decide yet has the statistic 0.
        """
        ...

    def snapshot(self) -> State:
        """Return the state of all slots."""
        ...

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank of the same settings and number of slots."""
        ...

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Put new slots into the state that the slots `theirs` have in a snapshot.

        `slots` and `theirs` are int64[k], in pairs, both rising; the snapshot is of a bank of
        the same settings, with any number of slots.
        """
        ...
