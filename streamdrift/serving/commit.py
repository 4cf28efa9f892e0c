"""The commit: in which order alerts, journal and state become durable."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamdrift.kafka.transaction import Reached
from streamdrift.operators import Taken
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, DeadLetter, Floor, Partition
from streamdrift.sinks import Sink
from streamdrift.state import Published
from streamdrift.state.journal import UNKNOWN, Place


class Letters(Protocol):
    """Where dead letters go."""

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Take letters; they need not be durable when this returns."""
        ...

    def flush(self) -> None:
        """Return when all that was written is durable; raise a StreamdriftError else."""
        ...


class Store(Protocol):
    """What the commit needs of the state's store."""

    def journal(
        self,
        floors: Sequence[Floor],
        published: Published | None = None,
        commands: Sequence[Taken] = (),
    ) -> None:
        """Append what is decided, and published with it; durable from the next flush on."""
        ...

    def flush(self) -> None:
        """Return when what was appended is durable; raise a StreamdriftError else."""
        ...

    def save(
        self,
        snapshots: Mapping[int, bytes],
        reached: Reached = ...,
        *,
        replaying: bool = ...,
    ) -> None:
        """Make snapshots of some shards durable; `replaying` as in `Outgoing.replaying`."""
        ...


MANY_BYTES = 1_000_000
"""Of dead letters. On a slow link more might not be written within the time that a transaction
has, and whoever begins again would read as much."""


PART_BYTES = 20_000_000
"""Of snapshots, that one commit has at the end, for the same reason."""


def many(letters: Iterable[DeadLetter]) -> bool:
    """Tell whether dead letters are so large together that they should be committed."""
    return sum(len(each.value or b"") for each in letters) >= MANY_BYTES


Take = Callable[[], Mapping[int, bytes]]
"""Makes the snapshots that are due, by shard; of the pipeline as it is when this is called."""


def nothing_due() -> Mapping[int, bytes]:
    """Take no snapshot."""
    return {}


class Outgoing:
    """What has come out of the pipeline since the last commit, less what was published.

    `published` is what other lives of the deployment have published for good: the same
    comes out again after a restart, and is left out.
    """

    def __init__(self, published: Published) -> None:
        self.alerts: list[Alert] = []
        self.letters: list[DeadLetter] = []
        self.commands: list[Taken] = []
        """What operators asked, and took effect since."""
        self._published = published
        self._marks: dict[Place, int] = {}
        self._identities: Mapping[str, int] = {}

    def know(self, identities: Mapping[str, int]) -> None:
        """Learn which topics the letters that are added next are of."""
        self._identities = identities

    def __bool__(self) -> bool:
        return bool(self.alerts or self.letters or self.commands)

    def add(self, alerts: Sequence[Alert] = (), letters: Sequence[DeadLetter] = ()) -> None:
        """Take what came out of the pipeline."""
        known = self._published
        self.alerts += [each for each in alerts if each.id not in known.alerts]
        for each in letters:
            place = self._place(each.partition)
            noted = known.letters.get((each.partition, UNKNOWN), -1)
            if each.offset > max(noted, known.letters.get(place, -1)):
                self.letters.append(each)
                self._marks[place] = each.offset

    def _place(self, partition: Partition) -> Place:
        return partition, self._identities.get(partition.topic, UNKNOWN)

    def marks(self, until: int) -> Published:
        """Return what will have been published with all this; `until` as `Published` has it."""
        return Published(
            frozenset(alert.id for alert in self.alerts),
            dict(self._marks),
            until,
        )

    def replaying(
        self, observed: int, read_past: Callable[[Partition, int], bool], *, foresees: bool
    ) -> bool:
        """Tell whether something of another life may still come out again, or be done again.

        It cannot once everything is `observed` and read again that was so by then, and no command
        is left that it `foresees`. A snapshot before that needs the same marks of the journal as
        those this life began with.
        """
        if foresees:
            return True
        unread = [
            partition
            for (partition, identity), offset in self._published.letters.items()
            # Of a topic that is there no more, nothing comes out again.
            if identity in (UNKNOWN, self._place(partition)[1]) and not read_past(partition, offset)
        ]
        if observed >= self._published.until and not unread:
            self._published = Published()
            return False
        return True

    def clear(self) -> None:
        """Forget what is committed."""
        self.alerts.clear()
        self.letters.clear()
        self.commands.clear()
        self._marks.clear()


@dataclass(frozen=True, slots=True)
class Places:
    """Where a commit writes to."""

    store: Store
    sinks: Sequence[Sink]
    letters: Letters


def commit_at_least_once(
    pipeline: Pipeline,
    outgoing: Outgoing,
    places: Places,
    check_owner: Callable[[], None],
    *,
    take: Take = nothing_due,
    reached: Reached = lambda _: None,
) -> None:
    """Make durable what came out of the pipeline, at least once.

    0. `check_owner` looks for another process's claim: who was replaced writes nothing.
    1. Guard the order: what idle and new partitions bring later must not sort in before
       events that have led to an alert, or after which a command took effect. That makes floors.
    2. Journal floors and commands and wait until they are acknowledged: without them a replay
       could merge the partitions in another order, do what was asked elsewhere, and find other
       alerts.
    3. Write alerts to every sink, and dead letters, and wait until they are acknowledged.
       Whoever dies before the next snapshot writes them again, with the same ids.
    4. `take` snapshots of the shards whose turn it is: write the chunks of each into the slot
       that does not hold its last one, and wait until they are acknowledged.
    5. Write the manifests, and wait until they are acknowledged: from here on this is the
       state. Where some are written and others are not, those shards are ahead of these, as
       they are where their turns differ.

    A failure at any step ends the session: nothing is written again by it, and the next one
    starts from the last manifests. `reached` is told of every step, for fault tests.
    """
    check_owner()
    floors = _guarded(pipeline, outgoing)
    reached("guarded")
    if floors or outgoing.commands:
        places.store.journal(floors, None, outgoing.commands)
        places.store.flush()
    reached("journaled")
    _write(outgoing, places, reached)
    _flush(places)
    reached("alerts durable")
    outgoing.clear()
    _save(pipeline, outgoing, places.store, take, reached)


class ServiceWork:
    """What the standalone service has made since its last commit: for `commit_transaction`."""

    def __init__(
        self,
        pipeline: Pipeline,
        outgoing: Outgoing,
        places: Places,
        take: Take,
        committed: dict[Partition, int],
    ) -> None:
        self._pipeline = pipeline
        self._outgoing = outgoing
        self._places = places
        self._take = take
        self._committed = committed
        """The group's offsets, as far as this session has committed them."""
        self._offsets: Mapping[Partition, int] = {}

    def write(self, reached: Reached) -> None:
        _write(self._outgoing, self._places, reached)

    def remember(self, reached: Reached) -> None:
        floors = _guarded(self._pipeline, self._outgoing)
        marks = self._outgoing.marks(self._pipeline.watermark)
        self._places.store.journal(floors, marks, self._outgoing.commands)
        reached("journaled")
        _save(self._pipeline, self._outgoing, self._places.store, self._take, reached)

    def flush(self) -> None:
        self._places.store.flush()
        _flush(self._places)

    def read_to(self) -> tuple[Mapping[Partition, int], Mapping[Partition, str]]:
        """Return what moved: brokers refuse the offsets of a topic that is deleted."""
        self._offsets = {
            partition: offset
            for partition, offset in self._pipeline.ordering.read_to().items()
            if self._committed.get(partition) != offset
        }
        return self._offsets, {}

    def done(self) -> None:
        self._outgoing.clear()
        self._committed |= self._offsets


def _guarded(pipeline: Pipeline, outgoing: Outgoing) -> Sequence[Floor]:
    """Return the floors to be journaled.

    What idle and new partitions bring later must not sort in before events that have led to an
    alert, or before a command.
    """
    if outgoing.alerts or outgoing.commands:
        pipeline.ordering.guard()
    return pipeline.ordering.floors()


def _write(outgoing: Outgoing, places: Places, reached: Reached) -> None:
    for sink in places.sinks:
        sink.write(outgoing.alerts)
        reached("alerts written")
    places.letters.write(outgoing.letters)
    reached("letters written")


def _flush(places: Places) -> None:
    for sink in places.sinks:
        sink.flush()
    places.letters.flush()


def _save(
    pipeline: Pipeline,
    outgoing: Outgoing,
    store: Store,
    take: Take,
    reached: Reached,
) -> None:
    snapshots = take()
    if snapshots:
        replaying = outgoing.replaying(
            pipeline.watermark, pipeline.ordering.read_past, foresees=pipeline.foresees
        )
        store.save(snapshots, reached, replaying=replaying)
