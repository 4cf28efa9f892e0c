"""Why something on HTTP does not answer as it should, and what to do about it, in words."""

import re
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import httpx2

_MISMATCHES, _EXPIRED = (62, 64), 10
"""What OpenSSL calls a certificate of another name or address, and one that is over."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING")
_LINE = re.compile(r"\s*\(_ssl\.c:\d+\)")
_LONGEST = 200


class Keys(NamedTuple):
    """How the settings of one receiver are called."""

    url: str
    authority: str
    """Certificates of authorities to trust."""
    login: str
    """What it is asked with, such as `username and password_file`."""
    certificate: str = ""
    """The client's; empty where none can be given."""


def reason_of(error: Exception) -> str:
    """Return what went wrong; no secret is in it."""
    if isinstance(error, httpx2.LocalProtocolError):
        # What it says has the header in it.
        return "a header cannot be sent: has a secret a line end in it?"
    return _LINE.sub("", str(error) or type(error).__name__)[:_LONGEST]


def cure_of(error: Exception, keys: Keys) -> str:
    """Return what to do where no answer came."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _cure_of_certificate(cause, keys)
        if isinstance(cause, ssl.SSLError):
            return _cure_of_tls(cause, keys)
        if isinstance(cause, socket.gaierror):
            return f"no such name: check the host in {keys.url}, and the name servers of this one"
        if isinstance(cause, ConnectionRefusedError):
            return f"nothing listens there: check host and port of {keys.url}, and that it is up"
        if isinstance(cause, TimeoutError | httpx2.TimeoutException):
            return f"check that it is up, that {keys.url} is right, and that no firewall is between"
        if isinstance(cause, OSError) and cause.filename is not None:
            return "name a file that this user may read"
        if isinstance(cause, httpx2.LocalProtocolError):
            return f"look at {keys.login}"
        if isinstance(cause, httpx2.ProxyError):
            return "look at HTTPS_PROXY and NO_PROXY in the environment"
        if isinstance(cause, httpx2.RemoteProtocolError):
            return f"what answers there speaks no HTTP, or TLS: check scheme and port of {keys.url}"
    return f"check {keys.url}, and that it is up"


def cure_of_status(status: int, keys: Keys) -> str:
    """Return what to do about an answer that is none of success."""
    if status in (401, 403, 407):
        return f"check {keys.login}"
    if 300 <= status < 400:
        return f"name in {keys.url} where it leads: redirects are not followed"
    if status in (404, 405):
        return f"check the path of {keys.url}, with its prefix where it has one"
    return f"see its log, or that of the proxy before it, and check {keys.url}"


def _cure_of_certificate(error: ssl.SSLCertVerificationError, keys: Keys) -> str:
    if error.verify_code in _MISMATCHES:
        return f"its certificate is for another name: write that one in {keys.url}"
    if error.verify_code == _EXPIRED:
        return "its certificate is over: renew it"
    return f"name the authority that signed its certificate in {keys.authority}"


def _cure_of_tls(error: ssl.SSLError, keys: Keys) -> str:
    reason = error.reason or ""
    if reason in _NO_TLS:
        return f"it speaks no TLS there: check scheme and port of {keys.url}"
    if keys.certificate and "ALERT" in reason and ("CERT" in reason or "CA" in reason.split("_")):
        return f"it wants another certificate of this client, or one at all: {keys.certificate}"
    if "ALERT" in reason:
        wanted = f"; it may want a certificate: {keys.certificate}" if keys.certificate else ""
        return f"it refuses this client, and its log says why{wanted}"
    files = f"{keys.authority}, {keys.certificate}" if keys.certificate else keys.authority
    return f"name files in PEM format that fit one another: {files}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what an error came of, the first first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return reversed(chain)
