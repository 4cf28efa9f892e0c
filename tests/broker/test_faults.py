"""Faults around a running service, in short: `python -m loadtest.faults` has all, and longer."""

import threading
from pathlib import Path

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net.compat import KafkaNetClient

from loadtest.faults.brokers import broker_restart
from loadtest.faults.buffer import full_buffer
from loadtest.faults.coordinators import coordinator_move
from loadtest.faults.network import cut
from loadtest.faults.processes import stopped, transaction_timeout
from loadtest.faults.scenario import Options, Scenario
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import TransactionalOutbox
from streamdrift.records import Partition
from tests.exactly_once import records
from tests.programs import unavailable
from tests.real_kafka import UnavailableError, fetch_jars
from tests.topic_maker import TopicMaker

_SCENARIOS = [
    stopped,
    transaction_timeout,
    broker_restart,
    coordinator_move,
    cut,
    full_buffer,
]


@pytest.fixture(autouse=True)
def _own_brokers() -> None:
    """These start nodes of their own, whatever cluster the environment names."""
    try:
        fetch_jars()
    except UnavailableError as error:
        unavailable(f"{error} (the tests on Apache Kafka need it)")


@pytest.mark.parametrize("scenario", _SCENARIOS)
def test_alerts_under_a_fault_are_those_of_an_undisturbed_run(
    scenario: Scenario, tmp_path: Path
) -> None:
    report = scenario(Options(tmp_path, times=1, stopped=11.0, cut=11.0))
    assert report.faults >= 1
    assert report.verdict.expected >= 2, "no alert in it: nothing was compared"
    assert report.flawless, str(report)


def test_a_coordinator_that_cannot_be_reached_costs_no_request(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where its node is gone: the client asks who coordinates, and commits there."""
    make_topic(kafka_connection, name)
    ready = KafkaNetClient.await_ready
    lost: list[object] = []

    def unreachable_at_first(self: object, node: object, *args: object, **options: object) -> bool:
        if broken.is_set() and len(lost) < 3:
            lost.append(node)
            raise KafkaConnectionError(f"Node {node} not ready")
        return bool(ready(self, node, *args, **options))

    broken = threading.Event()
    monkeypatch.setattr(KafkaNetClient, "await_ready", unreachable_at_first)
    outbox = TransactionalOutbox(kafka_connection, name)
    outbox.begin()
    outbox.send(name, b"x", partition=0)
    outbox.flush()
    broken.set()
    outbox.commit(name, {Partition(name, 0): 1})
    outbox.close()
    assert len(lost) == 3
    assert [value for _, _, value in records(kafka_connection, name)] == [b"x"]
