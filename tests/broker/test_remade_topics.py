"""Topics of the input that are deleted and made anew, while they are read and while not."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial

import pytest
from kafka import KafkaAdminClient
from kafka.errors import RetriableError

from loadtest.faults.counted import counted
from streamdrift.config import load_settings
from streamdrift.kafka.clients import KafkaSettings, make_admin
from tests.exactly_once import (
    PARTITIONS,
    RUBBISH_EVERY,
    Life,
    ends,
    events,
    finish_all,
    produce,
    read_to,
    settings_of,
    started,
)
from tests.topic_maker import TopicMaker

_PATIENCE = 90.0
_PART = RUBBISH_EVERY
"""Events at a time, one of them rubbish."""
_MODES = {
    "one process": ((), ("",)),
    "workers": (
        ("mode=distributed", "shards=4", "worker.session=6s", "models.m0.feature_groups=2"),
        ("instance=a", "instance=b"),
    ),
}


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("missed", ["the time between", "nothing"])
def test_a_topic_made_anew_is_read_from_its_beginning(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, missed: str, mode: str
) -> None:
    """Beside one that stays; also with other numbers of partitions."""
    stays, anew = f"{name}-stays", f"{name}-anew"
    make_topic(kafka_connection, stays, PARTITIONS)
    make_topic(kafka_connection, anew, 2)
    chosen, processes = _settings(kafka_connection, name, mode, stays, anew)
    coming = events()
    with ExitStack() as stack:
        admin = stack.enter_context(closing(make_admin(kafka_connection)))
        lives = [stack.enter_context(started([*chosen, *each])) for each in processes]
        fed = 0
        for turn, partitions in enumerate((2, 3, 1)):
            if fed:
                admin.delete_topics([anew])
                wait_until(partial(is_gone, admin, anew))
                if missed == "nothing":
                    feed(kafka_connection, stays, PARTITIONS, coming)
                    fed += _PART
                    wait_until(partial(have_noticed, lives, turn), lives)
                make_topic(kafka_connection, anew, partitions)
            for topic, among in ((stays, PARTITIONS), (anew, partitions)):
                feed(kafka_connection, topic, among, coming)
                fed += _PART
            wait_until_read(lives, kafka_connection, name, stays, anew)
        finish_all(lives, kafka_connection, name, stays, _PATIENCE)
        assert not not_read(kafka_connection, name, stays, anew)
        for life in lives:
            assert "Traceback" not in life.said()
        found = counted(kafka_connection, load_settings(None, chosen))
        assert found == fed - fed // RUBBISH_EVERY, _said(lives)


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("size", [_PART // 2, 2 * _PART])
def test_a_topic_made_anew_while_nobody_reads_is_read_from_its_beginning(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, size: int, mode: str
) -> None:
    """Whether or not it goes beyond what was read of the first."""
    topic = f"{name}-anew"
    make_topic(kafka_connection, topic, 1)
    chosen, processes = _settings(kafka_connection, name, mode, topic)
    coming = events()
    for fed in (_PART, size):
        feed(kafka_connection, topic, 1, coming, fed)
        with ExitStack() as stack:
            lives = [stack.enter_context(started([*chosen, *each])) for each in processes]
            finish_all(lives, kafka_connection, name, topic, _PATIENCE)
        if fed == _PART:
            with closing(make_admin(kafka_connection)) as admin:
                admin.delete_topics([topic])
                wait_until(partial(is_gone, admin, topic))
            make_topic(kafka_connection, topic, 1)
    usable = sum(count - count // RUBBISH_EVERY for count in (_PART, size))
    found = counted(kafka_connection, load_settings(None, chosen))
    assert usable - 1 <= found <= usable  # Rubbish may be in the half that is fed.


def _settings(
    connection: KafkaSettings, name: str, mode: str, *topics: str
) -> tuple[list[str], list[list[str]]]:
    """Return the settings of a deployment, and those of each process that are its own."""
    options, processes = _MODES[mode]
    base = settings_of(connection.bootstrap_servers, name, topics[0])
    chosen = [*base, *options, f"source.predictions=[{','.join(topics)}]"]
    return chosen, [[each] if each else [] for each in processes]


def feed(
    connection: KafkaSettings,
    topic: str,
    among: int,
    coming: Iterator[tuple[int, bytes]],
    size: int = _PART,
) -> None:
    some: Iterable[tuple[int, bytes]] = itertools.islice(coming, size)
    produce(connection, topic, ((partition % among, value) for partition, value in some))


def not_read(
    connection: KafkaSettings, name: str, *topics: str
) -> list[tuple[str, Mapping[int, int], Mapping[int, int]]]:
    """Return the topics whose ends are not what the group has committed, and both."""
    try:
        found = [(at, read_to(connection, name, at), ends(connection, at)) for at in topics]
    except RetriableError:  # At first there is no group yet.
        return [(name, {}, {})]
    return [each for each in found if each[1] != each[2]]


def is_gone(admin: KafkaAdminClient, topic: str) -> bool:
    return topic not in admin.list_topics()


def have_noticed(lives: list[Life], times: int) -> bool:
    """Tell whether a deletion was noticed so often: as told, or as brokers refused a commit."""
    said = "".join(life.said() for life in lives)
    return said.count("topic missing") + said.count("connection lost") >= times


def wait_until(reached: Callable[[], bool], lives: Sequence[Life] = ()) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not reached():
        assert time.monotonic() < deadline, _said(lives)
        time.sleep(0.2)


def wait_until_read(
    lives: Sequence[Life], connection: KafkaSettings, name: str, *topics: str
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while places := not_read(connection, name, *topics):
        assert time.monotonic() < deadline, f"committed, and ends: {places}\n{_said(lives)}"
        time.sleep(0.2)


def _said(lives: Sequence[Life]) -> str:
    return "\n".join(life.said() for life in lives)
