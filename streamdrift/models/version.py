"""One model version: its reference, its signals and their changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from streamdrift.changes import Step
from streamdrift.columns import cut, take
from streamdrift.detectors.learning import learn
from streamdrift.distributions import Distribution
from streamdrift.errors import StateError
from streamdrift.incidents.realised import Span
from streamdrift.models.first_references import learn_references
from streamdrift.models.learned_columns import learn_columns
from streamdrift.models.new_columns import NewColumns
from streamdrift.models.settings import ModelSettings
from streamdrift.models.terms import Terms, waiting_terms
from streamdrift.models.version_signals import restore_columns, signals_of
from streamdrift.models.watch_settings import WatchSettings
from streamdrift.models.watching import Watching
from streamdrift.readings import Readings
from streamdrift.records import (
    Batch,
    ColumnKey,
    FoundIn,
    Notice,
    Sample,
    Signal,
    State,
    Stream,
    WarmUp,
)
from streamdrift.references.findings import Finding, told
from streamdrift.signals.collector import Collector
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.duplicates import (
    DUPLICATES,
    RecentIds,
    only_flags,
    with_flags,
)
from streamdrift.signals.roles import Role
from streamdrift.trees import integer, number, optional_tree, text, tree, trees, values


class Observed(NamedTuple):
    """What a model version made of its next events."""

    steps: list[Step]
    notices: list[Notice]
    kept: Batch
    """The events without those that were dropped as repeats."""


class ModelVersion:
    """The monitor of one model version, or one group of it: collects a reference, then watches.

    Of a model that is divided, group 0 has the signal of repeats. Where repeats are dropped,
    that signal is watched apart from all others, which then see the same as if the events had
    never been repeated. `timed` is False where event times are made up: no rhythm is learnt then.
    """

    def __init__(
        self,
        model: str,
        version: str,
        settings: ModelSettings,
        group: int = 0,
        *,
        timed: bool = True,
    ) -> None:
        self.model = model
        self.version = version
        self.group = group
        self.events = 0
        self.last_at = 0
        self._watched_since: int | None = None
        """The time of the reference's last event."""
        self._settings = settings
        watching = settings.of_watching()
        self._watch_settings = watching if timed else replace(watching, span=0)
        self._recent = RecentIds(settings.duplicates.window)
        self._collector: Collector | None = Collector(settings.reference)
        self._with_id = 0
        """Events of the reference that have an id, dropped ones included."""
        self._repeated = 0
        """Those of them that are repeats."""
        self._pace: float | None = None
        """The events that the model brings in a microsecond, over all its versions, once known."""
        self._watching: Watching | None = None
        self._repeats: Watching | None = None
        """The signal of repeats, where they are dropped."""
        self._new_columns = NewColumns(settings.max_columns, divided=self._divided)
        self._terms: Terms = {}
        """What the reference was learned under; none while it is collected."""
        self._waiting: Terms = {}
        """What waits for the next reference, as it was told last."""

    def observe(self, batch: Batch) -> Observed:
        """Take the version's next events, in order."""
        self.last_at = int(batch.time[-1])
        flags = self._recent.observe(batch.ids)
        if self.group == 0:
            batch = with_flags(batch, flags)
        kept, rows = batch, np.arange(len(batch))
        if self._settings.deduplicate and (flags == 1).any():
            rows = np.flatnonzero(flags != 1)
            kept = take(batch, rows)
        self.events += len(kept)
        observed = Observed([], [], kept)
        needed: int | None = 0
        begin = 0
        if self._collector is not None:
            needed = self._collector.add(kept) if len(kept) else None
            begin = len(batch) if needed is None else int(rows[needed - 1]) + 1
            self._with_id += int((~np.isnan(flags[:begin])).sum())
            self._repeated += int((flags[:begin] == 1).sum())
            if needed is not None:
                self._watched_since = int(kept.time[needed - 1])
                observed.notices.extend(self._complete(self._collector))
        if needed is not None:
            self._watch(cut(kept, needed, len(kept)), cut(batch, begin, len(batch)), observed)
        return observed

    def go_at(self, pace: float) -> None:
        """Learn how many events the model brings in a microsecond, over all its versions."""
        self._pace = pace
        for each in self._watched:
            if each.pace != pace:
                each.go_at(pace)

    def advance(self, watermark: int) -> list[Step]:
        """Learn that no event is older than `watermark`."""
        return [step for each in self._watched for step in each.advance(watermark)]

    def _watch(self, kept: Batch, whole: Batch, observed: Observed) -> None:
        """Watch events past the reference, with and without those that are dropped."""
        assert self._watching is not None
        if len(kept):
            effect = "not watched until a new reference"
            for names in self._new_columns.observe(kept, self._watching.roles.keys()):
                fields: dict[str, object] = {"columns": names, "effect": effect}
                observed.notices.append(self._notice("columns appeared", fields))
            observed.steps.extend(self._watching.observe(kept))
            if learnt := self._watching.completed():
                fields = {"signals": len(learnt), "findings": _told(learnt)}
                observed.notices.append(self._notice("rhythm learnt", fields))
        if self._repeats is not None and len(whole):
            observed.steps.extend(self._repeats.observe(only_flags(whole)))

    def _complete(self, collector: Collector) -> list[Notice]:
        self._collector = None
        self._terms = self._settings.terms()
        rows = collector.rows()
        learned = learn_columns(rows, self._settings)
        self._arm(learned.columns, learned.roles, rows, collector.rate)
        fields: dict[str, object] = {
            "events": collector.events,
            "columns": len(learned.columns),
            "signals": len(self.signals),
            **learned.unwatched(divided=self._divided),
        }
        if found := _told(self.findings):
            fields["findings"] = found
        facts = [("reference complete", fields), *learned.without_effect(self._settings)]
        return [self._notice(event, told) for event, told in facts]

    def _arm(
        self,
        columns: Sequence[ColumnSignals],
        roles: Mapping[ColumnKey, Role],
        rows: Batch,
        rate: float,
    ) -> None:
        """Begin to watch the columns, which are in the order of their keys.

        `rows` are the reference's events, of which `rate` come in a microsecond.
        """
        settings = self._watch_settings
        signals = self._signals_of(columns)
        learned = learn_references(self.model, self.version, columns, signals, rows, rate, settings)
        references, present, rhythms = learned.references, learned.present, learned.rhythms
        pace = rate if self._pace is None else self._pace
        if not self._settings.deduplicate or not columns or columns[-1].key != DUPLICATES:
            watch = partial(Watching, self.model, self.version, settings)
            self._watching = watch(columns, roles, signals, references, present, pace, rhythms)
            return
        others, own = self._apart(signals[:-1], signals[-1:])
        counts = np.array([self._with_id - self._repeated, self._repeated], dtype=np.float64)
        repeats = learn(Sample(Stream.RATE, counts))
        watch = partial(Watching, self.model, self.version)
        self._watching = watch(
            others,
            columns[:-1],
            roles,
            signals[:-1],
            references[:-1],
            present[:-1],
            pace,
            rhythms,
        )
        self._repeats = watch(
            own, columns[-1:], {}, signals[-1:], [repeats], present[-1:], pace, {}
        )

    def _apart(
        self, signals: Sequence[Signal], repeats: Sequence[Signal]
    ) -> tuple[WatchSettings, WatchSettings]:
        """Return the settings of signals, and of that of repeats: they share one budget."""
        settings = self._watch_settings
        return (
            replace(settings, besides=[settings.weight_of(signal) for signal in repeats]),
            replace(settings, besides=[settings.weight_of(signal) for signal in signals]),
        )

    @property
    def _divided(self) -> bool:
        return self._settings.feature_groups > 1

    def _signals_of(self, columns: Sequence[ColumnSignals]) -> tuple[Signal, ...]:
        return signals_of(columns, self.group, divided=self._divided)

    def _notice(self, event: str, fields: Mapping[str, object]) -> Notice:
        if self._divided:
            fields = {**fields, "group": self.group}
        return Notice(event, self.model, self.version, fields)

    @property
    def watched(self) -> Span | None:
        """From when to when the version is watched; None before its reference is complete."""
        return None if self._watched_since is None else Span(self._watched_since, self.last_at)

    @property
    def retires_at(self) -> int:
        """When the version is forgotten if it sends nothing more."""
        return self.last_at + self._settings.retire_after

    def retire(self) -> list[Step]:
        """Return the last steps of a version that is forgotten."""
        return [step for each in self._watched for step in each.retire(self.retires_at)]

    def accept(self, through: int, time: int) -> None:
        """Take what changed by then for normal, as an operator asks, once it has shown enough."""
        for each in self._watched:
            each.accept(through, time)

    def resolve(self, through: int, time: int) -> list[Step]:
        """Watch what changed by then as before, as an operator asks."""
        return [step for each in self._watched for step in each.resolve(through, time)]

    @property
    def _watched(self) -> list[Watching]:
        return [each for each in (self._watching, self._repeats) if each is not None]

    @property
    def signals(self) -> Sequence[Signal]:
        """The signals that are watched; none before the reference is complete."""
        return [signal for each in self._watched for signal in each.signals]

    @property
    def run_lengths(self) -> Sequence[float]:
        """After how many of its own values each signal may raise a false alarm alone."""
        return [length for each in self._watched for length in each.run_lengths.tolist()]

    @property
    def roles(self) -> Mapping[ColumnKey, Role]:
        """What each column of the reference was taken for."""
        return self._watching.roles if self._watching else {}

    @property
    def findings(self) -> list[tuple[Signal, tuple[Finding, ...]]]:
        """What people should know of the references of signals, where there is anything."""
        return [found for each in self._watched for found in each.findings]

    def found_in(self) -> list[FoundIn]:
        """Return the kinds of what was found in the references of signals."""
        return [FoundIn(self.model, self.version, each.codes) for each in self._watched]

    def readings(self) -> list[Readings]:
        """Return every detector's statistic and threshold."""
        return [each.readings() for each in self._watched]

    @property
    def changes(self) -> list[tuple[Signal, int, int]]:
        """Signals that are changed, since when, and how many values there were since."""
        return [change for each in self._watched for change in each.changes]

    def distribution(self, signal: Signal) -> Distribution | None:
        """Return what one of the signals shows beside its reference; None where that is private."""
        watching = next(each for each in self._watched if signal in each.signals)
        return watching.distribution(signal)

    def warm_up(self) -> WarmUp:
        """Return how far the reference is."""
        collected = self._collector.events if self._collector else self._settings.reference.events
        return WarmUp(
            self.model,
            self.version,
            collected,
            self._settings.reference.events,
            self._watching is not None,
        )

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "model": self.model,
            "version": self.version,
            "group": self.group,
            "groups": self._settings.feature_groups,
            "events": self.events,
            "last_at": self.last_at,
            "watched_since": self._watched_since,
            "pace": self._pace,
            **self._new_columns.snapshot(),
            "terms": self._terms,
            "waiting": self._waiting,
            "recent": self._recent.snapshot(),
            "reference_ids": [self._with_id, self._repeated],
            "collector": self._collector.snapshot() if self._collector else None,
            "watching": self._watching.snapshot() if self._watching else None,
            "repeats": self._repeats.snapshot() if self._repeats else None,
        }

    def restore(self, state: State) -> list[Notice]:
        """Take over what `snapshot` returned; tell what other settings than then change.

        Raises StateError where the model was divided otherwise.
        """
        if state["groups"] != self._settings.feature_groups:
            raise StateError(
                f"feature_groups of the model {self.model!r} was {state['groups']}, and is "
                f"{self._settings.feature_groups}: its columns would be looked for elsewhere",
                "change it back, or begin anew with `streamdrift state reset`",
            )
        self.events, self.last_at = integer(state, "events"), integer(state, "last_at")
        self._pace = None if state["pace"] is None else number(state, "pace")
        self._new_columns.restore(state)
        self._recent.restore(tree(state, "recent"))
        self._with_id, self._repeated = cast(list[int], values(state, "reference_ids"))
        collector, watching = optional_tree(state, "collector"), optional_tree(state, "watching")
        if collector is not None:
            self._collector = Collector(self._settings.reference)
            self._collector.restore(collector)
        if watching is None:
            return []
        self._collector = None
        self._watched_since = integer(state, "watched_since")
        restarted = self._restore_watched(watching, optional_tree(state, "repeats"))
        notices = []
        if restarted:
            names = [signal.name for signal in restarted]
            fields = {"signals": names, "effect": "their detectors start afresh"}
            notices.append(self._notice("detectors changed", fields))
        return [*notices, *self._restore_terms(state)]

    def _restore_terms(self, state: State) -> list[Notice]:
        """Take over under what the reference was learned; tell what waits for another, if anew."""
        assert self._watching is not None
        self._terms = _terms(state, "terms")
        self._waiting = waiting_terms(self._terms, self._settings.terms(), self._watching.roles)
        if not self._waiting or self._waiting == _terms(state, "waiting"):
            return []
        fields = {"settings": self._waiting, "effect": "takes effect with the next reference"}
        return [self._notice("settings wait", fields)]

    def _restore_watched(self, watching: State, repeats: State | None) -> list[Signal]:
        """Restore what is watched; return the signals whose detectors start afresh."""
        names = (self.model, self.version)
        columns = restore_columns(trees(watching, "columns"))
        apart = [] if repeats is None else restore_columns(trees(repeats, "columns"))
        signals = self._signals_of([*columns, *apart])
        end = len(signals) - len(apart)
        restored = partial(Watching.restore, *names)
        if repeats is None:
            settings = self._watch_settings
            self._watching, restarted = restored(settings, columns, signals, watching)
            return [*restarted]
        others, own = self._apart(signals[:end], signals[end:])
        self._watching, restarted = restored(others, columns, signals[:end], watching)
        self._repeats, more = restored(own, apart, signals[end:], repeats)
        return [*restarted, *more]


def _told(findings: Iterable[tuple[Signal, Sequence[Finding]]]) -> list[str]:
    """Say what was found in the references of signals."""
    return told((signal.name, each) for signal, each in findings)


def _terms(state: State, name: str) -> Terms:
    terms = tree(state, name)
    return {key: text(terms, key) for key in terms}
