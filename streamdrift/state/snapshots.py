"""How snapshots lie in the state topic, and how they are found again.

A deployment's state is made of shards, each with two slots of which the older one is written.
A snapshot of shard S is chunks `NAME/S/slot/P/I` and then its manifest `NAME/S/manifest/P`,
which is written once all chunks are durable; the slot P is 0 or 1. So one whole snapshot of
every shard is there at any moment. What is put in the place of all others is a new life of
the deployment: it counts once all its shards are whole, and is never mixed with another's.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from crc32c import crc32c

from streamdrift.errors import StateError

_FORMAT = 2
_FOREIGN = "check that its cleanup.policy is compact and nobody else writes to it"
_RESET = "start with --reset-state to begin anew"


class Saved(NamedTuple):
    """A shard's whole snapshot, as it lies in the topic."""

    snapshot: bytes
    sequence: int
    """Of the commit that wrote it, among all that wrote snapshots."""
    journal: int
    """Offset in the journal from which on nothing is in the snapshot."""


class Manifest(NamedTuple):
    """What was written when a shard's snapshot was whole."""

    shard: int
    shards: int
    """How many there are."""
    life: int
    slot: int
    sequence: int
    chunks: int
    size: int
    checksum: int
    journal: int


class Found(NamedTuple):
    """The last whole snapshots of all shards; nothing where none was ever whole."""

    snapshots: Mapping[int, Saved]
    shards: int
    """How many the state is made of."""
    life: int
    slots: Mapping[int, int]
    """Where each shard's snapshot lies."""
    sequence: int
    """The largest there is of any snapshot."""


NOTHING = Found({}, 0, 1, {}, 0)


def manifest_key(deployment: str, shard: int, slot: int) -> str:
    """Return the key of a manifest."""
    return f"{deployment}/{shard}/manifest/{slot}"


def chunk_key(deployment: str, shard: int, slot: int, place: int) -> str:
    """Return the key of a chunk."""
    return f"{deployment}/{shard}/slot/{slot}/{place}"


def is_manifest(key: str) -> bool:
    """Tell whether the key of a record is that of a manifest, of this format or of the first."""
    return key.split("/")[1:-1][-1:] == ["manifest"]


def manifest_value(manifest: Manifest) -> bytes:
    """Return a manifest as its record has it."""
    return json.dumps({"format": _FORMAT, **manifest._asdict()}).encode()


def read_manifest(value: bytes, topic: str) -> Manifest:
    """Return the manifest that stands in a record of `topic`.

    Raises StateError where it is of another format, or no manifest at all.
    """
    try:
        fields = json.loads(value)
        if fields.pop("format") != _FORMAT:
            raise StateError(
                f"the state in the topic {topic} was written by another version",
                f"run that version, or {_RESET}",
            )
        return Manifest(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"a manifest in the topic {topic} cannot be read: {error}",
            f"check that nobody else writes to it; {_RESET}",
        ) from error


def find(
    records: Mapping[str, bytes], deployment: str, topic: str, shard: int | None = None
) -> Found:
    """Return what the records of a deployment hold, or those of the one `shard` that is kept there.

    Raises StateError where there was a snapshot of every shard, and of one none is left.
    """
    manifests = [read_manifest(records[key], topic) for key in sorted(records) if is_manifest(key)]
    manifests.sort(key=lambda manifest: -manifest.sequence)
    if not manifests:
        return NOTHING
    # Where a new life was cut short before it counted, there are two.
    lives = list(dict.fromkeys((manifest.life, manifest.shards) for manifest in manifests))
    broken: list[int] = []
    for life, count in lives:
        wanted = range(count) if shard is None else (shard,)
        mine = [manifest for manifest in manifests if manifest.life == life]
        whole = _whole(mine, wanted, lambda each: _assemble(each, records, deployment))
        broken = broken or sorted(set(wanted) - whole.keys())
        if len(whole) == len(wanted):
            return Found(
                {
                    each: Saved(data, manifest.sequence, manifest.journal)
                    for each, (manifest, data) in whole.items()
                },
                count,
                life,
                {each: manifest.slot for each, (manifest, _) in whole.items()},
                manifests[0].sequence,
            )
    written = {manifest.shard for manifest in manifests}
    if manifests[0].sequence == 1 and not written.issuperset(broken):
        return NOTHING  # Whoever wrote the first of all snapshots died amid it.
    raise StateError(
        f"no whole snapshot is left in the topic {topic} of shard "
        + ", ".join(map(str, broken[:10]))
        + (f" and {len(broken) - 10} more" if len(broken) > 10 else "")
        + f" of {lives[0][1]}",
        f"{_FOREIGN}; {_RESET}",
    )


def _whole(
    manifests: Iterable[Manifest],
    wanted: Collection[int],
    assemble: Callable[[Manifest], bytes | None],
) -> dict[int, tuple[Manifest, bytes]]:
    """Return the first whole snapshot of each shard that is wanted."""
    whole: dict[int, tuple[Manifest, bytes]] = {}
    for manifest in manifests:
        if manifest.shard in wanted and manifest.shard not in whole:
            data = assemble(manifest)
            if data is not None:
                whole[manifest.shard] = manifest, data
    return whole


def _assemble(manifest: Manifest, records: Mapping[str, bytes], deployment: str) -> bytes | None:
    keys = [
        chunk_key(deployment, manifest.shard, manifest.slot, place)
        for place in range(manifest.chunks)
    ]
    whole = b"".join(records.get(key, b"") for key in keys)
    if len(whole) != manifest.size or crc32c(whole) != manifest.checksum:
        return None
    return whole
