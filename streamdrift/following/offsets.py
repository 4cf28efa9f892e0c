"""Offsets of a partition that are dealt with: runs of neighbours, and a note beside a commit."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

_LONGEST_NOTE = 3_500
"""Characters: brokers take 4,096."""


class Offsets:
    """A set of offsets. Neighbours are one run: what it takes grows with the gaps alone."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def __contains__(self, offset: int) -> bool:
        run = bisect_right(self._first, offset) - 1
        return run >= 0 and offset <= self._last[run]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last offset of each run, in order."""
        return zip(self._first, self._last, strict=True)

    def add(self, first: int, last: int | None = None) -> None:
        """Add an offset, or all from one to another."""
        last = first if last is None else last
        # The runs that it touches become one with it.
        begin = bisect_left(self._last, first - 1)
        end = bisect_right(self._first, last + 1)
        if begin < end:
            first = min(first, self._first[begin])
            last = max(last, self._last[end - 1])
        self._first[begin:end] = [first]
        self._last[begin:end] = [last]

    def drop_below(self, offset: int) -> None:
        """Forget what is below an offset."""
        gone = bisect_left(self._last, offset)
        del self._first[:gone], self._last[:gone]
        if self._first:
            self._first[0] = max(self._first[0], offset)


def write_note(position: int, offsets: Offsets) -> str:
    """Return offsets above a position: each run's distance from what is before, and its length.

    The last ones may find no room.

    >>> offsets = Offsets()
    >>> for each in (4, 5, 6, 9):
    ...     offsets.add(each)
    >>> write_note(3, offsets)
    '1+2,3,'
    """
    note, before = "", position
    for first, last in offsets:
        text = f"{first - before}" + (f"+{last - first}," if last > first else ",")
        if len(note) + len(text) > _LONGEST_NOTE:
            break
        note, before = note + text, last
    return note


def read_note(position: int, note: str) -> Offsets:
    """Return the offsets that a note tells of."""
    offsets, before = Offsets(), position
    for text in filter(None, note.split(",")):
        distance, _, more = text.partition("+")
        if not (distance.isdecimal() and (more or "0").isdecimal()) or len(text) > 40:
            break  # Another program's: the worst is that alerts are told again.
        first = before + int(distance)
        before = first + int(more or "0")
        offsets.add(first, before)
    return offsets
