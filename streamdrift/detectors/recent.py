"""The last values of many signals, by their codes, to say how large a change is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import kernel
from streamdrift.records import Ints, State, Stream
from streamdrift.references.binning import NOTHING, Cells
from streamdrift.trees import array, tree

ROOM = 320
"""Values kept of a number: of the slowest changes that are found, the later part."""
_ROOM_OF_OTHERS = 512
_KEPT: Mapping[Stream, tuple[int, type[np.unsignedinteger]]] = {
    Stream.NUMERIC: (ROOM, np.uint8),
    Stream.RATE: (_ROOM_OF_OTHERS, np.uint8),
    Stream.CATEGORY: (_ROOM_OF_OTHERS, np.uint16),
}

Kept = NDArray[np.unsignedinteger[Any]]


class _Ring:
    """The last codes of some signals, each at its count modulo the room."""

    def __init__(self, signals: Ints, room: int, kind: type[np.unsignedinteger]) -> None:
        self.signals = signals
        self.codes = np.zeros((len(signals), room), dtype=kind)


class Recent:
    """The last values of each signal since it was armed. 320 bytes a number.

    A value is kept as its code: of a number the cell of its reference it fell into, of a rate 0
    or 1, of a category the level's place. So it takes a byte or two, and what was counted of it
    is known exactly.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._rings = {}
        self._slots = np.zeros(len(streams), dtype=np.int64)
        self._streams = streams
        for stream, (room, kind) in _KEPT.items():
            mine = [signal for signal, each in enumerate(streams) if each is stream]
            signals = np.array(mine, dtype=np.int64)
            self._rings[stream] = _Ring(signals, room, kind)
            self._slots[signals] = np.arange(len(signals))
        self.counts: Ints = np.zeros(len(streams), dtype=np.int64)
        """How many values there were of each signal since it was armed."""

    def add(self, codes: Cells, start: Ints) -> None:
        """Take uint16[count, n] from the columns `start` int64[count] on."""
        for ring in self._rings.values():
            _add(ring.codes, self.counts, ring.signals, codes, start)

    def codes(self, signal: int) -> Kept:
        """Return where the last codes of a signal lie, each at its count modulo the length."""
        kept: Kept = self._rings[self._streams[signal]].codes[self._slots[signal]]
        return kept

    def last(self, signal: int, codes: Cells, count: int) -> Cells:
        """Return the last `count` codes of those kept and later ones, as many as fit at most."""
        ring = self.codes(signal)
        room = len(ring)
        kept = min(int(self.counts[signal]), room)
        places = (self.counts[signal] - kept + np.arange(kept)) % room
        joined = np.concatenate([ring[places], codes[codes != NOTHING][-room:]])
        last: Cells = joined[-min(max(count, 1), room) :].astype(np.uint16)
        return last

    def kept(self, signal: int) -> Cells:
        """Return all codes that are kept of a signal, the oldest first."""
        return self.last(signal, np.empty(0, dtype=np.uint16), len(self.codes(signal)))

    def clear(self, signal: int) -> None:
        """Begin anew: the signal is held, or armed again."""
        self.counts[signal] = 0
        self.codes(signal)[:] = 0

    def snapshot(self) -> State:
        """Return the codes and counts."""
        codes = {stream.value: ring.codes.copy() for stream, ring in self._rings.items()}
        return {"codes": codes, "counts": self.counts.copy()}

    def restore(self, state: State) -> None:
        """Take over the snapshot of as many signals, of the same streams."""
        codes = tree(state, "codes")
        for stream, ring in self._rings.items():
            ring.codes[:] = array(codes, stream.value)
        self.counts = array(state, "counts").astype(np.int64)


@kernel
def _add(kept: Kept, counts: Ints, signals: Ints, codes: Cells, start: Ints) -> None:
    room = kept.shape[1]
    for slot in range(len(signals)):
        signal = signals[slot]
        row, own, count = codes[signal, start[signal] :], kept[slot], counts[signal]
        there = 0
        for column in range(len(row)):
            there += int(row[column] != NOTHING)
        counts[signal] += there
        if there < len(row):
            for column in range(len(row)):
                if row[column] != NOTHING:
                    own[count % room] = row[column]
                    count += 1
            continue
        # Most often there is no gap: the end of the row is copied, in two parts at most.
        first = max(len(row) - room, 0)
        place = (count + first) % room
        end = row[first : first + room - place]
        for each in range(len(end)):
            own[place + each] = end[each]
        begin = row[first + len(end) :]
        for each in range(len(begin)):
            own[each] = begin[each]
