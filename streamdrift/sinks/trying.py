"""Whether those who page can be reached: tried without paging anybody."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2

from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError
from streamdrift.secrets import read_secret
from streamdrift.sinks.alertmanager import AlertmanagerSettings, status_url
from streamdrift.sinks.endpoint import EndpointSettings, client_options, login_of, origin_of
from streamdrift.sinks.webhook import WebhookSettings
from streamdrift.unreached import Keys, cure_of, cure_of_status, reason_of

T = TypeVar("T")
_MOST_BYTES = 16 << 20
"""Of what Alertmanager says of itself, its whole configuration among it."""
_REFUSED_WITHIN = 0.5
"""Seconds in which a server says that it does not take the client's certificate."""


def keys_of(section: str) -> Keys:
    """Return how the settings of an endpoint are called, such as `alerts.webhook`."""
    return Keys(
        f"{section}.url",
        f"{section}.ca_file",
        f"username and password_file, or bearer_token_file, of {section}",
        f"{section}.cert_file and key_file",
    )


ALERTMANAGER = keys_of("alerts.alertmanager")
WEBHOOK = keys_of("alerts.webhook")


def ask_alertmanager(url: str, settings: AlertmanagerSettings) -> str:
    """Return what an Alertmanager says of itself: its version, and how its cluster stands.

    Raises ConnectionsError where it does not answer, or is none.
    """
    place, address = origin_of(url), status_url(url)

    def ask(client: httpx2.Client) -> tuple[int, bytes]:
        login = login_of(settings, address)
        with client.stream("GET", address, headers=login) as response:
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"the answer is longer than {_MOST_BYTES:,} bytes")
            return response.status_code, body

    status, body = _tried(f"Alertmanager at {place}", settings, ALERTMANAGER, ask)
    if status != 200:
        raise ConnectionsError(
            f"Alertmanager at {place} answered with status {status}",
            cure_of_status(status, ALERTMANAGER),
        )
    try:
        said = json.loads(body)
        return f"version {said['versionInfo']['version']}, cluster {said['cluster']['status']}"
    except (ValueError, LookupError, TypeError) as error:
        raise ConnectionsError(
            f"what answers at {place} is no Alertmanager with an API v2",
            f"check {ALERTMANAGER.url}, with its prefix where it has one",
        ) from error


def reach_webhook(settings: WebhookSettings) -> str:
    """Connect to a webhook as for a post, with TLS where it has that, and send nothing.

    What a receiver does with a request is its own affair: it may page for any. Raises
    ConnectionsError where it cannot be reached.
    """
    url = settings.address()
    _tried(
        f"the webhook at {origin_of(url)}", settings, WEBHOOK, lambda client: _reach(client, url)
    )
    return "connected, nothing sent"


class _ReachedError(Exception):
    """Ends a request before any of it is sent."""


def _reach(client: httpx2.Client, url: str) -> None:
    """Do all that comes before a request, through a proxy where there is one.

    Raises an error of httpx's where that fails.
    """
    secured: Any = None
    listening = False

    def look(event: str, info: Mapping[str, Any]) -> None:
        nonlocal secured, listening
        if event.endswith("start_tls.complete"):
            secured = info["return_value"]
        # A proxy is asked for the connection itself.
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            if secured is not None:
                # By TLS 1.3 a server refuses who asks only once it is connected.
                listening = True
                secured.read(1, _REFUSED_WITHIN)
            raise _ReachedError

    try:
        # Should it be sent after all, it is what nobody pages for.
        client.request("OPTIONS", url, extensions={"trace": look})
    except _ReachedError:
        return
    except httpx2.ReadTimeout:
        if not listening:
            raise


def _tried(
    what: str, settings: EndpointSettings, keys: Keys, do: Callable[[httpx2.Client], T]
) -> T:
    """Return what comes of it; raise ConnectionsError, with what to do, where nothing does."""
    try:
        _check_secrets(what, settings, keys)
        seconds = settings.timeout / SECOND
        with httpx2.Client(timeout=seconds, **client_options(settings)) as client:
            return do(client)
    # A server may answer what no standard has; files may be gone.
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise ConnectionsError(
            f"cannot reach {what}: {reason_of(error)}", cure_of(error, keys)
        ) from error


def _check_secrets(what: str, settings: EndpointSettings, keys: Keys) -> None:
    for name in ("password", "bearer_token"):
        if read_secret(getattr(settings, name), getattr(settings, f"{name}_file")) == "":
            raise ConnectionsError(
                f"cannot reach {what}: the file of {name} is empty", f"look at {keys.login}"
            )
