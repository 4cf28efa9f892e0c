"""Why a client cannot be connected, which kafka-python tells its log alone.

Its constructors try the brokers until `bootstrap_timeout_ms` is over, and then say that it is,
whatever kept each attempt from coming through.
"""

import errno
from collections.abc import Callable
from typing import Any, TypeVar

from kafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient

Client = TypeVar("Client")

_FINAL = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, IllegalSaslStateError)
"""What the same login is told again, however often it is tried."""
_UNRESOLVED = "DNS Resolution failure"
_REFUSED = errno.errorcode[errno.ECONNREFUSED]


class UnresolvedError(KafkaConnectionError):  # type: ignore[misc]  # the client has no types
    """No server of those to start from has a name that resolves to an address."""


class RefusedError(KafkaConnectionError):  # type: ignore[misc]  # the client has no types
    """Nothing listens where the servers to start from are said to be."""


def connected(make: Callable[..., Client], options: dict[str, Any]) -> Client:
    """Return the client of kafka-python that `make` makes of `options`.

    A login that is refused is raised at once, as it would be again. Where no server answers in
    time, what each attempt failed by last is raised: UnresolvedError, RefusedError, or else a
    KafkaTimeoutError that says it.
    """
    failures: dict[str, Exception] = {}
    managers: list[Any] = []

    def make_client(**configs: Any) -> KafkaNetClient:
        client = KafkaNetClient(**configs)
        managers.append(client._manager)  # noqa: SLF001
        _watch(client._manager, failures)  # noqa: SLF001
        return client

    try:
        return make(**options, kafka_client=make_client)
    except KafkaTimeoutError as error:
        if not failures:
            raise
        raise _reason(failures) from error
    finally:
        for manager in managers:
            # From now on a login that fails may succeed later: a token is renewed.
            del manager.get_connection


def _watch(manager: Any, failures: dict[str, Exception]) -> None:
    """Note in `failures`, by server, why the attempts of `manager` to connect fail."""
    get_connection: Callable[..., Any] = manager.get_connection
    refused: list[Exception] = []

    def get_watched(node: str, *arguments: Any, **options: Any) -> Any:
        if refused:
            raise refused[0]
        connection = get_connection(node, *arguments, **options)
        connection.init_future.add_errback(lambda error: note(node, error))
        return connection

    def note(node: str, error: Exception) -> None:
        server = manager.cluster.broker_metadata(node)
        failures[f"{server.host}:{server.port}" if server else node] = error
        if isinstance(error, _FINAL):
            refused.append(error)

    manager.get_connection = get_watched


def _reason(failures: dict[str, Exception]) -> Exception:
    """Return what to raise in the place of a timeout, by what each server's attempts met."""
    told = "; ".join(f"{server}: {_words(each)}" for server, each in sorted(failures.items()))
    kind: type[Exception] = KafkaTimeoutError
    if all(_UNRESOLVED in str(each) for each in failures.values()):
        kind = UnresolvedError
    elif all(_REFUSED in str(each) for each in failures.values()):
        kind = RefusedError
    return kind(told)


def _words(error: Exception) -> str:
    said = str(error)
    if _UNRESOLVED in said:
        return "the name does not resolve to an address"
    if _REFUSED in said:
        return "the connection is refused: nothing listens there"
    return said
