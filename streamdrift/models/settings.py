"""The settings of a model: how it is watched."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from streamdrift.detectors import DEFAULT_DETECTORS, DetectorSettings
from streamdrift.detectors.watch import MINIMUM_EFFECT
from streamdrift.durations import Duration
from streamdrift.incidents.budget import AlertBudget, Budget
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.models.terms import KEYS, Terms, flat_terms
from streamdrift.models.watch_settings import HoldSettings, WatchSettings
from streamdrift.records import AlertKind, ColumnKey, Signal
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.duplicates import DuplicateSettings
from streamdrift.signals.naming import setting_names, signal_setting_names
from streamdrift.signals.roles import Role
from streamdrift.signals.silence import SilenceSettings
from streamdrift.signals.volume import EVENT_RATE, VolumeSettings
from streamdrift.volume.settings import RateSettings

RoleName = Literal[
    "numeric", "boolean", "category", "text", "vector", "identifier", "counter", "date", "ignored"
]


_TROUBLE_WEIGHT = 0.2
"""Troubles come at once or not at all: five times less of the budget costs them a few values."""

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelSettings(BaseModel):
    """How one model is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: ReferenceSettings = Field(
        ReferenceSettings(), description="What a model version is compared with."
    )
    alert_budget: AlertBudget = Field(
        Budget(2, "week"),
        description="False alarms allowed, as a number per hour, day, week or month of event "
        "time: every threshold follows from it.",
    )
    signal_weights: Mapping[str, Weight] = Field(
        {},
        description="How much more of the budget single signals get, by the name of the signal "
        "or of its column: more is sooner. Where nothing is said it is 1, and 0.2 of the rates of "
        "troubles (missing, of another type, ...), which are seen soon in any case.",
    )
    detectors: Literal["default"] | tuple[DetectorSettings, ...] = Field(
        "default",
        description="The detectors of every signal (those for 0/1 streams watch rates only); "
        "an empty list watches nothing.",
    )
    signals: Mapping[str, tuple[DetectorSettings, ...]] = Field(
        {}, description="Other detectors for single signals, by name, e.g. `amount (missing)`."
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
    max_columns: int = Field(
        1_000,
        ge=1,
        description="Features watched at most, by name; outputs and metrics are always watched.",
    )
    feature_groups: int = Field(
        1,
        ge=1,
        le=256,
        description="Groups into which the model's features are divided, by their names: with "
        "several, in `mode: distributed`, workers share the model. Fixed while state is kept.",
    )
    minimum_effect: float = Field(
        MINIMUM_EFFECT,
        ge=0,
        description="Smallest lasting shift that alarms, in standard deviations: with enough "
        "data, evidence of any would come together.",
    )
    hold: HoldSettings = Field(HoldSettings(), description="When a changed signal is re-armed.")
    silence: SilenceSettings = Field(SilenceSettings(), description="When no events are a fault.")
    volume: VolumeSettings = Field(
        VolumeSettings(), description="How the event rate of the model is watched."
    )
    incidents: IncidentSettings = Field(
        IncidentSettings(), description="How changes become incidents."
    )
    retire_after: Duration = Field(
        7 * 24 * 3_600_000_000,
        description="Event time after which a version that sends nothing is forgotten.",
    )
    duplicates: DuplicateSettings = Field(
        DuplicateSettings(), description="Which events count as repeated ones, by their ids."
    )
    deduplicate: StrictBool = Field(
        False,
        description="Drop repeated events: they count in the signal `duplicates` and in nothing "
        "else.",
    )
    labels: Mapping[str, str] = Field({}, description="Labels put on alerts: owner, runbook, ...")

    @model_validator(mode="after")
    def _can_deduplicate(self) -> "ModelSettings":
        if self.deduplicate and not self.duplicates.window:
            raise ValueError(
                "deduplicate needs a window of ids: set duplicates.window above 0, or leave it out"
            )
        return self

    def detectors_of(self, names: Sequence[str]) -> tuple[DetectorSettings, ...]:
        """Return the detectors of a signal by its names: the first that is set decides."""
        default = DEFAULT_DETECTORS if self.detectors == "default" else self.detectors
        return next((self.signals[name] for name in names if name in self.signals), default)

    def weight_of(self, signal: Signal) -> float:
        """Return a signal's weight: its own name goes before that of its column."""
        names = [signal.name]
        if signal.column is not None:
            names += signal_setting_names(signal.column, signal.kind)
            names += setting_names(signal.column)
        found = (self.signal_weights[name] for name in names if name in self.signal_weights)
        return next(found, _TROUBLE_WEIGHT if signal.alert_kind is AlertKind.DATA_QUALITY else 1.0)

    def role_of(self, key: ColumnKey) -> Role | None:
        """Return what a column is said to be, None where nothing is said."""
        names = setting_names(key)
        return next((Role(self.roles[name]) for name in names if name in self.roles), None)

    def terms(self) -> Terms:
        """Return what decides once, with the reference, what is watched."""
        return flat_terms(self.model_dump(mode="json", include=set(KEYS)))

    def of_watching(self) -> WatchSettings:
        """Return what a watched version needs to know."""
        return WatchSettings(
            self.detectors_of,
            self.weight_of,
            self._budget_of_versions,
            self.feature_groups,
            self.hold,
            self.minimum_effect,
            ZoneInfo(self.reference.timezone),
            self.reference.span,
            self.reference.events,
            frozenset(self.private),
        )

    @property
    def _budget_of_versions(self) -> Budget:
        """What the event rate leaves of the budget."""
        if not self.volume.enabled:
            return self.alert_budget
        return self.alert_budget.part(1 - self.volume.share)

    def of_volume(self) -> RateSettings:
        """Return what the watch of the model's event rate needs to know."""
        return RateSettings(
            self.detectors_of((EVENT_RATE.name,)),
            self.alert_budget.part(self.volume.share),
            self.minimum_effect,
            self.hold.accept_after,
            self.reference.span,
            ZoneInfo(self.reference.timezone),
        )
