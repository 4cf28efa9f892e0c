"""Which deployments a topic of snapshots holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamdrift.errors import StateError
from streamdrift.state.log import Entry, Log
from streamdrift.state.store import read_manifest


@dataclass(frozen=True, slots=True)
class Listed:
    """A deployment, by the last manifest it wrote.

    `size` is that of the snapshot in bytes, `saved_at` the record's time in microseconds
    since the epoch. What is not known is None; `problem` says why nothing is.
    """

    deployment: str
    sequence: int | None = None
    size: int | None = None
    saved_at: int | None = None
    problem: str | None = None


def list_deployments(log: Log, topic: str) -> tuple[Listed, ...]:
    """Return the deployments that have records in `topic`, by name.

    Snapshots are not read: one that is listed may be damaged.
    """
    manifests: dict[str, dict[str, Entry]] = {}
    records: dict[str, set[str]] = {}
    for entry in log.read(topic, 0):
        deployment, _, rest = entry.key.partition("/")
        there = records.setdefault(deployment, set())
        if entry.value is None:
            there.discard(entry.key)
            manifests.get(deployment, {}).pop(entry.key, None)
            continue
        there.add(entry.key)
        if rest.startswith("manifest/"):
            manifests.setdefault(deployment, {})[entry.key] = entry
    return tuple(
        _listed(deployment, list(manifests.get(deployment, {}).values()), topic)
        for deployment, there in sorted(records.items())
        if there
    )


def _listed(deployment: str, entries: Sequence[Entry], topic: str) -> Listed:
    if not entries:
        return Listed(deployment, problem="its first snapshot is not whole")
    try:
        read = [(read_manifest(entry.value or b"", topic), entry.time) for entry in entries]
    except StateError as error:
        return Listed(deployment, problem=str(error))
    manifest, saved_at = max(read, key=lambda pair: pair[0].sequence)
    return Listed(deployment, manifest.sequence, manifest.size, saved_at)
