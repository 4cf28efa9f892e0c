"""Event times as producers write them: RFC 3339, or a number since the epoch."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bytes, Floats, Ints, Messages

INVALID = -(2**63)
"""What stands for a time that cannot be read."""
_LATEST = 2**62
_TEXT_LIMIT = 64


def record_times(messages: Messages, rows: Ints) -> Ints:
    """Return the record times of some messages, INVALID where a record has none."""
    times = messages.time[rows]
    return np.where(times < 0, INVALID, times)


def read_times(cells: Sequence[object]) -> Ints:
    """Return times in microseconds, int64[n], INVALID where a cell is none.

    Numbers, also as text, are seconds below 1e11, milliseconds below 1e14, microseconds below
    1e17 and else nanoseconds: so each unit is told apart from 1973 to 5138. Texts without an
    offset to UTC are in UTC.
    """
    types = set(map(type, cells))
    if types == {str}:
        return _read_texts(cells)
    if types == {int} or types == {float} or types == {int, float}:
        return read_numbers(cells)
    return np.array([_read_one(cell) for cell in cells], dtype=np.int64)


def _read_texts(cells: Sequence[object]) -> Ints:
    texts = [str(cell) for cell in cells]
    joined = "".join(texts)
    if not joined.isascii():
        return np.array([_read_one(cell) for cell in cells], dtype=np.int64)
    lengths = np.array(list(map(len, texts)), dtype=np.int64)
    data = np.frombuffer(joined.encode(), dtype=np.uint8)
    times = parse_texts(data, np.cumsum(lengths) - lengths, lengths)
    for row in np.flatnonzero(times == INVALID).tolist():
        times[row] = _read_one(cells[row])
    return times


def parse_texts(data: Bytes, start: Ints, length: Ints) -> Ints:
    """Return the times of ASCII texts in the commonest forms, INVALID for any other."""
    times = np.empty(len(start), dtype=np.int64)
    _parse(data, start, length, times)
    return times


def read_numbers(cells: Sequence[object] | Floats) -> Ints:
    """Return numbers since the epoch in microseconds, INVALID where they are out of range."""
    try:
        numbers = np.array(cells, dtype=np.float64)
    except OverflowError:
        return np.array([_read_one(cell) for cell in cells], dtype=np.int64)
    size = np.abs(numbers)
    factor = np.select([size < 1e11, size < 1e14, size < 1e17], [1e6, 1e3, 1.0], 1e-3)
    scaled = numbers * factor
    valid = np.isfinite(scaled) & (np.abs(scaled) < _LATEST)
    return np.where(valid, np.rint(np.where(valid, scaled, 0)), INVALID).astype(np.int64)


def _read_one(cell: object) -> int:
    if isinstance(cell, bool):
        return INVALID
    if isinstance(cell, int | float):
        return int(read_numbers([_as_float(cell)])[0])
    if not isinstance(cell, str) or len(cell) > _TEXT_LIMIT:
        return INVALID
    text = cell.strip().upper()
    try:
        return int(read_numbers([float(text)])[0])
    except ValueError:
        pass
    # A leap second is the one after it, as in the clock of the machine that wrote it.
    leap = text[16:19] == ":60"
    try:
        time = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if leap else text)
    except ValueError:
        return INVALID
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    since = time - epoch
    return (since.days * 86_400 + since.seconds + leap) * 1_000_000 + since.microseconds


def _as_float(cell: float) -> float:
    try:
        return float(cell)
    except OverflowError:
        return float("inf")


@kernel
def _digits(data: Bytes, start: int, count: int) -> int:
    """Return the number that `count` digits spell, -1 where one is no digit."""
    value = 0
    for i in range(start, start + count):
        digit = int(data[i]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@kernel
def _micros(data: Bytes, start: int, end: int) -> int:
    """Return the microseconds of a fraction `.f` of 1 to 9 digits, -1 where it is none."""
    digits = end - start - 1
    fraction = _digits(data, start + 1, digits)
    if data[start] != 46 or digits < 1 or digits > 9 or fraction < 0:
        return -1
    for _ in range(6 - digits):
        fraction *= 10
    for _ in range(digits - 6):
        fraction //= 10
    return fraction


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 of a civil date, with March as the first month (H. Hinnant)."""
    shifted = year - 1 if month <= 2 else year
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@kernel
def _parse(data: Bytes, starts: Ints, lengths: Ints, times: Ints) -> None:
    """Parse `YYYY-MM-DDThh:mm:ss[.f][Z]` with a fraction of up to 9 digits.

    INVALID where a text has another form: those few are read one by one.
    """
    for row in range(len(starts)):
        times[row] = INVALID
        start, length = starts[row], lengths[row]
        if length < 19 or length > 30:
            continue
        if data[start + 4] != 45 or data[start + 7] != 45:
            continue
        if data[start + 13] != 58 or data[start + 16] != 58:
            continue
        if data[start + 10] & 0xDF != 84 and data[start + 10] != 32:
            continue
        year = _digits(data, start, 4)
        month = _digits(data, start + 5, 2)
        day = _digits(data, start + 8, 2)
        hour = _digits(data, start + 11, 2)
        minute = _digits(data, start + 14, 2)
        second = _digits(data, start + 17, 2)
        if min(year, month, day, hour, minute, second) < 0:
            continue
        if month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
            continue
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        longest = 31 - (month - 1) % 7 % 2
        if month == 2:
            longest = 29 if leap else 28
        if day > longest:
            continue
        end = start + length
        if data[end - 1] & 0xDF == 90:
            end -= 1
        micros = 0
        if end > start + 19:
            micros = _micros(data, start + 19, end)
            if micros < 0:
                continue
        seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
        times[row] = seconds * 1_000_000 + micros
