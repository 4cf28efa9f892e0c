"""The log of the state on Kafka topics."""

from collections.abc import Iterator

from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka import KafkaSettings, connection_errors, make_consumer
from streamdrift.outbox import Outbox
from streamdrift.state.log import Entry

_LOOK_UP_MS = 10_000
_POLL_MS = 1_000
_FETCH_WAIT_MS = 100
"""How long a broker waits for news before it says that there is none."""
_PATIENCE = 30
"""Polls in a row without a record after which a read is given up."""


class KafkaLog:
    """Partition 0 of topics: read as it is committed, written through an outbox."""

    def __init__(self, connection: KafkaSettings) -> None:
        self._connection = connection
        self._outbox: Outbox | None = None
        self._consumer: KafkaConsumer = make_consumer(connection, fetch_max_wait_ms=_FETCH_WAIT_MS)

    def write_to(self, outbox: Outbox) -> None:
        """Append through `outbox`, which others may share, from now on."""
        self._outbox = outbox

    def append(self, topic: str, key: str, value: bytes | None) -> None:
        assert self._outbox is not None, "write_to was called"
        self._outbox.send(topic, value, key=key.encode(), partition=0)

    def flush(self) -> None:
        assert self._outbox is not None, "write_to was called"
        self._outbox.flush()

    def read(self, topic: str, start: int) -> Iterator[Entry]:
        partition = TopicPartition(topic, 0)
        with connection_errors(self._connection, f"read the topic {topic}"):
            end = self.end(topic)
            first = self._consumer.beginning_offsets([partition], timeout_ms=_LOOK_UP_MS)
            position = max(start, first[partition])
            if position >= end:
                return
            self._consumer.assign([partition])
            self._consumer.seek(partition, position)
        waited = 0
        while position < end:
            with connection_errors(self._connection, f"read the topic {topic}"):
                records = self._consumer.poll(timeout_ms=_POLL_MS).get(partition, [])
                # Compaction and markers leave gaps, so the end may come without a record.
                position = self._consumer.position(partition, timeout_ms=_LOOK_UP_MS)
            waited = 0 if records else waited + 1
            if waited > _PATIENCE:
                raise ConnectionsError(
                    f"cannot read the topic {topic} to its end ({position} of {end})",
                    "is its partition's leader up?",
                )
            for record in records:
                key = (record.key or b"").decode(errors="replace")
                # Records of a topic without times have a negative one.
                time = record.timestamp * 1_000 if record.timestamp >= 0 else None
                yield Entry(record.offset, key, record.value, time)

    def end(self, topic: str) -> int:
        partition = TopicPartition(topic, 0)
        with connection_errors(self._connection, f"read the topic {topic}"):
            return int(self._consumer.end_offsets([partition], timeout_ms=_LOOK_UP_MS)[partition])

    def settle(self, topic: str) -> None:
        """Return when no transaction is open in the topic, which would hide later records.

        Of another deployment's that was killed, if the topic is shared: the broker ends it
        after TRANSACTION_SECONDS. Raises ConnectionsError where one stays open.
        """
        partition = TopicPartition(topic, 0)
        end = self.end(topic)
        with connection_errors(self._connection, f"read the topic {topic}"):
            self._consumer.assign([partition])
            self._consumer.seek(partition, end)
            for _ in range(_PATIENCE):
                self._consumer.poll(timeout_ms=_POLL_MS)
                highwater = self._consumer.highwater(partition)
                position = self._consumer.position(partition, timeout_ms=_LOOK_UP_MS)
                if highwater is not None and position >= highwater:
                    return
        raise ConnectionsError(
            f"a transaction stays open in the topic {topic}: what is behind it cannot be read",
            "end the producer that holds it, or wait for the broker to end it",
        )

    def close(self) -> None:
        """Close the reader; the outbox belongs to who made it."""
        self._consumer.close(autocommit=False, timeout_ms=1_000)
