"""The merge of partitions in event order, up to the low watermark."""

from collections.abc import Iterable, Mapping

import numpy as np

from streamdrift.columns import join, take
from streamdrift.ordering.clock import late, unbelieved
from streamdrift.ordering.lane import START, Frontier, Lane, after
from streamdrift.ordering.settings import OrderingSettings
from streamdrift.records import Batch, Decoded, Floor, Partition, Released, State
from streamdrift.trees import flag, integer, optional_integer, text, tree, trees

NEWCOMERS = Partition("", -1)
"""In a floor: every partition that has no floor of its own by then."""


class Ordering:
    """Merges partitions by (key, topic, partition, offset, index).

    An event's key is its time as its partition's clock believes it. The frontier, up to
    which events are released, is the smallest place at which a partition that holds it can
    still bring an event. The order is a function of the partitions' contents and the
    floors alone: neither how the input was cut, nor how partitions were interleaved, nor
    when `release` was called changes it.
    """

    def __init__(self, settings: OrderingSettings) -> None:
        self._settings = settings
        self._lanes: dict[Partition, Lane] = {}
        """By partition, in the order of partitions."""
        self._frontier = START
        self._tick = START
        self._floors: list[Floor] = []
        """Not yet handed to the journal."""
        self._foreseen: list[Floor] = []
        """Of partitions not assigned yet."""
        self._newcomers = START.watermark + 1
        """The order key below which no partition that appears may bring an event."""
        self._promises: list[tuple[Partition, int, Frontier]] = []
        """Of partitions not assigned yet."""
        self.identities: dict[str, int] = {}
        """By topic: what tells it from others of its name."""
        self._ended: list[Lane] = []
        """Of topics that were made anew: what they still hold."""

    @property
    def frontier(self) -> Frontier:
        """The place below which everything is released."""
        return self._frontier

    def assign(self, partitions: Iterable[Partition], *, believed: bool = False) -> None:
        """Let partitions take part: each holds the watermark until its first event.

        `believed`: their times are believed however far they jump ahead. Those already
        assigned are left as they are.
        """
        new = [partition for partition in partitions if partition not in self._lanes]
        self._lanes |= {partition: Lane(partition, believed=believed) for partition in new}
        self._lanes = dict(sorted(self._lanes.items()))
        foreseen, self._foreseen = self._foreseen, []
        self.foresee(foreseen)
        promises, self._promises = self._promises, []
        for promise in promises:
            self._promise(*promise)
        for partition in new:
            self._make_known(self._lanes[partition])

    def begin(self, offsets: Mapping[Partition, int]) -> bool:
        """Learn where the reading of partitions begins; tell whether any of that is news.

        It is where one that has shown nothing yet has no position: without one, the source's
        start would be looked for again after a restart, and may be another by then.
        """
        news = False
        for partition, offset in offsets.items():
            lane = self._lanes.get(partition)
            if lane is not None and lane.read_to is None:
                lane.read_to, news = offset, True
        return news

    def know(self, identities: Mapping[str, int]) -> frozenset[str]:
        """Learn which topics are read, before events of them are pushed.

        One that is another than before begins anew, above all that the first has shown: as
        offsets would not tell their events apart. Return those that are.
        """
        anew = {
            topic
            for topic, identity in identities.items()
            if self.identities.get(topic, identity) != identity
        }
        for partition in [each for each in self._lanes if each.topic in anew]:
            self._begin_anew(partition)
        self.identities |= identities
        return frozenset(anew)

    def _begin_anew(self, partition: Partition) -> None:
        old = self._lanes[partition]
        old.idle()
        if old.held:
            self._ended.append(old)
        lane = self._lanes[partition] = Lane(partition, believed=old.believed)
        bound = old.bound()
        key = max(
            self._frontier.watermark + 1,
            self._newcomers,
            # A life before this one may have journaled a greater one.
            old.floor_at(0),
            START.watermark if bound is None else bound.key + 1,
        )
        floor = Floor(partition, 0, key)
        lane.foresee(floor)
        self._floors.append(floor)

    def push(self, decoded: Decoded) -> None:
        """Take the next events of a partition (assigned by this, if it was not)."""
        if decoded.partition not in self._lanes:
            self.assign([decoded.partition])
        lane = self._lanes[decoded.partition]
        self._floors += lane.push(decoded, self._frontier, self._settings.max_skew)

    def idle(self, partition: Partition) -> None:
        """Let a partition, read to its end, hold nobody back until its next event."""
        if partition in self._lanes:
            self._lanes[partition].idle()

    def tick(self, time: int) -> None:
        """Let the next release move the watermark to at least `time`.

        Only while every partition is idle: an event that arrives before that release, or
        a partition that is not idle, makes it void.
        """
        if self._lanes and not any(lane.holding for lane in self._lanes.values()):
            self._tick = max(self._tick, after(time))

    def release(self) -> Released:
        """Return the events no later one can precede, one batch per model version."""
        released = self._release(self._low_watermark())
        self._tick = START
        return released

    def drain(self) -> Released:
        """Return everything held: the input has ended."""
        lanes = (*self._ended, *self._lanes.values())
        bounds = [bound for lane in lanes if (bound := lane.bound()) is not None]
        for lane in self._lanes.values():
            lane.idle()
        return self._release(max(bounds, default=START))

    def _low_watermark(self) -> Frontier:
        holding = [lane for lane in self._lanes.values() if lane.holding]
        lanes = holding or self._lanes.values()
        bounds = [lane.bound() for lane in lanes]
        known = [bound for bound in bounds if bound is not None]
        if not holding:
            # What is left of topics that were made anew waits for nobody either.
            ended = [bound for lane in self._ended if (bound := lane.bound()) is not None]
            return max([self._tick, *known, *ended])
        # One that has not shown an event yet could still bring any.
        return min(known) if len(known) == len(bounds) else START

    def _release(self, frontier: Frontier) -> Released:
        self._frontier = max(self._frontier, frontier)
        pieces: dict[tuple[str, str], list[Batch]] = {}
        ended, lanes = self._ended, list(self._lanes.values())
        if ended:
            # Those of a topic that was made anew come before what is in its place.
            lanes = sorted([*ended, *lanes], key=lambda lane: lane.partition)
        for lane in lanes:
            if lane.held:
                for piece in lane.pop(self._frontier):
                    pieces.setdefault((piece.model, piece.version), []).append(piece)
                lane.prune()
        self._ended = [lane for lane in ended if lane.held]
        batches = tuple(merged(pieces[name]) for name in sorted(pieces))
        return Released(batches, self._frontier.watermark)

    def pending(self) -> Mapping[Partition, int]:
        """Return how many events each partition holds back."""
        return {partition: lane.held for partition, lane in self._lanes.items()}

    def counts(self) -> Mapping[str, int]:
        """Return how many events were `late` and `unbelieved` since the beginning."""
        clocks = [lane.clock for lane in self._lanes.values()]
        return {"late": sum(map(late, clocks)), "unbelieved": sum(map(unbelieved, clocks))}

    def floors(self) -> tuple[Floor, ...]:
        """Return the floors that came about since the last call, for the journal."""
        floors, self._floors = tuple(self._floors), []
        return floors

    @property
    def has_floors(self) -> bool:
        """Whether floors wait to be journaled."""
        return bool(self._floors)

    def guard(self) -> None:
        """Make what is released final, whatever idle and new partitions bring later.

        To be called before alerts are published: it makes floors that `floors` hands out.
        Without them, a restart from an older snapshot would read the later events of a
        partition that was idle before it is called idle again, and sort them in before
        events that have led to alerts already. The same holds for a partition that appears
        while the process is down.
        """
        for lane in self._lanes.values():
            floor = lane.guard(self._frontier)
            if floor is not None:
                self._floors.append(floor)
        if self._frontier.watermark >= self._newcomers:
            self._newcomers = self._frontier.watermark + 1
            self._floors.append(Floor(NEWCOMERS, 0, self._newcomers))

    def _make_known(self, lane: Lane) -> None:
        """Give a new lane the floor by which it is known, if the journal has none of it."""
        if not lane.has_floors:
            key = max(self._frontier.watermark + 1, self._newcomers)
            floor = Floor(lane.partition, 0, key)
            lane.foresee(floor)
            self._floors.append(floor)

    def foresee(self, floors: Iterable[Floor]) -> None:
        """Take floors from the journal, before the events they concern are pushed again."""
        for floor in floors:
            if floor.partition == NEWCOMERS:
                self._newcomers = max(self._newcomers, floor.key)
            elif floor.partition in self._lanes:
                self._lanes[floor.partition].foresee(floor)
            else:
                self._foreseen.append(floor)

    def keep(self, later: State) -> None:
        """Let nothing that is new fall below what was released at a `later` snapshot.

        A shard that goes on from that one has observed all below its frontier, and would
        miss what idle and new partitions bring there. To be called after `restore`, with
        the snapshots of the other shards.
        """
        frontier = Frontier.restore(tree(later, "frontier"))
        self._newcomers = max(self._newcomers, frontier.watermark + 1)
        for lane in trees(later, "lanes"):
            if flag(lane, "fresh"):
                partition = Partition(text(lane, "topic"), integer(lane, "number"))
                self._promise(partition, optional_integer(lane, "seen") or 0, frontier)

    def _promise(self, partition: Partition, offset: int, frontier: Frontier) -> None:
        if partition in self._lanes:
            self._lanes[partition].promise(offset, frontier)
        else:
            self._promises.append((partition, offset, frontier))

    def positions(self) -> Mapping[Partition, int]:
        """Return where reading resumes from a snapshot of now.

        A partition of which nothing is known is left out: its source's start applies.
        """
        return {
            partition: position
            for partition, lane in self._lanes.items()
            if (position := lane.position) is not None
        }

    def read_to(self) -> Mapping[Partition, int]:
        """Return the offset behind the last message of each partition, or where it begins."""
        return {
            partition: lane.read_to
            for partition, lane in self._lanes.items()
            if lane.read_to is not None
        }

    def read_past(self, partition: Partition, offset: int) -> bool:
        """Tell whether a message is read, in this life, or is not there any more."""
        return partition in self._lanes and self._lanes[partition].read_past(offset)

    def seen(self) -> Mapping[Partition, int]:
        """Return the offset behind the last message each partition has shown in any life.

        After a restore it is beyond `positions` where events were held.
        """
        return {
            partition: lane.seen for partition, lane in self._lanes.items() if lane.seen is not None
        }

    def snapshot(self) -> State:
        """Return the state without the events held, which are read again from `positions`."""
        return {
            "frontier": self._frontier.snapshot(),
            "newcomers": self._newcomers,
            "identities": [
                {"topic": topic, "identity": identity}
                for topic, identity in sorted(self.identities.items())
            ],
            "lanes": [lane.snapshot() for lane in self._lanes.values()],
            "floors": [_floor_state(floor) for floor in self._floors],
            "foreseen": [_floor_state(floor) for floor in self._foreseen],
        }

    def restore(self, state: State) -> None:
        """Become what the snapshot was taken of; feeding goes on from its `positions`."""
        self._frontier = Frontier.restore(tree(state, "frontier"))
        self._newcomers = integer(state, "newcomers")
        told = trees(state, "identities") if "identities" in state else ()
        self.identities = {text(each, "topic"): integer(each, "identity") for each in told}
        self._ended = []
        self._tick = START
        lanes = [Lane.restore(lane) for lane in trees(state, "lanes")]
        self._lanes = {lane.partition: lane for lane in lanes}
        self._floors = [_floor(floor) for floor in trees(state, "floors")]
        self._foreseen = [_floor(floor) for floor in trees(state, "foreseen")]


def _floor_state(floor: Floor) -> State:
    topic, number = floor.partition
    return {"topic": topic, "number": number, "offset": floor.offset, "key": floor.key}


def _floor(state: State) -> Floor:
    partition = Partition(text(state, "topic"), integer(state, "number"))
    return Floor(partition, integer(state, "offset"), integer(state, "key"))


def merged(pieces: list[Batch]) -> Batch:
    """Join pieces that stand in the order of partitions, and sort them by key.

    A partition's own events are in order already, so a stable sort by the key alone gives
    the order by (key, topic, partition, offset, index).
    """
    batch = join(pieces)
    if len(pieces) == 1 or bool((np.diff(batch.time) >= 0).all()):
        return batch
    return take(batch, np.argsort(batch.time, kind="stable"))
