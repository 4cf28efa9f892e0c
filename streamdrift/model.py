"""One model version: its reference, its signals and their changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from streamdrift.changes import Step
from streamdrift.columns import cut, take
from streamdrift.detectors.learning import learn
from streamdrift.distributions import Distribution
from streamdrift.errors import StateError
from streamdrift.first_references import learn_references
from streamdrift.model_settings import ModelSettings
from streamdrift.readings import Readings
from streamdrift.realised import Span
from streamdrift.records import (
    Batch,
    ColumnKey,
    FoundIn,
    Group,
    Kind,
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
from streamdrift.signals.fitting import fits
from streamdrift.signals.naming import column_names, setting_names
from streamdrift.signals.roles import UNWATCHED, Role, learn_role
from streamdrift.terms import Terms, waiting_terms
from streamdrift.watch_settings import WatchSettings
from streamdrift.watching import Watching, restore_columns, signals_of


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
        self._unknown: list[ColumnKey] = []
        """Columns the reference lacks, in the order of the events that show them."""
        self._told = 0
        """How many of the unknown columns are told."""
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
            observed.notices.extend(self._notice_new(kept))
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
        columns, roles = learned.columns, learned.roles
        self._arm(columns, roles, rows, collector.rate)
        names = dict(zip(roles, column_names(tuple(roles), divided=self._divided), strict=True))
        unwatched = {
            names[key]: role.value
            for key, role in roles.items()
            if role in UNWATCHED and role is not Role.OVER
        }
        over = sum(role is Role.OVER for role in roles.values())
        fields: dict[str, object] = {
            "events": collector.events,
            "columns": len(columns),
            "signals": len(self.signals),
            "unwatched": unwatched,
        }
        if over:
            fields[Role.OVER.value] = over
        if found := _told(self.findings):
            fields["findings"] = found
        notices = [self._notice("reference complete", fields)]
        for key, wanted in learned.misfits.items():
            told = {"column": names[key], "wanted": wanted.value, "kept": roles[key].value}
            notices.append(self._notice("role does not fit", told))
        known = {name for key in roles for name in setting_names(key)}
        given = {
            "roles without a column": set(self._settings.roles),
            "private without a column": set(self._settings.private),
        }
        effect = "none: no event of the reference has these columns"
        for event, named in given.items():
            unused = sorted(named - known)
            if unused and not self._divided:  # Of those that are, no group knows all columns.
                notices.append(self._notice(event, {"columns": unused, "effect": effect}))
        return notices

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

    def _notice_new(self, batch: Batch) -> list[Notice]:
        """Tell of columns that appear: all of an event at once, the more the more seldom.

        Each time only when half as many again have come together, so that a stream in which
        names are made up tells of it a few times.
        """
        assert self._watching is not None
        notices: list[Notice] = []
        limit = self._settings.max_columns
        if len(self._unknown) >= limit:
            return notices
        unseen = batch.columns.keys() - self._watching.roles.keys() - set(self._unknown)
        for _, keys in groupby(sorted(_first_shown(batch, unseen)), key=itemgetter(0)):
            self._unknown += [key for _, key in keys][: limit - len(self._unknown)]
            due = self._told + max(1, self._told // 2)
            if len(self._unknown) > self._told and len(self._unknown) >= min(due, limit):
                names = sorted(column_names(self._unknown[self._told :], divided=self._divided))
                fields = {"columns": names, "effect": "not watched until a new reference"}
                notices.append(self._notice("columns appeared", fields))
                self._told = len(self._unknown)
        return notices

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
            "unknown": [[key.group.value, key.name] for key in self._unknown],
            "told": self._told,
            "terms": self._terms,
            "waiting": self._waiting,
            "recent": self._recent.snapshot(),
            "reference_ids": [self._with_id, self._repeated],
            "collector": self._collector.snapshot() if self._collector else None,
            "watching": self._watching.snapshot() if self._watching else None,
            "repeats": self._repeats.snapshot() if self._repeats else None,
        }

    def restore(self, state: Mapping[str, object]) -> list[Notice]:
        """Take over what `snapshot` returned; tell what other settings than then change.

        Raises StateError where the model was divided otherwise.
        """
        if state["groups"] != self._settings.feature_groups:
            raise StateError(
                f"feature_groups of the model {self.model!r} was {state['groups']}, and is "
                f"{self._settings.feature_groups}: its columns would be looked for elsewhere",
                "change it back, or begin anew with `streamdrift state reset`",
            )
        events, last_at, unknown = state["events"], state["last_at"], state["unknown"]
        told, recent, counts = state["told"], state["recent"], state["reference_ids"]
        pace = state["pace"]
        assert pace is None or isinstance(pace, float)
        assert isinstance(events, int)
        assert isinstance(last_at, int)
        assert isinstance(unknown, Sequence)
        assert isinstance(told, int)
        assert isinstance(recent, Mapping)
        assert isinstance(counts, Sequence)
        self._pace = pace
        self._recent.restore(recent)
        self._with_id, self._repeated = counts
        self.events, self.last_at, self._told = events, last_at, told
        self._unknown = [ColumnKey(Group(group), name) for group, name in unknown]
        collector = state["collector"]
        if isinstance(collector, Mapping):
            self._collector = Collector(self._settings.reference)
            self._collector.restore(collector)
        watching, repeats = state["watching"], state["repeats"]
        if not isinstance(watching, Mapping):
            return []
        self._collector = None
        since = state["watched_since"]
        assert isinstance(since, int)
        self._watched_since = since
        restarted = self._restore_watched(
            watching, repeats if isinstance(repeats, Mapping) else None
        )
        assert self._watching is not None
        terms, waiting = state["terms"], state["waiting"]
        assert isinstance(terms, Mapping)
        self._terms = dict(terms)
        self._waiting = waiting_terms(terms, self._settings.terms(), self._watching.roles)
        notices: list[Notice] = []
        if restarted:
            fields: dict[str, object] = {
                "signals": [signal.name for signal in restarted],
                "effect": "their detectors start afresh",
            }
            notices.append(self._notice("detectors changed", fields))
        if self._waiting and self._waiting != waiting:
            fields = {"settings": self._waiting, "effect": "takes effect with the next reference"}
            notices.append(self._notice("settings wait", fields))
        return notices

    def _restore_watched(
        self, watching: Mapping[str, object], repeats: Mapping[str, object] | None
    ) -> list[Signal]:
        """Restore what is watched; return the signals whose detectors start afresh."""
        names = (self.model, self.version)
        columns = restore_columns(watching)
        apart = [] if repeats is None else restore_columns(repeats)
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


def _first_shown(batch: Batch, keys: Iterable[ColumnKey]) -> Iterator[tuple[int, ColumnKey]]:
    """Yield the row that shows a column first, for those that any event of the batch has."""
    for key in keys:
        shown = batch.columns[key].kinds != Kind.ABSENT
        if shown.any():
            yield int(shown.argmax()), key


@dataclass(frozen=True, slots=True)
class Learned:
    """What a reference says of a model version's columns."""

    columns: Sequence[ColumnSignals]
    """Those that are watched, by key."""
    roles: Mapping[ColumnKey, Role]
    """Of every column."""
    misfits: Mapping[ColumnKey, Role]
    """Roles the settings want, for columns that have no cell they could work on."""


def learn_columns(rows: Batch, settings: ModelSettings) -> Learned:
    """Return what the reference events say of their columns under a model's settings."""
    columns: list[ColumnSignals] = []
    roles: dict[ColumnKey, Role] = {}
    misfits: dict[ColumnKey, Role] = {}
    features = 0
    for key in sorted(rows.columns):
        column = rows.columns[key]
        if not set(setting_names(key)).isdisjoint(settings.ignore):
            roles[key] = Role.IGNORED
            continue
        wanted = settings.role_of(key)
        role = learn_role(column) if wanted is None or not fits(wanted, column) else wanted
        if wanted is not None and wanted is not role:
            misfits[key] = wanted
        if key.group is Group.FEATURE and role not in UNWATCHED:
            features += 1
            role = role if features <= settings.max_columns else Role.OVER
        roles[key] = role
        if role not in UNWATCHED:
            columns.append(ColumnSignals.learn(key, role, column))
    return Learned(columns, roles, misfits)
