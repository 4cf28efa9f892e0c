"""The core: events in order in, alerts out. No I/O, no clock, no threads, no logging."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from streamdrift.columns import cut
from streamdrift.incidents.grouping import Incidents
from streamdrift.model import ModelSettings, ModelVersion
from streamdrift.records import (
    Batch,
    Notice,
    Observation,
    Released,
    SignalReading,
    State,
    Step,
    WarmUp,
)
from streamdrift.signals.silence import Silence

MAX_VERSIONS = 10_000
"""Model versions watched at once; events of further ones are counted and not watched."""


class Monitor:
    """Watches every model version whose events it is shown.

    `settings_of` gives the settings of a model by its name. `timed` is False where event
    times are made up (files without a time column): silence is not watched then.
    """

    def __init__(self, settings_of: Callable[[str], ModelSettings], *, timed: bool = True) -> None:
        self._settings_of = settings_of
        self._timed = timed
        self._versions: dict[tuple[str, str], ModelVersion] = {}
        self._silences: dict[str, Silence] = {}
        self._incidents = Incidents(
            lambda model: settings_of(model).incidents, lambda model: settings_of(model).labels
        )
        self.unwatched = 0
        """Events not watched because MAX_VERSIONS was reached."""
        self._dropped: dict[str, int] = {}

    def observe(self, released: Released) -> Observation:
        """Take the next events, up to a watermark; return what is to be told of them."""
        steps: list[Step] = []
        notices: list[Notice] = []
        kept: list[Batch] = []
        for batch in released.batches:
            for part in self._lives(batch):
                kept.append(self._observe_version(part, steps, notices))
        if self._timed:
            steps += self._observe_silence([part for part in kept if len(part)], released.watermark)
        steps += self._retire(released.watermark)
        steps.sort(key=_order)
        return Observation(self._incidents.observe(steps, released.watermark), tuple(notices))

    def drain(self, released: Released) -> Observation:
        """Take the last events of all: nothing later can change what is being gathered."""
        observation = self.observe(released)
        alerts = (*observation.alerts, *self._incidents.drain())
        return Observation(alerts, observation.notices)

    def _lives(self, batch: Batch) -> list[Batch]:
        """Cut a batch where the version was silent so long that it is forgotten."""
        version = self._versions.get((batch.model, batch.version))
        last_at = version.last_at if version else int(batch.time[0])
        gaps = np.diff(batch.time, prepend=last_at)
        retire_after = self._settings_of(batch.model).retire_after
        ends = np.flatnonzero(gaps > retire_after).tolist()
        starts = [0, *(end for end in ends if end > 0)]
        return [
            cut(batch, start, stop)
            for start, stop in zip(starts, [*starts[1:], len(batch)], strict=True)
        ]

    def _observe_version(self, batch: Batch, steps: list[Step], notices: list[Notice]) -> Batch:
        """Show a version its events; return those that were not dropped as repeats."""
        key = (batch.model, batch.version)
        version = self._versions.get(key)
        settings = self._settings_of(batch.model)
        if version and int(batch.time[0]) > version.retires_at:
            steps += version.retire()
            version = None
        if version is None:
            if key not in self._versions and len(self._versions) >= MAX_VERSIONS:
                if self.unwatched == 0:
                    fields = {"limit": MAX_VERSIONS, "effect": "further versions are not watched"}
                    notices.append(Notice("too many model versions", *key, fields))
                self.unwatched += len(batch)
                return batch
            version = self._versions[key] = ModelVersion(*key, settings)
            notices.append(
                Notice("model version appeared", *key, {"reference": settings.reference.events})
            )
        observed = version.observe(batch)
        steps += observed.steps
        notices += observed.notices
        if len(observed.kept) < len(batch):
            self._count_dropped(batch, len(batch) - len(observed.kept), notices)
        return observed.kept

    def _count_dropped(self, batch: Batch, events: int, notices: list[Notice]) -> None:
        """Count repeats by model, and tell of a model's first; beyond the limit as of no model."""
        name = batch.model
        if name not in self._dropped:
            if len(self._dropped) < MAX_VERSIONS:
                fields = {
                    "setting": "deduplicate",
                    "metric": "streamdrift_duplicates_dropped_total",
                }
                notices.append(Notice("repeated events are dropped", name, batch.version, fields))
            else:
                name = ""
        self._dropped[name] = self._dropped.get(name, 0) + events

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many repeated events were dropped since the beginning, by model."""
        return dict(self._dropped)

    def _observe_silence(self, kept: Sequence[Batch], watermark: int) -> list[Step]:
        times: dict[str, list[Batch]] = {}
        for batch in kept:
            times.setdefault(batch.model, []).append(batch)
        steps: list[Step] = []
        for model, batches in times.items():
            if model not in self._silences:
                if len(self._silences) >= MAX_VERSIONS:
                    continue
                self._silences[model] = Silence(model, self._settings_of(model).silence)
            merged = np.concatenate([batch.time for batch in batches])
            if len(batches) > 1:
                merged.sort()
            steps += self._silences[model].observe(merged)
        for model in sorted(self._silences):
            steps += self._silences[model].advance(watermark)
        return steps

    def _retire(self, watermark: int) -> list[Step]:
        past = [key for key, version in self._versions.items() if watermark > version.retires_at]
        return [step for key in past for step in self._versions.pop(key).retire()]

    def readings(self, limit: int) -> tuple[list[SignalReading], int]:
        """Return the statistic and threshold of `limit` signals per detector at most.

        Beside them, how many are left out. Which are chosen changes only when versions
        appear or go: by model, version and ordinal.
        """
        readings: list[SignalReading] = []
        there = 0
        for key in sorted(self._versions):
            there += self._versions[key].reading_count
            if len(readings) < limit:
                readings += self._versions[key].readings()
        return readings[:limit], max(0, there - limit)

    def warm_ups(self) -> list[WarmUp]:
        """Return how far each version's reference is."""
        return [version.warm_up() for version in self._versions.values()]

    def versions(self) -> Sequence[ModelVersion]:
        """Return every model version that is watched or collected."""
        return list(self._versions.values())

    def open_incidents(self) -> Mapping[tuple[str, str], int]:
        """Return how many incidents are open, by model and version."""
        return self._incidents.open_count()

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "versions": [self._versions[key].snapshot() for key in sorted(self._versions)],
            # In pairs: a tree's keys are its own, and a model may have any name.
            "silences": [
                [model, self._silences[model].snapshot()] for model in sorted(self._silences)
            ],
            "incidents": self._incidents.snapshot(),
            "unwatched": self.unwatched,
            "dropped": [[model, self._dropped[model]] for model in sorted(self._dropped)],
        }

    def restore(self, state: Mapping[str, object]) -> list[Notice]:
        """Take over what `snapshot` returned; tell what other settings than then change."""
        versions, silences, incidents = state["versions"], state["silences"], state["incidents"]
        unwatched, dropped = state["unwatched"], state["dropped"]
        assert isinstance(versions, Sequence)
        assert isinstance(silences, Sequence)
        assert isinstance(incidents, Mapping)
        assert isinstance(unwatched, int)
        assert isinstance(dropped, Sequence)
        notices: list[Notice] = []
        for snapshot in versions:
            model, name = snapshot["model"], snapshot["version"]
            version = ModelVersion(model, name, self._settings_of(model))
            notices += version.restore(snapshot)
            self._versions[model, name] = version
        for model, snapshot in silences:
            self._silences[model] = Silence(model, self._settings_of(model).silence)
            self._silences[model].restore(snapshot)
        self._incidents.restore(incidents)
        self.unwatched = unwatched
        self._dropped = dict(dropped)
        return notices


def _order(step: Step) -> tuple[int, str, str, int]:
    return step.time, step.model, step.version, step.signal.ordinal
