"""How many events a model brings, over all its versions: what its run lengths follow.

A budget is a rate in event time, a run length a number of values. What turns the one into the other
is taken anew once a day, so that a model whose traffic grows keeps its budget, and versions that
are watched at once share it: each is held to the model's rate, not to its own.
"""

from hashlib import blake2b

import numpy as np

from streamdrift.durations import DAY
from streamdrift.records import Ints, State
from streamdrift.trees import array, optional_integer

_DAYS = 7
"""Days the rate is the mean of: a week has them all alike."""


class Pace:
    """Counts the events of a model by day, and says at which rate each day is watched.

    A day begins at a time of its own for each model, so that not all have work to do at once.
    The model's first day, which is seen in part, is none; nor is one without events, as a model
    that rests is not slow.
    """

    def __init__(self, model: str) -> None:
        digest = blake2b(model.encode("utf-8", "surrogatepass"), digest_size=6).digest()
        self._offset = int.from_bytes(digest, "little") % DAY
        self._first: int | None = None
        self._counts: dict[int, int] = {}

    def days(self, times: Ints) -> Ints:
        """Return the days that times int64[n] are in."""
        return (times - self._offset) // DAY

    def add(self, times: Ints) -> None:
        """Count the events of times int64[n], ascending."""
        first, last = self.days(times[[0, -1]]).tolist()
        if self._first is None or first < self._first:
            self._first = first
        if first == last:
            counted = {first: len(times)}
        else:
            days, counts = np.unique(self.days(times), return_counts=True)
            counted = dict(zip(days.tolist(), counts.tolist(), strict=True))
        for day, count in counted.items():
            self._counts[day] = self._counts.get(day, 0) + count

    def on(self, day: int) -> float | None:
        """Return the events in a microsecond that a day is watched at; None where none is known.

        All events of the days before it must have been counted, and at least one event.
        """
        assert self._first is not None
        whole = [each for each in sorted(self._counts) if self._first < each < day][-_DAYS:]
        if not whole:
            return None
        return sum(self._counts[each] for each in whole) / (len(whole) * DAY)

    def forget(self) -> None:
        """Forget days that no later one is watched by."""
        kept = sorted(self._counts)[-_DAYS - 1 :]
        self._counts = {day: self._counts[day] for day in kept}

    def snapshot(self) -> State:
        """Return what was counted."""
        days = sorted(self._counts)
        counts = [self._counts[day] for day in days]
        return {
            "first": self._first,
            "days": np.array(days, dtype=np.int64),
            "counts": np.array(counts, dtype=np.int64),
        }

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self._first = optional_integer(state, "first")
        days, counts = array(state, "days").tolist(), array(state, "counts").tolist()
        self._counts = dict(zip(days, counts, strict=True))
