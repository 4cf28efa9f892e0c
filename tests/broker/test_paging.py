"""The service itself, and who is told: history, drift, crashes, and the end."""

import itertools
import json
import random
import time

import numpy as np
import pytest

from streamdrift.kafka.clients import KafkaSettings
from tests.exactly_once import (
    CYCLE,
    PARTITIONS,
    Life,
    events,
    finish,
    produce,
    published,
    settings_of,
    started,
)
from tests.http_receiver import receiving
from tests.paging import until
from tests.real_alertmanager import RealAlertmanager
from tests.topic_maker import TopicMaker

_FIRST_START = 240.0
"""Seconds, as kernels may have to be compiled."""
_SPACING = 0.1
"""Seconds from event to event."""


class _Traffic:
    """One model's events, from one time on, whose level a test sets."""

    def __init__(self, connection: KafkaSettings, topic: str, start: float) -> None:
        self._connection = connection
        self._topic = topic
        self._time = start
        self._generator = np.random.default_rng(5)

    def write(self, events: int, level: float = 0.0) -> None:
        values = []
        for x in self._generator.normal(level, 1, events).tolist():
            self._time += _SPACING
            event = {"model": "fraud", "timestamp": self._time, "features": {"x": x}}
            values.append((0, json.dumps(event).encode()))
        produce(self._connection, self._topic, values)

    def go_on(self, at: float) -> None:
        self._time = at


def _opened(life: Life) -> float:
    return life.metrics().get("streamdrift_alerts_total", 0.0)


@pytest.mark.parametrize("mode", ["standalone", "distributed"])
def test_drift_fires_while_it_lasts_also_across_a_crash(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    alertmanager: RealAlertmanager,
    mode: str,
) -> None:
    topic = f"{name}-predictions"
    make_topic(kafka_connection, topic)
    traffic = _Traffic(kafka_connection, topic, time.time() - 86_400)
    settings = [
        *settings_of(kafka_connection.bootstrap_servers, name, topic),
        f"mode={mode}",
        "shards=2",
        "worker.session=6s",
        "instance=one",
        "models.*.silence.enabled=false",
        "models.*.volume.enabled=false",
        f"alerts.alertmanager.url={alertmanager.url}",
        "alerts.alertmanager.resend=20s",
    ]
    # A day ago the model drifted, and returned.
    traffic.write(1_000)
    traffic.write(600, level=2.0)
    traffic.write(2_500)
    with started(settings) as life:
        until(lambda: _opened(life) >= 2, _FIRST_START)
        # Of today, within the time that is no history.
        traffic.go_on(time.time() - 300)
        traffic.write(1_000)
        time.sleep(5)
        assert alertmanager.firing() == []
        traffic.write(600, level=2.0)
        until(lambda: len(alertmanager.firing()) == 1)
        (alert,) = alertmanager.alerts()
        life.process.kill()
    assert alert["labels"]["model"] == "fraud"
    assert alert["labels"]["deployment"] == name
    assert alert["annotations"]["summary"].startswith("x of fraud changed")
    with started(settings) as life:

        def sent_again() -> bool:
            (still,) = alertmanager.alerts()
            assert still["startsAt"] == alert["startsAt"]
            return bool(still["updatedAt"] > alert["updatedAt"])

        until(sent_again)
        traffic.write(2_500)
        until(lambda: alertmanager.firing() == [])
        life.stop()


def test_killed_whenever_every_alert_reaches_the_webhook_in_its_order(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    topic = f"{name}-live"
    make_topic(kafka_connection, topic, PARTITIONS)
    chance, coming = random.Random(11), events()
    with receiving() as receiver:
        settings = [
            *settings_of(kafka_connection.bootstrap_servers, name, topic),
            f"alerts.webhook.url={receiver.url}",
            "alerts.page_within=36500d",  # Its events are of the past, and no history.
        ]
        for _ in range(4):
            produce(kafka_connection, topic, itertools.islice(coming, CYCLE))
            with started(settings) as life:
                life.wait_for("reading", _FIRST_START)
                time.sleep(chance.uniform(0.5, 3.0))
                life.process.kill()
        with started(settings) as life:
            finish(life, kafka_connection, name, topic, 90.0)
        alerts = published(kafka_connection, name, topic)
        assert sum(map(len, alerts.values())) > 8
        with started(settings) as life:
            life.wait_for("reading", _FIRST_START)
            last = {told[-1]["id"] for told in alerts.values()}
            until(lambda: {post.headers["webhook-id"] for post in receiver.posts} >= last)
            life.stop()
    for model, told in alerts.items():
        arrived = [json.loads(post.body) for post in receiver.posts]
        ids = [each["id"] for each in arrived if each["partitionkey"] == model]
        assert list(dict.fromkeys(ids)) == [each["id"] for each in told]
        assert len(ids) <= len(told) + 4  # one more for each time it was killed amid a post
