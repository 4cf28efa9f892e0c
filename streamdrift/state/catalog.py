"""Which deployments a topic of snapshots holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from streamdrift.errors import StateError
from streamdrift.state.log import Entry, Log
from streamdrift.state.snapshots import is_manifest, read_manifest


@dataclass(frozen=True, slots=True)
class Listed:
    """A deployment, by the last manifests it wrote.

    `size` is that of all snapshots in bytes; `saved_at` and `oldest_at` are the times of the
    last and the first of their records, in microseconds since the epoch. What is not known is
    None; `problem` says why nothing is.
    """

    deployment: str
    shards: int | None = None
    sequence: int | None = None
    size: int | None = None
    saved_at: int | None = None
    oldest_at: int | None = None
    problem: str | None = None


def list_deployments(log: Log, topic: str) -> tuple[Listed, ...]:
    """Return the deployments that have records in `topic`, by name.

    Snapshots are not read: one that is listed may be damaged.
    """
    manifests: dict[str, dict[str, Entry]] = {}
    records: dict[str, set[str]] = {}
    places = range(log.partitions(topic))
    for entry in chain.from_iterable(log.read(topic, 0, partition=place) for place in places):
        deployment = entry.key.partition("/")[0]
        there = records.setdefault(deployment, set())
        if entry.value is None:
            there.discard(entry.key)
            manifests.get(deployment, {}).pop(entry.key, None)
            continue
        there.add(entry.key)
        if is_manifest(entry.key):
            manifests.setdefault(deployment, {})[entry.key] = entry
    return tuple(
        _listed(deployment, list(manifests.get(deployment, {}).values()), topic)
        for deployment, there in sorted(records.items())
        if there
    )


def _listed(deployment: str, entries: Sequence[Entry], topic: str) -> Listed:
    not_whole = "its first snapshot is not whole"
    if not entries:
        return Listed(deployment, problem=not_whole)
    try:
        read = [(read_manifest(entry.value or b"", topic), entry.time) for entry in entries]
    except StateError as error:
        return Listed(deployment, problem=str(error))
    read.sort(key=lambda pair: pair[0].sequence)
    life, shards, sequence = read[-1][0].life, read[-1][0].shards, read[-1][0].sequence
    last = {manifest.shard: (manifest.size, at) for manifest, at in read if manifest.life == life}
    if missing := sorted(set(range(shards)) - last.keys()):
        lost = f"no snapshot of shard {', '.join(map(str, missing))} of {shards}"
        return Listed(deployment, shards, problem=not_whole if sequence == 1 else lost)
    times = [at for _, at in last.values() if at is not None]
    return Listed(
        deployment,
        shards,
        sequence,
        sum(size for size, _ in last.values()),
        max(times, default=None),
        min(times, default=None),
    )
