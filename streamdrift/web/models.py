"""Models and signals as the API shows them: what this worker has, and what others have."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Generic

import numpy as np
from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool

from streamdrift.config import Settings
from streamdrift.distributions import Distribution as Shares
from streamdrift.errors import LaterError
from streamdrift.following.incident_table import IncidentTable
from streamdrift.monitoring.known_models import named_models, not_known
from streamdrift.monitoring.shards import shard_of
from streamdrift.readings import Readings
from streamdrift.serving.desk import Desk, Question
from streamdrift.times import date_of
from streamdrift.web import views
from streamdrift.web.asking import T, ask
from streamdrift.web.incidents import Limit, changes_of
from streamdrift.web.names import SignalKey, id_of, name_of, signal_id, signal_key
from streamdrift.web.peers import Peers, bodies
from streamdrift.web.problems import RefusedError
from streamdrift.web.schemas import (
    SIGNAL_EXAMPLE,
    DetectorReading,
    Distribution,
    Model,
    Models,
    ModelVersion,
    SignalDetail,
    Signals,
    SignalSummary,
    Unanswered,
)

MOST_VERSIONS = 100
"""Versions that are told of a model."""
ModelId = Annotated[
    str, Path(description="A model's id, as GET /models has it.", examples=["fraud"])
]
After = Annotated[str | None, Query(description="`next` of the page before.", max_length=8_000)]
Local = Annotated[
    bool, Query(description="Whether only what this worker has is wanted, and nothing of others.")
]


class Watched:
    """What is watched: by this process, and by other workers where there are any."""

    def __init__(
        self, settings: Settings, desk: Desk, table: IncidentTable, peers: Peers | None
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._table = table
        self._peers = peers

    async def models(self, after: str | None, limit: int, *, local: bool) -> Models:
        """Return the models behind one, by name."""
        name = None if after is None else name_of(after)
        parameters: dict[str, str | int] = {"limit": limit}
        if after is not None:
            parameters["after"] = after
        found = await self._everywhere(
            views.models_after(name, limit + 1), "/api/v1/models", parameters, None, local=local
        )
        pages = [Models.model_validate(body) for body in found.bodies]
        own = [_model(each, self._settings) for each in found.own or ()]
        models = joined([*own, *(each for page in pages for each in page.items)])
        more = len(models) > limit or any(page.next for page in pages)
        items = models[:limit]
        end = items[-1].id if more else None
        return Models(items=items, next=end, unanswered=found.unanswered)

    async def signals(
        self, model: str, version: str | None, after: str | None, limit: int, *, local: bool
    ) -> Signals:
        """Return the signals of a model behind one, by their ids."""
        parameters: dict[str, str | int] = {"limit": limit}
        parameters |= {} if after is None else {"after": after}
        parameters |= {} if version is None else {"version": version}
        found = await self._everywhere(
            views.signals_of(model, version),
            f"/api/v1/models/{id_of(model)}/signals",
            parameters,
            self._shards_of(model),
            local=local,
        )
        if found.own is None and not found.bodies:
            raise found.nothing("no model has this id, of which events came: GET /api/v1/models")
        pages = [Signals.model_validate(body) for body in found.bodies]
        own = await run_in_threadpool(summaries, found.own or (), after, limit + 1)
        signals = sorted([*own, *(each for page in pages for each in page.items)], key=_BY_ID)
        more = len(signals) > limit or any(page.next for page in pages)
        items = signals[:limit]
        end = items[-1].id if more else None
        return Signals(items=items, next=end, unanswered=found.unanswered)

    async def signal(self, text: str, *, local: bool) -> SignalDetail:
        """Return a signal by its id."""
        key = signal_key(text)
        if key is None:
            raise RefusedError(404, f"{text!r} is no id of a signal: {_WHERE}")
        path, shards = f"/api/v1/signals/{signal_id(key)}", self._shards_of(key.model)
        found = await self._everywhere(views.signal(key), path, {}, shards, local=local)
        if found.own is not None:
            return await run_in_threadpool(self._detail, key, found.own)
        if found.bodies:
            return SignalDetail.model_validate(found.bodies[0])
        raise found.nothing(f"no signal has this id, or its reference is not complete: {_WHERE}")

    async def check_known(self, model: str) -> None:
        """Raise RefusedError where nobody has seen an event of a model, nor the settings name it.

        Raises LaterError where not all who may have seen one answer.
        """
        named = named_models(self._settings.models)
        if model in named:
            return
        found = await self._everywhere(
            views.knows(model),
            f"/api/v1/models/{id_of(model)}/signals",
            {"limit": 1},
            self._shards_of(model),
            local=False,
        )
        if found.own is not None or found.bodies:
            return
        known = {*named, *(each.model for each in self._table.all())}
        with suppress(LaterError):  # Whoever knows less only proposes less.
            known |= await ask(self._desk, views.names())
        told = await run_in_threadpool(not_known, model, known)
        raise found.nothing(f"{told}: GET /api/v1/models lists all; if it is to come, say so (new)")

    def _detail(self, key: SignalKey, facts: views.SignalFacts) -> SignalDetail:
        (summary,) = summaries(facts.readings, None, None, key)
        changes = changes_of(self._table, key.model, key.version, summary.name)
        return SignalDetail(
            **summary.model_dump(),
            findings=list(facts.findings),
            distribution=_shares(facts.distribution),
            changes=changes,
        )

    def _shards_of(self, model: str) -> frozenset[int]:
        shards = self._settings.shards
        groups = self._settings.model(model).feature_groups
        return frozenset(shard_of(model, group, shards) for group in range(groups))

    async def _everywhere(
        self,
        question: Question[T],
        path: str,
        parameters: Mapping[str, str | int],
        shards: frozenset[int] | None,
        *,
        local: bool,
    ) -> "_Found[T]":
        """Return what this worker answers, and, unless it is wanted alone, all others.

        Raises LaterError where it cannot, and is alone.
        """
        if self._peers is None or local:
            return _Found(await ask(self._desk, question), [], [])
        own, silent = None, list[Unanswered]()
        try:
            own = await ask(self._desk, question)
        except LaterError as error:
            silent = await self._peers.own(shards, str(error))
        replies, others = await self._peers.get(path, parameters, shards)
        return _Found(own, bodies(replies), [*silent, *others])


@dataclass(frozen=True, slots=True)
class _Found(Generic[T]):
    """What this worker and others have."""

    own: T | None
    bodies: list[Any]
    unanswered: list[Unanswered]

    def nothing(self, detail: str) -> Exception:
        """Return what is raised where there is nothing: perhaps who did not answer has it."""
        if not self.unanswered:
            return RefusedError(404, detail)
        silent = ", ".join(each.instance or "nobody" for each in self.unanswered)
        reasons = "; ".join(sorted({each.reason for each in self.unanswered}))
        return LaterError(f"it is not here, and not all workers answered ({silent})", reasons)


def _model(facts: views.ModelFacts, settings: Settings) -> Model:
    chosen = settings.model(facts.model)
    return Model(
        id=id_of(facts.model),
        model=facts.model,
        alert_budget=str(chosen.alert_budget),
        labels=dict(chosen.labels),
        open_incidents=facts.open_incidents,
        versions=[
            ModelVersion(
                version=each.version,
                events=each.events,
                last_event_at=date_of(each.last_at),
                watched=each.watched,
                reference_events=each.collected,
                reference_wanted=each.wanted,
                signals=each.signals,
                changed=each.changed,
            )
            for each in facts.versions
        ],
        versions_left_out=0,
    )


def joined(models: Iterable[Model]) -> list[Model]:
    """Return whole models, by name, of which groups and workers have told their parts."""
    parts: dict[str, list[Model]] = {}
    for each in models:
        parts.setdefault(each.model, []).append(each)
    return [_whole(parts[name]) for name in sorted(parts)]


def _whole(parts: Sequence[Model]) -> Model:
    versions: dict[str, list[ModelVersion]] = {}
    for part in parts:
        for each in part.versions:
            versions.setdefault(each.version, []).append(each)
    whole = [_whole_version(groups) for groups in versions.values()]
    whole.sort(key=lambda each: each.version)
    whole.sort(key=lambda each: each.last_event_at, reverse=True)
    left_out = max(len(whole) - MOST_VERSIONS, 0) + max(each.versions_left_out for each in parts)
    return parts[0].model_copy(
        update={
            "open_incidents": sum(each.open_incidents for each in parts),
            "versions": whole[:MOST_VERSIONS],
            "versions_left_out": left_out,
        }
    )


def _whole_version(groups: Sequence[ModelVersion]) -> ModelVersion:
    """Return a version, of which each group has part of the signals, and has seen all events."""
    return groups[0].model_copy(
        update={
            "events": max(each.events for each in groups),
            "last_event_at": max(each.last_event_at for each in groups),
            "watched": all(each.watched for each in groups),
            "reference_events": min(each.reference_events for each in groups),
            "signals": sum(each.signals for each in groups),
            "changed": sum(each.changed for each in groups),
        }
    )


def summaries(
    readings: Sequence[Readings],
    after: str | None,
    most: int | None,
    only: SignalKey | None = None,
) -> list[SignalSummary]:
    """Return signals by their ids: those behind one, so many at most; or `only` one."""
    places = [
        (signal_id(SignalKey.of(each.model, each.version, signal)), each, place)
        for each in readings
        for place, signal in enumerate(each.signals)
        if only is None or SignalKey.of(each.model, each.version, signal) == only
    ]
    places.sort(key=lambda each: each[0])
    chosen = [each for each in places if after is None or each[0] > after][:most]
    return [_summary(*each) for each in chosen]


def _summary(text: str, readings: Readings, place: int) -> SignalSummary:
    signal = readings.signals[place]
    # The ordinals of a divided version's groups, and of repeats, do not begin at 0.
    own = np.flatnonzero(readings.signal == place)
    return SignalSummary(
        id=text,
        model=readings.model,
        version=readings.version,
        name=signal.name,
        kind=signal.kind.value,
        group=None if signal.column is None else signal.column.group.value,
        column=None if signal.column is None else signal.column.name,
        alert_kind=signal.alert_kind.value,
        changed=bool(readings.changed[own].any()),
        readings=[
            DetectorReading(
                detector=readings.detectors[readings.detector[each]],
                statistic=_finite(readings.statistic[each]),
                threshold=_finite(readings.threshold[each]),
            )
            for each in own.tolist()
        ],
    )


def _finite(figure: float) -> float | None:
    return float(figure) if np.isfinite(figure) else None


def _shares(shares: Shares | None) -> Distribution | None:
    if shares is None:
        return None
    return Distribution(
        edges=list(shares.edges),
        logarithmic=shares.logarithmic,
        names=list(shares.names),
        reference=list(shares.reference),
        current=list(shares.current),
        values=shares.values,
        since=None if shares.since is None else date_of(shares.since),
    )


_BY_ID = attrgetter("id")
_WHERE = "GET /api/v1/models/{model}/signals lists those of a model"


def model_routes(watched: Watched) -> APIRouter:
    """Return what is below `/models` and `/signals`."""
    routes = APIRouter(tags=["models"])

    @routes.get("/models", summary="List models, by name")
    async def list_models(limit: Limit = 50, after: After = None, local: Local = False) -> Models:
        return await watched.models(after, limit, local=local)

    @routes.get("/models/{model}/signals", summary="List the signals of a model, by id")
    async def list_signals(
        model: ModelId,
        version: Annotated[str | None, Query(description="Of this version alone.")] = None,
        limit: Limit = 100,
        after: After = None,
        local: Local = False,
    ) -> Signals:
        return await watched.signals(name_of(model), version, after, limit, local=local)

    @routes.get("/signals/{signal}", summary="Show what a signal was, and what it is")
    async def show_signal(
        signal: Annotated[
            str, Path(description="A signal's id, as the list has it.", examples=[SIGNAL_EXAMPLE])
        ],
        local: Local = False,
    ) -> SignalDetail:
        return await watched.signal(signal, local=local)

    return routes
