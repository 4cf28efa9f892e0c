"""Collecting a bounded, evenly thinned stretch of a stream as a reference."""

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from streamdrift.columns import canonical, cut, from_state, join, take, to_state
from streamdrift.durations import SECOND, Duration
from streamdrift.records import Batch, Floats, Ints, State


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no time zone: write one of the tz database, such as Europe/Berlin"
        ) from error
    return name


Timezone = Annotated[str, AfterValidator(_known)]


class ReferenceSettings(BaseModel):
    """When a reference is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int = Field(
        10_000, ge=100, le=1_000_000, description="Events a reference waits for, and keeps at most."
    )
    span: Duration = Field(0, description="Event time a reference covers at least.")
    timezone: Timezone = Field(
        "UTC", description="Where hours of the day and days of the week are counted."
    )


class Collector:
    """Keeps at most `events` rows of all that come, thinned by their ordinal.

    While the span is not reached and the room is used up, every second row is let go, and
    from then on only each 2nd, 4th, ... row is taken: which rows stay depends on their
    ordinals alone.
    """

    def __init__(self, settings: ReferenceSettings) -> None:
        self._settings = settings
        self._parts: list[Batch] = []
        self._ordinals: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        self._kept = 0
        self._stride = 1
        self._started_at = 0
        self.events = 0

    def add(self, batch: Batch) -> int | None:
        """Take a batch; return how many of its rows were needed once complete, else None."""
        if self.events == 0:
            self._started_at = int(batch.time[0])
        needed = max(0, self._settings.events - self.events - 1)
        reached = np.flatnonzero(batch.time - self._started_at >= self._settings.span)
        first = int(reached[0]) if len(reached) else len(batch)
        last = max(first, needed)
        complete = last < len(batch)
        self._keep(cut(batch, 0, last + 1 if complete else len(batch)))
        return last + 1 if complete else None

    def _keep(self, batch: Batch) -> None:
        # In pieces that cannot overfill the room by more than its size.
        room = self._settings.events
        for start in range(0, len(batch), room):
            piece = cut(batch, start, min(start + room, len(batch)))
            ordinals = self.events + np.arange(len(piece), dtype=np.int64)
            self.events += len(piece)
            rows = np.flatnonzero(ordinals % self._stride == 0)
            if len(rows) == 0:
                continue
            self._parts.append(piece if len(rows) == len(piece) else take(piece, rows))
            self._ordinals.append(ordinals[rows])
            self._kept += len(rows)
            while self._kept > room:
                self._thin()

    def _thin(self) -> None:
        self._stride *= 2
        rows = join(self._parts)
        ordinals = np.concatenate(self._ordinals)
        stay = np.flatnonzero(ordinals % self._stride == 0)
        self._parts = [take(rows, stay)]
        self._ordinals = [ordinals[stay]]
        self._kept = len(stay)

    def rows(self) -> Batch:
        """Return what was kept, as one batch."""
        return canonical(join(self._parts))

    @property
    def rate(self) -> float:
        """How many events there were in a microsecond of event time, at least of a second."""
        last = int(self._parts[-1].time[-1])
        return self.events / max(last - self._started_at, SECOND)

    def snapshot(self) -> State:
        """Return the kept rows and the position."""
        return {
            "rows": to_state(self.rows()) if self._parts else None,
            "ordinals": np.concatenate(self._ordinals) if self._parts else np.empty(0, np.int64),
            "stride": self._stride,
            "events": self.events,
            "started_at": self._started_at,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        rows = state["rows"]
        if rows is not None:
            assert isinstance(rows, Mapping)
            self._parts = [from_state(rows)]
            self._ordinals = [np.asarray(state["ordinals"])]
            self._kept = len(self._parts[0])
        stride, events, started_at = state["stride"], state["events"], state["started_at"]
        assert isinstance(stride, int)
        assert isinstance(events, int)
        assert isinstance(started_at, int)
        self._stride, self.events, self._started_at = stride, events, started_at


class Latest:
    """Keeps the last `room` numbers of all that come, with their times."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._values: Floats = np.empty(0)
        self._times: Ints = np.empty(0, dtype=np.int64)
        self.seen = 0

    def add(self, values: Floats, times: Ints) -> None:
        """Take float64[n] and their times int64[n]."""
        self.seen += len(values)
        self._values = np.concatenate([self._values, values])[-self._room :]
        self._times = np.concatenate([self._times, times])[-self._room :]

    def values(self) -> Floats:
        """Return what was kept, in order."""
        return self._values

    def times(self) -> Ints:
        """Return the times of what was kept."""
        return self._times

    def snapshot(self) -> State:
        """Return what was kept."""
        return {"values": self._values, "times": self._times, "seen": self.seen}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        seen = state["seen"]
        assert isinstance(seen, int)
        self._values, self._times = np.asarray(state["values"]), np.asarray(state["times"])
        self.seen = seen
