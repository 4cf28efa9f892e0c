"""Rows of a table as JSON documents: CSV and Parquet."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import BinaryIO

import orjson

from streamdrift.errors import InputError

_ROWS = 4_096
"""Rows of a Parquet file read at once."""
_DELIMITERS = ",;\t|"
_NULLS = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTHS = {"true": True, "false": False}
_NAMES = frozenset({"model", "version", "id", "label"})
"""Columns whose cells are names, whatever they look like; so are those that end in `_id`."""
_LEADING_ZERO = re.compile(r"-?0[0-9]+")
_GROUPED = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?(e[+-]?\d+)?", re.IGNORECASE)
_INDEX = "index"
_LOOKED_AT = 10_000
"""Rows that decide which columns of a CSV file are text."""
_LONG = 18
"""Digits of a whole number that surely fits 64 bits."""


def read_csv(file: BinaryIO, path: str) -> Iterator[bytes]:
    """Yield the rows of a CSV file whose first line names the columns.

    Cells are separated by what separates most names there: comma, semicolon, tab or bar. What
    a column is its first 10,000 rows decide: it is text where it is one of names or has whole
    numbers with leading zeros; commas in its numbers are decimal ones, or of thousands where commas
    separate the cells and all fit that; else each cell is taken for what it looks like. Raises
    InputError that names the line.
    """
    lines = (line.decode().removeprefix("\ufeff") for line in file)
    done = 0
    try:
        first = next(lines, "")
        delimiter = max(_DELIMITERS, key=lambda each: len(_cells(first, each)))
        reader = csv.reader(chain([first], lines), strict=True, delimiter=delimiter)
        header = _header(next(reader, []), path)
        done = reader.line_num
        rows: Iterator[list[str]] = filter(None, reader)
        head = []
        for cells in islice(rows, _LOOKED_AT):
            done = reader.line_num
            head.append(_checked(cells, header, delimiter, path, done))
        readers = [
            _reader(name, column, delimiter) for name, *column in zip(header, *head, strict=True)
        ]
        for cells in chain(head, rows):
            done = reader.line_num
            _checked(cells, header, delimiter, path, done)
            row = {
                name: read(cell) for name, read, cell in zip(header, readers, cells, strict=True)
            }
            yield orjson.dumps(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}, line {done + 1}: {error}",
            hint="write it as CSV with commas, semicolons, tabs or bars, in UTF-8",
        ) from error


def _header(names: list[str], path: str) -> list[str]:
    # Of a data frame that was written with its index, which has no name.
    if names and not names[0] and _INDEX not in names:
        names = [_INDEX, *names[1:]]
    if not all(names):
        raise InputError(
            f"{path}: the first line has no name for column {names.index('') + 1}",
            hint="the first line must hold the columns' names",
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(
            f"{path}: the first line names the column {twice!r} more than once",
            hint="give each column a name of its own",
        )
    return names


def _checked(
    cells: list[str], header: list[str], delimiter: str, path: str, line: int
) -> list[str]:
    if len(cells) != len(header):
        raise InputError(
            f"{path}, line {line}: {len(cells)} cells under {len(header)} columns",
            hint=f"mend the line: is a {delimiter!r} in a value without quotes around it?",
        )
    return cells


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _is_name(column: str) -> bool:
    lower = column.lower()
    return lower in _NAMES or lower.endswith("_id")


def _reader(name: str, cells: Sequence[str], delimiter: str) -> Callable[[str], object]:
    """Return what reads the cells of a column, given its first ones."""
    if _is_name(name) or any(map(_has_leading_zero, cells)):
        return _as_text
    if any("," in cell for cell in cells):
        used = [text for cell in cells if (text := cell.strip()).lower() not in _NULLS]
        for form, read in (_THOUSANDS, _DECIMALS) if delimiter == "," else (_DECIMALS,):
            if all(map(form.fullmatch, used)):
                return read
    return _typed


def _grouped(cell: str) -> object:
    """Return a CSV cell of a column whose numbers have commas between thousands.

    >>> [_grouped(cell) for cell in ("1,234,567.5", "416", "", "1,2")]
    [1234567.5, 416, None, '1,2']
    """
    return _typed(cell.replace(",", "") if _GROUPED.fullmatch(cell.strip()) else cell)


def _decimal_comma(cell: str) -> object:
    """Return a CSV cell of a column whose numbers have decimal commas.

    >>> [_decimal_comma(cell) for cell in ("391,02", "1.234,5", "7", "", "1,2,3")]
    [391.02, 1234.5, 7, None, '1,2,3']
    """
    if not _DECIMAL_COMMA.fullmatch(cell.strip()):
        return _typed(cell)
    return _typed(cell.replace(".", "").replace(",", "."))


_THOUSANDS = (_GROUPED, _grouped)
_DECIMALS = (_DECIMAL_COMMA, _decimal_comma)


def _as_text(cell: str) -> object:
    """Return a cell as it stands, so that 3.10 is not 3.1 and 01005 not 1005."""
    return cell.strip() or None


def _has_leading_zero(cell: str) -> bool:
    return _LEADING_ZERO.fullmatch(cell.strip()) is not None


def _typed(cell: str) -> object:
    """Return a CSV cell as null, truth value, number or text.

    >>> [_typed(cell) for cell in ("", "True", "7", "1.50", "1_0", "abc", "01005", "0.5")]
    [None, True, 7, 1.5, '1_0', 'abc', '01005', 0.5]
    """
    text = cell.strip()
    lower = text.lower()
    if lower in _NULLS:
        return None
    if lower in _TRUTHS:
        return _TRUTHS[lower]
    if "_" in text:
        return text
    if _has_leading_zero(text):
        return text
    if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < _LONG:
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return cell
    return number if math.isfinite(number) else None


def read_parquet(file: BinaryIO, path: str) -> Iterator[bytes]:
    """Yield the rows of a Parquet file; raise InputError where it is none."""
    # Here, as only a replay of such a file needs it, and it takes a while to import.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS):
            for row in batch.to_pylist():
                yield orjson.dumps(row, default=_plain)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is no Parquet file that can be read: {error}",
            hint="check that it was written to its end, or write it anew",
        ) from error


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
