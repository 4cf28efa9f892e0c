"""Event times as people and other programs read them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_135_596_800_000_000
_LAST = 253_402_300_799_999_999


def date_of(time: int) -> datetime:
    """Return microseconds since the epoch as a date (of the years 1 to 9999)."""
    return _EPOCH + timedelta(microseconds=min(max(time, _FIRST), _LAST))


def microseconds(date: datetime) -> int:
    """Return a date that has a time zone as microseconds since the epoch.

    >>> microseconds(date_of(1_500_000))
    1500000
    """
    return (date - _EPOCH) // timedelta(microseconds=1)


def rfc3339(time: int) -> str:
    """Return microseconds since the epoch as RFC 3339 writes them.

    >>> rfc3339(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return date_of(time).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
