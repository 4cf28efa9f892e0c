"""Where HTTP is served, and who may ask."""

import ipaddress
import re
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

_SHORTEST_TOKEN = 16
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s/\[\]]+):(\d{1,5})")
_TOKEN = re.compile(r"[\x21-\x7e]+")


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
        match = _PLACE.fullmatch(place or "127.0.0.1:0")
        if match is None or int(match[2]) > 65535:
            raise ValueError("must be an address and a port, such as 127.0.0.1:8410")
        return place

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            _check_secret(token.get_secret_value())
        return token

    @field_validator("token_file")
    @classmethod
    def _check_file(cls, file: Path | None) -> Path | None:
        if file is not None:
            _check_secret(_read(file))
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
        if address is None or address[0] == "localhost":
            return True
        try:
            return ipaddress.ip_address(address[0]).is_loopback
        except ValueError:
            return False

    def address(self) -> tuple[str, int] | None:
        """Return host and port, None where nothing is served."""
        if self.bind is None:
            return None
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)

    def secret(self) -> str | None:
        """Return the token, None where everybody may ask."""
        if self.token_file is not None:
            return _read(self.token_file)
        return None if self.token is None else self.token.get_secret_value()

    @property
    def needs_token(self) -> bool:
        """Whether there is a token, which who asks must know."""
        return self.token is not None or self.token_file is not None

    @property
    def most_series(self) -> int | None:
        """How many series of a family are shown at most, None for all."""
        return None if self.max_series == "all" else self.max_series


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(
            f"{str(file)!r} cannot be read: {reason}; name a file that this user may read"
        ) from error


def _check_secret(token: str) -> None:
    """Raise ValueError, which does not name the token, where it is too easily guessed."""
    if len(token) < _SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
        raise ValueError(
            f"a token has {_SHORTEST_TOKEN} characters at least, letters, digits and signs of "
            "ASCII: `openssl rand -hex 32` makes one"
        )
