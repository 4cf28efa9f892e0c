"""A deployment's state in one file, to be kept, looked at, or put into another deployment.

Format 2: `SDEX`, one byte with the format's version, the CRC-32C of all that follows (4
bytes, big-endian), the length of the JSON and that of the snapshots together (8 bytes each),
the JSON, the snapshots as the codec wrote them, one shard's after the other's. The JSON is
`{"deployment", "shards": [[size, sequence, journal], ...], "journal_end", "claim": [epoch,
owner] or null, "floors", "published", "commands"}`, the last three as the journal has them.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crc32c import crc32c

from streamdrift.errors import InputError, StateError
from streamdrift.state.journal import (
    Journaled,
    command_value,
    floor_value,
    published_value,
    read_command,
    read_floor,
    read_published,
)
from streamdrift.state.ownership import Claim
from streamdrift.state.snapshots import Saved
from streamdrift.state.store import TopicStore

FORMAT = 2
_MAGIC = b"SDEX"
_LENGTHS = struct.Struct(">QQ")
_HEAD = struct.Struct(">4sBI")


@dataclass(frozen=True, slots=True)
class Archive:
    """The last whole snapshots of a deployment's shards, and what was journaled since."""

    deployment: str
    snapshots: Mapping[int, Saved]
    """Of each shard, from 0 on."""
    journal_end: int
    """Offset behind the last record of the journal when this was taken."""
    claim: Claim | None
    """The last claim to the deployment; with it a journal is known again."""
    since: Journaled
    """From the oldest snapshot's place in the journal on."""

    @property
    def sequence(self) -> int:
        """How many commits of the deployment had written snapshots with the last of these."""
        return max(saved.sequence for saved in self.snapshots.values())

    @property
    def journal(self) -> int:
        """Offset in the deployment's journal from which on nothing is in all snapshots."""
        return min(saved.journal for saved in self.snapshots.values())

    @property
    def size(self) -> int:
        """The bytes of all snapshots."""
        return sum(len(saved.snapshot) for saved in self.snapshots.values())


def take(stores: Sequence[TopicStore]) -> Archive | None:
    """Return what a deployment's topics hold, None where they have no snapshots of it.

    `stores` are one of all shards, or one for each. Nothing is written. Raises StateError
    where of some shard there was a snapshot and none is left.
    """
    found = [(store, last) for store in stores if (last := store.last())]
    if not found:
        return None
    snapshots = {shard: saved for _, last in found for shard, saved in last.items()}
    if (
        missing := sorted(set(range(stores[0].shards)) - snapshots.keys())
        if len(stores) > 1
        else []
    ):
        raise StateError(
            f"there is no snapshot of shard {missing[0]} of {stores[0].shards}",
            "is shards in the settings as it was? `streamdrift state reset` begins anew",
        )
    since = Journaled()
    for store, last in found:
        since = since.and_then(store.since(min(saved.journal for saved in last.values())))
    return Archive(
        deployment=stores[0].deployment,
        snapshots=snapshots,
        journal_end=stores[0].journal_end(),
        claim=stores[0].claim(),
        since=since,
    )


def put(archive: Archive, store: TopicStore, *, force: bool) -> None:
    """Put an archive into a deployment; it is there once `store` is flushed and committed.

    Raises StateError where the deployment has state already, unless `force`.
    """
    claim, same = archive.claim, archive.deployment == store.deployment
    goes_on = same and claim is not None and store.goes_on(claim, archive.journal_end)
    store.replace(archive.snapshots, None if goes_on else archive.since, force=force)


def pack(archive: Archive) -> bytes:
    """Return an archive as the bytes of its file."""
    shards = [archive.snapshots[shard] for shard in range(len(archive.snapshots))]
    about = {
        "deployment": archive.deployment,
        "shards": [[len(saved.snapshot), saved.sequence, saved.journal] for saved in shards],
        "journal_end": archive.journal_end,
        "claim": archive.claim,
        "floors": [floor_value(floor) for floor in archive.since.floors],
        "published": published_value(archive.since.published),
        "commands": [command_value(taken) for taken in archive.since.commands],
    }
    text = json.dumps(about, separators=(",", ":")).encode()
    snapshots = b"".join(saved.snapshot for saved in shards)
    body = _LENGTHS.pack(len(text), len(snapshots)) + text + snapshots
    return _HEAD.pack(_MAGIC, FORMAT, crc32c(body)) + body


def unpack(data: bytes, name: str) -> Archive:
    """Return the archive of a file's bytes; `name` is what errors call the file.

    Raises InputError where it is none, of a format that is not known, cut off or damaged.
    """
    start = _HEAD.size + _LENGTHS.size
    if data[: len(_MAGIC)] != _MAGIC:
        raise InputError(
            f"{name} is no exported state", "name a file that `streamdrift state export` wrote"
        )
    if len(data) > len(_MAGIC) and data[len(_MAGIC)] != FORMAT:
        raise InputError(
            f"{name} has format {data[len(_MAGIC)]}, this version reads format {FORMAT}",
            "use the version of streamdrift that wrote it",
        )
    again = "export the state again, or take another copy of the file"
    if len(data) < start:
        raise InputError(f"{name} is cut off: it has {len(data)} bytes", again)
    _, _, checksum = _HEAD.unpack_from(data)
    text_size, size = _LENGTHS.unpack_from(data, _HEAD.size)
    whole = start + text_size + size
    if len(data) < whole:
        raise InputError(f"{name} is cut off: it has {len(data)} of {whole} bytes", again)
    if crc32c(memoryview(data)[_HEAD.size :]) != checksum:
        raise InputError(f"{name} is damaged: its checksum does not match", again)
    about = json.loads(data[start : start + text_size])
    snapshots: dict[int, Saved] = {}
    place = start + text_size
    for shard, (length, sequence, journal) in enumerate(about["shards"]):
        snapshots[shard] = Saved(data[place : place + length], sequence, journal)
        place += length
    return Archive(
        deployment=about["deployment"],
        snapshots=snapshots,
        journal_end=about["journal_end"],
        claim=None if about["claim"] is None else Claim(*about["claim"]),
        since=Journaled(
            tuple(read_floor(value) for value in about["floors"]),
            read_published(about["published"]),
            tuple(read_command(value) for value in about.get("commands", ())),
        ),
    )
