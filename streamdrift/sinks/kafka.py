"""Alerts to a Kafka topic, each a CloudEvent in structured JSON."""

from collections.abc import Sequence

import orjson

from streamdrift.kafka.outbox import Outbox
from streamdrift.records import Alert
from streamdrift.sinks.cloudevents import encode

_HEADERS = (("content-type", b"application/cloudevents+json"),)


class KafkaSink:
    """Writes alerts to `topic`, keyed by model, so that a model's alerts keep their order.

    Each goes to the topic `incidents` as well, keyed by its incident: once that is compacted, it
    holds the latest alert of each. The outbox may be shared with other writers: `flush` then makes
    theirs durable too.
    """

    def __init__(self, outbox: Outbox, topic: str, incidents: str, deployment: str) -> None:
        self._outbox = outbox
        self._topic = topic
        self._incidents = incidents
        self._deployment = deployment

    def write(self, alerts: Sequence[Alert]) -> None:
        """Hand `alerts` to the producer; raise ConnectionsError where one is refused."""
        for alert in alerts:
            value = orjson.dumps(encode(alert, self._deployment))
            self._outbox.send(self._topic, value, key=alert.model.encode(), headers=_HEADERS)
            incident = str(alert.data["incident"]).encode()
            self._outbox.send(self._incidents, value, key=incident, headers=_HEADERS)

    def flush(self) -> None:
        """Return when all alerts are durable on all replicas; raise ConnectionsError else."""
        self._outbox.flush()

    def close(self) -> None:
        """Do nothing: the outbox is closed by who made it, after all its writers."""
