"""The HTTP API: what there is, put together; and metrics and health beside it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from streamdrift import __version__
from streamdrift.config import Settings
from streamdrift.errors import LaterError
from streamdrift.following.incident_table import IncidentTable
from streamdrift.monitoring.standing import survey
from streamdrift.prometheus.exposition import CONTENT_TYPE
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.desk import Desk
from streamdrift.web import problems
from streamdrift.web.asking import ask
from streamdrift.web.commands import Turns, Write
from streamdrift.web.guard import Guard
from streamdrift.web.incidents import Clock, incident_routes
from streamdrift.web.models import Watched, model_routes
from streamdrift.web.peers import Peers
from streamdrift.web.planning import planning_routes
from streamdrift.web.problems import Problem, RefusedError
from streamdrift.web.schemas import Configuration

_FRESH_SECONDS = 1.0
"""Those who scrape sooner after one another see the same numbers."""
_ABOUT = (
    "Look at models, signals and incidents, and act on them. What is posted is written to the "
    "commands topic and takes effect with the next commit. Names from the stream may be any text: "
    "addresses have ids, which the lists give."
)
_FAULTS = {
    400: "What was sent is no JSON.",
    401: "No token, or another.",
    403: "Not from this machine, and there is no token.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "It is over.",
    413: "The body is too large.",
    422: "What was sent makes no sense.",
    503: "Not now: ask again after `Retry-After` seconds.",
}


class Health(Protocol):
    """What is asked whether it is well."""

    @property
    def ready(self) -> bool:
        """Whether the input is read."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether it goes round."""
        ...


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind the API. `now` is the clock, in microseconds since the epoch."""

    settings: Settings
    health: Health
    desk: Desk
    metrics: Metrics
    table: IncidentTable
    is_read: Callable[[], bool]
    """Whether the table has all incidents."""
    write: Write
    now: Clock
    peers: Peers | None = None


class Scrapes:
    """Makes what `/metrics` answers: numbers that are fresh, if the loop can tell them."""

    def __init__(
        self, desk: Desk, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk = desk
        self._metrics = metrics
        self._monotonic = monotonic
        self._fresh_until = float("-inf")
        self._one = asyncio.Lock()

    async def answer(self) -> Response:
        """Return the answer to a scrape; where the loop does not answer, with its last numbers."""
        async with self._one:
            if self._monotonic() >= self._fresh_until:
                try:
                    self._metrics.watched(await ask(self._desk, survey))
                    self._fresh_until = self._monotonic() + _FRESH_SECONDS
                except LaterError:
                    pass  # Other metrics say why.
            chunks = await run_in_threadpool(self._metrics.exposition)
        size = sum(len(chunk) for chunk in chunks)
        return StreamingResponse(
            iter(chunks), headers={"Content-Length": str(size)}, media_type=CONTENT_TYPE
        )


def make_app(behind: Behind) -> Guard:
    """Return the application, which lets nobody in without the token."""
    app = _Documented(
        title="streamdrift",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Named so that the document says how to ask; the guard has let them in by then.
        dependencies=[Depends(HTTPBearer(auto_error=False, description="http.token_file"))],
        responses={
            status: {
                "description": about,
                "content": {problems.CONTENT_TYPE: {"schema": _PROBLEM}},
            }
            for status, about in _FAULTS.items()
        },
        generate_unique_id_function=attrgetter("name"),
    )
    problems.install(app)
    settings = behind.settings
    watched = Watched(settings, behind.desk, behind.table, behind.peers)
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(check_query)])
    turns = Turns(behind.write)
    api.include_router(model_routes(watched))
    api.include_router(planning_routes(watched, turns, behind.now))
    api.include_router(incident_routes(behind.table, behind.is_read, turns, behind.now))

    @api.get("/config", tags=["service"], summary="Show the settings in effect; no secrets")
    def show_config() -> Configuration:
        return settings.shown()

    app.include_router(api)
    _add_plain(app, behind)
    return Guard(app, settings.http.secret())


_PROBLEM: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}


class _Documented(FastAPI):
    """Says in its document what a problem is, which no route answers of its own accord."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return document


def check_query(request: Request) -> None:
    """Refuse parameters that there are not: what was misspelt would change nothing."""
    known = sorted(each.alias for each in request.scope["route"].dependant.query_params)
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        there = f"there are {', '.join(known)}" if known else "there are none"
        raise RefusedError(422, f"query.{unknown[0]}: no such parameter: {there}")


def _add_plain(app: FastAPI, behind: Behind) -> None:
    """Add what is no JSON, and in no document."""
    scrapes = Scrapes(behind.desk, behind.metrics)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return await scrapes.answer()

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return _told(behind.health.healthy)

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        return _told(behind.health.ready)


def _told(good: bool) -> Response:
    return PlainTextResponse("ok\n") if good else PlainTextResponse("no\n", 503)
