"""Where HTTP is served, and who may ask."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from streamdrift.http.listening import (
    checked_place,
    checked_token,
    host_and_port,
    is_local,
    token_of,
)
from streamdrift.secrets import checked_secret


class HttpSettings(BaseModel):
    """Where the API, metrics and health are served, and who may ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bind: str | None = Field(
        "127.0.0.1:8410", description="Address and port of the HTTP server; null for none."
    )
    token: SecretStr | None = Field(
        None,
        description="Bearer token for everything but health; needed where others than this machine "
        "can ask.",
    )
    token_file: Path | None = Field(None, description="File holding `token`, read at start.")
    advertise: str | None = Field(
        None,
        description="Host and port under which other workers reach this one; where it listens, on "
        "the host's name, if unset.",
    )
    max_series: Literal["all"] | Annotated[int, Field(ge=0)] = Field(
        10_000,
        description="Signals (times detectors) whose statistic and threshold /metrics shows, those "
        "nearest to their thresholds; `all` for every one.",
    )

    @field_validator("bind", "advertise")
    @classmethod
    def _check_place(cls, place: str | None) -> str | None:
        return None if place is None else checked_place(place)

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            checked_token(token.get_secret_value())
        return token

    @field_validator("token_file")
    @classmethod
    def _check_file(cls, file: Path | None) -> Path | None:
        if file is not None:
            checked_token(checked_secret(file))
        return file

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("set token or token_file, not both")
        if not self.is_local and not self.needs_token:
            raise ValueError(
                f"bind is {self.bind}, where others than this machine can ask: set "
                "http.token_file to a file with a token (such as `openssl rand -hex 32` makes), or "
                "STREAMDRIFT_HTTP__TOKEN; or bind to 127.0.0.1"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can ask."""
        address = self.address()
        return address is None or is_local(address[0])

    def address(self) -> tuple[str, int] | None:
        """Return host and port, None where nothing is served."""
        return None if self.bind is None else host_and_port(self.bind)

    def secret(self) -> str | None:
        """Return the token, None where everybody may ask.

        Raises SettingsError where its file cannot be read any more, or holds none.
        """
        return token_of("http.token", self.token, self.token_file)

    @property
    def needs_token(self) -> bool:
        """Whether there is a token, which who asks must know."""
        return self.token is not None or self.token_file is not None

    @property
    def most_series(self) -> int | None:
        """How many series of a family are shown at most, None for all."""
        return None if self.max_series == "all" else self.max_series
