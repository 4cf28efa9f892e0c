"""Messages to people: what they say, when none is sent, and secrets that stay so."""

import importlib.util
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.telegram import NotifyTelegram
from pydantic import SecretStr, ValidationError
from requests.adapters import HTTPAdapter

from streamdrift.alert_documents import read_alert
from streamdrift.config import load_settings
from streamdrift.errors import SettingsError
from streamdrift.following.team import make_lines
from streamdrift.prometheus.metrics import Metrics
from streamdrift.sinks.answers import Verdict
from streamdrift.sinks.notify import Notifier, NotifySettings, message_of, parse_quiet_hours
from streamdrift.sinks.settings import AlertsSettings
from tests.alerts import NOON, SECOND, make_document
from tests.http_receiver import Receiver, Reply, receiving

HOUR = 3_600 * SECOND
VICTOR_KEY = "db4a12f1-9b4b-4f0a-a8f5-8f6a2d1e5c11"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A service that apprise knows: it posts JSON there."""
    with receiving() as made:
        yield made


def address(receiver: Receiver) -> str:
    return receiver.url.replace("http://", "json://")


def message(**more: Any) -> tuple[str, str, str]:
    return message_of(read_alert(make_document(**more), 0), "https://x/{incident}")


def test_a_message_says_what_changed_and_whose_it_is() -> None:
    title, body, kind = message(
        severity="critical", labels={"owner": "payments"}, signals=[{"name": "amount"}]
    )
    assert title == "[critical] fraud/3: data drift"
    assert body.splitlines() == [
        "amount of fraud/3 changed",
        "owner: payments",
        f"https://x/{1:032x}",
    ]
    assert kind == "failure"
    assert message(kind="resolved")[0] == "[resolved] fraud/3: data drift"
    assert message(kind="resolved")[2] == "success"


def test_of_many_signals_the_strongest_are_told() -> None:
    signals = [{"name": f"x{number}", "text": "up"} for number in range(7)]
    _, body, _ = message(signals=signals, signals_left_out=2)
    assert body.splitlines()[1:7] == [
        *(f"- x{number}: up" for number in range(5)),
        "- and 4 more",
    ]


def test_apprise_delivers_it(receiver: Receiver) -> None:
    settings = NotifySettings(url=SecretStr(address(receiver)))
    answer = Notifier(settings, None).send(read_alert(make_document(), 0))
    assert answer.verdict is Verdict.TAKEN
    sent = json.loads(receiver.posts[0].body)
    assert sent["title"] == "[warning] fraud/3: data drift"
    assert f"incident: {1:032x}" in sent["message"]


@pytest.mark.parametrize(
    ("url", "key", "state", "values"),
    [
        ("pagerduty://routing@key/", "dedup_key", "event_action", ("trigger", "resolve")),
        ("firehydrant://abcdefghijkl1234", "idempotency_key", "status", ("OPEN", "CLOSED")),
        ("ilert://abcdefgh1234", "alertKey", "eventType", ("ALERT", "RESOLVE")),
        ("incidentio://source/token", "deduplication_key", "status", ("firing", "resolved")),
        ("pagertree://int_abcd1234", "id", "event_type", ("create", "resolve")),
        ("signl4://secret12345", "X-S4-ExternalID", "X-S4-Status", (None, "resolved")),
        (f"splunk://routing@{VICTOR_KEY}", "entity_id", "message_type", ("WARNING", "RECOVERY")),
        (f"victorops://routing@{VICTOR_KEY}", "entity_id", "message_type", ("WARNING", "RECOVERY")),
        ("squadcast://abcdef1234567890", "event_id", "status", ("trigger", "resolve")),
    ],
)
def test_an_incident_is_one_of_the_pagers_and_its_end_resolves_it(
    url: str,
    key: str,
    state: str,
    values: tuple[str | None, str],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post = HTTPAdapter.send

    def to_receiver(adapter: HTTPAdapter, request: Any, **options: Any) -> Any:
        request.url = receiver.url
        return post(adapter, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", to_receiver)
    receiver.reply = lambda _: Reply(200 if VICTOR_KEY in url else 202, b'{"result": "success"}')
    notifier = Notifier(NotifySettings(url=SecretStr(url)), None)
    for step, kind in enumerate(("opened", "updated", "resolved"), 1):
        alert = read_alert(make_document(7, step, kind), 0)
        assert notifier.send(alert).verdict is Verdict.TAKEN
    sent = [json.loads(post.body) for post in receiver.posts]
    assert [each[key] for each in sent] == [f"{7:032x}"] * 3
    assert [each.get(state) for each in sent] == [values[0], *values]


def test_what_would_be_markup_is_told_as_it_is(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifyTelegram, "notify_url", f"{receiver.url}/bot")
    receiver.reply = lambda _: Reply(200, b'{"ok": true, "result": {"message_id": 1}}')
    url = "tgram://123456789:abcdefg_hijklmnop/12315544/"
    summary = "<img src=x> of a&b changed"
    answer = Notifier(NotifySettings(url=SecretStr(url)), None).send(
        read_alert(make_document(summary=summary), 0)
    )
    assert answer.verdict is Verdict.TAKEN
    sent = json.loads(receiver.posts[0].body)
    assert sent["parse_mode"] == "HTML"
    assert "&lt;img src=x&gt; of a&amp;b changed" in sent["text"]


@pytest.mark.parametrize(("more", "posts"), [("", 1), ("?overflow=split", 3)])
def test_a_message_is_as_long_as_its_service_takes(
    more: str, posts: int, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifyDiscord, "notify_url", receiver.url)
    monkeypatch.setattr(NotifyDiscord, "request_rate_per_sec", 0)
    url = f"discord://123456789012345678/abcdefghijkl{more}"
    answer = Notifier(NotifySettings(url=SecretStr(url)), None).send(
        read_alert(make_document(summary="x" * 5_000), 0)
    )
    assert answer.verdict is Verdict.TAKEN
    assert len(receiver.posts) == posts
    for post in receiver.posts:
        assert 1_000 < len(json.loads(post.body)["content"]) <= NotifyDiscord.body_maxlen == 2_000


def test_what_is_not_taken_is_tried_again_and_no_address_is_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.reply = lambda _: Reply(500)
    url = f"{address(receiver)}/s3cret"
    with caplog.at_level(logging.DEBUG):
        notifier = Notifier(NotifySettings(url=SecretStr(url)), None)
        answer = notifier.send(read_alert(make_document(), 0))
    notifier.close()
    assert (answer.verdict, answer.detail, notifier.place) == (Verdict.FAILED, "not taken", "json")
    assert receiver.posts[0].path.endswith("s3cret")
    assert "s3cret" not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("apprise")
    )


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        ("apprise.plugins.custom_json.NotifyJSON.notify", "not taken"),
        ("apprise.Apprise.notify", "TypeError"),
    ],
)
def test_a_service_that_breaks_is_a_failure(
    part: str, detail: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = Notifier(NotifySettings(url=SecretStr(address(receiver))), None)

    def broken(*_: object, **__: object) -> bool:
        raise TypeError("s3cret")

    monkeypatch.setattr(part, broken)
    answer = notifier.send(read_alert(make_document(), 0))
    assert (answer.verdict, answer.detail) == (Verdict.FAILED, detail)


def test_what_no_message_can_be_made_of_is_no_failure_of_the_service(receiver: Receiver) -> None:
    notifier = Notifier(NotifySettings(url=SecretStr(address(receiver))), None)
    answer = notifier.send(read_alert(make_document(signals=5), 0))
    assert answer.verdict is Verdict.UNREADABLE
    assert not receiver.posts


def test_an_address_in_a_file_may_change(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(address(receiver) + "\n")
    notifier = Notifier(NotifySettings(url_file=file), None)
    alert = read_alert(make_document(), 0)
    assert notifier.send(alert).verdict is Verdict.TAKEN
    file.write_text("nonsense")
    assert notifier.send(alert).verdict is Verdict.FAILED
    file.unlink()
    assert "cannot be read" in notifier.send(alert).detail


@pytest.mark.parametrize("url", ["nonsense", "unknown://s3cret", "slack://"])
def test_an_address_that_is_none_is_an_error_that_hides_it(url: str) -> None:
    said = "(apprise does not know|a part is missing in) an address that begins with"
    with pytest.raises(SettingsError, match=said) as caught:
        Notifier(NotifySettings(url=SecretStr(url)), None)
    assert "s3cret" not in str(caught.value)


def test_a_service_that_needs_more_packages_names_them() -> None:
    with pytest.raises(SettingsError, match="cannot use an address that begins with 'mqtt'") as e:
        Notifier(NotifySettings(url=SecretStr("mqtt://s3cret/topic")), None)
    assert str(e.value.hint).startswith("pip install 'paho-mqtt")
    assert "s3cret" not in f"{e.value}{e.value.hint}"


def test_without_apprise_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="needs the package apprise") as caught:
        Notifier(NotifySettings(url=SecretStr("json://host")), None)
    assert "streamdrift[notify]" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "hour", "within"),
    [
        ("11:00-13:00", 12, True),
        ("12:00-13:00", 12, True),
        ("11:00-12:00", 12, False),
        ("22:00-07:00", 23, True),
        ("22:00-07:00", 6, True),
        ("22:00-07:00", 7, False),
        ("13:00-14:00 Europe/Berlin", 12, True),
        ("12:00-13:00 Europe/Berlin", 12, False),
    ],
)
def test_quiet_hours_are_of_a_time_zone(text: str, hour: int, within: bool) -> None:
    assert parse_quiet_hours(text).hold(NOON + (hour - 12) * HOUR) is within


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at night", "must be hours and a time zone"),
        ("25:00-07:00", "must be hours and a time zone"),
        ("22:00-22:00", "another time"),
        ("22:00-07:00 Europe/Atlantis", "no time zone"),
        ("22:00-07:00 ../etc/passwd", "no time zone"),
    ],
)
def test_quiet_hours_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NotifySettings(url=SecretStr("json://host"), quiet_hours=text)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "set url or url_file"),
        ({"url": "json://a", "url_file": __file__}, "not both"),
        ({"url_file": "/nowhere/url"}, "cannot be read"),
        ({"url": "json://a", "severity": "fatal"}, "critical"),
        ({"url": "json://a", "name": "a b"}, "name"),
    ],
)
def test_settings_that_make_no_sense_are_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AlertsSettings.model_validate({"notify": [entry]})


def test_entries_have_names_of_their_own() -> None:
    twice = [{"url": "json://a", "name": "2"}, {"url": "json://b"}]
    with pytest.raises(ValidationError, match="another name"):
        AlertsSettings.model_validate({"notify": twice})
    settings = load_settings(
        None, ["alerts.notify=[{url: json://a, name: team}, {url: json://b}]"], {}
    )
    assert [line.sink for line in make_lines(settings, Metrics())] == ["notify.team", "notify.2"]


def test_addresses_are_never_shown() -> None:
    settings = load_settings(
        None,
        [
            "alerts.notify=[{url: 'slack://s3cret'}]",
            "alerts.webhook={url: 'http://h/', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}",
            "alerts.alertmanager={url: 'http://h', bearer_token: s3cret}",
        ],
        {},
    )
    shown = settings.text() + repr(settings)
    assert "s3cret" not in shown
    assert "MfKQ" not in shown
    with pytest.raises(SettingsError) as caught:
        load_settings(None, ["alerts.notify=slack://s3cret"], {})
    assert "s3cret" not in str(caught.value)


def test_of_what_is_posted_to_the_host_alone_is_shown() -> None:
    settings = load_settings(
        None,
        [
            "alerts.webhook.url=https://hooks.example.com:8443/services/T0/s3cret?token=s3cret",
            "alerts.alertmanager.url=['http://one:9093/s3cret', 'http://two:9093/']",
        ],
        {},
    )
    shown = settings.shown()["alerts"]
    assert shown["webhook"]["url"] == "https://hooks.example.com:8443/**********"
    assert shown["alertmanager"]["url"] == ["http://one:9093/**********", "http://two:9093/"]
    assert "s3cret" not in settings.text()


@pytest.mark.parametrize(
    "setting",
    [
        "alerts.webhook.url=hooks.example.com/s3cret",
        "alerts.webhook.url=https://user:s3cret@host/",
        "alerts.alertmanager.url=['http://one:9093', 'https://user:s3cret@host/']",
        "source.schema_registry.url=https://user:s3cret@host/",
    ],
)
def test_an_address_that_is_wrong_is_not_repeated(setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, [setting], {})
    assert "must" in str(caught.value)
    assert "s3cret" not in str(caught.value)
