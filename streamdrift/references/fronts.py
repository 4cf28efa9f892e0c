"""The fronts of many signals, followed by one kernel."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bools, Floats, Ints, State
from streamdrift.references import exact, slow, tracking
from streamdrift.references.front import Front

(
    _BEGIN,
    _END,
    _OWN_BEGIN,
    _OWN_END,
    _SLOW,
    _OWN_SLOW,
    _EXACT,
    _OWN_EXACT,
    _PLACES,
) = range(9)
"""Where the parameters of a signal lie, and its state, and how much of them is of the slow stage,
and of the exact one before it."""


@kernel
def _follow(
    parameters: Floats,
    states: Floats,
    places: Ints,
    signals: Ints,
    values: Floats,
    times: Ints,
    start: Ints,
    out: Floats,
) -> None:
    stop = values.shape[1]
    for signal in signals:
        place, row, left = places[signal], values[signal], out[signal]
        own = parameters[place[_BEGIN] : place[_END]]
        state = states[place[_OWN_BEGIN] : place[_OWN_END]]
        at, own_at = place[_EXACT], place[_OWN_EXACT]
        first, own_first = at + place[_SLOW], own_at + place[_OWN_SLOW]
        begin = start[signal]
        if at > 0:
            exact.take_off(own[:at], state[:own_at], row, begin, stop, left)
            row = left
        if first > at:
            levels = state[own_at:own_first]
            slow.take_off(own[at:first], levels, row, times, begin, stop, True, left)
            row = left
        if first < len(own):
            tracking.follow(own[first:], state[own_first:], row, times, begin, stop, True, left)


class Fronts:
    """The fronts of those of `count` signals that have one. Their arrays are parts of two."""

    def __init__(self, count: int) -> None:
        self._fronts: dict[int, Front] = {}
        self.there: Bools = np.zeros(count, dtype=np.bool_)
        """Which signals have one."""
        self._places = np.zeros((count, _PLACES), dtype=np.int64)
        self._parameters, self._states = np.empty(0), np.empty(0)
        self._is_laid_out = True

    def __getstate__(self) -> dict[str, object]:
        # The fronts of a copy are parts of the arrays it lays out for itself.
        return {**self.__dict__, "_is_laid_out": False}

    def put(self, signal: int, front: Front | None) -> None:
        """Give a signal a front that moves on by itself, or none."""
        self._fronts.pop(signal, None)
        if front is not None:
            self._fronts[signal] = front
        self.there[signal] = front is not None
        self._is_laid_out = False

    def of(self, signal: int) -> Front | None:
        """Return a signal's front, if it has one; it moves on with the signal."""
        self._lay_out()
        return self._fronts.get(signal)

    def _lay_out(self) -> None:
        """Lay the arrays of all fronts side by side, in the order of their signals."""
        if self._is_laid_out:
            return
        fronts = [(signal, self._fronts[signal]) for signal in sorted(self._fronts)]
        self._parameters = np.concatenate([np.empty(0), *(each.parameters for _, each in fronts)])
        self._states = np.concatenate([np.empty(0), *(each.state for _, each in fronts)])
        begin = own = 0
        for signal, front in fronts:
            end, own_end = begin + len(front.parameters), own + len(front.state)
            self._places[signal] = begin, end, own, own_end, *front.slow, *front.exact
            parameters, state = self._parameters[begin:end], self._states[own:own_end]
            self._fronts[signal] = replace(front, parameters=parameters, state=state)
            begin, own = end, own_end
        self._is_laid_out = True

    def follow(self, signals: Ints, values: Floats, times: Ints, start: Ints, out: Floats) -> None:
        """Write what is left of values[s, start[s]:] of `signals` into `out`, and learn.

        `values` and `out` are float64[count, n]; `signals` have fronts; see `tracking.follow`.
        """
        self._lay_out()
        _follow(self._parameters, self._states, self._places, signals, values, times, start, out)

    def states(self) -> Floats:
        """Return a copy of what moves on, of all."""
        self._lay_out()
        return self._states.copy()

    def go_back(self, signal: int, states: Floats) -> Front:
        """Put a signal's front back to where it was; return it."""
        front = self._fronts[signal]
        begin, end = self._places[signal, [_OWN_BEGIN, _OWN_END]].tolist()
        front.state[:] = states[begin:end]
        return front

    def snapshot(self) -> State:
        """Return what moves on; the references are known to whoever restores it."""
        return {"states": self.states()}

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over the snapshot of as many signals that have the same references."""
        self._lay_out()
        self._states[:] = np.asarray(state["states"])
