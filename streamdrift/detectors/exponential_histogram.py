"""The exponential histogram of ADWIN's window, as kernels over arrays.

Datar, Gionis, Indyk and Motwani, Maintaining stream statistics over sliding windows, SIAM Journal
on Computing 2002.

Level i of the histogram holds up to `max_buckets` buckets of 2^i values each, as their sum
and their sum of squared deviations. `totals` and `variances` are float64[levels, places], each
level a ring of `max_buckets + 1` places that begins at `heads[level]` with the oldest bucket
and holds `counts[level]` of them. Arithmetic and its order are those of river's
`AdaptiveWindowing` (river 0.26); whatever else is done to be fast cannot change a bit.
"""

import math

import numpy as np

from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints

LEVELS = 32
"""Levels of the histogram: room for 2^32 values times `max_buckets`; the oldest go beyond."""

TOTAL, VARIANCE, WIDTH, CONSTANT = range(4)
"""Places in a slot's moments. VARIANCE is the window's sum of squared deviations; CONSTANT
the one value all values since the reset had, NaN where they differ."""


@kernel
def used_levels(counts: Ints) -> int:
    """Return how many levels there are, counted to the highest that holds a bucket."""
    levels = 1
    while levels < len(counts) and counts[levels] > 0:
        levels += 1
    return levels


@kernel
def drop_oldest(
    totals: Floats, variances: Floats, heads: Ints, counts: Ints, moments: Floats
) -> None:
    """Remove the window's oldest bucket."""
    level = used_levels(counts) - 1
    size = 2.0**level
    oldest = totals[level, heads[level]]
    mean = oldest / size
    moments[WIDTH] -= size
    moments[TOTAL] -= oldest
    width = moments[WIDTH]
    rest = moments[TOTAL] / width
    moments[VARIANCE] -= variances[level, heads[level]] + size * width * (mean - rest) * (
        mean - rest
    ) / (size + width)
    heads[level] = (heads[level] + 1) % totals.shape[1]
    counts[level] -= 1


@kernel
def _merge(totals: Floats, variances: Floats, heads: Ints, counts: Ints) -> None:
    """Merge the two oldest buckets of each level that is over-full into the next level.

    The last level stays over-full: the caller drops its oldest bucket. (Halves and
    reciprocals of powers of two are exact, so they stand for river's divisions.)
    """
    places = totals.shape[1]
    level = 0
    reciprocal = 1.0
    while counts[level] == places and level + 1 < len(counts):
        first = heads[level]
        second = first + 1 if first + 1 < places else 0
        heads[level] = second + 1 if second + 1 < places else 0
        counts[level] -= 2
        left, right = totals[level, first], totals[level, second]
        difference = left * reciprocal - right * reciprocal
        between = 0.5 / reciprocal * difference * difference
        target = heads[level + 1] + counts[level + 1]
        if target >= places:
            target -= places
        totals[level + 1, target] = left + right
        variances[level + 1, target] = variances[level, first] + variances[level, second] + between
        counts[level + 1] += 1
        level += 1
        reciprocal *= 0.5


@kernel
def fill(
    totals: Floats,
    variances: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    values: Floats,
    event: int,
    wanted: int,
) -> tuple[int, int]:
    """Add values from `event` on, `wanted` finite ones or all there are.

    Return the event after the last one read, and how many values are still wanted. Ends
    early when the histogram is full to its last level.
    """
    places = totals.shape[1]
    total, variance, width = moments[TOTAL], moments[VARIANCE], moments[WIDTH]
    constant = moments[CONSTANT]
    full = False
    while event < len(values) and wanted > 0 and not full:
        value = values[event] + 0.0  # -0.0 becomes 0.0: one zero, the same bits
        event += 1
        if not math.isfinite(value):
            continue
        wanted -= 1
        place = heads[0] + counts[0]
        if place >= places:
            place -= places
        totals[0, place] = value
        variances[0, place] = 0.0
        counts[0] += 1
        if width > 0.0:
            deviation = value - total / width
            variance += width * deviation * deviation / (width + 1.0)
            if value != constant:
                constant = np.nan
        else:
            constant = value
        width += 1.0
        total += value
        if counts[0] == places:
            _merge(totals, variances, heads, counts)
            full = counts[-1] == places
    moments[TOTAL], moments[VARIANCE], moments[WIDTH] = total, variance, width
    moments[CONSTANT] = constant
    return event, wanted


@kernel
def fill_zeros(
    totals: Floats,
    variances: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    values: Floats,
    event: int,
) -> tuple[int, int]:
    """Add the zeros from `event` on, as far as there is nothing else, to a window of zeros.

    All sums are 0 and stay it, and no border parts such a window: only how many buckets a
    level holds is to be found, and that for all values at once. A rate of what never
    happens (and most never do) is thus nearly free. Return the event after the last one
    read, and how many values were added.
    """
    begin = event
    skipped = 0
    while event < len(values) and not math.fabs(values[event]) > 0.0:
        skipped += math.isnan(values[event])
        event += 1
    added = event - begin - skipped
    moments[WIDTH] += added
    if added:
        moments[CONSTANT] = 0.0
    room = totals.shape[1] - 1
    level, arriving = 0, added
    while arriving > 0:
        totals[level], variances[level], heads[level] = 0.0, 0.0, 0
        held = counts[level] + arriving
        arriving = max(0, (held - room + 1) // 2)
        counts[level] = held - 2 * arriving
        level += 1
    return event, added
