"""Connection settings and clients: the one place that makes kafka-python clients."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.structs import TopicPartition
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    field_validator,
    model_validator,
)

from streamdrift.durations import SECOND, Duration
from streamdrift.errors import ConnectionsError, SettingsError
from streamdrift.files import checked_file
from streamdrift.kafka.bootstrap import RefusedError, UnresolvedError, connected
from streamdrift.secrets import secret_of

LOOK_UP_MS = 10_000
_MILLISECOND = 1_000
# The client's own limit of 30 s would leave a broker that is back unnoticed for that long.
_RECONNECT_BACKOFF_MS = 1_000
"""At most, between two times that a broker which does not answer is called."""

_SECRETS = ("sasl_plain_password", "sasl_oauth_token", "ssl_password")
_FILES = (
    *("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"),
    *(f"{name}_file" for name in _SECRETS),
)
# As the client reads them: a protocol before the host is ignored, the port may be left out.
_SERVER = re.compile(r"(?:\w+://)?(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?")
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (SaslAuthenticationFailedError, "check kafka.sasl_plain_username and its password"),
    (UnsupportedSaslMechanismError, "choose a kafka.sasl_mechanism the broker offers"),
    (AuthorizationError, "grant the right named in the message to this client's user"),
    (UnknownTopicOrPartitionError, "create the topic: `streamdrift check` prints the commands"),
    (
        KafkaTimeoutError,
        (
            "check kafka.bootstrap_servers and that the broker is up; where it asks for TLS or "
            "SASL, also kafka.security_protocol and the credentials"
        ),
    ),
    (
        UnresolvedError,
        "check the name in kafka.bootstrap_servers, and the DNS of where this runs",
    ),
    (
        RefusedError,
        (
            "check the port in kafka.bootstrap_servers and that the broker is up; in a container "
            "localhost is the container itself"
        ),
    ),
    (KafkaConnectionError, "check kafka.bootstrap_servers and that the broker is up"),
)


class KafkaSettings(BaseModel):
    """How to reach the brokers. Security options bear kafka-python's names and meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(
        "localhost:9092", description="Brokers to start from: host:port, separated by commas."
    )
    client_id: str = Field("streamdrift", description="Name under which brokers see the clients.")
    request_timeout: Duration = Field(
        30 * SECOND, description="How long a broker may take to answer a request."
    )
    bootstrap_timeout: Duration = Field(
        30 * SECOND, description="How long to try to reach the brokers at the start."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the brokers' listener."
    )
    ssl_check_hostname: StrictBool = Field(
        True, description="Check that the broker's certificate is for its host."
    )
    ssl_cafile: Path | None = Field(None, description="Certificates of authorities to trust.")
    ssl_certfile: Path | None = Field(None, description="The client's certificate (mutual TLS).")
    ssl_keyfile: Path | None = Field(None, description="Private key of the client's certificate.")
    ssl_crlfile: Path | None = Field(None, description="Revoked certificates.")
    ssl_password: SecretStr | None = Field(None, description="Password of the private key.")
    ssl_password_file: Path | None = Field(None, description="File holding `ssl_password`.")
    ssl_ciphers: str | None = Field(None, description="Ciphers to allow, as OpenSSL names them.")
    sasl_mechanism: (
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None
    ) = Field(None, description="How to log in to the broker.")
    sasl_plain_username: str | None = Field(None, description="User for PLAIN and SCRAM.")
    sasl_plain_password: SecretStr | None = Field(None, description="Password for PLAIN and SCRAM.")
    sasl_plain_password_file: Path | None = Field(
        None, description="File holding `sasl_plain_password`."
    )
    sasl_oauth_token: SecretStr | None = Field(None, description="Token for OAUTHBEARER.")
    sasl_oauth_token_file: Path | None = Field(
        None, description="File holding the token for OAUTHBEARER, read anew at each login."
    )
    sasl_kerberos_name: str | None = Field(None, description="Principal for GSSAPI.")
    sasl_kerberos_service_name: str = Field("kafka", description="Service name for GSSAPI.")
    sasl_kerberos_domain_name: str | None = Field(None, description="Domain name for GSSAPI.")

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_servers(cls, servers: str) -> str:
        for server in _split(servers) or [""]:
            match = _SERVER.fullmatch(server)
            if match is None or not 0 < int(match[1] or 1) < 65_536:
                raise ValueError(
                    f"{server!r} is no broker: write host:port, with a port from 1 to 65535"
                )
        return servers

    @field_validator(*_FILES)
    @classmethod
    def _check_file(cls, file: Path | None) -> Path | None:
        return checked_file(file)

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        for name in _SECRETS:
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"set {name} or {name}_file, not both")
        needed = self.security_protocol.startswith("SASL")
        if needed and self.sasl_mechanism is None:
            raise ValueError(f"{self.security_protocol} needs sasl_mechanism")
        if not needed and self.sasl_mechanism is not None:
            raise ValueError("sasl_mechanism needs security_protocol SASL_SSL or SASL_PLAINTEXT")
        if self.sasl_mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            if self.sasl_plain_username is None:
                raise ValueError(f"{self.sasl_mechanism} needs sasl_plain_username")
            self._need_secret("sasl_plain_password")
        if self.sasl_mechanism == "OAUTHBEARER":
            self._need_secret("sasl_oauth_token")
        return self

    def _need_secret(self, name: str) -> None:
        if getattr(self, name) is None and getattr(self, f"{name}_file") is None:
            raise ValueError(f"{self.sasl_mechanism} needs {name} or {name}_file")


def _split(servers: str) -> list[str]:
    return [server.strip() for server in servers.split(",") if server.strip()]


class _Token(AbstractTokenProvider):  # type: ignore[misc]  # the client has no types
    """The OAUTHBEARER token, read at each login, so that a renewed file is taken up."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def token(self) -> str:
        token = _secret(self._settings, "sasl_oauth_token")
        assert token is not None, "the settings were checked for it"
        return token


def _secret(settings: KafkaSettings, name: str) -> str | None:
    return secret_of(f"kafka.{name}", getattr(settings, name), getattr(settings, f"{name}_file"))


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return `settings` as options of kafka-python, secrets in the clear.

    Raises SettingsError where a file with a secret cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": _split(settings.bootstrap_servers),
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout // _MILLISECOND,
        "bootstrap_timeout_ms": settings.bootstrap_timeout // _MILLISECOND,
        "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MS,
        "security_protocol": settings.security_protocol,
        "ssl_check_hostname": settings.ssl_check_hostname,
        "ssl_password": _secret(settings, "ssl_password"),
        "ssl_ciphers": settings.ssl_ciphers,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_plain_username,
        "sasl_plain_password": _secret(settings, "sasl_plain_password"),
        "sasl_kerberos_name": settings.sasl_kerberos_name,
        "sasl_kerberos_service_name": settings.sasl_kerberos_service_name,
        "sasl_kerberos_domain_name": settings.sasl_kerberos_domain_name,
    }
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"):
        file = getattr(settings, name)
        options[name] = None if file is None else str(file)
    if settings.sasl_mechanism == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = _Token(settings)
    return {name: value for name, value in options.items() if value is not None}


def make_consumer(settings: KafkaSettings, **options: Any) -> KafkaConsumer:
    """Return a consumer without a group that reads committed messages only.

    It makes no topics, checks each batch's checksum, and resets no offset by itself: an
    offset out of range is raised by `poll`. `options` of kafka-python lie over that.
    Raises ConnectionsError where no broker answers within `bootstrap_timeout`.
    """
    defaults = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
    with connection_errors(settings, "connect"):
        consumer = connected(KafkaConsumer, {**client_options(settings), **defaults, **options})
    back_off_where_cut_short(consumer._manager)  # noqa: SLF001
    return consumer


def make_producer(settings: KafkaSettings, **options: Any) -> KafkaProducer:
    """Return a producer whose records all replicas must acknowledge.

    It is idempotent unless `options` say otherwise. Raises ConnectionsError where no broker
    answers within `bootstrap_timeout`.
    """
    defaults = {"acks": "all", "allow_auto_create_topics": False, "metrics_enabled": False}
    with connection_errors(settings, "connect"):
        producer = connected(KafkaProducer, {**client_options(settings), **defaults, **options})
    back_off_where_cut_short(producer._sender._client._manager)  # noqa: SLF001
    return producer


def make_admin(settings: KafkaSettings, **options: Any) -> KafkaAdminClient:
    """Return an admin client; raise ConnectionsError where no broker answers in time."""
    known = KafkaAdminClient.DEFAULT_CONFIG
    accepted = {name: value for name, value in client_options(settings).items() if name in known}
    with connection_errors(settings, "connect"):
        admin = connected(KafkaAdminClient, {**accepted, **options})
    back_off_where_cut_short(admin._manager)  # noqa: SLF001
    return admin


def back_off_where_cut_short(manager: Any) -> None:
    """Let a client wait before it calls a broker again also where the call was cut short.

    It takes an open socket for a broker that answers. Where something in between takes calls for
    a broker that is gone, such as a proxy, it would call again at once: a worker's clients were
    seen to leave 25 to 60 dead connections a second.
    """
    reset: Callable[[object], None] = manager.reset_backoff

    def reset_where_answered(node: object) -> None:
        connection = manager._conns.get(node)  # noqa: SLF001
        answered = connection is not None and connection.connected
        # It keeps the time of what is no broker here as well.
        if answered or manager.cluster.broker_metadata(node) is None:
            reset(node)
        else:
            manager.update_backoff(node)

    manager.reset_backoff = reset_where_answered


def beginning_offsets(
    consumer: KafkaConsumer, keys: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return the first offset there is in each partition; raise KafkaError else."""
    return _look_up(consumer.beginning_offsets, keys)


def end_offsets(
    consumer: KafkaConsumer, keys: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """Return the offset behind the last that `consumer` sees of each partition.

    Raises KafkaError where a partition has none.
    """
    return _look_up(consumer.end_offsets, keys)


def _look_up(
    ask: Callable[..., Any], keys: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    try:
        return {key: int(offset) for key, offset in ask(keys, timeout_ms=LOOK_UP_MS).items()}
    except KeyError as error:
        # The client leaves out, and then misses, a partition that its broker does not know yet.
        raise UnknownTopicOrPartitionError(f"partition {error}") from error


@contextmanager
def connection_errors(settings: KafkaSettings, action: str) -> Iterator[None]:
    """Turn the client's errors into ConnectionsError, with a hint of what to do.

    `action` completes "cannot ... at host:port".
    """
    try:
        yield
    except KafkaConfigurationError as error:
        raise SettingsError(f"kafka: {error}") from error
    except (KafkaError, OSError) as error:
        raise connections_error(settings, action, error) from error


def connections_error(settings: KafkaSettings, action: str, error: Exception) -> ConnectionsError:
    """Return a client's error as ConnectionsError."""
    hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), None)
    # The client's errors mostly, and not always, begin with a number or their names, also twice.
    name = type(error).__name__
    said = re.sub(rf"^(\[Error \d+\] |{name}: )+", "", str(error))
    message = f"cannot {action} at {settings.bootstrap_servers}: {name}: {said}"
    return ConnectionsError(message, hint)
