"""To which process a deployment belongs: to the one whose claim is the last."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from streamdrift.errors import FencedError
from streamdrift.state.log import Log


_CLAIM = "claim"


class Claim(NamedTuple):
    """A claim as it stands in the journal."""

    epoch: int
    """Its offset."""
    owner: str


def last_claims(log: Log, journal: str) -> Mapping[str, Claim]:
    """Return the last claim to each deployment of a journal, by the deployment's name."""
    claims = {}
    for entry in log.read(journal, 0):
        deployment, _, kind = entry.key.partition("/")
        if kind == _CLAIM and entry.value is not None:
            claims[deployment] = Claim(entry.offset, json.loads(entry.value)["owner"])
    return claims


class Ownership:
    """One process's claim to a deployment, for as long as the process lives.

    A claim is a record of the journal; its offset is the claim's epoch, so of two processes
    that start at once the later record counts. `owner` tells this process from all others.
    """

    def __init__(self, deployment: str, journal: str, owner: str) -> None:
        self._deployment = deployment
        self._journal = journal
        self._owner = owner
        self._epoch: int | None = None
        self._read_to: int | None = None
        """Offset in the journal; None before the first claim, when there is nothing to lose."""
        self._replaced_by: str | None = None

    @property
    def _key(self) -> str:
        return f"{self._deployment}/{_CLAIM}"

    def claim(self, log: Log) -> None:
        """Write a claim. It must be durable before `check` is called."""
        self._read_to = log.end(self._journal)
        self._epoch = None
        value = json.dumps({"owner": self._owner}).encode()
        log.append(self._journal, self._key, value)

    def check(self, log: Log) -> None:
        """Raise FencedError where another process claimed the deployment after this one.

        From then on every call does.
        """
        if self._read_to is None:
            return
        for entry in log.read(self._journal, self._read_to):
            self._read_to = entry.offset + 1
            if entry.key != self._key or entry.value is None:
                continue
            owner = json.loads(entry.value)["owner"]
            if owner == self._owner:
                self._epoch = entry.offset
            elif self._epoch is not None:
                self._replaced_by = owner
        if self._replaced_by is not None:
            raise FencedError(
                f"another process ({self._replaced_by}) has taken over the deployment "
                f"{self._deployment!r}",
                "stop one of the two, or give it another name with --set name=...",
            )
