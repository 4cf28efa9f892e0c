"""Collecting a bounded stretch of a stream as a reference."""

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from streamdrift.columns import canonical, cut, from_state, join, to_state
from streamdrift.durations import DAY, SECOND, Duration
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


SMALLEST = 100
"""Events of the smallest reference."""


class ReferenceSettings(BaseModel):
    """When a reference is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int = Field(
        10_000,
        ge=SMALLEST,
        le=1_000_000,
        description="Events a version is watched by: its first ones, before that it is not.",
    )
    span: Duration = Field(
        7 * DAY,
        description="Event time from which daily and weekly cycles are learnt, while the first "
        "events are a provisional reference; 0s leaves cycles to what these show.",
    )
    timezone: Timezone = Field(
        "UTC", description="Where hours of the day and days of the week are counted."
    )


class Collector:
    """Keeps the first `events` rows that come."""

    def __init__(self, settings: ReferenceSettings) -> None:
        self._settings = settings
        self._parts: list[Batch] = []
        self._started_at = 0
        self.events = 0

    def add(self, batch: Batch) -> int | None:
        """Take a batch; return how many of its rows were needed once complete, else None."""
        if self.events == 0:
            self._started_at = int(batch.time[0])
        needed = max(1, self._settings.events - self.events)
        complete = needed <= len(batch)
        taken = cut(batch, 0, needed) if complete else batch
        self._parts.append(taken)
        self.events += len(taken)
        return needed if complete else None

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
            "events": self.events,
            "started_at": self._started_at,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        rows = state["rows"]
        if rows is not None:
            assert isinstance(rows, Mapping)
            self._parts = [from_state(rows)]
        events, started_at = state["events"], state["started_at"]
        assert isinstance(events, int)
        assert isinstance(started_at, int)
        self.events, self._started_at = events, started_at


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
