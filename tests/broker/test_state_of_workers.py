"""`streamdrift state` where several workers have it."""

import itertools
import json
import subprocess
import sys
import time
from contextlib import closing

from streamdrift.config import load_settings
from streamdrift.errors import StateError
from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.kafka.outbox import Outbox
from tests.alerts import make_document
from tests.deployment import known_incidents
from tests.exactly_once import (
    CYCLE,
    PARTITIONS,
    events,
    finish,
    finish_all,
    hand_journal,
    produce,
    published,
    settings_of,
    started,
)
from tests.topic_maker import TopicMaker

_PATIENCE = 90.0
_DIVIDED = "models.m0.feature_groups=2"
_SHARDS = (4, 3, 6)


def _state(settings: list[str], *command: str, code: int = 0) -> str:
    options = [part for each in settings for part in ("--set", each)]
    done = subprocess.run(
        [sys.executable, "-m", "streamdrift", "state", *command, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def _one_cycle(
    connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> tuple[str, list[str]]:
    """Return a topic with one cycle of events, and the settings of workers that read it."""
    topic = f"{name}-predictions"
    make_topic(connection, topic, PARTITIONS)
    produce(connection, topic, itertools.islice(events(), CYCLE))
    base = settings_of(connection.bootstrap_servers, name, topic)
    return topic, [*base, "mode=distributed", "shards=2", "worker.session=6s"]


def _check_begins_anew(
    connection: KafkaSettings, name: str, topic: str, options: list[str]
) -> None:
    """Let a worker read all there is, and see that it knew neither of the two models."""
    with started([*options, "instance=a"]) as life:
        finish(life, connection, name, topic, _PATIENCE)
        assert life.said().count("model version appeared") == 2


def test_shards_are_dealt_out_anew_and_nothing_else_changes(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """In the midst of the stream, with events on their way that no shard has let go."""
    topic, calm = f"{name}-predictions", f"{name}-calm"
    make_topic(kafka_connection, topic, PARTITIONS)
    coming = events()
    base = settings_of(kafka_connection.bootstrap_servers, name, topic)
    options = [*base, "mode=distributed", "worker.session=6s", _DIVIDED]
    undisturbed = [*settings_of(kafka_connection.bootstrap_servers, calm, topic), _DIVIDED]
    for shards, following in itertools.zip_longest(_SHARDS, _SHARDS[1:]):
        produce(kafka_connection, topic, itertools.islice(coming, CYCLE))
        chosen = [*options, f"shards={shards}"]
        with (
            started([*chosen, "instance=a"]) as first,
            started([*chosen, "instance=b"]) as second,
        ):
            finish_all([first, second], kafka_connection, name, topic, _PATIENCE)
        # Between the cycles the partitions rest; the journal of before ends with the old shards.
        hand_journal(kafka_connection, name, undisturbed)
        if following is None:
            break
        shown = json.loads(_state(chosen, "show", "--json"))
        assert sum(each["events"] for each in shown["versions"]) > 0
        assert name in _state(chosen, "ls")
        _state(chosen, "reshard", "--shards", str(following))
        assert "shards" in _state(chosen, "show", code=StateError.exit_code)
    with started(undisturbed) as life:
        finish(life, kafka_connection, calm, topic, _PATIENCE)
    assert published(kafka_connection, name, topic) == published(kafka_connection, calm, topic)


def test_while_a_worker_runs_nothing_is_changed_and_a_reset_begins_anew(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    topic, options = _one_cycle(kafka_connection, name, make_topic)
    with started([*options, "instance=a"]) as life:
        life.wait_for("shard taken", _PATIENCE, times=2)
        said = _state(options, "reset", "--yes", code=StateError.exit_code)
        assert "there are workers" in said
        finish(life, kafka_connection, name, topic, _PATIENCE)
    with closing(Outbox(kafka_connection)) as outbox:
        outbox.send(f"{name}.incidents", make_document(1), key=f"{1:032x}".encode())
        outbox.flush()
    assert known_incidents(load_settings(None, options))
    _state(options, "reset", "--yes")
    assert known_incidents(load_settings(None, options)) == {}
    assert "no state" in _state(options, "ls", code=StateError.exit_code)
    _check_begins_anew(kafka_connection, name, topic, options)


def test_workers_whose_exchange_is_deleted_end_and_a_reset_begins_anew(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    topic, options = _one_cycle(kafka_connection, name, make_topic)
    with started([*options, "instance=a"]) as life:
        life.wait_for("shard taken", _PATIENCE, times=2)
        with closing(make_admin(kafka_connection)) as admin:
            admin.delete_topics([f"{name}.exchange"])
        assert life.process.wait(_PATIENCE) == StateError.exit_code, life.said()
        assert f"the topic {name}.exchange (" in life.said()
    _state(options, "reset", "--yes")
    _check_begins_anew(kafka_connection, name, topic, options)


def test_workers_whose_positions_are_gone_read_nothing_again_and_a_reset_begins_anew(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    """Brokers forget them some days after the last worker was stopped."""
    topic, options = _one_cycle(kafka_connection, name, make_topic)
    with started([*options, "instance=a"]) as life:
        finish(life, kafka_connection, name, topic, _PATIENCE)
    with closing(make_admin(kafka_connection)) as admin:
        # Once the worker's place in it is given up.
        deadline = time.monotonic() + _PATIENCE
        while admin.delete_groups([name])[name] != "OK":
            assert time.monotonic() < deadline
            time.sleep(1.0)
    with started([*options, "instance=a"]) as life:
        assert life.process.wait(_PATIENCE) == StateError.exit_code, life.said()
        assert f"how far {topic} was read is gone" in life.said()
    _state(options, "reset", "--yes")
    _check_begins_anew(kafka_connection, name, topic, options)
