"""Where messages come from: the protocol every source keeps, and its settings."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streamdrift.durations import SECOND, Duration
from streamdrift.records import Messages, Notice, Partition
from streamdrift.schema_registry import SchemaRegistrySettings


class Source(Protocol):
    """Hands messages to the service, partition by partition, each in the order of offsets."""

    @property
    def connected(self) -> bool:
        """Whether the last poll could read: false while the broker is away."""
        ...

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return what has arrived, after at most `timeout` seconds; empty where nothing has.

        Called by the service in a loop. A `Messages` may be empty: it then only tells that
        the partition's reading goes on from a later offset. Raises ConnectionsError where
        waiting cannot help (a right is missing).
        """
        ...

    def partitions(self) -> Sequence[Partition]:
        """Return all partitions that are read now; some may be added while running."""
        ...

    def begun(self) -> Mapping[Partition, int]:
        """Return the offset at which reading each of `partitions` began, where known."""
        ...

    def identities(self) -> Mapping[str, int]:
        """Return by topic that is read what tells it from others of its name, where known."""
        ...

    def at_end(self) -> frozenset[Partition]:
        """Return the partitions read to their log's end, and fetchable, at the last poll."""
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Stop handing out messages of `partitions`; what is fetched waits."""
        ...

    def resume(self, partitions: Collection[Partition]) -> None:
        """Take `partitions` up again where they were paused."""
        ...

    def lag(self) -> Mapping[Partition, int]:
        """Return how many offsets each partition is behind its log's end, where known."""
        ...

    def blocked(self) -> frozenset[Partition]:
        """Return the partitions in which an open transaction hides what comes next."""
        ...

    def notices(self) -> tuple[Notice, ...]:
        """Return what an operator should know that happened since the last call."""
        ...

    def close(self) -> None:
        """Give up connections and threads. No method may be called afterwards."""
        ...


_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class TopicSettings(BaseModel):
    """A topic by `name`, or all topics whose whole name matches the regular expression."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(None, description="The topic's name.")
    pattern: str | None = Field(None, description="Regular expression of topic names.")
    format: str | None = Field(None, description="Format of its messages; default: source.format.")
    mapping: dict[str, Any] | None = Field(
        None, description="Where an event's parts are found; default: source.mapping."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _check_which(self) -> Self:
        if (self.name is None) == (self.pattern is None):
            raise ValueError("give a topic's name or a pattern of names, and not both")
        return self

    def matches(self, topic: str) -> bool:
        """Return whether `topic` is meant; a pattern never means Kafka's own topics (`__...`)."""
        if self.pattern is not None:
            return not topic.startswith("__") and re.fullmatch(self.pattern, topic) is not None
        return topic == self.name


class SourceSettings(BaseModel):
    """What is read, from where on, and how it is decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictions: tuple[TopicSettings, ...] = Field(
        (TopicSettings(name="predictions"),),
        min_length=1,
        description="Topics of prediction events: names, or {pattern, format, mapping}.",
    )
    start: str = Field(
        "earliest",
        description="Where reading starts without a state: earliest, latest or a time (RFC 3339).",
    )
    format: str = Field("json", description="Format of the messages.")
    mapping: dict[str, Any] = Field(
        default_factory=dict, description="Where an event's parts are found, as JSON Pointers."
    )
    schema_registry: SchemaRegistrySettings = Field(
        SchemaRegistrySettings(), description="Where the schemas of Avro messages are."
    )
    dead_letters: str = Field(
        "streamdrift.dead-letters",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic of the messages that could not be used.",
    )
    discovery_interval: Duration = Field(
        10 * SECOND, description="How often new topics and partitions are looked for."
    )
    fetch_max_bytes: int = Field(
        32 << 20, ge=1 << 16, description="Most bytes of one fetch from one broker."
    )
    partition_fetch_max_bytes: int = Field(
        4 << 20, ge=1 << 10, description="Most bytes of one partition in one fetch."
    )

    @field_validator("predictions")
    @classmethod
    def _check_names(cls, topics: tuple[TopicSettings, ...]) -> tuple[TopicSettings, ...]:
        for topic in topics:
            if topic.name is not None and not _TOPIC.fullmatch(topic.name):
                raise ValueError(
                    f"{topic.name!r} is no topic's name, which has letters, digits, dots, dashes "
                    "and underscores, 249 at most; give many topics as {pattern: ...}"
                )
        return topics

    @field_validator("predictions")
    @classmethod
    def _check_repeats(cls, topics: tuple[TopicSettings, ...]) -> tuple[TopicSettings, ...]:
        places: dict[tuple[str | None, str | None], int] = {}
        for place, entry in enumerate(topics):
            first = places.setdefault((entry.name, entry.pattern), place)
            if first != place:
                raise ValueError(
                    f"[{first}] and [{place}] are both {(entry.name or entry.pattern)!r}: "
                    "leave one of them out"
                )
        return topics

    @field_validator("start", mode="before")
    @classmethod
    def _check_start(cls, start: object) -> object:
        if isinstance(start, datetime):
            start = start.isoformat()
        if isinstance(start, str) and start not in ("earliest", "latest"):
            start_time(start)
        return start

    def settings_of(self, topic: str) -> TopicSettings | None:
        """Return the entry of `predictions` for `topic`: one by name goes before patterns."""
        entries = sorted(self.predictions, key=lambda entry: entry.name is None)
        return next((entry for entry in entries if entry.matches(topic)), None)


def start_time(start: str) -> int:
    """Return a start given as a time (RFC 3339, with its offset to UTC) in microseconds.

    Raises ValueError where it is none.

    >>> start_time("1970-01-01T00:00:01.5Z")
    1500000
    """
    try:
        time = datetime.fromisoformat(start)
    except ValueError as error:
        raise ValueError(
            f"{start!r} is no start: write earliest, latest or a time such as 2026-11-21T12:00:00Z"
        ) from error
    if time.tzinfo is None:
        raise ValueError(f"{start!r} has no offset to UTC: end it with Z or, say, +02:00")
    return round(time.timestamp() * 1_000_000)


def by_topic(partitions: Iterable[tuple[str, int]]) -> Mapping[str, list[int]]:
    """Return the numbers of partitions by topic, all in order.

    >>> by_topic([("b", 1), ("a", 0), ("b", 0)])
    {'a': [0], 'b': [0, 1]}
    """
    numbers: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        numbers.setdefault(topic, []).append(number)
    return numbers


def notice(event: str, **fields: object) -> Notice:
    """Return a fact about the source, which belongs to no model."""
    return Notice(event=event, model="", version="", fields=fields)
