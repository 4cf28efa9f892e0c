"""Which of the wanted topics exist, with how many partitions: looked up beside the loop."""

import threading
from collections.abc import Sequence

from kafka import KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError, NoError, for_code

from streamdrift.kafka import KafkaSettings, connection_errors, make_admin
from streamdrift.records import Partition
from streamdrift.sources import TopicSettings


class Discovery:
    """Looks up topics and partitions every `interval` seconds, on a thread of its own.

    A look-up waits for the broker, at worst for the request's time limit, and the source's
    poll must not. `known` is the last answer; `reachable` tells whether the last look-up
    got one.
    """

    def __init__(
        self, connection: KafkaSettings, topics: Sequence[TopicSettings], interval: float
    ) -> None:
        self._topics = topics
        self._interval = interval
        self._stopped = threading.Event()
        self._admin: KafkaAdminClient = make_admin(connection)
        self.reachable = True
        try:
            with connection_errors(connection, "list the topics"):
                self.known: frozenset[Partition] = self._look_up()
        except BaseException:
            self._admin.close()
            raise
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self.known = self._look_up()
                self.reachable = True
            except (KafkaError, OSError):
                self.reachable = False
        self._admin.close()

    def _look_up(self) -> frozenset[Partition]:
        """Return every partition of the wanted topics."""
        by_name = all(topic.pattern is None for topic in self._topics)
        wanted = [topic.name for topic in self._topics] if by_name else None
        found: set[Partition] = set()
        for described in self._admin.describe_topics(wanted):
            name = described["name"]
            problem = for_code(described["error_code"])
            if issubclass(problem, AuthorizationError):
                raise problem(f"no right to describe the topic {name}")
            if problem is not NoError or not self._wants(name, described["is_internal"]):
                continue
            found.update(
                Partition(name, partition["partition_index"])
                for partition in described["partitions"]
            )
        return frozenset(found)

    def _wants(self, name: str, internal: bool) -> bool:
        return any(
            topic.matches(name) and (topic.name is not None or not internal)
            for topic in self._topics
        )

    def close(self) -> None:
        """Stop looking; a look-up under way may outlast this by its time limit."""
        self._stopped.set()
        self._thread.join(timeout=1.0)
