"""Incidents as the API shows them, and what may be asked for of one."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Path, Query

from streamdrift.alert_documents import Published
from streamdrift.errors import LaterError
from streamdrift.following.incident_table import IncidentTable
from streamdrift.operators import Asked, Command
from streamdrift.records import AlertKind
from streamdrift.times import date_of, microseconds
from streamdrift.web.commands import Turns
from streamdrift.web.problems import RefusedError
from streamdrift.web.schemas import (
    INCIDENT_EXAMPLE,
    Accepted,
    Incident,
    Incidents,
    IncidentSummary,
    Moment,
    Remark,
)

MOST_CHANGES = 20
"""Incidents that are shown with a signal."""
Limit = Annotated[int, Query(ge=1, le=500, description="Items on a page, at most.")]
State = Literal["open", "acknowledged", "resolved"]
Severity = Literal["info", "warning", "critical"]
IncidentId = Annotated[
    str,
    Path(description="An incident's id: 32 hexadecimal digits.", examples=[INCIDENT_EXAMPLE]),
]
Clock = Callable[[], int]


def state_of(published: Published) -> State:
    """Return how an incident stands."""
    if not published.is_open:
        return "resolved"
    return "acknowledged" if published.acknowledged else "open"


def summary_of(published: Published) -> IncidentSummary:
    """Return an incident in short."""
    return IncidentSummary(
        id=published.incident,
        model=published.model,
        version=published.version,
        state=state_of(published),
        severity=published.severity,
        kind=published.kind,
        opened_at=date_of(published.opened_at),
        resolution=published.resolution,
        updated_at=date_of(published.time),
        expected=published.expected,
        headline=published.headline,
        summary=published.summary,
        labels=dict(published.labels),
    )


def changes_of(table: IncidentTable, model: str, version: str, name: str) -> list[IncidentSummary]:
    """Return the latest incidents in which a signal took part."""
    found: list[IncidentSummary] = []
    for each in table.all():
        if len(found) == MOST_CHANGES:
            break
        if (each.model, each.version) == (model, version) and each.names(name):
            found.append(summary_of(each))
    return found


def incident_routes(
    table: IncidentTable, is_read: Callable[[], bool], turns: Turns, now: Clock
) -> APIRouter:
    """Return what is below `/incidents`; `is_read` tells whether the table has all there are."""

    def check_read() -> None:
        if not is_read():
            raise LaterError(
                "the incidents are not read yet", "ask again in a few seconds, or see the log"
            )

    routes = APIRouter(tags=["incidents"], dependencies=[Depends(check_read)])

    def known(incident: str) -> Published:
        published = table.get(incident)
        if published is None:
            raise RefusedError(404, "no incident has this id: GET /api/v1/incidents lists them")
        return published

    @routes.get("/incidents", summary="List incidents, that opened last first")
    def list_incidents(
        model: Annotated[str | None, Query(description="Of this model alone, by its name.")] = None,
        version: Annotated[str | None, Query(description="Of this version alone.")] = None,
        state: Annotated[list[State] | None, Query(description="In one of these states.")] = None,
        severity: Annotated[
            list[Severity] | None, Query(description="Of one of these severities.")
        ] = None,
        kind: Annotated[
            list[str] | None, Query(description="Of one of these kinds, such as `data_drift`.")
        ] = None,
        since: Annotated[
            Moment | None, Query(description="Opened at this event time or later.")
        ] = None,
        until: Annotated[Moment | None, Query(description="Opened before this event time.")] = None,
        limit: Limit = 50,
        after: Annotated[
            str | None,
            Query(
                description="`next` of the page before.", pattern=r"^-?[0-9]{1,18}-[0-9a-f]{32}$"
            ),
        ] = None,
    ) -> Incidents:
        first = None if since is None else microseconds(since)
        last = None if until is None else microseconds(until)
        found = (
            each
            for each in _behind(table.all(), after)
            if (model is None or each.model == model)
            and (version is None or each.version == version)
            and (state is None or state_of(each) in state)
            and (severity is None or each.severity in severity)
            and (kind is None or each.kind in kind)
            and (first is None or each.opened_at >= first)
            and (last is None or each.opened_at < last)
        )
        return _page(found, limit)

    @routes.get("/incidents/{incident}", summary="Show an incident")
    def show_incident(incident: IncidentId) -> Incident:
        published = known(incident)
        return Incident(**summary_of(published).model_dump(), alert=published.event())

    async def command(asked: Asked, incident: str, remark: Remark | None) -> Accepted:
        published = known(incident)
        if not published.is_open:
            raise RefusedError(409, "the incident is resolved: there is nothing left to do")
        written = _command_of(asked, published, remark or Remark(), now())
        await turns.write(written)
        return accepted(written)

    def add(asked: Asked, summary: str) -> None:
        async def post(incident: IncidentId, remark: Remark | None = None) -> Accepted:
            return await command(asked, incident, remark)

        routes.add_api_route(
            f"/incidents/{{incident}}/{asked}",
            post,
            methods=["POST"],
            status_code=202,
            summary=summary,
            name=f"{asked}_incident",
        )

    add(Asked.ACKNOWLEDGE, "Say that somebody looks after it")
    add(Asked.RESOLVE, "Say that it is mended: its signals are watched again as they were")
    add(Asked.ACCEPT, "Say that it is the new normal: what came since the change is the reference")
    return routes


def _behind(published: Iterable[Published], after: str | None) -> Iterable[Published]:
    """Return those that come behind the last of another page, in the order of the table."""
    if after is None:
        return published
    opened_at, _, incident = after.rpartition("-")
    last = (-int(opened_at), incident)
    return (each for each in published if (-each.opened_at, each.incident) > last)


def _page(found: Iterable[Published], limit: int) -> Incidents:
    """Return the first of what was found, and where the next page begins if there are more."""
    page = list(islice(found, limit + 1))
    end = page[limit - 1] if len(page) > limit else None
    return Incidents(
        items=[summary_of(each) for each in page[:limit]],
        next=None if end is None else f"{end.opened_at}-{end.incident}",
    )


def _command_of(asked: Asked, published: Published, remark: Remark, at: int) -> Command:
    """Return the command that asks for something of an incident, as far as it is published."""
    return Command(
        id=uuid4().hex,
        kind=asked,
        model=published.model,
        version=published.version,
        of_model=published.kind == AlertKind.VOLUME,
        incident=published.incident,
        through=published.changed_until,
        by=remark.by,
        note=remark.note,
        at=at,
    )


def accepted(command: Command) -> Accepted:
    """Return the answer to a command that was written."""
    expects = command.kind is Asked.EXPECT
    return Accepted(
        command=command.id,
        kind=command.kind.value,
        model=command.model,
        version=command.version,
        incident=command.incident or None,
        since=date_of(command.since) if expects else None,
        until=date_of(command.until) if expects else None,
    )
