"""The partitions of the input that a worker reads: as the group gives them, from where it was."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import structlog

from streamdrift.exchange.ingest import Ingest
from streamdrift.exchange.roll import AGREE_SECONDS, Found, Roll
from streamdrift.kafka.clients import connection_errors
from streamdrift.ordering.timeline import Timeline
from streamdrift.records import Extent, Partition
from streamdrift.sources import by_topic, notice
from streamdrift.sources.discovery import Discovery, LookUp
from streamdrift.sources.kafka import starts
from streamdrift.sources.member import Committed, Member
from streamdrift.sources.reading import move_into_range
from streamdrift.sources.vanished import Vanished

_log = structlog.get_logger("streamdrift")


class Input:
    """The partitions this worker reads: as the group gives them, from where it has committed."""

    def __init__(
        self,
        member: Member,
        discovery: Discovery,
        ingest: Ingest,
        roll: Roll,
        start: str,
        terms: int,
        all_committed: Callable[[], Mapping[Partition, Committed]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._member = member
        self._discovery = discovery
        self._ingest = ingest
        self._roll = roll
        self._start = start
        self._terms = terms
        self._all_committed = all_committed
        self._clock = clock
        self._once: frozenset[str] | None = None
        """Topics that were there at the first look."""
        self._doubtful: Mapping[Partition, Committed] = {}
        """What was committed of topics that are not there, until another look confirms that."""
        self.left: dict[Partition, Timeline] = {}
        """Of topics that are read no more: to be committed."""
        member.lost = self._lost
        self._vanished = Vanished(discovery)
        member.is_same = self._vanished.is_same
        self._looked_at: LookUp | None = None
        self._found: Mapping[str, Found] = {}
        """The last look-up."""
        self._topics: frozenset[str] = frozenset()
        self._look_again_at = self._sure_at = clock()
        self._waiting: set[Partition] = set()
        """Newcomers."""
        self._announced: set[Partition] = set()
        """Those of them that were admitted, and whose first word comes before their events."""
        self._first = False
        """Whether nobody takes part yet, as the notes say that were read last."""

    def look(self) -> None:
        """Take note of topics and partitions that appeared or vanished."""
        last, now = self._discovery.last, self._clock()
        if last is not self._looked_at:
            self._looked_at = last
            self._compare(last)
        if (self._roll.in_doubt or self._doubtful) and now >= self._look_again_at:
            self._look_again_at = now + AGREE_SECONDS
            self._discovery.look_now()

    def take_back(self) -> None:
        """Let go what is read of topics that are others by now, as this worker or another found.

        What is not sent of it counts no more; what comes in its place is taken up.
        """
        others = [
            partition
            for partition, timeline in self._ingest.timelines.items()
            if not timeline.meant.is_same(self._roll.known[partition.topic])
        ]
        for partition in others:
            self._leave(partition)
        self._member.take_back(others)

    def _leave(self, partition: Partition) -> None:
        self._roll.leave(partition)
        self._ingest.drop(partition)
        self._waiting.discard(partition)
        self._announced.discard(partition)

    def _compare(self, last: LookUp) -> None:
        for told in self._vanished.look(last):
            self._member.reader.tell(told)
        counts = Counter(partition.topic for partition in last.partitions)
        topics = frozenset(counts)
        self._leave_topics(topics)
        self._found = {
            topic: Found(count, last.identities[topic]) for topic, count in counts.items()
        }
        self._roll.know(self._found, self._clock())
        if topics and topics != self._topics:
            self._topics = topics
            self._member.subscribe(topics)

    def _leave_topics(self, topics: frozenset[str]) -> None:
        """Let topics that were read before hold nobody back, where no setting names them now.

        Or where they were deleted while no worker ran. Two look-ups must agree: a broker that
        has just started may not know all topics yet.
        """
        if self._once is None:
            self._once = topics
            everything = self._all_committed()
            self._doubtful = {key: at for key, at in everything.items() if key.topic not in topics}
            self._look_again_at = self._sure_at = self._clock() + AGREE_SECONDS
            return
        if self._clock() < self._sure_at:
            return
        for partition, committed in self._doubtful.items():
            if partition.topic in topics:
                continue
            timeline = Timeline.read(partition, *committed, self._terms)
            if timeline.taking_part:
                timeline.leave()
                self.left[partition] = timeline
                self._roll.learn(partition.topic, timeline.meant)
        for topic in sorted({partition.topic for partition in self.left}):
            self._member.reader.tell(notice("topic missing", topic=topic))
        self._doubtful = {}

    def take_up(self, *, heard_all: bool) -> None:
        """Begin with the partitions that were added, those that may take part.

        `heard_all`: what other workers had said before this one came is heard.
        """
        added = self._member.added()
        for partition in self._waiting - added:
            self._leave(partition)
        new = frozenset(each for each in added - self._waiting if self._is_clear(each))
        if new:
            self._remember(new)
        admitted = self._roll.admit(first=self._first, heard_all=heard_all)
        for partition, key in admitted.items():
            timeline = self._ingest.timelines[partition]
            timeline.announced = True
            if key is not None:
                timeline.promise(key)
        self._announced |= admitted.keys()
        for partition in sorted(self._announced):
            begins = self._roll.begins(partition)
            if begins is not None:
                self._announced.discard(partition)
            if begins:
                self._waiting.discard(partition)
                timeline = self._ingest.timelines[partition]
                timeline.taking_part = True
                self._begin(timeline)
                told = notice("partition found", topic=partition.topic, partition=partition.number)
                self._member.reader.tell(told)

    def _is_clear(self, partition: Partition) -> bool:
        """Tell whether a partition is known, and of the topic that all mean by its name."""
        found, known = self._found.get(partition.topic), self._roll.known.get(partition.topic)
        return (
            found is not None
            and known is not None
            and found.identity == known.identity
            and partition.number < found.partitions
        )

    def _remember(self, partitions: frozenset[Partition]) -> None:
        """Go on where the group has committed; what has no place yet is a newcomer."""
        # Of these alone it must be sure: somebody in the group commits at any moment.
        committed = self._member.committed(partitions)
        if committed is None:
            return  # The next turn asks again.
        others = self._discovery.last.partitions - partitions
        everything = self._all_committed()
        told = {**{key: everything[key] for key in others & everything.keys()}, **committed}
        noted = {key: self._read(key, each) for key, each in told.items()}
        self._first = not any(map(self._takes_part, noted.values()))
        meant = {each: self._meant(each, noted.get(each)) for each in partitions}
        begin = self._beginnings(
            {
                key: meant[key].life > 0 or self._grew(key, noted)
                for key in partitions
                if key not in noted or noted[key].meant.identity != meant[key].identity
            }
        )
        for partition in sorted(partitions):
            timeline = noted.get(partition)
            if timeline is None:
                start = begin[partition]
                timeline = Timeline(partition, start, self._terms, meant[partition])
            else:
                timeline.take_up(meant[partition], begin.get(partition, timeline.offset))
            self._ingest.add(timeline)
            if timeline.taking_part:
                self._begin(timeline)
            else:
                self._waiting.add(partition)
                self._roll.wait(partition)
        _log.info(
            "reading",
            partitions=by_topic(self._ingest.timelines.keys() - self._waiting),
            new=by_topic(self._waiting),
        )

    def _takes_part(self, noted: Timeline) -> bool:
        known = self._roll.known.get(noted.partition.topic, noted.meant)
        return noted.taking_part and noted.meant.is_same(known)

    def _meant(self, partition: Partition, noted: Timeline | None) -> Extent:
        found = self._found[partition.topic]
        return self._roll.take_up(partition.topic, found, None if noted is None else noted.meant)

    def _grew(self, partition: Partition, noted: Collection[Partition]) -> bool:
        """Tell whether a partition, or its topic, appeared while workers ran."""
        topics = {each.topic for each in noted}
        return partition.topic in topics or partition.topic not in self._at_first

    def _beginnings(self, partitions: Mapping[Partition, bool]) -> Mapping[Partition, int]:
        """Return where partitions begin: those that appeared while workers ran at their first.

        The others as the settings say.
        """
        appeared = [each for each, new in partitions.items() if new]
        with connection_errors(self._member.connection, "find the start of the topics"):
            begin = self._member.reader.earliest(appeared) if appeared else {}
            others = partitions.keys() - begin.keys()
            return {**begin, **starts(self._member.reader, self._start, others)}

    @property
    def _at_first(self) -> frozenset[str]:
        return self._once or frozenset()

    def _read(self, partition: Partition, committed: Committed) -> Timeline:
        return Timeline.read(partition, *committed, self._terms)

    def _begin(self, timeline: Timeline) -> None:
        self._vanished.read({timeline.partition: timeline.meant.identity})
        self._member.start({timeline.partition: timeline.offset})

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        """Go on where a partition's log has what was not read yet."""
        move_into_range(
            self._member.reader, partition, offset, truncated_to, self._vanished.perhaps_anew
        )
