"""The table of incidents keeps up with its topic, and deletes there what is long over."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from streamdrift.following import incidents
from streamdrift.following.incident_table import IncidentTable
from streamdrift.following.incidents import following_incidents
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.prometheus.metrics import Metrics
from tests.alerts import SECOND
from tests.exactly_once import records
from tests.paging import Paging, until
from tests.real_kafka import RealKafka
from tests.topic_maker import TopicMaker


@contextmanager
def _followed(paging: Paging, keep: int) -> Iterator[tuple[IncidentTable, Metrics]]:
    table, metrics, settings = IncidentTable(keep), Metrics(), paging.settings
    with following_incidents(settings.kafka, settings.alerts.incidents, table, metrics) as reader:
        until(lambda: reader.complete)
        yield table, metrics


def _known(table: IncidentTable) -> list[tuple[str, str]]:
    return sorted((each.model, each.type) for each in table.all())


def test_it_knows_what_was_there_and_what_comes(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    paging = Paging(connection, name, make_topic, {})
    paging.write(1, model="a")
    paging.write(2, model="b")
    with _followed(paging, 86_400 * SECOND) as (table, metrics):
        assert _known(table) == [("a", "opened"), ("b", "opened")]
        paging.write(1, 2, "resolved", model="a")
        paging.write(3, model="c")
        until(lambda: _known(table) == [("a", "resolved"), ("b", "opened"), ("c", "opened")])
        paging.forget(2)
        until(lambda: _known(table) == [("a", "resolved"), ("c", "opened")])
        until(lambda: metrics.registry.get_sample_value("streamdrift_incidents_kept") == 2)
    paging.close()


def test_what_is_long_over_is_deleted_from_the_topic(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    paging = Paging(connection, name, make_topic, {})
    paging.write(1, model="open")
    paging.write(2, model="over")
    paging.write(2, 2, "resolved", model="over")
    time.sleep(1.1)
    with _followed(paging, SECOND) as (table, _):
        until(lambda: _known(table) == [("open", "opened")])

        def tombstones() -> list[bytes]:
            found = records(connection, paging.settings.alerts.incidents)
            return [key for key, _, value in found if value is None]

        until(lambda: tombstones() == [f"{2:032x}".encode()])
    paging.close()


def test_a_topic_that_comes_late_and_brokers_that_are_away_are_waited_for(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, real_kafka: RealKafka
) -> None:
    table = IncidentTable(86_400 * SECOND)
    topic = f"{name}.incidents"
    with following_incidents(kafka_connection, topic, table, Metrics()) as reader:
        time.sleep(incidents.LOOK_SECONDS * 2)
        assert not reader.complete
        paging = Paging(kafka_connection, name, make_topic, {})
        paging.write(1, model="a")
        until(lambda: _known(table) == [("a", "opened")])
        real_kafka.stop(kill=True)
        real_kafka.start()
        with paging.writing_anew():
            paging.write(1, 2, "resolved", model="a")
        until(lambda: _known(table) == [("a", "resolved")])
        paging.close()
