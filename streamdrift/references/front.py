"""What is taken off a numeric signal before its ranks: cycles, calendar, memory, clustered spread.

Nothing is told: a period or a coefficient is found in the reference or there is none. Where
nothing is found there is no front, and values go to the ranks as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.records import Floats, Ints, State
from streamdrift.references import exact, slow, tracking
from streamdrift.references.exact import Exact, find_exact
from streamdrift.references.findings import Code, Finding
from streamdrift.references.parts import Parts, Scale, assemble, find_parts
from streamdrift.references.scores import fit_scores, scores_of
from streamdrift.references.slow import Given
from streamdrift.references.steps import find_step

LEAST = 100
"""Values below which nothing is looked for."""
ENOUGH = 2_000
"""Values below which cycles and memory are known too roughly to assure a budget."""
MOST = 131_072
"""Values that are looked at: of more, the last; the calendar is learnt from all."""
_NEARLY_ALL = 0.9
"""Weights of the past that sum to more leave little to ranks."""
_OUTSIDE = 0.02
"""Share of one half's values beyond the other's range from which on a signal leaves its range."""
_NO_TIMES: Ints = np.empty(0, dtype=np.int64)
_IDENTITY = Scale(np.empty(0), np.empty(0))
_Find = Callable[[Floats, Ints | None, ZoneInfo | None, tuple[Floats, Ints] | None], Parts]


@dataclass(frozen=True)
class Front:
    """What predicts a signal's next value: `parameters` stay, `state` moves on.

    Both are flat float64 arrays. The first exact[0] parameters and exact[1] numbers of the state
    are those of a stage of `exact`, if it has one, the next slow[0] and slow[1] those of one of
    `slow`; what follows is that of `tracking`.
    """

    parameters: Floats
    state: Floats
    slow: tuple[int, int] = (0, 0)
    exact: tuple[int, int] = (0, 0)

    def follow(
        self, values: Floats, times: Ints | None = None, start: int = 0, learn: bool = True
    ) -> Floats:
        """Return what is left of values[start:], float64; see `tracking.follow`."""
        out = np.empty(len(values))
        given = _NO_TIMES if times is None else times
        self.take(values, given, start, len(values), learn, out)
        return out[start:]

    def take(
        self, values: Floats, times: Ints, start: int, stop: int, learn: bool, out: Floats
    ) -> None:
        """Write what is left of values[start:stop] into `out`; see `tracking.follow`."""
        at, own = self.exact
        if at:
            exact.take_off(self.parameters[:at], self.state[:own], values, start, stop, out)
            values = out
        first, moving = at + self.slow[0], own + self.slow[1]
        if self.slow[0]:
            parameters, state = self.parameters[at:first], self.state[own:moving]
            slow.take_off(parameters, state, values, times, start, stop, learn, out)
            values = out
        if first < len(self.parameters):
            parameters, state = self.parameters[first:], self.state[moving:]
            tracking.follow(parameters, state, values, times, start, stop, learn, out)

    @property
    def plain(self) -> bool:
        """Whether there is one stage, that of `tracking`, which needs no times."""
        return not (self.slow[0] or self.exact[0] or self.needs_times)

    @property
    def needs_times(self) -> bool:
        """Whether values come with their times: the front has calendar cells."""
        at, first = self.exact[0], self.exact[0] + self.slow[0]
        if self.slow[0] and slow.has_cells(self.parameters[at:first]):
            return True
        return first < len(self.parameters) and tracking.has_calendar(self.parameters[first:])

    @property
    def seen(self) -> int:
        """How many values were followed so far, where there is a slow level; else 0."""
        return int(self.state[self.exact[1] + slow.ORDINAL]) if self.slow[0] else 0

    def quicken(self, age: float, within: float) -> None:
        """Let the slow level follow quicker; see `slow.quicken`."""
        if self.slow[0]:
            first, own = self.exact
            slow.quicken(self.parameters[first:], self.state[own:], age, within)

    def copy(self) -> Self:
        """Return the same front, whose state moves on by itself."""
        return type(self)(self.parameters, self.state.copy(), self.slow, self.exact)

    def snapshot(self) -> State:
        """Return both arrays; the state is a copy."""
        return {
            "parameters": self.parameters,
            "state": self.state.copy(),
            "stages": np.array([self.slow, self.exact], dtype=np.int64),
        }

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        (first, own), (at, moving) = np.asarray(state["stages"]).tolist()
        return cls(
            np.array(state["parameters"], dtype=np.float64),
            np.array(state["state"], dtype=np.float64),
            (first, own),
            (at, moving),
        )


@dataclass(frozen=True)
class Fitted:
    """A reference's front, and what was found.

    `start` values at the reference's beginning are left out (a step was found there, or they are
    more than MOST).
    `residuals` is what the front leaves of those from `start` on, run over them value by value
    as it will run on; without a front it is they, bit for bit. `front` stands behind the last.
    """

    start: int
    residuals: Floats
    front: Front | None
    findings: tuple[Finding, ...]
    clustering: float = 0.0
    found: bool = False
    """Whether anything is taken off but the calendar and a slow level that are given."""
    weights: int = 0
    """How many numbers were learnt from the residuals' own values."""

    @property
    def wanders(self) -> bool:
        """Whether there is no level: only jumps and changes of spread can be seen."""
        return any(finding.code is Code.NO_LEVEL for finding in self.findings)


def fit(
    values: Floats,
    times: Ints | None = None,
    zone: ZoneInfo | None = None,
    history: tuple[Floats, Ints] | None = None,
    given: Given | None = None,
    flags: bool = False,
) -> Fitted:
    """Find what a reference's normal is beyond its distribution.

    `values` float64[n] in stream order, none left out; what is not finite takes no part. `times`
    int64[n] in microseconds UTC, not falling, let the calendar be looked for, in `zone` (UTC
    without one). Where the reference is longer than what can be kept, `values` are its last
    stretch and `history` float64[m] and int64[m] a thinner sample of all of it: scores and
    calendar come from there. With `given`, a stage of `slow` comes first. Of `flags`, 0s and 1s,
    the residuals are they less their chances. Nothing here is random.
    """
    if len(values) > MOST:
        cut = len(values) - MOST
        if times is not None:
            history = history or (values, times)
            times = times[cut:]
        fitted = fit(values[cut:], times, zone, history, given, flags)
        return replace(fitted, start=fitted.start + cut)
    finite = np.flatnonzero(np.isfinite(values))
    used = values[finite]
    clock = None if times is None else times[finite]
    long = None
    if history is not None and clock is not None:
        whole = np.isfinite(history[0])
        if whole.any() and np.ptp(history[0][whole]) > 0:
            long = (history[0][whole], history[1][whole])
    if len(used) < LEAST:
        short = {"values": float(len(used)), "needed": float(ENOUGH)}
        return Fitted(0, values, None, (Finding(Code.SHORT, short),))
    if used.min() == used.max() and not (flags and given is not None and given.scale is not None):
        return Fitted(0, values, None, (Finding(Code.CONSTANT),))
    if flags and given is None:
        given = Given(0.0)
    stage = None if flags else find_exact(used)
    if stage is not None:
        return _fit_exact(stage, values, times, zone)
    if given is not None:
        used = slow.spread(used, given)
        if given.scale is not None:
            return _fit_behind(given, given.scale, values, times, zone, flags)
    find = _find_chances if flags else _fit
    parts = find(used, clock, zone, long)
    findings = list[Finding]()
    place = 0
    # A longer history is not cut at what happened in its last stretch.
    if long is None:
        parts, place, findings = _behind_step(parts, used, clock, zone, find)
    start = int(finite[place]) if place else 0
    used = used[place:]
    kept = values[start:]
    findings += parts.findings(len(used))
    if len(used) < ENOUGH:
        short = {"values": float(len(used)), "needed": float(ENOUGH)}
        findings.append(Finding(Code.SHORT, short))
    if not parts.anything:
        front = None if given is None else _staged(given, parts)
        left = kept if front is None else front.follow(kept)
        return Fitted(start, left, front, tuple(findings))
    findings.append(Finding(Code.SLOW_CYCLES, {"period": len(used) / 5}))
    if flags:
        assert given is not None
        # The slow level begins where theirs is, and scores do at 0.
        front = _staged(replace(given, level=parts.level), replace(parts, level=0.0), used)
    else:
        front = Front(*assemble(parts, used)) if given is None else _staged(given, parts, used)
    residuals = front.follow(kept, None if times is None else times[start:])
    gain = parts.clustering_gain
    return Fitted(start, residuals, front, tuple(findings), gain, True, parts.weights)


def _fit_exact(stage: Exact, values: Floats, times: Ints | None, zone: ZoneInfo | None) -> Fitted:
    """Fit what a stage of `exact` leaves."""
    sizes = len(stage.parameters), len(stage.state)
    front = Front(stage.parameters, stage.state, exact=sizes)
    left = front.follow(values)
    findings = [Finding(Code.RISES)] if stage.rises else []
    if stage.period:
        findings.append(Finding(Code.PATTERN, {"period": float(stage.period)}))
    steps = left[np.isfinite(left)]
    if stage.period or steps.min() == steps.max():
        return Fitted(0, left, front, tuple(findings))
    fitted = fit(left, times, zone)
    findings += fitted.findings
    if fitted.front is None:
        return replace(fitted, front=front, findings=tuple(findings))
    behind = fitted.front
    joined = Front(
        np.concatenate((front.parameters, behind.parameters)),
        np.concatenate((front.state, behind.state)),
        behind.slow,
        sizes,
    )
    return replace(fitted, front=joined, findings=tuple(findings))


def _behind_step(
    parts: Parts, used: Floats, clock: Ints | None, zone: ZoneInfo | None, find: _Find
) -> tuple[Parts, int, list[Finding]]:
    """Return the parts of what follows a step, its place in the values, and that it was found.

    Without a step, or where no level follows it, they are those of all.
    """
    step = find_step(parts, used, find is _find_chances)
    if step is None:
        return parts, 0, []
    later = used[step.place :]
    if later.min() == later.max():
        return parts, 0, []
    again = find(later, None if clock is None else clock[step.place :], zone, None)
    if again.wanders:
        return parts, 0, []
    figures = {"size": step.size, "left_out": float(step.place), "kept": float(len(later))}
    return again, step.place, [Finding(Code.STEP, figures)]


def _staged(given: Given, parts: Parts, used: Floats | None = None) -> Front:
    """Return a front of two stages; of the slow one alone without the values `used`."""
    first, own = slow.slow_arrays(slow.extended(parts.scale), given)
    if used is None:
        own[slow.LEVEL] = parts.level
        return Front(first, own, (len(first), len(own)))
    rest, moving = assemble(replace(parts, scale=_IDENTITY), used)
    sizes = len(first), len(own)
    return Front(np.concatenate((first, rest)), np.concatenate((own, moving)), sizes)


def _fit_behind(
    given: Given,
    scale: Scale,
    values: Floats,
    times: Ints | None,
    zone: ZoneInfo | None,
    flags: bool,
) -> Fitted:
    """Fit what a calendar that is given leaves of values; its own level is that of them."""
    first, own = slow.slow_arrays(scale, given)
    clock = _NO_TIMES if times is None else times
    left = Front(first, own.copy(), (len(first), len(own)))
    left.state[slow.GAIN] = 0.0
    bare = left.follow(values, clock, learn=False)
    finite = np.isfinite(bare)
    own[slow.LEVEL] = bare[finite].mean()
    bare = bare[finite] - own[slow.LEVEL]
    rest = None if times is None else times[finite]
    parts = find_parts(bare, _IDENTITY, None if given.calendar else rest, None, zone, flags)
    front = Front(first, own, (len(first), len(own)))
    if parts.anything:
        more, moving = assemble(parts, bare)
        front = Front(np.concatenate((first, more)), np.concatenate((own, moving)), front.slow)
    residuals = front.follow(values, clock)
    if given.gain == 0.0:
        # The level of the longer time is known better than that of these values.
        front.state[slow.LEVEL] = 0.0
    findings = list[Finding]()
    if given.calendar is not None:
        findings.append(Finding(Code.CALENDAR, given.calendar.figures))
    findings += parts.findings(len(bare))
    gain = parts.clustering_gain
    return Fitted(0, residuals, front, tuple(findings), gain, parts.anything, parts.weights)


def _find_chances(
    used: Floats, clock: Ints | None, zone: ZoneInfo | None, long: tuple[Floats, Ints] | None
) -> Parts:
    """Find the parts of 0s and 1s that are not all the same, as they are."""
    return find_parts(used, _IDENTITY, clock, long, zone, flags=True)


def _fit(
    used: Floats, clock: Ints | None, zone: ZoneInfo | None, long: tuple[Floats, Ints] | None
) -> Parts:
    """Find the parts of finite values that are not all the same.

    Where the past decides nearly everything, ranks lose what happens at the edge of the range:
    there the values themselves are taken, unless their deviations' size clusters where that of
    ranks would not.
    """
    ordered = np.sort(used if long is None else long[0])
    knots, scores = fit_scores(ordered)
    ranked = _in(Scale(knots, scores), used, clock, zone, long)
    if ranked.memory is None or ranked.memory.total <= _NEARLY_ALL:
        return ranked
    spread = float(ordered[int(0.75 * len(ordered))] - ordered[int(0.25 * len(ordered))]) / 1.349
    if not spread > 0:
        return ranked
    centre = float(ordered[len(ordered) // 2])
    raw = _in(Scale(np.empty(0), np.empty(0), centre, 1.0 / spread), used, clock, zone, long)
    if raw.memory is not None and (raw.clustering is None or _leaves(used, ranked)):
        return raw
    return ranked


def _in(
    scale: Scale,
    used: Floats,
    clock: Ints | None,
    zone: ZoneInfo | None,
    long: tuple[Floats, Ints] | None,
) -> Parts:
    sample = None if long is None else (_scaled(scale, long[0]), long[1])
    return find_parts(_scaled(scale, used), scale, clock, sample, zone)


def _scaled(scale: Scale, values: Floats) -> Floats:
    if len(scale.knots):
        return scores_of(values, scale.knots, scale.scores)
    return (values - scale.centre) * scale.unit


def _leaves(used: Floats, ranked: Parts) -> bool:
    """Tell whether there is no level and one half of the values leaves the other's range."""
    if not ranked.wanders:
        return False
    half = len(used) // 2
    first, second = used[:half], used[half:]
    outside = [
        np.mean((one < other.min()) | (one > other.max()))
        for one, other in ((first, second), (second, first))
    ]
    return bool(max(outside) > _OUTSIDE)
