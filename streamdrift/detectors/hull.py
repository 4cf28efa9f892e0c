"""The changes that FOCuS holds for possible, as kernels over arrays: two convex hulls.

A slot's cumulative sum of deviations has a lower hull, whose corners are where a rise may have
begun, and an upper one, for falls; the latter is kept as the lower hull of the negative sum.
`places` and `heights` float64[2, CORNERS] are counts and sums at the corners of both, oldest first,
`sizes` int64[2] how many there are.
"""

import math

import numpy as np

from streamdrift.kernels.compiler import kernel
from streamdrift.records import Floats, Ints

CORNERS = 48
"""Corners kept of a hull. That of noise has as many after e^48 values (e^96 where the mean is
known); of a steady slope, on which all values are corners, some are kept of every age."""

COUNT, TOTAL, ALARMED = range(3)
"""Places in a slot's sums. TOTAL is of the deviations from the reference's mean. ALARMED is 1
after an alarm: the next value starts anew."""

STATISTIC, BACK, EFFECT = range(3)
"""Places in a finding: the log likelihood ratio of the likeliest change, how many values ago its
first one came, and the difference of means."""

MEAN, SCALE, THRESHOLD, LEAST_EFFECT, IS_RATE = range(5)
"""Places in what a slot is told. MEAN is subtracted from its values, and the mean before a change
where that is known; it is 0 of a rate that is not, whose sums are thus exact."""


@kernel
def _divergence(share: float, expected: float) -> float:
    """Return the Kullback-Leibler divergence of two Bernoulli distributions."""
    result = 0.0
    if share > 0.0:
        result += share * math.log(share / expected)
    if share < 1.0:
        result += (1.0 - share) * math.log((1.0 - share) / (1.0 - expected))
    return result


@kernel
def _ratio(
    count: float, total: float, after: float, since: float, told: Floats, known: bool
) -> tuple[float, float]:
    """Return the log likelihood ratio of a change, and the difference of means.

    `count` values have the sum of deviations `total`, the `after` last ones `since` of it.
    """
    older = count - after
    effect = since / after
    if not known:
        if older == 0.0:
            return 0.0, 0.0
        effect -= (total - since) / older
    if told[IS_RATE] == 0.0:
        weight = after if known else after * older / count
        return 0.5 * weight * (effect / told[SCALE]) * (effect / told[SCALE]), effect
    mean = told[MEAN]
    last = min(max(mean + since / after, 0.0), 1.0)
    if known:
        return after * _divergence(last, mean), effect
    pooled = total / count
    if pooled <= 0.0 or pooled >= 1.0:
        return 0.0, effect
    first = min(max((total - since) / older, 0.0), 1.0)
    return after * _divergence(last, pooled) + older * _divergence(first, pooled), effect


@kernel
def _promising(
    count: float,
    total: float,
    places: Floats,
    heights: Floats,
    size: int,
    need: float,
    least: float,
    known: bool,
) -> bool:
    """Tell whether a change from some corner of a hull on may exceed the threshold.

    Free of division and logarithm. `need` is the variance times twice the threshold: the
    square of the normal distance, of which the likelihood ratio is half.
    """
    if known:
        for corner in range(size):
            after = count - places[corner]
            rise = total - heights[corner]
            if rise * rise >= need * after and rise >= least * after:
                return True
        return False
    for corner in range(size):
        older = places[corner]
        after = count - older
        cross = (total - heights[corner]) * older - heights[corner] * after
        weight = after * older
        if cross > 0.0 and cross * cross >= need * count * weight and cross >= least * weight:
            return True
    return False


@kernel
def _find(
    sums: Floats, places: Floats, heights: Floats, sizes: Ints, told: Floats, known: bool
) -> tuple[float, float, float]:
    """Return the likeliest change of a large enough effect as a finding; zeros without one."""
    statistic, back, effect = 0.0, 0.0, 0.0
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for corner in range(sizes[side]):
            after = sums[COUNT] - places[side, corner]
            if after == 0.0:
                continue
            since = sums[TOTAL] - sign * heights[side, corner]
            ratio, size = _ratio(sums[COUNT], sums[TOTAL], after, since, told, known)
            if sign * size >= told[LEAST_EFFECT] and ratio > statistic:
                statistic, back, effect = ratio, after - 1.0, size
    return statistic, back, effect


@kernel
def _drop(places: Floats, heights: Floats, count: float) -> int:
    """Drop a full hull's corner whose neighbours are nearest by its age; return the new size."""
    least, dropped = np.inf, 1
    for corner in range(1, CORNERS - 1):
        gap = (places[corner + 1] - places[corner - 1]) / (count - places[corner])
        if gap < least:
            least, dropped = gap, corner
    for corner in range(dropped, CORNERS - 1):
        places[corner], heights[corner] = places[corner + 1], heights[corner + 1]
    return CORNERS - 1


@kernel
def _push(
    places: Floats, heights: Floats, size: int, count: float, height: float, known: bool
) -> int:
    """Add a corner to a hull, whose slopes rise (above 0 where `known`); return its new size.

    What is as good as on a straight line is no corner: rounding would make many.
    """
    while size > 0:
        place, top = places[size - 1], heights[size - 1]
        if size > 1:
            slope = (height - top) * (place - places[size - 2])
            if (top - heights[size - 2]) * (count - place) < slope - 1e-12 * abs(slope):
                break
        elif not known or height > top:
            break
        size -= 1
    if size == CORNERS:
        size = _drop(places, heights, count)
    places[size], heights[size] = count, height
    return size + 1


@kernel
def clear(sums: Floats, places: Floats, heights: Floats, sizes: Ints) -> None:
    """Set a slot as new: the only corners are those before its first value."""
    sums[:] = 0.0
    places[:] = 0.0
    heights[:] = 0.0
    sizes[:] = 1


@kernel
def _run(
    sums: Floats,
    places: Floats,
    heights: Floats,
    sizes: Ints,
    values: Floats,
    event: int,
    told: Floats,
    known: bool,
    finding: Floats,
) -> int:
    """Take values from `event` on into a slot, up to one that alarms.

    Return its place; len(values) if there is none. What is promising is widened by more than
    rounding can do. For a rate the chi-square statistic is twice what bounds the likelihood
    ratio (Kullback-Leibler divergences are below it, not below half of it).
    """
    count, total = sums[COUNT], sums[TOTAL]
    up, up_heights, up_size = places[0], heights[0], sizes[0]
    down, down_heights, down_size = places[1], heights[1], sizes[1]
    mean, is_rate = told[MEAN], told[IS_RATE] > 0.0
    twice = 2.0 * told[THRESHOLD] * (1.0 - 1e-9)
    least = told[LEAST_EFFECT] * (1.0 - 1e-9)
    need = twice * (0.5 * mean * (1.0 - mean) if is_rate else told[SCALE] * told[SCALE])
    while event < len(values):
        value = values[event]
        event += 1
        if not math.isfinite(value):
            continue
        count += 1.0
        total += value - mean
        if is_rate and not known:
            need = twice * 0.5 * (total / count) * (1.0 - total / count)
        if _promising(count, total, up, up_heights, up_size, need, least, known) or _promising(
            count, -total, down, down_heights, down_size, need, least, known
        ):
            sums[COUNT], sums[TOTAL] = count, total
            sizes[0], sizes[1] = up_size, down_size
            finding[STATISTIC], finding[BACK], finding[EFFECT] = _find(
                sums, places, heights, sizes, told, known
            )
            if finding[STATISTIC] >= told[THRESHOLD]:
                sums[ALARMED] = 1.0
                return event - 1
        up_size = _push(up, up_heights, up_size, count, total, known)
        down_size = _push(down, down_heights, down_size, count, -total, known)
    sums[COUNT], sums[TOTAL] = count, total
    sizes[0], sizes[1] = up_size, down_size
    return event


@kernel
def update(
    sums: Floats,
    places: Floats,
    heights: Floats,
    sizes: Ints,
    findings: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    told: Floats,
    known: bool,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        row, event = values[rows[slot]], start[slot]
        if sums[slot, ALARMED] > 0.0:
            while event < events and not math.isfinite(row[event]):
                event += 1
            if event < events:
                clear(sums[slot], places[slot], heights[slot], sizes[slot])
        alarms[slot] = events
        if event < events:
            alarms[slot] = _run(
                sums[slot],
                places[slot],
                heights[slot],
                sizes[slot],
                row,
                event,
                told[slot],
                known,
                findings[slot],
            )


@kernel
def read(
    sums: Floats,
    places: Floats,
    heights: Floats,
    sizes: Ints,
    told: Floats,
    known: bool,
    statistics: Floats,
) -> None:
    """Fill in every slot's largest log likelihood ratio as it stands."""
    for slot in range(len(sums)):
        statistics[slot], _, _ = _find(
            sums[slot], places[slot], heights[slot], sizes[slot], told[slot], known
        )
