"""What the exchange costs: one backlog, worked off by one process alone and by workers."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import psutil
from confluent_kafka import Consumer, TopicPartition

from loadtest.workers.crew import (
    SHARDS,
    Plan,
    Process,
    cpu_seconds,
    running,
    wait_until,
    wait_until_shared,
    workers,
)
from loadtest.workers.traffic import FIRST, Feed, make_topic, many

PARTITIONS = 8
_LEARN = 1_000
_WARM_UP = 1_500
"""Events of each model before those that are measured: its reference, and some more."""
PLANS = (
    Plan("standalone", [{}], distributed=False),
    workers(1, "1 worker"),
    workers(2, "2 workers"),
    workers(4, "4 workers"),
    Plan("roles apart", [{"worker.roles": "[ingest]"}, {"worker.roles": "[detect]"}]),
)


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part in it."""

    roles: str
    shards: int
    events: int
    """Those it has read."""
    cpu_us_per_event: float
    """Of all events."""
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Cost:
    """How one deployment worked off the backlog."""

    title: str
    events_per_second: float
    """From when the events could be read to when the last one was observed and committed."""
    broker_us_per_event: float
    exchange_bytes_per_event: float
    """Before they are compressed."""
    exchange_stored_per_event: float
    """Bytes on the broker's disk."""
    shares: Sequence[Share]

    @property
    def cpu_us_per_event(self) -> float:
        """The CPU time of all its processes."""
        return sum(share.cpu_us_per_event for share in self.shares)


def measure(bootstrap: str, folder: Path, plan: Plan, events: int, models: int) -> Cost:
    """Let a new deployment work off events on a topic of its own.

    Start-up, the compiling of kernels and the learning of references are not measured: the
    processes do that with events of a warm-up. Those that are measured are written in one
    transaction, so that all of them can be read at the same moment, when everybody is up.
    """
    name = plan.title.replace(" ", "-")
    make_topic(bootstrap, name, PARTITIONS)
    settings = {
        "name": f"of-{name}",
        "kafka.bootstrap_servers": bootstrap,
        "source.predictions": f"[{name}]",
        "models.*.reference.events": str(_LEARN),
    }
    feed, before = Feed(bootstrap, name), models * _WARM_UP
    found = many(before + events, models, PARTITIONS)
    watch = _Watch(bootstrap, f"of-{name}", name, distributed=plan.distributed)
    with closing(watch), running(plan, settings) as processes:
        if plan.distributed:
            wait_until_shared(processes, PARTITIONS)
        feed.write(islice(found, before))
        feed.commit()
        wait_until(watch.done, "the warm-up is observed")
        feed.write(found)
        begun = _Figures.of(processes, folder, f"of-{name}")
        started = perf_counter()
        feed.commit()
        wait_until(watch.done, "everything is observed")
        seconds = perf_counter() - started
        ended = _Figures.of(processes, folder, f"of-{name}")
        _check(processes, before + events)
        shares = [
            Share(
                process.roles if plan.distributed else "all",
                int(process.metric("streamdrift_assigned_partitions", role="detect")),
                ended.read[place] - begun.read[place],
                (ended.cpu[place] - begun.cpu[place]) / events * 1e6,
                process.peak_mb(),
            )
            for place, process in enumerate(processes)
        ]
    return Cost(
        plan.title,
        events / seconds,
        (ended.broker - begun.broker) / events * 1e6,
        (ended.sent - begun.sent) / events,
        (ended.stored - begun.stored) / events,
        shares,
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    """What is added up all the while."""

    cpu: Sequence[float]
    broker: float
    sent: float
    stored: int
    read: Sequence[int]

    @classmethod
    def of(cls, processes: Sequence[Process], folder: Path, name: str) -> "_Figures":
        cpu = [process.cpu_seconds() for process in processes]
        brokers = [each for each in psutil.Process().children() if each.name() == "java"]
        logs = (folder / "data").glob(f"{name}.exchange-*/*.log")
        return cls(
            cpu,
            sum(map(cpu_seconds, brokers)),
            sum(p.metric("streamdrift_exchange_bytes_total") for p in processes),
            sum(log.stat().st_size for log in logs),
            [int(p.metric("streamdrift_events_total")) for p in processes],
        )


def _check(processes: Sequence[Process], events: int) -> None:
    """Raise SystemExit where events were lost, read twice, or not observed."""
    read = sum(process.metric("streamdrift_events_total") for process in processes)
    if read != events:
        raise SystemExit(f"{read:,.0f} events were read, there are {events:,}")
    last = FIRST + events / 1_000
    wait_until(
        lambda: all(
            process.metric("streamdrift_watermark_timestamp_seconds") > last - 1
            for process in processes
            if "detect" in process.roles
        ),
        "the last events are let go",
    )


class _Watch:
    """Sees by committed offsets whether a deployment is done: that costs its processes nothing."""

    def __init__(self, bootstrap: str, name: str, topic: str, *, distributed: bool) -> None:
        common = {"bootstrap.servers": bootstrap, "enable.auto.commit": False}
        # What is committed in transactions that are open is not waited for.
        common |= {"isolation.level": "read_uncommitted"}
        self._input = Consumer(common | {"group.id": name})
        self._exchange = Consumer(common | {"group.id": f"{name}.detect"}) if distributed else None
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._shards = [TopicPartition(f"{name}.exchange", number) for number in range(SHARDS)]
        self._ends: Sequence[int] = ()
        """How far the shards must come, once the input is read."""

    def close(self) -> None:
        """Close the connections."""
        self._input.close()
        if self._exchange is not None:
            self._exchange.close()

    def done(self) -> bool:
        """Return whether everything was observed; begins anew after it has said so."""
        if not self._ends:
            if not _reached(self._input, self._partitions, _ends(self._input, self._partitions)):
                return False
            if self._exchange is None:
                return True
            self._ends = _ends(self._exchange, self._shards)
        assert self._exchange is not None
        done = _reached(self._exchange, self._shards, self._ends)
        if done:
            self._ends = ()
        return done


def _ends(consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[int]:
    return [consumer.get_watermark_offsets(each, timeout=10)[1] for each in partitions]


def _reached(consumer: Consumer, partitions: Sequence[TopicPartition], ends: Sequence[int]) -> bool:
    committed = consumer.committed(list(partitions), timeout=10)
    return all(at.offset >= end for at, end in zip(committed, ends, strict=True))
