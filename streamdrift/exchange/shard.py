"""The detect side: one shard, from frames to alerts."""

from collections.abc import Callable, Mapping, Sequence

from streamdrift.changes import Heard
from streamdrift.exchange.frames import Events, Frame, Progress
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.heads import Home
from streamdrift.monitoring.monitor import Monitor
from streamdrift.operators import Command, Taken
from streamdrift.ordering.junction import Bound, Junction
from streamdrift.ordering.lane import START
from streamdrift.records import Notice, Observation, State
from streamdrift.trees import integer, text, tree, trees


def identities_read(state: State) -> Mapping[str, int]:
    """Return the identities of topics of which a shard has seen anything, from its snapshot."""
    read = {text(path, "topic") for path in trees(state, "paths") if path["offset"] is not None}
    identities = {text(told, "topic"): integer(told, "identity") for told in trees(state, "topics")}
    return {topic: identities[topic] for topic in read}


class Shard:
    """The models, and groups of models, that one partition of the exchange is about.

    `place` is an offset in that partition: what a shard is, is a function of the frames up to
    there.
    """

    def __init__(
        self, home: Home, settings_of: Callable[[str], ModelSettings], max_versions: int
    ) -> None:
        self._junction = Junction()
        self.monitor = Monitor(settings_of, home=home, max_versions=max_versions)
        self._told = self.watermark
        self._foreseen: list[Taken] = []
        """Commands that took effect in another life, not reached again yet."""

    def take(self, frame: Frame, place: int) -> None:
        """Take the next frame, which stands at `place`."""
        if isinstance(frame, Events):
            self._junction.push(frame.partition, frame.batches, place)
        elif isinstance(frame, Progress):
            bounds = [Bound(*each[:4]) for each in frame.reaches]
            self._junction.hear(bounds, frame.known, place)
        else:
            self._junction.passed(place + 1)
            self.monitor.hear(frame)

    def passed(self, place: int) -> None:
        """Learn that everything before `place` is taken."""
        self._junction.passed(place)

    def observe(self) -> Observation:
        """Observe what is in order by now."""
        return self.monitor.observe(self._junction.release())

    def command(self, place: int, command: Command, offset: int) -> tuple[Taken, Observation]:
        """Do what an operator asks, behind the frames before `offset`, all of them observed.

        Return where that is, and what is told of it.
        """
        told = self.monitor.command(place, command, self.watermark)
        return Taken(place, (offset, "", 0, 0), command), told

    def foresee(self, commands: Sequence[Taken]) -> None:
        """Do again what operators asked in another life, each where it was done then."""
        known = self.monitor.commands.last
        self._foreseen = sorted(each for each in commands if each.place > known)

    def due(self, offset: int) -> Taken | None:
        """Return the next command of another life, if it was done before the frame at `offset`."""
        if self._foreseen and self._foreseen[0].where[0] <= offset:
            return self._foreseen.pop(0)
        return None

    @property
    def foresees(self) -> bool:
        """Whether a command of another life is not reached again yet."""
        return bool(self._foreseen)

    @property
    def commanded(self) -> int:
        """The place of the last command that is known."""
        return max([self.monitor.commands.last, *(taken.place for taken in self._foreseen)])

    def tell(self) -> Mapping[int, Heard]:
        """Return what other shards are to hear, by the shard; nothing where there is no news."""
        if self._told == self.watermark:
            return {}
        self._told = self.watermark
        return self.monitor.tell(self.watermark)

    @property
    def watermark(self) -> int:
        """Event time up to which everything is observed."""
        return self._junction.frontier.watermark

    @property
    def position(self) -> int:
        """Where in the exchange reading goes on from a snapshot of now."""
        return self._junction.position

    @property
    def lifted(self) -> int:
        """How many events came below what was promised, and were lifted to it."""
        return self._junction.lifted

    @property
    def held(self) -> int:
        """How many events wait for their turn in the order."""
        return self._junction.held

    def snapshot(self) -> State:
        """Return everything that decides what comes next."""
        return {**self._junction.snapshot(), "monitor": self.monitor.snapshot()}

    def restore(self, state: State) -> list[Notice]:
        """Take over what `snapshot` returned; tell what other settings than then change."""
        self._junction.restore(state)
        # Told again if need be: heads leave out what they know.
        self._told = START.watermark
        return self.monitor.restore(tree(state, "monitor"))
