"""The other workers of a deployment, and what they have."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
from starlette.concurrency import run_in_threadpool

from streamdrift.errors import ConnectionsError, LaterError
from streamdrift.web.schemas import Unanswered
from streamdrift.workers.places import Place, owners_of

PEER_SECONDS = 5.0
"""Time another worker has to answer: its loop has less."""
_KNOWN_SECONDS = 2.0
"""For so long who has which shard is believed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What another worker answered."""

    status: int
    body: Any


class Peers:
    """Asks other workers what they have.

    `own` is this worker; `notes` returns those to the offsets of the shards.
    `transport` is in the place of the network, for tests.
    """

    def __init__(
        self,
        own: Place,
        shards: int,
        notes: Callable[[], Mapping[int, str]],
        token: str | None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._own = own
        self._shards = shards
        self._notes = notes
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._transport = transport
        self._known: Mapping[Place | None, list[int]] = {}
        self._known_until = float("-inf")
        self._lock = asyncio.Lock()

    async def get(
        self,
        path: str,
        parameters: Mapping[str, str | int] | None = None,
        shards: Collection[int] | None = None,
    ) -> tuple[list[Reply], list[Unanswered]]:
        """Ask those that have any of `shards`, or any shard, for `path` as each has it alone.

        Return their answers, and who gave none. Raises LaterError where the brokers do not tell
        who they are.
        """
        owners = await self._owners()
        asked = {
            place: mine
            for place, numbers in owners.items()
            if (mine := [n for n in numbers if shards is None or n in shards])
            and (place is None or place.instance != self._own.instance)
        }
        async with httpx2.AsyncClient(
            headers=self._headers,
            timeout=PEER_SECONDS,
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
        ) as client:
            found = await asyncio.gather(
                *(self._one(client, place, path, parameters or {}) for place in asked)
            )
        replies = [each for each in found if isinstance(each, Reply)]
        unanswered = [
            Unanswered(instance=place.instance if place else "", shards=numbers, reason=each)
            for (place, numbers), each in zip(asked.items(), found, strict=True)
            if isinstance(each, str)
        ]
        return replies, unanswered

    async def own(self, shards: Collection[int] | None, reason: str) -> list[Unanswered]:
        """Say that this worker does not answer for what it has of `shards`, if it has any."""
        owners = await self._owners()
        mine = [
            number
            for place, numbers in owners.items()
            if place is not None and place.instance == self._own.instance
            for number in numbers
            if shards is None or number in shards
        ]
        told = Unanswered(instance=self._own.instance, shards=mine, reason=reason)
        return [told] if mine else []

    async def _one(
        self,
        client: httpx2.AsyncClient,
        place: Place | None,
        path: str,
        parameters: Mapping[str, str | int],
    ) -> Reply | str:
        """Return what one worker answers, or why it does not."""
        if place is None:
            return "no worker has said that it has these shards, and at which address"
        if place.address is None:
            return "it serves no HTTP: set http.bind"
        url = f"http://{place.address}{quote(path, safe='/~:')}"
        try:
            async with asyncio.timeout(PEER_SECONDS):
                answer = await client.get(url, params={**parameters, "local": "true"})
            if answer.status_code in (200, 404):
                return Reply(answer.status_code, answer.json())
        except TimeoutError:
            return f"no answer from {place.address} within {PEER_SECONDS:g} s"
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            return f"no answer from {place.address}: {error or type(error).__name__}"
        return f"{place.address} answered with status {answer.status_code}"

    async def _owners(self) -> Mapping[Place | None, list[int]]:
        async with self._lock:
            if time.monotonic() >= self._known_until:
                try:
                    notes = await run_in_threadpool(self._notes)
                except ConnectionsError as error:
                    raise LaterError(
                        f"the brokers do not tell who has which shard: {error}",
                        "ask again in a few seconds",
                    ) from error
                self._known = owners_of(notes, self._shards)
                self._known_until = time.monotonic() + _KNOWN_SECONDS
            return self._known


def bodies(replies: Sequence[Reply]) -> list[Any]:
    """Return what those answered that had something."""
    return [each.body for each in replies if each.status == 200]
