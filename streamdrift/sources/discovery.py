"""Which of the wanted topics exist, with how many partitions: looked up beside the loop."""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kafka import KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError, NoError, for_code

from streamdrift.kafka.clients import KafkaSettings, connection_errors, make_admin
from streamdrift.records import Partition
from streamdrift.sources import TopicSettings

NO_ID = 1
"""What a topic's identity is where brokers have none."""


class LookUp(NamedTuple):
    """What is there of the wanted topics."""

    partitions: frozenset[Partition]
    identities: Mapping[str, int]
    """By topic: what tells it from one made anew under its name, where the broker can (Kafka
    2.8 and later), else NO_ID."""
    began: float
    """When the question was put, on the clock that never jumps."""


class Discovery:
    """Looks up topics and partitions every `interval` seconds, on a thread of its own.

    No pattern matches a topic of `own`, those the deployment writes to: reading its own dead
    letters would make a new one of each.

    A look-up waits for the broker, at worst for the request's time limit, and the source's
    poll must not. `last` is the last answer; `reachable` tells whether the last look-up got one.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        topics: Sequence[TopicSettings],
        interval: float,
        own: Collection[str] = (),
    ) -> None:
        self._topics = topics
        self._own = frozenset(own)
        self._interval = interval
        self._stopped = False
        self._wake = threading.Event()
        self._admin: KafkaAdminClient = make_admin(connection)
        self.reachable = True
        try:
            with connection_errors(connection, "list the topics"):
                self.last = self._look_up()
        except BaseException:
            self._admin.close()
            raise
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval)
            self._wake.clear()
            if self._stopped:
                break
            try:
                self.last = self._look_up()
                self.reachable = True
            except (KafkaError, OSError):
                self.reachable = False
        self._admin.close()

    def _look_up(self) -> LookUp:
        began = time.monotonic()
        by_name = all(topic.pattern is None for topic in self._topics)
        wanted = [topic.name for topic in self._topics] if by_name else None
        found: set[Partition] = set()
        identities: dict[str, int] = {}
        for described in self._admin.describe_topics(wanted):
            name = described["name"]
            problem = for_code(described["error_code"])
            if issubclass(problem, AuthorizationError):
                raise problem(f"no right to describe the topic {name}")
            if problem is not NoError or not self.wants(name, internal=described["is_internal"]):
                continue
            found.update(
                Partition(name, partition["partition_index"])
                for partition in described["partitions"]
            )
            identities[name] = _identity(described.get("topic_id"))
        return LookUp(frozenset(found), identities, began)

    def wants(self, name: str, *, internal: bool = False) -> bool:
        """Tell whether a topic of this name would be read."""
        closed = internal or name in self._own
        return any(
            topic.matches(name) and (topic.name is not None or not closed) for topic in self._topics
        )

    def look_now(self) -> None:
        """Let the next look-up begin at once; `last` is then another object."""
        self._wake.set()

    def close(self) -> None:
        """Stop looking; a look-up under way may outlast this by its time limit."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout=1.0)


def _identity(told: str | None) -> int:
    """Return 63 bits of a topic's id, or NO_ID where the broker has none."""
    return UUID(told).int >> 65 if told else NO_ID
