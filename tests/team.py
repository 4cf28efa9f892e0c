"""Workers that read a changing input and send it to an exchange, without a broker.

What is real is the core: `Ingest`, `Roll` and `Timeline`. What is made up is what Kafka does:
the topics and their partitions, the group that gives each partition to one worker, with what
was committed of it, and transactions whose frames stand mixed with those of others in every
log, are heard by nobody before the last of them is written, and by nobody ever where the
worker dies before that.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from streamdrift.exchange.frames import Progress, decode
from streamdrift.exchange.ingest import Addressed, Ingest
from streamdrift.exchange.roll import AGREE_SECONDS, Found, Roll
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.records import Batch, Decoded, Messages, Partition
from streamdrift.sources.discovery import LookUp
from streamdrift.sources.member import Committed
from streamdrift.workers.input import Input

SHARDS = 3
GROUPS = 6
"""Of the one model: all see every event, so all must see them in one order."""
SKEW = 3_600_000_000
SILENT_FOR = 10_000_000


class Plain:
    """A decoder for messages without values: an event's id is what stands for its start."""

    def decode(self, messages: Messages) -> Decoded:
        size = len(messages)
        events = Batch(
            model="m",
            version="1",
            partitions=(messages.partition,),
            partition=np.zeros(size, dtype=np.int32),
            offset=messages.offset,
            index=np.zeros(size, dtype=np.int32),
            ids=messages.start.astype(np.uint64),
            time=messages.time,
            columns={},
        )
        return Decoded(messages.partition, (events,) if size else (), (), messages.next_offset)


@dataclass
class Topic:
    """A topic of the input: of each partition the events' ids and times."""

    identity: int
    partitions: list[list[tuple[int, int]]]


@dataclass
class Entry:
    """A frame in a log; `state` is that of the transaction it belongs to."""

    frame: bytes
    state: list[str]


@dataclass
class Commit:
    """A transaction under way."""

    progress: Progress | None
    left: list[Addressed]
    offsets: Mapping[Partition, tuple[int, str]]
    state: list[str] = field(default_factory=lambda: ["open"])


class Seat:
    """What a worker's `Member` is to its `Input`: what the group gives it, and no broker."""

    def __init__(self, team: "Team") -> None:
        self._team = team
        self.connection = KafkaSettings()
        self.reader = self
        self.lost: Any = None
        self.given: set[Partition] = set()
        self.started: set[Partition] = set()
        self.taken: set[Partition] = set()

    def added(self) -> frozenset[Partition]:
        return frozenset(self.given)

    def start(self, starts: Mapping[Partition, int]) -> None:
        self.given -= starts.keys()
        self.started |= starts.keys()

    def take_back(self, partitions: Iterable[Partition]) -> None:
        chosen = set(partitions) - self.given
        self.started -= chosen
        self.taken |= chosen
        self.given |= chosen

    def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, Committed] | None:
        if self._team.random.random() < 0.1:
            return None
        found = self._team.committed
        return {key: Committed(*found[key]) for key in partitions if key in found}

    def earliest(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def subscribe(self, topics: object) -> None:
        """Do nothing: the group gives what there is."""

    def tell(self, told: object) -> None:
        """Do nothing: nobody reads it."""


class Sight:
    """What a worker's `Discovery` is to its `Input`: what a broker knows, which may be behind."""

    def __init__(self, team: "Team") -> None:
        self._team = team
        self.look_now()

    def look_now(self) -> None:
        team = self._team
        behind = team.now < team.changed_at + AGREE_SECONDS and team.random.random() < 0.3
        found = team.seen[0 if behind else -1]
        identities = {topic: each.identity for topic, each in found.items()}
        partitions = frozenset(
            Partition(topic, number)
            for topic, each in found.items()
            for number in range(each.partitions)
        )
        self.last = LookUp(partitions, identities, team.now)


class Worker:
    """The ingest role of one worker: its `Input`, driven as `Ingesting` does."""

    def __init__(self, team: "Team") -> None:
        self.team = team
        decoder = Plain()
        self.ingest = Ingest(lambda _: decoder, lambda _: GROUPS, SHARDS, SKEW)
        self.roll = Roll(team.now)
        self.seat = Seat(team)
        self.sight = Sight(team)
        self.heard = 0
        self.begun_at = sum(1 for _ in team.control(0, len(team.logs[SHARDS])))
        self.resting: set[Partition] = set()
        self.known: Mapping[str, object] = {}
        self.commit: Commit | None = None
        seat: Any = self.seat
        sight: Any = self.sight
        self.input = Input(
            seat,
            sight,
            self.ingest,
            self.roll,
            "earliest",
            0,
            lambda: {key: Committed(*each) for key, each in team.committed.items()},
            lambda: team.now,
        )
        self.look()

    def look(self) -> None:
        """Take note of topics that appeared, or are gone."""
        self.sight.look_now()
        self.input.look()
        self.let_go()

    def let_go(self) -> None:
        self.input.take_back()
        for partition in self.seat.taken:
            self.forget(partition)
        self.seat.taken.clear()

    def give(self, partition: Partition) -> None:
        """Take a partition from the group."""
        self.seat.given.add(partition)

    def has(self, partition: Partition) -> bool:
        return partition in self.seat.given | self.seat.started

    def leave(self, partition: Partition) -> None:
        """Let the group take a partition away: the turn goes on with what is left."""
        self.seat.given.discard(partition)
        if partition in self.seat.started:
            self.seat.started.discard(partition)
            self.forget(partition)
        self.admit()

    def forget(self, partition: Partition) -> None:
        self.ingest.drop(partition)
        self.resting.discard(partition)

    def admit(self) -> None:
        self.input.take_up(heard_all=self.heard >= self.begun_at)
        self.let_go()

    def left(self, partition: Partition) -> list[tuple[int, int]]:
        """Return the events of a partition that it has not read."""
        topic = self.team.topics.get(partition.topic)
        timeline = self.ingest.timelines[partition]
        reading = partition in self.seat.started
        if topic is None or not reading or topic.identity != timeline.meant.identity:
            return []
        return topic.partitions[partition.number][timeline.offset :]

    def feed(self, partition: Partition, most: int) -> None:
        events = self.left(partition)[:most]
        if not events:
            return
        self.resting.discard(partition)
        first, size = self.ingest.timelines[partition].offset, len(events)
        ids = np.array([each for each, _ in events], dtype=np.int64)
        nothing = np.zeros(size, dtype=np.int64)
        times = np.array([time for _, time in events], dtype=np.int64)
        offsets = np.arange(first, first + size, dtype=np.int64)
        self.ingest.feed(
            Messages(
                partition, np.zeros(0, np.uint8), ids, nothing, offsets, times, nothing, nothing,
                nothing, nothing, first + size,
            )
        )  # fmt: skip

    def hear(self, most: int) -> None:
        for frame in self.team.control(self.heard, most):
            self.heard += 1
            if frame is not None:
                self.roll.hear(frame, self.team.now)
        self.let_go()

    def rest(self) -> None:
        """Let what is read to its end rest, and promise what it may."""
        for partition in self.seat.started:
            if not self.left(partition):
                self.resting.add(partition)
        key = self.roll.promise(self.team.now, SILENT_FOR) if self.resting else None
        if key is not None:
            for partition in self.resting:
                self.ingest.timelines[partition].promise(key)

    def begin(self) -> None:
        """Begin a commit of what there is."""
        known = dict(self.roll.known)
        everything = known != self.known or self.team.random.random() < 0.1
        progress = self.ingest.progress(self.resting, known, everything=everything)
        notes = {key: (each.offset, each.written()) for key, each in self.ingest.timelines.items()}
        self.commit = Commit(progress, list(self.ingest.frames(progress)), notes)
        self.known = known

    def write(self) -> None:
        """Write one more frame of the commit, or end it."""
        assert self.commit is not None
        commit, random = self.commit, self.team.random
        if commit.left:
            shard = random.choice([each.shard for each in commit.left])
            place = next(i for i, each in enumerate(commit.left) if each.shard == shard)
            frame = commit.left.pop(place).frame
            self.team.logs[shard].append(Entry(frame, commit.state))
            return
        commit.state[0] = "done"
        there = self.team.partitions  # Of what is deleted the group keeps nothing.
        self.team.committed |= {key: each for key, each in commit.offsets.items() if key in there}
        self.ingest.told(commit.progress)
        self.commit = None

    def finish(self) -> None:
        while self.commit is not None:
            self.write()

    def commit_all(self) -> None:
        self.finish()
        self.begin()
        self.finish()

    def die(self) -> None:
        if self.commit is not None:
            self.commit.state[0] = "aborted"


class Team:
    """Workers, the input and the exchange."""

    def __init__(self, random: Random, topics: Mapping[str, int], workers: int) -> None:
        self.random = random
        self.now = 0.0
        self.topics: dict[str, Topic] = {}
        self.seen: list[Mapping[str, Found]] = [{}]
        """What look-ups may find: the last is the truth, the first what a broker may believe."""
        self.changed_at = 0.0
        self.logs: list[list[Entry]] = [[] for _ in range(SHARDS + 1)]
        self.committed: dict[Partition, tuple[int, str]] = {}
        self.ids = 0
        self.made = 0
        self.lost: set[int] = set()
        """The ids of events that are deleted."""
        for name, count in topics.items():
            self.make(name, count)
        self.workers = [Worker(self) for _ in range(workers)]
        self.share()

    def make(self, name: str, count: int) -> None:
        self.made += 1
        self.topics[name] = Topic(self.made, [[] for _ in range(count)])
        self.change()

    def change(self) -> None:
        """Let brokers learn of a change, one or the other a little later."""
        now = {name: Found(len(t.partitions), t.identity) for name, t in self.topics.items()}
        self.seen, self.changed_at = [self.seen[-1], now], self.now

    @property
    def partitions(self) -> list[Partition]:
        return [
            Partition(name, number)
            for name, topic in self.topics.items()
            for number in range(len(topic.partitions))
        ]

    def produce(self, partition: Partition, count: int, lag: int) -> None:
        """Let events come about whose times are up to `lag` behind the time of day."""
        events = self.topics[partition.topic].partitions[partition.number]
        for _ in range(count):
            self.now += self.random.choice((0.0, 1e-6, 5e-6))
            self.ids += 1
            events.append((self.ids, int(self.now * 1e6) - self.random.randrange(lag + 1)))

    def owner(self, partition: Partition) -> Worker | None:
        return next((each for each in self.workers if each.has(partition)), None)

    def share(self) -> None:
        """Give what is nobody's to workers that know of its topic; take away what is deleted."""
        there = self.partitions
        for worker in self.workers:
            for partition in [
                each for each in worker.seat.given | worker.seat.started if each not in there
            ]:
                worker.finish()
                worker.leave(partition)
        for partition in there:
            able = [each for each in self.workers if partition.topic in each.roll.known]
            if able and self.owner(partition) is None:
                worker = self.random.choice(able)
                worker.finish()
                worker.give(partition)

    def move(self, partition: Partition, *, orderly: bool) -> None:
        """Let the group take a partition away; what is not committed is dropped with it."""
        worker = self.owner(partition)
        if worker is None:
            return
        worker.finish()
        if orderly:
            worker.commit_all()
        worker.leave(partition)

    def kill(self, worker: Worker) -> None:
        worker.die()
        self.workers.remove(worker)
        self.workers.append(Worker(self))

    def delete(self, name: str) -> None:
        """Delete a topic, and what the group has of it."""
        for worker in self.workers:
            worker.finish()
        deleted = self.topics.pop(name)
        self.lost |= {each for events in deleted.partitions for each, _ in events}
        self.committed = {key: each for key, each in self.committed.items() if key.topic != name}
        self.change()

    def control(self, begin: int, most: int) -> Iterator[Progress | None]:
        """Yield what is committed to the control's log; nothing behind what is open."""
        for entry in self.logs[SHARDS][begin : begin + most]:
            if entry.state[0] == "open":
                return
            frame = decode(memoryview(entry.frame)) if entry.state[0] == "done" else None
            yield frame if isinstance(frame, Progress) else None

    def act(self) -> None:
        """Let one worker do something."""
        random, worker = self.random, self.random.choice(self.workers)
        if worker.commit is not None:
            worker.write()
            return
        what = random.choice(("feed", "feed", "hear", "hear", "rest", "commit", "admit", "look"))
        if what == "feed" and worker.ingest.timelines:
            worker.feed(random.choice(list(worker.ingest.timelines)), random.randrange(1, 6))
        elif what == "hear":
            worker.hear(random.randrange(1, 6))
        elif what == "rest":
            worker.rest()
        elif what == "commit":
            worker.begin()
        elif what == "admit":
            worker.admit()
        elif what == "look":
            worker.look()

    def go_round(self) -> None:
        """Let each worker do all that it can, and commit it."""
        for worker in self.random.sample(self.workers, len(self.workers)):
            worker.finish()
            worker.look()
            worker.hear(1_000_000)
            worker.admit()
            for partition in worker.ingest.timelines:
                worker.feed(partition, 1_000_000)
            worker.rest()
            worker.commit_all()

    def settle(self) -> None:
        """Let all go on until everything is read, and has been promised to be past."""
        for _ in range(20):
            self.go_round()
            self.share()
            self.now += 1.0
