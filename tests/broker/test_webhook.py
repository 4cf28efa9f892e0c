"""A webhook is told of every alert, in order, whatever happens to it or to its follower."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import pytest
from kafka.structs import TopicPartition

from streamdrift.kafka.clients import KafkaSettings, make_admin
from tests.alerts import SECOND
from tests.http_receiver import Post, Receiver, Reply, receiving
from tests.paging import Paging, until
from tests.real_kafka import RealKafka
from tests.topic_maker import TopicMaker

Page = Callable[..., Paging]
DAY = 86_400 * SECOND


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def page(kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker) -> Iterator[Page]:
    with ExitStack() as stack:

        def it(**options: Any) -> Paging:
            made = Paging(kafka_connection, name, make_topic, **options)
            stack.callback(made.close)
            return made

        yield it


def told(receiver: Receiver) -> list[tuple[str, int]]:
    """Return model and step of what arrived."""
    events = [json.loads(post.body)["data"] for post in receiver.posts]
    return [(event["model"], event["step"]) for event in events]


def _has(receiver: Receiver, alerts: int) -> bool:
    return len(told(receiver)) == alerts


def test_every_alert_arrives_once_across_restarts_and_none_from_before(
    receiver: Receiver, page: Page
) -> None:
    paging = page(alerts={"webhook": {"url": receiver.url}})
    paging.write(1, model="before")
    time.sleep(0.1)
    steps = [(1, "opened"), (2, "updated"), (3, "resolved")]
    for step, kind in steps:
        with paging.following():
            paging.write(2, step, kind, model="a")
            paging.write(3, step, kind, model="b")
            until(partial(_has, receiver, 2 * step))
            until(lambda: paging.shown("behind_alerts", sink="webhook") == 0)
    paging.write(4, model="while away")
    with paging.following():
        until(lambda: len(told(receiver)) == 7)
        time.sleep(1)
    assert told(receiver) == [
        *((model, step) for step, _ in steps for model in ("a", "b")),
        ("while away", 1),
    ]


def test_a_webhook_that_is_down_is_told_all_of_it_later(receiver: Receiver, page: Page) -> None:
    paging = page(alerts={"webhook": {"url": receiver.url}})
    up = False

    def reply(_: Post) -> Reply:
        return Reply() if up else Reply(503)

    receiver.reply = reply
    with paging.following():
        paging.write(1, model="a")
        until(lambda: receiver.posts)
        paging.write(1, 2, "resolved", model="a")
        paging.write(2, model="b")
        until(lambda: paging.shown("behind_alerts", sink="webhook") == 3)
        assert paging.shown("working", sink="webhook") == 0
    assert set(told(receiver)) == {("a", 1)}
    receiver.posts.clear()
    up = True
    with paging.following():
        until(lambda: len(told(receiver)) == 3)
        until(lambda: paging.shown("working", sink="webhook") == 1)
    assert told(receiver) == [("a", 1), ("a", 2), ("b", 1)]


def test_history_is_told_once_it_is_over_and_only_what_is_open(
    receiver: Receiver, page: Page
) -> None:
    paging = page(alerts={"webhook": {"url": receiver.url}})
    paging.caught_up = False
    yesterday = time.time_ns() // 1_000 - DAY
    with paging.following():
        paging.write(1, model="over", time=yesterday)
        paging.write(2, model="lasts", time=yesterday)
        paging.write(1, 2, "resolved", model="over", time=yesterday)
        paging.write(3, model="now")
        until(lambda: told(receiver) == [("now", 1)])
        until(lambda: paging.shown("held_alerts", sink="webhook") == 1)
    # What is told already is not told again, and what waits waits on.
    with paging.following():
        until(lambda: paging.shown("held_alerts", sink="webhook") == 1)
        assert told(receiver) == [("now", 1)]
        paging.caught_up = True
        until(lambda: told(receiver) == [("now", 1), ("lasts", 1)])


def test_alerts_that_the_topic_has_lost_are_counted(
    receiver: Receiver, page: Page, kafka_connection: KafkaSettings
) -> None:
    paging = page(alerts={"webhook": {"url": receiver.url}})
    with paging.following():
        paging.write(1)
        until(lambda: told(receiver))
    for incident in range(2, 6):
        paging.write(incident)
    with closing(make_admin(kafka_connection)) as admin:
        admin.delete_records({TopicPartition(paging.settings.alerts.topic, 0): 4})
    with paging.following():
        until(lambda: len(told(receiver)) == 2)
    assert paging.shown("passed_over_total", sink="webhook", reason="lost") == 3


def test_a_topic_made_anew_is_followed(
    receiver: Receiver, page: Page, kafka_connection: KafkaSettings, make_topic: TopicMaker
) -> None:
    paging = page(alerts={"webhook": {"url": receiver.url}})
    topic = paging.settings.alerts.topic
    with paging.following():
        for step in (1, 2, 3):
            paging.write(1, step, "opened" if step == 1 else "updated", model="before")
        until(lambda: len(told(receiver)) == 3)
        with closing(make_admin(kafka_connection)) as admin:
            admin.delete_topics([topic])
            until(lambda: topic not in admin.list_topics())
        make_topic(kafka_connection, topic)
        paging.write(2, model="after")
        until(lambda: told(receiver)[3:] == [("after", 1)])


def test_partitions_that_appear_are_followed(
    receiver: Receiver, page: Page, kafka_connection: KafkaSettings
) -> None:
    source = {"discovery_interval": "1s"}
    paging = page(alerts={"webhook": {"url": receiver.url}}, source=source)
    models = [f"m{number}" for number in range(8)]
    with paging.following():
        paging.write(1)
        until(lambda: len(told(receiver)) == 1)
        with closing(make_admin(kafka_connection)) as admin:
            admin.create_partitions({paging.settings.alerts.topic: 4})
        with paging.writing_anew():
            for number, model in enumerate(models, 2):
                paging.write(number, model=model)
        until(lambda: {model for model, _ in told(receiver)} >= set(models))
    assert len(told(receiver)) == 1 + len(models)


def test_a_broker_that_is_away_for_a_while_delays_alerts(
    receiver: Receiver, page: Page, real_kafka: RealKafka
) -> None:
    paging = page(alerts={"webhook": {"url": receiver.url}})
    with paging.following():
        paging.write(1, model="before")
        until(lambda: len(told(receiver)) == 1)
        real_kafka.stop(kill=True)
        time.sleep(3)
        real_kafka.start()
        with paging.writing_anew():
            paging.write(2, model="after")
        until(lambda: told(receiver) == [("before", 1), ("after", 1)])


def test_of_several_workers_one_tells_each_alert_and_others_take_over(
    receiver: Receiver, page: Page
) -> None:
    paging = page(
        alerts={"webhook": {"url": receiver.url}},
        partitions=4,
        mode="distributed",
        worker={"session": "6s"},
    )
    models = [f"m{number}" for number in range(12)]

    def write(step: int, kind: str) -> None:
        for number, model in enumerate(models):
            paging.write(number + 1, step, kind, model=model)

    with paging.following(instance="a"):
        write(1, "opened")
        until(lambda: len(told(receiver)) == len(models))
        with paging.following(instance="b"):
            time.sleep(8)  # the group gives each its share
            write(2, "updated")
            until(lambda: len(told(receiver)) == 2 * len(models))
        write(3, "resolved")
        until(lambda: len(told(receiver)) == 3 * len(models))
    time.sleep(1)
    found = told(receiver)
    assert all([step for m, step in found if m == model] == [1, 2, 3] for model in models)


def test_brokers_without_transactions_do(
    receiver: Receiver, embedded: str, name: str, make_topic: TopicMaker
) -> None:
    connection = KafkaSettings(bootstrap_servers=embedded)
    paging = Paging(connection, name, make_topic, {"webhook": {"url": receiver.url}})
    with paging.following():
        paging.write(1)
        until(lambda: told(receiver) == [("fraud", 1)])
    paging.write(1, 2, "resolved")
    with paging.following():
        until(lambda: told(receiver) == [("fraud", 1), ("fraud", 2)])
    paging.close()
