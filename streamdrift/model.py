"""One model version: its reference, its signals and their changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from streamdrift.columns import cut
from streamdrift.detectors import DEFAULT_DETECTORS, DetectorSettings
from streamdrift.durations import Duration
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.records import (
    Batch,
    ColumnKey,
    Group,
    Notice,
    Signal,
    SignalReading,
    State,
    Step,
    WarmUp,
)
from streamdrift.signals.collector import Collector, ReferenceSettings
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.fitting import fits
from streamdrift.signals.naming import column_names, setting_names
from streamdrift.signals.roles import UNWATCHED, Role, learn_role
from streamdrift.signals.silence import SilenceSettings
from streamdrift.watch import HoldSettings
from streamdrift.watching import Watching, WatchSettings, seed_of

RoleName = Literal[
    "numeric", "boolean", "category", "text", "vector", "identifier", "counter", "date", "ignored"
]


class ModelSettings(BaseModel):
    """How one model is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: ReferenceSettings = Field(
        ReferenceSettings(), description="What a model version is compared with."
    )
    detectors: Literal["default"] | tuple[DetectorSettings, ...] = Field(
        "default",
        description="The detectors of every signal (those for 0/1 streams watch rates only); "
        "an empty list watches nothing.",
    )
    signals: Mapping[str, tuple[DetectorSettings, ...]] = Field(
        {}, description="Other detectors for single signals, by name, e.g. `amount (spread)`."
    )
    roles: Mapping[str, RoleName] = Field(
        {},
        description="What a column is, where the role learned from the data is wrong. Here, in "
        "`signals`, `ignore` and `private` a plain name means all columns of that name, one with "
        "its group, such as `score (output)`, a single one.",
    )
    ignore: tuple[str, ...] = Field((), description="Columns that are not watched.")
    private: tuple[str, ...] = Field(
        (), description="Columns of which no value may appear in alerts and metrics."
    )
    max_columns: int = Field(1_000, ge=1, description="Columns watched at most, by name.")
    hold: HoldSettings = Field(HoldSettings(), description="When a changed signal is re-armed.")
    silence: SilenceSettings = Field(SilenceSettings(), description="When no events are a fault.")
    incidents: IncidentSettings = Field(
        IncidentSettings(), description="How changes become incidents."
    )
    retire_after: Duration = Field(
        7 * 24 * 3_600_000_000,
        description="Event time after which a version that sends nothing is forgotten.",
    )
    labels: Mapping[str, str] = Field({}, description="Labels put on alerts: owner, runbook, ...")

    def detectors_of(self, names: Sequence[str]) -> tuple[DetectorSettings, ...]:
        """Return the detectors of a signal by its names: the first that is set decides."""
        default = DEFAULT_DETECTORS if self.detectors == "default" else self.detectors
        return next((self.signals[name] for name in names if name in self.signals), default)

    def role_of(self, key: ColumnKey) -> Role | None:
        """Return what a column is said to be, None where nothing is said."""
        names = setting_names(key)
        return next((Role(self.roles[name]) for name in names if name in self.roles), None)

    def of_watching(self) -> WatchSettings:
        """Return what a watched version needs to know."""
        return WatchSettings(
            self.detectors_of, self.hold, self.reference.events, frozenset(self.private)
        )


class ModelVersion:
    """The monitor of one model version: collects a reference, then watches."""

    def __init__(self, model: str, version: str, settings: ModelSettings) -> None:
        self.model = model
        self.version = version
        self.events = 0
        self.last_at = 0
        self._settings = settings
        self._collector: Collector | None = Collector(settings.reference)
        self._watching: Watching | None = None
        self._unknown: set[ColumnKey] = set()

    def observe(self, batch: Batch) -> tuple[list[Step], list[Notice]]:
        """Take the version's next events, in order."""
        steps: list[Step] = []
        notices: list[Notice] = []
        self.events += len(batch)
        self.last_at = int(batch.time[-1])
        if self._collector is not None:
            needed = self._collector.add(batch)
            if needed is None:
                return steps, notices
            notices += self._complete(self._collector)
            batch = cut(batch, needed, len(batch))
        assert self._watching is not None
        if len(batch):
            notices += self._notice_new(batch)
            steps = self._watching.observe(batch)
        return steps, notices

    def _complete(self, collector: Collector) -> list[Notice]:
        self._collector = None
        seed = seed_of(self.model, self.version)
        learned = learn_columns(collector.rows(), self._settings, seed)
        columns, roles = learned.columns, learned.roles
        settings = self._settings.of_watching()
        self._watching = Watching(self.model, self.version, settings, columns, roles)
        names = dict(zip(roles, column_names(tuple(roles)), strict=True))
        unwatched = {names[key]: role.value for key, role in roles.items() if role in UNWATCHED}
        fields = {
            "events": collector.events,
            "columns": len(columns),
            "signals": len(self._watching.signals),
            "unwatched": unwatched,
        }
        notices = [self._notice("reference complete", fields)]
        for key, wanted in learned.misfits.items():
            told = {"column": names[key], "wanted": wanted.value, "kept": roles[key].value}
            notices.append(self._notice("role does not fit", told))
        known = {name for key in roles for name in setting_names(key)}
        unused = sorted({*self._settings.roles} - known)
        if unused:
            effect = "none: no event of the reference has these columns"
            notices.append(
                self._notice("roles without a column", {"columns": unused, "effect": effect})
            )
        return notices

    def _notice(self, event: str, fields: Mapping[str, object]) -> Notice:
        return Notice(event, self.model, self.version, fields)

    def _notice_new(self, batch: Batch) -> list[Notice]:
        assert self._watching is not None
        fresh = [
            key
            for key in batch.columns
            if key not in self._watching.roles and key not in self._unknown
        ]
        if not fresh or len(self._unknown) >= self._settings.max_columns:
            return []
        self._unknown.update(fresh)
        names = sorted(key.name for key in fresh)
        fields = {"columns": names, "effect": "not watched until a new reference"}
        return [self._notice("columns appeared", fields)]

    @property
    def retires_at(self) -> int:
        """When the version is forgotten if it sends nothing more."""
        return self.last_at + self._settings.retire_after

    def retire(self) -> list[Step]:
        """Return the last steps of a version that is forgotten."""
        return self._watching.retire(self.retires_at) if self._watching else []

    @property
    def signals(self) -> Sequence[Signal]:
        """The signals that are watched; none before the reference is complete."""
        return self._watching.signals if self._watching else ()

    @property
    def roles(self) -> Mapping[ColumnKey, Role]:
        """What each column of the reference was taken for."""
        return self._watching.roles if self._watching else {}

    def readings(self) -> list[SignalReading]:
        """Return every detector's statistic and threshold."""
        return self._watching.readings() if self._watching else []

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
            "events": self.events,
            "last_at": self.last_at,
            "unknown": [[key.group.value, key.name] for key in sorted(self._unknown)],
            "collector": self._collector.snapshot() if self._collector else None,
            "watching": self._watching.snapshot() if self._watching else None,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        events, last_at, unknown = state["events"], state["last_at"], state["unknown"]
        assert isinstance(events, int)
        assert isinstance(last_at, int)
        assert isinstance(unknown, Sequence)
        self.events, self.last_at = events, last_at
        self._unknown = {ColumnKey(Group(group), name) for group, name in unknown}
        collector, watching = state["collector"], state["watching"]
        if isinstance(collector, Mapping):
            self._collector = Collector(self._settings.reference)
            self._collector.restore(collector)
        if isinstance(watching, Mapping):
            self._collector = None
            self._watching = Watching.restore(
                self.model, self.version, self._settings.of_watching(), watching
            )


@dataclass(frozen=True, slots=True)
class Learned:
    """What a reference says of a model version's columns."""

    columns: Sequence[ColumnSignals]
    """Those that are watched, by key."""
    roles: Mapping[ColumnKey, Role]
    """Of every column."""
    misfits: Mapping[ColumnKey, Role]
    """Roles the settings want, for columns that have no cell they could work on."""


def learn_columns(rows: Batch, settings: ModelSettings, seed: str) -> Learned:
    """Return what the reference events say of their columns under a model's settings."""
    columns: list[ColumnSignals] = []
    roles: dict[ColumnKey, Role] = {}
    misfits: dict[ColumnKey, Role] = {}
    for place, key in enumerate(sorted(rows.columns)):
        column = rows.columns[key]
        ignored = not set(setting_names(key)).isdisjoint(settings.ignore)
        if ignored or place >= settings.max_columns:
            roles[key] = Role.IGNORED
            continue
        learned, wanted = learn_role(column), settings.role_of(key)
        role = learned if wanted is None or not fits(wanted, column) else wanted
        if wanted is not None and wanted is not role:
            misfits[key] = wanted
        roles[key] = role
        if role not in UNWATCHED:
            columns.append(ColumnSignals.learn(key, role, column, seed))
    return Learned(columns, roles, misfits)
