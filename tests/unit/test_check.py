"""`streamdrift check`: whoever pages is asked, and with --send-test told of a test."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamdrift.commands import check
from streamdrift.commands.check import run_check
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, SettingsError, StreamdriftError
from streamdrift.incidents.grouping import Incidents
from streamdrift.incidents.settings import IncidentSettings
from streamdrift.sinks.alertmanager import labels_of
from streamdrift.sinks.cloudevents import encode
from streamdrift.sinks.sample import sample
from tests.alerts import NOON, SECOND, changed, left
from tests.http_receiver import Post, Receiver, Reply, receiving
from tests.real_kafka import free_ports
from tests.registry import Registry, schema_registry
from tests.tls import make_certificate, serving

SECRET = "s3cret"
_CURE = "check host and port of alerts.webhook.url, and that it is up"
STATUS = {"cluster": {"status": "ready"}, "versionInfo": {"version": "0.27.0"}}


@pytest.fixture(autouse=True)
def brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every topic is as it should be."""
    monkeypatch.setattr(check, "inspect_topics", lambda *_: ())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An Alertmanager, a webhook, and a service of apprise's, all in one."""
    with receiving() as made:
        made.url = made.url.removesuffix("/alerts")
        made.reply = lambda post: Reply(200, json.dumps(STATUS).encode() if _is_get(post) else b"")
        yield made


@pytest.fixture
def registry() -> Iterator[Registry]:
    with schema_registry() as served:
        yield served


def _is_get(post: Post) -> bool:
    return post.method == "GET"


def sections(receiver: Receiver, registry: Registry | None = None) -> dict[str, Any]:
    alerts = {
        "alertmanager": {"url": receiver.url},
        "webhook": {"url": f"{receiver.url}/{SECRET}", "bearer_token": SECRET},
        "notify": [
            {
                "url": f"{receiver.url.replace('http', 'json')}/{SECRET}",
                "name": "team",
                "severity": "critical",
                "quiet_hours": "00:00-23:59",
            }
        ],
    }
    source = {} if registry is None else {"schema_registry": {"url": registry.url}}
    return {"name": "mine", "alerts": alerts, "source": source}


def checked(
    capsys: pytest.CaptureFixture[str], sections: Mapping[str, Any], *, send_test: bool = False
) -> tuple[str, StreamdriftError | None]:
    """Return what is printed, and the error that ends it."""
    error: StreamdriftError | None = None
    try:
        run_check(Settings.model_validate(sections), offline=False, send_test=send_test)
    except StreamdriftError as raised:
        error = raised
    out = capsys.readouterr().out
    assert SECRET not in out + ("" if error is None else f"{error}{error.hint}")
    return out, error


def rows(out: str) -> list[list[str]]:
    """Return the cells of who was asked."""
    table = out.partition("asked  ")[2].splitlines()[1:]
    found = ([part for part in line.split("  ") if part] for line in table)
    return [[part.strip() for part in cells] for cells in found if len(cells) == 3]


def test_all_are_asked_and_nobody_is_paged(
    receiver: Receiver, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("predictions-value", {"schema": "{}"})
    out, error = checked(capsys, sections(receiver, registry))
    assert error is None
    assert rows(out) == [
        ["schema registry", registry.url, "ok: 1 subject"],
        ["alertmanager", receiver.url, "ok: version 0.27.0, cluster ready"],
        ["webhook", receiver.url, "ok: connected, nothing sent"],
        ["notify.team", "json", "ok: address understood, nothing sent"],
    ]
    assert out.endswith("\nconnections: all right\n")
    assert [(each.method, each.path) for each in receiver.posts] == [("GET", "/api/v2/status")]
    assert registry.asked == ["/subjects"]


def test_a_test_goes_to_all_who_page_whatever_their_hours_and_severity(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    out, error = checked(capsys, sections(receiver), send_test=True)
    assert error is None
    taken = "ok: has taken a test alert, and its end (status 200)"
    assert rows(out) == [
        ["alertmanager", receiver.url, taken],
        ["webhook", receiver.url, taken],
        ["notify.team", "json", "ok: has taken a test message"],
    ]
    posts = [each for each in receiver.posts if each.method == "POST"]
    paths = [each.path for each in posts]
    assert paths == ["/api/v2/alerts"] * 2 + [f"/{SECRET}"] * 3
    (fires,), (over,) = (json.loads(each.body) for each in posts[:2])
    assert fires["labels"] == over["labels"]
    assert fires["labels"] == {
        "alertname": "StreamdriftIncident",
        "deployment": "mine",
        "model": "streamdrift-test",
        "kind": "test",
        "severity": "info",
        "test": "true",
    }
    assert over["startsAt"] < over["endsAt"] < fires["endsAt"]
    opened, ended = (json.loads(each.body) for each in posts[2:4])
    assert [each["type"].split(".")[3] for each in (opened, ended)] == ["opened", "resolved"]
    assert opened["data"]["incident"] == ended["data"]["incident"]
    assert "test notification" in opened["data"]["summary"]
    assert posts[2].headers["webhook-id"] != posts[3].headers["webhook-id"]
    message = json.loads(posts[4].body)
    assert message["title"] == "[info] streamdrift-test: test"
    assert message["message"].startswith("a test notification of the deployment mine")


def test_a_test_is_like_an_alert() -> None:
    """Who reads alerts finds every field where it is."""
    incidents = Incidents(lambda _: IncidentSettings(), lambda _: {})
    alerts = incidents.observe([changed(NOON), left(NOON + 90 * SECOND)], NOON + 100 * SECOND)
    for alert, step in zip(alerts, ("opened", "resolved"), strict=True):
        event: Any = encode(alert, "mine")
        made = sample("mine", "a" * 32, NOON, step)  # type: ignore[arg-type]
        assert made.event().keys() == event.keys()
        assert made.event()["data"].keys() == event["data"].keys()
        assert (made.type, made.severity, made.expected) == (step, "info", False)
        assert labels_of(made)["test"] == "true"


def test_who_opens_incidents_is_sent_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from requests.adapters import HTTPAdapter
    from requests.models import Response

    sent: list[Any] = []

    def send(_: HTTPAdapter, request: Any, **__: Any) -> Response:
        sent.append(json.loads(request.body))
        answer = Response()
        answer.status_code, answer.url, answer.request = 202, request.url, request
        answer._content = b""
        return answer

    monkeypatch.setattr(HTTPAdapter, "send", send)
    url = f"pagerduty://{SECRET}{SECRET}@abcd{SECRET}"
    out, error = checked(capsys, {"alerts": {"notify": [{"url": url}]}}, send_test=True)
    assert error is None
    assert rows(out) == [["notify.1", "pagerduty", "ok: has taken a test message, and its end"]]
    assert [each["event_action"] for each in sent] == ["trigger", "resolve"]
    assert sent[0]["dedup_key"] == sent[1]["dedup_key"]


def test_one_that_fails_is_told_as_it_is(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.reply = lambda _: Reply(401)
    out, error = checked(capsys, sections(receiver))
    assert isinstance(error, ConnectionsError)
    assert error.exit_code == 4
    assert str(error) == f"Alertmanager at {receiver.url} answered with status 401"
    assert error.hint == (
        "check username and password_file, or bearer_token_file, of alerts.alertmanager"
    )
    assert [row[2].split(":")[0] for row in rows(out)] == ["wrong", "ok", "ok"]


def test_all_that_fail_are_told_even_where_no_broker_answers(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionsError("no broker answers", "check kafka.bootstrap_servers")

    monkeypatch.setattr(check, "inspect_topics", away)
    registry.authorization = "Basic x"
    (port,) = free_ports(1)
    alerts = {"webhook": {"url": f"http://127.0.0.1:{port}/{SECRET}"}}
    source = {"schema_registry": {"url": registry.url}}
    out, error = checked(capsys, {"alerts": alerts, "source": source})
    assert error is not None
    assert str(error).splitlines() == [
        "3 connections are wrong:",
        "  no broker answers",
        "  hint: check kafka.bootstrap_servers",
        f"  cannot ask the schema registry {registry.url}/subjects: status 401",
        "  hint: check source.schema_registry.username and its password",
        f"  cannot reach the webhook at http://127.0.0.1:{port}: [Errno 111] Connection refused",
        f"  hint: nothing listens there: {_CURE}",
    ]
    assert [row[2] for row in rows(out)] == ["wrong", "wrong"]


@pytest.mark.parametrize(
    ("status", "said", "cure"),
    [
        (401, "has not taken a test alert: answered 401", "alerts.webhook"),
        (400, "has not taken a test alert: answered 400: why\\x1b", "see its log"),
        (404, "answered 404", "check the path of alerts.webhook.url"),
    ],
)
def test_a_test_that_is_not_taken_is_told(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], status: int, said: str, cure: str
) -> None:
    receiver.reply = lambda post: Reply(status, b"why\x1b") if SECRET in post.path else Reply(200)
    chosen = {"alerts": {"webhook": sections(receiver)["alerts"]["webhook"]}}
    assert checked(capsys, chosen)[1] is None
    _, error = checked(capsys, chosen, send_test=True)
    assert error is not None
    assert said in str(error)
    assert cure in str(error.hint)


def test_a_message_that_is_not_taken_is_told(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.reply = lambda _: Reply(500)
    chosen = {"alerts": {"notify": sections(receiver)["alerts"]["notify"]}}
    _, error = checked(capsys, chosen, send_test=True)
    assert str(error) == "a test message by json was not taken: not taken"
    assert error is not None
    assert "apprise -vv" in str(error.hint)


def test_offline_nobody_is_asked_nor_told(receiver: Receiver) -> None:
    settings = Settings.model_validate(sections(receiver))
    run_check(settings, offline=True)
    with pytest.raises(SettingsError, match="--offline connects to nobody"):
        run_check(settings, offline=True, send_test=True)
    assert receiver.connections == 0


def test_a_registry_whose_certificate_is_not_trusted_says_whose_to_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_certificate(tmp_path)
    with receiving(context=serving(file)) as secured:
        secured.reply = lambda _: Reply(200, b"[]")
        registry = {"url": secured.url.removesuffix("/alerts")}
        _, error = checked(capsys, {"source": {"schema_registry": registry}})
        trusted, none = checked(
            capsys, {"source": {"schema_registry": {**registry, "cafile": file}}}
        )
    assert error is not None
    assert "certificate verify failed" in str(error)
    assert str(error.hint).endswith("signed its certificate in source.schema_registry.cafile")
    assert none is None
    assert rows(trusted)[0][2] == "ok: 0 subjects"


def test_a_registry_that_is_none_is_said_to_be(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    _, error = checked(capsys, {"source": {"schema_registry": {"url": receiver.url}}})
    assert "the answer is none of a schema registry's" in str(error)
