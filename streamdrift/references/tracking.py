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

AVERAGES: tuple[float, ...] = (20.0, 80.0, 320.0, 1280.0)
"""Time constants, in values, of the exponential averages of a signal's past that predict it."""
SIZE_AVERAGES: tuple[float, ...] = (8.0, 32.0, 128.0, 512.0)
"""Those of the averages of absolute deviations that predict their size."""
SIZE_RANGE = (0.3, 4.0)
"""How far below or above its usual the expected size of a deviation can be."""
LARGEST_SIZE = 6.0
"""One deviation counts as at most so many usual ones when sizes are followed."""
LARGEST_STEP = 4.0
"""What a line or a calendar cell learns from one value is cut off here, in scores."""
LARGEST_JUMP = 50.0
"""What the next prediction learns from one value is cut off here, in standard deviations."""
SLOTS, DAYS = 48, 7
"""Calendar cells: half hours of the day by days of the week."""

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
    _CELL_GAIN,
    _HEADER,
) = range(16)
"""Places of the counts and single numbers at the beginning of `parameters`. LEVEL is taken off the
score; PRECISION is one over the standard deviation of what memory leaves; SIZE_UNIT one over the
mean of its absolute value; SIZE_BASE the constant of the expected size. Without knots a score is
(value - CENTRE) * UNIT. Behind them lie: knots, their scores, weights of lags, of averages, two
gains a line, two a size line, weights of size averages, and the zone's offsets."""


@kernel
def calendar_cell(local: int) -> int:
    """Return the cell of a local time in microseconds: half hour of the week, Monday first."""
    day = (local // 86_400_000_000 + 3) % 7
    return day * 48 + (local % 86_400_000_000) // 1_800_000_000


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
def _turn(state: Floats, place: int, lines: int) -> float:
    """Turn every line at `place` by one value; return the sum of what they add."""
    total = 0.0
    for j in range(place, place + 4 * lines, 4):
        a, b, cosine, sine = state[j], state[j + 1], state[j + 2], state[j + 3]
        state[j] = a * cosine - b * sine
        state[j + 1] = a * sine + b * cosine
        total += state[j]
    return total


@kernel
def _learn(
    parameters: Floats, gains: int, state: Floats, place: int, lines: int, error: float
) -> None:
    """Let every line at `place` take its share of the error, in amplitude and in frequency."""
    for line in range(lines):
        j = place + 4 * line
        step = parameters[gains + 2 * line] * error
        turn = -parameters[gains + 2 * line + 1] * state[j + 1] * error
        state[j] += step
        cosine = state[j + 2] - state[j + 3] * turn
        sine = state[j + 3] + state[j + 2] * turn
        # One step of Newton's method keeps the rotor's length at 1.
        shrink = 1.5 - 0.5 * (cosine * cosine + sine * sine)
        state[j + 2] = cosine * shrink
        state[j + 3] = sine * shrink


@kernel
def _visit(state: Floats, place: int, cells: int, cell: int, error: float, gain: float) -> None:
    """Note an error in the cell that is visited; a cell learns the mean error when it is left.

    So a change teaches nothing in the half hour it begins in, however many values that has.
    """
    here = place + cells
    if state[here] != cell:
        if state[here + 2] > 0.0:
            state[place + int(state[here])] += gain * state[here + 1] / state[here + 2]
        state[here], state[here + 1], state[here + 2] = cell, 0.0, 0.0
    state[here + 1] += error
    state[here + 2] += 1.0


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
    """
    knots, lags = int(parameters[_KNOTS]), int(parameters[_LAGS])
    averages, lines = int(parameters[_AVERAGES]), int(parameters[_LINES])
    size_lines, size_averages = int(parameters[_SIZE_LINES]), int(parameters[_SIZE_AVERAGES])
    cells, transitions = int(parameters[_CELLS]), int(parameters[_TRANSITIONS])
    level, precision = parameters[_LEVEL], parameters[_PRECISION]
    size_unit, size_base = parameters[_SIZE_UNIT], parameters[_SIZE_BASE]
    sized = size_lines > 0 or size_averages > 0
    at_scores = _HEADER + knots
    at_lags = at_scores + knots
    at_averages = at_lags + lags
    at_gains = at_averages + averages
    at_size_gains = at_gains + 2 * lines
    at_sizes = at_size_gains + 2 * size_lines
    at_zone = at_sizes + size_averages
    own_averages = lags
    own_lines = own_averages + averages
    own_size_lines = own_lines + 4 * lines
    own_sizes = own_size_lines + 4 * size_lines
    own_cells = own_sizes + size_averages
    edges, marks = parameters[_HEADER:at_scores], parameters[at_scores:at_lags]
    last = knots - 1
    for i in range(start, stop):
        value = values[i]
        if not math.isfinite(value):
            out[i] = np.nan
            continue
        if knots > 0:
            # As `score`, which would cost twice as much from here.
            low = 0
            for place in range(len(edges)):
                low += edges[place] < value
            left = min(max(low - 1, 0), last - 1)
            slope = (marks[left + 1] - marks[left]) / (edges[left + 1] - edges[left])
            rest = marks[left] + (value - edges[left]) * slope
            rest = min(max(rest, marks[0] - 0.5), marks[last] + 0.5) - level
        else:
            rest = (value - parameters[_CENTRE]) * parameters[_UNIT] - level
        cell = -1
        if cells > 0:
            cell = calendar_cell(times[i] + _offset(parameters, at_zone, transitions, times[i]))
            rest -= state[own_cells + cell]
        if lines > 0:
            rest -= _turn(state, own_lines, lines)
        expected = 0.0
        for j in range(lags):
            expected += parameters[at_lags + j] * state[j]
        for j in range(averages):
            expected += parameters[at_averages + j] * state[own_averages + j]
        surprise = (rest - expected) * precision
        if abs(surprise) > 50.0:
            surprise = math.copysign(50.0, surprise)
            rest = expected + surprise / precision
        for j in range(lags - 1, 0, -1):
            state[j] = state[j - 1]
        if lags > 0:
            state[0] = rest
        for j in range(averages):
            state[own_averages + j] += (rest - state[own_averages + j]) / AVERAGES[j]
        if learn and (lines > 0 or cells > 0):
            error = min(max(rest, -4.0), 4.0)
            if lines > 0:
                _learn(parameters, at_gains, state, own_lines, lines, error)
            if cells > 0:
                _visit(state, own_cells, cells, cell, error, parameters[_CELL_GAIN])
        if not learn and cells > 0:
            # What was noted of this visit may be the change already.
            state[own_cells + cells + 2] = 0.0
            state[own_cells + cells + 1] = 0.0
        if sized:
            size = min(abs(surprise) * size_unit, 6.0)
            usual = 1.0
            if size_lines > 0:
                usual = min(max(1.0 + _turn(state, own_size_lines, size_lines), 0.3), 4.0)
                if learn:
                    _learn(
                        parameters, at_size_gains, state, own_size_lines, size_lines, size - usual
                    )
            size /= usual
            factor = size_base
            for j in range(size_averages):
                factor += parameters[at_sizes + j] * state[own_sizes + j]
                state[own_sizes + j] += (size - state[own_sizes + j]) / SIZE_AVERAGES[j]
            if size_averages > 0:
                usual *= min(max(factor, 0.3), 4.0)
            surprise /= usual
        out[i] = surprise


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
    a, b and the rotor's cosine and sine, one value before the first. `zone` float64[t, 2]:
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
    cell_gain: float
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
        header[_CENTRE], header[_UNIT], header[_CELL_GAIN] = self.centre, self.unit, self.cell_gain
        parameters = (
            header,
            self.knots,
            self.scores,
            self.lags,
            self.averages,
            self.gains.ravel(),
            sizes.gains.ravel(),
            sizes.weights,
            zone.ravel(),
        )
        state = (
            np.full(len(self.lags), first),
            averages[: len(self.averages)],
            self.phasors.ravel(),
            sizes.phasors.ravel(),
            np.ones(len(sizes.weights)),
            levels,
            np.array([-1.0, 0.0, 0.0]) if len(levels) else np.empty(0),
        )
        return np.concatenate(parameters), np.concatenate(state)

    @staticmethod
    def run(parameters: Floats, state: Floats, values: Floats) -> Floats:
        """Return what a front without calendar leaves of float64[n]; moves `state` on."""
        out = np.empty(len(values))
        follow(parameters, state, values, np.empty(0, np.int64), 0, len(values), True, out)
        return out
