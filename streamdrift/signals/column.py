"""All signals of one column of a model version."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamdrift.columns import absent
from streamdrift.kernels import kernel
from streamdrift.records import (
    AlertKind,
    Column,
    ColumnKey,
    Floats,
    Group,
    Kind,
    SignalKind,
    State,
    Summary,
)
from streamdrift.signals.duplicates import DUPLICATES
from streamdrift.signals.fitting import expected_kind, seen_as
from streamdrift.signals.measures import Categories, Measure, Ranked
from streamdrift.signals.roles import EXPECTED, UNWATCHED, Role

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
        self.kinds = (*self._presence, *(kind for measure in measures for kind in measure.kinds))
        self._rates = dict.fromkeys((kind for kind in self.kinds if is_rate(kind)), 0.0)

    @classmethod
    def learn(cls, key: ColumnKey, role: Role, column: Column, seed: str) -> "ColumnSignals":
        """Return the signals of `column`, with its reference events as the reference.

        The role must fit the column.
        """
        expected = expected_kind(role, column)
        seen = seen_as(role, expected, column)
        signals = cls(key, role, expected, _learn_measures(key, role, seen, seed))
        rows = np.empty((len(signals.kinds), len(column.kinds)))
        signals.fill(column, rows)
        for place, kind in enumerate(signals.kinds):
            if kind in signals._rates:
                signals._rates[kind] = _smoothed_rate(rows[place])
        signals._expect_unseen()
        for measure in signals._measures:
            measure.values = 0
        return signals

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
            np.array([_PRESENCE.index(kind) for kind in self._presence], dtype=np.int64),
        )
        for measure in self._measures:
            stop = place + len(measure.kinds)
            if measure.kinds == (SignalKind.LENGTH, SignalKind.EMPTY):
                measure.fill(column, rows[place : place + 1])
                lengths = measure.raw()
                rows[place + 1] = np.where(np.isnan(lengths), np.nan, lengths == 0)
            else:
                measure.fill(column, rows[place:stop])
            place = stop

    def expectation(self, kind: SignalKind) -> tuple[float, float]:
        """Return a signal's mean and standard deviation under the reference."""
        rate = self._rates.get(kind)
        if rate is not None:
            return rate, (rate * (1 - rate)) ** 0.5
        return 0.5, 12**-0.5

    def expect_rate(self, kind: SignalKind, ones: int, events: int) -> None:
        """Take the rate of a signal of 0s and 1s under the reference from a count."""
        self._rates[kind] = _smoothed(ones, events)

    def alert_kind(self, kind: SignalKind) -> AlertKind:
        """Return what kind of trouble a change of the signal is."""
        if kind in _QUALITY:
            return AlertKind.DATA_QUALITY
        if self.key.group is Group.OUTPUT:
            return AlertKind.PREDICTION_DRIFT
        return AlertKind.LATENCY if self.key.group is Group.METRIC else AlertKind.DATA_DRIFT

    def describe(
        self, kind: SignalKind, before: float, after: float, row: int, back: int
    ) -> tuple[Summary, Summary]:
        """Return before and after of a change seen at `row` of the last `fill`."""
        measure = self._measure_of(kind)
        if measure is None or (is_rate(kind) and kind is not SignalKind.UNSEEN):
            return Summary(before), Summary(after)
        new = measure.after(row, back)
        old = measure.before(new.shares)
        return (
            Summary(before, old.quantiles, old.shares),
            Summary(after, new.quantiles, new.shares),
        )

    def raw(self, kind: SignalKind, rows: Floats, first: int) -> Floats:
        """Return what `accept` needs to know of the cells of the last `fill`.

        `rows` float64[s, n] are the model version's signals, the column's from `first` on.
        """
        measure = self._measure_of(kind)
        return rows[first + self.kinds.index(kind)] if measure is None else measure.raw()

    def accept(self, kind: SignalKind, raw: Floats) -> tuple[SignalKind, ...]:
        """Take values since a change as the new reference; return the signals it touches."""
        measure = self._measure_of(kind)
        if measure is None:
            self._rates[kind] = _smoothed_rate(raw)
            return (kind,)
        measure.learn(raw)
        self._expect_unseen()
        if SignalKind.EMPTY in measure.kinds:
            self._rates[SignalKind.EMPTY] = _smoothed_rate((raw == 0).astype(np.float64))
        return measure.kinds

    def _expect_unseen(self) -> None:
        measure = self._measure_of(SignalKind.UNSEEN)
        if isinstance(measure, Categories):
            self._rates[SignalKind.UNSEEN] = measure.unseen

    def _measure_of(self, kind: SignalKind) -> Measure | None:
        return next((measure for measure in self._measures if kind in measure.kinds), None)

    def snapshot(self) -> State:
        """Return the references and positions."""
        return {
            "group": self.key.group.value,
            "name": self.key.name,
            "role": self.role.value,
            "expected": int(self._expected),
            "rates": {kind.value: rate for kind, rate in self._rates.items()},
            "measures": [measure.snapshot() for measure in self._measures],
        }

    @classmethod
    def restore(cls, state: Mapping[str, object], seed: str) -> "ColumnSignals":
        """Return what `snapshot` was taken of."""
        key = ColumnKey(Group(str(state["group"])), str(state["name"]))
        role = Role(str(state["role"]))
        measures = _new_measures(key, role, seed)
        snapshots, rates, expected = state["measures"], state["rates"], state["expected"]
        assert isinstance(snapshots, Sequence)
        assert isinstance(rates, Mapping)
        assert isinstance(expected, int)
        for measure, snapshot in zip(measures, snapshots, strict=True):
            measure.restore(snapshot)
        signals = cls(key, role, Kind(expected), measures)
        signals._rates = {SignalKind(kind): rate for kind, rate in rates.items()}
        return signals


def is_rate(kind: SignalKind) -> bool:
    """Tell whether a signal is a stream of 0s and 1s."""
    return kind in _QUALITY or kind is SignalKind.RATE


def _smoothed_rate(flags: Floats) -> float:
    """Return the share of ones with half a one and half a zero added (Krichevsky, Trofimov)."""
    flags = flags[~np.isnan(flags)]
    return _smoothed(float(flags.sum()), len(flags))


def _smoothed(ones: float, events: int) -> float:
    return (ones + 0.5) / (events + 1)


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
        if key.group is Group.METRIC:
            return [(SignalKind.VALUE,)]
        return [(SignalKind.VALUE, SignalKind.SPREAD)]
    if role is Role.CATEGORY:
        return [Categories.kinds]
    if role is Role.TEXT:
        return [(SignalKind.LENGTH, SignalKind.EMPTY)]
    if role is Role.VECTOR:
        return [(SignalKind.NORM,), (SignalKind.DISTANCE,)]
    return []


def _seed(key: ColumnKey, kind: SignalKind, seed: str) -> int:
    text = "\0".join((seed, key.group.value, key.name, kind.value))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def _learn_measures(key: ColumnKey, role: Role, column: Column, seed: str) -> list[Measure]:
    measures: list[Measure] = []
    for kinds in _measure_kinds(key, role):
        coin = _seed(key, kinds[0], seed)
        if kinds == Categories.kinds:
            measures.append(Categories.of(coin, column))
        else:
            measures.append(Ranked.of(kinds, EXPECTED[role], coin, column))
    return measures


def _new_measures(key: ColumnKey, role: Role, seed: str) -> list[Measure]:
    measures: list[Measure] = []
    for kinds in _measure_kinds(key, role):
        coin = _seed(key, kinds[0], seed)
        if kinds == Categories.kinds:
            measures.append(Categories(coin))
        else:
            measures.append(Ranked(kinds, EXPECTED[role], coin))
    return measures


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
        for i in range(len(kinds)):
            present = kinds[i] > 1
            if presence[place] == 0:
                rows[place, i] = 0.0 if present else 1.0
            elif presence[place] == 1:
                if not present:
                    rows[place, i] = np.nan
                else:
                    rows[place, i] = 0.0 if kinds[i] == expected else 1.0
            else:
                rows[place, i] = numbers[i] if kinds[i] == 3 else np.nan
