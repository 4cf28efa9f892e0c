"""What shows that a deployment's alerts are those of an undisturbed one."""

import http.client
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import numpy as np
from kafka.errors import RetriableError
from kafka.structs import TopicPartition

from streamdrift.config import load_settings
from streamdrift.kafka.clients import KafkaSettings, make_admin, make_consumer
from streamdrift.kafka.outbox import Outbox
from streamdrift.kafka.topics import ensure_topics
from streamdrift.serving.assembly import topic_needs
from streamdrift.state.journal import read_journal, write_floors
from streamdrift.state.kafka import KafkaLog
from tests.real_kafka import free_ports

Alerts = Mapping[str, list[dict[str, Any]]]
"""By model, in the order of the topic."""

PARTITIONS = 3
CYCLE = 3_000
"""Events after which the same changes come again: whole cycles leave no incident open."""
RUBBISH_EVERY = 1_000
_QUIET = 2.5
_BATCH = 1_000
_CHANGED = 1_000
"""Events of each cycle but the first that are changed."""
_GAP = range(600, 1_600)
"""Of each cycle, where the last partition gets nothing."""
_LATE = range(1_600, 1_660)
"""Where it wakes, with events of the time when it rested."""
_LATE_SECONDS = 500


def events(seed: int = 7) -> Iterator[tuple[int, bytes]]:
    """Yield partition and value without end: two models that drift and return, and rubbish.

    The last partition rests now and then, and wakes with events older than the others' last.
    """
    generator = np.random.default_rng(seed)
    count = 0
    while True:
        for x, z in generator.normal(size=(_BATCH, 2)).tolist():
            place = count % CYCLE
            partition = (count // 2) % (PARTITIONS - (place in _GAP))
            late = _LATE_SECONDS * (partition == PARTITIONS - 1 and place in _LATE)
            change = 2 * (count >= CYCLE and place < _CHANGED)
            event = {
                "model": f"m{count % 2}",
                "timestamp": 1_767_225_600 + count - late,
                "features": {"x": x + change, "z": z - change},
            }
            rubbish = count % RUBBISH_EVERY == RUBBISH_EVERY // 2
            yield partition, b"rubbish" if rubbish else json.dumps(event).encode()
            count += 1


def produce(connection: KafkaSettings, topic: str, chosen: Iterable[tuple[int, bytes]]) -> None:
    """Write events and return when they are acknowledged; raise ConnectionsError else."""
    with closing(Outbox(connection)) as outbox:
        for partition, value in chosen:
            outbox.send(topic, value, partition=partition)
        outbox.flush()


def settings_of(servers: str, name: str, topic: str) -> list[str]:
    """Return the settings of a deployment, as the command line has them."""
    return [
        f"name={name}",
        f"kafka.bootstrap_servers={servers}",
        f"source.predictions=[{topic}]",
        "source.discovery_interval=2s",
        "models.*.reference.events=500",
        # One of the two is divided: its two features are watched in shards of their own.
        "models.m1.feature_groups=2",
        "ordering.idle_after=1s",
        "commit_interval=100ms",
    ]


class Life:
    """One process of a deployment.

    What it says goes to a file, so that it never waits for a reader. `command` are a module
    and its arguments that run the service in another way than `streamdrift run`, with the
    settings behind them; `environment` lies over this process's own.
    """

    def __init__(
        self,
        settings: Sequence[str],
        command: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        chosen = load_settings(None, settings)
        self.shards = chosen.shards if chosen.mode == "distributed" else 0
        """Those that workers share."""
        self._token = chosen.http.secret()
        (self._port,) = free_ports(1)
        assignments = [*settings, f"http.bind=127.0.0.1:{self._port}"]
        if not command:
            command = ["streamdrift", "run"]
            assignments = [part for each in assignments for part in ("--set", each)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command, *assignments],
            stderr=self._log,
            # So that one that hangs can be made to say where.
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})},
        )

    @property
    def address(self) -> str:
        """Where it serves its metrics."""
        return f"http://127.0.0.1:{self._port}"

    def said(self) -> str:
        """Return what it has logged so far."""
        self._log.flush()
        with open(f"/proc/self/fd/{self._log.fileno()}", "rb") as log:
            return log.read().decode(errors="replace")

    def metrics(self, timeout: float = 1.0) -> Mapping[str, float]:
        """Return the sum of each metric over its series; nothing where it does not answer."""
        sums: dict[str, float] = {}
        for series, value in self.series(timeout):
            metric = series.partition("{")[0]
            sums[metric] = sums.get(metric, 0.0) + value
        return sums

    def assigned(self, role: str) -> float:
        """Return how many partitions a worker has in a role, -inf while it does not say."""
        wanted = f'streamdrift_assigned_partitions{{role="{role}"}}'
        found = list(self.series(timeout=5.0))
        return sum(value for series, value in found if series == wanted) if found else -math.inf

    def shards_read(self) -> int:
        """Return how many shards a worker has of which it knows how far behind it is."""
        found = re.compile(r'streamdrift_lag_messages{partition="(\d+)",topic="[^"]*\.exchange"}')
        places = (found.fullmatch(series) for series, _ in self.series(timeout=5.0))
        return sum(int(place[1]) < self.shards for place in places if place)

    def series(self, timeout: float) -> Iterator[tuple[str, float]]:
        """Yield each series of each metric, and its value."""
        try:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            request = urllib.request.Request(f"{self.address}/metrics", headers=headers)
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return
        for line in lines:
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                yield series, float(value)

    def wait_for(self, said: str, patience: float, times: int = 1) -> None:
        """Return when it has said something so often; raise AssertionError where it does not."""
        deadline = time.monotonic() + patience
        while self.said().count(said) < times:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def stop(self, patience: float = 40.0) -> None:
        """Let it commit and leave; raise AssertionError where it does not, or not in order."""
        self.process.terminate()
        self.leave(patience)

    def leave(self, patience: float = 40.0) -> None:
        """Return when it has left in order; raise AssertionError where it has not."""
        try:
            code = self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"it did not leave\n{self.said()}") from None
        assert code == 0, self.said()

    def end(self) -> None:
        """Kill it where it is still there."""
        self.process.kill()
        self.process.wait()
        self._log.close()


@contextmanager
def started(settings: Sequence[str], kill_at: str | None = None) -> Iterator[Life]:
    """Run the service, that is killed at the end in any case.

    `kill_at` is a step, and the commits before it, as `tests.killable` has it.
    """
    life = Life(settings, () if kill_at is None else ("tests.killable", kill_at))
    try:
        yield life
    finally:
        life.end()


def finish(life: Life, connection: KafkaSettings, name: str, topic: str, patience: float) -> None:
    """Wait until all that was written is observed and committed, and stop the process."""
    finish_all([life], connection, name, topic, patience)


def finish_all(
    lives: Sequence[Life], connection: KafkaSettings, name: str, topic: str, patience: float
) -> None:
    """Wait until processes have observed and committed all that was written; stop them.

    Of workers, all shards must be somebody's: what waits for a shard of one that was stopped
    before shows in nobody's metrics.
    """
    quiet_since = time.monotonic()
    deadline = quiet_since + patience
    while True:
        waiting = [_waiting(life) for life in lives]
        done = False
        # Brokers that have just come back may not be ready to tell.
        with suppress(RetriableError):
            done = (
                not any(waiting)
                and read_to(connection, name, topic) == ends(connection, topic)
                and _all_owned(lives)
            )
        if not done:
            quiet_since = time.monotonic()
        # The last alerts are made of what was let go last, and metrics may be a second old.
        if time.monotonic() - quiet_since >= _QUIET:
            break
        said = "\n".join(life.said() for life in lives)
        assert all(life.process.poll() is None for life in lives), said
        assert time.monotonic() < deadline, f"not all read: {waiting} wait\n{said}"
        time.sleep(0.5)
    for life in lives:
        life.process.terminate()
    for life in lives:
        life.leave()


def hand_journal(connection: KafkaSettings, name: str, calm: Sequence[str]) -> int:
    """Give an undisturbed run what order a deployment has journaled, as that is an input.

    Return how many floors these are.
    """
    settings = load_settings(None, calm)
    ensure_topics(connection, topic_needs(settings), create=True)
    with closing(KafkaLog(connection)) as log, closing(Outbox(connection)) as outbox:
        log.write_to(outbox)
        floors = read_journal(log, name, f"{name}.journal").floors
        write_floors(log, settings.name, settings.state.journal, floors)
        log.flush()
    return len(floors)


def _waiting(life: Life) -> float:
    """Return what a process has not read, or not observed yet; -1 where it does not say."""
    seen = life.metrics()
    parts = ("streamdrift_pending_events", "streamdrift_lag_messages")
    return -1.0 if parts[0] not in seen else sum(seen.get(part, 0.0) for part in parts)


def _all_owned(lives: Sequence[Life]) -> bool:
    """Tell whether the shards are all somebody's; one process alone has them always.

    Who has just taken one does not know yet what waits for it.
    """
    shards = lives[0].shards
    return not shards or (
        sum(life.assigned("detect") for life in lives) == shards
        and sum(life.shards_read() for life in lives) == shards
    )


def read_to(connection: KafkaSettings, name: str, topic: str) -> Mapping[int, int]:
    """Return by partition how far a deployment has read a topic, as its group's offsets say."""
    with closing(make_admin(connection)) as admin:
        found = admin.list_group_offsets(name)[name]
    return {key.partition: at.offset for key, at in found.items() if key.topic == topic}


def ends(connection: KafkaSettings, topic: str) -> Mapping[int, int]:
    """Return by partition where a topic ends."""
    consumer = make_consumer(connection)
    try:
        keys = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        return {key.partition: end for key, end in consumer.end_offsets(keys).items()}
    finally:
        consumer.close(autocommit=False)


def records(connection: KafkaSettings, topic: str) -> list[Any]:
    """Return the committed records of a topic: key, headers and value, by partition in order."""
    consumer = make_consumer(connection)
    try:
        keys = [
            TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        if not keys:
            return []
        consumer.assign(keys)
        last = consumer.end_offsets(keys)
        found: dict[TopicPartition, list[Any]] = {key: [] for key in keys}
        for key in keys:
            consumer.seek(key, 0)
        while any(consumer.position(key) < last[key] for key in keys):
            for key, fetched in consumer.poll(timeout_ms=500).items():
                found[key] += [(each.key, each.headers, each.value) for each in fetched]
    finally:
        consumer.close(autocommit=False)
    return [record for key in keys for record in found[key]]


def published(connection: KafkaSettings, name: str, topic: str) -> Alerts:
    """Return the alerts of a deployment on a topic by model, in the order they stand in."""
    alerts: dict[str, list[dict[str, Any]]] = {}
    for key, _, value in records(connection, f"{name}.alerts"):
        # Onsets name the topic, which may have another name in the undisturbed run.
        alert = json.loads(value.replace(topic.encode(), b"topic"))
        assert alert.pop("source") == name
        alerts.setdefault(key.decode(), []).append(alert)
    return alerts


def letters(connection: KafkaSettings, name: str) -> list[tuple[int, int]]:
    """Return partition and offset of what dead letters were written of, sorted."""
    headers = [dict(each) for _, each, _ in records(connection, f"{name}.dead-letters")]
    return sorted((int(each["partition"]), int(each["offset"])) for each in headers)
