"""The HTTP API of running deployments: what it shows, and what becomes of what is posted."""

import itertools
import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import Any

import numpy as np

from streamdrift.kafka.clients import KafkaSettings
from streamdrift.operators import Asked, decode
from tests.deployment import wait_until
from tests.exactly_once import (
    CYCLE,
    PARTITIONS,
    Life,
    events,
    produce,
    records,
    settings_of,
    started,
)
from tests.topic_maker import TopicMaker

_TOKEN = "a-token-that-nobody-guesses"
_START = 1_767_225_600
_WORKERS = ("mode=distributed", "shards=4", "worker.session=6s")


def ask(life: Life, path: str, body: object = None, token: str = _TOKEN) -> tuple[int, Any]:
    """Return status and document of an answer; 0 where there is none."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{life.address}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except OSError:
        return 0, None


def drifting(first: int, last: int) -> list[tuple[int, bytes]]:
    """Return events, shifted from the 2,000th on."""
    numbers = np.random.default_rng(first).normal(size=last - first)
    numbers += 3 * (np.arange(first, last) >= 2_000)
    return [
        (
            0,
            json.dumps(
                {"model": "a/b", "timestamp": _START + first + i, "features": {"x": number}}
            ).encode(),
        )
        for i, number in enumerate(numbers.tolist())
    ]


def test_drift_is_an_incident_that_is_accepted_over_http(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    topic = make_topic(kafka_connection, f"{name}-predictions", 1)
    settings = settings_of(kafka_connection.bootstrap_servers, name, topic)
    settings += [f"http.token={_TOKEN}", "models.*.hold.accept_events=400"]
    with started(settings) as life:
        produce(kafka_connection, topic, drifting(0, 2_600))

        def shown(query: str) -> list[Any]:
            _, page = ask(life, f"/api/v1/incidents?kind=data_drift{query}")
            return page["items"] if page and "items" in page else []

        assert wait_until(lambda: len(shown("&state=open")) == 1), life.said()
        (incident,) = shown("&model=a/b")
        (model,) = ask(life, "/api/v1/models")[1]["items"]
        assert (model["model"], model["open_incidents"]) == ("a/b", 1)
        (signal,) = [
            each
            for each in ask(life, f"/api/v1/models/{model['id']}/signals")[1]["items"]
            if each["changed"]
        ]
        detail = ask(life, f"/api/v1/signals/{signal['id']}")[1]
        assert [each["id"] for each in detail["changes"]] == [incident["id"]]
        assert detail["distribution"]["since"] == incident["opened_at"]

        path = f"/api/v1/incidents/{incident['id']}/accept"
        assert ask(life, path, {}, "another-token-of-that-length")[0] == 401
        status, told = ask(life, path, {"by": "ada", "note": "new prices"})
        assert (status, told["incident"]) == (202, incident["id"])
        # It is in the topic by then, before it takes effect.
        ((_, _, value),) = records(kafka_connection, f"{name}.commands")
        command = decode(value)
        assert (command.id, command.kind) == (told["command"], Asked.ACCEPT)
        assert (command.model, command.incident) == ("a/b", incident["id"])
        assert (command.by, command.note) == ("ada", "new prices")
        assert wait_until(lambda: "command taken" in life.said())
        produce(kafka_connection, topic, drifting(2_600, 3_000))
        assert wait_until(lambda: len(shown("&state=resolved")) == 1), life.said()
        document = ask(life, f"/api/v1/incidents/{incident['id']}")[1]["alert"]
        assert document["data"]["resolution"] == "accepted"
        assert ask(life, path, {})[0] == 409
        assert _TOKEN not in life.said()
        life.stop()


def test_either_of_two_workers_answers_for_all_shards(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> None:
    topic = make_topic(kafka_connection, f"{name}-predictions", PARTITIONS)
    settings = [*settings_of(kafka_connection.bootstrap_servers, name, topic), *_WORKERS]
    produce(kafka_connection, topic, itertools.islice(events(), CYCLE))
    with ExitStack() as stack:
        lives = [
            stack.enter_context(started([*settings, f"http.token={_TOKEN}", f"instance={each}"]))
            for each in "ab"
        ]

        def whole(life: Life) -> bool:
            """Whether all is told, by nobody alone."""
            if any(each.assigned("detect") == 4 for each in lives):
                return False
            _, page = ask(life, "/api/v1/models")
            if not page or page.get("unanswered", True) or len(page["items"]) != 2:
                return False
            versions = [version for each in page["items"] for version in each["versions"]]
            return all(version["watched"] for version in versions)

        assert wait_until(lambda: all(map(whole, lives))), "\n".join(x.said() for x in lives)
        for model in ("m0", "m1"):  # m1 is divided: its groups may be with both.
            found = [ask(life, f"/api/v1/models/{model}/signals")[1] for life in lives]
            assert [each["id"] for each in found[0]["items"]] == [
                each["id"] for each in found[1]["items"]
            ]
            columns = {each["column"] for each in found[0]["items"]}
            assert columns >= {"x", "z"}
            for each in found[0]["items"]:
                for life in lives:
                    status, signal = ask(life, f"/api/v1/signals/{each['id']}")
                    assert (status, signal["id"]) == (200, each["id"])

        lives[1].process.kill()
        lives[1].process.wait()
        _, page = ask(lives[0], "/api/v1/models")
        assert [each["instance"] for each in page["unanswered"]] == ["b"]
        assert wait_until(lambda: ask(lives[0], "/api/v1/models")[1]["unanswered"] == [])
        assert len(ask(lives[0], "/api/v1/models")[1]["items"]) == 2
