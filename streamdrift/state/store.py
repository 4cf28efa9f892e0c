"""Snapshots in two alternating slots of a compacted topic, beside a journal.

The records of a deployment have keys that begin with its name. A snapshot is chunks
`NAME/slot/S/I` and then its manifest `NAME/manifest/S`, which is written once all chunks are
durable; S alternates between 0 and 1, so one whole snapshot is there at any moment. In the
journal are floors (`NAME/floor`) and epochs (`NAME/epoch`): each start writes a higher epoch,
and who reads one above its own has been replaced.
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from crc32c import crc32c

from streamdrift.errors import FencedError, StateError
from streamdrift.records import Floor, Partition
from streamdrift.state.log import Log

CHUNK_BYTES = 900_000
_FORMAT = 1


class Stored(NamedTuple):
    """What a start finds: the last whole snapshot, and the floors journaled since."""

    snapshot: bytes | None
    floors: tuple[Floor, ...]


class _Manifest(NamedTuple):
    slot: int
    sequence: int
    epoch: int
    chunks: int
    size: int
    checksum: int
    journal: int
    """Offset in the journal up to which floors are in the snapshot."""


class TopicStore:
    """The state of one deployment in two topics of a log.

    `owner` tells this process from all others: of two that start at once with the same
    epoch, the one whose epoch comes later in the journal goes on.
    """

    def __init__(self, log: Log, deployment: str, topic: str, journal: str, owner: str) -> None:
        self._log = log
        self._prefix = f"{deployment}/"
        self._topic = topic
        self._journal = journal
        self._owner = owner
        self._epoch = 0
        self._sequence = 0
        self._slot = 0
        self._read_to = 0
        self._journaled_to = 0

    def load(self) -> Stored:
        """Take over the deployment: write a higher epoch, return what was stored.

        Called once, before anything else. Raises StateError where there was a snapshot and
        no whole one is left.
        """
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
        self._claim(max((manifest.epoch for manifest in manifests), default=0))
        for manifest in manifests:
            snapshot = self._assemble(manifest, records)
            if snapshot is not None:
                self._sequence, self._slot = manifests[0].sequence, 1 - manifest.slot
                return Stored(snapshot, self._floors(manifest.journal))
        if manifests:
            raise StateError(
                f"no whole snapshot is left in the topic {self._topic}",
                "check that its cleanup.policy is compact and nobody else writes to it; "
                "start with --reset-state to begin anew",
            )
        return Stored(None, self._floors(0))

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

    def _claim(self, epoch: int) -> None:
        """Write an epoch above all there were, and wait until it is durable."""
        for entry in self._log.read(self._journal, 0):
            if entry.key == f"{self._prefix}epoch" and entry.value is not None:
                epoch = max(epoch, json.loads(entry.value)["epoch"])
        self._epoch = epoch + 1
        value = json.dumps({"epoch": self._epoch, "owner": self._owner}).encode()
        self._log.append(self._journal, f"{self._prefix}epoch", value)
        self._log.flush()
        # Of two processes with this epoch the later record counts: it is behind this one's.
        for entry in self._log.read(self._journal, 0):
            self._read_to = entry.offset + 1
            if entry.key == f"{self._prefix}epoch" and entry.value == value:
                break

    def _floors(self, start: int) -> tuple[Floor, ...]:
        floors = []
        self._journaled_to = start
        for entry in self._log.read(self._journal, start):
            self._journaled_to = entry.offset + 1
            if entry.key == f"{self._prefix}floor" and entry.value is not None:
                topic, number, offset, key = json.loads(entry.value)
                floors.append(Floor(Partition(topic, number), offset, key))
        return tuple(floors)

    def check(self) -> None:
        """Raise FencedError where another process has taken over the deployment."""
        for entry in self._log.read(self._journal, self._read_to):
            self._read_to = entry.offset + 1
            if entry.key != f"{self._prefix}epoch" or entry.value is None:
                continue
            other = json.loads(entry.value)
            if other["epoch"] >= self._epoch and other["owner"] != self._owner:
                raise FencedError(
                    f"another process ({other['owner']}) runs the deployment "
                    f"{self._prefix.rstrip('/')!r} since",
                    "stop one of the two, or give it another name with --set name=...",
                )

    def journal(self, floors: Sequence[Floor]) -> None:
        """Write floors; they are durable when this returns."""
        for floor in floors:
            value = [floor.partition.topic, floor.partition.number, floor.offset, floor.key]
            self._log.append(self._journal, f"{self._prefix}floor", json.dumps(value).encode())
        if floors:
            self._log.flush()

    def save(self, snapshot: bytes, reached: Callable[[str], None] = lambda _: None) -> None:
        """Write a snapshot; it is durable, and the one to be loaded, when this returns.

        `reached` is told of each step, for fault tests. Raises FencedError where another
        process has taken over.
        """
        self.check()
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
            epoch=self._epoch,
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
        """Forget the deployment's snapshots; floors of the past are left behind as well."""
        for entry in list(self._log.read(self._topic, 0)):
            if entry.key.startswith(self._prefix) and entry.value is not None:
                self._log.append(self._topic, entry.key, None)
        self._log.flush()
