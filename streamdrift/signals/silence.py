"""Silence: no events of a model for longer than usual."""

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from streamdrift.changes import Change, Onset, Step, StepKind, Summary
from streamdrift.durations import SECOND, Duration
from streamdrift.kernels.compiler import kernel
from streamdrift.records import AlertKind, Ints, Signal, SignalKind, State

SILENCE = Signal(-1, "silence", None, SignalKind.SILENCE, AlertKind.VOLUME)
_RING = 16
_BLOCK = 512


class SilenceSettings(BaseModel):
    """When a model that sends nothing is reported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: StrictBool = Field(True, description="Whether silence is watched.")
    at_least: Duration = Field(60 * SECOND, description="No shorter pause is reported.")
    factor: float = Field(
        10.0, gt=1, description="Times the longest pause of the last 8,192 events."
    )
    events: int = Field(1_000, ge=2, description="Events of a model before silence is watched.")


class Silence:
    """The pauses of one model, over all its versions.

    The limit is `factor` times the longest pause in the last _RING blocks of _BLOCK events,
    and at least `at_least`. Pauses that were reported are not learned. A report's time and
    content follow from the last event and the limit, however late it is noticed.
    """

    def __init__(self, model: str, settings: SilenceSettings) -> None:
        self._model = model
        self._settings = settings
        self._events = 0
        self._last = 0
        self._ring = np.zeros(_RING, dtype=np.int64)
        self._silent = False

    def observe(self, times: Ints) -> list[Step]:
        """Take the times int64[n] of the model's next events, ascending."""
        steps: list[Step] = []
        begin = 0
        if self._events == 0:
            self._last = int(times[0])
        while begin < len(times):
            steps += self.advance(int(times[begin]))
            if self._silent:
                steps.append(Step(StepKind.RETURNED, self._model, "", SILENCE, int(times[begin])))
                self._silent = False
                self._last = int(times[begin])
            begin = self._learn(times, begin)
        return steps

    def _learn(self, times: Ints, begin: int) -> int:
        """Learn pauses up to the end of a block or to one over the limit; return where."""
        stop = min(len(times), begin + _BLOCK - self._events % _BLOCK)
        place = self._events // _BLOCK % _RING
        if self._events % _BLOCK == 0:
            self._ring[place] = 0
        # From here on the limit can only rise with what is learned, so the first pause is
        # safe, and any other over the limit so far is looked at again from the start.
        end, longest = _longest_pause(times, begin, stop, self._last, self._limit())
        self._ring[place] = max(int(self._ring[place]), longest)
        self._events += end - begin
        self._last = int(times[end - 1])
        return end

    def _limit(self) -> int:
        usual = int(self._settings.factor * int(self._ring.max()))
        return max(self._settings.at_least, usual)

    def advance(self, watermark: int) -> list[Step]:
        """Learn that no event of any model is older than `watermark`."""
        limit = self._limit()
        armed = self._settings.enabled and self._events >= self._settings.events
        if self._silent or not armed or watermark <= self._last + limit:
            return []
        self._silent = True
        usual = int(self._ring.max())
        change = Change(
            detector="silence",
            statistic=limit / SECOND,
            threshold=limit / SECOND,
            effect=None,
            before=Summary(usual / SECOND),
            after=Summary(limit / SECOND),
            onset=Onset(self._last, self._last, {}),
            share=1.0,
        )
        time = self._last + limit
        return [Step(StepKind.CHANGED, self._model, "", SILENCE, time, change)]

    def leave(self, kind: StepKind, time: int) -> list[Step]:
        """Tell that an operator says so of the model's silence, if it is silent."""
        return [Step(kind, self._model, "", SILENCE, time)] if self._silent else []

    def snapshot(self) -> State:
        """Return the pauses."""
        return {
            "events": self._events,
            "last": self._last,
            "ring": self._ring.copy(),
            "silent": self._silent,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        events, last = state["events"], state["last"]
        assert isinstance(events, int)
        assert isinstance(last, int)
        self._events, self._last = events, last
        self._ring = np.array(state["ring"])
        self._silent = bool(state["silent"])


@kernel
def _longest_pause(times: Ints, begin: int, stop: int, last: int, limit: int) -> tuple[int, int]:
    """Return where the next pause over the limit ends, but for the first, or `stop`.

    Beside it, the longest pause before that; `last` is the time before that of `begin`.
    """
    longest = times[begin] - last
    for i in range(begin + 1, stop):
        pause = times[i] - times[i - 1]
        if pause > limit:
            return i, longest
        longest = max(longest, pause)
    return stop, longest
