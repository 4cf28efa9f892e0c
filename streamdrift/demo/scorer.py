"""Were the injections found? Decided from the alerts topic alone, apart from the service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from kafka.structs import TopicPartition

from streamdrift.demo.injections import Injection, Touched
from streamdrift.durations import SECOND
from streamdrift.kafka.clients import KafkaSettings, make_consumer
from streamdrift.records import SignalKind
from streamdrift.sources import start_time

CloudEvent = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """An alert as it stood in the topic; `at` is when, in microseconds since the epoch."""

    at: int
    event: CloudEvent


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one injection; `alert` is the first that named it, None if missed."""

    injection: Injection
    alert: Published | None
    delay_seconds: float | None

    @property
    def found(self) -> bool:
        """Whether any alert named it in its time."""
        return self.alert is not None


@dataclass(frozen=True, slots=True)
class Score:
    """Every injection's verdict, and the alerts that nothing injected explains."""

    verdicts: tuple[Verdict, ...]
    false_alarms: tuple[Published, ...]

    @property
    def perfect(self) -> bool:
        """Whether all was found and nothing else."""
        return all(verdict.found for verdict in self.verdicts) and not self.false_alarms


def score(injections: Sequence[Injection], alerts: Sequence[Published], epoch: int) -> Score:
    """Judge the alerts of a demo that began at `epoch` (microseconds).

    An injection is found by an alert that names its model and its first signal, by column
    and kind, tells of a time after it began and before the next on that model, and was
    published in that time too: no slack, as a record's time is when it was handed to the
    broker, on the clock that times the injections. An `opened` is a false alarm, and so is a
    signal that joins, where no injection that is in effect or recovering at the alert's own
    time touches it: late is missed, not false.
    """
    verdicts = tuple(_judge(injection, alerts, epoch) for injection in injections)
    false = tuple(
        alert
        for alert in alerts
        if any(not _explained(signal, alert, injections, epoch) for signal in _new(alert.event))
    )
    return Score(verdicts, false)


def _judge(injection: Injection, alerts: Sequence[Published], epoch: int) -> Verdict:
    for alert in alerts:
        published = (alert.at - epoch) / SECOND
        if (
            _within(injection, alert, epoch)
            and published < injection.over
            and injection.touched[0] in _new(alert.event)
        ):
            delay = published - injection.begin
            return Verdict(injection, alert, max(0.0, delay))
    return Verdict(injection, None, None)


def moment(alert: Published, epoch: int) -> float:
    """Return an alert's event time in seconds since the start."""
    return (start_time(alert.event["time"]) - epoch) / SECOND


def _within(injection: Injection, alert: Published, epoch: int) -> bool:
    model = str(alert.event["subject"]).split("/")[0]
    return model == injection.model and injection.begin <= moment(alert, epoch) < injection.over


def _explained(
    signal: Touched, alert: Published, injections: Sequence[Injection], epoch: int
) -> bool:
    return any(
        signal in injection.touched and _within(injection, alert, epoch) for injection in injections
    )


def _new(event: CloudEvent) -> set[Touched]:
    """Return the signals an alert tells of for the first time; none where it only resolves."""
    data = event["data"]
    if event["type"].endswith(".resolved.v1"):
        return set()
    joined = data.get("joined")
    return {
        Touched(str(signal["column"] or ""), SignalKind(signal["kind"]))
        for signal in data["signals"]
        if joined is None or signal["name"] in joined
    }


class AlertReader:
    """Reads an alerts topic from its beginning, with a consumer of its own."""

    def __init__(self, connection: KafkaSettings, topic: str, partitions: int) -> None:
        self._consumer = make_consumer(connection)
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer.assign(self._partitions)
        for partition in self._partitions:
            self._consumer.seek(partition, 0)

    def poll(self, timeout: float) -> list[Published]:
        """Return the alerts that came since the last call."""
        records = self._consumer.poll(timeout_ms=int(timeout * 1000))
        found = [
            Published(record.timestamp * 1_000, orjson.loads(record.value))
            for partition in self._partitions
            for record in records.get(partition, [])
        ]
        return sorted(found, key=lambda alert: alert.at)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False, timeout_ms=1_000)
