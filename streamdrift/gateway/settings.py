"""Where the gateway listens, what it writes, and how much it takes at a time."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from streamdrift.durations import SECOND, Duration
from streamdrift.http.listening import (
    checked_place,
    checked_token,
    host_and_port,
    is_local,
    token_of,
)


class GatewaySettings(BaseModel):
    """What `streamdrift gateway` takes, from whom, and where it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bind: str = Field("127.0.0.1:8411", description="Address and port to listen on.")
    topic: str = Field(
        "predictions",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="Topic the events are written to.",
    )
    token: SecretStr | None = Field(
        None,
        description="What who posts must know; needed where others than this machine can post.",
    )
    token_file: Path | None = Field(None, description="File holding `token`, read at the start.")
    max_bytes: int = Field(
        900_000, ge=1, le=16 << 20, description="Most bytes of one request's body."
    )
    max_events: int = Field(1_000, ge=1, le=100_000, description="Most events of one batch.")
    max_requests: int = Field(
        256, ge=1, le=10_000, description="Most requests at a time; others are asked to come again."
    )
    max_pending_bytes: int = Field(
        64 << 20,
        ge=1 << 20,
        description="Most bytes that wait for the brokers, 5 kB added for each event of a batch; "
        "others are asked to come again.",
    )
    timeout: Duration = Field(
        10 * SECOND,
        ge=SECOND,
        description="How long a body may take to arrive, and the brokers to acknowledge it.",
    )

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, bind: str) -> str:
        return checked_place(bind)

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            checked_token(token.get_secret_value())
        return token

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("set token or token_file, not both")
        if not self._is_local() and self.token is None and self.token_file is None:
            raise ValueError(
                f"bind is {self.bind}, where others than this machine can post: set token_file to "
                "a file with a token, or STREAMDRIFT_GATEWAY__TOKEN; or bind to 127.0.0.1"
            )
        return self

    def _is_local(self) -> bool:
        return is_local(self.address()[0])

    def address(self) -> tuple[str, int]:
        """Return host and port."""
        return host_and_port(self.bind)

    def secret(self) -> str | None:
        """Return the token, None where everybody on this machine may post.

        Raises SettingsError where its file cannot be read, or holds none.
        """
        return token_of("gateway.token", self.token, self.token_file)
