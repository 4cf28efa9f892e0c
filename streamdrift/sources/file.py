"""Rows of a file as messages: JSON Lines, CSV and Parquet, for replays."""

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, cast

import numpy as np

from streamdrift.documents import parse
from streamdrift.errors import InputError
from streamdrift.records import Messages, Partition
from streamdrift.sources.layout import Layout, describe
from streamdrift.sources.tables import read_csv, read_parquet

EVENTS_PER_DAY = 100_000.0
"""How densely the rows of a file without time are assumed to come."""
CHUNK = 4_096
"""Rows in one `Messages`."""
NO_TIME = -(2**62)
"""Time of a message that has to bring its own."""

_FIRST_AT = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z: where made-up times begin."""
_DAY = 86_400_000_000
_SAMPLE = 100
_GZIP = b"\x1f\x8b"
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(slots=True)
class Progress:
    """How much of a file was read: bytes or rows, and of how many where that is known."""

    done: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file's rows, to be iterated once.

    Where rows carry no time they are spaced evenly; where they do, the messages' own is
    NO_TIME. `table`: the rows are those of a table (CSV, Parquet), which is no stream.
    """

    partition: Partition
    layout: Layout
    table: bool
    progress: Progress
    chunks: Iterator[Messages]

    def __iter__(self) -> Iterator[Messages]:
        return self.chunks


def open_file(
    path: str,
    *,
    model: str | None = None,
    events_per_day: float = EVENTS_PER_DAY,
    mapping: Mapping[str, object] = _NOTHING,
) -> FileSource:
    """Open a file (`-`: JSON Lines on stdin); `model` names events that name none.

    Columns named like an event's fields are those, others are features, unless `mapping`
    says otherwise; without `model` the file's stem is the model. Raises InputError, also
    while iterating, that names the file, where it helps the row, and what to do.
    """
    name = "stdin" if path == "-" else Path(path).name
    progress = Progress()
    reader = _reader_of(path, name)
    rows = _rows(path, name, reader, progress)
    sample = list(islice(rows, _SAMPLE))
    if not sample:
        raise InputError(f"{path} has no rows", hint="check that it was written to its end")
    layout = describe(sample, model or name.split(".")[0] or name, mapping)
    partition = Partition(name, 0)
    spacing = _DAY / events_per_day if layout.time is None else None
    chunks = _chunks(chain(sample, rows), partition, spacing)
    return FileSource(partition, layout, reader in _TABLES, progress, chunks)


def _chunks(
    rows: Iterator[bytes], partition: Partition, spacing: float | None
) -> Iterator[Messages]:
    first = 0
    while values := list(islice(rows, CHUNK)):
        size = len(values)
        offset = np.arange(first, first + size, dtype=np.int64)
        length = np.array([len(value) for value in values], dtype=np.int64)
        nothing = np.zeros(size, dtype=np.int64)
        time = nothing + NO_TIME
        if spacing is not None:
            time = _FIRST_AT + np.rint(offset * spacing).astype(np.int64)
        first += size
        yield Messages(
            partition=partition,
            data=np.frombuffer(b"".join(values), dtype=np.uint8),
            start=np.cumsum(length) - length,
            length=length,
            offset=offset,
            time=time,
            key_start=nothing,
            key_length=nothing - 1,
            header_start=nothing,
            header_length=nothing - 1,
            next_offset=first,
        )


Reader = Callable[[BinaryIO, str], Iterator[bytes]]
"""Yields each row of an open file, whose path is for errors, as a JSON document."""


def _reader_of(path: str, name: str) -> Reader:
    stem = name.removesuffix(".gz")
    reader = _read_json_lines if path == "-" else _READERS.get(Path(stem).suffix.lower())
    if reader is not None and not (stem != name and reader is read_parquet):
        return reader
    known = ", ".join(sorted(_READERS))
    refusal = InputError(
        f"{path}: a file of this kind cannot be read",
        hint=f"it must end in {known} (all but .parquet also with .gz), or be - for stdin",
    )
    # A folder, or a file that does not exist, is said to be that whatever its name.
    with _opened(path):
        pass
    raise refusal


def _rows(path: str, name: str, reader: Reader, progress: Progress) -> Iterator[bytes]:
    with _opened(path) as file:
        progress.total = None if path == "-" else Path(path).stat().st_size
        packed = name.endswith(".gz") or _first_bytes(file).startswith(_GZIP)
        plain = gzip.GzipFile(fileobj=file) if packed else file
        try:
            yield from _counted(reader(cast(BinaryIO, plain), path), file, progress)
        except (gzip.BadGzipFile, EOFError) as error:
            raise InputError(
                f"{path} is no whole gzip file: {error}", hint="compress it anew"
            ) from error


def _first_bytes(file: BinaryIO) -> bytes:
    return file.peek(len(_GZIP)) if isinstance(file, io.BufferedReader) else b""


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", hint="check its name") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder", hint="name one of its files") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read", hint="check its permissions") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="check that it is a file"
        ) from error


def _counted(rows: Iterator[bytes], file: BinaryIO, progress: Progress) -> Iterator[bytes]:
    for count, row in enumerate(rows):
        if count % CHUNK == 0 and progress.total is not None:
            progress.done = file.tell()
        yield row
    if progress.total is not None:
        progress.done = progress.total


def _read_json_lines(file: BinaryIO, _: str) -> Iterator[bytes]:
    for line in file:
        if line.strip():
            yield line.rstrip(b"\r\n")


def _read_json(file: BinaryIO, path: str) -> Iterator[bytes]:
    """Yield the events of a JSON array, or of a file that holds JSON Lines after all."""
    start = file.read(1)
    while start.isspace():
        start = file.read(1)
    rest = file.read()
    if start != b"[":
        yield from _read_json_lines(io.BytesIO(start + rest), path)
        return
    try:
        events = parse(start + rest)
    except ValueError as error:
        raise InputError(
            f"{path} is no JSON array: {error}", hint="mend it, or write one event per line"
        ) from error
    for event in cast(Sequence[object], events):
        # Not with orjson, which makes null of NaN and refuses long numbers.
        yield json.dumps(event).encode()


_READERS: Mapping[str, Reader] = {
    ".csv": read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": read_parquet,
}
_TABLES = frozenset({read_csv, read_parquet})
