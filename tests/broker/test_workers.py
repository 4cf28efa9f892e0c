"""Several workers: their alerts are those of one process, whatever becomes of them."""

import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from kafka.structs import TopicPartition

from loadtest.faults import processes, workers
from loadtest.faults.scenario import Options, Scenario
from streamdrift.errors import FencedError, StateError
from streamdrift.kafka.clients import KafkaSettings, make_admin
from tests.exactly_once import (
    CYCLE,
    PARTITIONS,
    Alerts,
    Life,
    ends,
    events,
    finish,
    finish_all,
    letters,
    produce,
    published,
    settings_of,
    started,
)
from tests.topic_maker import TopicMaker

_EVENTS = 3 * CYCLE
_PATIENCE = 90.0
_OPTIONS = ("mode=distributed", "shards=4", "worker.session=6s")
_DIVIDED = "models.m0.feature_groups=2"
_KILLS = 9
"""Five of them at a step: those after everything is written, and those only workers have."""


@pytest.fixture(scope="module")
def undisturbed(
    kafka: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Alerts, list[tuple[int, int]]]]:
    """A topic, the alerts that one process makes of its events, and the dead letters."""
    connection, maker = KafkaSettings(bootstrap_servers=kafka), TopicMaker()
    name = f"workers-{random.getrandbits(40):x}"
    topic = f"{name}-predictions"
    maker(connection, topic, PARTITIONS)
    produce(connection, topic, itertools.islice(events(), _EVENTS))
    with started([*settings_of(kafka, name, topic), _DIVIDED]) as life:
        finish(life, connection, name, topic, _PATIENCE)
    yield topic, published(connection, name, topic), letters(connection, name)
    maker.remove()


Start = Callable[..., Life]


@pytest.fixture
def start(kafka_connection: KafkaSettings, name: str) -> Iterator[Start]:
    """Start a worker of the deployment `name`, that is ended with the test in any case."""
    with ExitStack() as stack:

        def it(instance: str, topic: str, *options: str, kill_at: str | None = None) -> Life:
            base = settings_of(kafka_connection.bootstrap_servers, name, topic)
            chosen = [*base, *_OPTIONS, _DIVIDED, f"instance={instance}", *options]
            return stack.enter_context(started(chosen, kill_at))

        yield it


def test_two_workers_make_the_alerts_of_one_process(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, alerts, unusable = undisturbed
    lives = [start("a", topic), start("b", topic)]
    finish_all(lives, kafka_connection, name, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == alerts
    assert letters(kafka_connection, name) == unusable


def test_roles_may_be_apart(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, alerts, _ = undisturbed
    lives = [
        start("in", topic, "worker.roles=[ingest]"),
        start("out", topic, "worker.roles=[detect]"),
    ]
    finish_all(lives, kafka_connection, name, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == alerts


@pytest.mark.parametrize("scenario", [workers.killed, workers.come_and_go])
def test_killed_while_they_come_and_go(scenario: Scenario, tmp_path: Path) -> None:
    """The first of these in short: one of two is killed at steps of both roles, and whenever."""
    report = scenario(Options(tmp_path, seed=3, kills=_KILLS, times=1))
    assert report.equal, str(report)
    assert report.faults >= 3
    assert report.verdict.expected >= 2, "no alert in it: nothing was compared"


def test_who_stands_still_for_longer_than_a_session_is_put_out(tmp_path: Path) -> None:
    """And not for longer than a transaction, which the brokers would end."""
    report = processes.stopped(Options(tmp_path, times=3, stopped=8.0, workers=2))
    assert report.equal, str(report)
    assert report.verdict.expected >= 2, "no alert in it: nothing was compared"


def test_who_was_put_out_misses_no_frames_that_its_heir_has_deleted(tmp_path: Path) -> None:
    """It had ended as if they were lost, and was to be told to begin anew."""
    report = workers.outlived(Options(tmp_path, times=1, stopped=16.0))
    assert report.equal, str(report)
    assert report.verdict.expected >= 2, "no alert in it: nothing was compared"


def test_the_second_of_a_name_replaces_the_first(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, alerts, _ = undisturbed
    first = start("one", topic)
    first.wait_for("shard taken", _PATIENCE)
    second = start("one", topic)
    assert first.process.wait(timeout=60) == FencedError.exit_code, first.said()
    assert "another process" in first.said()
    assert "instance" in first.said()
    finish(second, kafka_connection, name, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == alerts


def test_a_worker_of_other_settings_takes_nothing_from_the_others(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    topic, _, _ = undisturbed
    first = start("one", topic)
    first.wait_for("incident resolved", _PATIENCE, times=2)
    other = start("two", topic, "models.m0.feature_groups=3")
    assert other.process.wait(timeout=60) == StateError.exit_code, other.said()
    assert "feature_groups" in other.said()
    time.sleep(4)
    assert "given away" not in first.said()


def test_a_worker_that_was_given_up_writes_nothing(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    """Stopped for longer than a session, and a transaction: others have its shards by then."""
    topic, alerts, _ = undisturbed
    zombie = start("zombie", topic)
    zombie.wait_for("shard taken", _PATIENCE, times=4)
    zombie.process.send_signal(signal.SIGSTOP)
    heir = start("heir", topic)
    heir.wait_for("shard taken", _PATIENCE, times=4)
    time.sleep(12)
    zombie.process.send_signal(signal.SIGCONT)
    time.sleep(5)
    finish_all([zombie, heir], kafka_connection, name, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == alerts


def test_partitions_that_appear_take_part(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, start: Start
) -> None:
    """None of their events is lost, and the order of alerts is whole.

    Also where every worker was started again under its name before: then none of them has
    given out the partitions that there are, and their clients look for no others.
    """
    topic = f"{name}-grows"
    make_topic(kafka_connection, topic, 1)
    coming = events()
    lives = [start("a", topic), start("b", topic)]
    first = [(0, value) for _, value in itertools.islice(coming, CYCLE)]
    produce(kafka_connection, topic, first)
    _wait_until(lambda: _lag(lives) == 0 and _seen(lives) >= CYCLE)
    for place, instance in enumerate("ab"):
        lives[place].stop()
        lives[place] = start(instance, topic)
    _wait_until(lambda: sum(life.assigned("ingest") for life in lives) == 1)
    admin = make_admin(kafka_connection)
    admin.create_partitions({topic: PARTITIONS})
    admin.close()
    _wait_until(lambda: sum(life.assigned("ingest") for life in lives) == PARTITIONS)
    produce(kafka_connection, topic, itertools.islice(coming, 2 * CYCLE))
    finish_all(lives, kafka_connection, name, topic, _PATIENCE)
    found = published(kafka_connection, name, topic)
    for model in ("m0", "m1"):
        kinds = [alert["type"].split(".")[-2] for alert in found[model]]
        assert kinds.count("opened") == kinds.count("resolved") >= 2
        numbers = [int(alert["sequence"]) for alert in found[model]]
        assert numbers == list(range(1, len(kinds) + 1))


@pytest.mark.parametrize("lost", ["state", "exchange"])
def test_what_is_lost_is_said_and_nothing_begins_anew(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
    lost: str,
) -> None:
    topic, _, _ = undisturbed
    life = start("one", topic)
    finish(life, kafka_connection, name, topic, _PATIENCE)
    if lost == "state":
        with closing(make_admin(kafka_connection)) as admin:
            admin.delete_topics([f"{name}.state"])
            _wait_until(lambda: f"{name}.state" not in admin.list_topics())
    else:
        ingest = start("in", topic, "worker.roles=[ingest]", "ordering.idle_after=1s")
        _wait_for_frames(kafka_connection, name)
        ingest.end()
        _trim_exchange(kafka_connection, name)
    again = start("one", topic)
    assert again.process.wait(timeout=60) == StateError.exit_code, again.said()
    assert ("has no state" if lost == "state" else "has lost") in again.said()


def test_what_is_lost_while_a_worker_sleeps_is_said(
    kafka_connection: KafkaSettings,
    name: str,
    start: Start,
    undisturbed: tuple[str, Alerts, list[tuple[int, int]]],
) -> None:
    """Also where it has its shards still, and does not look for its state again."""
    topic, _, _ = undisturbed
    options = ("worker.session=30s", "ordering.idle_after=1s")
    detect = start("out", topic, "worker.roles=[detect]", *options)
    start("in", topic, "worker.roles=[ingest]", *options)
    detect.wait_for("incident resolved", _PATIENCE, times=2)
    detect.process.send_signal(signal.SIGSTOP)
    _wait_for_frames(kafka_connection, name)
    _trim_exchange(kafka_connection, name)
    detect.process.send_signal(signal.SIGCONT)
    assert detect.process.wait(timeout=60) == StateError.exit_code, detect.said()
    assert "has lost" in detect.said()


def _wait_for_frames(connection: KafkaSettings, name: str) -> None:
    """Wait until the exchange has more than it had."""
    before = ends(connection, f"{name}.exchange")
    _wait_until(lambda: ends(connection, f"{name}.exchange")[0] > before[0] + 2)


def _trim_exchange(connection: KafkaSettings, name: str) -> None:
    """Delete all that the exchange has for the shards."""
    after = ends(connection, f"{name}.exchange")
    with closing(make_admin(connection)) as admin:
        admin.delete_records(
            {TopicPartition(f"{name}.exchange", number): after[number] for number in range(4)}
        )


def _lag(lives: list[Life]) -> float:
    return sum(life.metrics().get("streamdrift_lag_messages", 1.0) for life in lives)


def _seen(lives: list[Life]) -> float:
    return sum(life.metrics().get("streamdrift_messages_total", 0.0) for life in lives)


def _wait_until(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)
