"""The monitor in shards: each watches some of the models, and is remembered by itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from streamdrift.columns import cut
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.monitor import MAX_VERSIONS, Monitor
from streamdrift.monitoring.shards import shard_of
from streamdrift.monitoring.standing import versions
from streamdrift.operators import Command
from streamdrift.ordering.lane import START, Frontier, released_below
from streamdrift.records import (
    Batch,
    Notice,
    Observation,
    Released,
    State,
)
from streamdrift.trees import tree

_FEWEST_VERSIONS = 100
"""Model versions that a shard watches at least, however many shards there are."""
_BY_DUE = attrgetter("due", "model", "version")
_BY_VERSION = attrgetter("model", "version")


def versions_limit(shards: int) -> int:
    """Return how many model versions one of so many shards watches at most.

    Its share of MAX_VERSIONS, and no less than a model may need. A limit of all shards
    together would not be decided by a shard's own events, which are all that a shard has
    that goes on from another place than the others.
    """
    return max(_FEWEST_VERSIONS, -(-MAX_VERSIONS // shards))


def frontier_of(state: State) -> Frontier:
    """Return up to where the shard has observed whose snapshot this is."""
    return Frontier.restore(tree(state, "frontier"))


class Shards:
    """Watches every model in one of `count` monitors; what they tell is that of a single one.

    A shard's frontier is the place in the order of all events up to which it has observed.
    They are all the same, but after a restart from snapshots that were taken at different
    times: then a shard that is ahead leaves out what comes again.
    """

    def __init__(
        self, settings_of: Callable[[str], ModelSettings], count: int, *, timed: bool = True
    ) -> None:
        self.count = count
        limit = versions_limit(count)
        self.monitors: Sequence[Monitor] = [
            Monitor(settings_of, timed=timed, max_versions=limit) for _ in range(count)
        ]
        self._frontiers = [START] * count
        self._released = START
        """The frontier of the last release."""

    def observe(self, released: Released, frontier: Frontier) -> Observation:
        """Take the next events, all those below `frontier`; return what is to be told of them."""
        told = [
            self.monitors[shard].observe(part)
            for shard, part in self._parts(released, frontier)
            # Without a step forward there is nothing to be seen.
            if frontier > self._frontiers[shard]
        ]
        self._advance(frontier)
        return merged(told)

    def drain(self, released: Released, frontier: Frontier) -> Observation:
        """Take the last events of all: nothing later can change what is being gathered."""
        told = [self.monitors[shard].drain(part) for shard, part in self._parts(released, frontier)]
        self._advance(frontier)
        return merged(told)

    def _parts(self, released: Released, frontier: Frontier) -> Iterator[tuple[int, Released]]:
        """Yield each shard's events, those left out that it has observed already."""
        batches: list[list[Batch]] = [[] for _ in range(self.count)]
        for batch in released.batches:
            shard = shard_of(batch.model, 0, self.count)
            passed = self._frontiers[shard]
            # Nothing that is released lies below what was released before.
            start = released_below(batch, passed) if passed > self._released else 0
            if start < len(batch):
                batches[shard].append(cut(batch, start, len(batch)))
        for shard in range(self.count):
            reached = max(frontier, self._frontiers[shard])
            yield shard, Released(tuple(batches[shard]), reached.watermark)

    def _advance(self, frontier: Frontier) -> None:
        self._released = max(self._released, frontier)
        self._frontiers = [max(each, frontier) for each in self._frontiers]

    def ahead(self, frontier: Frontier) -> frozenset[int]:
        """Return the shards that have observed more than what lies below `frontier`."""
        return frozenset(shard for shard, passed in enumerate(self._frontiers) if passed > frontier)

    def command(self, place: int, command: Command, frontier: Frontier) -> Observation:
        """Do what an operator asks at a place in the order of all events.

        A shard that is ahead of it did so already if its snapshot is of later.
        """
        shard = shard_of(command.model, 0, self.count)
        for other, monitor in enumerate(self.monitors):
            if other != shard:
                monitor.commands.pass_over(place)
        return self.monitors[shard].command(place, command, frontier.watermark)

    def know_commands(self, place: int) -> None:
        """Learn that nobody has to take the commands up to a place any more, or that never did."""
        for monitor in self.monitors:
            monitor.commands.pass_over(place)

    @property
    def commanded(self) -> int:
        """The place of the last command that no shard has to take any more."""
        return min(monitor.commands.last for monitor in self.monitors)

    def versions(self) -> Sequence[ModelVersion]:
        """Return every model version, each of its groups, by model, version and group."""
        return versions(self.monitors)

    def snapshot(self, shard: int) -> State:
        """Return everything that decides what comes next of one shard."""
        return {
            "shards": self.count,
            "frontier": self._frontiers[shard].snapshot(),
            "monitor": self.monitors[shard].snapshot(),
        }

    def restore(self, states: Mapping[int, State]) -> list[Notice]:
        """Take over what `snapshot` returned, of all shards; tell what other settings change.

        What is released next begins at the smallest of their frontiers.
        """
        notices: list[Notice] = []
        for shard, state in states.items():
            self._frontiers[shard] = frontier_of(state)
            notices += self.monitors[shard].restore(tree(state, "monitor"))
        self._released = min(self._frontiers)
        return sorted(notices, key=_BY_VERSION)


def merged(observations: Iterable[Observation]) -> Observation:
    """Return what several monitors tell as one would that watches all their models.

    A model is watched by one of them, and the sort is stable: its own order stays.
    """
    told = list(observations)
    alerts = sorted((alert for each in told for alert in each.alerts), key=_BY_DUE)
    notices = sorted((notice for each in told for notice in each.notices), key=_BY_VERSION)
    return Observation(tuple(alerts), tuple(notices))
