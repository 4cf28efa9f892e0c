"""Lines of a reference: sinusoids found in its spectrum, no period being told."""

import math
from dataclasses import dataclass

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Bools, Floats, Ints
from streamdrift.references.memory import fit_memory

LEAST_CYCLES = 5.0
"""A line is looked for where the reference holds at least so many of its cycles."""
FIRST, LATER, RELATED = 14.0, 11.0, 6.0
"""How many times the noise around it a line's power must be: the first line's, once there is one,
and where multiples, sums and differences of known frequencies lie: a cycle that is no sinusoid,
or that differs from day to day, has lines there."""
_PARENTS, _MULTIPLES = 6, 12
"""The strongest lines whose relatives are looked for, and up to which multiple."""
_APART = 3.0
"""Cycles in the reference by which two lines differ at least."""
_FOOT = 0.02
"""What is weaker than this share of the strongest peak may belong to it."""
_TELLERS, _DIVISORS = 3, 8
"""The lines of best known frequency, and the parts of it that may be the common one."""
_NEAR = 3.5
"""Standard deviations within which a line lies at a multiple."""
_LEAST_FACTOR = 3.0
"""The least logarithm of a Bayes factor by which lines are tied."""
_LEAST_STEP = 8.0
"""Standard deviations of the best known frequency that a common one has at least."""
_FASTEST = 0.98 * math.pi
_BAND = 16
"""Bins of the lowest band over which the noise's power is taken; each next one is twice as wide."""
_REPEATS = 0.3
"""How much of a line's gain each half of the reference must keep when the other predicts it."""
_ROUNDS = 4


@dataclass(frozen=True)
class Line:
    """A sinusoid a cos(w t) + b sin(w t), t counted from the middle of the reference.

    `frequency` w in radians a value; `tied` where it is a multiple of one that others share.
    """

    frequency: float
    a: float
    b: float
    tied: bool = False

    @property
    def period(self) -> float:
        """Values from one peak to the next."""
        return 2 * math.pi / self.frequency

    @property
    def amplitude(self) -> float:
        """Half of the distance from its lowest to its highest."""
        return math.hypot(self.a, self.b)

    def at(self, time: float) -> tuple[float, float]:
        """Return its phasor (a, b) at a time t: a is what the line adds then."""
        cosine, sine = math.cos(self.frequency * time), math.sin(self.frequency * time)
        return self.a * cosine + self.b * sine, self.a * sine - self.b * cosine


@kernel
def _add(rest: Floats, frequency: float, a: float, b: float) -> None:
    """Add a line to float64[n]."""
    middle = 0.5 * (len(rest) - 1)
    cosine, sine = math.cos(frequency * middle), -math.sin(frequency * middle)
    turn_cosine, turn_sine = math.cos(frequency), math.sin(frequency)
    for i in range(len(rest)):
        rest[i] += a * cosine + b * sine
        cosine, sine = (
            cosine * turn_cosine - sine * turn_sine,
            sine * turn_cosine + cosine * turn_sine,
        )


@kernel
def _products(rest: Floats, line: Floats, out: Floats) -> None:
    """Write the inner products of a line's cosine, sine and slope in w, by halves of `rest`.

    `out` float64[2, 9]: cc, cs, ss, cy, sy, ct, st, tt, ty for each half, t the derivative
    with respect to the frequency.
    """
    frequency, a, b = line[0], line[1], line[2]
    size = len(rest)
    middle = 0.5 * (size - 1)
    cosine, sine = math.cos(frequency * middle), -math.sin(frequency * middle)
    turn_cosine, turn_sine = math.cos(frequency), math.sin(frequency)
    out[:] = 0.0
    for half in range(2):
        cc, cs, ss, cy, sy = 0.0, 0.0, 0.0, 0.0, 0.0
        ct, st, tt, ty = 0.0, 0.0, 0.0, 0.0
        for i in range(half * (size // 2), size if half else size // 2):
            y = rest[i]
            slope = (i - middle) * (b * cosine - a * sine)
            cc += cosine * cosine
            cs += cosine * sine
            ss += sine * sine
            cy += cosine * y
            sy += sine * y
            ct += cosine * slope
            st += sine * slope
            tt += slope * slope
            ty += slope * y
            cosine, sine = (
                cosine * turn_cosine - sine * turn_sine,
                sine * turn_cosine + cosine * turn_sine,
            )
        out[half, 0], out[half, 1], out[half, 2] = cc, cs, ss
        out[half, 3], out[half, 4], out[half, 5] = cy, sy, ct
        out[half, 6], out[half, 7], out[half, 8] = st, tt, ty


@kernel
def _plane(cc: float, cs: float, ss: float, cy: float, sy: float) -> tuple[float, float]:
    determinant = cc * ss - cs * cs
    if determinant <= 1e-9 * cc * ss:
        return 0.0, 0.0
    return (ss * cy - cs * sy) / determinant, (cc * sy - cs * cy) / determinant


@kernel
def _bend(sums: Floats) -> float:
    """Return the step in frequency that fits best, given the amplitudes fit anew."""
    cc, cs, ss = sums[0], sums[1], sums[2]
    a, b = _plane(cc, cs, ss, sums[3], sums[4])
    c, d = _plane(cc, cs, ss, sums[5], sums[6])
    left = sums[7] - c * sums[5] - d * sums[6]
    if left <= 1e-9 * sums[7]:
        return 0.0
    bend: float = (sums[8] - a * sums[5] - b * sums[6]) / left
    return bend


@kernel
def sweep(rest: Floats, lines: Floats, refine: bool) -> None:
    """Fit each line anew to what the others leave; `rest` is what all of them leave.

    `lines` float64[m, 3] holds frequency, a and b, and is changed, as is `rest` float64[n].
    With `refine` the frequency takes a step of Gauss and Newton, of a quarter cycle at most.
    """
    sums = np.empty((2, 9))
    for j in range(len(lines)):
        line = lines[j]
        _add(rest, line[0], line[1], line[2])
        if refine and (line[1] != 0.0 or line[2] != 0.0):
            # The slope's own line is taken off: it is the rest's that it must explain.
            _products(rest, line, sums)
            whole = sums[0] + sums[1]
            largest = 0.5 * math.pi / len(rest)
            line[0] += min(max(_bend(whole), -largest), largest)
        _products(rest, line, sums)
        whole = sums[0] + sums[1]
        line[1], line[2] = _plane(whole[0], whole[1], whole[2], whole[3], whole[4])
        _add(rest, line[0], -line[1], -line[2])


@kernel
def repeats(rest: Floats, line: Floats) -> float:
    """Return how much of a line's gain is left when each half of `rest` predicts the other.

    `rest` is what all lines leave.
    """
    sums = np.empty((2, 9))
    _add(rest, line[0], line[1], line[2])
    _products(rest, line, sums)
    _add(rest, line[0], -line[1], -line[2])
    crossed = 0.0
    for half in range(2):
        own, other = sums[half], sums[1 - half]
        a, b = _plane(other[0], other[1], other[2], other[3], other[4])
        crossed += 2 * (a * own[3] + b * own[4])
        crossed -= a * a * own[0] + 2 * a * b * own[1] + b * b * own[2]
    whole = sums[0] + sums[1]
    a, b = _plane(whole[0], whole[1], whole[2], whole[3], whole[4])
    full = a * whole[3] + b * whole[4]
    return crossed / full if full > 0.0 else 0.0


def find_lines(values: Floats, most: int) -> tuple[Line, ...]:
    """Return the lines of float64[n], at most `most`, the strongest first.

    The values are whitened by their memory, so that noise that is stronger at low frequencies
    is no line; a line is a peak of the periodogram (Hann's window) far above the median of the
    band it lies in, that repeats in both halves.
    """
    rest = values - values.mean()
    lines = np.empty((0, 3))
    for _ in range(_ROUNDS):
        peaks = _peaks(rest, most - len(lines), lines)
        if not peaks:
            break
        fresh = np.zeros((len(peaks), 3))
        fresh[:, 0] = peaks
        lines = np.concatenate((lines, fresh))
        for number in range(4):
            sweep(rest, lines, refine=0 < number < 3)
        kept = np.array([repeats(rest, line) >= _REPEATS for line in lines])
        for line in lines[~kept]:
            _add(rest, line[0], line[1], line[2])
        lines = np.ascontiguousarray(lines[kept])
        if not kept[-len(peaks) :].any() or len(lines) >= most:
            break
    for _ in range(2):
        sweep(rest, lines, refine=True)
    tied = tie(lines, _precision(rest, lines))
    for _ in range(2):
        sweep(rest, lines, refine=False)
    found = [
        Line(frequency, a, b, together)
        for (frequency, a, b), together in zip(lines.tolist(), tied.tolist(), strict=True)
    ]
    return tuple(sorted(found, key=lambda line: -line.amplitude))


def _peaks(rest: Floats, most: int, known: Floats) -> list[float]:
    """Return frequencies where the whitened periodogram stands out, the strongest first.

    `known` float64[m, 3] are the lines there are.
    """
    size = len(rest)
    padded = _good_size(size)
    spectrum = np.fft.rfft(whitened(rest) * _window(size, 0.5 if len(known) == 0 else 0.05), padded)
    power = spectrum.real**2 + spectrum.imag**2
    strength = power / _noise(power)
    first = max(math.ceil(LEAST_CYCLES * padded / size), 2)
    inner = strength[first:-1]
    tops = (inner >= strength[first - 1 : -2]) & (inner > strength[first + 1 :])
    wanted = np.full(len(strength), LATER if len(known) else FIRST)
    wanted[_related(known, padded, len(strength))] = RELATED
    places = np.flatnonzero(tops & (inner > wanted[first:-1])) + first
    places = places[np.argsort(-strength[places], kind="stable")]
    found = list[float]()
    for place in places.tolist():
        # The feet of a strong line's peak are looked at again without it.
        if len(found) >= most or strength[place] < _FOOT * strength[places[0]]:
            break
        left, middle, right = (math.log(max(power[place + k], 1e-300)) for k in (-1, 0, 1))
        bend = left - 2 * middle + right
        shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
        frequency = 2 * math.pi * (place + shift) / padded
        near = (abs(frequency - other) for other in (*found, *known[:, 0].tolist()))
        if min(near, default=math.inf) > _APART * 2 * math.pi / size and frequency < _FASTEST:
            found.append(frequency)
    return found


def _window(size: int, share: float) -> Floats:
    """Return float64[n] that rises and falls as a cosine over this share of each end.

    Half is Hann's window, which keeps a strong line's power near it. Once those are taken off
    a steeper one loses less of the others.
    """
    edge = max(int(share * size), 1)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window = np.ones(size)
    window[:edge] = rise
    window[-edge:] = rise[::-1]
    return window


def _related(known: Floats, padded: int, bins: int) -> Ints:
    """Return the bins of multiples, sums and differences of the strongest lines' frequencies."""
    strength = known[:, 1] ** 2 + known[:, 2] ** 2
    strongest = known[np.argsort(-strength, kind="stable")[:_PARENTS], 0].tolist()
    found = [times * one for one in strongest for times in range(2, _MULTIPLES + 1)]
    for place, one in enumerate(strongest):
        for other in strongest[:place]:
            found += [one + other, abs(one - other)]
    middles = np.rint(np.array(found) * padded / (2 * math.pi)).astype(np.int64)
    near = (middles[:, None] + np.arange(-1, 2)).ravel()
    return near[(near >= 0) & (near < bins)]


def whitened(values: Floats) -> Floats:
    """Return what the last few values do not predict."""
    lags = fit_memory(values, slow=False).lags
    rest = values.copy()
    for lag, weight in enumerate(lags.tolist(), 1):
        rest[lag:] -= weight * values[:-lag]
    return rest


def _precision(rest: Floats, lines: Floats) -> Floats:
    """Return the standard deviation of each line's frequency: of the noise around it.

    Rife and Boorstyn, Single tone parameter estimation from discrete-time observations, IEEE
    Transactions on Information Theory 20 (1974): 24 S / (A^2 n^3).
    """
    memory = fit_memory(rest, slow=False)
    found = np.empty(len(lines))
    for j, (frequency, a, b) in enumerate(lines.tolist()):
        gain = complex(1.0)
        for lag, weight in enumerate(memory.lags.tolist(), 1):
            gain -= weight * complex(math.cos(lag * frequency), -math.sin(lag * frequency))
        density = memory.deviation**2 / max(abs(gain) ** 2, 1e-9)
        strength = max(a * a + b * b, 1e-12)
        found[j] = math.sqrt(24 * density / (strength * len(rest) ** 3))
    return found


def tie(lines: Floats, precision: Floats) -> Bools:
    """Make lines multiples of one frequency where they are; tell which, bool[m].

    A day's and a week's lines are multiples of the week's frequency, and the strongest one tells
    it far better than the weak ones know their own. Of the frequencies whose multiple a strong line
    can be the one with the greatest Bayes factor is taken: lines at its multiples, each within its
    error, against lines anywhere.
    """
    tied = np.zeros(len(lines), dtype=np.bool_)
    if len(lines) < 2:
        return tied
    own = lines[:, 0]
    strongest = np.argsort(precision, kind="stable")[:_TELLERS]
    best, base = _LEAST_FACTOR, 0.0
    for one in strongest.tolist():
        for multiple in range(1, _DIVISORS + 1):
            guess = float(own[one]) / multiple
            for _ in range(2):
                times, near = _matches(own, precision, guess)
                weight = np.where(near, (times / precision) ** 2, 0.0)
                guess = float((weight * own / np.maximum(times, 1)).sum() / weight.sum())
            times, near = _matches(own, precision, guess)
            if np.count_nonzero(near) < 2 or guess < _LEAST_STEP * precision[one]:
                continue
            off = (own - times * guess) / precision
            factors = np.log(guess / (precision * math.sqrt(2 * math.pi))) - 0.5 * off**2
            # The frequency itself is learnt from one of them.
            total = float(factors[near].sum() - factors[near].max())
            total -= math.log(_TELLERS * _DIVISORS)
            if total > best:
                best, base = total, guess
    if base > 0.0:
        times, tied = _matches(own, precision, base)
        lines[tied, 0] = times[tied] * base
    return tied


def _matches(own: Floats, precision: Floats, base: float) -> tuple[Floats, Bools]:
    times = np.rint(own / base)
    return times, (times > 0) & (np.abs(own - times * base) < _NEAR * precision)


def _noise(power: Floats) -> Floats:
    """Return the mean power of noise at each bin, from the medians of bands of bins."""
    noise = np.empty(len(power))
    start, width = 2, _BAND
    while start < len(power):
        stop = start + width
        if len(power) - stop < width:
            stop = len(power)
        noise[start:stop] = np.median(power[start:stop]) / math.log(2)
        start, width = stop, 2 * width
    noise[:2] = noise[2] if len(power) > 2 else 1.0
    return np.maximum(noise, 1e-300)


def _good_size(size: int) -> int:
    """Return the least number from `size` on that is 2, 3, 5, 9 or 15 times a power of two."""
    power = 1 << max(size - 1, 1).bit_length()
    return min(
        candidate
        for candidate in (power, power * 15 // 16, power * 9 // 16, power * 5 // 8, power * 3 // 4)
        if candidate >= size
    )
