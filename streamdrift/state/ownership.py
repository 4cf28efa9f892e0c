"""To which process a deployment belongs: to the one whose claim is the last."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from streamdrift.errors import FencedError
from streamdrift.state.log import Entry, Log

_CLAIM = "claim"


class Claim(NamedTuple):
    """A claim as it stands in the journal."""

    epoch: int
    """Its offset."""
    owner: str


def read_claim(entry: Entry, deployment: str) -> Claim | None:
    """Return the claim to a deployment that a record of the journal is, None where it is none."""
    if entry.key != f"{deployment}/{_CLAIM}" or entry.value is None:
        return None
    return Claim(entry.offset, json.loads(entry.value)["owner"])


def last_claims(log: Log, journal: str) -> Mapping[str, Claim]:
    """Return the last claim to each deployment of a journal, by the deployment's name."""
    claims = {}
    for entry in log.read(journal, 0):
        deployment = entry.key.partition("/")[0]
        claim = read_claim(entry, deployment)
        if claim is not None:
            claims[deployment] = claim
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

    def claim(self, log: Log) -> None:
        """Write a claim. It must be durable before `check` is called."""
        self._read_to = log.end(self._journal)
        self._epoch = None
        value = json.dumps({"owner": self._owner}).encode()
        log.append(self._journal, f"{self._deployment}/{_CLAIM}", value)

    def check(self, log: Log) -> None:
        """Raise FencedError where another process claimed the deployment after this one.

        From then on every call does.
        """
        if self._read_to is None:
            return
        for entry in log.read(self._journal, self._read_to):
            self._read_to = entry.offset + 1
            claim = read_claim(entry, self._deployment)
            if claim is None:
                continue
            if claim.owner == self._owner:
                self._epoch = claim.epoch
            elif self._epoch is not None:
                self._replaced_by = claim.owner
        if self._replaced_by is not None:
            raise FencedError(
                f"another process ({self._replaced_by}) has taken over the deployment "
                f"{self._deployment!r}",
                "stop one of the two, or give it another name with --set name=...",
            )
