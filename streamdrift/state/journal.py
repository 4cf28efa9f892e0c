"""What a deployment remembers between snapshots, in a topic that is never compacted.

Its records have the keys `NAME/floor`, `NAME/published`, and `NAME/reset`, which ends what was
before. (`NAME/claim` is of `ownership`.)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamdrift.records import Floor, Partition
from streamdrift.state.log import Log

RESET = "reset"


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

    floors: tuple[Floor, ...] = ()
    published: Published = Published()


def floor_value(floor: Floor) -> list[str | int]:
    """Return a floor as JSON has it."""
    return [*floor.partition, floor.offset, floor.key]


def read_floor(value: Any) -> Floor:
    """Return the floor that `floor_value` wrote."""
    name, number, offset, key = value
    return Floor(Partition(name, number), offset, key)


def published_value(published: Published) -> dict[str, Any]:
    """Return what is published as JSON has it."""
    return {
        "alerts": sorted(published.alerts),
        "letters": [[*partition, offset] for partition, offset in published.letters.items()],
    }


def read_published(value: Any) -> Published:
    """Return what `published_value` wrote."""
    letters = {Partition(name, number): last for name, number, last in value["letters"]}
    return Published(frozenset(value["alerts"]), letters)


def write_floors(log: Log, deployment: str, topic: str, floors: Sequence[Floor]) -> None:
    """Append floors to the journal."""
    for floor in floors:
        log.append(topic, f"{deployment}/floor", json.dumps(floor_value(floor)).encode())


def write_published(log: Log, deployment: str, topic: str, published: Published) -> None:
    """Append to the journal what is published by the same transaction."""
    value = json.dumps(published_value(published)).encode()
    log.append(topic, f"{deployment}/published", value)


def write_reset(log: Log, deployment: str, topic: str) -> None:
    """Append to the journal that nothing before counts any more."""
    log.append(topic, f"{deployment}/{RESET}", b"{}")


def read_journal(log: Log, deployment: str, topic: str, start: int = 0) -> Journaled:
    """Return what a deployment has journaled in `topic` from offset `start` on."""
    floors: list[Floor] = []
    published = Published()
    for entry in log.read(topic, start):
        if entry.key == f"{deployment}/{RESET}":
            floors, published = [], Published()
        if entry.key == f"{deployment}/floor" and entry.value is not None:
            floors.append(read_floor(json.loads(entry.value)))
        if entry.key == f"{deployment}/published" and entry.value is not None:
            published = published.and_then(read_published(json.loads(entry.value)))
    return Journaled(tuple(floors), published)
