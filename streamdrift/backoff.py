"""How long to wait before the next attempt."""

from collections.abc import Callable

FIRST, LONGEST = 1.0, 60.0
"""Seconds."""


class Backoff:
    """Waits that double with each failure in a row, less up to a half by `chance`.

    It gives numbers from 0 to 1, where others may wait for the same: all would else come at once
    when it is back. `first` and `longest` are in seconds.
    """

    def __init__(
        self,
        chance: Callable[[], float] = lambda: 0.0,
        first: float = FIRST,
        longest: float = LONGEST,
    ) -> None:
        self._chance = chance
        self._first = first
        self._longest = longest
        self._failures = 0

    def failed(self, asked: float | None = None) -> float:
        """Return the seconds to wait after another failure, `asked` at least."""
        wait = min(self._longest, self._first * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return max(wait * (1 - self._chance() / 2), asked or 0.0)

    def worked(self) -> None:
        """Begin again with the shortest wait."""
        self._failures = 0
