"""Every endpoint of the API, and what is answered where something is wrong."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamdrift.errors import LaterError
from streamdrift.operators import Asked
from streamdrift.records import ColumnKey, Group, SignalKind
from streamdrift.times import date_of
from streamdrift.web.names import SignalKey, id_of, signal_id
from streamdrift.web.problems import CONTENT_TYPE
from tests.alerts import make_alert
from tests.api import NOW, ODD, World, alerts, settings, table
from tests.batches import SECOND, START

INCIDENTS = "/api/v1/incidents"


def problem(answer: Any, status: int) -> str:
    """Return what a problem says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == CONTENT_TYPE
    told = answer.json()
    assert (told["status"], told["type"]) == (status, "about:blank")
    return str(told["detail"])


def fraud_incident() -> str:
    return next(str(each.data["incident"]) for each in alerts() if each.model == "fraud")


def test_models_are_listed_with_their_versions() -> None:
    with World().client() as client:
        found = client.get("/api/v1/models").json()
    models = {each["model"]: each for each in found["items"]}
    assert list(models) == sorted(models) == sorted([ODD, "fraud", "private", "young"])
    fraud = models["fraud"]
    assert (fraud["id"], fraud["labels"]) == ("fraud", {"owner": "payments"})
    assert (fraud["alert_budget"], fraud["open_incidents"]) == ("2/week", 1)
    (version,) = fraud["versions"]
    assert (version["version"], version["events"], version["watched"]) == ("3", 4_000, True)
    assert (version["signals"], version["changed"]) == (7, 1)
    assert version["last_event_at"] == "2026-01-01T01:06:39Z"
    (young,) = models["young"]["versions"]
    assert (young["watched"], young["reference_events"], young["signals"]) == (False, 10, 0)
    assert (found["next"], found["unanswered"]) == (None, [])


def test_pages_of_models_follow_one_another() -> None:
    with World().client() as client:
        whole = client.get("/api/v1/models").json()["items"]
        found, after = [], None
        while True:
            parameters = {"limit": 1} | ({} if after is None else {"after": after})
            page = client.get("/api/v1/models", params=parameters).json()
            assert len(page["items"]) <= 1
            found += page["items"]
            after = page["next"]
            if after is None:
                break
    assert found == whole


def test_signals_are_listed_by_id() -> None:
    with World().client() as client:
        found = client.get("/api/v1/models/fraud/signals").json()["items"]
        paged, after = [], None
        while True:
            parameters = {"limit": 3} | ({} if after is None else {"after": after})
            page = client.get("/api/v1/models/fraud/signals", params=parameters).json()
            assert len(page["items"]) <= 3
            paged += page["items"]
            if (after := page["next"]) is None:
                break
        other = client.get("/api/v1/models/fraud/signals?version=9").json()["items"]
        document = client.get("/openapi.json").json()
    about = document["components"]["schemas"]["Signals"]["description"]
    assert about == "A page of a model's signals, by their ids."
    assert paged == found
    assert other == []
    assert [each["id"] for each in found] == sorted(each["id"] for each in found)
    amount = next(each for each in found if each["id"] == "fraud:3:feature:amount:value")
    assert (amount["name"], amount["changed"]) == ("amount", True)
    (reading,) = amount["readings"]
    assert reading["detector"] == "e_detector"
    assert reading["threshold"] > 1e5


def test_a_model_of_any_name_has_an_address() -> None:
    with World().client() as client:
        found = client.get(f"/api/v1/models/{id_of(ODD)}/signals").json()["items"]
        assert {each["model"] for each in found} == {ODD}
        for each in found:
            assert client.get(f"/api/v1/signals/{each['id']}").json()["name"] == each["name"]


def test_a_model_that_learns_has_no_signals_and_an_unknown_one_is_none() -> None:
    with World().client() as client:
        assert client.get("/api/v1/models/young/signals").json()["items"] == []
        answer = client.get("/api/v1/models/nobody/signals")
    assert "GET /api/v1/models" in problem(answer, 404)


def test_a_signal_shows_its_reference_and_what_it_is_now() -> None:
    with World().client() as client:
        amount = client.get("/api/v1/signals/fraud:3:feature:amount:value").json()
        country = client.get("/api/v1/signals/fraud:3:feature:country:category").json()
    shown = amount["distribution"]
    assert len(shown["edges"]) == len(shown["reference"]) + 1 == len(shown["current"]) + 1
    assert sum(shown["reference"]) == pytest.approx(1)
    assert sum(shown["current"]) == pytest.approx(1)
    # The values are about two standard deviations higher since the change.
    centres = [(a + b) / 2 for a, b in itertools.pairwise(shown["edges"])]
    before, now = (
        sum(centre * share for centre, share in zip(centres, shares, strict=True))
        for shares in (shown["reference"], shown["current"])
    )
    assert 15 < now - before < 25
    assert shown["since"] == "2026-01-01T00:58:25Z"
    (incident,) = amount["changes"]
    assert (incident["id"], incident["state"]) == (fraud_incident(), "open")
    assert any("provisional" in line for line in amount["findings"])
    assert sorted(country["distribution"]["names"]) == ["DE", "FR", "US"]
    assert (country["distribution"]["since"], country["changes"]) == (None, [])


def test_a_private_column_shows_no_values() -> None:
    with World().client() as client:
        value = client.get("/api/v1/signals/private:3:feature:card:value").json()
        missing = client.get("/api/v1/signals/private:3:feature:card:missing").json()
    assert value["distribution"] is None
    assert value["readings"]
    assert missing["distribution"]["names"] == ["0", "1"]


@pytest.mark.parametrize(
    "signal",
    [
        "nonsense",
        "fraud:3:feature:nothing:value",
        "fraud:4:feature:amount:value",
        "nobody:3:feature:amount:value",
        "fraud:3:feature:amount:nothing",
        "fraud:~:event_rate",
        "young:1:feature:x:value",
    ],
)
def test_what_is_no_signal_is_not_found(signal: str) -> None:
    with World().client() as client:
        assert "GET /api/v1/models/{model}/signals" in problem(
            client.get(f"/api/v1/signals/{signal}"), 404
        )


def many_incidents() -> World:
    """Return a world with 90 incidents of three models, a second apart."""
    published = []
    for number in range(90):
        data = {
            "incident": f"{number:032x}",
            "step": 1,
            "severity": ("info", "warning", "critical")[number % 3],
            "kind": "data_drift" if number % 2 else "volume",
            "model": f"m{number % 3}",
            "version": str(number % 2),
            "opened_at": date_of(START + number * SECOND).isoformat(),
            "headline": f"number {number}",
            "summary": f"number {number}",
            "signals": [],
        }
        published.append(make_alert(number, f"m{number % 3}", str(number % 2), data))
    return World(incidents=table(published))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 90),
        ("model=m1", 30),
        ("version=1", 45),
        ("model=m1&version=1", 15),
        ("severity=info&severity=critical", 60),
        ("kind=volume", 45),
        ("kind=nothing", 0),
        ("state=open", 90),
        ("state=resolved&state=acknowledged", 0),
        ("since=2026-01-01T00:01:00Z", 30),
        ("until=2026-01-01T00:01:00Z", 60),
        ("since=2026-01-01T01:00:10%2B01:00&until=2026-01-01T00:00:20Z", 10),
    ],
)
def test_incidents_are_filtered_and_paged(query: str, count: int) -> None:
    with many_incidents().client() as client:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = client.get(f"{INCIDENTS}?{query}&limit=7{after}").json()
            found += page["items"]
            if page["next"] is None:
                break
            assert len(page["items"]) == 7
            after = f"&after={page['next']}"
    assert len(found) == len({each["id"] for each in found}) == count
    times = [each["opened_at"] for each in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        "modle=fraud",
        "limit=0",
        "limit=501",
        "limit=x",
        "state=gone",
        "severity=x",
        "since=yesterday",
        "after=x",
    ],
)
def test_what_makes_no_sense_in_a_query_is_said(query: str) -> None:
    with World().client() as client:
        detail = problem(client.get(f"{INCIDENTS}?{query}"), 422)
    assert query.partition("=")[0] in detail


def test_a_time_without_a_zone_is_refused() -> None:
    with World().client() as client:
        assert "timezone" in problem(client.get(f"{INCIDENTS}?since=2026-01-01T00:00:00"), 422)


def test_an_incident_shows_its_alert() -> None:
    with World().client() as client:
        found = client.get(f"{INCIDENTS}/{fraud_incident()}").json()
        unknown = client.get(f"{INCIDENTS}/{'0' * 32}")
    assert found["alert"]["data"]["incident"] == found["id"] == fraud_incident()
    assert found["alert"]["specversion"] == "1.0"
    assert (found["model"], found["kind"], found["state"]) == ("fraud", "data_drift", "open")
    assert "GET /api/v1/incidents" in problem(unknown, 404)


def test_incidents_are_not_listed_before_all_are_read() -> None:
    world = World(read=False)
    with world.client() as client:
        for path in ("", f"/{fraud_incident()}"):
            answer = client.get(INCIDENTS + path)
            assert "not read yet" in problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        problem(client.post(f"{INCIDENTS}/{fraud_incident()}/accept"), 503)
    assert world.written == []


@pytest.mark.parametrize("asked", ["acknowledge", "resolve", "accept"])
def test_what_is_asked_of_an_incident_is_written(asked: str) -> None:
    world = World()
    with world.client() as client:
        remark = {"by": "ada", "note": "new prices"}
        answer = client.post(f"{INCIDENTS}/{fraud_incident()}/{asked}", json=remark)
        plain = client.post(f"{INCIDENTS}/{fraud_incident()}/{asked}")
    assert (answer.status_code, plain.status_code) == (202, 202)
    first, second = world.written
    assert answer.json()["command"] == first.id != second.id
    assert (first.kind, first.incident) == (Asked(asked), fraud_incident())
    assert (first.model, first.version, first.of_model) == ("fraud", "3", False)
    assert (first.by, first.note, first.at) == ("ada", "new prices", NOW)
    assert (second.by, second.note) == ("", "")


def test_an_incident_of_the_model_itself_is_of_no_version() -> None:
    world = World()
    silence = next(str(each.data["incident"]) for each in alerts() if each.model == ODD)
    with world.client() as client:
        assert client.post(f"{INCIDENTS}/{silence}/acknowledge").status_code == 202
    (command,) = world.written
    assert (command.model, command.version, command.of_model) == (ODD, "", True)


def test_what_is_over_cannot_be_asked_for() -> None:
    opened = next(each for each in alerts() if each.model == "fraud")
    world = World(incidents=table([replace(opened, type="resolved")]))
    with world.client() as client:
        answer = client.post(f"{INCIDENTS}/{fraud_incident()}/accept")
        shown = client.get(f"{INCIDENTS}?state=resolved").json()["items"]
    assert "resolved" in problem(answer, 409)
    assert len(shown) == 1
    assert world.written == []


def test_a_planned_change_is_written() -> None:
    world = World()
    with world.client() as client:
        first = client.post("/api/v1/models/fraud/expect", json={"for": "2h", "note": "v4"})
        second = client.post(
            f"/api/v1/models/{id_of(ODD)}/expect",
            json={"since": "2026-02-01T12:00:00+01:00", "until": "2026-02-01T12:00:00Z"},
        )
    assert (first.status_code, second.status_code) == (202, 202)
    two_hours, one_hour = world.written
    assert (two_hours.since, two_hours.until) == (NOW, NOW + 7_200 * SECOND)
    assert (two_hours.model, two_hours.kind, two_hours.note) == ("fraud", Asked.EXPECT, "v4")
    assert (one_hour.model, one_hour.until - one_hour.since) == (ODD, 3_600 * SECOND)
    assert second.json()["since"] == "2026-02-01T11:00:00Z"


@pytest.mark.parametrize(("path", "body"), [("expect", {"for": "2h"}), ("withdraw", {})])
def test_of_a_model_that_nobody_knows_nothing_is_written(path: str, body: dict[str, Any]) -> None:
    world = World()
    with world.client() as client:
        answer = client.post(f"/api/v1/models/frod/{path}", json=body)
        assert problem(answer, 404).startswith(
            "no event of the model 'frod' was seen, perhaps 'fraud' is meant: GET /api/v1/models"
        )
        assert world.written == []
        new = client.post(f"/api/v1/models/frod/{path}", json={**body, "new": True})
        assert new.status_code == 202
        assert "new" in problem(
            client.post(f"/api/v1/models/frod/{path}", json={**body, "new": 1}), 422
        )
        # What is in the settings is expected to come.
        world.chosen = settings(models={"churn": {}})
    with world.client() as client:
        assert client.post(f"/api/v1/models/churn/{path}", json=body).status_code == 202
    assert [each.model for each in world.written] == ["frod", "churn"]


def test_where_no_loop_answers_whether_a_model_is_known_is_not() -> None:
    world = World()
    with world.client(loop=False) as client:
        answer = client.post("/api/v1/models/stays/expect", json={"for": "2h"})
        assert "the stream is not read" in problem(answer, 503)
        assert (
            client.post("/api/v1/models/stays/expect", json={"for": "2h", "new": True}).status_code
            == 202
        )


def test_a_planned_change_is_withdrawn() -> None:
    world = World()
    path = "/api/v1/models/fraud/withdraw"
    with world.client() as client:
        answer = client.post(path, json={"by": "ada", "note": "put off"})
        plain = client.post(path)
        assert "note" in problem(client.post(path, json={"note": "x" * 2_001}), 422)
        assert "until" in problem(client.post(path, json={"until": "2026-02-01T12:00:00Z"}), 422)
    assert (answer.status_code, plain.status_code) == (202, 202)
    told = answer.json()
    assert (told["kind"], told["model"], told["since"]) == ("withdraw", "fraud", None)
    first, second = world.written
    assert (first.kind, first.model, first.by, first.note) == (
        *(Asked.WITHDRAW, "fraud", "ada", "put off"),
    )
    assert (second.by, second.at) == ("", NOW)
    assert first.id != second.id


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "give `for`"),
        ({"for": "2h", "until": "2026-02-01T12:00:00Z"}, "not both"),
        ({"for": "2 parsecs"}, "is no duration"),
        ({"for": "0s"}, "later than"),
        ({"for": 7}, "is no duration"),
        ({"for": "9999999w"}, "from 1970 to 9999"),
        ({"until": "2020-01-01T00:00:00Z"}, "later than"),
        ({"since": "1960-01-01T00:00:00Z", "for": "1h"}, "from 1970"),
        ({"for": "2h", "fro": "x"}, "fro"),
        ({"for": None, "until": "2026-02-01T12:00:00Z"}, "leave it out"),
        ({"for": "2h", "note": "x" * 2_001}, "note"),
        ({"for": "2h", "by": "a\nb"}, "by"),
        ([], "body"),
        (None, "body"),
    ],
)
def test_a_planned_change_that_makes_no_sense_is_refused(body: object, told: str) -> None:
    world = World()
    with world.client() as client:
        answer = client.post("/api/v1/models/fraud/expect", json=body)
    assert told in problem(answer, 422)
    assert world.written == []


def test_where_the_brokers_do_not_take_a_command_that_is_said() -> None:
    world = World(refuses=LaterError("the brokers did not take it", "post it again"))
    with world.client() as client:
        answer = client.post(f"{INCIDENTS}/{fraud_incident()}/accept")
    assert problem(answer, 503) == "the brokers did not take it: post it again"
    assert answer.headers["retry-after"] == "2"


def test_the_settings_are_shown_without_secrets() -> None:
    world = World()
    http = {"token": "a-token-that-nobody-guesses"}
    sasl = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "ada",
        "sasl_plain_password": "geheim",
    }
    world.chosen = settings(http=http, kafka=sasl)
    with world.client({"Authorization": f"Bearer {http['token']}"}) as client:
        answer = client.get("/api/v1/config")
    assert answer.json()["kafka"]["sasl_plain_username"] == "ada"
    assert answer.json()["http"]["token"] == "**********"
    assert "geheim" not in answer.text
    assert http["token"] not in answer.text


def test_metrics_are_those_of_the_moment() -> None:
    world = World()
    with world.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert int(answer.headers["content-length"]) == len(answer.content)
    families = {each.name: each for each in text_string_to_metric_families(answer.text)}
    shown = families["streamdrift_signal_changed"].samples
    changed = [each.labels["signal"] for each in shown if each.value == 1]
    assert changed == ["amount"]
    assert len(families["streamdrift_signal_statistic"].samples) == len(shown) == 13


def test_metrics_and_health_are_there_where_no_loop_serves() -> None:
    world = World(ready=False)
    with world.client(loop=False) as client:
        assert "streamdrift_build_info" in client.get("/metrics").text
        assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
        world.healthy = False
        assert client.get("/healthz").text == "no\n"
        answer = client.get("/api/v1/models")
    assert "/readyz" in problem(answer, 503)
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/api/v1/models/", 404),
        ("GET", "/api/v1/models//signals", 404),
        ("GET", "/docs", 404),
        ("POST", "/api/v1/models", 405),
        ("DELETE", "/api/v1/incidents/x", 405),
        ("GET", "/api/v1/models/fraud/expect", 405),
        ("PATCH", "/metrics", 405),
    ],
)
def test_what_is_not_there_is_said(method: str, path: str, status: int) -> None:
    with World().client() as client:
        answer = client.request(method, path)
    detail = problem(answer, status)
    assert path in detail
    if status == 405:
        assert answer.headers["allow"] in detail


def test_head_is_answered_as_get_without_a_body() -> None:
    with World().client() as client:
        for path in ("/metrics", "/healthz", "/api/v1/models"):
            assert client.head(path).status_code == 200


def test_a_body_that_is_no_json_is_refused() -> None:
    world = World()
    path = f"{INCIDENTS}/{fraud_incident()}/accept"
    with world.client() as client:
        for body, status in ((b"{", 422), (b"\xff", 400)):
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            assert "no JSON" in problem(answer, status)
        answer = client.post(path, content=b'{"by": "x"}', headers={"content-type": "text/plain"})
        said = "the body is said to be text/plain: send JSON, as Content-Type: application/json"
        assert problem(answer, 422) == said
        large = client.post(path, content=b" " * 70_000)
        stream = client.post(path, content=(b" " * 10_000 for _ in range(8)))
    assert "65,536" in problem(large, 413)
    assert stream.status_code == 413
    assert world.written == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"for": "soon"}, "body.for: "),
        ({"for": None}, "body.for: leave it out, rather than to say null"),
        ({"for": "2h", "since": "now"}, "body.since: write a time as RFC 3339 has it"),
        ({"until": "2026-11-21T12:00:00"}, "body.until: Input should have timezone info"),
    ],
)
def test_a_mistake_is_said_once_where_it_is(body: Mapping[str, Any], said: str) -> None:
    with World().client() as client:
        detail = problem(client.post("/api/v1/models/fraud/expect", json=body), 422)
    assert detail.startswith(said)
    assert detail.count("body.") == 1
    assert "[" not in detail


def test_signals_that_are_none_are_left_out() -> None:
    """Somebody else may write to the topic; what is asked for is answered all the same."""
    (opened,) = (each for each in alerts() if each.model == "fraud")
    good: Any = opened.data["signals"]
    odd = [5, {"name": "amount"}, {"name": 3, "changed_at": "noon"}]
    for signals, named in (([*odd, *good], 1), (odd, 0), (5, 0)):
        world = World(incidents=table([replace(opened, data={**opened.data, "signals": signals})]))
        with world.client() as client:
            found = client.get("/api/v1/signals/fraud:3:feature:amount:value")
            assert (found.status_code, len(found.json()["changes"])) == (200, named)
            asked = client.post(f"{INCIDENTS}/{opened.data['incident']}/acknowledge")
        assert asked.status_code == 202
        assert len(world.written) == 1


def test_a_fault_in_a_view_is_a_problem_too() -> None:
    world = World()
    world.incidents = None  # type: ignore[assignment]
    with world.client() as client:
        assert "log" in problem(client.get(INCIDENTS), 500)


def test_the_document_has_every_endpoint_and_examples() -> None:
    with World().client() as client:
        document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [each for path in document["paths"].values() for each in path.values()]
    named = {each["operationId"] for each in operations}
    assert named == {
        *("list_models", "list_signals", "show_signal"),
        *("expect_change", "withdraw_change"),
        *("list_incidents", "show_incident", "show_config"),
        *("acknowledge_incident", "resolve_incident", "accept_incident"),
    }
    schemas = document["components"]["schemas"]
    assert schemas["Problem"]["properties"]["detail"]["examples"]
    assert schemas["IncidentSummary"]["properties"]["id"]["examples"]
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    json.dumps(document)


def test_the_event_rate_has_an_address() -> None:
    key = SignalKey("fraud", "", None, SignalKind.EVENT_RATE)
    assert signal_id(key) == "fraud:~:event_rate"
    column = SignalKey("fraud", "3", ColumnKey(Group.FEATURE, "amount"), SignalKind.VALUE)
    assert signal_id(column) == "fraud:3:feature:amount:value"
