"""Two workers behind the API: either answers for both."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from streamdrift.errors import ConnectionsError
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering.lane import after
from streamdrift.records import Released
from streamdrift.web.api import make_app
from streamdrift.web.models import joined
from streamdrift.web.peers import Peers
from streamdrift.web.schemas import Model, ModelVersion
from streamdrift.workers.places import Place, note_of, owners_of, place_of
from tests.api import TOKEN, World, looped, settings
from tests.batches import START, batch

SHARDS = 4
MODELS = tuple(f"m{number}" for number in range(12))
CHOSEN = settings(http={"token": TOKEN}, shards=SHARDS)
A, B = Place("a", "a:1"), Place("b", "b:1")
NOTES = {0: note_of(A), 1: note_of(A), 2: note_of(B), 3: note_of(B)}


class Network(httpx2.AsyncBaseTransport):
    """Carries requests to applications by host; those that are none are not reached."""

    def __init__(self) -> None:
        self.hosts: dict[str, httpx2.AsyncBaseTransport] = {}
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(f"{request.url.host} {request.url.path}")
        if request.url.host not in self.hosts:
            raise httpx2.ConnectError("refused")
        return await self.hosts[request.url.host].handle_async_request(request)


class Slow(httpx2.AsyncBaseTransport):
    """Answers when nobody waits any more."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(60)
        raise AssertionError


class Broken(httpx2.AsyncBaseTransport):
    """Answers with what is no page."""

    def __init__(self, status: int, body: bytes) -> None:
        self._status, self._body = status, body

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(self._status, content=self._body)


def watched() -> Shards:
    shards = Shards(CHOSEN.model, SHARDS)
    numbers = np.random.default_rng(1).normal(size=1_200).tolist()
    parts = tuple(batch({"x": numbers}, model=model) for model in MODELS)
    end = int(parts[0].time[-1])
    shards.observe(Released(parts, end), after(end))
    return shards


@contextmanager
def workers(
    network: Network, notes: Mapping[int, str] = NOTES, *, serving: str = "ab"
) -> Iterator[list[TestClient]]:
    """Yield who asks worker a, and who asks worker b; those of `serving` have loops."""
    shards, clients = watched(), []
    with ExitStack() as stack:
        for place, own in ((A, shards.monitors[:2]), (B, shards.monitors[2:])):
            peers = Peers(place, SHARDS, lambda: notes, TOKEN, network)
            world = World(chosen=CHOSEN, watched=own, peers=peers)
            if place.instance in serving:
                stack.enter_context(looped(world.desk, own))
            app = make_app(world.behind())
            network.hosts[place.instance] = httpx2.ASGITransport(app)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            clients.append(TestClient(app, headers=headers, raise_server_exceptions=False))
        yield clients


def test_either_answers_for_both() -> None:
    with workers(Network()) as clients:
        for client in clients:
            found = client.get("/api/v1/models").json()
            assert [each["model"] for each in found["items"]] == sorted(MODELS)
            assert found["unanswered"] == []
            for model in MODELS:
                signals = client.get(f"/api/v1/models/{model}/signals").json()["items"]
                assert len(signals) == 3
                answer = client.get(f"/api/v1/signals/{model}:3:feature:x:value").json()
                assert answer["distribution"]["values"] > 0
        own = [client.get("/api/v1/models?local=true").json()["items"] for client in clients]
    assert 0 < len(own[0]) < len(MODELS)
    assert len(own[0]) + len(own[1]) == len(MODELS)


def test_pages_go_over_both() -> None:
    with workers(Network()) as (client, _):
        found, cursor = [], ""
        while True:
            page = client.get(f"/api/v1/models?limit=5{cursor}").json()
            found += [each["model"] for each in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&after={page['next']}"
    assert found == sorted(MODELS)


def test_what_neither_has_is_not_found() -> None:
    with workers(Network()) as (client, _):
        assert client.get("/api/v1/models/nobody/signals").status_code == 404
        assert client.get("/api/v1/signals/nobody:3:feature:x:value").status_code == 404


def test_a_change_is_planned_at_either_of_a_model_that_either_has() -> None:
    with workers(Network()) as clients:
        for client in clients:
            for model in MODELS:
                answer = client.post(f"/api/v1/models/{model}/expect", json={"for": "2h"})
                assert answer.status_code == 202
            answer = client.post("/api/v1/models/m99x/expect", json={"for": "2h"})
            assert answer.status_code == 404
            assert "'m99x' was seen" in answer.json()["detail"]


def test_where_who_may_have_a_model_does_not_answer_no_change_of_it_is_planned() -> None:
    network = Network()
    with workers(network) as (client, _):
        mine = client.get("/api/v1/models?local=true").json()["items"]
        del network.hosts["b"]
        known = {each["model"] for each in mine}
        for model in MODELS:
            answer = client.post(f"/api/v1/models/{model}/withdraw")
            assert answer.status_code == (202 if model in known else 503)


def test_only_who_may_have_a_model_is_asked_for_it() -> None:
    network = Network()
    with workers(network) as (client, _):
        mine = client.get("/api/v1/models?local=true").json()["items"][0]["id"]
        client.get(f"/api/v1/models/{mine}/signals")
    assert network.asked == []


@pytest.mark.parametrize(
    ("away", "reason"),
    [
        (None, "refused"),
        (Broken(500, b"{}"), "answered with status 500"),
        (Broken(401, b"{}"), "answered with status 401"),
        (Broken(200, b"<html>"), "no answer from b:1"),
    ],
)
def test_who_does_not_answer_is_named(away: httpx2.AsyncBaseTransport | None, reason: str) -> None:
    network = Network()
    with workers(network) as (client, other):
        theirs = other.get("/api/v1/models?local=true").json()["items"]
        del network.hosts["b"]
        if away is not None:
            network.hosts["b"] = away
        found = client.get("/api/v1/models").json()
        (silent,) = found["unanswered"]
        assert (silent["instance"], silent["shards"]) == ("b", [2, 3])
        assert reason in silent["reason"]
        assert len(found["items"]) == len(MODELS) - len(theirs)
        answer = client.get(f"/api/v1/models/{theirs[0]['id']}/signals")
    assert answer.status_code == 503
    assert "(b)" in answer.json()["detail"]


def test_who_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamdrift.web.peers.PEER_SECONDS", 0.2)
    network = Network()
    with workers(network) as (client, _):
        network.hosts["b"] = Slow()
        (silent,) = client.get("/api/v1/models").json()["unanswered"]
    assert silent["reason"] == "no answer from b:1 within 0.2 s"


def test_who_asks_may_be_the_one_that_does_not_answer() -> None:
    with workers(Network(), serving="b") as (client, other):
        found = client.get("/api/v1/models").json()
        (silent,) = found["unanswered"]
        assert (silent["instance"], silent["shards"]) == ("a", [0, 1])
        assert 0 < len(found["items"]) < len(MODELS)
        (silent,) = other.get("/api/v1/models").json()["unanswered"]
        assert (silent["instance"], silent["reason"]) == ("a", "a:1 answered with status 503")


def test_a_worker_without_shards_answers_with_what_others_have() -> None:
    notes = dict.fromkeys(range(SHARDS), note_of(B))
    with workers(Network(), notes, serving="b") as (client, _):
        found = client.get("/api/v1/models").json()
    assert found["unanswered"] == []
    assert found["items"]


def test_shards_that_nobody_has_are_named() -> None:
    notes = {0: note_of(A), 1: note_of(A), 2: note_of(Place("b", None)), 3: "begins"}
    with workers(Network(), notes) as (client, _):
        silent = client.get("/api/v1/models").json()["unanswered"]
    assert [(each["instance"], each["shards"]) for each in silent] == [("b", [2]), ("", [3])]
    assert "serves no HTTP" in silent[0]["reason"]
    assert "no worker" in silent[1]["reason"]


@pytest.mark.parametrize(
    "address",
    [
        "evil.example",
        "evil.example/:80",
        "evil.example/x?y=:80",
        "b@evil.example:80",
        "evil.example#:80",
        "evil.example:80/path",
        "evil.example:80\r\nX: y",
        "evil.example:99999",
        "http://evil.example:80",
    ],
)
def test_the_token_goes_to_no_address_that_is_none(address: str) -> None:
    notes = {**NOTES, 3: f"c {address}"}
    network = Network()
    with workers(network, notes) as (client, _):
        (silent,) = client.get("/api/v1/models").json()["unanswered"]
    assert (silent["instance"], silent["shards"]) == ("", [3])
    assert "no worker has said" in silent["reason"]
    assert {each.partition(" ")[0] for each in network.asked} <= {"b"}


def test_where_brokers_do_not_tell_who_has_what_that_is_said() -> None:
    def away() -> Mapping[int, str]:
        raise ConnectionsError("no broker")

    world = World(chosen=CHOSEN, peers=Peers(A, SHARDS, away, TOKEN, Network()))
    with world.client({"Authorization": f"Bearer {TOKEN}"}) as client:
        answer = client.get("/api/v1/models")
        local = client.get("/api/v1/models?local=true")
    assert answer.status_code == 503
    assert "no broker" in answer.json()["detail"]
    assert local.status_code == 200


def test_notes_say_whose_a_shard_is() -> None:
    for place in (A, Place("b", None), Place("c", "[::1]:8410")):
        assert place_of(note_of(place)) == place
    assert [place_of(note) for note in ("", "begins", "a ")] == [None, None, None]
    assert owners_of(NOTES, 5) == {A: [0, 1], B: [2, 3], None: [4]}


def test_parts_of_a_model_are_one() -> None:
    def part(version: str, signals: int, events: int, incidents: int, *, whole: bool) -> Model:
        facts = ModelVersion(
            version=version,
            events=events,
            last_event_at=START // 1_000_000 + events,
            watched=whole,
            reference_events=events,
            reference_wanted=100,
            signals=signals,
            changed=1,
        )
        return Model(
            id="m",
            model="m",
            alert_budget="2/week",
            labels={},
            open_incidents=incidents,
            versions=[facts],
            versions_left_out=0,
        )

    parts = [
        part("1", 3, 50, 2, whole=True),
        part("1", 4, 60, 0, whole=False),
        *(part(f"2.{number:03}", 1, 70 + number, 0, whole=True) for number in range(120)),
    ]
    (model,) = joined(parts)
    assert (model.open_incidents, len(model.versions), model.versions_left_out) == (2, 100, 21)
    (whole,) = joined(parts[:2])
    (version,) = whole.versions
    assert (version.signals, version.events, version.reference_events) == (7, 60, 50)
    assert (version.watched, version.changed) == (False, 2)
    assert model.versions[0].version == "2.119"
