"""What a deployment remembers between snapshots, in a topic that is never compacted.

Its records have the keys `NAME/floor`, `NAME/published`, `NAME/command`, `NAME/kept`, which says
that there is a state now, and `NAME/reset`, which ends what was before; those of a shard that keeps
its own marks `NAME/S/floor`, `NAME/S/published` and `NAME/S/command`.
(`NAME/claim` is of `ownership`.)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamdrift.operators import Taken
from streamdrift.operators import decode as decode_command
from streamdrift.operators import encode as encode_command
from streamdrift.records import Floor, Partition
from streamdrift.state.log import Log

RESET = "reset"
KEPT = "kept"
_BEFORE_ALL = -(2**63)
UNKNOWN = 0
"""The identity of a topic whose brokers have none, or that was not noted."""

Place = tuple[Partition, int]
"""A partition, and the identity of its topic: one that is made anew has other offsets."""


@dataclass(frozen=True, slots=True)
class Published:
    """What has been published, and never is again.

    `alerts` are ids, and not numbers: under settings that changed meanwhile other alerts
    bear the same numbers, and are none of these. `letters` has by place the offset of the
    last message of which dead letters were written. Once everything below `until` is observed
    again, none of the alerts can come out any more: for one process that is a watermark, for a
    shard of workers, whose alerts also wait for what other shards say, a place in the exchange.
    """

    alerts: frozenset[str] = frozenset()
    letters: Mapping[Place, int] = field(default_factory=dict)
    until: int = _BEFORE_ALL

    def __bool__(self) -> bool:
        return bool(self.alerts or self.letters)

    def and_then(self, later: "Published") -> "Published":
        """Return what has been published after `later` as well."""
        return Published(
            self.alerts | later.alerts,
            {**self.letters, **later.letters},
            max(self.until, later.until),
        )


class Journaled(NamedTuple):
    """What stands in the journal from some offset on."""

    floors: tuple[Floor, ...] = ()
    published: Published = Published()
    commands: tuple[Taken, ...] = ()

    def and_then(self, later: "Journaled") -> "Journaled":
        """Return what stands here, and what stands elsewhere."""
        return Journaled(
            (*self.floors, *later.floors),
            self.published.and_then(later.published),
            (*self.commands, *later.commands),
        )


def command_value(taken: Taken) -> list[Any]:
    """Return a command that has taken effect as JSON has it."""
    return [taken.place, list(taken.where), encode_command(taken.command).decode()]


def read_command(value: Any) -> Taken:
    """Return what `command_value` wrote."""
    place, where, command = value
    return Taken(place, tuple(where), decode_command(command.encode()))


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
        "letters": [
            [*partition, offset, identity]
            for (partition, identity), offset in published.letters.items()
        ],
        "until": published.until,
    }


def read_published(value: Any) -> Published:
    """Return what `published_value` wrote."""
    letters = {
        (Partition(name, number), identity[0] if identity else UNKNOWN): last
        for name, number, last, *identity in value["letters"]
    }
    return Published(frozenset(value["alerts"]), letters, value.get("until", _BEFORE_ALL))


def write_floors(
    log: Log, owner: str, topic: str, floors: Sequence[Floor], partition: int = 0
) -> None:
    """Append floors to the journal; `owner` is a deployment, or `NAME/S` for one of its shards."""
    for floor in floors:
        value = json.dumps(floor_value(floor)).encode()
        log.append(topic, f"{owner}/floor", value, partition=partition)


def write_published(
    log: Log, owner: str, topic: str, published: Published, partition: int = 0
) -> None:
    """Append to the journal what is published by the same transaction."""
    value = json.dumps(published_value(published)).encode()
    log.append(topic, f"{owner}/published", value, partition=partition)


def write_commands(
    log: Log, owner: str, topic: str, commands: Sequence[Taken], partition: int = 0
) -> None:
    """Append to the journal which commands took effect, and where."""
    for taken in commands:
        value = json.dumps(command_value(taken)).encode()
        log.append(topic, f"{owner}/command", value, partition=partition)


def write_reset(log: Log, deployment: str, topic: str, partition: int = 0) -> None:
    """Append to the journal that nothing before counts any more."""
    log.append(topic, f"{deployment}/{RESET}", b"{}", partition=partition)


def write_kept(log: Log, deployment: str, topic: str, partition: int = 0) -> None:
    """Append to the journal that the deployment has a state from now on."""
    log.append(topic, f"{deployment}/{KEPT}", b"{}", partition=partition)


def last_word(log: Log, deployment: str, topic: str, partition: int = 0) -> str | None:
    """Return KEPT or RESET, whichever the journal says last; None where it says neither."""
    words = {f"{deployment}/{word}": word for word in (KEPT, RESET)}
    said = [
        words[entry.key] for entry in log.read(topic, 0, partition=partition) if entry.key in words
    ]
    return said[-1] if said else None


def read_journal(log: Log, owner: str, topic: str, start: int = 0, partition: int = 0) -> Journaled:
    """Return what a deployment or a shard of it has journaled from offset `start` on."""
    reset = f"{owner.partition('/')[0]}/{RESET}"
    floors: list[Floor] = []
    published = Published()
    commands: list[Taken] = []
    for entry in log.read(topic, start, partition=partition):
        if entry.key == reset:
            floors, published, commands = [], Published(), []
        if entry.key == f"{owner}/floor" and entry.value is not None:
            floors.append(read_floor(json.loads(entry.value)))
        if entry.key == f"{owner}/published" and entry.value is not None:
            published = published.and_then(read_published(json.loads(entry.value)))
        if entry.key == f"{owner}/command" and entry.value is not None:
            commands.append(read_command(json.loads(entry.value)))
    return Journaled(tuple(floors), published, tuple(commands))
