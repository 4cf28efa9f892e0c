"""Whether the service has caught up with its input: nobody is paged of history."""

from collections.abc import Callable, Mapping, Sequence

from streamdrift.records import Partition, Reached

Look = Callable[[], Mapping[Partition, Reached] | None]
"""Tells how far a stage is; None where nobody knows now."""


class Backlog:
    """Goes through the stages on the way to the alerts, round by round.

    A round notes where the first stage ends, waits until all up to there is taken, then does the
    same with the next one. What was published before it began, and is open when it ends, is open
    as of its beginning. Where it took less than `within` seconds, that is now as good as.
    """

    def __init__(self, stages: Sequence[Look], within: float) -> None:
        self._stages = stages
        self._within = within
        self._began: float | None = None
        self._stage = 0
        self._goals: Mapping[Partition, int] | None = None

    def look(self, now: float) -> float | None:
        """Go on as far as possible at `now`, in seconds of a clock that never jumps.

        Return when the round began that is over now, if it was a short one; else None.
        """
        if self._began is None:
            self._began = now
        while self._stage < len(self._stages):
            found = self._stages[self._stage]()
            if found is None:
                return None
            if self._goals is None:
                self._goals = {partition: reached.end for partition, reached in found.items()}
            # What is there no more is waited for no more.
            if any(
                partition in found and found[partition].offset < goal
                for partition, goal in self._goals.items()
            ):
                return None
            self._stage, self._goals = self._stage + 1, None
        began, self._began, self._stage = self._began, None, 0
        return began if now - began <= self._within else None
