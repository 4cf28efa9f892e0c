"""Reading JSON events that look alike: everything but their values is compared, not parsed.

A template is made of one event: its text without the values and without the white space
between tokens. A kernel holds other events against it byte by byte, and reads the values
where they stand. What differs in anything else is left to the general reader.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamdrift.decoders.numbers import to_bits
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bools, Bytes, Floats, Ints, Kind

Path = tuple[str, ...]

_TOKEN = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+)')
_PLAIN = re.compile(rb'"[ !#-\[\]-~]*"')
"""A string without escapes, in ASCII."""


@dataclass(frozen=True, slots=True)
class Template:
    """What events of one shape have in common.

    `paths` are the places of the values that differ. `literal` holds the bytes before each
    value and after the last, cut at `ends` int64[values + 1]; `outside` says of each whether
    white space may stand before it.
    """

    paths: tuple[Path, ...]
    literal: Bytes
    outside: Bools
    ends: Ints


def make_template(event: bytes, fixed: frozenset[Path]) -> Template | None:
    """Return the template of a valid JSON object; values at `fixed` belong to it.

    None where its shape is not for this reader: with arrays, empty objects, keys that repeat
    or need escapes.
    """
    maker = _Maker(fixed)
    for token in _TOKEN.findall(event):
        if not maker.take(token):
            return None
    if not maker.paths or len(set(maker.paths)) < len(maker.paths):
        return None
    return Template(
        tuple(maker.paths),
        np.frombuffer(bytes(maker.literal), dtype=np.uint8),
        np.array(maker.outside, dtype=np.bool_),
        np.array([*maker.ends, len(maker.literal)], dtype=np.int64),
    )


class _Maker:
    """The making of a template, token by token."""

    def __init__(self, fixed: frozenset[Path]) -> None:
        self.paths: list[Path] = []
        self.literal = bytearray()
        self.outside: list[bool] = []
        self.ends: list[int] = []
        self._fixed = fixed
        self._path: list[str] = []
        self._wants_key = False
        self._previous = b""

    def take(self, token: bytes) -> bool:
        """Take the next token; return False where the shape is not for this reader."""
        previous, self._previous = self._previous, token
        if token in (b"[", b"]") or (token == b"}" and previous == b"{"):
            return False
        if token == b"{":
            self._wants_key = True
        elif token == b"}":
            if self._path:
                self._path.pop()
        elif token == b",":
            self._wants_key = True
        elif token != b":":
            return self._take_text(token)
        self._append(token)
        return True

    def _take_text(self, token: bytes) -> bool:
        if self._wants_key:
            if not _PLAIN.fullmatch(token):
                return False
            self._wants_key = False
            self._path.append(token[1:-1].decode())
            self._append(token)
            return True
        path = tuple(self._path)
        self._path.pop()
        if path in self._fixed:
            if not _PLAIN.fullmatch(token):
                return False
            self._append(token)
        else:
            self.paths.append(path)
            self.ends.append(len(self.literal))
        return True

    def _append(self, token: bytes) -> None:
        self.literal += token
        self.outside += [True, *[False] * (len(token) - 1)]


@dataclass(frozen=True, slots=True)
class Values:
    """The values of n events at a template's k places.

    `kinds` uint8[k, n] and `numbers` float64[k, n] as in a column; the bytes of a string (in
    its quotes) or of a number are `start` and `length`, int64[k, n].
    """

    kinds: NDArray[np.uint8]
    numbers: Floats
    start: Ints
    length: Ints


def read_alike(
    template: Template, data: Bytes, start: Ints, length: Ints, rows: Ints
) -> tuple[Values, Bools]:
    """Read the messages `rows` int64[m] against a template.

    Returns the values of those that fit, in their order, and which did, bool[m].
    """
    places, count = len(template.paths), len(rows)
    values = Values(
        np.empty((places, count), dtype=np.uint8),
        np.empty((places, count)),
        np.zeros((places, count), dtype=np.int64),
        np.zeros((places, count), dtype=np.int64),
    )
    fits = np.zeros(count, dtype=np.bool_)
    found = _read(
        data,
        start,
        length,
        rows,
        template.literal,
        template.outside,
        template.ends,
        values.kinds,
        values.numbers,
        values.numbers.view(np.uint64),
        values.start,
        values.length,
        fits,
    )
    if found == count:
        return values, fits
    return (
        Values(
            values.kinds[:, :found].copy(),
            values.numbers[:, :found].copy(),
            values.start[:, :found].copy(),
            values.length[:, :found].copy(),
        ),
        fits,
    )


@kernel
def _skip(data: Bytes, at: int, end: int) -> int:
    """Return the first place from `at` on that holds no white space."""
    while at < end and (data[at] == 32 or 9 <= data[at] <= 10 or data[at] == 13):
        at += 1
    return at


@kernel
def _match(
    data: Bytes, at: int, end: int, literal: Bytes, outside: Bools, first: int, last: int
) -> int:
    """Return where the literal from `first` to `last` ends in the data, -1 if it differs."""
    for i in range(first, last):
        if at >= end:
            return -1
        if data[at] != literal[i]:
            if not outside[i]:
                return -1
            at = _skip(data, at, end)
            if at >= end or data[at] != literal[i]:
                return -1
        at += 1
    return at


@kernel
def _word(data: Bytes, at: int, end: int, last: int, size: int) -> int:
    """Return where `true`, `false` or `null` ends (given its last letter), -1 if it is none."""
    if at + size > end or data[at + size - 1] != last:
        return -1
    if data[at] == 116:
        good = data[at + 1] == 114 and data[at + 2] == 117
    elif data[at] == 110:
        good = data[at + 1] == 117 and data[at + 2] == 108
    else:
        good = data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115
    return at + size if good else -1


@kernel
def _string(data: Bytes, at: int, end: int) -> int:
    """Return where a string's text ends that begins at `at`; -1 if it is not plain ASCII."""
    while at < end and data[at] != 34:
        if data[at] < 32 or data[at] > 126 or data[at] == 92:
            return -1
        at += 1
    return at if at < end else -1


@kernel
def _number(data: Bytes, at: int, end: int, bits: NDArray[np.uint64], place: int, row: int) -> int:
    """Write a number's bits and return where it ends; -1 if it is none, or too long."""
    negative = at < end and data[at] == 45
    if negative:
        at += 1
    digits, count, exponent = np.uint64(0), 0, 0
    first = at
    while at < end and 48 <= data[at] <= 57:
        digits = digits * np.uint64(10) + np.uint64(data[at] - 48)
        at += 1
    count = at - first
    if count == 0 or (count > 1 and data[first] == 48):
        return -1
    if at < end and data[at] == 46:
        at += 1
        first = at
        while at < end and 48 <= data[at] <= 57:
            digits = digits * np.uint64(10) + np.uint64(data[at] - 48)
            at += 1
        if at == first:
            return -1
        exponent = first - at
        count += at - first
    if at < end and (data[at] == 101 or data[at] == 69):
        at += 1
        minus = at < end and data[at] == 45
        if at < end and (data[at] == 43 or data[at] == 45):
            at += 1
        first, written = at, 0
        while at < end and 48 <= data[at] <= 57 and at - first < 4:
            written = written * 10 + int(data[at]) - 48
            at += 1
        if at == first:
            return -1
        exponent += -written if minus else written
    # 19 digits fit 64 bits; zeros in front of them count here too, which only costs speed.
    if count > 19:
        return -1
    settled, found = to_bits(digits, exponent)
    if not settled:
        return -1
    if negative and digits != np.uint64(0):
        found = found | np.uint64(1 << 63)
    bits[place, row] = found
    return at


@kernel
def _read(
    data: Bytes,
    start: Ints,
    length: Ints,
    rows: Ints,
    literal: Bytes,
    outside: Bools,
    ends: Ints,
    kinds: NDArray[np.uint8],
    numbers: Floats,
    bits: NDArray[np.uint64],
    span_start: Ints,
    span_length: Ints,
    fits: Bools,
) -> int:
    places = len(ends) - 1
    found = 0
    for i in range(len(rows)):
        at = start[rows[i]]
        end = at + max(length[rows[i]], 0)
        first = 0
        for place in range(places):
            at = _match(data, at, end, literal, outside, first, ends[place])
            if at < 0:
                break
            first = ends[place]
            at = _skip(data, at, end)
            if at >= end:
                at = -1
                break
            numbers[place, found] = np.nan
            lead = data[at]
            if lead == 34:
                text = at + 1
                at = _string(data, text, end)
                kinds[place, found] = 4
                span_start[place, found] = text
                span_length[place, found] = at - text
                at = at + 1 if at >= 0 else -1
            elif lead == 110:
                at = _word(data, at, end, 108, 4)
                kinds[place, found] = 1
            elif lead == 116:
                at = _word(data, at, end, 101, 4)
                kinds[place, found] = 3
                numbers[place, found] = 1.0
            elif lead == 102:
                at = _word(data, at, end, 101, 5)
                kinds[place, found] = 3
                numbers[place, found] = 0.0
            else:
                span_start[place, found] = at
                at = _number(data, at, end, bits, place, found)
                span_length[place, found] = at - span_start[place, found]
                kinds[place, found] = 2
            if at < 0:
                break
        if at >= 0:
            at = _match(data, at, end, literal, outside, first, ends[places])
        if at >= 0 and _skip(data, at, end) == end:
            fits[i] = True
            found += 1
    return found


@kernel
def _encode(
    data: Bytes,
    kinds: NDArray[np.uint8],
    start: Ints,
    length: Ints,
    table: Ints,
    codes: NDArray[np.int32],
    firsts: Ints,
) -> int:
    """Give equal strings equal codes, in the order of first use; return how many there are.

    `table` int64[power of two] is all -1; `firsts` takes the row of each code's first use.
    """
    known = 0
    mask = len(table) - 1
    for i in range(len(kinds)):
        codes[i] = -1
        if kinds[i] != 4:
            continue
        hashed = np.uint64(14695981039346656037)
        for j in range(start[i], start[i] + length[i]):
            hashed = (hashed ^ np.uint64(data[j])) * np.uint64(1099511628211)
        slot = np.int64((hashed ^ (hashed >> np.uint64(32))) & np.uint64(mask))
        while table[slot] >= 0:
            row = firsts[table[slot]]
            same = length[row] == length[i]
            j = 0
            while same and j < length[i]:
                same = data[start[row] + j] == data[start[i] + j]
                j += 1
            if same:
                break
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = known
            firsts[known] = i
            known += 1
        codes[i] = table[slot]
    return known


def encode_strings(
    data: Bytes, values: Values, place: int
) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
    """Return the codes and the dictionary of the strings at a place; no codes without any."""
    # Of some rows alone, they lie apart.
    kinds = np.ascontiguousarray(values.kinds[place])
    start = np.ascontiguousarray(values.start[place])
    length = np.ascontiguousarray(values.length[place])
    size = len(kinds)
    if not (kinds == Kind.STRING.value).any():  # a plain number is compared much faster
        return None, ()
    codes = np.empty(size, dtype=np.int32)
    firsts = np.empty(size, dtype=np.int64)
    table = np.full(1 << (2 * size - 1).bit_length(), -1, dtype=np.int64)
    known = _encode(data, kinds, start, length, table, codes, firsts)
    strings = tuple(
        data[start[row] : start[row] + length[row]].tobytes().decode("ascii")
        for row in firsts[:known].tolist()
    )
    return codes, strings
