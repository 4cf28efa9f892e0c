"""The commit: in which order alerts, journal and state become durable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, DeadLetter, Floor, Partition
from streamdrift.sinks import Sink
from streamdrift.state import Published, encode


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

    def journal(self, floors: Sequence[Floor], published: Published | None = None) -> None:
        """Append floors, and what is published with them; durable from the next flush on."""
        ...

    def flush(self) -> None:
        """Return when what was appended is durable; raise a StreamdriftError else."""
        ...

    def save(self, snapshot: bytes, reached: Callable[[str], None] = ...) -> None:
        """Make a snapshot durable."""
        ...


class Transaction(Protocol):
    """What makes everything written since `begin` visible at once, or never."""

    def begin(self) -> None:
        """Begin; raise a StreamdriftError where that cannot be."""
        ...

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Make all visible, with the group's offsets; raise a StreamdriftError where it is not.

        After that, whether it became visible is unknown.
        """
        ...


class Outgoing:
    """What has come out of the pipeline since the last commit, less what was published.

    `published` is what other lives of the deployment have published for good: the same
    comes out again after a restart, and is left out.
    """

    def __init__(self, published: Published) -> None:
        self.alerts: list[Alert] = []
        self.letters: list[DeadLetter] = []
        self._published = published

    def __bool__(self) -> bool:
        return bool(self.alerts or self.letters)

    def add(self, alerts: Sequence[Alert] = (), letters: Sequence[DeadLetter] = ()) -> None:
        """Take what came out of the pipeline."""
        known = self._published
        self.alerts += [each for each in alerts if each.id not in known.alerts]
        self.letters += [
            each for each in letters if each.offset > known.letters.get(each.partition, -1)
        ]

    def marks(self) -> Published:
        """Return what will have been published with all this."""
        return Published(
            frozenset(alert.id for alert in self.alerts),
            {letter.partition: letter.offset for letter in self.letters},
        )

    def clear(self) -> None:
        """Forget what is committed."""
        self.alerts.clear()
        self.letters.clear()


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
    fingerprint: Mapping[str, str],
    check_owner: Callable[[], None],
    *,
    snapshot: bool,
    reached: Callable[[str], None] = lambda _: None,
) -> int:
    """Make durable what came out of the pipeline, at least once; return the snapshot's bytes.

    0. `check_owner` looks for another process's claim: who was replaced writes nothing.
    1. Guard the order: what idle and new partitions bring later must not sort in before
       events that have led to an alert. That makes floors.
    2. Journal the floors and wait until they are acknowledged: without them a replay could
       merge the partitions in another order and find other alerts.
    3. Write alerts to every sink, and dead letters, and wait until they are acknowledged.
       Whoever dies before the next snapshot writes them again, with the same ids.
    4. Where a `snapshot` is due: write its chunks into the slot that does not hold the last
       one, and wait until they are acknowledged.
    5. Write the manifest, and wait until it is acknowledged: from here on this is the state.

    A failure at any step ends the session: nothing is written again by it, and the next one
    starts from the last manifest. `reached` is told of every step, for fault tests.
    """
    check_owner()
    if outgoing.alerts:
        pipeline.ordering.guard()
    floors = pipeline.ordering.floors()
    reached("guarded")
    if floors:
        places.store.journal(floors)
        places.store.flush()
    reached("journaled")
    _write(outgoing, places, reached)
    _flush(places)
    reached("alerts durable")
    outgoing.clear()
    if not snapshot:
        return 0
    return _save(pipeline, places.store, fingerprint, reached)


def commit_exactly_once(
    pipeline: Pipeline,
    outgoing: Outgoing,
    places: Places,
    fingerprint: Mapping[str, str],
    transaction: Transaction,
    group: str,
    *,
    snapshot: bool,
    reached: Callable[[str], None] = lambda _: None,
) -> int:
    """Make durable what came out of the pipeline, exactly once; return the snapshot's bytes.

    1. Guard the order: what idle and new partitions bring later must not sort in before
       events that have led to an alert. That makes floors.
    2. Begin a transaction.
    3. Write alerts and dead letters; to the journal the floors, and which alerts, and up
       to where letters, are published by this.
    4. Where a `snapshot` is due, write its chunks and its manifest.
    5. Wait until every single record is acknowledged: the client would commit without one
       that it gave up. Sinks outside of Kafka have theirs from here on, and may get them
       again from whoever dies before the next step is done.
    6. Send how far the input is read as the group's offsets, for all tools that show lag
       (recovery has its own in the snapshot), and commit: from here on all of it is visible.
       Until then none is, to those who read what is committed.

    A failure at any step, or an outcome that is not known, ends the session; nothing is
    written again by its producer. The next one takes the transactional id over, which ends
    the transaction one way or the other, starts from the last snapshot that was committed,
    reads the input again from there, and leaves out what the journal says is published.
    `reached` is told of every step, for fault tests.
    """
    if outgoing.alerts:
        pipeline.ordering.guard()
    floors = pipeline.ordering.floors()
    reached("guarded")
    transaction.begin()
    reached("begun")
    _write(outgoing, places, reached)
    places.store.journal(floors, outgoing.marks())
    reached("journaled")
    size = _save(pipeline, places.store, fingerprint, reached) if snapshot else 0
    places.store.flush()
    _flush(places)
    reached("acknowledged")
    transaction.commit(group, pipeline.ordering.read_to())
    reached("committed")
    outgoing.clear()
    return size


def _write(outgoing: Outgoing, places: Places, reached: Callable[[str], None]) -> None:
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
    store: Store,
    fingerprint: Mapping[str, str],
    reached: Callable[[str], None],
) -> int:
    data = encode({"settings": fingerprint, "pipeline": pipeline.snapshot()})
    store.save(data, reached)
    return len(data)
