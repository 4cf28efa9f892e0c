"""Durations, counts and times, short enough for a table."""

from streamdrift.durations import DAY, SECOND
from streamdrift.times import date_of

_UNITS = ((2 * DAY, DAY, "d"), (DAY // 12, DAY // 24, "h"), (120 * SECOND, 60 * SECOND, "min"))
_AXES = (
    (600 * SECOND, "%H:%M:%S", SECOND),
    (2 * DAY, "%H:%M", 60 * SECOND),
    (300 * DAY, "%m-%d", DAY),
)
STEPS = tuple(
    unit * size
    for unit, sizes in (
        (SECOND // 1_000, (1, 10, 100)),
        (SECOND, (1, 2, 5, 10, 30)),
        (60 * SECOND, (1, 2, 5, 10, 30)),
        (3_600 * SECOND, (1, 2, 3, 6, 12)),
        (DAY, (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)),
    )
    for size in sizes
)
"""Round durations, ascending."""

_LARGE = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def duration(microseconds: float) -> str:
    """Return a duration with its unit.

    >>> duration(400_000), duration(14e6), duration(-240e6), duration(5 * 3600e6)
    ('0.4 s', '14 s', '-4 min', '5 h')
    """
    size = abs(microseconds)
    found = (entry for entry in _UNITS if size >= entry[0])
    _, unit, name = next(found, (0, SECOND, "s"))
    return f"{_rounded(microseconds / unit)} {name}"


def delay(microseconds: float) -> str:
    """Return a duration with its sign.

    >>> delay(14e6), delay(0)
    ('+14 s', '+0 s')
    """
    text = duration(microseconds)
    return text if text.startswith("-") else f"+{text}"


def count(number: float) -> str:
    """Return a number, large ones in thousands, millions or billions.

    >>> count(0.0712), count(30.24), count(578), count(4_234_123), count(10_600)
    ('0.071', '30.2', '578', '4.23M', '10.6k')
    """
    size, name = next(((size, name) for size, name in _LARGE if number >= size), (1.0, ""))
    scaled = number / size
    if scaled >= 100:
        return f"{scaled:.0f}{name}"
    if name:
        return f"{scaled:.3g}{name}"
    return _rounded(scaled)


def moment(time: int) -> str:
    """Return a time to the second, in UTC.

    >>> moment(1_767_225_600_000_000)
    '2026-01-01 00:00:00'
    """
    return f"{date_of(time):%Y-%m-%d %H:%M:%S}"


def tick(time: int, span: int) -> str:
    """Return a time for an axis that spans so many microseconds.

    >>> tick(1_767_225_600_000_000, 3_600_000_000), tick(1_767_225_600_000_000, 30 * DAY)
    ('00:00', '01-01')
    """
    form, _ = _axis(span)
    return f"{date_of(time):{form}}"


def round_times(first: int, last: int, most: int) -> range:
    """Return round times from `first` to `last`, as many as `most`, for an axis of `tick`s."""
    span, finest = last - first, _axis(last - first)[1]
    fits = (size for size in STEPS if size >= finest and span < size * most)
    step = next(fits, max(1, span))
    return range(first + -first % step, last + 1, step)


def _axis(span: int) -> tuple[str, int]:
    return next(
        ((form, finest) for most, form, finest in _AXES if span < most), ("%Y-%m", 31 * DAY)
    )


def counted(number: int, noun: str) -> str:
    """Return how many there are of what.

    >>> counted(1, "incident"), counted(1_200, "incident")
    ('1 incident', '1,200 incidents')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _rounded(number: float) -> str:
    if abs(number) >= 100:
        return f"{number:,.0f}"
    text = f"{number:.1f}" if abs(number) >= 10 else f"{number:.2g}"
    return text.removesuffix(".0")
