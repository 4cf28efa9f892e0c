"""Whether brokers keep to transactions is found out, and not guessed where they cannot tell."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka.admin import KafkaAdminClient
from kafka.protocol.api_key import ApiKey

from streamdrift.demo.broker import embedded_broker
from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import TransactionalOutbox
from streamdrift.kafka.topics import TopicNeed, ensure_topics
from streamdrift.serving.probe import transactions_work
from streamdrift.state.kafka import KafkaLog
from tests.topic_maker import TopicMaker


@pytest.fixture
def log(kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker) -> Iterator[KafkaLog]:
    make_topic(kafka_connection, name)
    with closing(KafkaLog(kafka_connection)) as log:
        yield log


def test_apache_kafka_keeps_to_them(
    kafka_connection: KafkaSettings, name: str, log: KafkaLog
) -> None:
    assert transactions_work(kafka_connection, log, name, name, name)


def test_one_that_shows_what_was_never_committed_does_not(name: str) -> None:
    with embedded_broker() as servers:
        connection = KafkaSettings(bootstrap_servers=servers)
        ensure_topics(connection, [TopicNeed(name, "journal", (), 1)], create=True)
        with closing(KafkaLog(connection)) as log:
            assert not transactions_work(connection, log, name, name, name)


def test_one_that_does_not_offer_them_is_not_asked(
    kafka_connection: KafkaSettings, name: str, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = KafkaAdminClient.api_versions

    def without(admin: KafkaAdminClient) -> dict[ApiKey, object]:
        return {key: each for key, each in offered(admin).items() if key != ApiKey.EndTxn}

    monkeypatch.setattr(KafkaAdminClient, "api_versions", without)
    assert not transactions_work(kafka_connection, log, name, name, name)
    assert log.last(name) == 0


def test_one_that_cannot_tell_now_is_an_error(
    kafka_connection: KafkaSettings, name: str, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its coordinator is away: else alerts would be published at least once, for good."""

    def away(*_: object) -> None:
        raise ConnectionsError("cannot commit")

    monkeypatch.setattr(TransactionalOutbox, "commit", away)
    with pytest.raises(ConnectionsError, match="cannot commit"):
        transactions_work(kafka_connection, log, name, name, name)
