"""What a signal's next value is expected to be, followed value by value.

A value becomes its normal score; calendar cells, lines and memory predict the score; what is
left is divided by the spread that was expected here. All of it lies in two flat arrays:
`parameters` (fixed once fitted) and `state` (moves on).

A *line* is a sinusoid: a phasor (a, b) that a rotor (cos w, sin w) turns by one step a value; a is
what it adds to the score. While it learns, a takes a share of what was left unexplained, and the
rotor turns faster or slower by a share of the phase error: a harmonic oscillator followed with
fixed gains, as the stochastic cycle of Harvey, Forecasting, structural time series models and the
Kalman filter (1989). Without this the error of a period learnt from ten cycles runs out of phase.
"""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints
from streamdrift.references.scores import score

AVERAGES: tuple[float, ...] = (20.0, 80.0, 320.0, 1280.0)
"""Time constants, in values, of the exponential averages of a signal's past that predict it."""
SIZE_AVERAGES: tuple[float, ...] = (8.0, 32.0, 128.0, 512.0)
"""Those of the averages of absolute deviations that predict their size."""
LEAST_USUAL, MOST_USUAL = 0.3, 4.0
"""How far below or above its usual the expected size of a deviation can be."""
LARGEST_SIZE = 6.0
"""One deviation counts as at most so many usual ones when sizes are followed."""
LARGEST_STEP = 4.0
"""What a line or a calendar cell learns from one value is cut off here, in scores."""
LARGEST_JUMP = 50.0
"""What the next prediction learns from one value is cut off here, in standard deviations."""
_VISIT = 5
"""Numbers behind the calendar cells: the cell visited, the sum of its errors, how many, at how many
it learns next, and the variance of a level's error by now."""
LEAST_ERROR = 0.05
"""The least that weeks leave of that variance: levels go on learning."""
FIRST_LOOK = 512.0
"""Values of a visit from which a calendar cell learns before it is left."""
SLOTS, DAYS = 48, 7
"""Calendar cells: half hours of the day by days of the week."""
HALF_HOUR = 1_800_000_000
"""Microseconds of a calendar cell."""

(
    _KNOTS,
    _LAGS,
    _AVERAGES,
    _LINES,
    _SIZE_LINES,
    _SIZE_AVERAGES,
    _CELLS,
    _TRANSITIONS,
    _LEVEL,
    _PRECISION,
    _SIZE_UNIT,
    _SIZE_BASE,
    _CENTRE,
    _UNIT,
    _CELL_ERROR,
    _OCCASION,
    _ONE,
    _WANDERS,
    _HEADER,
) = range(19)
"""Places of the counts and single numbers at the beginning of `parameters`. LEVEL is taken off the
score; PRECISION is one over the standard deviation of what memory leaves; SIZE_UNIT one over the
mean of its absolute value; SIZE_BASE the constant of the expected size. Without knots a score is
(value - CENTRE) * UNIT. CELL_ERROR, OCCASION and ONE are a calendar's variances. WANDERS is 1 where
no level is kept, else 0. Behind them lie: knots, their scores, weights of lags, of averages, gains
of lines and of size lines in amplitude and in frequency, weights of size averages, and the zone's
offsets."""


@kernel
def calendar_cell(local: int) -> int:
    """Return the cell of a local time in microseconds: half hour of the week, Monday first."""
    day = (local // 86_400_000_000 + 3) % 7
    return day * 48 + (local % 86_400_000_000) // HALF_HOUR


@kernel
def _offset(parameters: Floats, place: int, transitions: int, time: int) -> int:
    """Return the zone's offset at a UTC time: of the last of its transitions by then."""
    low, high = 0, transitions
    while high - low > 1:
        middle = (low + high) // 2
        if parameters[place + 2 * middle] <= time:
            low = middle
        else:
            high = middle
    return int(parameters[place + 2 * low + 1])


@kernel
def _total(state: Floats, place: int, lines: int) -> float:
    """Return what the lines at `place` add, summed four side by side, in a fixed order."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    whole = lines & ~3
    for j in range(place, place + whole, 4):
        first += state[j]
        second += state[j + 1]
        third += state[j + 2]
        fourth += state[j + 3]
    for j in range(place + whole, place + lines):
        first += state[j]
    return (first + second) + (third + fourth)


@kernel
def _turn(
    parameters: Floats, gains: int, state: Floats, place: int, lines: int, error: float
) -> None:
    """Let the lines at `place` take their share of the error; turn them to the next value.

    Amplitude and frequency learn; an error of 0 teaches nothing.
    """
    for j in range(lines):
        a, b = state[place + j], state[place + lines + j]
        cosine, sine = state[place + 2 * lines + j], state[place + 3 * lines + j]
        learnt = a + parameters[gains + j] * error
        angle = -parameters[gains + lines + j] * b * error
        next_cosine = cosine - sine * angle
        next_sine = sine + cosine * angle
        # One step of Newton's method keeps the rotor's length at 1.
        shrink = 1.5 - 0.5 * (next_cosine * next_cosine + next_sine * next_sine)
        next_cosine *= shrink
        next_sine *= shrink
        state[place + j] = learnt * next_cosine - b * next_sine
        state[place + lines + j] = learnt * next_sine + b * next_cosine
        state[place + 2 * lines + j] = next_cosine
        state[place + 3 * lines + j] = next_sine


@kernel
def _visit(
    parameters: Floats,
    state: Floats,
    place: int,
    cells: int,
    cell: int,
    error: float,
    learn: bool,
) -> None:
    """Note an error in the cell that is visited; a cell learns from the mean error of a visit.

    It learns when it is left, and after FIRST_LOOK values, four times as many, and so on: a
    change is seen before it teaches, a level that was known badly is put right before it is
    taken for a change.
    """
    here = place + cells
    if state[here] != cell:
        if learn and state[here + 2] > 0.0:
            gain = _put_right(parameters, state, place, here)
            if cell < state[here]:
                # A week is over: every cell is known so much better.
                least = LEAST_ERROR * parameters[_CELL_ERROR]
                state[here + 4] = max(state[here + 4] * (1.0 - gain), least)
        state[here], state[here + 3] = cell, FIRST_LOOK
        state[here + 1], state[here + 2] = 0.0, 0.0
    if not learn:
        # What was noted of this visit may be the change already.
        state[here + 1], state[here + 2] = 0.0, 0.0
        return
    state[here + 1] += error
    state[here + 2] += 1.0
    if state[here + 2] >= state[here + 3]:
        _put_right(parameters, state, place, here)
        state[here + 3] *= 4.0


@kernel
def _put_right(parameters: Floats, state: Floats, place: int, here: int) -> float:
    """Move the level of the cell that is visited by its share of the mean error; return that."""
    known, seen = state[here + 4], state[here + 2]
    gain: float = known / (known + parameters[_OCCASION] + parameters[_ONE] / seen)
    step = gain * state[here + 1] / seen
    state[place + int(state[here])] += step
    state[here + 1] -= step * seen
    return gain


@kernel
def _fill_scores(parameters: Floats, values: Floats, start: int, stop: int, out: Floats) -> None:
    """Write the scores of values[start:stop] less the level, NaN for what is not finite."""
    knots = int(parameters[_KNOTS])
    level, centre, unit = parameters[_LEVEL], parameters[_CENTRE], parameters[_UNIT]
    edges = parameters[_HEADER : _HEADER + knots]
    scores = parameters[_HEADER + knots : _HEADER + 2 * knots]
    for i in range(start, stop):
        value = values[i]
        if not math.isfinite(value):
            out[i] = np.nan
        elif knots == 0:
            out[i] = (value - centre) * unit - level
        else:
            out[i] = score(value, edges, scores) - level


@kernel
def _follow_level(
    parameters: Floats, state: Floats, times: Ints, start: int, stop: int, learn: bool, out: Floats
) -> None:
    """Replace scores by what calendar, lines and memory leave, in standard deviations."""
    lags, averages = int(parameters[_LAGS]), int(parameters[_AVERAGES])
    lines, cells = int(parameters[_LINES]), int(parameters[_CELLS])
    transitions, precision = int(parameters[_TRANSITIONS]), parameters[_PRECISION]
    at_lags = _HEADER + 2 * int(parameters[_KNOTS])
    at_averages = at_lags + lags
    at_gains = at_averages + averages
    at_zone = len(parameters) - 2 * transitions
    at_cells = len(state) - cells - _VISIT
    at_lines = lags + averages
    for i in range(start, stop):
        if math.isnan(out[i]):
            continue
        rest = out[i] - _total(state, at_lines, lines)
        cell = -1
        if cells > 0:
            cell = calendar_cell(times[i] + _offset(parameters, at_zone, transitions, times[i]))
            rest -= state[at_cells + cell]
        expected = 0.0
        for j in range(lags):
            expected += parameters[at_lags + j] * state[j]
        for j in range(averages):
            expected += parameters[at_averages + j] * state[lags + j]
        surprise = (rest - expected) * precision
        if abs(surprise) > LARGEST_JUMP:
            surprise = math.copysign(LARGEST_JUMP, surprise)
            rest = expected + surprise / precision
        out[i] = surprise
        for j in range(lags - 1, 0, -1):
            state[j] = state[j - 1]
        if lags > 0:
            state[0] = rest
        for j in range(averages):
            state[lags + j] += (rest - state[lags + j]) / AVERAGES[j]
        # Where no level is kept what a line leaves is where the signal is, not an error.
        error = rest - parameters[_WANDERS] * expected
        error = min(max(error, -LARGEST_STEP), LARGEST_STEP)
        _turn(parameters, at_gains, state, at_lines, lines, error if learn else 0.0)
        if cells > 0:
            _visit(parameters, state, at_cells, cells, cell, error, learn)


@kernel
def _follow_size(
    parameters: Floats, state: Floats, start: int, stop: int, learn: bool, out: Floats
) -> None:
    """Divide what is left by the size that lines and past deviations let expect."""
    lines, averages = int(parameters[_SIZE_LINES]), int(parameters[_SIZE_AVERAGES])
    unit, base = parameters[_SIZE_UNIT], parameters[_SIZE_BASE]
    level_lines = int(parameters[_LINES])
    past = int(parameters[_LAGS]) + int(parameters[_AVERAGES])
    at_gains = _HEADER + 2 * int(parameters[_KNOTS]) + past + 2 * level_lines
    at_weights = at_gains + 2 * lines
    at_lines = past + 4 * level_lines
    at_averages = at_lines + 4 * lines
    for i in range(start, stop):
        surprise = out[i]
        if math.isnan(surprise):
            continue
        size = min(abs(surprise) * unit, LARGEST_SIZE)
        usual = min(max(1.0 + _total(state, at_lines, lines), LEAST_USUAL), MOST_USUAL)
        _turn(parameters, at_gains, state, at_lines, lines, size - usual if learn else 0.0)
        size /= usual
        factor = base
        for j in range(averages):
            factor += parameters[at_weights + j] * state[at_averages + j]
            state[at_averages + j] += (size - state[at_averages + j]) / SIZE_AVERAGES[j]
        out[i] = surprise / (usual * min(max(factor, LEAST_USUAL), MOST_USUAL))


@kernel
def follow(
    parameters: Floats,
    state: Floats,
    values: Floats,
    times: Ints,
    start: int,
    stop: int,
    learn: bool,
    out: Floats,
) -> None:
    """Write what is left of values[start:stop] into the same places of `out`; move `state` on.

    `values` and `out` float64[n], `times` int64[n] in microseconds UTC, read only where
    calendar cells are part of the front (it may be empty otherwise). A value that is not finite
    leaves NaN and the state as it is. Without `learn` lines turn and memory remembers, but
    neither lines nor calendar cells learn: for a signal that is held while it is changed.

    Value by value, part after part: each part has a state of its own.
    """
    _fill_scores(parameters, values, start, stop, out)
    _follow_level(parameters, state, times, start, stop, learn, out)
    if parameters[_SIZE_LINES] > 0 or parameters[_SIZE_AVERAGES] > 0:
        _follow_size(parameters, state, start, stop, learn, out)


def has_calendar(parameters: Floats) -> bool:
    """Tell whether a front reads the times of its values."""
    return bool(parameters[_CELLS] > 0)


@dataclass(frozen=True)
class SizeTracking:
    """What follows the size of deviations: see `Layout`, whose lines these are like."""

    unit: float
    base: float
    weights: Floats
    gains: Floats
    phasors: Floats


@dataclass(frozen=True)
class Layout:
    """The numbers of a front by name, which `arrays` lays flat.

    `gains` float64[m, 2] of the lines in amplitude and in frequency; `phasors` float64[m, 4]:
    a, b and the rotor's cosine and sine, at the first value. `zone` float64[t, 2]:
    since when (microseconds UTC) which offset applies.
    """

    knots: Floats
    scores: Floats
    centre: float
    unit: float
    level: float
    precision: float
    lags: Floats
    averages: Floats
    gains: Floats
    phasors: Floats
    sizes: SizeTracking | None
    levels: Floats | None
    variances: Floats
    wanders: bool
    zone: Floats | None

    def arrays(self, first: float, averages: Floats) -> tuple[Floats, Floats]:
        """Return `parameters` and `state`; the past holds `first`, its averages `averages`."""
        sizes = self.sizes or SizeTracking(1.0, 1.0, *(np.empty(0) for _ in range(3)))
        levels = np.empty(0) if self.levels is None else self.levels
        zone = np.empty((0, 2)) if self.zone is None else self.zone
        header = np.zeros(_HEADER)
        header[_KNOTS], header[_LAGS] = len(self.knots), len(self.lags)
        header[_AVERAGES], header[_LINES] = len(self.averages), len(self.gains)
        header[_SIZE_LINES], header[_SIZE_AVERAGES] = len(sizes.gains), len(sizes.weights)
        header[_CELLS], header[_TRANSITIONS] = len(levels), len(zone)
        header[_LEVEL], header[_PRECISION] = self.level, self.precision
        header[_SIZE_UNIT], header[_SIZE_BASE] = sizes.unit, sizes.base
        header[_CENTRE], header[_UNIT] = self.centre, self.unit
        header[_CELL_ERROR : _CELL_ERROR + 3] = self.variances
        header[_WANDERS] = float(self.wanders)
        parameters = (
            header,
            self.knots,
            self.scores,
            self.lags,
            self.averages,
            self.gains.T.ravel(),
            sizes.gains.T.ravel(),
            sizes.weights,
            zone.ravel(),
        )
        state = (
            np.full(len(self.lags), first),
            averages[: len(self.averages)],
            self.phasors.T.ravel(),
            sizes.phasors.T.ravel(),
            np.ones(len(sizes.weights)),
            levels,
            np.array([-1.0, 0.0, 0.0, FIRST_LOOK, self.variances[0]]),
        )
        return np.concatenate(parameters), np.concatenate(state)

    @staticmethod
    def run(parameters: Floats, state: Floats, values: Floats) -> Floats:
        """Return what a front without calendar leaves of float64[n]; moves `state` on."""
        out = np.empty(len(values))
        follow(parameters, state, values, np.empty(0, np.int64), 0, len(values), True, out)
        return out
