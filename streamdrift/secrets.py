"""Secrets from the settings, or from files that they name."""

from pathlib import Path

from pydantic import SecretStr

from streamdrift.errors import SettingsError


def read_secret(value: SecretStr | None, file: Path | None) -> str | None:
    """Return a secret, from its file where there is one; None where there is neither.

    Raises OSError or UnicodeDecodeError where the file cannot be read.
    """
    if file is not None:
        return file.read_text(encoding="utf-8").strip()
    return None if value is None else value.get_secret_value()


def checked_secret(file: Path) -> str:
    """Return what a file holds, while settings are checked; raise ValueError where it cannot."""
    try:
        return read_secret(None, file) or ""
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(file)!r} cannot be read: {_reason(error)}; name a file that this user may read"
        ) from error


def secret_of(key: str, value: SecretStr | None, file: Path | None) -> str | None:
    """Return the secret of a setting, at the start; see `read_secret`.

    `key` is the setting of the secret itself. Raises SettingsError where the file cannot be read.
    """
    try:
        return read_secret(value, file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{key}_file: {file} cannot be read: {_reason(error)}",
            hint="name a file that holds the secret and that this user may read",
        ) from error


def _reason(error: OSError | UnicodeDecodeError) -> str | None:
    return error.strerror if isinstance(error, OSError) else "it is no text"
