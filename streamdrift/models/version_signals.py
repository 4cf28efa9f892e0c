"""The signals of all columns of a model version: from events to rows, from changes to words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamdrift.changes import Effect, Summary
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.learning import Reference
from streamdrift.distributions import Distribution
from streamdrift.models.groups import SIGNALS
from streamdrift.records import Batch, Floats, Sample, Signal, SignalKind, State, Stream
from streamdrift.references.counts import Counts
from streamdrift.signals.column import ColumnSignals, Window
from streamdrift.signals.naming import setting_names, signal_names


def signals_of(
    columns: Sequence[ColumnSignals], group: int = 0, *, divided: bool = False
) -> tuple[Signal, ...]:
    """Return the signals of all columns of a group of a model version, in their order."""
    names = signal_names(((column.key, column.kinds) for column in columns), divided=divided)
    places = [(column, kind) for column in columns for kind in column.kinds]
    return tuple(
        Signal(group * SIGNALS + place, name, column.key, kind, column.alert_kind(kind))
        for place, (name, (column, kind)) in enumerate(zip(names, places, strict=True))
    )


def restore_columns(states: Sequence[State]) -> list[ColumnSignals]:
    """Return the columns of which these are snapshots."""
    return [ColumnSignals.restore(state) for state in states]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a signal comes from."""

    column: ColumnSignals
    kind: SignalKind
    first: int
    """The place of the column's first signal."""


class VersionSignals:
    """The signals of columns, each by its place among all of them.

    Of columns that settings call `private`, no value is told.
    """

    def __init__(self, columns: Sequence[ColumnSignals], private: frozenset[str]) -> None:
        self._columns = columns
        self._private = private
        self._places: list[_Place] = []
        for column in columns:
            first = len(self._places)
            self._places += [_Place(column, kind, first) for kind in column.kinds]

    def fill(self, batch: Batch) -> Floats:
        """Return the rows float64[s, n] of the next events, NaN where an event is none of one."""
        rows = np.empty((len(self._places), len(batch)))
        place = 0
        for column in self._columns:
            stop = place + len(column.kinds)
            column.fill(batch.columns.get(column.key), rows[place:stop])
            place = stop
        return rows

    def raw(self, place: int, rows: Floats) -> Floats:
        """Return what `accept` needs to know of the rows that `fill` returned last."""
        of = self._places[place]
        return of.column.raw(of.kind, rows, of.first)

    def accept(self, place: int, raw: Floats) -> Mapping[int, Sample]:
        """Take values since a change as normal; return what the signals they touch learn."""
        of = self._places[place]
        learned = of.column.accept(of.kind, raw)
        return {of.first + of.column.kinds.index(kind): each for kind, each in learned.items()}

    def describe(
        self,
        place: int,
        expected: Expected,
        reference: Reference,
        effect: Effect,
        last: int,
        back: int,
    ) -> tuple[Summary, Summary]:
        """Return before and after of a change in the last `back` values up to a column.

        That is the column `last` of the last `fill`, or beyond it; see `Window`.
        """
        of, is_rate = self._places[place], expected.stream is Stream.RATE
        rate = expected.mean + effect.shift.value * expected.scale
        # What is left of a difference of equals would be told as 1e-14 per cent.
        window = Window(last, back, min(max(round(rate, 12), 0.0), 1.0))
        mean = expected.ones if is_rate else reference.mean
        old, new = of.column.describe(of.kind, reference.quantiles, mean, window)
        if self._is_private(of.column):
            # How often something is so is told of a private column, and nothing of its values.
            hidden = Summary(math.nan)
            return (Summary(old.mean), Summary(new.mean)) if is_rate else (hidden, hidden)
        return old, new

    def ones_of(self, place: int, raw: Floats) -> int:
        """Return how many of a rate's values, as `raw` returned them, are 1."""
        of = self._places[place]
        return int(of.column.flags(of.kind, raw).sum())

    def distribution(
        self, place: int, reference: Counts | None, raw: Floats | None, since: int | None
    ) -> Distribution | None:
        """Return that of a signal that is no rate, None where people are to see no values of it.

        It is of the reference, and of values since a change, or of the last ones.
        """
        of = self._places[place]
        if self._is_private(of.column):
            return None
        return of.column.distribution(of.kind, reference, raw, since)

    def _is_private(self, column: ColumnSignals) -> bool:
        return not self._private.isdisjoint(setting_names(column.key))

    def snapshot(self) -> list[State]:
        """Return those of the columns."""
        return [column.snapshot() for column in self._columns]
