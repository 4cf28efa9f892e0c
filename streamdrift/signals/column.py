"""All signals of one column of a model version."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdrift.columns import absent
from streamdrift.distributions import Distribution, of_numbers
from streamdrift.kernels import kernel
from streamdrift.records import (
    AlertKind,
    Column,
    ColumnKey,
    Floats,
    Group,
    Kind,
    Sample,
    SignalKind,
    State,
    Summary,
)
from streamdrift.references.counts import Counts
from streamdrift.signals.duplicates import DUPLICATES
from streamdrift.signals.fitting import expected_kind, seen_as
from streamdrift.signals.measures import Categories, Measure, Numbers, rate_sample
from streamdrift.signals.roles import EXPECTED, UNWATCHED, Role
from streamdrift.sketches.quantiles import Quantiles

_RATE_KINDS = {
    ColumnKey(Group.OUTPUT, "null"): SignalKind.NULL_OUTPUT,
    ColumnKey(Group.METRIC, "failed"): SignalKind.FAILED,
    DUPLICATES: SignalKind.DUPLICATES,
}
_QUALITY = frozenset(
    {
        SignalKind.MISSING,
        SignalKind.TYPE_BREAK,
        SignalKind.UNSEEN,
        SignalKind.EMPTY,
        SignalKind.NULL_OUTPUT,
        SignalKind.FAILED,
        SignalKind.DUPLICATES,
    }
)


class Window(NamedTuple):
    """Where a change was seen: the last `back` values up to a column of a block.

    The column may lie beyond the block's end: all of the block is before it.
    `rate` is the mean of a signal of 0s and 1s since the change.
    """

    column: int
    back: int
    rate: float


class ColumnSignals:
    """The signals of one column, in a fixed order: presence first, then the measures'.

    Rows of `fill` are in the order of `kinds`. A cell that is no event of a signal (a
    missing value has no rank) is NaN there.
    """

    def __init__(
        self, key: ColumnKey, role: Role, expected: Kind, measures: Sequence[Measure]
    ) -> None:
        self.key = key
        self.role = role
        self._expected = expected
        self._measures = measures
        self._presence = _presence_kinds(key, role)
        self._presence_codes = np.array(
            [_PRESENCE.index(kind) for kind in self._presence], dtype=np.int64
        )
        self.kinds = (*self._presence, *(kind for measure in measures for kind in measure.kinds))

    @classmethod
    def learn(cls, key: ColumnKey, role: Role, column: Column) -> "ColumnSignals":
        """Return the signals of `column`, whose cells are the reference's.

        The role must fit the column.
        """
        expected = expected_kind(role, column)
        seen = seen_as(role, expected, column)
        return cls(key, role, expected, _learn_measures(key, role, seen))

    def fill(self, column: Column | None, rows: Floats) -> None:
        """Write the signals of a column's n cells (None: no event has it) into `rows`."""
        if column is None:
            column = absent(rows.shape[1])
        column = seen_as(self.role, self._expected, column)
        place = len(self._presence)
        _fill_presence(
            column.kinds,
            column.numbers,
            int(self._expected),
            rows[:place],
            self._presence_codes,
        )
        for measure in self._measures:
            stop = place + len(measure.kinds)
            measure.fill(column, rows[place:stop])
            place = stop

    def samples(self, column: Column) -> tuple[list[Sample], list[float]]:
        """Return what each signal's reference is learned from, of the reference's cells.

        Beside it, which part of the cells had a value of each.
        """
        rows = np.empty((len(self.kinds), len(column.kinds)))
        self.fill(column, rows)
        samples = [rate_sample(rows[place]) for place in range(len(self._presence))]
        for measure in self._measures:
            samples += measure.samples(measure.raw())
        return samples, np.mean(~np.isnan(rows), axis=1).tolist()

    def alert_kind(self, kind: SignalKind) -> AlertKind:
        """Return what kind of trouble a change of the signal is."""
        if kind in _QUALITY:
            return AlertKind.DATA_QUALITY
        if self.key.group is Group.OUTPUT:
            return AlertKind.PREDICTION_DRIFT
        return AlertKind.LATENCY if self.key.group is Group.METRIC else AlertKind.DATA_DRIFT

    def describe(
        self, kind: SignalKind, quantiles: Quantiles, mean: float, after: Window
    ) -> tuple[Summary, Summary]:
        """Return before and after of a change, in the column's own terms.

        `quantiles` are those of a numeric signal's reference, `mean` is that of its, or a rate's,
        and `after` is where in the last `fill` the change was seen.
        """
        measure = self._measure_of(kind)
        if measure is None or (is_rate(kind) and kind is not SignalKind.UNSEEN):
            return Summary(mean), Summary(after.rate)
        new = measure.after(after.column, after.back)
        old = measure.before(quantiles, new.shares)
        if kind is SignalKind.UNSEEN:
            return replace(old, mean=mean), replace(new, mean=after.rate)
        return (old, new) if math.isnan(new.mean) else (replace(old, mean=mean), new)

    def raw(self, kind: SignalKind, rows: Floats, first: int) -> Floats:
        """Return what `accept` needs to know of the cells of the last `fill`.

        `rows` float64[s, n] are the model version's signals, the column's from `first` on.
        """
        measure = self._measure_of(kind)
        return rows[first + self.kinds.index(kind)] if measure is None else measure.raw()

    def flags(self, kind: SignalKind, raw: Floats) -> Floats:
        """Return the 0s and 1s of a signal of such, of values as `raw` returned them."""
        measure = self._measure_of(kind)
        if measure is None:
            return raw
        empty_or_new = measure.is_unseen(raw) if isinstance(measure, Categories) else raw == 0
        return empty_or_new.astype(np.float64)

    def distribution(
        self, kind: SignalKind, reference: Counts | None, raw: Floats | None, since: int | None
    ) -> Distribution:
        """Return that of a signal of numbers, whose `reference` is given, or of levels.

        `raw` are its values since its change, as `raw` returned them, none NaN; without any it
        is that of the last ones there were.
        """
        measure = self._measure_of(kind)
        assert measure is not None
        values = measure.latest() if raw is None else raw
        if isinstance(measure, Categories):
            return measure.distribution(values, since)
        assert reference is not None
        return of_numbers(reference, values, since)

    def accept(self, kind: SignalKind, raw: Floats) -> Mapping[SignalKind, Sample]:
        """Take values since a change as normal; return what the signals they touch learn."""
        measure = self._measure_of(kind)
        if measure is None:
            return {kind: rate_sample(raw)}
        return dict(zip(measure.kinds, measure.samples(measure.accept(raw)), strict=True))

    def _measure_of(self, kind: SignalKind) -> Measure | None:
        return next((measure for measure in self._measures if kind in measure.kinds), None)

    def snapshot(self) -> State:
        """Return the references and positions."""
        return {
            "group": self.key.group.value,
            "name": self.key.name,
            "role": self.role.value,
            "expected": int(self._expected),
            "measures": [measure.snapshot() for measure in self._measures],
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> "ColumnSignals":
        """Return what `snapshot` was taken of."""
        key = ColumnKey(Group(str(state["group"])), str(state["name"]))
        role, expected, snapshots = Role(str(state["role"])), state["expected"], state["measures"]
        assert isinstance(expected, int)
        assert isinstance(snapshots, Sequence)
        measures = _new_measures(key, role)
        for measure, snapshot in zip(measures, snapshots, strict=True):
            measure.restore(snapshot)
        return cls(key, role, Kind(expected), measures)


def is_rate(kind: SignalKind) -> bool:
    """Tell whether a signal is a stream of 0s and 1s."""
    return kind in _QUALITY or kind is SignalKind.RATE


def _presence_kinds(key: ColumnKey, role: Role) -> tuple[SignalKind, ...]:
    """Return the signals that follow from the kind of a cell alone."""
    if role in UNWATCHED:
        return ()
    if key in _RATE_KINDS:
        return (_RATE_KINDS[key],)
    kinds: tuple[SignalKind, ...] = ()
    if key.group is Group.FEATURE:
        kinds = (SignalKind.MISSING,)
    if role is not Role.EMPTY:
        kinds = (*kinds, SignalKind.TYPE_BREAK)
    return (*kinds, SignalKind.RATE) if role is Role.BOOLEAN else kinds


def _measure_kinds(key: ColumnKey, role: Role) -> list[tuple[SignalKind, ...]]:
    if key in _RATE_KINDS:
        return []
    if role is Role.NUMERIC:
        return [(SignalKind.VALUE,)]
    if role is Role.CATEGORY:
        return [Categories.kinds]
    if role is Role.TEXT:
        return [(SignalKind.LENGTH, SignalKind.EMPTY)]
    if role is Role.VECTOR:
        return [(SignalKind.NORM,), (SignalKind.DISTANCE,)]
    return []


def _learn_measures(key: ColumnKey, role: Role, column: Column) -> list[Measure]:
    return [
        Categories.of(column)
        if kinds == Categories.kinds
        else Numbers.of(kinds, EXPECTED[role], column)
        for kinds in _measure_kinds(key, role)
    ]


def _new_measures(key: ColumnKey, role: Role) -> list[Measure]:
    return [
        Categories() if kinds == Categories.kinds else Numbers(kinds, EXPECTED[role])
        for kinds in _measure_kinds(key, role)
    ]


_PRESENCE = (
    SignalKind.MISSING,
    SignalKind.TYPE_BREAK,
    SignalKind.RATE,
    SignalKind.NULL_OUTPUT,
    SignalKind.FAILED,
    SignalKind.DUPLICATES,
)


@kernel
def _fill_presence(
    kinds: NDArray[np.uint8],
    numbers: Floats,
    expected: int,
    rows: Floats,
    presence: NDArray[np.int64],
) -> None:
    """Write the 0/1 signals that follow from the cells' kinds.

    `presence` says per row which: 0 missing, 1 type break, from 2 on the cell's own truth.
    """
    for place in range(len(presence)):
        row, code = rows[place], presence[place]
        for i in range(len(kinds)):
            present = kinds[i] > 1
            if code == 0:
                row[i] = 0.0 if present else 1.0
            elif code == 1:
                row[i] = (0.0 if kinds[i] == expected else 1.0) if present else np.nan
            else:
                row[i] = numbers[i] if kinds[i] == 3 else np.nan
