"""`streamdrift traffic`: the demo's prediction traffic, with its drift, for ever."""

import heapq
import time
from contextlib import closing
from typing import NoReturn

import orjson
import structlog
from kafka import KafkaProducer

from streamdrift.config import Settings
from streamdrift.demo.ending import ended_by_signals
from streamdrift.demo.endless import MODELS, Cycles, EndlessTraffic
from streamdrift.durations import SECOND, format_duration, parse_duration
from streamdrift.errors import SettingsError
from streamdrift.kafka.clients import connection_errors, make_producer
from streamdrift.kafka.topics import Right, TopicNeed, ensure_topics
from streamdrift.logs import set_up_logs

_TURN = 0.1
_ACKNOWLEDGED = 30.0
"""Seconds within which the brokers must have taken what was sent."""
_LEAST = 20_000
"""Events of a model in a cycle: with fewer, its shorter injections are hardly seen."""
_log = structlog.get_logger("streamdrift")


def parse_cycles(rate: float, cycle: str, seed: int) -> Cycles:
    """Return the cycles that were asked for; raise SettingsError where they make no sense."""
    try:
        length = parse_duration(cycle) / SECOND
    except ValueError as error:
        raise SettingsError(f"--cycle {cycle}: {error}") from error
    if rate * length < _LEAST:
        raise SettingsError(
            f"--rate {rate:g} --cycle {cycle}: {rate * length:,.0f} events of a model in a cycle "
            "are too few for ten injections",
            f"choose them so that there are {_LEAST:,} or more",
        )
    return Cycles(seed, rate, length)


def run_traffic(settings: Settings, topic: str, cycles: Cycles) -> NoReturn:
    """Send traffic to a topic, which is made if it is missing, until a signal asks for an end.

    Raises ConnectionsError where the brokers do not take it.
    """
    set_up_logs("info")
    need = TopicNeed(topic, "prediction events", (Right.WRITE,))
    ensure_topics(settings.kafka, [need], create=settings.topics.create)
    with ended_by_signals(), closing(make_producer(settings.kafka, linger_ms=10)) as producer:
        _log.info(
            "sending prediction events",
            topic=topic,
            models=MODELS,
            events_per_second=cycles.rate * len(MODELS),
            cycle=format_duration(int(cycles.length * SECOND)),
        )
        with connection_errors(settings.kafka, f"write to {topic}"):
            _send(producer, topic, cycles)


def _send(producer: KafkaProducer, topic: str, cycles: Cycles) -> NoReturn:
    epoch = time.time_ns() // 1_000
    traffic = [EndlessTraffic(model, cycles) for model in MODELS]
    before = 0.0
    while True:
        time.sleep(_TURN)
        now = (time.time_ns() / 1_000 - epoch) / SECOND
        for what, injection in cycles.injected(before, now):
            _log.info(f"drift {what}s", model=injection.model, injection=injection.name)
        # Those of one model after those of the other would be late.
        due = heapq.merge(*(model.until(now, epoch) for model in traffic), key=_time)
        sent = [producer.send(topic, value) for value in due]
        producer.flush(_ACKNOWLEDGED)
        for each in sent:
            each.get(0)
        before = max(before, now)


def _time(event: bytes) -> float:
    time: float = orjson.loads(event)["timestamp"]
    return time
