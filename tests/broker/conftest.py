"""Brokers for the tests of this folder: a real Apache Kafka, and the embedded one."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamdrift.demo.broker import embedded_broker
from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings
from tests.programs import unavailable
from tests.real_alertmanager import RealAlertmanager
from tests.real_kafka import RealKafka, UnavailableError
from tests.topic_maker import TopicMaker

EXISTING = "STREAMDRIFT_TEST_BOOTSTRAP"


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A node of Apache Kafka of this test session's own, which tests may stop and start."""
    if EXISTING in os.environ:
        pytest.skip(f"{EXISTING} names a cluster that is not this session's to stop")
    try:
        node = RealKafka(tmp_path_factory.mktemp("kafka"))
    except UnavailableError as error:
        unavailable(f"{error} (the tests on Apache Kafka need it)")
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers of a real Kafka: this session's own, or the one the environment names."""
    existing = os.environ.get(EXISTING)
    if existing:
        return existing
    node: RealKafka = request.getfixturevalue("real_kafka")
    return node.bootstrap


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """Bootstrap servers of the broker the demo embeds."""
    try:
        with embedded_broker() as servers:
            yield servers
    except ConnectionsError as error:
        unavailable(f"no embedded broker: {error}")


@pytest.fixture(params=["embedded", "kafka"])
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers of each kind of broker in turn."""
    servers: str = request.getfixturevalue(request.param)
    return servers


@pytest.fixture
def connection(bootstrap: str) -> KafkaSettings:
    """Settings to reach each kind of broker in turn."""
    return KafkaSettings(bootstrap_servers=bootstrap)


@pytest.fixture
def kafka_connection(kafka: str) -> KafkaSettings:
    """Settings to reach the real Kafka only: for transactions, restarts, compression."""
    return KafkaSettings(bootstrap_servers=kafka)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[RealAlertmanager]:
    """A real Alertmanager, started."""
    try:
        made = RealAlertmanager(tmp_path / "alertmanager")
    except UnavailableError as error:
        unavailable(f"{error} (its tests need it)")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def name() -> str:
    """A topic name no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_topic(request: pytest.FixtureRequest) -> Iterator[TopicMaker]:
    """Make topics that are removed when the test ends."""
    maker = TopicMaker()
    yield maker
    maker.remove()
