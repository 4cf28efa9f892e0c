"""Snapshots in two alternating slots of a compacted topic, beside a journal.

The records of a deployment have keys that begin with its name. A snapshot is chunks
`NAME/slot/S/I` and then its manifest `NAME/manifest/S`, which is written once all chunks are
durable; S alternates between 0 and 1, so one whole snapshot is there at any moment. In the
journal are floors (`NAME/floor`) and marks (`NAME/published`).
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from crc32c import crc32c

from streamdrift.errors import StateError
from streamdrift.records import Floor
from streamdrift.state.journal import (
    RESET,
    Journaled,
    Published,
    read_journal,
    write_floors,
    write_published,
    write_reset,
)
from streamdrift.state.log import Log
from streamdrift.state.ownership import Claim, read_claim

CHUNK_BYTES = 900_000
_FORMAT = 1


class Stored(NamedTuple):
    """What a start finds: the last whole snapshot, and what was journaled since."""

    snapshot: bytes | None
    floors: tuple[Floor, ...]
    published: Published


class Saved(NamedTuple):
    """A whole snapshot, as it lies in the topic."""

    snapshot: bytes
    sequence: int
    journal: int
    """Offset in the journal up to which floors are in the snapshot."""


class Manifest(NamedTuple):
    """What was written when a snapshot was whole."""

    slot: int
    sequence: int
    chunks: int
    size: int
    checksum: int
    journal: int
    """Offset in the journal up to which floors are in the snapshot."""


def read_manifest(value: bytes, topic: str) -> Manifest:
    """Return the manifest that stands in a record of `topic`.

    Raises StateError where it is of another format, or no manifest at all.
    """
    try:
        fields = json.loads(value)
        if fields.pop("format") != _FORMAT:
            raise StateError(
                f"the state in the topic {topic} was written by another version",
                "run that version, or start with --reset-state to begin anew",
            )
        return Manifest(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"a manifest in the topic {topic} cannot be read: {error}",
            "check that nobody else writes to it; start with --reset-state to begin anew",
        ) from error


class TopicStore:
    """The state of one deployment in two topics of a log."""

    def __init__(self, log: Log, deployment: str, topic: str, journal: str) -> None:
        self._log = log
        self.deployment = deployment
        self._prefix = f"{deployment}/"
        self._topic = topic
        self._journal = journal
        self._sequence = 0
        self._slot = 0

    def load(self) -> Stored:
        """Return what was stored; called once, before anything else.

        Raises StateError where there was a snapshot and no whole one is left.
        """
        for topic in (self._topic, self._journal):
            self._log.settle(topic)
        saved = self.last()
        if saved is None:
            return Stored(None, *self.since(0))
        return Stored(saved.snapshot, *self.since(saved.journal))

    def last(self) -> Saved | None:
        """Return the last whole snapshot, None where none was ever written.

        Raises StateError where there was one and none is left.
        """
        return self._find(self._records())

    def _find(self, records: dict[str, bytes]) -> Saved | None:
        manifests = [
            read_manifest(records[key], self._topic)
            for slot in (0, 1)
            if (key := self._manifest(slot)) in records
        ]
        manifests.sort(key=lambda manifest: -manifest.sequence)
        for manifest in manifests:
            snapshot = self._assemble(manifest, records)
            if snapshot is not None:
                self._sequence, self._slot = manifests[0].sequence, 1 - manifest.slot
                return Saved(snapshot, manifest.sequence, manifest.journal)
        if manifests:
            raise StateError(
                f"no whole snapshot is left in the topic {self._topic}",
                "check that its cleanup.policy is compact and nobody else writes to it; "
                "start with --reset-state to begin anew",
            )
        return None

    def _records(self) -> dict[str, bytes]:
        """Return the values of the deployment's records, by key."""
        records: dict[str, bytes] = {}
        for entry in self._log.read(self._topic, 0):
            if entry.key.startswith(self._prefix):
                if entry.value is None:
                    records.pop(entry.key, None)
                else:
                    records[entry.key] = entry.value
        return records

    def since(self, start: int) -> Journaled:
        """Return what was journaled from offset `start` on."""
        return read_journal(self._log, self.deployment, self._journal, start)

    def _assemble(self, manifest: Manifest, records: dict[str, bytes]) -> bytes | None:
        chunks = [
            records.get(self._chunk(manifest.slot, place)) for place in range(manifest.chunks)
        ]
        whole = b"".join(chunk for chunk in chunks if chunk is not None)
        if len(whole) != manifest.size or crc32c(whole) != manifest.checksum:
            return None
        return whole

    def _manifest(self, slot: int) -> str:
        return f"{self._prefix}manifest/{slot}"

    def _chunk(self, slot: int, place: int) -> str:
        return f"{self._prefix}slot/{slot}/{place}"

    def goes_on(self, claim: Claim, end: int) -> bool:
        """Tell whether the journal goes on where it once ended at `end`, after `claim`.

        It does not where it is another cluster's or was made anew, nor where the state was
        reset or replaced meanwhile: then what it says is published is of another life.
        """
        known = False
        for entry in self._log.read(self._journal, claim.epoch):
            if entry.offset == claim.epoch:
                known = read_claim(entry, self.deployment) == claim
            if entry.offset >= end and entry.key == f"{self.deployment}/{RESET}":
                return False
        return known

    def journal(self, floors: Sequence[Floor], published: Published | None = None) -> None:
        """Append floors, and what is published with them; durable from the next flush on."""
        write_floors(self._log, self.deployment, self._journal, floors)
        if published:
            write_published(self._log, self.deployment, self._journal, published)

    def flush(self) -> None:
        """Return when what was appended is durable; raise ConnectionsError else."""
        self._log.flush()

    def save(
        self,
        snapshot: bytes,
        reached: Callable[[str], None] = lambda _: None,
        *,
        journal: int | None = None,
    ) -> None:
        """Write a snapshot; it is durable, and the one to be loaded, when this returns.

        In a transaction it is so once that is committed. `reached` is told of each step,
        for fault tests. What was journaled from offset `journal` on (by default: from now
        on) is not in the snapshot.
        """
        if journal is None:
            journal = self._log.end(self._journal)
        pieces = range(0, len(snapshot), CHUNK_BYTES)
        for place, start in enumerate(pieces):
            chunk = snapshot[start : start + CHUNK_BYTES]
            self._log.append(self._topic, self._chunk(self._slot, place), chunk)
            reached("chunk written")
        self._log.flush()
        reached("chunks durable")
        manifest = Manifest(
            slot=self._slot,
            sequence=self._sequence + 1,
            chunks=len(pieces),
            size=len(snapshot),
            checksum=crc32c(snapshot),
            journal=journal,
        )
        value = json.dumps({"format": _FORMAT, **manifest._asdict()}).encode()
        self._log.append(self._topic, self._manifest(self._slot), value)
        reached("manifest written")
        self._log.flush()
        self._sequence, self._slot = manifest.sequence, 1 - self._slot
        reached("manifest durable")

    def replace(
        self, snapshot: bytes, since: Journaled, journal: int | None = None, *, force: bool
    ) -> None:
        """Put a snapshot in the place of everything that is stored.

        It is of this deployment's own life, of which the journal has the rest from offset
        `journal` on; or, where that is None, of another: then the journal begins anew with
        `since`. Without a transaction, whoever dies amid this leaves either snapshot to be
        loaded. Raises StateError where anything is stored, whole or not, unless `force`.
        """
        old = self._records()
        if not force and (old or self.since(0) != Journaled()):
            raise StateError(
                f"the deployment {self.deployment!r} has state already",
                "export it if it is still needed, then import with --force",
            )
        try:
            self._find(old)
        except StateError:
            self._sequence, self._slot = 0, 0  # All of what cannot be read goes.
        slot = self._slot
        if journal is None:
            journal = self._log.end(self._journal)
            write_reset(self._log, self.deployment, self._journal)
            self.journal(since.floors, since.published)
        self.save(snapshot, journal=journal)
        pieces = range(-(-len(snapshot) // CHUNK_BYTES))
        kept = {self._manifest(slot), *(self._chunk(slot, place) for place in pieces)}
        for key in old.keys() - kept:
            self._log.append(self._topic, key, None)
        self._log.flush()

    def reset(self) -> None:
        """Forget the deployment's snapshots, and what its journal holds."""
        for key in self._records():
            self._log.append(self._topic, key, None)
        write_reset(self._log, self.deployment, self._journal)
        self._log.flush()
