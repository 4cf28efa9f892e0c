"""A deployment under test: served in this process or in one of its own, and what it published."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
from kafka.structs import TopicPartition

from streamdrift.config import Settings
from streamdrift.following.incident_table import IncidentTable
from streamdrift.following.incidents import TopicReader
from streamdrift.kafka.clients import KafkaSettings, make_consumer
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.assembly import make_pipeline, service_settings
from streamdrift.serving.deployment import Deployment
from streamdrift.serving.service import Service
from streamdrift.state.kafka import KafkaLog

_PATIENCE = 90.0
_PAUSE = 0.2


def deployment(
    connection: KafkaSettings, name: str, reference: int, options: Mapping[str, Any] | None = None
) -> Settings:
    """Return settings that read `NAME-predictions`; `options` are sections beside them."""
    sections = {
        "name": name,
        "kafka": connection,
        "source": {"predictions": [f"{name}-predictions"]},
        "ordering": {"idle_after": "1s"},
        "models": {"*": {"reference": {"events": reference}}},
        "http": {"bind": None},
    }
    return Settings.model_validate(sections | dict(options or {}))


@contextmanager
def serving(settings: Settings) -> Iterator[Metrics]:
    """Run the service in a thread; yield its metrics, and stop it in order at the end."""
    metrics = Metrics()
    service = Service(
        service_settings(settings),
        Deployment(settings).open_session,
        lambda: make_pipeline(settings),
        metrics,
    )
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield metrics
    finally:
        service.stop()
        thread.join(timeout=30)
    assert not thread.is_alive()


def serve(settings: Settings, events: int, alerts: int) -> list[dict[str, Any]]:
    """Run the service until it has read so many events and so many alerts are out.

    Where more of either never come, return what there is when patience ends.
    """
    with serving(settings) as metrics:
        wait_until(lambda: metrics.events() >= events and len(read_alerts(settings)) >= alerts)
    return read_alerts(settings)


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `streamdrift run` as a process, which is killed at the end if it is still there."""
    file = folder / "streamdrift.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(settings.model_dump(mode="json", exclude_unset=True)))
    with (folder / "streamdrift.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamdrift", "run", "-c", str(file)], stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(reached: Callable[[], bool]) -> bool:
    """Return True as soon as `reached` does, False when patience ends."""
    deadline = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


def read_alerts(settings: Settings) -> list[dict[str, Any]]:
    """Return the published alerts, each once; a repeated id must be the same record."""
    consumer = make_consumer(settings.kafka)
    try:
        topic = settings.alerts.topic
        keys = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(keys)
        ends = consumer.end_offsets(keys)
        for key in keys:
            consumer.seek(key, 0)
        found: dict[str, bytes] = {}
        while any(consumer.position(key) < ends[key] for key in keys):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    known = found.setdefault(orjson.loads(record.value)["id"], record.value)
                    assert known == record.value
    finally:
        consumer.close(autocommit=False)
    return [orjson.loads(value) for value in found.values()]


def known_incidents(settings: Settings) -> Mapping[str, str]:
    """Return the incidents that their topic knows, and the alert of each that came last."""
    table = IncidentTable(settings.alerts.keep_resolved)
    with closing(KafkaLog(settings.kafka)) as log:
        TopicReader(settings.alerts.incidents, table).read(log)
    return {each.incident: each.id for each in table.all()}
