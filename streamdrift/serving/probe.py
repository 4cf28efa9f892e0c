"""Whether brokers keep to transactions: found out by one that is left open, and another."""

from contextlib import closing, suppress
from uuid import uuid4

from kafka.protocol.api_key import ApiKey

from streamdrift.errors import FencedError
from streamdrift.kafka.clients import KafkaSettings, connection_errors, make_admin
from streamdrift.kafka.outbox import TransactionalOutbox
from streamdrift.state.kafka import KafkaLog

_PROBES = 3
_NEEDED = frozenset(
    (
        ApiKey.InitProducerId,
        ApiKey.AddPartitionsToTxn,
        ApiKey.AddOffsetsToTxn,
        ApiKey.EndTxn,
        ApiKey.TxnOffsetCommit,
    )
)


def transactions_work(
    connection: KafkaSettings, log: KafkaLog, topic: str, name: str, transactional_id: str
) -> bool:
    """Find out whether the brokers hide what a process that died has left in a transaction.

    Some that speak Kafka's protocol have no transactions, others let them be committed, and
    show what was never committed all the same. The records that tell, NAME/probe/... in the
    journal `topic`, are ignored by all who read that; each process has its own, as another may
    ask at the same time. Raises ConnectionsError where brokers that offer transactions cannot
    begin or end one now: that tells nothing of whether they keep to them.
    """
    if not _are_offered(connection):
        return False
    key = f"{name}/probe/{uuid4().hex[:8]}"
    for _ in range(_PROBES - 1):
        # Ended by the broker, where this process stood still amid it.
        with suppress(FencedError):
            return _probe(connection, log, topic, key, name, transactional_id)
    return _probe(connection, log, topic, key, name, transactional_id)


def _are_offered(connection: KafkaSettings) -> bool:
    with (
        closing(make_admin(connection)) as admin,
        connection_errors(connection, "ask what the brokers offer"),
    ):
        return bool(admin.api_versions().keys() >= _NEEDED)


def _probe(
    connection: KafkaSettings,
    log: KafkaLog,
    topic: str,
    key: str,
    group: str,
    transactional_id: str,
) -> bool:
    start = log.end(topic)
    with closing(TransactionalOutbox(connection, transactional_id)) as left:
        left.begin()
        left.send(topic, b"", key=key.encode(), partition=0)
        left.flush()
    with closing(TransactionalOutbox(connection, transactional_id)) as next_one:
        next_one.begin()
        next_one.send(topic, None, key=key.encode(), partition=0)
        next_one.flush()
        next_one.commit(group, {})
    # Others write to the topic, and one may have died amid a transaction.
    log.settle(topic)
    seen = [entry.value for entry in log.read(topic, start) if entry.key == key]
    return seen == [None]
