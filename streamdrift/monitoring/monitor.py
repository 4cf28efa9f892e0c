"""The core: events in order in, alerts out. No I/O, no clock, no threads, no logging."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from streamdrift.changes import Heard, Step
from streamdrift.columns import cut
from streamdrift.errors import StateError
from streamdrift.incidents.grouping import Incidents
from streamdrift.incidents.realised import RealisedRate, Span
from streamdrift.models.groups import divide
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.heads import Heads, Home
from streamdrift.monitoring.pace import Pace
from streamdrift.monitoring.taken_commands import TakenCommands, in_vain, obeyed
from streamdrift.monitoring.traffic import Traffic
from streamdrift.operators import Asked, Command
from streamdrift.readings import Readings
from streamdrift.records import Alert, Batch, Notice, Observation, Released, State
from streamdrift.trees import integer, lists, text, tree, trees

FORMAT = 4
"""Of the snapshot of a monitor: what is watched, and how, depends on all that is in it."""
MAX_VERSIONS = 10_000
"""Model versions watched at once; events of further ones are counted and not watched."""


NOTHING = Observation((), ())

VersionKey = tuple[str, str, int]
"""Model, version, and the group of its columns."""


class Monitor:
    """Watches every model version whose events it is shown.

    `settings_of` gives the settings of a model by its name. `timed` is False where event
    times are made up (files without a time column): silence and event rates are not
    watched then.
    `max_versions` is in the place of MAX_VERSIONS. With a `home`, this is the monitor of
    one shard of several: the batches of models that are divided come divided, and `hear`
    and `tell` are its exchange with the others.
    """

    def __init__(
        self,
        settings_of: Callable[[str], ModelSettings],
        *,
        timed: bool = True,
        max_versions: int | None = None,
        home: Home | None = None,
    ) -> None:
        self._settings_of = settings_of
        self._timed = timed
        self._max_versions = MAX_VERSIONS if max_versions is None else max_versions
        self._versions: dict[VersionKey, ModelVersion] = {}
        self._heads = None if home is None else Heads(home, self._groups_of)
        self._traffic: dict[str, Traffic] = {}
        self._paces: dict[tuple[str, int], Pace] = {}
        """By model, and group of its columns."""
        self._incidents = Incidents(
            lambda model: settings_of(model).incidents, lambda model: settings_of(model).labels
        )
        self.unwatched = 0
        """Events not watched because the limit was reached."""
        self._dropped: dict[str, int] = {}
        self._watched: dict[str, Span] = {}
        """By model, from its first reference on."""
        self.commands = TakenCommands()

    def _groups_of(self, model: str) -> int:
        return self._settings_of(model).feature_groups

    def observe(self, released: Released) -> Observation:
        """Take the next events, up to a watermark; return what is to be told of them."""
        steps: list[Step] = []
        notices: list[Notice] = []
        kept: list[Batch] = []
        parts = [part for batch in released.batches for part in self._divided(batch)]
        for part in parts:
            self._count(part)
        for part in parts:
            for piece in self._pieces(part):
                kept.append(self._observe_version(piece, steps, notices))
        for pace in self._paces.values():
            pace.forget()
        if self._timed:
            whole = [part for part in kept if len(part) and part.group == 0]
            steps += self._observe_traffic(whole, released.watermark)
        for version in self._versions.values():
            steps += version.advance(released.watermark)
        steps += self._retire(released.watermark)
        steps.sort(key=_order)
        behind: Mapping[str, int] = {}
        if self._heads is not None:
            steps = self._heads.take(steps)
            behind = self._heads.behind(released.watermark)
        alerts = self._incidents.observe(steps, released.watermark, behind)
        return Observation(alerts, tuple(notices))

    def command(self, place: int, command: Command, time: int) -> Observation:
        """Do what an operator asks, the watermark being `time`; one of a new `place` only.

        Return what is told of it. Of a model with shards that are behind, that is told by later
        calls of `observe`.
        """
        if not self.commands.take(place, command):
            return NOTHING
        is_head = self._heads is None or self._heads.is_head_of(command.model)
        if is_head and (lacking := self._incidents.lacks(command, time)):
            return Observation((), (in_vain(command, lacking),))
        steps, behind = self._do(command, time), False
        if self._heads is not None:
            steps = self._heads.take(steps)
            behind = command.model in self._heads.behind(time)
        if not is_head:
            self._incidents.take(steps)
            return NOTHING
        alerts: tuple[Alert, ...] = ()
        if behind:
            self._incidents.ask_later(command, steps, time)
        else:
            alerts = self._incidents.ask(command, steps, time)
        seen = any(model == command.model for model, _, _ in self._versions)
        return Observation(alerts, (obeyed(command, seen=seen),))

    def _do(self, command: Command, time: int) -> list[Step]:
        """Let signals be accepted, or watched again."""
        steps: list[Step] = []
        resolves = command.kind is Asked.RESOLVE
        if command.kind not in (Asked.ACCEPT, Asked.RESOLVE):
            return steps
        if command.of_model:
            traffic = self._traffic.get(command.model)
            if traffic is not None:
                steps += traffic.resolve(time) if resolves else traffic.accept(time)
            return steps
        for (model, version, _), watched in self._versions.items():
            if (model, version) == (command.model, command.version):
                if resolves:
                    steps += watched.resolve(command.through, time)
                else:
                    watched.accept(command.through, time)
        return steps

    def hear(self, heard: Heard) -> None:
        """Take what another shard tells: it counts from the next `observe` on."""
        assert self._heads is not None
        self._heads.hear(heard)

    def tell(self, watermark: int) -> Mapping[int, Heard]:
        """Return what other shards are to hear, now that all below `watermark` is observed."""
        assert self._heads is not None
        return self._heads.tell(watermark)

    def drain(self, released: Released) -> Observation:
        """Take the last events of all: nothing later can change what is being gathered."""
        observation = self.observe(released)
        alerts = (*observation.alerts, *self._incidents.drain())
        return Observation(alerts, observation.notices)

    def _divided(self, batch: Batch) -> Sequence[Batch]:
        """Divide a batch into its groups, where that is not done already."""
        if self._heads is None:
            return divide(batch, self._groups_of(batch.model))
        self._heads.meet(batch.model)
        return [batch]

    def _count(self, batch: Batch) -> None:
        """Count the events of a model: all of a release, before its versions see any."""
        key = batch.model, batch.group
        if key not in self._paces:
            if len(self._paces) >= self._max_versions:
                return
            self._paces[key] = Pace(batch.model)
        self._paces[key].add(batch.time)

    def _pieces(self, batch: Batch) -> list[Batch]:
        """Cut a batch where the version was silent so long that it is forgotten, and by days."""
        version = self._versions.get(_key(batch))
        last_at = version.last_at if version else int(batch.time[0])
        gaps = np.diff(batch.time, prepend=last_at)
        ends = gaps > self._settings_of(batch.model).retire_after
        if (pace := self._paces.get((batch.model, batch.group))) is not None:
            days = pace.days(batch.time)
            ends |= np.diff(days, prepend=days[0]) > 0
        starts = [0, *(end for end in np.flatnonzero(ends).tolist() if end > 0)]
        return [
            cut(batch, start, stop)
            for start, stop in zip(starts, [*starts[1:], len(batch)], strict=True)
        ]

    def _observe_version(self, batch: Batch, steps: list[Step], notices: list[Notice]) -> Batch:
        """Show a version its events; return those that were not dropped as repeats."""
        key, name = _key(batch), (batch.model, batch.version)
        version = self._versions.get(key)
        settings = self._settings_of(batch.model)
        if version and int(batch.time[0]) > version.retires_at:
            steps += version.retire()
            version = None
        if version is None:
            if key not in self._versions and len(self._versions) >= self._max_versions:
                if self.unwatched == 0:
                    effect = "further versions are not watched"
                    fields = {"limit": self._max_versions, "effect": effect}
                    notices.append(Notice("too many model versions", *name, fields))
                self.unwatched += len(batch)
                return batch
            version = self._versions[key] = ModelVersion(
                *name, settings, batch.group, timed=self._timed
            )
            if batch.group == 0:
                learned = {"reference": settings.reference.events}
                notices.append(Notice("model version appeared", *name, learned))
        pace = self._paces.get((batch.model, batch.group))
        rate = None if pace is None else pace.on(int(pace.days(batch.time[:1])[0]))
        if rate is not None:
            version.go_at(rate)
        observed = version.observe(batch)
        if version.watched is not None and batch.group == 0:
            self._extend(batch.model, version.watched)
        steps += observed.steps
        notices += observed.notices
        if len(observed.kept) < len(batch) and batch.group == 0:
            self._count_dropped(batch, len(batch) - len(observed.kept), notices)
        return observed.kept

    def _count_dropped(self, batch: Batch, events: int, notices: list[Notice]) -> None:
        """Count repeats by model, and tell of a model's first; beyond the limit as of no model."""
        name = batch.model
        if name not in self._dropped:
            if len(self._dropped) < self._max_versions:
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

    def _extend(self, model: str, span: Span) -> None:
        known = self._watched.get(model)
        if known is not None:
            self._watched[model] = known.joined(span)
        elif len(self._watched) < self._max_versions:
            self._watched[model] = span

    @property
    def watched(self) -> Mapping[str, Span]:
        """The event time in which each model was watched, from its first reference on."""
        return dict(self._watched)

    def realised(self) -> Sequence[RealisedRate]:
        """Return the realised rate of each model that has its head here, by its name."""
        found = []
        for model, span in sorted(self._watched.items()):
            count = self._incidents.counts(model)
            watched = span.until - span.since
            budget = self._settings_of(model).alert_budget
            found.append(
                RealisedRate(model, budget, count.opened, count.joined, count.silences, watched)
            )
        return found

    def _observe_traffic(self, kept: Sequence[Batch], watermark: int) -> list[Step]:
        times: dict[str, list[Batch]] = {}
        for batch in kept:
            times.setdefault(batch.model, []).append(batch)
        steps: list[Step] = []
        for model, batches in times.items():
            if model not in self._traffic:
                if len(self._traffic) >= self._max_versions:
                    continue
                self._traffic[model] = Traffic(model, self._settings_of(model))
            merged = np.concatenate([batch.time for batch in batches])
            if len(batches) > 1:
                merged.sort()
            steps += self._traffic[model].observe(merged)
        for model in sorted(self._traffic):
            steps += self._traffic[model].advance(watermark)
        return steps

    def _retire(self, watermark: int) -> list[Step]:
        past = [key for key, version in self._versions.items() if watermark > version.retires_at]
        return [step for key in past for step in self._versions.pop(key).retire()]

    def versions(self) -> Sequence[ModelVersion]:
        """Return every model version, each of its groups, that is watched or collected."""
        return list(self._versions.values())

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """The silence and the event rate of each model that has its head here, by its name."""
        return self._traffic

    def traffic_readings(self) -> Sequence[Readings]:
        """Return the readings of event rates, by model."""
        return [each for _, one in sorted(self._traffic.items()) for each in one.readings()]

    def open_incidents(self, *, expected: bool) -> Mapping[tuple[str, str], int]:
        """Return how many incidents of planned changes are open, or others, by model, version."""
        return self._incidents.open_count(expected=expected)

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {
            "format": FORMAT,
            "versions": [self._versions[key].snapshot() for key in sorted(self._versions)],
            # In pairs: a tree's keys are its own, and a model may have any name.
            "traffic": [
                [model, self._traffic[model].snapshot()] for model in sorted(self._traffic)
            ],
            "paces": [[*key, self._paces[key].snapshot()] for key in sorted(self._paces)],
            "incidents": self._incidents.snapshot(),
            "unwatched": self.unwatched,
            "dropped": [[model, self._dropped[model]] for model in sorted(self._dropped)],
            "watched": [[model, *span] for model, span in sorted(self._watched.items())],
            "heads": None if self._heads is None else self._heads.snapshot(),
            **self.commands.snapshot(),
        }

    def restore(self, state: State) -> list[Notice]:
        """Take over what `snapshot` returned; tell what other settings than then change.

        Raises StateError where another release wrote it.
        """
        check_format(state)
        self.commands.restore(state)
        notices: list[Notice] = []
        for snapshot in trees(state, "versions"):
            model, name = text(snapshot, "model"), text(snapshot, "version")
            group, settings = integer(snapshot, "group"), self._settings_of(model)
            version = ModelVersion(model, name, settings, group, timed=self._timed)
            notices += version.restore(snapshot)
            self._versions[model, name, group] = version
        for model, each in traffic_of(state):
            self._traffic[model] = Traffic(model, self._settings_of(model))
            self._traffic[model].restore(each)
        for model, group, pace in lists(state, "paces"):
            self._paces[model, group] = Pace(model)
            self._paces[model, group].restore(pace)
        self._incidents.restore(tree(state, "incidents"))
        self.unwatched = integer(state, "unwatched")
        self._dropped = dict(lists(state, "dropped"))
        self._watched = {
            model: Span(since, until) for model, since, until in lists(state, "watched")
        }
        if self._heads is not None:
            self._heads.restore(tree(state, "heads"))
            for model, _, _ in self._versions:
                self._heads.meet(model)
        return notices


def check_format(state: State) -> None:
    """Raise StateError where the snapshot of a monitor is of another format than this one's."""
    found = state.get("format", 1)
    if found != FORMAT:
        raise StateError(
            f"what was stored of the models has format {found}, this version reads format {FORMAT}",
            "run the version that wrote it; `streamdrift state reset`, or a start with "
            "--reset-state, begins anew: references are learned again",
        )


def traffic_of(state: State) -> Sequence[tuple[str, State]]:
    """Return the traffic of each model in the snapshot of a monitor."""
    return [(model, each) for model, each in lists(state, "traffic")]


def _key(batch: Batch) -> VersionKey:
    return batch.model, batch.version, batch.group


def _order(step: Step) -> tuple[int, str, str, int]:
    return step.time, step.model, step.version, step.signal.ordinal
