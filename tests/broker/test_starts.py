"""Where a deployment begins: as it is set to, then where it was, and nowhere if that is lost."""

import json
from contextlib import closing

import pytest
from kafka.errors import RetriableError

from streamdrift.commands.state import run_reset
from streamdrift.config import Settings
from streamdrift.errors import StateError
from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.kafka.outbox import Outbox
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.assembly import make_pipeline, service_settings
from streamdrift.serving.deployment import Deployment
from streamdrift.serving.service import Service
from tests.deployment import deployment, serving, wait_until
from tests.exactly_once import ends, read_to
from tests.topic_maker import TopicMaker

_SOME = 50


def _produce(connection: KafkaSettings, topic: str, partition: int, first: int) -> None:
    with closing(Outbox(connection)) as outbox:
        for i in range(first, first + _SOME):
            event = {"model": "m", "timestamp": 1_767_225_600 + i, "features": {"x": i % 7}}
            outbox.send(topic, json.dumps(event).encode(), partition=partition)
        outbox.flush()


def test_what_comes_while_nobody_reads_is_read_also_where_the_start_is_the_latest(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """And nothing else is: neither of a partition that was silent, nor of a topic that was."""
    topic, silent = (make_topic(kafka_connection, f"{name}-{n}", 2) for n in ("one", "two"))
    chosen = {"source": {"predictions": [topic, silent], "start": "latest"}}
    settings = deployment(kafka_connection, name, 500, chosen)
    for partition in (0, 1):
        _produce(kafka_connection, topic, partition, 0)
        _produce(kafka_connection, silent, partition, 0)

    def has_read_all() -> bool:
        return _has_read_all(settings, topic, silent)

    with serving(settings) as metrics:
        assert wait_until(has_read_all)
        _produce(kafka_connection, topic, 0, _SOME)
        assert wait_until(has_read_all)
    assert metrics.events() == _SOME
    _produce(kafka_connection, topic, 1, _SOME)
    _produce(kafka_connection, silent, 1, _SOME)
    with serving(settings) as again:
        assert wait_until(has_read_all)
    assert again.events() == 2 * _SOME


@pytest.mark.parametrize("lost", [("state",), ("state", "journal")])
def test_state_that_is_gone_is_an_error_until_it_is_reset(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, lost: tuple[str, ...]
) -> None:
    topic = make_topic(kafka_connection, f"{name}-predictions", 1)
    settings = deployment(kafka_connection, name, 500)
    _produce(kafka_connection, topic, 0, 0)
    _serve_all(settings, topic)
    with closing(make_admin(kafka_connection)) as admin:
        gone = [f"{name}.{each}" for each in lost]
        admin.delete_topics(gone)
        assert wait_until(lambda: not set(gone) & set(admin.list_topics()))
    service = Service(
        service_settings(settings),
        Deployment(settings).open_session,
        lambda: make_pipeline(settings),
        Metrics(),
    )
    with pytest.raises(StateError, match="has committed before") as caught:
        service.run()
    assert "streamdrift state reset" in str(caught.value.hint)
    run_reset(settings, yes=True)
    _produce(kafka_connection, topic, 0, _SOME)
    _serve_all(settings, topic)
    _serve_all(settings, topic)


def _serve_all(settings: Settings, topic: str) -> None:
    with serving(settings):
        assert wait_until(lambda: _has_read_all(settings, topic))


def _has_read_all(settings: Settings, *topics: str) -> bool:
    connection = settings.kafka
    try:
        return all(read_to(connection, settings.name, at) == ends(connection, at) for at in topics)
    except RetriableError:  # At first there is no group yet.
        return False
