"""Where in the stream a signal's values lay: for the onset of a change."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamdrift.changes import Onset
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Batch, Codes, Floats, Ints, Partition, State

STRIDE = 64
"""Events of a model version between two marks: the resolution of an onset."""
_ROOM = 128
_NONE = -1


class Marks:
    """Remembers time, offsets and each signal's count of values at every STRIDE-th event.

    At most _ROOM marks are kept: when they are full, every second one of the older half
    goes, so the recent past is known finely and the far past coarsely.
    """

    def __init__(self, signals: int) -> None:
        self._counts = np.zeros(signals, dtype=np.int64)
        self._slots: dict[Partition, int] = {}
        """Places in the two arrays of offsets, by partition."""
        self._offsets: Ints = np.zeros(0, dtype=np.int64)
        self._first_offsets: Ints = np.zeros(0, dtype=np.int64)
        """Last and first offset of each slot; _NONE where there was no event yet."""
        self._ordinal = 0
        self._times: list[int] = []
        self._marked: list[Ints] = []
        self._marked_offsets: list[Ints] = []
        """The last offsets as they were; of slots that came later there is nothing."""

    def add(self, batch: Batch, values: Floats, begin: int, end: int) -> None:
        """Take the events `begin` to `end` of a batch and their signals float64[s, n]."""
        if begin < end and not self._times:
            self._mark(int(batch.time[begin]), self._counts, self._offsets)
        slots = self._slots_of(batch.partitions)
        behind = STRIDE - self._ordinal % STRIDE
        passed = max(end - begin - behind + STRIDE, 0) // STRIDE
        counts = np.empty((passed, len(self._counts)), dtype=np.int64)
        offsets = np.empty((passed, len(self._offsets)), dtype=np.int64)
        _count(values, begin, end, behind, self._counts, counts)
        _note_offsets(
            batch.partition,
            batch.offset,
            begin,
            end,
            behind,
            slots,
            self._offsets,
            self._first_offsets,
            offsets,
        )
        times = batch.time[begin + behind - 1 : end : STRIDE].tolist()
        for time, counted, noted in zip(times, counts, offsets, strict=True):
            self._mark(time, counted, noted)
        self._ordinal += end - begin

    def _slots_of(self, partitions: Sequence[Partition]) -> Ints:
        """Return the slots of a batch's partitions; new ones get new slots."""
        for partition in partitions:
            self._slots.setdefault(partition, len(self._slots))
        fresh = np.full(len(self._slots) - len(self._offsets), _NONE, dtype=np.int64)
        if len(fresh):
            self._offsets = np.concatenate([self._offsets, fresh])
            self._first_offsets = np.concatenate([self._first_offsets, fresh])
        return np.array([self._slots[partition] for partition in partitions], dtype=np.int64)

    def _mark(self, time: int, counts: Ints, offsets: Ints) -> None:
        self._times.append(time)
        self._marked.append(counts.copy())
        self._marked_offsets.append(offsets.copy())
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
        for partition, slot in sorted(self._slots.items()):
            start, stop = _at(before, slot) + 1, _at(behind, slot)
            if start == 0:
                start = int(self._first_offsets[slot])
            if stop != _NONE and start <= stop:
                offsets.setdefault(partition.topic, {})[partition.number] = (start, stop)
        return Onset(self._times[first], self._times[last] if known else alarm_at, offsets)

    def snapshot(self) -> State:
        """Return the marks."""
        # Partitions without an event of the version are as if never heard of.
        there = [each for each in sorted(self._slots.items()) if self._offsets[each[1]] != _NONE]
        slots = np.array([slot for _, slot in there], dtype=np.int64)
        return {
            "partitions": [[partition.topic, partition.number] for partition, _ in there],
            "offsets": self._offsets[slots],
            "first_offsets": self._first_offsets[slots],
            "counts": self._counts.copy(),
            "ordinal": self._ordinal,
            "times": np.array(self._times, dtype=np.int64),
            "marked": np.array(self._marked, dtype=np.int64).reshape(
                len(self._times), len(self._counts)
            ),
            "marked_offsets": np.array(
                [[_at(marked, slot) for _, slot in there] for marked in self._marked_offsets],
                dtype=np.int64,
            ).reshape(len(self._times), len(there)),
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        partitions, ordinal = state["partitions"], state["ordinal"]
        assert isinstance(partitions, Sequence)
        assert isinstance(ordinal, int)
        self._slots = {
            Partition(topic, number): slot for slot, (topic, number) in enumerate(partitions)
        }
        self._offsets = np.array(state["offsets"])
        self._first_offsets = np.array(state["first_offsets"])
        self._counts = np.array(state["counts"])
        self._ordinal = ordinal
        self._times = np.asarray(state["times"]).tolist()
        self._marked = list(np.asarray(state["marked"]))
        self._marked_offsets = list(np.asarray(state["marked_offsets"]))


def _at(offsets: Ints, slot: int) -> int:
    return int(offsets[slot]) if slot < len(offsets) else _NONE


@kernel
def _note_offsets(
    partition: Codes,
    offset: Ints,
    begin: int,
    end: int,
    behind: int,
    slots: Ints,
    last: Ints,
    first: Ints,
    marked: Ints,
) -> None:
    """Keep the last offset of each slot, and the first where there was none.

    `marked` int64[m, k] takes the last ones as they are after `behind` events, and after each
    STRIDE from there on.
    """
    for row in range(begin, end):
        slot = slots[partition[row]]
        last[slot] = offset[row]
        if first[slot] < 0:
            first[slot] = offset[row]
        if (row + 1 - begin - behind) % STRIDE == 0:
            marked[(row + 1 - begin - behind) // STRIDE] = last


@kernel
def _count(values: Floats, begin: int, end: int, behind: int, counts: Ints, marked: Ints) -> None:
    """Count each signal's values; `marked` int64[m, s] is as in `_note_offsets`."""
    for signal in range(len(values)):
        start, stop = begin, begin + behind
        for mark in range(len(marked) + 1):
            there = 0
            for row in range(start, min(stop, end)):
                there += int(not np.isnan(values[signal, row]))
            counts[signal] += there
            if mark < len(marked):
                marked[mark, signal] = counts[signal]
            start, stop = stop, stop + STRIDE
