"""A deployment's state in one file, to be kept, looked at, or put into another deployment.

Format 1: `SDEX`, one byte with the format's version, the CRC-32C of all that follows (4
bytes, big-endian), the length of the JSON and that of the snapshot (8 bytes each), the JSON,
the snapshot as the codec wrote it. The JSON is `{"deployment", "sequence", "journal",
"journal_end", "claim": [epoch, owner] or null, "floors", "published"}`, the last two as the
journal has them.
"""

import json
import struct
from dataclasses import dataclass

from crc32c import crc32c

from streamdrift.errors import InputError
from streamdrift.state.journal import (
    Journaled,
    floor_value,
    published_value,
    read_floor,
    read_published,
)
from streamdrift.state.log import Log
from streamdrift.state.ownership import Claim, last_claims
from streamdrift.state.store import TopicStore

FORMAT = 1
_MAGIC = b"SDEX"
_LENGTHS = struct.Struct(">QQ")
_HEAD = struct.Struct(">4sBI")


@dataclass(frozen=True, slots=True)
class Archive:
    """The last whole snapshot of a deployment, and what was journaled since."""

    deployment: str
    sequence: int
    """How many snapshots the deployment had written with this one."""
    journal: int
    """Offset in the deployment's journal from which on nothing is in the snapshot."""
    journal_end: int
    """Offset behind the last record of the journal when this was taken."""
    claim: Claim | None
    """The last claim to the deployment; with it a journal is known again."""
    since: Journaled
    snapshot: bytes


def take(log: Log, deployment: str, topic: str, journal: str) -> Archive | None:
    """Return what the topics hold of a deployment, None where they have no snapshot of it.

    Nothing is written. Raises StateError where there was a snapshot and none is left.
    """
    store = TopicStore(log, deployment, topic, journal)
    saved = store.last()
    if saved is None:
        return None
    return Archive(
        deployment=deployment,
        sequence=saved.sequence,
        journal=saved.journal,
        journal_end=log.end(journal),
        claim=last_claims(log, journal).get(deployment),
        since=store.since(saved.journal),
        snapshot=saved.snapshot,
    )


def put(archive: Archive, store: TopicStore, *, force: bool) -> None:
    """Put an archive into a deployment; it is there once `store` is flushed and committed.

    Raises StateError where the deployment has state already, unless `force`.
    """
    claim, same = archive.claim, archive.deployment == store.deployment
    goes_on = same and claim is not None and store.goes_on(claim, archive.journal_end)
    journal = archive.journal if goes_on else None
    store.replace(archive.snapshot, archive.since, journal, force=force)


def pack(archive: Archive) -> bytes:
    """Return an archive as the bytes of its file."""
    about = {
        "deployment": archive.deployment,
        "sequence": archive.sequence,
        "journal": archive.journal,
        "journal_end": archive.journal_end,
        "claim": archive.claim,
        "floors": [floor_value(floor) for floor in archive.since.floors],
        "published": published_value(archive.since.published),
    }
    text = json.dumps(about, separators=(",", ":")).encode()
    body = _LENGTHS.pack(len(text), len(archive.snapshot)) + text + archive.snapshot
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
    text_size, snapshot_size = _LENGTHS.unpack_from(data, _HEAD.size)
    whole = start + text_size + snapshot_size
    if len(data) < whole:
        raise InputError(f"{name} is cut off: it has {len(data)} of {whole} bytes", again)
    if crc32c(memoryview(data)[_HEAD.size :]) != checksum:
        raise InputError(f"{name} is damaged: its checksum does not match", again)
    about = json.loads(data[start : start + text_size])
    return Archive(
        deployment=about["deployment"],
        sequence=about["sequence"],
        journal=about["journal"],
        journal_end=about["journal_end"],
        claim=None if about["claim"] is None else Claim(*about["claim"]),
        since=Journaled(
            tuple(read_floor(value) for value in about["floors"]),
            read_published(about["published"]),
        ),
        snapshot=data[start + text_size :],
    )
