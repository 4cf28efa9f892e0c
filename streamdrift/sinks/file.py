"""Alerts as JSON Lines: to a file, or to a stream such as the terminal."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import orjson

from streamdrift.errors import OutputError
from streamdrift.records import Alert
from streamdrift.sinks.cloudevents import encode

_BLOCK = 65_536
_BEGINNING = b'{"specversion":"1.0","id":'


def _lines(alerts: Sequence[Alert], deployment: str) -> bytes:
    return b"".join(
        orjson.dumps(encode(alert, deployment), option=orjson.OPT_APPEND_NEWLINE)
        for alert in alerts
    )


class StreamSink:
    """Writes alerts to a binary stream that somebody else opened and closes."""

    def __init__(self, stream: BinaryIO, deployment: str) -> None:
        self._stream = stream
        self._deployment = deployment

    def write(self, alerts: Sequence[Alert]) -> None:
        """Write `alerts`; raise OutputError where nobody reads the stream any more."""
        try:
            self._stream.write(_lines(alerts, self._deployment))
        except OSError as error:
            raise _failure("alerts cannot be written to the output", error) from error

    def flush(self) -> None:
        """Hand everything to the operating system."""
        try:
            self._stream.flush()
        except OSError as error:
            raise _failure("alerts cannot be written to the output", error) from error

    def close(self) -> None:
        """Leave the stream open: it is not this sink's."""


@contextmanager
def written_anew(path: Path) -> Iterator[BinaryIO]:
    """Open a file for the block to write; it takes the place of `path` when the block ends.

    Where the block fails, what was at `path` stays. What is no plain file (a pipe, a
    device) is written to at once. Raises OutputError where that cannot be done.
    """
    target = path.resolve()
    plain = target.is_file() or not target.exists()
    beside = target.with_name(f".{target.name}.{os.getpid()}") if plain else target
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        stream = beside.open("wb")
    except OSError as error:
        raise _failure(f"{path} cannot be written", error) from error
    try:
        yield stream
        _finish(stream, path)
        if plain:
            _put_in_place(beside, target)
    finally:
        with suppress(OSError):
            stream.close()
        if plain:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def _finish(stream: BinaryIO, path: Path) -> None:
    """Close a file: on a disk that is full, that may be where what was written fails."""
    try:
        stream.close()
    except OSError as error:
        raise _failure(f"{path} cannot be written", error) from error


def _put_in_place(beside: Path, target: Path) -> None:
    try:
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        raise _failure(f"{target} cannot be written", error) from error


class FileSink:
    """Appends alerts to a file; on `flush` they are on the disk.

    A last line that a crash left unfinished is cut off: its alert is written again. What is
    no plain file (a pipe, a terminal) is only written to. Raises OutputError where that
    cannot be done.
    """

    def __init__(self, path: Path, deployment: str) -> None:
        self._path = path
        self._deployment = deployment
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.is_file():
                _cut_unfinished(path)
            self._file = path.open("ab")
            self._plain = path.is_file()
        except OSError as error:
            raise _failure(f"alerts cannot be written to {path}", error) from error

    def write(self, alerts: Sequence[Alert]) -> None:
        """Append `alerts`."""
        try:
            self._file.write(_lines(alerts, self._deployment))
        except OSError as error:
            raise _failure(f"alerts cannot be written to {self._path}", error) from error

    def flush(self) -> None:
        """Return when all alerts are on the disk."""
        try:
            self._file.flush()
            if self._plain:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise _failure(f"alerts cannot be written to {self._path}", error) from error

    def close(self) -> None:
        """Close the file; after a failure, what could not be written is given up."""
        with suppress(OSError):
            self._file.close()


def _cut_unfinished(path: Path) -> None:
    """Cut the file after its last line end, if what follows is the beginning of an alert.

    Anything else at the end is somebody's: it gets a line end.
    """
    with path.open("a+b") as file:
        end = start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and b"\n" not in tail:
            stop, start = start, max(0, start - _BLOCK)
            file.seek(start)
            tail = file.read(stop - start) + tail
        rest = tail.rpartition(b"\n")[2]
        if rest and (rest.startswith(_BEGINNING) or _BEGINNING.startswith(rest)):
            file.truncate(end - len(rest))
        elif rest:
            file.write(b"\n")


def _failure(what: str, error: OSError) -> OutputError:
    return OutputError(
        f"{what}: {error.strerror or error}",
        hint="check that the place exists, is writable and has space",
    )
