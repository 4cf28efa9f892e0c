"""Errors as people and programs read them: problem details (RFC 9457), which say what to do."""

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from streamdrift.errors import LaterError

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 2
_log = structlog.get_logger("streamdrift")


class Problem(BaseModel):
    """What was wrong with a request, or with the service."""

    type: str = Field("about:blank", description="That of the status alone.")
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(description="The status.", examples=[404])
    detail: str = Field(
        description="What was wrong, and what to do.",
        examples=["no incident has this id: GET /api/v1/incidents lists them"],
    )


class RefusedError(Exception):
    """What ends a request with a problem."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the answer that tells of a problem."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(told.model_dump(), status, headers, media_type=CONTENT_TYPE)


def unavailable(error: LaterError) -> Response:
    """Return the answer where another time there may be another."""
    detail = f"{error}: {error.hint}" if error.hint else str(error)
    return problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a problem."""

    @app.exception_handler(RefusedError)
    async def _(_request: Request, error: RefusedError) -> Response:
        return problem(error.status, error.detail, error.headers)

    @app.exception_handler(LaterError)
    async def _(_request: Request, error: LaterError) -> Response:
        return unavailable(error)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        if isinstance(error.body, bytes):  # It would have been read, had it been said to be JSON.
            kind = request.headers.get("content-type") or "nothing"
            return problem(
                422,
                f"the body is said to be {kind:.80}: send JSON, as Content-Type: application/json",
            )
        return problem(422, _mistakes(error))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 404:
            detail = f"nothing is at {request.url.path}: /openapi.json tells what there is"
        elif error.status_code == 405:
            detail = (
                f"{request.method} is not for {request.url.path}: {headers.get('Allow', '')} is"
            )
        elif error.status_code == 400:
            detail = "the body is no JSON: send some in UTF-8, as Content-Type: application/json"
        else:
            detail = str(error.detail)
        return problem(error.status_code, detail, headers)

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        _log.error("a request failed", path=request.url.path, exc_info=error)
        return problem(500, "a fault of streamdrift's: its log has the details; report it, please")


def _mistakes(error: RequestValidationError) -> str:
    """Say each mistake of a request, with its place."""
    told = []
    for each in error.errors():
        if each["type"] == "json_invalid":
            told.append("the body is no JSON")
            continue
        place = ".".join(str(part) for part in each["loc"])
        told.append(f"{place}: {each['msg'].removeprefix('Value error, ')}")
    return "; ".join(told)
