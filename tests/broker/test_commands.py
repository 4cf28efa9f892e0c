"""What operators ask of a running deployment, through its topic, also where it is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import Outbox
from streamdrift.operators import Asked, Command, encode
from tests.deployment import wait_until
from tests.exactly_once import produce, records, settings_of, started
from tests.topic_maker import TopicMaker

_START = 1_767_225_600
_WORKERS = ("mode=distributed", "shards=4", "worker.session=6s")


def _events(first: int, last: int, shift: float = 0.0) -> list[tuple[int, bytes]]:
    numbers = np.random.default_rng(first).normal(shift, 1, last - first).tolist()
    return [
        (
            0,
            json.dumps(
                {"model": "m0", "timestamp": _START + first + i, "features": {"x": number}}
            ).encode(),
        )
        for i, number in enumerate(numbers)
    ]


@pytest.mark.parametrize("mode", [(), _WORKERS], ids=["standalone", "distributed"])
def test_what_operators_ask_is_done_once_also_where_the_service_is_killed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, mode: tuple[str, ...]
) -> None:
    topic = make_topic(kafka_connection, f"{name}-predictions", 1)
    settings = [*settings_of(kafka_connection.bootstrap_servers, name, topic), *mode]

    def told() -> list[dict[str, Any]]:
        return [json.loads(value) for _, _, value in records(kafka_connection, f"{name}.alerts")]

    def steps() -> list[tuple[str, str | None]]:
        return [
            (each["type"].split(".")[3], each["data"].get("resolution"))
            for each in told()
            if each["type"].split(".")[3] != "updated"
        ]

    resolved_by_hand = [("opened", None), ("resolved", "resolved"), ("opened", None)]
    with started(settings) as life:
        produce(kafka_connection, topic, [*_events(0, 2_000), *_events(2_000, 2_600, 3)])
        assert wait_until(lambda: steps() == [("opened", None)])
        command = Command(
            id="0" * 32,
            kind=Asked.RESOLVE,
            model="m0",
            incident=told()[0]["data"]["incident"],
            by="Ann",
            at=_START,
        )
        with closing(Outbox(kafka_connection)) as outbox:
            outbox.send(f"{name}.commands", encode(command), key=b"m0")
            outbox.flush()
        # With the first commit of all, what was asked may have to wait for a further one.
        assert wait_until(lambda: "command taken" in life.said())
        produce(kafka_connection, topic, _events(2_600, 3_000, 3))
        assert wait_until(lambda: steps() == resolved_by_hand)
        life.process.send_signal(signal.SIGKILL)
        life.process.wait()
    resolved = next(each for each in told() if each["type"].endswith("resolved.v1"))
    assert resolved["data"]["asked"]["by"] == "Ann"

    options = ["--for", "1h", "--note", "v7", "--from", "2026-01-01T01:13:20Z"]
    planned = _expect(settings, *options)
    assert "from 2026-01-01 01:13:20 to 2026-01-01 02:13:20 UTC page nobody" in planned
    misspelt = _expect(settings, "--for", "1h", model="m00", code=3)
    assert "no event of the model 'm00' was seen, perhaps 'm0' is meant" in misspelt
    with started(settings) as life:
        assert wait_until(lambda: life.said().count("command taken") == 1)
        produce(kafka_connection, topic, [*_events(3_000, 4_500), *_events(4_500, 4_800, 3)])
        assert wait_until(lambda: len(steps()) == 5)
        assert "page again" in _expect(settings, "--withdraw")
        assert wait_until(lambda: life.said().count("command taken") == 2)
        life.process.send_signal(signal.SIGKILL)
        life.process.wait()
    assert steps() == [*resolved_by_hand, ("resolved", "returned"), ("opened", None)]
    ids = [each["id"] for each in told()]
    assert len(ids) == len(set(ids))
    assert told()[-1]["data"]["expected"] == {
        "since": "2026-01-01T01:13:20.000000Z",
        "until": "2026-01-01T02:13:20.000000Z",
        "by": "bob",
        "note": "v7",
    }
    assert told()[0]["data"]["expected"] is None

    with started(settings):
        produce(kafka_connection, topic, [*_events(4_800, 6_300), *_events(6_300, 6_600, 3)])
        assert wait_until(lambda: len(steps()) == 7)
    assert steps()[5:] == [("resolved", "returned"), ("opened", None)]
    assert told()[-1]["data"]["expected"] is None
    ids = [each["id"] for each in told()]
    assert len(ids) == len(set(ids))


def _expect(settings: Sequence[str], *options: str, model: str = "m0", code: int = 0) -> str:
    """Return what `streamdrift expect` says, as bob calls it."""
    arguments = [part for each in settings for part in ("--set", each)]
    done = subprocess.run(
        [sys.executable, "-m", "streamdrift", "expect", model, *options, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LOGNAME": "bob"},
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr
