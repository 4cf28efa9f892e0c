"""What is taken off a numeric signal before its ranks: cycles, calendar, memory, clustered spread.

Nothing is told: a period or a coefficient is found in the reference or there is none. Where
nothing is found there is no front, and values go to the ranks as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from streamdrift.records import Floats, Ints, State
from streamdrift.references import tracking
from streamdrift.references.findings import Code, Finding
from streamdrift.references.parts import Parts, Scale, assemble, find_parts
from streamdrift.references.scores import fit_scores, scores_of
from streamdrift.references.steps import find_step

LEAST = 100
"""Values below which nothing is looked for."""
ENOUGH = 2_000
"""Values below which cycles and memory are known too roughly to assure a budget."""
_NEARLY_ALL = 0.9
"""Weights of the past that sum to more leave little to ranks."""
_OUTSIDE = 0.02
"""Share of one half's values beyond the other's range from which on a signal leaves its range."""
_NO_TIMES: Ints = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Front:
    """What predicts a signal's next value: `parameters` stay, `state` moves on.

    Both are flat float64 arrays; `tracking` says what lies where.
    """

    parameters: Floats
    state: Floats

    def follow(
        self, values: Floats, times: Ints | None = None, start: int = 0, learn: bool = True
    ) -> Floats:
        """Return what is left of values[start:], float64; see `tracking.follow`."""
        out = np.empty(len(values))
        given = _NO_TIMES if times is None else times
        tracking.follow(self.parameters, self.state, values, given, start, len(values), learn, out)
        return out[start:]

    @property
    def needs_times(self) -> bool:
        """Whether values come with their times: the front has calendar cells."""
        return tracking.has_calendar(self.parameters)

    def copy(self) -> Self:
        """Return the same front, whose state moves on by itself."""
        return type(self)(self.parameters, self.state.copy())

    def snapshot(self) -> State:
        """Return both arrays; the state is a copy."""
        return {"parameters": self.parameters, "state": self.state.copy()}

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Return what `snapshot` was taken of."""
        return cls(
            np.array(state["parameters"], dtype=np.float64),
            np.array(state["state"], dtype=np.float64),
        )


@dataclass(frozen=True)
class Fitted:
    """A reference's front, and what was found.

    `start` values at the reference's beginning are left out (a step was found there).
    `residuals` is what the front leaves of those from `start` on, run over them value by value
    as it will run on; without a front it is they, bit for bit. `front` stands behind the last.
    """

    start: int
    residuals: Floats
    front: Front | None
    findings: tuple[Finding, ...]
    clustering: float = 0.0

    @property
    def wanders(self) -> bool:
        """Whether there is no level: only jumps and changes of spread can be seen."""
        return any(finding.code is Code.NO_LEVEL for finding in self.findings)


def fit(
    values: Floats,
    times: Ints | None = None,
    zone: ZoneInfo | None = None,
    seed: int = 0,  # noqa: ARG001
    history: tuple[Floats, Ints] | None = None,
) -> Fitted:
    """Find what a reference's normal is beyond its distribution.

    `values` float64[n] in stream order, none left out; what is not finite takes no part. `times`
    int64[n] in microseconds UTC, not falling, let the calendar be looked for, in `zone` (UTC
    without one). Where the reference is longer than what can be kept, `values` are its last
    stretch and `history` float64[m] and int64[m] a thinner sample of all of it: scores and
    calendar come from there. Nothing here is random: `seed` is there for callers' sake.
    """
    finite = np.flatnonzero(np.isfinite(values))
    used = values[finite]
    clock = None if times is None else times[finite]
    long = None
    if history is not None and clock is not None:
        whole = np.isfinite(history[0])
        long = (history[0][whole], history[1][whole])
    if len(used) < LEAST:
        short = {"values": float(len(used)), "needed": float(ENOUGH)}
        return Fitted(0, values, None, (Finding(Code.SHORT, short),))
    if used.min() == used.max():
        return Fitted(0, values, None, (Finding(Code.CONSTANT),))
    parts = _fit(used, clock, zone, long)
    # A longer history is not cut at what happened in its last stretch.
    step = find_step(parts, used) if long is None else None
    findings = list[Finding]()
    start = 0
    if step is not None:
        later = used[step.place :]
        rest = None if clock is None else clock[step.place :]
        if later.min() < later.max():
            again = _fit(later, rest, zone, None)
            if not again.wanders:
                start = int(finite[step.place])
                parts, used = again, later
                findings.append(
                    Finding(
                        Code.STEP,
                        {"size": step.size, "left_out": float(start), "kept": float(len(later))},
                    )
                )
    kept = values[start:]
    findings += parts.findings(len(used))
    if len(used) < ENOUGH:
        short = {"values": float(len(used)), "needed": float(ENOUGH)}
        findings.append(Finding(Code.SHORT, short))
    if not parts.anything:
        return Fitted(start, kept, None, tuple(findings))
    findings.append(Finding(Code.SLOW_CYCLES, {"period": len(used) / 5}))
    front = Front(*assemble(parts, used))
    residuals = front.follow(kept, None if times is None else times[start:])
    return Fitted(start, residuals, front, tuple(findings), parts.clustering_gain)


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
