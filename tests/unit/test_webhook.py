"""Alerts posted as CloudEvents, signed as Standard Webhooks has it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from streamdrift.alert_documents import read_alert
from streamdrift.errors import SettingsError
from streamdrift.sinks.answers import Verdict
from streamdrift.sinks.webhook import Webhook, WebhookSettings, key_of, sign
from tests.alerts import make_document
from tests.http_receiver import Receiver, Reply, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def send(receiver: Receiver, document: bytes, **settings: Any) -> Any:
    webhook = Webhook(
        WebhookSettings.model_validate({"url": receiver.url} | settings), lambda: 1614265330.9
    )
    try:
        return webhook.send(read_alert(document, 0))
    finally:
        webhook.close()


def test_its_address_may_stand_in_a_file(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{receiver.url}\n")
    document = make_document()
    assert send(receiver, document, url=None, url_file=file).verdict is Verdict.TAKEN
    settings = WebhookSettings.model_validate({"url_file": file})
    file.unlink()
    with pytest.raises(SettingsError, match=r"alerts.webhook.url_file: .* cannot be read"):
        Webhook(settings, lambda: 0.0)
    file.write_text(receiver.url)
    with pytest.raises(ValidationError, match="set url or url_file"):
        WebhookSettings.model_validate({"url": receiver.url, "url_file": file})
    with pytest.raises(ValidationError, match="set url or url_file"):
        WebhookSettings.model_validate({})
    with pytest.raises(ValidationError, match="must be an address"):
        WebhookSettings.model_validate({"url_file": __file__})


def test_the_signature_is_that_of_the_standard() -> None:
    # The example of Standard Webhooks' own libraries.
    body = b'{"test": 2432232314}'
    message = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(key_of(SECRET), message, 1614265330, body) == expected
    assert key_of(SECRET.removeprefix("whsec_")) == key_of(SECRET)


def test_an_alert_is_a_cloud_event_in_the_body(receiver: Receiver) -> None:
    document = make_document(1, 2, "updated", summary="größer")
    assert send(receiver, document, secret=SECRET).verdict is Verdict.TAKEN
    (post,) = receiver.posts
    assert post.body == document
    assert post.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    assert post.headers["webhook-id"] == json.loads(document)["id"]
    assert post.headers["webhook-timestamp"] == "1614265330"
    assert post.headers["webhook-signature"] == sign(
        key_of(SECRET), json.loads(document)["id"], 1614265330, post.body
    )


def test_or_its_attributes_are_headers(receiver: Receiver) -> None:
    document = make_document(model='größe "1%"', version="")
    send(receiver, document, mode="binary")
    event, (post,) = json.loads(document), receiver.posts
    assert json.loads(post.body) == event.pop("data")
    assert post.headers["content-type"] == event.pop("datacontenttype")
    assert post.headers["ce-partitionkey"] == "gr%C3%B6%C3%9Fe%20%221%25%22"
    sent = {
        name.removeprefix("ce-"): unquote(value)
        for name, value in post.headers.items()
        if name.startswith("ce-")
    }
    assert sent == event
    assert "webhook-signature" not in post.headers


def test_what_no_headers_can_be_made_of_is_no_failure_of_the_receiver(receiver: Receiver) -> None:
    event = json.loads(make_document())
    del event["datacontenttype"]
    answer = send(receiver, json.dumps(event).encode(), mode="binary")
    assert (answer.verdict, answer.detail) == (Verdict.UNREADABLE, "KeyError: 'datacontenttype'")
    assert not receiver.posts


def test_a_secret_in_a_file_is_read_anew(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    settings = WebhookSettings(url=receiver.url, secret_file=file)
    webhook = Webhook(settings, lambda: 0.0)
    alert = read_alert(make_document(), 0)
    assert webhook.send(alert).verdict is Verdict.TAKEN
    file.write_text("whsec_" + base64.b64encode(b"x" * 32).decode())
    webhook.send(alert)
    file.write_text("short")
    broken = webhook.send(alert)
    file.unlink()
    gone = webhook.send(alert)
    webhook.close()
    first, second = (each.headers["webhook-signature"] for each in receiver.posts)
    assert first == sign(key_of(SECRET), alert.id, 0, alert.document)
    assert second == sign(b"x" * 32, alert.id, 0, alert.document)
    assert (broken.verdict, gone.verdict) == (Verdict.FAILED, Verdict.FAILED)
    assert "24 to 64 bytes" in broken.detail
    assert "No such file" in gone.detail


def test_what_the_server_says_is_what_it_says(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(422)
    assert send(receiver, make_document()).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "url"),
        ({"url": "localhost"}, "must be an address"),
        ({"secret": "whsec_short"}, "24 to 64 bytes in base64"),
        ({"secret": "no base64!"}, "24 to 64 bytes in base64"),
        ({"secret": SECRET, "secret_file": __file__}, "not both"),
        ({"secret_file": "/nowhere/secret"}, "cannot be read"),
        ({"secret_file": __file__}, "24 to 64 bytes in base64"),
        ({"mode": "batched"}, "structured"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    base = {"url": "http://host/"} if settings else {}
    with pytest.raises(ValidationError, match=said):
        WebhookSettings.model_validate(base | settings)
