"""A model version whose reference is complete: from its events to its signals' steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamdrift.columns import cut
from streamdrift.detectors import DetectorSettings
from streamdrift.groups import SIGNALS
from streamdrift.records import (
    Batch,
    Change,
    ColumnKey,
    Floats,
    Group,
    Ints,
    Signal,
    SignalKind,
    SignalReading,
    State,
    Step,
    StepKind,
    Summary,
)
from streamdrift.signals.collector import Thinned
from streamdrift.signals.column import ColumnSignals, is_rate
from streamdrift.signals.marks import STRIDE, Marks
from streamdrift.signals.naming import setting_names, signal_names, signal_setting_names
from streamdrift.signals.roles import Role
from streamdrift.watch import HoldSettings, Sign, Watch

BLOCK = 2_048
"""Events whose signals are computed at once: small enough for the processor's cache."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What `Watching` needs to know of the model's settings."""

    detectors_of: Callable[[Sequence[str]], tuple[DetectorSettings, ...]]
    """The detectors of a signal by its names; the first one that is set decides."""
    hold: HoldSettings
    room: int
    """Values kept of a changed signal, for its next reference."""
    private: frozenset[str]


@dataclass(slots=True)
class _Since:
    """The values of a held signal since its change."""

    changed_at: int
    seen_at: int
    """When there was a value last."""
    begin: int
    """The row of the current block they start at."""
    values: Thinned


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


class Watching:
    """The signals of one model version, their detectors, and where they are in the stream.

    `signals` are those of `columns`, as `signals_of` gave them for all of the version's.
    """

    def __init__(
        self,
        model: str,
        version: str,
        settings: WatchSettings,
        columns: Sequence[ColumnSignals],
        roles: Mapping[ColumnKey, Role],
        signals: Sequence[Signal],
    ) -> None:
        self._model = model
        self._version = version
        self._settings = settings
        self._columns = columns
        self.roles = roles
        self._places: list[tuple[ColumnSignals, SignalKind]] = [
            (column, kind) for column in columns for kind in column.kinds
        ]
        self.signals = tuple(signals)
        moments = np.array([column.expectation(kind) for column, kind in self._places])
        moments = moments.reshape(-1, 2)
        self._watch = Watch(
            [_detectors(settings, signal) for signal in self.signals],
            moments[:, 0].copy(),
            moments[:, 1].copy(),
        )
        self._marks = Marks(len(self.signals))
        self._ordinal = 0
        self._since: dict[int, _Since] = {}

    def observe(self, batch: Batch) -> list[Step]:
        """Take the version's next events, in order; return what its signals did."""
        steps: list[Step] = []
        begin = 0
        while begin < len(batch):
            end = self._block_end(batch.time, begin)
            steps += self._observe_block(cut(batch, begin, end))
            begin = end
        return steps

    def _block_end(self, time: Ints, begin: int) -> int:
        """Return where a block must end so that acceptance falls on a fixed ordinal.

        A block spans less than `accept_after`, so nothing that changes in it is due in it;
        once something is due, blocks end at multiples of STRIDE, where it is decided.
        """
        accept_after = self._settings.hold.accept_after
        span = int(np.searchsorted(time, time[begin] + accept_after))
        end = min(len(time), begin + BLOCK, max(span, begin + 1))
        due = min((since.changed_at for since in self._since.values()), default=None)
        if due is not None and time[end - 1] >= due + accept_after:
            end = min(end, begin + STRIDE - self._ordinal % STRIDE)
        return end

    def _observe_block(self, batch: Batch) -> list[Step]:
        rows = np.empty((len(self.signals), len(batch)))
        place = 0
        for column in self._columns:
            stop = place + len(column.kinds)
            column.fill(batch.columns.get(column.key), rows[place:stop])
            place = stop
        steps = []
        added = 0
        for sign in self._watch.update(rows):
            self._marks.add(batch, rows, added, sign.row + 1)
            added = sign.row + 1
            steps.append(self._step(sign, int(batch.time[sign.row])))
        self._marks.add(batch, rows, added, len(batch))
        self._collect(batch.time, rows)
        self._ordinal += len(batch)
        if self._since and self._ordinal % STRIDE == 0:
            steps += self._accept(int(batch.time[-1]))
        return steps

    def _step(self, sign: Sign, time: int) -> Step:
        signal = self.signals[sign.signal]
        if sign.evidence is None:
            del self._since[sign.signal]
            return Step(StepKind.RETURNED, self._model, self._version, signal, time)
        assert sign.detector is not None
        evidence = sign.evidence
        column, kind = self._places[sign.signal]
        back = evidence.earliest
        old, new = column.describe(kind, evidence.before, evidence.after, sign.row, back + 1)
        if not self._settings.private.isdisjoint(setting_names(column.key)):
            old, new = Summary(old.mean), Summary(new.mean)
        last = self._marks.position(sign.signal) - 1
        change = Change(
            detector=sign.detector,
            statistic=evidence.statistic,
            threshold=evidence.threshold,
            effect=(evidence.after - evidence.before) / sign.scale,
            before=old,
            after=new,
            onset=self._marks.onset(sign.signal, last - back, last - evidence.latest, time),
            share=1.0,
        )
        values = Thinned(self._settings.room)
        self._since[sign.signal] = _Since(time, time, sign.row + 1, values)
        return Step(StepKind.CHANGED, self._model, self._version, signal, time, change)

    def _collect(self, times: Ints, rows: Floats) -> None:
        """Keep what held signals show, as what may become their reference."""
        for ordinal, since in self._since.items():
            column, kind = self._places[ordinal]
            values = column.raw(kind, rows, self._first(column))[since.begin :]
            there = np.flatnonzero(~np.isnan(values))
            if len(there):
                since.values.add(values[there])
                since.seen_at = int(times[since.begin + there[-1]])
            since.begin = 0

    def _first(self, column: ColumnSignals) -> int:
        """Return the ordinal of the column's first signal."""
        return next(place for place, (other, _) in enumerate(self._places) if other is column)

    def _accept(self, time: int) -> list[Step]:
        """Make the new normal of what changed long enough ago their reference.

        One that has shown no value for as long keeps the reference it had: what is not
        there cannot return, and would keep its incident open for ever.
        """
        hold = self._settings.hold
        steps = []
        for ordinal in sorted(self._since):
            since = self._since.get(ordinal)
            if since is None or time < since.changed_at + hold.accept_after:
                continue
            column, kind = self._places[ordinal]
            if since.values.seen >= hold.accept_events:
                touched = column.accept(kind, since.values.values())
            elif time >= since.seen_at + hold.accept_after:
                touched = (kind,)
            else:
                continue
            first = self._first(column)
            for other in (first + column.kinds.index(kind) for kind in touched):
                self._watch.rearm(other, *column.expectation(self._places[other][1]))
                if self._since.pop(other, None) is not None:
                    steps.append(
                        Step(
                            StepKind.ACCEPTED,
                            self._model,
                            self._version,
                            self.signals[other],
                            time,
                        )
                    )
        return steps

    def retire(self, time: int) -> list[Step]:
        """Let go of everything that is held, as the version sends nothing any more."""
        return [
            Step(StepKind.RETURNED, self._model, self._version, self.signals[ordinal], time)
            for ordinal in sorted(self._since)
        ]

    @property
    def reading_count(self) -> int:
        """How many readings there are."""
        return self._watch.reading_count

    def readings(self) -> list[SignalReading]:
        """Return every detector's statistic and threshold."""
        return [
            SignalReading(
                self._model,
                self._version,
                self.signals[signal],
                detector,
                statistic,
                threshold,
                bool(self._watch.held[signal]),
            )
            for signal, detector, statistic, threshold in self._watch.readings()
        ]

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "columns": [column.snapshot() for column in self._columns],
            "roles": [[key.group.value, key.name, role.value] for key, role in self.roles.items()],
            "watch": self._watch.snapshot(),
            "marks": self._marks.snapshot(),
            "ordinal": self._ordinal,
            "since": [
                [ordinal, since.changed_at, since.seen_at, since.values.snapshot()]
                for ordinal, since in sorted(self._since.items())
            ],
        }

    @classmethod
    def restore(
        cls,
        model: str,
        version: str,
        settings: WatchSettings,
        columns: Sequence[ColumnSignals],
        signals: Sequence[Signal],
        state: Mapping[str, object],
    ) -> tuple["Watching", Sequence[Signal]]:
        """Return what `snapshot` was taken of, with the columns that `restore_columns` gave.

        Beside it, the signals whose detectors start afresh: the settings give them others.
        """
        roles, since = state["roles"], state["since"]
        watch, marks, ordinal = state["watch"], state["marks"], state["ordinal"]
        assert isinstance(roles, Sequence)
        assert isinstance(since, Sequence)
        assert isinstance(watch, Mapping)
        assert isinstance(marks, Mapping)
        assert isinstance(ordinal, int)
        named = {ColumnKey(Group(group), name): Role(role) for group, name, role in roles}
        watching = cls(model, version, settings, columns, named, signals)
        restarted = watching._watch.restore(watch)
        watching._marks.restore(marks)
        watching._ordinal = ordinal
        for signal, changed_at, seen_at, values in since:
            thinned = Thinned(settings.room)
            thinned.restore(values)
            watching._since[signal] = _Since(changed_at, seen_at, 0, thinned)
        return watching, [watching.signals[signal] for signal in restarted]


def restore_columns(model: str, version: str, state: Mapping[str, object]) -> list[ColumnSignals]:
    """Return the columns of a snapshot of `Watching`."""
    columns = state["columns"]
    assert isinstance(columns, Sequence)
    seed = seed_of(model, version)
    return [ColumnSignals.restore(column, seed) for column in columns]


def _detectors(settings: WatchSettings, signal: Signal) -> tuple[DetectorSettings, ...]:
    """Return a signal's detectors; those for 0/1 streams watch rates only."""
    assert signal.column is not None
    names = (signal.name, *signal_setting_names(signal.column, signal.kind))
    return tuple(
        detector
        for detector in settings.detectors_of(names)
        if is_rate(signal.kind) or not (detector.kind == "river" and detector.binary)
    )


def seed_of(model: str, version: str) -> str:
    """Return the seed of a model version's randomised ranks."""
    return f"{model}\0{version}"
