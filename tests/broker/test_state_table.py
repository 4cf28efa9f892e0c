"""A keyed table in the transactions of a real broker."""

from typing import cast

import numpy as np
import pytest

from streamdrift.errors import FencedError
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import TransactionalOutbox
from streamdrift.records import State
from streamdrift.state import TopicStore, decode, encode
from streamdrift.state.kafka import KafkaLog
from streamdrift.state.table import TableLog
from tests.hash_table import HashTable
from tests.pending import COLUMNS, content_of, make_keys, make_rows
from tests.topic_maker import TopicMaker

_KEYS = 100_000
_COMING = 5_000


def _change(table: HashTable, commit: int) -> None:
    first = commit * _COMING
    table.put(make_rows(np.arange(first, first + (_COMING if commit else _KEYS)), commit))
    table.delete(make_keys(np.arange(first - _COMING, first - _COMING // 2)))


class _Life:
    """A process of the deployment `name`: loaded at its start, written to in transactions."""

    def __init__(self, connection: KafkaSettings, name: str) -> None:
        self._name = name
        self._outbox = TransactionalOutbox(connection, name)
        self._log = KafkaLog(connection)
        self._log.write_to(self._outbox)
        self._store = TopicStore(self._log, name, name, f"{name}-journal", 1)
        self._table_log = TableLog(self._log, name, name, "pending", COLUMNS)
        self.table = HashTable(COLUMNS)
        saved = self._store.load().snapshots.get(0)
        state: State = {} if saved is None else decode(saved.snapshot)
        self.commits = cast(int, state.get("commits", 0))
        self._table_log.load(cast(State | None, state.get("pending")), self.table)

    def write(self) -> None:
        """Begin a transaction, and write the next changes and the snapshot that names them."""
        _change(self.table, self.commits)
        self.commits += 1
        self._outbox.begin()
        head = self._table_log.write(self.table)
        self._store.save({0: encode({"commits": self.commits, "pending": head})})

    def commit(self) -> None:
        self._outbox.commit(self._name, {})

    def close(self) -> None:
        self._log.close()
        self._outbox.close()


def test_a_table_is_that_of_the_last_transaction_for_whoever_takes_over(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    make_topic(kafka_connection, name, configs={"cleanup.policy": "compact"})
    make_topic(kafka_connection, f"{name}-journal")
    expected = HashTable(COLUMNS)
    for done in (0, 5, 10):
        life = _Life(kafka_connection, name)
        assert life.commits == done
        assert content_of(life.table) == content_of(expected)
        for commit in range(done, done + 5):
            life.write()
            life.commit()
            _change(expected, commit)
        if done:
            # Whoever takes over while a transaction is open sees nothing of it.
            life.write()
            before, life = life, _Life(kafka_connection, name)
            with pytest.raises(FencedError):
                before.commit()
            before.close()
            assert content_of(life.table) == content_of(expected)
        life.close()
