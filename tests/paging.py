"""What follows a deployment's alerts, which a test writes in the service's place."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from streamdrift.config import Settings
from streamdrift.following.backlog import Look
from streamdrift.following.team import following_alerts, make_lines
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import Outbox
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Partition, Reached
from tests.alerts import make_document
from tests.topic_maker import TopicMaker

PATIENCE = 120.0


class Paging:
    """A deployment's topics, and its followers."""

    def __init__(
        self,
        connection: KafkaSettings,
        name: str,
        make_topic: TopicMaker,
        alerts: Mapping[str, Any],
        *,
        partitions: int = 1,
        **options: Any,
    ) -> None:
        self._sections = {"name": name, "kafka": connection, "alerts": dict(alerts), **options}
        self.settings = Settings.model_validate(self._sections)
        make_topic(connection, self.settings.alerts.topic, partitions)
        make_topic(connection, self.settings.alerts.incidents)
        self._outbox = Outbox(connection)
        self.metrics = Metrics()
        self.caught_up = True
        """Whether the service has read its input."""

    def write(self, incident: int, step: int = 1, kind: str = "opened", **more: Any) -> None:
        """Publish an alert, as the service does."""
        time_ = more.pop("time", time.time_ns() // 1_000)
        opened_at = more.pop("opened_at", time_)
        value = make_document(incident, step, kind, opened_at=opened_at, time=time_, **more)
        alerts = self.settings.alerts
        self._outbox.send(alerts.topic, value, key=str(more.get("model", "fraud")).encode())
        self._outbox.send(alerts.incidents, value, key=f"{incident:032x}".encode())
        self._outbox.flush()

    def forget(self, incident: int) -> None:
        """Delete an incident from its topic."""
        self._outbox.send(self.settings.alerts.incidents, None, key=f"{incident:032x}".encode())
        self._outbox.flush()

    @contextmanager
    def following(self, **options: Any) -> Iterator[None]:
        """Follow until the block ends, with `options` of the settings for this process."""
        settings = Settings.model_validate(self._sections | options)

        def stage() -> Mapping[Partition, Reached]:
            return {Partition("input", 0): Reached(5 if self.caught_up else 4, 5)}

        stages: list[Look] = [stage]
        lines = make_lines(settings, self.metrics)
        with following_alerts(settings, lines, stages, self.metrics):
            yield

    def shown(self, name: str, **labels: str) -> float:
        """Return a metric of a sink."""
        return self.metrics.registry.get_sample_value(f"streamdrift_sink_{name}", labels) or 0.0

    @contextmanager
    def writing_anew(self) -> Iterator[None]:
        """Write with another producer: the one before knows topics and brokers as they were."""
        self._outbox.close()
        self._outbox = Outbox(self.settings.kafka)
        yield

    def close(self) -> None:
        """Give up the connection."""
        self._outbox.close()


def until(reached: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
