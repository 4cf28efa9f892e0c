"""The log of the state on Kafka topics."""

import time
from collections.abc import Iterator
from contextlib import closing, suppress

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import (
    LOOK_UP_MS,
    KafkaSettings,
    beginning_offsets,
    connection_errors,
    end_offsets,
    make_admin,
    make_consumer,
)
from streamdrift.kafka.outbox import Outbox
from streamdrift.state.log import Entry

_POLL_MS = 1_000
_FETCH_WAIT_MS = 100
"""How long a broker waits for news before it says that there is none."""
_SETTLE_SECONDS = 30.0
_PAUSE = 0.1
_PATIENCE = 30
"""Polls in a row without a record after which a read is given up."""


class KafkaLog:
    """Partitions of topics: read as it is committed, written through an outbox."""

    def __init__(self, connection: KafkaSettings) -> None:
        self._connection = connection
        self._outbox: Outbox | None = None
        self._beyond: KafkaConsumer | None = None
        """Sees what open transactions hide."""
        self._consumer: KafkaConsumer = make_consumer(connection, fetch_max_wait_ms=_FETCH_WAIT_MS)

    def write_to(self, outbox: Outbox) -> None:
        """Append through `outbox`, which others may share, from now on."""
        self._outbox = outbox

    def append(self, topic: str, key: str, value: bytes | None, *, partition: int = 0) -> None:
        assert self._outbox is not None, "write_to was called"
        self._outbox.send(topic, value, key=key.encode(), partition=partition)

    def flush(self) -> None:
        assert self._outbox is not None, "write_to was called"
        self._outbox.flush()

    def read(self, topic: str, start: int, *, partition: int = 0) -> Iterator[Entry]:
        key = TopicPartition(topic, partition)
        with connection_errors(self._connection, f"read the topic {topic}"):
            end = self.end(topic, partition=partition)
            first = beginning_offsets(self._consumer, [key])
            position = max(start, first[key])
            if position >= end:
                return
            self._consumer.assign([key])
            self._consumer.seek(key, position)
        waited = 0
        while position < end:
            with connection_errors(self._connection, f"read the topic {topic}"):
                records = self._consumer.poll(timeout_ms=_POLL_MS).get(key, [])
                # Compaction and markers leave gaps, so the end may come without a record.
                position = self._consumer.position(key, timeout_ms=LOOK_UP_MS)
            waited = 0 if records else waited + 1
            if waited > _PATIENCE:
                raise ConnectionsError(
                    f"cannot read the topic {topic} to its end ({position} of {end})",
                    "is its partition's leader up?",
                )
            for record in records:
                name = (record.key or b"").decode(errors="replace")
                # Records of a topic without times have a negative one.
                time = record.timestamp * 1_000 if record.timestamp >= 0 else None
                yield Entry(record.offset, name, record.value, time)

    def end(self, topic: str, *, partition: int = 0) -> int:
        key = TopicPartition(topic, partition)
        with connection_errors(self._connection, f"read the topic {topic}"):
            return end_offsets(self._consumer, [key])[key]

    def partitions(self, topic: str) -> int:
        with connection_errors(self._connection, f"look at the topic {topic}"):
            return len(self._consumer.partitions_for_topic(topic) or ())

    def last(self, topic: str, *, partition: int = 0) -> int:
        """Return the offset behind the last record, be it committed or not."""
        key = TopicPartition(topic, partition)
        with connection_errors(self._connection, f"read the topic {topic}"):
            if self._beyond is None:
                self._beyond = make_consumer(self._connection, isolation_level="read_uncommitted")
            return end_offsets(self._beyond, [key])[key]

    def settle(self, topic: str, *, partition: int = 0, patience: float = _SETTLE_SECONDS) -> None:
        """Return when no transaction hides anything any more that is in the topic by now.

        Of a process that was killed, the broker ends it after TRANSACTION_SECONDS. Raises
        ConnectionsError where one stays open for `patience` seconds.
        """
        last = self.last(topic, partition=partition)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.end(topic, partition=partition) >= last:
                return
            time.sleep(_PAUSE)
        holders = self._holders(TopicPartition(topic, partition))
        raise ConnectionsError(
            f"a transaction stays open in {topic} [{partition}]: what is behind it cannot be read"
            + (f" (it is of {', '.join(holders)})" if holders else ""),
            "end the producer that holds it; one that nobody holds any more is ended with Kafka's "
            f"own kafka-transactions.sh abort --topic {topic} --partition {partition} "
            "--start-offset OFFSET",
        )

    def _holders(self, place: TopicPartition) -> list[str]:
        """Return whose transactions are open, and from which offsets on, where brokers say."""
        with suppress(KafkaError, OSError, ConnectionsError):
            with closing(make_admin(self._connection)) as admin:
                found = admin.describe_producers([place])[place].active_producers
            return [
                f"producer {each.producer_id}, epoch {each.producer_epoch}, from offset "
                f"{each.current_transaction_start_offset}"
                for each in found
                if each.current_transaction_start_offset >= 0
            ]
        return []

    def close(self) -> None:
        """Close the reader; the outbox belongs to who made it."""
        for consumer in (self._consumer, self._beyond):
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=1_000)
