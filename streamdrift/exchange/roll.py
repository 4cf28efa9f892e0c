"""What one worker knows of all partitions of the input: its own, and those of the others.

From it follows what a partition that rests may promise, so that it holds nobody back, and
from which order key on a partition that is new may take part. Both are decided by the worker
that reads the partition, and told to every shard by the same frame: so all shards see every
event under the same key.

What is safe rests on one thing: a shard waits for every partition that any word it has heard
has named, so it releases nothing beyond the key that a partition had when its worker first
named another. Therefore the first word of a partition comes before its events.

A topic's name may come to mean another topic, or none. Each time that it does so its `life`
is one more, and what is told of an earlier life counts no more:

- `know`: this worker's look-ups found another topic, or none, and none before that did not;
- `learn`: another worker has told of it, or two have told different things of one life;
- `take_up`: the notes of a partition name a life that nobody has spoken of, or the topic was
  read no more (it has no partitions, and its identity still) and is again.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from streamdrift.durations import SECOND
from streamdrift.exchange.frames import Progress, Reach
from streamdrift.records import Extent, Partition

_NOWHERE = Extent(0, 0)
AGREE_SECONDS = 1.0
"""Look-ups less far apart may have come from one broker that is behind."""


class Found(NamedTuple):
    """What a look-up has found of a topic."""

    partitions: int
    identity: int
    """0 where there is no such topic."""


class _Doubt(NamedTuple):
    """What look-ups found that is not what is known, in which life, and since when."""

    life: int
    found: Found
    since: float


_NOTHING = Found(0, 0)
_LOWEST = -(2**63)
"""Below every key."""


def _lowest_if_none(key: int | None) -> int:
    return _LOWEST if key is None else key


class Roll:
    """The last word on every partition, and the newcomers among this worker's own.

    `wanted` tells whether a topic of some name is read, by this worker's settings.
    """

    def __init__(self, now: float, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self._wanted = wanted
        self._reaches: dict[Partition, Reach] = {}
        self._knew: dict[Partition, Mapping[str, Extent]] = {}
        """What the worker of each of them knew of the topics when it told of it last."""
        self._named: dict[Partition, dict[str, list[tuple[Extent, int | None]]]] = {}
        """By who named it: each topic as it came to be, and the namer's own key by then."""
        self._last_known: Mapping[str, Extent] = {}
        self.known: dict[str, Extent] = {}
        """What is meant by each topic's name, as far as anybody knows."""
        self._doubts: Mapping[str, _Doubt] = {}
        self._past: int | None = None
        """The greatest key of what is deleted."""
        self._former: dict[str, int] = {}
        """The greatest key of a topic's earlier lives."""
        self._newcomers: set[Partition] = set()
        self._alone: set[Partition] = set()
        """Those admitted as nobody takes part yet, until it is sure that nobody did."""
        self._moved_at = now
        self._stood: tuple[int, float] | None = None
        """Where all stood when all rested for the first time, and when that was."""

    # What is meant by the topics' names.

    def know(self, found: Mapping[str, Found], now: float) -> None:
        """Learn what a look-up has found, of all topics that are wanted; `now` in seconds.

        Where it is not what is known, another look-up must agree: a broker that has just
        started may not know all topics yet, and what others tell may be newer.
        """
        doubts: dict[str, _Doubt] = {}
        for topic in filter(self._wanted, found.keys() | self.known.keys()):
            this, known = found.get(topic, _NOTHING), self.known.get(topic)
            if known is None:
                self.learn(topic, Extent(0, *this))
                continue
            if this.identity == known.identity:
                if known.partitions:  # Else nobody reads it any more, though it is there.
                    self.learn(topic, Extent(known.life, *this))
                continue
            doubt = self._doubts.get(topic)
            if doubt is None or doubt[:2] != (known.life, this):
                doubt = _Doubt(known.life, this, now)
            if now - doubt.since >= AGREE_SECONDS:
                self.learn(topic, Extent(known.life + 1, *this))
            else:
                doubts[topic] = doubt
        self._doubts = doubts

    @property
    def in_doubt(self) -> bool:
        """Whether another look-up is to tell soon if a topic is another than before."""
        return any(doubt.found.identity for doubt in self._doubts.values())

    def learn(self, topic: str, extent: Extent) -> None:
        """Learn which topic somebody means by a name."""
        before = self.known.get(topic, _NOWHERE)
        differ = extent.identity != before.identity and extent.identity and before.identity
        if extent.life == before.life and differ:
            # Two have noticed different ones in the place of the last: whoever hears of both
            # goes on to the same.
            extent = Extent(before.life + 1, *max(before[1:], extent[1:]))
        self.known[topic] = max(before, extent)
        if extent.life > before.life:
            for partition in [each for each in self._reaches if each.topic == topic]:
                self._pass(topic, self._reaches.pop(partition).key)
                del self._named[partition], self._knew[partition]

    def _pass(self, topic: str, key: int | None) -> None:
        """Take note that a topic of the past had a key."""
        if key is not None:
            self._past = key if self._past is None else max(self._past, key)
            self._former[topic] = max(self._former.get(topic, key), key)

    def take_up(self, topic: str, found: Found, noted: Extent | None) -> Extent:
        """Return what is meant by a topic's name of which a partition came to this worker.

        `found` is what the last look-up says, of the identity that is known; `noted` what was
        noted of the partition with its committed offset.
        """
        known = self.known[topic]
        life = known.life
        if noted is not None:
            # Of this topic, or of the one before it, of which nobody else has told.
            life = max(life, noted.life + (noted.identity != found.identity))
        if not known.partitions and life == known.life:
            life += 1  # It was read no more, and is again.
        self.learn(topic, Extent(life, *found))
        return self.known[topic]

    # Words, and newcomers.

    def hear(self, progress: Progress, now: float) -> None:
        """Take what a worker, this one or another, has committed; `now` in seconds."""
        if progress.known != self._last_known:
            self._last_known = progress.known
            for topic, extent in progress.known.items():
                self.learn(topic, extent)
        for reach in progress.reaches:
            partition = reach.partition
            told = progress.known.get(partition.topic, _NOWHERE)
            if not told.is_same(self.known.get(partition.topic, told)):
                # Of a topic that is deleted: only the shards may still stand there.
                self._pass(partition.topic, reach.key)
                continue
            before = self._reaches.get(partition)
            if before is None or reach.offset > before.offset:
                self._moved_at = now
            self._reaches[partition] = reach
            self._name(reach, self._last_known)

    def _name(self, reach: Reach, known: Mapping[str, Extent]) -> None:
        """Take note of what a partition's worker names that it had not named before."""
        if self._knew.get(reach.partition) is known:
            return
        self._knew[reach.partition] = known
        named = self._named.setdefault(reach.partition, {})
        for topic, extent in known.items():
            lives = [each for each in named.get(topic, ()) if each[0].is_same(extent)]
            if not lives or lives[-1][0].partitions < extent.partitions:
                lives.append((extent, reach.key))
            named[topic] = lives

    def wait(self, partition: Partition) -> None:
        """Take note of a partition of this worker's that is new."""
        self._newcomers.add(partition)

    def leave(self, partition: Partition) -> None:
        """Forget a newcomer that is another worker's now."""
        self._newcomers.discard(partition)
        self._alone.discard(partition)

    def admit(self, *, first: bool, heard_all: bool) -> Mapping[Partition, int | None]:
        """Return the newcomers that may take part from now on, and what they must promise.

        A newcomer may as soon as the worker of any other partition has named it: from then on
        all shards wait for it. No shard has released events beyond the key that this one had
        when it named the newcomer first, so what is above the least of these is enough: above,
        as at that key the newcomer's events may come before theirs. Nor may they come among
        those of an earlier life of the topic, from which offsets do not tell them.

        Where nobody takes part, the owner of the first partition begins: `first`, as far as
        the group knows, or as all that took part is deleted. Only once it has `heard_all` that
        was said before it came, and until `begins` says that it was alone.
        """
        admitted: dict[Partition, int | None] = {}
        nobody = heard_all and not any(reach.begun for reach in self._reaches.values())
        alone = nobody and self._first_partition() in self._newcomers
        for partition in self._newcomers:
            keys = list(self._when_named(partition))
            if keys:
                bound = min(map(_lowest_if_none, keys))
            elif alone and (first or self._past is not None):
                bound = _lowest_if_none(self._past)
                self._alone.add(partition)
            else:
                continue
            bound = max(bound, self._former.get(partition.topic, _LOWEST))
            admitted[partition] = None if bound == _LOWEST else bound + 1
        self._newcomers -= admitted.keys()
        return admitted

    def _first_partition(self) -> Partition | None:
        topics = [topic for topic, extent in self.known.items() if extent.partitions]
        return Partition(min(topics), 0) if topics else None

    def _when_named(self, newcomer: Partition) -> Iterator[int | None]:
        """Yield the keys that partitions had when their workers first named a newcomer.

        The word of one that is not sure to take part itself is worth nothing.
        """
        meant = self.known.get(newcomer.topic, _NOWHERE)
        for partition, named in self._named.items():
            if partition in self._newcomers or partition in self._alone:
                continue
            for extent, key in named.get(newcomer.topic, ()):
                if extent.is_same(meant) and newcomer.number < extent.partitions:
                    yield key
                    break

    def begins(self, partition: Partition) -> bool | None:
        """Tell whether the events of one that was admitted may come, now that it has said so.

        None until its first word is heard. False where it was admitted as if nobody took part
        and others did: then it waits to be named, as others do.
        """
        if partition not in self._reaches:
            return None
        if partition in self._alone:
            if not self._reaches.keys() <= self._alone:
                self._alone.discard(partition)
                self._newcomers.add(partition)
                return False
            self._alone.clear()  # What it said with this one is as sure.
        return True

    @property
    def all_rest(self) -> bool:
        """Whether every partition rests, as far as is known."""
        return all(reach is not None and reach.idle for reach in self._all())

    def watermark(self) -> int | None:
        """Return the key that all partitions have reached; None where one has shown nothing."""
        keys = [None if reach is None else reach.key for reach in self._all()]
        known = [key for key in keys if key is not None]
        return min(known) if known and len(known) == len(keys) else None

    def promise(self, now: float, silent_for: int) -> int | None:
        """Return what a partition that rests may promise; None where it had better not.

        That is the least key of those that do not rest. Where all do, time goes on from the
        last event, so that a silence is noticed; for this worker's own partitions it has
        lasted `silent_for` microseconds. A worker that is new goes on from where all stood.
        """
        reaches = self._all()
        there = [reach for reach in reaches if reach is not None]
        if len(there) < len(reaches):
            return None
        busy = [reach.key for reach in there if not reach.idle]
        if busy:
            keys = [key for key in busy if key is not None]
            return min(keys) if len(keys) == len(busy) else None
        last = max((reach.last for reach in there if reach.last is not None), default=None)
        if last is None:
            return None
        passed = min(int((now - self._moved_at) * SECOND), silent_for)
        if self._stood is None and (key := self.watermark()) is not None:
            self._stood = key, now
        if self._stood is None:
            return last + passed
        # What others have promised since this worker came is in there, and counts once.
        key, at = self._stood
        return max(last + passed, key + min(passed, int((now - at) * SECOND)))

    def _all(self) -> list[Reach | None]:
        return [
            self._reaches.get(Partition(topic, number))
            for topic, extent in self.known.items()
            for number in range(extent.partitions)
        ]
