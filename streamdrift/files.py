"""Files that settings name."""

from pathlib import Path


def checked_file(file: Path | None) -> Path | None:
    """Return `file`; raise ValueError where it is named and cannot be read."""
    if file is not None:
        try:
            file.open("rb").close()
        except OSError as error:
            raise ValueError(
                f"{str(file)!r} cannot be read: {error.strerror}; "
                "name a file that this user may read"
            ) from error
    return file
