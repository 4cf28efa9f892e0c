"""Where in the stream a signal's values lay: for the onset of a change."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Batch, Floats, Ints, Onset, Partition, State

STRIDE = 64
"""Events of a model version between two marks: the resolution of an onset."""
_ROOM = 128


class Marks:
    """Remembers time, offsets and each signal's count of values at every STRIDE-th event.

    At most _ROOM marks are kept: when they are full, every second one of the older half
    goes, so the recent past is known finely and the far past coarsely.
    """

    def __init__(self, signals: int) -> None:
        self._counts = np.zeros(signals, dtype=np.int64)
        self._offsets: dict[Partition, int] = {}
        self._first_offsets: dict[Partition, int] = {}
        self._ordinal = 0
        self._times: list[int] = []
        self._marked: list[Ints] = []
        self._marked_offsets: list[dict[Partition, int]] = []

    def add(self, batch: Batch, values: Floats, begin: int, end: int) -> None:
        """Take the events `begin` to `end` of a batch and their signals float64[s, n]."""
        if begin < end and not self._times:
            self._mark(int(batch.time[begin]))
        while begin < end:
            stop = min(end, begin + STRIDE - self._ordinal % STRIDE)
            _count(values, begin, stop, self._counts)
            self._note_offsets(batch, begin, stop)
            self._ordinal += stop - begin
            if self._ordinal % STRIDE == 0:
                self._mark(int(batch.time[stop - 1]))
            begin = stop

    def _note_offsets(self, batch: Batch, begin: int, end: int) -> None:
        if len(batch.partitions) == 1:
            self._first_offsets.setdefault(batch.partitions[0], int(batch.offset[begin]))
            self._offsets[batch.partitions[0]] = int(batch.offset[end - 1])
            return
        for row in range(begin, end):
            partition = batch.partitions[batch.partition[row]]
            self._first_offsets.setdefault(partition, int(batch.offset[row]))
            self._offsets[partition] = int(batch.offset[row])

    def _mark(self, time: int) -> None:
        self._times.append(time)
        self._marked.append(self._counts.copy())
        self._marked_offsets.append(dict(self._offsets))
        if len(self._times) > _ROOM:
            half = _ROOM // 2
            for marks in (self._times, self._marked, self._marked_offsets):
                del marks[1:half:2]

    def position(self, signal: int) -> int:
        """Return how many values the signal had in the events added so far."""
        return int(self._counts[signal])

    def onset(self, signal: int, earliest: int, latest: int, alarm_at: int) -> Onset:
        """Return the stretch that holds the signal's values number `earliest` to `latest`.

        The numbers count from the signal's first value. `alarm_at` is the time of the last
        event added: the end of the stretch where no mark lies behind `latest`.
        """
        counts = np.array([marked[signal] for marked in self._marked])
        first = max(0, int(np.searchsorted(counts, earliest, side="right")) - 1)
        last = int(np.searchsorted(counts, latest, side="right"))
        before = self._marked_offsets[first]
        known = last < len(self._times)
        behind = self._marked_offsets[last] if known else self._offsets
        offsets: dict[str, dict[int, tuple[int, int]]] = {}
        for partition in sorted(behind):
            start = before.get(partition, self._first_offsets[partition] - 1) + 1
            if start <= behind[partition]:
                stretch = (start, behind[partition])
                offsets.setdefault(partition.topic, {})[partition.number] = stretch
        return Onset(self._times[first], self._times[last] if known else alarm_at, offsets)

    def snapshot(self) -> State:
        """Return the marks."""
        names = sorted(self._offsets)
        return {
            "partitions": [[partition.topic, partition.number] for partition in names],
            "offsets": np.array([self._offsets[name] for name in names], dtype=np.int64),
            "first_offsets": np.array(
                [self._first_offsets[name] for name in names], dtype=np.int64
            ),
            "counts": self._counts.copy(),
            "ordinal": self._ordinal,
            "times": np.array(self._times, dtype=np.int64),
            "marked": np.array(self._marked, dtype=np.int64).reshape(
                len(self._times), len(self._counts)
            ),
            "marked_offsets": np.array(
                [[marked.get(name, -1) for name in names] for marked in self._marked_offsets],
                dtype=np.int64,
            ).reshape(len(self._times), len(names)),
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        partitions, ordinal = state["partitions"], state["ordinal"]
        assert isinstance(partitions, Sequence)
        assert isinstance(ordinal, int)
        names = [Partition(topic, number) for topic, number in partitions]
        self._offsets = dict(zip(names, np.asarray(state["offsets"]).tolist(), strict=True))
        self._first_offsets = dict(
            zip(names, np.asarray(state["first_offsets"]).tolist(), strict=True)
        )
        self._counts = np.array(state["counts"])
        self._ordinal = ordinal
        self._times = np.asarray(state["times"]).tolist()
        self._marked = list(np.asarray(state["marked"]))
        self._marked_offsets = [
            {name: offset for name, offset in zip(names, row, strict=True) if offset >= 0}
            for row in np.asarray(state["marked_offsets"]).tolist()
        ]


@kernel
def _count(values: Floats, begin: int, end: int, counts: Ints) -> None:
    for signal in range(len(values)):
        for row in range(begin, end):
            if not np.isnan(values[signal, row]):
                counts[signal] += 1
