"""Messages from Kafka topics, all of whose partitions the source assigns to itself."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from streamdrift.durations import SECOND
from streamdrift.kafka.clients import KafkaSettings, connection_errors
from streamdrift.records import Messages, Notice, Partition
from streamdrift.sources import SourceSettings, notice, start_time
from streamdrift.sources.discovery import NO_ID, Discovery
from streamdrift.sources.reading import Reader, move_into_range
from streamdrift.sources.vanished import Vanished

_NO_POSITIONS: Mapping[Partition, int] = MappingProxyType({})
_NO_IDENTITIES: Mapping[str, int] = MappingProxyType({})


def starts(
    reader: Reader, start: str, partitions: Collection[Partition]
) -> Mapping[Partition, int]:
    """Return where partitions without a position begin, as the setting `start` says."""
    if start == "earliest":
        return reader.earliest(partitions)
    if start == "latest":
        return reader.latest(partitions)
    return reader.offsets_at(start_time(start), partitions)


class KafkaSource:
    """Reads topics from stored positions, or from `settings.start` where there are none.

    `identities` tell which topics these are of. A partition without a position of a topic that
    has some, any partition or topic that appears while running, and one that is another than
    its name meant before, is read from its beginning. No pattern matches a topic of `own`,
    those the deployment writes to. `fast` is as `Reader` has it.

    Raises ConnectionsError where no broker answers, or a right is missing.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        settings: SourceSettings,
        positions: Mapping[Partition, int] = _NO_POSITIONS,
        identities: Mapping[str, int] = _NO_IDENTITIES,
        *,
        own: Collection[str] = (),
        fast: bool = True,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._stored = positions
        self._stored_identities = identities
        interval = settings.discovery_interval / SECOND
        self._discovery = Discovery(connection, settings.predictions, interval, own)
        self._vanished = Vanished(self._discovery)
        self._begun: dict[Partition, int] = {}
        """Where reading began, also of partitions that are gone."""
        try:
            self._reader = Reader(
                connection,
                self._lost,
                is_same=self._vanished.is_same,
                reachable=lambda: self._discovery.reachable,
                fast=fast,
                fetch_max_bytes=settings.fetch_max_bytes,
                max_partition_fetch_bytes=settings.partition_fetch_max_bytes,
            )
        except BaseException:
            self._discovery.close()
            raise
        try:
            self._begin(positions)
        except BaseException:
            self.close()
            raise

    # Where to start, and what appears later.

    def _begin(self, positions: Mapping[Partition, int]) -> None:
        self._taken_up = self._looked_at = self._discovery.last
        found = self._taken_up.partitions
        stored_topics = {partition.topic for partition in positions}
        stored = {key: positions[key] for key in found & positions.keys() if self._is_stored(key)}
        beside = set(found) - stored.keys()
        grown = {partition for partition in beside if partition.topic in stored_topics}
        with connection_errors(self._connection, "find the start of the topics"):
            begin = self._reader.earliest(grown)
            begin |= starts(self._reader, self._settings.start, beside - grown)
        for name in sorted({each.topic for each in found & positions.keys() - stored.keys()}):
            self._reader.tell(notice("topic made anew", topic=name))
        for topic in self._settings.predictions:
            if topic.name is not None and all(key.topic != topic.name for key in found):
                self._reader.tell(notice("topic missing", topic=topic.name))
        self._assign(stored | begin)

    def offsets_at(
        self, moment: int, partitions: Collection[Partition] | None = None
    ) -> Mapping[Partition, int]:
        """Return each partition's first offset of a record at `moment` (us) or later.

        That is the log's end where there is none.
        """
        return self._reader.offsets_at(
            moment, self._reader.positions if partitions is None else partitions
        )

    def _assign(self, begin: Mapping[Partition, int]) -> None:
        if not begin:
            return
        self._begun |= begin
        identities = self._taken_up.identities
        self._vanished.read({partition: identities[partition.topic] for partition in begin})
        wanted = sorted({*self._reader.positions, *begin})
        self._reader.consumer.assign([TopicPartition(*partition) for partition in wanted])
        self._reader.seek(begin)

    def _take_up_new(self) -> None:
        """Begin with partitions that appeared since, and mark the topics that vanished."""
        last = self._discovery.last
        if last is not self._looked_at:
            self._looked_at = last
            for told in self._vanished.look(last):
                self._reader.tell(told)
        if last is self._taken_up:
            return
        known = last.partitions
        gone = self._vanished.topics
        returned = {partition for partition in known if partition.topic in gone}
        new = (known - self._reader.positions.keys()) | returned
        try:
            begin = self._reader.earliest(new) if new else {}
        except KafkaError:
            return  # The broker does not know them yet, or is away: the next poll asks again.
        self._taken_up = last
        begin |= {key: self._stored[key] for key in new - returned if self._is_stored(key)}
        anew = {partition.topic for partition in returned}
        self._reader.drop({key for key in self._reader.positions if key.topic in anew} - known)
        self._assign(begin)
        for partition in sorted(new):
            self._reader.tell(
                notice(
                    "partition found",
                    topic=partition.topic,
                    partition=partition.number,
                    offset=begin[partition],
                )
            )

    def _is_stored(self, partition: Partition) -> bool:
        """Tell whether there is a position of a partition, and of the topic that is there now."""
        topic = partition.topic
        now = self._taken_up.identities.get(topic)
        return partition in self._stored and self._stored_identities.get(topic, now) == now

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        move_into_range(self._reader, partition, offset, truncated_to, self._vanished.perhaps_anew)

    # The protocol of sources.

    @property
    def connected(self) -> bool:
        """Whether the last poll could read."""
        return self._reader.connected

    def poll(self, timeout: float) -> Sequence[Messages]:
        """Return what has arrived, at most one `Messages` per fetched response partition."""
        self._take_up_new()
        if self._reader.positions:
            return self._reader.poll(timeout)
        self._reader.rest(min(timeout, self._settings.discovery_interval / SECOND))
        return ()

    def partitions(self) -> Sequence[Partition]:
        """Return all partitions that are read now, sorted: those of deleted topics are not."""
        gone = self._vanished.topics
        return sorted(key for key in self._reader.positions if key.topic not in gone)

    def begun(self) -> Mapping[Partition, int]:
        return {partition: self._begun[partition] for partition in self.partitions()}

    def identities(self) -> Mapping[str, int]:
        known = self._vanished.identities.items()
        return {topic: identity for topic, identity in known if identity != NO_ID}

    def at_end(self) -> frozenset[Partition]:
        return self._reader.at_end

    def pause(self, partitions: Collection[Partition]) -> None:
        self._reader.pause(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self._reader.resume(partitions)

    def lag(self) -> Mapping[Partition, int]:
        return self._reader.lag()

    def blocked(self) -> frozenset[Partition]:
        return self._reader.blocked()

    def notices(self) -> tuple[Notice, ...]:
        return self._reader.notices()

    def close(self) -> None:
        """Close the connections."""
        self._discovery.close()
        self._reader.close()
