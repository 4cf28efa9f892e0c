"""How long alerts take: from the event that reveals a change to the record of the alert."""

import json
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from loadtest.events import NUMERIC
from loadtest.workers.crew import Plan, running, wait_until_shared, workers
from loadtest.workers.traffic import Drifting, make_topic, model
from streamdrift.models.groups import group_of
from streamdrift.records import ColumnKey, Group

PARTITIONS = 4
MODELS = 24
GROUPS = 2
_LEARN = 300
_SHIFT = 75.0
"""Five standard deviations: found within a few events."""
_QUIET = 15.0
"""Seconds before the first shift: references are learned."""
_BETWEEN = (0.6, 1.7)
"""Seconds between two shifts, by chance: with one distance they would keep step with commits."""
_AFTER = 8.0
_TICK = 0.01
PLANS = (
    Plan("standalone", [{}], distributed=False),
    workers(1, "1 worker"),
    workers(2, "2 workers"),
    workers(2, "2 workers, groups", **{"models.*.feature_groups": str(GROUPS)}),
)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the time of each alert, which is that of the event that revealed the change."""

    title: str
    written: Sequence[float]
    """To the broker's time of the alert's record."""
    readable: Sequence[float]
    """To when a consumer that reads what is committed had it."""

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.written), statistics.median(self.readable)

    @property
    def worst(self) -> tuple[float, float]:
        return max(self.written), max(self.readable)


def measure(bootstrap: str, plan: Plan, rate: int) -> Latency:
    """Feed a new deployment at a steady rate, and shift one model after the other."""
    name = "latency-" + plan.title.replace(" ", "-").replace(",", "")
    make_topic(bootstrap, name, PARTITIONS)
    # The broker's time, not the producer's.
    make_topic(bootstrap, f"{name}.alerts", 1, message_timestamp_type="LogAppendTime")
    settings = {
        "name": name,
        "kafka.bootstrap_servers": bootstrap,
        "source.predictions": f"[{name}]",
        "models.*.reference.events": str(_LEARN),
    }
    with running(plan, settings) as processes:
        if plan.distributed:
            wait_until_shared(processes, PARTITIONS)
        listener = _Listener(bootstrap, f"{name}.alerts")
        _feed(bootstrap, name, rate)
        found = listener.stop()
    latencies = {each: found[each] for each in map(model, range(MODELS)) if each in found}
    if len(latencies) < MODELS:
        raise SystemExit(f"{plan.title}: {len(latencies)} of {MODELS} models had an alert")
    written, readable = zip(*latencies.values(), strict=True)
    return Latency(plan.title, written, readable)


def _feed(bootstrap: str, topic: str, rate: int) -> None:
    """Produce at a steady rate until the last model was shifted a while ago."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
    traffic = Drifting(MODELS, PARTITIONS, _farthest_feature(), _SHIFT)
    shifts = _QUIET + np.cumsum(np.random.default_rng(1).uniform(*_BETWEEN, MODELS))
    started, sent = time.time(), 0
    while (gone := time.time() - started) < shifts[-1] + _AFTER:
        traffic.shifted = int(np.searchsorted(shifts, gone))
        while sent < gone * rate:
            partition, event = traffic.next(time.time())
            producer.produce(topic, event, partition=partition)
            sent += 1
        producer.poll(0)
        time.sleep(_TICK)
    producer.flush()


def _farthest_feature() -> str:
    """Return a feature that is not in the group which has the model's incidents."""
    return next(
        name for name in NUMERIC if group_of(ColumnKey(Group.FEATURE, name), GROUPS) == GROUPS - 1
    )


class _Listener:
    """Reads alerts as they are committed, on a thread of its own."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "listener",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._found: dict[str, tuple[float, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            record = self._consumer.poll(0.1)
            if record is None or record.error() is not None:
                continue
            arrived, (_, milliseconds) = time.time(), record.timestamp()
            alert = json.loads(record.value() or b"")
            if ".opened." not in alert["type"]:
                continue
            at = datetime.fromisoformat(alert["time"]).timestamp()
            name = alert["data"]["model"]
            self._found.setdefault(name, (milliseconds / 1_000 - at, arrived - at))

    def stop(self) -> dict[str, tuple[float, float]]:
        """Return the latencies of the first alert of each model."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        return self._found
