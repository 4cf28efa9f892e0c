"""The client of a Confluent-compatible schema registry: schemas by their ids, remembered.

A schema never changes under its id, so each is asked for once. A registry that does not answer is
a connection that failed: its messages wait and are read again, none is lost or called unreadable.
https://docs.confluent.io (Schema Registry API: schemas, and subjects' versions for references).
"""

import json
import ssl
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit
from uuid import UUID

import httpx2
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from streamdrift.backoff import Backoff
from streamdrift.durations import SECOND, Duration
from streamdrift.errors import ConnectionsError, SettingsError
from streamdrift.schemas import Schema, SchemaId, Schemas
from streamdrift.secrets import secret_of

_ATTEMPTS = 3
_FIRST_WAIT = 0.2
_UNKNOWN_SECONDS = 60.0
"""For so long an id that the registry does not know is not asked for again."""
_MOST_UNKNOWN = 30
"""So many unknown ids are asked for within these seconds: each question holds up the stream."""
_MOST_KEPT = 10_000
_MOST_BYTES = 16 << 20
_MOST_REFERENCES = 100
_ACCEPTED = "application/vnd.schemaregistry.v1+json, application/json"
_UNKNOWN_STATUS = frozenset({404, 422})
_REFUSED_STATUS = frozenset({401, 403})


class SchemaRegistrySettings(BaseModel):
    """How to reach the schema registry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(None, description="Address, such as http://registry:8081.")
    username: str | None = Field(None, description="User, or API key, where it asks for one.")
    password: SecretStr | None = Field(None, description="Password, or API secret.")
    password_file: Path | None = Field(None, description="File holding `password`.")
    cafile: Path | None = Field(None, description="Certificates of authorities to trust.")
    timeout: Duration = Field(
        5 * SECOND, gt=0, description="How long the registry may take to answer."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        try:
            httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise ValueError(f"must be an address such as http://registry:8081: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as http://registry:8081")
        if parts.username or parts.password:
            raise ValueError("must hold no user: set username and password_file beside it")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("set password or password_file, not both")
        return self


def schemas_of(settings: SchemaRegistrySettings) -> Schemas | None:
    """Return what gives the registry's schemas; None where there is no registry."""
    return None if settings.url is None else SchemaRegistry(settings).schema


class SchemaRegistry:
    """Asks a registry, and remembers its answers. `wait` and `monotonic` are the machine's."""

    def __init__(
        self,
        settings: SchemaRegistrySettings,
        wait: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert settings.url is not None, "who has no registry asks none"
        self._url = settings.url
        self._settings = settings
        self._wait = wait
        self._monotonic = monotonic
        self._known: dict[SchemaId, Schema] = {}
        self._unknown: dict[SchemaId, float] = {}
        self._missed: deque[float] = deque(maxlen=_MOST_UNKNOWN)
        try:
            self._context = ssl.create_default_context(
                cafile=None if settings.cafile is None else str(settings.cafile)
            )
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"source.schema_registry.cafile: {settings.cafile} cannot be used: {error}",
                hint="name a file of certificates in PEM format that this user may read",
            ) from error

    def schema(self, identity: SchemaId) -> Schema | None:
        """Return a schema, None where the registry has none of that id.

        So it does for an id that is new, without asking, where many were unknown just before.
        Raises ConnectionsError where it does not answer, after some attempts.
        """
        found = self._known.get(identity)
        if found is not None:
            return found
        recent = self._monotonic() - _UNKNOWN_SECONDS
        asked_at = self._unknown.get(identity)
        if asked_at is not None and asked_at > recent:
            return None
        if len(self._missed) == _MOST_UNKNOWN and self._missed[0] > recent:
            return None
        path = f"/schemas/guids/{identity}"
        if not isinstance(identity, UUID):
            path = f"/schemas/ids/{identity}"
        answer = self._get(path)
        if answer is None:
            _make_room(self._unknown)
            self._unknown[identity] = self._monotonic()
            self._missed.append(self._unknown[identity])
            return None
        references: dict[str, str] = {}
        self._collect(answer, references, depth=0)
        found = Schema(str(answer.get("schemaType") or "AVRO"), str(answer["schema"]), references)
        _make_room(self._known)
        self._known[identity] = found
        return found

    def _collect(self, answer: dict[str, Any], references: dict[str, str], depth: int) -> None:
        """Add the schemas that one refers to, those first that these refer to."""
        for each in answer.get("references") or ():
            name = str(each.get("name"))
            if name in references:
                continue
            subject, version = quote(str(each.get("subject")), safe=""), each.get("version")
            inner = self._get(f"/subjects/{subject}/versions/{quote(str(version), safe='')}")
            if inner is None or depth > _MOST_REFERENCES or len(references) > _MOST_REFERENCES:
                continue  # The schema then cannot be parsed, and its messages say so.
            self._collect(inner, references, depth + 1)
            references[name] = str(inner["schema"])

    def _get(self, path: str) -> dict[str, Any] | None:
        """Return the registry's answer, None where it says that there is none."""
        backoff = Backoff(first=_FIRST_WAIT)
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._ask(path)
            except ConnectionsError:
                self._wait(backoff.failed())
        return self._ask(path)

    def _ask(self, path: str) -> dict[str, Any] | None:
        try:
            status, body = self._fetch(f"{self._url}{path}")
            if status in _UNKNOWN_STATUS:
                return None
            if status != 200:
                raise self._failed(path, f"status {status}", status)
            answer = json.loads(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise self._failed(path, str(error)) from error
        if not isinstance(answer, dict) or "schema" not in answer:
            raise self._failed(path, "the answer holds no schema")
        return answer

    def _fetch(self, url: str) -> tuple[int, bytes]:
        """Return the status of an answer and its body; whoever it redirects to is not asked."""
        with (
            httpx2.Client(
                auth=self._login(),
                headers={"accept": _ACCEPTED, "accept-encoding": "identity"},
                timeout=self._settings.timeout / SECOND,
                verify=self._context,
                trust_env=False,
                follow_redirects=False,
            ) as client,
            client.stream("GET", url) as response,
        ):
            body = b""
            for part in response.iter_raw():
                body += part
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"the answer is longer than {_MOST_BYTES:,} bytes")
            return response.status_code, body

    def _failed(self, path: str, reason: str, status: int = 0) -> ConnectionsError:
        hint = "check source.schema_registry.url and that the registry is up"
        if status in _REFUSED_STATUS:
            hint = "check source.schema_registry.username and its password"
        if 300 <= status < 400:
            hint = "name the registry itself in source.schema_registry.url: redirects are refused"
        return ConnectionsError(f"cannot ask the schema registry {self._url}{path}: {reason}", hint)

    def _login(self) -> httpx2.BasicAuth | None:
        settings = self._settings
        if settings.username is None:
            return None
        key = "source.schema_registry.password"
        password = secret_of(key, settings.password, settings.password_file) or ""
        return httpx2.BasicAuth(settings.username, password)


def _make_room(kept: dict[SchemaId, Any]) -> None:
    """Forget what was learnt first, where there is no room for more."""
    if len(kept) >= _MOST_KEPT:
        del kept[next(iter(kept))]
