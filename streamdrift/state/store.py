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
    Published,
    read_journal,
    write_floors,
    write_published,
    write_reset,
)
from streamdrift.state.log import Log

CHUNK_BYTES = 900_000
_FORMAT = 1


class Stored(NamedTuple):
    """What a start finds: the last whole snapshot, and what was journaled since."""

    snapshot: bytes | None
    floors: tuple[Floor, ...]
    published: Published


class _Manifest(NamedTuple):
    slot: int
    sequence: int
    chunks: int
    size: int
    checksum: int
    journal: int
    """Offset in the journal up to which floors are in the snapshot."""


class TopicStore:
    """The state of one deployment in two topics of a log."""

    def __init__(self, log: Log, deployment: str, topic: str, journal: str) -> None:
        self._log = log
        self._deployment = deployment
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
        records: dict[str, bytes] = {}
        for entry in self._log.read(self._topic, 0):
            if entry.key.startswith(self._prefix):
                if entry.value is None:
                    records.pop(entry.key, None)
                else:
                    records[entry.key] = entry.value
        manifests = [
            self._manifest(records[key])
            for slot in (0, 1)
            if (key := f"{self._prefix}manifest/{slot}") in records
        ]
        manifests.sort(key=lambda manifest: -manifest.sequence)
        for manifest in manifests:
            snapshot = self._assemble(manifest, records)
            if snapshot is not None:
                self._sequence, self._slot = manifests[0].sequence, 1 - manifest.slot
                return Stored(snapshot, *self._journaled(manifest.journal))
        if manifests:
            raise StateError(
                f"no whole snapshot is left in the topic {self._topic}",
                "check that its cleanup.policy is compact and nobody else writes to it; "
                "start with --reset-state to begin anew",
            )
        return Stored(None, *self._journaled(0))

    def _journaled(self, start: int) -> tuple[tuple[Floor, ...], Published]:
        return read_journal(self._log, self._deployment, self._journal, start)

    def _manifest(self, value: bytes) -> _Manifest:
        try:
            fields = json.loads(value)
            if fields.pop("format") != _FORMAT:
                raise StateError(
                    f"the state in the topic {self._topic} was written by another version",
                    "run that version, or start with --reset-state to begin anew",
                )
            return _Manifest(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(
                f"a manifest in the topic {self._topic} cannot be read: {error}",
                "check that nobody else writes to it; start with --reset-state to begin anew",
            ) from error

    def _assemble(self, manifest: _Manifest, records: dict[str, bytes]) -> bytes | None:
        chunks = [
            records.get(self._chunk(manifest.slot, place)) for place in range(manifest.chunks)
        ]
        whole = b"".join(chunk for chunk in chunks if chunk is not None)
        if len(whole) != manifest.size or crc32c(whole) != manifest.checksum:
            return None
        return whole

    def _chunk(self, slot: int, place: int) -> str:
        return f"{self._prefix}slot/{slot}/{place}"

    def journal(self, floors: Sequence[Floor], published: Published | None = None) -> None:
        """Append floors, and what is published with them; durable from the next flush on."""
        write_floors(self._log, self._deployment, self._journal, floors)
        if published:
            write_published(self._log, self._deployment, self._journal, published)

    def flush(self) -> None:
        """Return when what was appended is durable; raise ConnectionsError else."""
        self._log.flush()

    def save(self, snapshot: bytes, reached: Callable[[str], None] = lambda _: None) -> None:
        """Write a snapshot; it is durable, and the one to be loaded, when this returns.

        In a transaction it is so once that is committed. `reached` is told of each step,
        for fault tests.
        """
        journal = self._log.end(self._journal)
        pieces = range(0, len(snapshot), CHUNK_BYTES)
        for place, start in enumerate(pieces):
            chunk = snapshot[start : start + CHUNK_BYTES]
            self._log.append(self._topic, self._chunk(self._slot, place), chunk)
            reached("chunk written")
        self._log.flush()
        reached("chunks durable")
        manifest = _Manifest(
            slot=self._slot,
            sequence=self._sequence + 1,
            chunks=len(pieces),
            size=len(snapshot),
            checksum=crc32c(snapshot),
            journal=journal,
        )
        value = json.dumps({"format": _FORMAT, **manifest._asdict()}).encode()
        self._log.append(self._topic, f"{self._prefix}manifest/{self._slot}", value)
        reached("manifest written")
        self._log.flush()
        self._sequence, self._slot = manifest.sequence, 1 - self._slot
        reached("manifest durable")

    def reset(self) -> None:
        """Forget the deployment's snapshots, and what its journal holds."""
        for entry in list(self._log.read(self._topic, 0)):
            if entry.key.startswith(self._prefix) and entry.value is not None:
                self._log.append(self._topic, entry.key, None)
        write_reset(self._log, self._deployment, self._journal)
        self._log.flush()
