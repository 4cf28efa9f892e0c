"""Alerts as CloudEvents over HTTP, signed as Standard Webhooks has it."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

import orjson
from pydantic import Field, SecretStr, field_validator, model_validator

from streamdrift.alert_documents import Published
from streamdrift.durations import DAY, Duration
from streamdrift.files import checked_file
from streamdrift.secrets import checked_secret, read_secret, secret_of
from streamdrift.sinks.answers import Answer, Verdict, unreadable
from streamdrift.sinks.endpoint import (
    Endpoint,
    EndpointSettings,
    checked_url,
)

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a secret."""
# What a header may hold as it is, by CloudEvents' HTTP binding; a quote and a percent are not.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


class WebhookSettings(EndpointSettings):
    """Where alerts are posted to."""

    url: str | None = Field(None, description="Address that alerts are posted to.")
    url_file: Path | None = Field(
        None, description="File holding `url`, read at the start: it may be a secret."
    )
    mode: Literal["structured", "binary"] = Field(
        "structured", description="A CloudEvent whole in the body, or its attributes as headers."
    )
    secret: SecretStr | None = Field(
        None, description="Secret that posts are signed with: whsec_ and 24 to 64 bytes in base64."
    )
    secret_file: Path | None = Field(
        None, description="File holding `secret`, read anew each time."
    )
    give_up_after: Duration = Field(
        3 * DAY,
        gt=0,
        description="How long one alert is tried before it is passed over for the next.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)

    @field_validator("url_file")
    @classmethod
    def _check_url_file(cls, file: Path | None) -> Path | None:
        if file is not None:
            checked_url(checked_secret(file))
        return file

    @field_validator("secret_file")
    @classmethod
    def _check_secret_file(cls, file: Path | None) -> Path | None:
        return checked_file(file)

    @model_validator(mode="after")
    def _check_one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set url or url_file, and not both")
        return self

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("set secret or secret_file, not both")
        secret = read_secret(self.secret, self.secret_file)
        if secret is not None:
            key_of(secret)
        return self

    def address(self) -> str:
        """Return where alerts are posted to; raise SettingsError where its file cannot be read."""
        return self.url or secret_of("alerts.webhook.url", None, self.url_file) or ""


def key_of(secret: str) -> bytes:
    """Return the key in a secret; raise ValueError where it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(
            f"the secret must be {_SHORTEST} to {_LONGEST} bytes in base64: "
            "echo whsec_$(openssl rand -base64 32) makes one"
        )
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message: version 1 of Standard Webhooks.

    `timestamp` is in seconds since the epoch.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def message_of(published: Published, mode: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an alert, by CloudEvents' HTTP binding."""
    if mode == "structured":
        return published.document, {"content-type": "application/cloudevents+json; charset=UTF-8"}
    event = published.event()
    body = orjson.dumps(event.pop("data"))
    headers = {"content-type": str(event.pop("datacontenttype"))}
    return body, headers | {
        f"ce-{name}": quote(str(value), safe=_PLAIN) for name, value in event.items()
    }


class Webhook:
    """Posts alerts one by one; `now` is a clock of seconds since the epoch."""

    def __init__(self, settings: WebhookSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._endpoint = Endpoint(settings.address(), settings)
        self.place = self._endpoint.place

    def send(self, published: Published) -> Answer:
        """Post an alert; raises nothing."""
        try:
            body, headers = message_of(published, self._settings.mode)
        except Exception as error:  # What others write may be anything.
            return unreadable(error)
        try:
            headers |= self._signed(published.id, body)
        except (OSError, ValueError) as error:
            return Answer(Verdict.FAILED, f"webhook.secret_file: {error}")
        return self._endpoint.post(body, headers)

    def _signed(self, message_id: str, body: bytes) -> Mapping[str, str]:
        secret = read_secret(self._settings.secret, self._settings.secret_file)
        timestamp = int(self._now())
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
        if secret is None:
            return headers
        return headers | {"webhook-signature": sign(key_of(secret), message_id, timestamp, body)}

    def close(self) -> None:
        """Close the connection."""
        self._endpoint.close()
