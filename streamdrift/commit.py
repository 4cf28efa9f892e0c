"""The commit: in which order alerts, journal and state become durable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, DeadLetter, Floor
from streamdrift.sinks import Sink
from streamdrift.state import encode


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

    def journal(self, floors: Sequence[Floor]) -> None:
        """Make floors durable."""
        ...

    def save(self, snapshot: bytes, reached: Callable[[str], None] = ...) -> None:
        """Make a snapshot durable; raise FencedError where another process took over."""
        ...


@dataclass(slots=True)
class Outgoing:
    """What has come out of the pipeline since the last commit."""

    alerts: list[Alert] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.alerts or self.letters)


def commit(
    pipeline: Pipeline,
    outgoing: Outgoing,
    store: Store,
    sinks: Sequence[Sink],
    letters: Letters,
    fingerprint: Mapping[str, str],
    *,
    snapshot: bool,
    reached: Callable[[str], None] = lambda _: None,
) -> int:
    """Make durable what came out of the pipeline, at least once; return the snapshot's bytes.

    1. Guard the order: what idle and new partitions bring later must not sort in before
       events that have led to an alert. That makes floors.
    2. Journal the floors and wait until they are acknowledged: without them a replay could
       merge the partitions in another order and find other alerts.
    3. Write alerts to every sink, and dead letters, and wait until they are acknowledged.
       Whoever dies before the next snapshot writes them again, with the same ids.
    4. Where a `snapshot` is due: write its chunks into the slot that does not hold the last
       one, and wait until they are acknowledged. Before, look for another process's epoch.
    5. Write the manifest, and wait until it is acknowledged: from here on this is the state.

    A failure at any step ends the session: nothing is written again by it, and the next one
    starts from the last manifest. `reached` is told of every step, for fault tests.
    """
    if outgoing.alerts:
        pipeline.ordering.guard()
    floors = pipeline.ordering.floors()
    reached("guarded")
    store.journal(floors)
    reached("journaled")
    for sink in sinks:
        sink.write(outgoing.alerts)
        reached("alerts written")
    letters.write(outgoing.letters)
    reached("letters written")
    for sink in sinks:
        sink.flush()
    letters.flush()
    reached("alerts durable")
    outgoing.alerts.clear()
    outgoing.letters.clear()
    if not snapshot:
        return 0
    data = encode({"settings": fingerprint, "pipeline": pipeline.snapshot()})
    store.save(data, reached)
    return len(data)
