"""What is posted to over HTTP: its settings, and posting to it."""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx2
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from streamdrift import __version__
from streamdrift.durations import SECOND, Duration
from streamdrift.files import checked_file
from streamdrift.secrets import read_secret
from streamdrift.sinks.answers import Answer, Verdict

_AGAIN = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429})
"""Refusals that are of the endpoint, as it stands now, and not of what was sent."""
_READ_BYTES = 65_536
"""Of an answer; one that is longer costs its connection."""
_SHOWN = 200
_LONGEST_WAIT = 3_600.0
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_FILES = ("password_file", "bearer_token_file", "ca_file", "cert_file", "key_file")


class EndpointSettings(BaseModel):
    """How something is reached over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str | None = Field(None, description="User, for basic authentication.")
    password: SecretStr | None = Field(None, description="Password of that user.")
    password_file: Path | None = Field(None, description="File holding `password`.")
    bearer_token: SecretStr | None = Field(None, description="Token, for bearer authentication.")
    bearer_token_file: Path | None = Field(
        None, description="File holding `bearer_token`, read anew each time."
    )
    ca_file: Path | None = Field(None, description="Certificates of authorities to trust.")
    cert_file: Path | None = Field(None, description="The client's certificate (mutual TLS).")
    key_file: Path | None = Field(None, description="Private key of that certificate.")
    headers: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="Headers of every post, such as X-Scope-OrgID: secrets."
    )
    timeout: Duration = Field(
        10 * SECOND, gt=0, le=20 * SECOND, description="Longest wait for each part of an answer."
    )

    @field_validator(*_FILES)
    @classmethod
    def _check_file(cls, file: Path | None) -> Path | None:
        return checked_file(file)

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if not _PLAIN.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of {name} has what no header may hold in it")
        return headers

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        for name in ("password", "bearer_token"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"set {name} or {name}_file, not both")
        has_password = self.password is not None or self.password_file is not None
        if has_password != (self.username is not None):
            raise ValueError("username and its password (or password_file) go together")
        has_token = self.bearer_token is not None or self.bearer_token_file is not None
        if has_password and has_token:
            raise ValueError("set a username or a bearer_token, not both")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        return self


def checked_url(url: str) -> str:
    """Return the address of something on HTTP; raise ValueError where it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        good = False
    if not good or re.search(r"\s", url):
        raise ValueError("must be an address such as https://host:port/path")
    if parts.username or parts.password:
        raise ValueError("must hold no password: set username and password_file")
    return url


def origin_of(url: str) -> str:
    """Return what may be shown of an address: the rest of it may be a secret.

    >>> origin_of("https://hooks.example.com/T0/s3cret?token=x")
    'https://hooks.example.com'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Endpoint:
    """Posts to one address, over a connection that is kept."""

    def __init__(self, url: str, settings: EndpointSettings) -> None:
        self._url = url
        self._settings = settings
        self._client: httpx2.Client | None = None
        self.place = origin_of(url)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post `body` and return what became of it; raises nothing."""
        try:
            if self._client is None:
                self._client = self._open()
            with self._client.stream(
                "POST", self._url, content=body, headers={**headers, **self._login()}
            ) as response:
                text = _beginning(response)
        except httpx2.LocalProtocolError:
            # What it says has the header in it, which may be a secret.
            return Answer(Verdict.FAILED, "a header cannot be sent: has a secret a line end in it?")
        # A server may answer what no standard has; files may be gone.
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            self.close()
            return Answer(Verdict.FAILED, f"{type(error).__name__}: {error}"[:_SHOWN])
        status = response.status_code
        if 200 <= status < 300:
            return Answer(Verdict.TAKEN)
        detail = f"answered {status}" + (f": {text[:_SHOWN]}" if text else "")
        if 400 <= status < 500 and status not in _AGAIN:
            return Answer(Verdict.REFUSED, detail)
        return Answer(Verdict.FAILED, detail, _asked_wait(response))

    def close(self) -> None:
        """Close the connection; the next post opens another."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(httpx2.HTTPError, OSError):
                client.close()

    def _open(self) -> httpx2.Client:
        settings = self._settings
        context = ssl.create_default_context(
            cafile=None if settings.ca_file is None else str(settings.ca_file)
        )
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        return httpx2.Client(
            timeout=settings.timeout / SECOND,
            verify=context,
            headers={
                "user-agent": f"streamdrift/{__version__}",
                **{name: each.get_secret_value() for name, each in settings.headers.items()},
            },
        )

    def _login(self) -> Mapping[str, str]:
        settings = self._settings
        token = read_secret(settings.bearer_token, settings.bearer_token_file)
        if token is not None:
            return {"authorization": f"Bearer {token}"}
        password = read_secret(settings.password, settings.password_file)
        if settings.username is None or password is None:
            return {}
        request = httpx2.Request("POST", self._url)
        flow = httpx2.BasicAuth(settings.username, password).auth_flow(request)
        return {"authorization": next(flow).headers["authorization"]}


def _beginning(response: httpx2.Response) -> str:
    """Return the beginning of an answer on one line; what is short is read to its end."""
    read = b""
    for part in response.iter_raw():
        read += part
        if len(read) > _READ_BYTES:
            break
    return " ".join(read[: 4 * _SHOWN].decode(errors="replace").split())


def _asked_wait(response: httpx2.Response) -> float | None:
    """Return the seconds that an answer asks to wait, where it names them."""
    asked = response.headers.get("retry-after", "")
    return min(float(asked), _LONGEST_WAIT) if re.fullmatch(r"\d{1,6}", asked) else None
