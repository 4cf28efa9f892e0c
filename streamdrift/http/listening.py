"""Where something is served over HTTP, and who may ask: this machine, or who has the token."""

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from streamdrift.errors import SettingsError
from streamdrift.secrets import secret_of

_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/\[\]@?#\\]+):(\d{1,5})")
_TOKEN = re.compile(r"[\x21-\x7e]{16,}")


def checked_place(place: str) -> str:
    """Return an address and port; raise ValueError where it is none.

    >>> checked_place("[::1]:8410")
    '[::1]:8410'
    """
    match = _PLACE.fullmatch(place)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be an address and a port, such as 127.0.0.1:8410")
    return place


def host_and_port(place: str) -> tuple[str, int]:
    """Return the parts of what `checked_place` let pass.

    >>> host_and_port("[::1]:8410")
    ('::1', 8410)
    """
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)


def is_local(host: str) -> bool:
    """Tell whether a host's name or address is that of this machine alone.

    >>> is_local("127.0.0.1"), is_local("::1"), is_local("localhost"), is_local("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_this_machine(header: str) -> bool:
    """Tell whether a request's `Host` header is of this machine.

    A page of another place could make a browser ask here under another name.

    >>> names_this_machine("localhost:8410"), names_this_machine("[::1]"), names_this_machine("a.b")
    (True, True, False)
    """
    host, _, port = header.rpartition(":")
    return is_local((host if port.isdecimal() else header).strip("[]"))


def checked_token(token: str) -> str:
    """Return a token; raise ValueError, which does not name it, where it is too easily guessed."""
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            "a token has 16 characters at least, letters, digits and signs of ASCII: "
            "`openssl rand -hex 32` makes one"
        )
    return token


def token_of(key: str, value: SecretStr | None, file: Path | None) -> str | None:
    """Return the token of a setting, at the start; None where everybody may ask.

    Raises SettingsError where its file cannot be read, or holds none.
    """
    secret = secret_of(key, value, file)
    try:
        return None if secret is None else checked_token(secret)
    except ValueError as error:
        raise SettingsError(f"{key}_file: {file}: {error}") from error


def knows(token: bytes, given: Sequence[str], *, basic: bool = False) -> bool:
    """Tell whether the `Authorization` headers `given` have the token, as a bearer.

    With `basic` a password counts as well: how a client logs in that is told an address alone. How
    long this takes says nothing of the token.
    """
    if len(given) != 1:
        return False
    scheme, _, told = given[0].partition(" ")
    secret = told.strip().encode("latin-1", errors="replace")
    if scheme.lower() == "basic" and basic:
        try:
            secret = base64.b64decode(secret, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(secret, token)
