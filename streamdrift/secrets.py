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


def secret_of(key: str, value: SecretStr | None, file: Path | None) -> str | None:
    """Return the secret of a setting, at the start; see `read_secret`.

    `key` is the setting of the secret itself. Raises SettingsError where the file cannot be read.
    """
    try:
        return read_secret(value, file)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"{key}_file: {file} cannot be read: {reason}",
            hint="name a file that holds the secret and that this user may read",
        ) from error
