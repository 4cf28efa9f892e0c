"""Topics that are deleted, or made anew under their names, while they are read."""

from collections.abc import Mapping

from streamdrift.records import Notice, Partition
from streamdrift.sources import notice
from streamdrift.sources.discovery import Discovery, LookUp


class Vanished:
    """Compares what `discovery` finds with what is to be read."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self.topics: frozenset[str] = frozenset()
        """Those read that are deleted, or made anew and not read since."""
        self._missing: frozenset[str] = frozenset()
        self.identities: dict[str, int] = {}
        """By topic that is read: which one it is."""
        self._doubts: dict[Partition, LookUp] = {}

    def read(self, partitions: Mapping[Partition, int]) -> None:
        """Take note that partitions are read from now on, of the topics of these identities."""
        for partition, identity in partitions.items():
            self.identities[partition.topic] = identity
            self._doubts.pop(partition, None)
            self.topics -= {partition.topic}

    def look(self, last: LookUp) -> list[Notice]:
        """Compare with a look-up, once with each; return what an operator should know."""
        identities = last.identities
        found = identities.keys()
        missing = self.identities.keys() - found - self.topics
        # A broker that has just started may not know all topics yet: two look-ups must agree.
        vanished, self._missing = missing & self._missing, frozenset(missing)
        anew = {
            topic
            for topic in found & self.identities.keys() - self.topics
            if identities[topic] != self.identities[topic]
        }
        self.topics |= vanished | anew
        return [
            *(notice("topic missing", topic=topic) for topic in sorted(vanished)),
            *(notice("topic made anew", topic=topic) for topic in sorted(anew)),
        ]

    def is_same(self, partition: Partition, since: float) -> bool:
        """Tell whether a look-up after a moment found the topic that is read; else one begins."""
        topic = partition.topic
        if topic in self.topics:
            return False
        last = self._discovery.last
        if last.began >= since and last.identities.get(topic) == self.identities[topic]:
            return True
        self._discovery.look_now()
        return False

    def perhaps_anew(self, partition: Partition) -> bool:
        """Tell whether a partition's topic may have been made anew; then a look-up begins."""
        last = self._discovery.last
        if partition.topic in self.topics or self._doubts.setdefault(partition, last) is last:
            self._discovery.look_now()
            return True
        del self._doubts[partition]
        return False
