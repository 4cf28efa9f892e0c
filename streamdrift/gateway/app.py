"""The gateway's HTTP: CloudEvents posted to `/` are written before they are answered."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamdrift.cloudevents import (
    CloudEvent,
    CloudEventError,
    TooManyEventsError,
    from_http,
)
from streamdrift.durations import SECOND
from streamdrift.gateway.metrics import GatewayMetrics
from streamdrift.gateway.settings import GatewaySettings
from streamdrift.gateway.writer import AwayError, Entry, TooLargeError
from streamdrift.http.listening import knows, names_this_machine

_RETRY = {"Retry-After": "1"}
_SMALL = 16_384
"""Bytes of a body that is read at once; the others are read one at a time, on a thread."""
_EVENT_BYTES = 5_000
"""What a record takes in memory until it is acknowledged, beside its bytes."""


class Writes(Protocol):
    """What the events are handed to."""

    @property
    def connected(self) -> bool:
        """Whether the brokers answered last."""
        ...

    async def connect(self) -> None:
        """Call the brokers; raise AwayError where they do not answer."""
        ...

    async def write(self, entries: Sequence[Entry]) -> None:
        """Return when the brokers have all entries; raise AwayError or TooLargeError."""
        ...


class _RefusedError(Exception):
    """A request that is answered at once, with a status and what to do."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class _Gateway:
    """Takes requests, within the limits of the settings."""

    def __init__(
        self, settings: GatewaySettings, token: str | None, writer: Writes, metrics: GatewayMetrics
    ) -> None:
        self._settings = settings
        self._token = None if token is None else token.encode()
        self._writer = writer
        self._metrics = metrics
        self._requests = 0
        self._pending = 0
        self._reading = CapacityLimiter(1)

    async def post(self, request: Request) -> Response:
        """Answer 202 when the brokers have the events of a request, else what to do."""
        self._requests += 1
        self._metrics.working(self._requests)
        try:
            count = await self._take(request)
        except _RefusedError as refusal:
            return self.refused(refusal.status, str(refusal), refusal.headers)
        finally:
            self._requests -= 1
            self._metrics.working(self._requests)
        self._metrics.answered(202)
        self._metrics.wrote(count)
        return Response(status_code=202)

    def refused(self, status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
        """Return, and count, the answer that says what is wrong with a request."""
        self._metrics.answered(status)
        text = json.dumps({"status": status, "detail": detail})
        return Response(f"{text}\n", status, headers, "application/problem+json")

    async def ready(self, _: Request) -> Response:
        """Tell whether the brokers answer; they are called where none did so far."""
        if not self._writer.connected:
            try:
                await self._writer.connect()
            except AwayError as error:
                return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics(self, request: Request) -> Response:
        """Return the metrics, to who may post."""
        try:
            self._check(request.headers)
        except _RefusedError as refusal:
            return PlainTextResponse(f"{refusal}\n", refusal.status, refusal.headers)
        body, kind = self._metrics.exposition()
        return Response(body, media_type=kind)

    async def _take(self, request: Request) -> int:
        """Write the events of a request, and return how many there were."""
        self._check(request.headers)
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            raise _RefusedError(
                415,
                f"the body is encoded ({coding:.80}), which is not read: post it as it is, without "
                "Content-Encoding",
                {"Accept-Encoding": "identity"},
            )
        if self._requests > self._settings.max_requests:
            raise _RefusedError(503, "too many requests at a time: post again later", _RETRY)
        size = 0
        try:
            body = bytearray()
            try:
                async with asyncio.timeout(self._settings.timeout / SECOND):
                    async for piece in request.stream():
                        size += len(piece)
                        self._pending += len(piece)
                        self._check_room(size)
                        body += piece
            except TimeoutError:
                raise _RefusedError(408, "the body did not arrive in time") from None
            except ClientDisconnect:
                raise _RefusedError(400, "the body did not arrive") from None
            entries = await self._entries(request.headers, bytes(body))
            del body
            # What few bytes of a batch become is larger than they are.
            weight = _EVENT_BYTES * max(0, len(entries) - 1)
            size += weight
            self._pending += weight
            if self._pending > size:  # One that is alone would be too much for ever.
                self._check_pending()
            await self._write(entries)
            return len(entries)
        finally:
            self._pending -= size

    def _check_room(self, size: int) -> None:
        if size > self._settings.max_bytes:
            raise _RefusedError(
                413,
                f"the body has more than {self._settings.max_bytes:,} bytes (gateway.max_bytes)",
                {"Connection": "close"},
            )
        self._check_pending()

    def _check_pending(self) -> None:
        if self._pending > self._settings.max_pending_bytes:
            raise _RefusedError(503, "too much waits for the brokers: post again later", _RETRY)

    async def _entries(self, headers: Headers, body: bytes) -> Sequence[Entry]:
        """Return the records of a request; a large one is read while others are served."""
        most = self._settings.max_events
        try:
            if len(body) <= _SMALL:
                return _entries(headers, body, most)
            return await to_thread.run_sync(_entries, headers, body, most, limiter=self._reading)
        except TooManyEventsError as error:
            raise _RefusedError(413, f"{error} (gateway.max_events): post several") from None
        except CloudEventError as error:
            raise _RefusedError(
                400,
                f"{error}. Post CloudEvents 1.0: attributes as headers (ce-id, ce-source, ce-type, "
                "ce-specversion) and data as body, or application/cloudevents+json",
            ) from None

    async def _write(self, entries: Sequence[Entry]) -> None:
        try:
            await self._writer.write(entries)
        except AwayError as error:
            raise _RefusedError(503, f"{error}: post again later", _RETRY) from None
        except TooLargeError as error:
            raise _RefusedError(413, f"larger than the brokers allow: {error}") from None

    def _check(self, headers: Headers) -> None:
        """Refuse who may not post."""
        if self._token is None:
            if not names_this_machine(headers.get("host", "")):
                raise _RefusedError(
                    403, "without a token only this machine may post: set gateway.token_file"
                )
        elif not knows(self._token, headers.getlist("authorization"), basic=True):
            raise _RefusedError(
                401,
                "a token is needed: send the header `Authorization: Bearer TOKEN`, or post to "
                "http://streamdrift:TOKEN@HOST, with that of gateway.token_file",
                {"WWW-Authenticate": 'Bearer realm="streamdrift"'},
            )


def make_app(
    settings: GatewaySettings, token: str | None, writer: Writes, metrics: GatewayMetrics
) -> Starlette:
    """Return the gateway as an ASGI application."""
    gateway = _Gateway(settings, token, writer, metrics)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    def elsewhere(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        place = f"{request.method} {request.url.path}"
        detail = f"{place:.200} is not here: POST / takes CloudEvents"
        return gateway.refused(error.status_code, detail, error.headers)

    return Starlette(
        exception_handlers={404: elsewhere, 405: elsewhere},
        routes=[
            Route("/", gateway.post, methods=["POST"]),
            Route("/healthz", alive),
            Route("/readyz", gateway.ready),
            Route("/metrics", gateway.metrics),
        ],
    )


def _entries(headers: Mapping[str, str], body: bytes, most: int) -> Sequence[Entry]:
    return [_entry(event) for event in from_http(headers, body, most)]


def _entry(event: CloudEvent) -> Entry:
    """Return an event as a record: a request and its response, which share an id, stay together."""
    key = event.attributes.get("partitionkey") or event.attributes["id"]
    return Entry(key.encode(), event.data, event.headers())
