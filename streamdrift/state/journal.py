"""What a deployment remembers between snapshots, in a topic that is never compacted.

Its records have the keys `NAME/floor`, `NAME/published`, and `NAME/reset`, which ends what was
before. (`NAME/claim` is of `ownership`.)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamdrift.records import Floor, Partition
from streamdrift.state.log import Log


@dataclass(frozen=True, slots=True)
class Published:
    """What has been published, and never is again.

    `alerts` are ids, and not numbers: under settings that changed meanwhile other alerts
    bear the same numbers, and are none of these. `letters` has by partition the offset of
    the last message of which dead letters were written.
    """

    alerts: frozenset[str] = frozenset()
    letters: Mapping[Partition, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.alerts or self.letters)

    def and_then(self, later: "Published") -> "Published":
        """Return what has been published after `later` as well."""
        return Published(self.alerts | later.alerts, {**self.letters, **later.letters})


class Journaled(NamedTuple):
    """What stands in the journal from some offset on."""

    floors: tuple[Floor, ...]
    published: Published


def write_floors(log: Log, deployment: str, topic: str, floors: Sequence[Floor]) -> None:
    """Append floors to the journal."""
    for floor in floors:
        value = [floor.partition.topic, floor.partition.number, floor.offset, floor.key]
        log.append(topic, f"{deployment}/floor", json.dumps(value).encode())


def write_published(log: Log, deployment: str, topic: str, published: Published) -> None:
    """Append to the journal what is published by the same transaction."""
    value = {
        "alerts": sorted(published.alerts),
        "letters": [[*partition, offset] for partition, offset in published.letters.items()],
    }
    log.append(topic, f"{deployment}/published", json.dumps(value).encode())


def write_reset(log: Log, deployment: str, topic: str) -> None:
    """Append to the journal that nothing before counts any more."""
    log.append(topic, f"{deployment}/reset", b"{}")


def read_journal(log: Log, deployment: str, topic: str, start: int = 0) -> Journaled:
    """Return what a deployment has journaled in `topic` from offset `start` on."""
    floors: list[Floor] = []
    published = Published()
    for entry in log.read(topic, start):
        if entry.key == f"{deployment}/reset":
            floors, published = [], Published()
        if entry.key == f"{deployment}/floor" and entry.value is not None:
            name, number, offset, key = json.loads(entry.value)
            floors.append(Floor(Partition(name, number), offset, key))
        if entry.key == f"{deployment}/published" and entry.value is not None:
            value = json.loads(entry.value)
            letters = {Partition(name, number): last for name, number, last in value["letters"]}
            published = published.and_then(Published(frozenset(value["alerts"]), letters))
    return Journaled(tuple(floors), published)
