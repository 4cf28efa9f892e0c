"""Who may ask, and how much: what is decided before a request is looked at."""

import asyncio

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamdrift.http.listening import knows, names_this_machine
from streamdrift.web.problems import RETRY_SECONDS, problem

HEALTH = frozenset({"/healthz", "/readyz"})
"""Paths that need no token: who restarts containers has none."""
MOST_REQUESTS = 256
"""At a time; beyond it only health is answered."""
LARGEST_BODY = 65_536
BODY_SECONDS = 10.0
"""Time to send it."""
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Guard:
    """Lets those pass that may ask; `token` None lets everybody on this machine.

    Without a token, what a web page makes a browser ask is refused: a request must name this
    machine, and must not come from a page of another place.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(_without_head(scope), receive, _sealed(send))
            return
        self._requests += 1
        try:
            await self._let_in(scope, receive, send)
        finally:
            self._requests -= 1

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._refused(scope)
        if answer is not None:
            await answer(scope, receive, _sealed(send))
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(receive)
        except TimeoutError:
            answer = problem(408, f"the body took longer than {BODY_SECONDS:g} s: send it at once")
            await answer(scope, receive, _sealed(send))
            return
        if body is None:
            await _too_large()(scope, receive, _sealed(send))
            return
        await self._app(_without_head(scope), _with(body, receive), _sealed(send))

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._token is None:
            if not _is_here(headers):
                return problem(
                    403,
                    "without a token only this machine may ask, by its own name, and no page of "
                    "another place: set http.token_file to let others",
                )
        elif not knows(self._token, headers.getlist("authorization")):
            return problem(
                401,
                "a token is needed: send the header `Authorization: Bearer TOKEN` with that of "
                "http.token_file",
                {"WWW-Authenticate": 'Bearer realm="streamdrift"'},
            )
        if self._requests > MOST_REQUESTS:
            return problem(
                503,
                f"more than {MOST_REQUESTS} requests at a time: ask again later",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > LARGEST_BODY:
            return _too_large()
        return None


def _without_head(scope: Scope) -> Scope:
    """Let what is asked for by HEAD be got: the server leaves the body out."""
    return {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope


def _is_here(headers: Headers) -> bool:
    """Tell whether a request names this machine, and is of no page of another place."""
    host = headers.get("host", "")
    if not names_this_machine(host):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host


def _too_large() -> Response:
    detail = f"the body has more than {LARGEST_BODY:,} bytes: send less"
    return problem(413, detail, {"Connection": "close"})


async def _read(receive: Receive) -> bytes | None:
    """Return a request's body, None where it is too long."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body  # Who asked has gone.
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return body


def _with(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read, and then what comes."""
    left = [body]

    async def given() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return given


def _sealed(send: Send) -> Send:
    """Send answers that nobody keeps."""

    async def seal(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return seal
