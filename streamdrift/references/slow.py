"""What is slower than a short reference can tell: the calendar's levels, and a level that follows.

A first stage before `tracking`: a value becomes its score, the calendar's level at its time is
taken off, then a slow level. The slow level is an exponential average of what is left. Its gain
says how slow: with 0 it stays. Whoever sees that evidence of a change took very long to come
together makes it quicker (`quicken`): so a signal that keeps its level is watched as without it.

All lies in two flat arrays, `parameters` (fixed) and `state` (moves on).
"""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.kernels import kernel, uniform_hash
from streamdrift.records import Floats, Ints
from streamdrift.references.calendar import Calendar
from streamdrift.references.parts import Scale
from streamdrift.references.scores import score
from streamdrift.references.tracking import HALF_HOUR, SLOTS, calendar_cell

(
    _KNOTS,
    _CENTRE,
    _UNIT,
    _BASE,
    _CELLS,
    _TRANSITIONS,
    _CELL_ERROR,
    _OCCASION,
    _ONE,
    _LATTICE,
    _SEED,
    _SHORTEST,
    _HEADER,
) = range(13)
"""Places at the beginning of `parameters`. BASE is the level about which calendar cells and the
slow level lie; CELL_ERROR, OCCASION and ONE are a calendar's variances; SHORTEST is over how many
values the slow level averages at least. Behind them: knots and their scores (without any a score is
(value - CENTRE) * UNIT), slopes within half hours (of a workday and a day of the weekend), and the
zone's offsets."""
LEVEL, GAIN, ORDINAL, _VISITED, _ERRORS, _ERROR_COUNT, _OWN = range(7)
"""Places at the beginning of `state`; behind them lie the levels of calendar cells."""

REACH = 12.0
"""How far scores go on beyond the reference's range, in a straight line: cycles may be large."""
_QUARTILE = 0.6744897501960817
_ENOUGH = 16
_OFF, _OFF_AT_ENDS = 0.08, 0.04
"""By how much scores may be off a straight line, the more the farther out they are."""
_LARGEST_STEP = 4.0
SHORTEST = 320.0
"""Values over which a slow level averages at least."""
_QUICKEST = 1 / 16
_LARGEST_ATOM = 0.01
"""Share of values that may be one and the same: moving a level would move them all at once."""
_MOST_STEPS, _UNEVEN = 10_000.0, 1e-3
"""How many steps may lie between two neighbours, and by what part of one a multiple may be off."""
_SEEDS = 2**52


@dataclass(frozen=True)
class Given:
    """What is known of a signal beside the values a front is fitted to.

    `gain` is that of the slow level. `lattice` is the step of values that are multiples of one:
    within it they are spread evenly, by coins of `seed`; 0 where they are not. `scale`,
    `calendar` and the `level` about which it lies come from a longer time. The slow level averages
    over `shortest` values at least. `size` is how many values of the longer time were used.
    """

    gain: float
    lattice: float = 0.0
    seed: int = 0
    scale: Scale | None = None
    calendar: Calendar | None = None
    level: float = 0.0
    shortest: float = SHORTEST
    size: float = 0.0


def lattice_of(values: Floats) -> float | None:
    """Return the step of finite float64[n] that are multiples of one; 0 where few repeat.

    None where they repeat otherwise: a slow level cannot be taken off such.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if counts.max() <= _LARGEST_ATOM * len(values):
        return 0.0
    steps = np.diff(distinct)
    step = float(steps.min()) if len(steps) else 0.0
    if not step > 0 or float(steps.max()) > step * _MOST_STEPS:
        return None
    multiples = steps / step
    if np.abs(multiples - np.rint(multiples)).max() > _UNEVEN:
        return None
    return step


@kernel
def _spread(values: Floats, lattice: float, seed: int, out: Floats) -> None:
    for i in range(len(values)):
        out[i] = values[i] + (uniform_hash(seed, i) - 0.5) * lattice


def spread(values: Floats, given: Given) -> Floats:
    """Return float64[n], all finite, spread evenly within the lattice's steps."""
    if given.lattice == 0.0:
        return values
    out = np.empty(len(values))
    _spread(values, given.lattice, given.seed % _SEEDS, out)
    return out


def extended(scale: Scale) -> Scale:
    """Return a scale whose scores go on beyond both ends of the reference's range.

    A straight line where the reference is about normal: what a cycle moves far out is then as
    wide there as in the middle. Otherwise the same scores, and REACH beyond them.
    """
    knots, scores = scale.knots, scale.scores
    if len(knots) < 2:
        return scale
    low, middle, high = np.interp([-_QUARTILE, 0.0, _QUARTILE], scores, knots).tolist()
    if not high > low:
        low, high = float(knots[0]), float(knots[-1])
    unit = 2 * _QUARTILE / (high - low)
    off = np.abs((knots - middle) * unit - scores)
    if len(knots) >= _ENOUGH and (off <= _OFF + _OFF_AT_ENDS * scores**2).all():
        return Scale(np.empty(0), np.empty(0), middle, unit)
    step = REACH / unit
    return Scale(
        np.concatenate(([knots[0] - step], knots, [knots[-1] + step])),
        np.concatenate(([scores[0] - REACH], scores, [scores[-1] + REACH])),
    )


def slow_arrays(scale: Scale, given: Given) -> tuple[Floats, Floats]:
    """Return `parameters` and `state` of a stage whose slow level is 0."""
    calendar = given.calendar
    levels = np.empty(0) if calendar is None else calendar.levels
    slopes = np.zeros(2 * SLOTS if len(levels) else 0)
    if calendar is not None and calendar.slopes is not None:
        slopes = calendar.slopes
    zone = np.empty((0, 2)) if calendar is None else calendar.zone
    header = np.zeros(_HEADER)
    header[_KNOTS], header[_CENTRE], header[_UNIT] = len(scale.knots), scale.centre, scale.unit
    header[_BASE] = given.level
    header[_CELLS], header[_TRANSITIONS] = len(levels), len(zone)
    if calendar is not None:
        header[_CELL_ERROR : _CELL_ERROR + 3] = calendar.variances
    header[_LATTICE], header[_SEED] = given.lattice, given.seed % _SEEDS
    header[_SHORTEST] = given.shortest
    own = np.zeros(_OWN)
    own[GAIN], own[_VISITED] = given.gain, -1.0
    parameters = np.concatenate((header, scale.knots, scale.scores, slopes, zone.ravel()))
    return parameters, np.concatenate((own, levels))


def scale_of(parameters: Floats) -> Scale:
    """Return the scale of a stage."""
    knots = int(parameters[_KNOTS])
    return Scale(
        parameters[_HEADER : _HEADER + knots].copy(),
        parameters[_HEADER + knots : _HEADER + 2 * knots].copy(),
        float(parameters[_CENTRE]),
        float(parameters[_UNIT]),
    )


def lattice_in(parameters: Floats) -> float:
    """Return the lattice of a stage."""
    return float(parameters[_LATTICE])


def shortest_in(parameters: Floats) -> float:
    """Return over how many values the slow level of a stage averages at least."""
    return float(parameters[_SHORTEST])


def has_cells(parameters: Floats) -> bool:
    """Tell whether a stage reads the times of its values."""
    return bool(parameters[_CELLS] > 0)


def quicken(parameters: Floats, state: Floats, age: float, within: float) -> None:
    """Let the slow level follow within half of the values that evidence took to come together.

    What drifts so steadily that it is seen in n values is then a quarter as far away. Each time
    it follows twice as quickly at least, up to a part of the values `within` which changes show.
    """
    most = 1.0 / max(within * _QUICKEST, parameters[_SHORTEST])
    state[GAIN] = max(state[GAIN], min(max(2.0 / age, 2.0 * state[GAIN]), most))


@kernel
def fill_scores(
    parameters: Floats, values: Floats, start: int, stop: int, ordinal: int, out: Floats
) -> int:
    """Write the scores of values[start:stop], NaN where one is not finite; return how many are.

    `ordinal` is how many finite ones were before: of each its own coin.
    """
    knots, seed = int(parameters[_KNOTS]), int(parameters[_SEED])
    centre, unit, lattice = parameters[_CENTRE], parameters[_UNIT], parameters[_LATTICE]
    edges = parameters[_HEADER : _HEADER + knots]
    scores = parameters[_HEADER + knots : _HEADER + 2 * knots]
    finite = 0
    for i in range(start, stop):
        value = values[i]
        if not math.isfinite(value):
            out[i] = np.nan
            continue
        if lattice > 0.0:
            value += (uniform_hash(seed, ordinal + finite) - 0.5) * lattice
        finite += 1
        if knots == 0:
            out[i] = (value - centre) * unit
        else:
            out[i] = score(value, edges, scores)
    return finite


@kernel
def _visit(parameters: Floats, state: Floats, cell: int, error: float, learn: bool) -> None:
    """Note an error in the cell that is visited; it learns when it is left, as in `tracking`."""
    if state[_VISITED] != cell:
        seen = state[_ERROR_COUNT]
        if learn and seen > 0.0:
            known = parameters[_CELL_ERROR]
            gain = known / (known + parameters[_OCCASION] + parameters[_ONE] / seen)
            state[_OWN + int(state[_VISITED])] += gain * state[_ERRORS] / seen
        state[_VISITED], state[_ERRORS], state[_ERROR_COUNT] = cell, 0.0, 0.0
    if learn:
        state[_ERRORS] += error
        state[_ERROR_COUNT] += 1.0
    else:
        # What was noted of this visit may be the change already.
        state[_ERRORS], state[_ERROR_COUNT] = 0.0, 0.0


@kernel
def take_off(
    parameters: Floats,
    state: Floats,
    values: Floats,
    times: Ints,
    start: int,
    stop: int,
    learn: bool,
    out: Floats,
) -> None:
    """Write the scores of values[start:stop], less calendar and slow level; move `state` on.

    As `tracking.follow`. Without `learn` neither the slow level nor the cells follow.
    """
    cells, transitions = int(parameters[_CELLS]), int(parameters[_TRANSITIONS])
    at_slopes = _HEADER + 2 * int(parameters[_KNOTS])
    at_zone = len(parameters) - 2 * transitions
    base, gain = parameters[_BASE], state[GAIN] if learn else 0.0
    state[ORDINAL] += fill_scores(parameters, values, start, stop, int(state[ORDINAL]), out)
    level = state[LEVEL]
    row = 0
    for i in range(start, stop):
        if math.isnan(out[i]):
            continue
        rest = out[i] - base
        if cells > 0:
            # Times do not fall: the offset is looked for from the last one on.
            while row + 1 < transitions and parameters[at_zone + 2 * row + 2] <= times[i]:
                row += 1
            local = times[i] + int(parameters[at_zone + 2 * row + 1])
            cell = calendar_cell(local)
            place = at_slopes + cell % SLOTS + SLOTS * (cell // SLOTS >= 5)
            within = (local % HALF_HOUR) / HALF_HOUR - 0.5
            rest -= state[_OWN + cell] + parameters[place] * within
            error = min(max(rest, -_LARGEST_STEP), _LARGEST_STEP)
            _visit(parameters, state, cell, error, learn)
        rest -= level
        out[i] = rest
        if abs(rest) > _LARGEST_STEP:  # seldom: the next level waits for what is done here
            rest = math.copysign(_LARGEST_STEP, rest)
        level += gain * rest
    state[LEVEL] = level
