"""Shards that are a worker's, and what it has made of them since its last commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamdrift.exchange.frames import encode as encode_frame
from streamdrift.exchange.shard import Shard
from streamdrift.kafka.transaction import Reached
from streamdrift.records import Alert, Partition
from streamdrift.serving.commit import Outgoing
from streamdrift.sinks import Sink
from streamdrift.state import TopicStore
from streamdrift.workers.places import Place, note_of
from streamdrift.workers.post import Post


@dataclass(slots=True)
class Owned:
    """A shard that is this worker's, and what came out of it since the last commit."""

    shard: Shard
    store: TopicStore
    outgoing: Outgoing
    next: int
    """The offset in the exchange behind the last frame taken."""
    saved: int
    """The position that its last snapshot has."""
    stored: bool
    """Whether it has a snapshot."""
    changed: bool = False


class DetectWork:
    """What the detect role has made since its last commit."""

    def __init__(
        self,
        owned: Mapping[int, Owned],
        post: Post,
        sinks: Sequence[Sink],
        take: Callable[[], Mapping[int, bytes]],
        place: Place,
    ) -> None:
        self._owned = owned
        self._post = post
        self._sinks = sinks
        self._take = take
        self._place = place
        self.snapshots: Mapping[int, bytes] = {}
        self.positions = {number: each.shard.position for number, each in owned.items()}

    @property
    def alerts(self) -> list[Alert]:
        return [alert for each in self._owned.values() for alert in each.outgoing.alerts]

    def write(self, reached: Reached) -> None:
        for sink in self._sinks:
            sink.write(self.alerts)
            reached("alerts written")
        for each in self._owned.values():
            for head, heard in each.shard.tell().items():
                self._post.send(head, encode_frame(heard))
        reached("steps written")

    def remember(self, reached: Reached) -> None:
        for each in self._owned.values():
            if each.outgoing:
                commands = each.outgoing.commands
                each.store.journal((), each.outgoing.marks(each.next), commands)
        reached("journaled")
        self.snapshots = self._take()
        for number, snapshot in self.snapshots.items():
            owned = self._owned[number]
            replaying = owned.outgoing.replaying(
                owned.next, _all_read, foresees=owned.shard.foresees
            )
            owned.store.save({number: snapshot}, reached, replaying=replaying)

    def flush(self) -> None:
        self._post.outbox.flush()
        for sink in self._sinks:
            sink.flush()

    def read_to(self) -> tuple[Mapping[Partition, int], Mapping[Partition, str]]:
        # A shard without a snapshot has no offset: where it has one, it must have the other.
        exchange = self._post.exchange
        stored = {
            Partition(exchange, number): each.next
            for number, each in self._owned.items()
            if each.stored or number in self.snapshots
        }
        return stored, dict.fromkeys(stored, note_of(self._place))

    def done(self) -> None:
        for number, each in self._owned.items():
            each.outgoing.clear()
            if number in self.snapshots:
                each.saved, each.stored = self.positions[number], True


def _all_read(*_: object) -> bool:
    """Tell that messages are read: ingest writes their dead letters."""
    return True
