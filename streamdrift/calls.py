"""One call of a place on HTTP: all of it within a deadline, however slowly the other side talks."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """As it came over the wire; its beginning, where it is longer than was asked for."""


class Caller:
    """Calls, one at a time, over a connection that is kept; `options` are the client's.

    The client's own time-outs are for each part of an answer: a byte now and then would hold its
    caller for ever. So it works on a loop of its own, on the caller's thread, which can leave it.
    """

    def __init__(self, seconds: float, **options: Any) -> None:
        self._seconds = seconds
        self._runner = asyncio.Runner()
        self._client = httpx2.AsyncClient(timeout=None, **options)

    def call(self, method: str, url: str, most: int, **options: Any) -> Reply:
        """Return what is answered, with some `most` bytes of its body, and more where it has more.

        Raises TimeoutError where that is not there in time, and what the client raises.
        """
        try:
            return self._runner.run(self._call(method, url, most, options))
        except TimeoutError as error:
            raise TimeoutError(f"no whole answer within {self._seconds:g} s") from error

    async def _call(self, method: str, url: str, most: int, options: Mapping[str, Any]) -> Reply:
        body = b""
        async with (
            asyncio.timeout(self._seconds),
            self._client.stream(method, url, **options) as response,
        ):
            async for part in response.aiter_raw():
                body += part
                if len(body) > most:
                    break
        return Reply(response.status_code, response.headers, body)

    def close(self) -> None:
        """Close the connection."""
        with suppress(httpx2.HTTPError, OSError):
            self._runner.run(self._client.aclose())
        self._runner.close()
