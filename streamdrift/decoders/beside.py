"""What stands beside an event's document: its record's time, and headers of its envelope."""

from dataclasses import dataclass

import numpy as np

from streamdrift.decoders.ids import hash_places
from streamdrift.decoders.letters import brief
from streamdrift.decoders.mapping import MISSING, HeaderPlace
from streamdrift.decoders.times import INVALID, parse_texts, read_times, record_times
from streamdrift.headers import header_spans, header_texts
from streamdrift.records import Codes, Ids, Ints, Messages


@dataclass(frozen=True, slots=True)
class Beside:
    """Where the time and the id of an event that does not say them stand: in which header."""

    time: HeaderPlace | None = None
    id: HeaderPlace | None = None

    def times(self, messages: Messages, rows: Ints) -> Ints:
        """Return the times of the messages `rows`, INVALID where one is none, or is unreadable."""
        times = record_times(messages, rows)
        if self.time is None:
            return times
        start, length = header_spans(messages, self.time.header)
        start, length = start[rows], length[rows]
        given = np.flatnonzero(length >= 0)
        found = parse_texts(messages.data, start[given], length[given])
        for place in np.flatnonzero(found == INVALID).tolist():
            at, size = start[given[place]], length[given[place]]
            text = messages.data[at : at + size].tobytes().decode(errors="replace")
            found[place] = read_times([text])[0]
        times[given] = found
        return times

    def time_fault(self, cell: object, messages: Messages, row: int) -> tuple[str, str]:
        """Return why an event has no time, whose own stands in `cell`, and what was found."""
        if cell not in (MISSING, None):
            return "invalid_time", f"time: {brief(cell)}"
        if self.time is None:
            return "no_time", f"time: {brief(cell)}"
        told = header_texts(messages, self.time.header)[row]
        return "no_time" if told is None else "invalid_time", f"{self.time.header}: {brief(told)}"

    def ids(self, own: Ids, messages: Messages, rows: Ints, indices: Codes) -> Ids:
        """Return the ids of events at `indices` of the messages `rows`: their `own` first."""
        if self.id is None or own.all():
            return own
        return np.where(own == 0, hash_places(self.id, messages, rows, indices), own)


NOTHING = Beside()
