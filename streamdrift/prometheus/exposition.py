"""Prometheus' text format of families with many series, made of columns without the GIL.

The labels of a series are text already, and its value becomes text in a compiled kernel: whoever
reads a hundred thousand series does not keep the threads of the stream from running.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.readings import Readings
from streamdrift.records import Bools, Bytes, Floats, Ints

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ROWS = 4_000
"""Series of which the text is made at once: half a megabyte."""
_NUMBER = 24
"""Bytes that a number takes at most, with what is around it."""
_LABELS, _BREATH = 500, 0.001
"""After so many labels, others may run for so many seconds."""
_DIGITS = 9
"""Of a number: as many as tell any two float32 apart."""
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of many series, each as it stands in the text: `text` uint8, ends int64[n]."""

    text: Bytes
    ends: Ints

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> "Labels":
        """Return the labels of series, given one by one."""
        return cls(
            np.frombuffer(b"".join(texts), dtype=np.uint8),
            np.cumsum([len(text) for text in texts], dtype=np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence["Labels"]) -> "Labels":
        """Return the labels of some series, and behind them those of others."""
        sizes = [0, *(len(part.text) for part in parts)]
        starts = np.cumsum(sizes).tolist()
        ends = [part.ends + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate([np.empty(0, dtype=np.uint8), *(part.text for part in parts)]),
            np.concatenate([np.empty(0, dtype=np.int64), *ends]),
        )


def label(values: Mapping[str, str]) -> bytes:
    r"""Return the labels of one series as text.

    >>> label({"model": 'a"b'}).decode()
    '{model="a\\"b"}'
    """
    pairs = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in values.items())
    return f"{{{pairs}}}".encode()


def heading(name: str, kind: str, about: str) -> bytes:
    """Return the lines above a family; `name` is that of its samples, `about` has no line break."""
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n".encode()


def samples(name: str, labels: Labels, values: Floats, chosen: Ints) -> Iterator[memoryview]:
    """Yield the lines of a family's series float64[n], those at the places `chosen` int64[k]."""
    called = np.frombuffer(name.encode(), dtype=np.uint8)
    for begin in range(0, len(chosen), _ROWS):
        rows = chosen[begin : begin + _ROWS]
        sizes = labels.ends[rows] - np.where(rows > 0, labels.ends[rows - 1], 0)
        out = np.empty(int(sizes.sum()) + (len(called) + _NUMBER) * len(rows), dtype=np.uint8)
        size = write_lines(called, labels.text, labels.ends, values, rows, out)
        yield out[:size].data


class ReadingLabels:
    """The labels of readings, kept from one scrape to the next: they are seldom others."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], tuple[Readings, Labels]] = {}
        self._last: tuple[Sequence[Labels], Labels] = ((), Labels.of([]))

    def of(self, readings: Sequence[Readings]) -> Labels:
        """Return the labels of all readings, one behind the other. Takes a breath now and then."""
        known: dict[tuple[str, str, int], tuple[Readings, Labels]] = {}
        parts, made = [], 0
        for each in readings:
            key = (each.model, each.version, id(each.signals))
            before = self._known.get(key)
            if before is None or not _same_series(before[0], each):
                before = each, Labels.of(_labels(each))
                made += len(each)
                if made >= _LABELS:
                    made = 0
                    time.sleep(_BREATH)
            known[key] = before
            parts.append(before[1])
        self._known = known
        last, whole = self._last
        if len(last) != len(parts) or any(a is not b for a, b in zip(last, parts, strict=True)):
            whole = Labels.joined(parts)
            self._last = parts, whole
        return whole


def _same_series(one: Readings, other: Readings) -> bool:
    return (
        one.signals is other.signals
        and one.detectors == other.detectors
        and np.array_equal(one.signal, other.signal)
        and np.array_equal(one.detector, other.detector)
    )


def _labels(readings: Readings) -> list[bytes]:
    """Return the labels of each reading of one version."""
    begin = label({"model": readings.model, "version": readings.version})[:-1]
    names = [label({"signal": signal.name})[1:-1] for signal in readings.signals]
    ends = [label({"detector": detector})[1:] for detector in readings.detectors]
    return [
        b"%b,%b,%b" % (begin, names[signal], ends[detector])
        for signal, detector in zip(
            readings.signal.tolist(), readings.detector.tolist(), strict=True
        )
    ]


def nearest(statistic: Floats, threshold: Floats, changed: Bools, most: int | None) -> Ints:
    """Return the places of the `most` readings nearest to their thresholds, ascending.

    Signals that changed come first: their detectors rest, and say nothing until they are back.
    """
    size = len(statistic)
    if most is None or size <= most:
        return np.arange(size, dtype=np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.where(changed, np.inf, statistic / threshold)
    near[np.isnan(near)] = -np.inf
    chosen: Ints = np.argpartition(-near, most - 1)[:most] if most else np.empty(0, np.int64)
    chosen.sort()
    return chosen


@kernel
def write_lines(
    name: Bytes, labels: Bytes, ends: Ints, values: Floats, rows: Ints, out: Bytes
) -> int:
    """Write a line for each of the series `rows`; return how many bytes these are."""
    place = 0
    for at in range(len(rows)):
        row = rows[at]
        for i in range(len(name)):
            out[place] = name[i]
            place += 1
        for i in range(ends[row - 1] if row > 0 else 0, ends[row]):
            out[place] = labels[i]
            place += 1
        out[place] = 32
        place = _write_number(values[row], out, place + 1)
        out[place] = 10
        place += 1
    return place


@inlined
def _write_number(value: float, out: Bytes, place: int) -> int:
    """Write a number as `%.9g` does; return the place behind it."""
    if np.isnan(value):
        out[place], out[place + 1], out[place + 2] = 78, 97, 78
        return place + 3
    if value < 0:
        out[place] = 45
        place += 1
        value = -value
    if np.isinf(value):
        out[place], out[place + 1], out[place + 2] = 73, 110, 102
        return place + 3
    if value == 0:
        out[place] = 48
        return place + 1
    exponent = int(np.floor(np.log10(value)))
    digits = _scaled(value, exponent)
    if digits >= 1_000_000_000:  # Rounded up, or the logarithm was.
        exponent += 1
        digits = _scaled(value, exponent)
    elif digits < 100_000_000:
        exponent -= 1
        digits = _scaled(value, exponent)
    count = _DIGITS
    while count > 1 and digits % 10 == 0:
        digits //= 10
        count -= 1
    if exponent < -4 or exponent >= _DIGITS:
        place = _write_digits(digits, count, 1, out, place)
        out[place] = 101
        out[place + 1] = 45 if exponent < 0 else 43
        power = abs(exponent)
        return _write_digits(power, 3 if power > 99 else 2, 3, out, place + 2)
    if exponent < 0:
        out[place], out[place + 1] = 48, 46
        place += 2
        for _ in range(-1 - exponent):
            out[place] = 48
            place += 1
        return _write_digits(digits, count, count, out, place)
    while count < exponent + 1:
        digits *= 10
        count += 1
    return _write_digits(digits, count, exponent + 1, out, place)


@inlined
def _scaled(value: float, exponent: int) -> int:
    """Return the digits of a number as an integer; in two steps, as powers have an end."""
    power = _DIGITS - 1 - exponent
    half = power // 2
    return int(np.rint(value * 10.0**half * 10.0 ** (power - half)))


@inlined
def _write_digits(digits: int, count: int, whole: int, out: Bytes, place: int) -> int:
    """Write `count` digits, with a point behind the first `whole` if others follow."""
    end = place + count + (1 if whole < count else 0)
    at = end - 1
    for left in range(count, 0, -1):
        out[at] = 48 + digits % 10
        digits //= 10
        at -= 1
        if left - 1 == whole:
            out[at] = 46
            at -= 1
    return end
