"""Events of many models, spread over the partitions of a topic."""

from collections.abc import Iterable, Iterator

import numpy as np
import orjson
from confluent_kafka import Producer

from loadtest.events import NUMERIC, events
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.topics import TopicNeed, ensure_topics

FIRST = 1_795_000_000
"""The time of the first of `many`, which come a millisecond apart."""
_FRAUD = b'"fraud"'
_MANY_MINUTES = 900_000


def model(number: int) -> str:
    """Return the name of a model: all are equally long."""
    return f"m{number:04d}"


def many(count: int, models: int, partitions: int) -> Iterator[tuple[int, bytes]]:
    """Yield events with their partitions: each partition has events of all models."""
    for place, event in enumerate(events(count)):
        name = b'"%s"' % model(place // partitions % models).encode()
        yield place % partitions, event.replace(_FRAUD, name, 1)


def make_topic(bootstrap: str, topic: str, partitions: int, **configs: str) -> None:
    """Make a topic; `configs` have underscores for dots."""
    named = {key.replace("_", "."): value for key, value in configs.items()}
    need = TopicNeed(topic, "load test", (), partitions, configs=named)
    ensure_topics(KafkaSettings(bootstrap_servers=bootstrap), [need], create=True)


class Feed:
    """Writes to one topic: what is written between `begin` and `commit` can be read at once."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": f"feed of {topic}",
                "transaction.timeout.ms": _MANY_MINUTES,
                "linger.ms": 20,
                "batch.num.messages": 2_000,
                "queue.buffering.max.messages": 500_000,
                "log_level": 3,
            }
        )
        self._producer.init_transactions()

    def write(self, found: Iterable[tuple[int, bytes]]) -> None:
        """Write events, which nobody can read until `commit`."""
        self._producer.begin_transaction()
        for partition, event in found:
            while True:
                try:
                    self._producer.produce(self._topic, event, partition=partition)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._producer.poll(0)
        self._producer.flush()

    def commit(self) -> None:
        """Let all that is written be read."""
        self._producer.commit_transaction()


class Drifting:
    """Events of now: one feature of a model has another mean once the model is `shifted`."""

    def __init__(self, models: int, partitions: int, feature: str, shift: float) -> None:
        self._random = np.random.default_rng(1)
        self._models = models
        self._partitions = partitions
        self._feature = feature
        self._shift = shift
        self._count = 0
        self.shifted = 0
        """Models that are shifted: the first ones."""

    def next(self, now: float) -> tuple[int, bytes]:
        """Return the next event, which has the time `now`, and its partition."""
        number = self._count // self._partitions % self._models
        features = dict(
            zip(NUMERIC, self._random.normal(100, 15, len(NUMERIC)).tolist(), strict=True)
        )
        if number < self.shifted:
            features[self._feature] += self._shift
        event = {
            "event_id": f"e-{self._count}",
            "model": model(number),
            "version": "3",
            "timestamp": now,
            "features": features,
        }
        partition, self._count = self._count % self._partitions, self._count + 1
        return partition, orjson.dumps(event)
