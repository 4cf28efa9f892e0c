"""From messages to alerts: decoders, ordering and monitor in a row, the same for every driver."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from streamdrift.decoders import Decoder
from streamdrift.monitoring.sharded import Shards, frontier_of, merged
from streamdrift.operators import Command, Taken
from streamdrift.ordering import Ordering
from streamdrift.ordering.lane import Frontier, after, divided
from streamdrift.records import Decoded, Messages, Notice, Observation, Partition, Released, State
from streamdrift.trees import integer, tree

NO_TIME = -(2**63)
"""Before any time: nothing was observed yet."""


class Beside(Protocol):
    """Is shown the events that a pipeline's monitor is shown, and keeps what it makes of them."""

    def observe(self, released: Released, frontier: Frontier) -> object:
        """Take the next events, all those below `frontier`."""

    def drain(self, released: Released, frontier: Frontier) -> object:
        """Take the last events of all."""


class Onlooker(Protocol):
    """Looks at a pipeline's monitor, at places in the order of events that it chooses itself."""

    def places(self, released: Released) -> Iterator[int]:
        """Yield the event times, ascending, before whose events it is to look.

        After each of them `look` is called, before the next is asked for.
        """

    def look(self, monitor: Shards, time: int) -> None:
        """See what the monitor made of all events before `time`."""


class Pipeline:
    """What the service and a replay both drive.

    `decoder_of` gives the decoder of a topic. Nothing here asks the machine for the time:
    idle verdicts and ticks come from whoever drives it. Whoever is `beside` the monitor, or looks
    on, is in no snapshot.
    """

    def __init__(
        self,
        decoder_of: Callable[[str], Decoder],
        ordering: Ordering,
        monitor: Shards,
        beside: Sequence[Beside] = (),
        onlooker: Onlooker | None = None,
    ) -> None:
        self._decoder_of = decoder_of
        self._onlooker = onlooker
        self._beside = beside
        self._decoders: dict[str, Decoder] = {}
        self.ordering = ordering
        self.monitor = monitor
        self.watermark = NO_TIME
        """Event time up to which everything is observed."""
        self.events = 0
        """How many were observed since this began."""
        self.last_event_at = NO_TIME
        """Time of the last event observed."""
        self._silence: tuple[int, int] | None = None
        """How long partitions were said to be idle last, and the event time reached by when that
        began."""
        self._foreseen: list[Taken] = []
        """Commands that took effect in another life, not reached again yet."""

    def feed(self, messages: Messages) -> Decoded:
        """Take the next messages of a partition; return what they held (for counting)."""
        topic = messages.partition.topic
        decoder = self._decoders.get(topic)
        if decoder is None:
            decoder = self._decoders[topic] = self._decoder_of(topic)
        return self.feed_decoded(decoder.decode(messages))

    def feed_decoded(self, decoded: Decoded) -> Decoded:
        """Take events that a source decoded itself (columnar files)."""
        self.ordering.push(decoded)
        return decoded

    def idle(self, partition: Partition) -> None:
        """Let a partition that has no events stop holding the others back."""
        self.ordering.idle(partition)

    def tick_after(self, elapsed: int) -> None:
        """Say that all partitions are idle, and that nothing else has come for `elapsed`.

        So silence is noticed without an event. Its microseconds are measured from the last
        event's own time: a history that ends in the past makes no pause of years. Where they are
        counted anew, as after a restart, time goes on from where it had come to: without an event
        since, all partitions were idle up to there.
        """
        if self.last_event_at == NO_TIME:
            return
        if self._silence is None or elapsed < self._silence[0]:
            places = [self.ordering.frontier, *(Frontier(*each.where) for each in self._foreseen)]
            since = max(places).watermark
        else:
            since = self._silence[1]
        self._silence = elapsed, since
        self.ordering.tick(max(self.last_event_at, since) + elapsed)

    def release(self) -> Observation:
        """Observe what is in order by now."""
        released, frontier = self._note(self.ordering.release()), self.ordering.frontier
        for each in self._beside:
            each.observe(released, frontier)
        told = []
        while self._foreseen and Frontier(*self._foreseen[0].where) <= frontier:
            taken = self._foreseen.pop(0)
            below, released = divided(released, Frontier(*taken.where))
            told.append(self._looked_on(below, Frontier(*taken.where), self.monitor.observe))
            told.append(self._take(taken))
        told.append(self._looked_on(released, frontier, self.monitor.observe))
        return one_after_the_other(told)

    def command(self, place: int, command: Command) -> tuple[Taken, Observation]:
        """Do what an operator asks, of all commands the one at `place`; return where that is.

        And what is told of it. All that is in order by now must be observed, and nothing be
        foreseen.
        """
        taken = Taken(place, self.ordering.frontier, command)
        return taken, self._take(taken)

    def _take(self, taken: Taken) -> Observation:
        return self.monitor.command(taken.place, taken.command, Frontier(*taken.where))

    def foresee(self, commands: Sequence[Taken]) -> None:
        """Do again what operators asked in another life, each where it was done then."""
        self._foreseen = sorted(commands, key=lambda taken: taken.place)

    def know_commands(self, place: int) -> None:
        """Learn that all commands up to a place are of before this began, or were taken."""
        self.monitor.know_commands(place)

    @property
    def foresees(self) -> bool:
        """Whether a command of another life is not reached again yet."""
        return bool(self._foreseen)

    @property
    def commanded(self) -> int:
        """The place of the last command of all that nobody has to take any more."""
        return max([self.monitor.commanded, *(taken.place for taken in self._foreseen)])

    def drain(self) -> Observation:
        """Observe all that is left, at the end of all input."""
        released, frontier = self._note(self.ordering.drain()), self.ordering.frontier
        for each in self._beside:
            each.drain(released, frontier)
        return self._looked_on(released, frontier, self.monitor.drain)

    def _looked_on(
        self,
        released: Released,
        frontier: Frontier,
        observe: Callable[[Released, Frontier], Observation],
    ) -> Observation:
        """Let the monitor observe, in parts between which somebody looks, if anybody does."""
        if self._onlooker is None:
            return observe(released, frontier)
        told = []
        for time in self._onlooker.places(released):
            place = after(time - 1)
            before, released = divided(released, place)
            told.append(self.monitor.observe(before, place))
            self._onlooker.look(self.monitor, time)
        return merged([*told, observe(released, frontier)])

    def _note(self, released: Released) -> Released:
        self.watermark = released.watermark
        for batch in released.batches:
            self.events += len(batch)
            self.last_event_at = max(self.last_event_at, int(batch.time[-1]))
        return released

    def ahead(self) -> frozenset[int]:
        """Return the shards for which all that is released by now was observed before a restart.

        They are as their last snapshot has them.
        """
        return self.monitor.ahead(self.ordering.frontier)

    def snapshot(self, shard: int) -> State:
        """Return everything that decides what comes next of a shard, which must not be ahead.

        Each has the ordering too: that of the shard that is behind the others counts.
        """
        return {
            **self.monitor.snapshot(shard),
            "ordering": self.ordering.snapshot(),
            "last_event_at": self.last_event_at,
        }

    def restore(self, states: Mapping[int, State]) -> list[Notice]:
        """Take over the snapshots of all shards, before anything was fed.

        They may be of different times: what the one that is furthest behind has not observed
        is read again, and the others leave it out. Return what is to be told where the
        settings are others than those of the snapshots.
        """
        first = oldest(states)
        self.ordering.restore(tree(first, "ordering"))
        for state in states.values():
            self.ordering.keep(tree(state, "ordering"))
        self.last_event_at = integer(first, "last_event_at")
        return self.monitor.restore(states)


def one_after_the_other(observations: Sequence[Observation]) -> Observation:
    """Return what was told by steps, each from where the one before it had come to."""
    return Observation(
        tuple(alert for each in observations for alert in each.alerts),
        tuple(notice for each in observations for notice in each.notices),
    )


def oldest(states: Mapping[int, State]) -> State:
    """Return the snapshot of the shard that is furthest behind: reading goes on from there."""
    return min(states.values(), key=frontier_of)
