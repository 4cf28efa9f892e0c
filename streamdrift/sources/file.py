"""Rows of a file as messages: JSON Lines, CSV and Parquet, for replays."""

import csv
import gzip
import io
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import orjson

from streamdrift.errors import InputError
from streamdrift.records import Messages, Partition

EVENTS_PER_DAY = 100_000.0
"""How densely the rows of a file without time are assumed to come."""
CHUNK = 4_096
"""Rows in one `Messages`."""

_FIRST_AT = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z: where made-up times begin."""
_DAY = 86_400_000_000
_NULLS = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTHS = {"true": True, "false": False}
_TIMES = ("timestamp", "time")
_SAMPLE = 100
_LONG = 18
"""Digits of a whole number that surely fits 64 bits."""


@dataclass(slots=True)
class Progress:
    """How much of a file was read: bytes or rows, and of how many where that is known."""

    done: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file's rows, to be iterated once.

    `mapping` says where the parts of an event stand in a row, for the JSON decoder; it is
    None where the rows are events as the service reads them, so its own settings apply.
    `timed` is False where rows carry no time; then they are spaced evenly.
    """

    partition: Partition
    mapping: Mapping[str, object] | None
    timed: bool
    progress: Progress
    chunks: Iterator[Messages]

    def __iter__(self) -> Iterator[Messages]:
        return self.chunks


def open_file(
    path: str, *, model: str | None = None, events_per_day: float = EVENTS_PER_DAY
) -> FileSource:
    """Open a file (`-`: JSON Lines on stdin); `model` names events that name none.

    Columns named like an event's fields are those, others are features; without `model` the
    file's stem is the model. Raises InputError, also while iterating, that names the file,
    where it helps the row, and what to do.
    """
    name = "stdin" if path == "-" else Path(path).name
    progress = Progress()
    rows = _rows(path, name, progress)
    sample = list(islice(rows, _SAMPLE))
    if not sample:
        raise InputError(f"{path} has no rows", hint="check that it was written to its end")
    mapping, timed = _describe(sample, model or name.split(".")[0] or name)
    partition = Partition(name, 0)
    spacing = _DAY / events_per_day
    chunks = _chunks(chain(sample, rows), partition, spacing)
    return FileSource(partition, mapping, timed, progress, chunks)


def _chunks(rows: Iterator[bytes], partition: Partition, spacing: float) -> Iterator[Messages]:
    first = 0
    while values := list(islice(rows, CHUNK)):
        size = len(values)
        offset = np.arange(first, first + size, dtype=np.int64)
        length = np.array([len(value) for value in values], dtype=np.int64)
        nothing = np.zeros(size, dtype=np.int64)
        first += size
        yield Messages(
            partition=partition,
            data=np.frombuffer(b"".join(values), dtype=np.uint8),
            start=np.cumsum(length) - length,
            length=length,
            offset=offset,
            time=_FIRST_AT + np.rint(offset * spacing).astype(np.int64),
            key_start=nothing,
            key_length=nothing - 1,
            header_start=nothing,
            header_length=nothing - 1,
            next_offset=first,
        )


def _describe(sample: Sequence[bytes], model: str) -> tuple[Mapping[str, object] | None, bool]:
    """Return the mapping that fits the first rows, and whether they carry a time."""
    documents = [document for row in sample if isinstance(document := _parse(row), dict)]
    names = {name for document in documents for name in document}
    time = next((name for name in _TIMES if name in names), None)
    mapping: dict[str, object] = {}
    if not any(isinstance(document.get("features"), dict | list) for document in documents):
        mapping = {"features": "", "score": "/score", "label": "/label"}
        # Parts that no row has are not watched: every prediction would be null.
        if not names & {"prediction", "score", "label"}:
            mapping |= {"prediction": None, "score": None, "label": None}
        if "error" not in names:
            mapping["failed"] = None
    elif names >= {"model"} and time != "time":
        return None, time is not None
    if "model" not in names:
        mapping["model"] = {"constant": model}
    if time is not None:
        mapping["time"] = f"/{time}"
    return mapping, time is not None


def _parse(row: bytes) -> object:
    try:
        return orjson.loads(row)
    except orjson.JSONDecodeError:
        return None


def _rows(path: str, name: str, progress: Progress) -> Iterator[bytes]:
    """Yield each row of a file as a JSON document."""
    stem = name.removesuffix(".gz")
    reader = _read_json_lines if path == "-" else _READERS.get(Path(stem).suffix.lower())
    if reader is None or (stem != name and reader is _read_parquet):
        known = ", ".join(sorted(_READERS))
        raise InputError(
            f"{path}: a file of this kind cannot be read",
            hint=f"it must end in {known} (all but .parquet also with .gz), or be - for stdin",
        )
    with _opened(path, progress) as file:
        plain = gzip.GzipFile(fileobj=file) if stem != name else file
        try:
            yield from _counted(reader(cast(BinaryIO, plain), path), file, progress)
        except (gzip.BadGzipFile, EOFError) as error:
            raise InputError(
                f"{path} is no whole gzip file: {error}", hint="compress it anew"
            ) from error


@contextmanager
def _opened(path: str, progress: Progress) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(path).open("rb") as file:
            progress.total = Path(path).stat().st_size
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", hint="check its name") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder", hint="name one of its files") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read", hint="check its permissions") from error


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
        events = orjson.loads(start + rest)
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"{path} is no JSON array: {error}", hint="mend it, or write one event per line"
        ) from error
    for event in events:
        yield orjson.dumps(event)


def _read_csv(file: BinaryIO, path: str) -> Iterator[bytes]:
    lines = (line.decode() for line in file)
    reader = csv.reader((line.removeprefix("\ufeff") for line in lines), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header) or not all(header):
            raise InputError(
                f"{path}: the first line does not name every column once",
                hint="the first line must hold the columns' names",
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells under "
                    f"{len(header)} columns",
                    hint="mend the line: is a comma in a value without quotes around it?",
                )
            yield orjson.dumps(dict(zip(header, map(_typed, cells), strict=True)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}, line {reader.line_num + 1}: {error}",
            hint="write it as CSV with commas, in UTF-8",
        ) from error


def _typed(cell: str) -> object:
    """Return a CSV cell as null, truth value, number or text.

    >>> [_typed(cell) for cell in ("", "True", "7", "1.50", "1_0", "abc")]
    [None, True, 7, 1.5, '1_0', 'abc']
    """
    text = cell.strip()
    lower = text.lower()
    if lower in _NULLS:
        return None
    if lower in _TRUTHS:
        return _TRUTHS[lower]
    if "_" in text:
        return text
    if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < _LONG:
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return cell
    return number if math.isfinite(number) else None


def _read_parquet(file: BinaryIO, path: str) -> Iterator[bytes]:
    # Here, as only a replay of such a file needs it, and it takes a while to import.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=CHUNK):
            for row in batch.to_pylist():
                yield orjson.dumps(row, default=_plain)
    except pa.ArrowException as error:
        raise InputError(f"{path} is no Parquet file that can be read: {error}") from error


def _plain(value: object) -> object:
    """Return what JSON has for a value of a Parquet column."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


_READERS: Mapping[str, Callable[[BinaryIO, str], Iterator[bytes]]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": _read_parquet,
}
