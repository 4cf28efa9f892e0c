"""Any number of workers, any interleaving: the shards' alerts are those of one process."""

import itertools
import json
import random
from collections.abc import Sequence

import numpy as np
import pytest

from streamdrift.config import Settings
from streamdrift.decoders import make_decoder
from streamdrift.exchange.frames import decode, encode
from streamdrift.exchange.ingest import Ingest
from streamdrift.exchange.roll import Found, Roll
from streamdrift.exchange.shard import Shard
from streamdrift.monitoring.heads import Home
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.ordering.timeline import Timeline
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, Messages, Partition
from streamdrift.sinks.cloudevents import encode as as_cloudevent
from tests.messages import messages

SHARDS = 4
PARTITIONS = 3
SKEW = 3_600_000_000
START = 1_767_225_600
END = (START + 6_000 + 20_000 + 10) * 1_000_000
SETTINGS = Settings.model_validate(
    {
        "models": {
            "*": {"reference": {"events": 400}, "silence": {"events": 100}},
            "wide": {"feature_groups": 3},
        }
    }
)


def stream(seed: int = 1, size: int = 6_000) -> list[bytes]:
    """Events of three models, one of them wide, that drift and return."""
    draw = np.random.default_rng(seed)
    found = []
    for i in range(size):
        shift = 2.0 * (3_000 <= i < 4_200)
        model = ("a", "b", "wide")[i % 3]
        features: dict[str, object] = {
            f"f{j}": draw.normal() + shift * (j % 2 == 0) for j in range(6)
        }
        features["city"] = ("x", "y", "z" if shift else "x")[int(draw.integers(3))]
        event = {
            "event_id": f"e{i - (i % 50 == 0)}",
            "model": model,
            "timestamp": START + i + (i >= 5_000) * 20_000,
            "features": features,
            "prediction": {"score": draw.random() / (1 + shift)},
        }
        found.append(json.dumps(event).encode())
    return found


def groups_of(events: Sequence[bytes], group: int = 97) -> dict[Partition, list[Messages]]:
    found: dict[Partition, list[Messages]] = {}
    for number in range(PARTITIONS):
        partition = Partition("predictions", number)
        mine = events[number::PARTITIONS]
        found[partition] = [
            messages(mine[first : first + group], partition=partition, first=first)
            for first in range(0, len(mine), group)
        ]
    return found


def alone(groups: dict[Partition, list[Messages]]) -> dict[str, list[object]]:
    decoder = make_decoder("json", {})
    pipeline = Pipeline(lambda _: decoder, Ordering(OrderingSettings()), Shards(SETTINGS.model, 1))
    pipeline.ordering.assign(groups)
    alerts: list[Alert] = []
    for group in itertools.chain.from_iterable(groups.values()):
        pipeline.feed(group)
        alerts += pipeline.release().alerts
    pipeline.tick_after(0)
    return told([*alerts, *pipeline.drain().alerts])


def told(alerts: Sequence[Alert]) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for alert in alerts:
        found.setdefault(alert.model, []).append(as_cloudevent(alert, "d"))
    return found


class Worker:
    """An ingest role without a broker: its partitions and what it has heard."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        decoder = make_decoder("json", {})
        self.ingest = Ingest(
            lambda _: decoder, lambda model: SETTINGS.model(model).feature_groups, SHARDS, SKEW
        )
        self.roll = Roll(0.0)
        self.roll.know({"predictions": Found(PARTITIONS, 0)}, 0.0)
        self.heard = 0
        for partition in partitions:
            timeline = Timeline(partition, 0)
            timeline.taking_part = True
            self.ingest.add(timeline)


class Exchange:
    """The exchange: a log a shard, and the control's; workers append in any order."""

    def __init__(self) -> None:
        self.logs: list[list[bytes]] = [[] for _ in range(SHARDS + 1)]

    def commit(self, worker: Worker, idle: Sequence[Partition] = ()) -> None:
        progress = worker.ingest.progress(idle, worker.roll.known, everything=False)
        for shard, frame in worker.ingest.frames(progress):
            self.logs[shard].append(frame)
        worker.ingest.told(progress)


class Detector:
    """All shards, each read as far as chance has it; restarted from snapshots now and then."""

    def __init__(self, exchange: Exchange, chance: random.Random) -> None:
        self._exchange = exchange
        self._chance = chance
        self._shards = [self._new(number) for number in range(SHARDS)]
        self._read = [0] * SHARDS
        self._saved = [(0, shard.snapshot()) for shard in self._shards]
        self.alerts: dict[str, Alert] = {}

    def _new(self, number: int) -> Shard:
        return Shard(Home(number, SHARDS), SETTINGS.model, 1_000)

    def step(self, *, all_there_is: bool = False) -> bool:
        """Let some shard read on; tell whether any could."""
        behind = [n for n in range(SHARDS) if self._read[n] < len(self._exchange.logs[n])]
        if not behind:
            return False
        number = self._chance.choice(behind)
        shard, log = self._shards[number], self._exchange.logs[number]
        count = len(log) if all_there_is else self._chance.randint(1, 6)
        for place in range(self._read[number], min(len(log), self._read[number] + count)):
            shard.take(decode(memoryview(log[place])), place)
            self._read[number] = place + 1
        shard.passed(self._read[number])
        for alert in shard.observe().alerts:
            known = self.alerts.setdefault(alert.id, alert)
            assert as_cloudevent(known, "d") == as_cloudevent(alert, "d")
        for head, heard in shard.tell().items():
            self._exchange.logs[head].append(encode(heard))
        if self._chance.random() < 0.1:
            self._saved[number] = (shard.position, shard.snapshot())
        if self._chance.random() < 0.05:
            position, state = self._saved[number]
            shard = self._shards[number] = self._new(number)
            shard.restore(state)
            self._read[number] = position
        return True


def run(seed: int, workers: int, groups: dict[Partition, list[Messages]]) -> Detector:
    chance = random.Random(seed)
    exchange = Exchange()
    detector = Detector(exchange, chance)
    partitions = list(groups)
    team = [Worker(partitions[place::workers]) for place in range(workers)]
    left = {partition: iter(mine) for partition, mine in groups.items()}
    while left:
        worker = chance.choice(team)
        mine = [each for each in worker.ingest.timelines if each in left]
        if mine:
            partition = chance.choice(mine)
            for group in itertools.islice(left[partition], chance.randint(1, 5)):
                worker.ingest.feed(group)
            if worker.ingest.timelines[partition].offset == groups[partition][-1].next_offset:
                del left[partition]
        if chance.random() < 0.5:
            exchange.commit(worker)
        while chance.random() < 0.7 and detector.step():
            pass
    # All rest: time goes on for a while.
    for worker in team:
        for timeline in worker.ingest.timelines.values():
            timeline.promise(END)
        exchange.commit(worker, list(worker.ingest.timelines))
    while detector.step():
        pass
    return detector


def ordered(alerts: dict[str, Alert]) -> dict[str, list[object]]:
    return told(sorted(alerts.values(), key=lambda alert: (alert.model, alert.number)))


@pytest.mark.parametrize("seed", range(6))
def test_alerts_are_those_of_one_process(seed: int) -> None:
    groups = groups_of(stream(seed))
    expected = alone(groups)
    assert expected.keys() == {"a", "b", "wide"}
    workers = seed % PARTITIONS + 1
    found = ordered(run(seed, workers, groups).alerts)
    assert found == expected


def test_a_shard_restored_before_it_told_tells() -> None:
    """Its heads would wait for the next event, which may never come."""
    exchange = Exchange()
    worker = Worker([Partition("predictions", number) for number in range(PARTITIONS)])
    for partition, timeline in worker.ingest.timelines.items():
        worker.ingest.feed(messages(stream(size=90), partition=partition))
        timeline.promise(END)
    exchange.commit(worker)
    told = {}
    for number in range(SHARDS):
        shard = Shard(Home(number, SHARDS), SETTINGS.model, 1_000)
        for place, data in enumerate(exchange.logs[number]):
            shard.take(decode(memoryview(data)), place)
        shard.observe()
        assert shard.watermark == END
        again = Shard(Home(number, SHARDS), SETTINGS.model, 1_000)
        again.restore(shard.snapshot())
        told[number] = again.tell()
        assert told[number] == shard.tell()
        assert again.tell() == shard.tell() == {}
        assert (again.position, again.held) == (len(exchange.logs[number]), 0)
    assert any(told.values())
