"""ADWIN's window as kernels over arrays: values fill a histogram, a search for cuts shortens it.

Arithmetic and its order are those of river's `AdaptiveWindowing`, as in the histogram.
"""

import math

from streamdrift.detectors.exponential_histogram import (
    CONSTANT,
    TOTAL,
    VARIANCE,
    WIDTH,
    drop_oldest,
    fill,
    fill_zeros,
    used_levels,
)
from streamdrift.kernels import kernel
from streamdrift.records import Floats, Ints

STATISTIC, THRESHOLD, BEFORE, AFTER, EARLIEST, LATEST = range(6)
"""Places in a slot's findings, in the order of `Evidence`."""

LIKELIHOOD_DROP = 7.35
"""A border belongs to the onset interval while twice its log likelihood is this close to the
best border's: 95 % for a change point (Hansen, Sample splitting and threshold estimation,
Econometrica 2000)."""


@kernel
def _epsilon(
    older: float, newer: float, moments: Floats, log_term: float, shortest: float
) -> float:
    """Return the difference of means that `older` and `newer` values must exceed."""
    reciprocal = 1.0 / (older - shortest + 1.0) + 1.0 / (newer - shortest + 1.0)
    spread = moments[VARIANCE] / moments[WIDTH]
    return math.sqrt(2.0 * reciprocal * spread * log_term) + 2.0 / 3.0 * log_term * reciprocal


@kernel
def _found_cut(
    totals: Floats, heads: Ints, counts: Ints, moments: Floats, delta: float, shortest: float
) -> bool:
    """Tell whether some border of buckets parts the window into two different halves.

    A border is first held against lower bounds of epsilon, free of division and root and
    widened by far more than rounding can do; only what passes is computed exactly.
    """
    width = moments[WIDTH]
    log_term = math.log(2.0 * math.log(width) / delta)
    linear = 2.0 / 3.0 * log_term * width * (1.0 - 1e-9)
    square = 2.0 * (moments[VARIANCE] / width) * log_term * width * (1.0 - 1e-9)
    older, newer = 0.0, width
    older_total, newer_total = 0.0, moments[TOTAL]
    levels = used_levels(counts)
    places = totals.shape[1]
    size = 2.0 ** (levels - 1)
    for level in range(levels - 1, -1, -1):
        place = heads[level]
        for bucket in range(counts[level]):
            total = totals[level, place]
            # An integer division would take as long as all the rest.
            place = place + 1 if place + 1 < places else 0
            older += size
            newer -= size
            older_total += total
            newer_total -= total
            if newer < shortest or older < shortest:
                continue
            if level == 0 and bucket == counts[0] - 1:
                return False
            left, right = older_total * newer, newer_total * older
            distance = abs(left - right) + 1e-12 * (abs(left) + abs(right))
            if distance < linear or distance * distance < square * older * newer:
                continue
            difference = (older_total / older) - (newer_total / newer)
            if abs(difference) > _epsilon(older, newer, moments, log_term, shortest):
                return True
        size *= 0.5
    return False


@kernel
def _strongest(
    totals: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    delta: float,
    shortest: float,
    finding: Floats,
) -> float:
    """Fill in all of a finding but the onset; return the best border's likelihood gain.

    Statistic and threshold are those of the border that exceeds its epsilon by the largest
    factor; before and after those of the most likely border, by the variance it explains.
    """
    width = moments[WIDTH]
    log_term = math.log(2.0 * math.log(width) / delta)
    older, newer = 0.0, width
    older_total, newer_total = 0.0, moments[TOTAL]
    largest_ratio, best_gain = -1.0, -1.0
    levels = used_levels(counts)
    for level in range(levels - 1, -1, -1):
        size = 2.0**level
        for bucket in range(counts[level]):
            total = totals[level, (heads[level] + bucket) % totals.shape[1]]
            older += size
            newer -= size
            older_total += total
            newer_total -= total
            if newer < shortest or older < shortest:
                continue
            before, after = older_total / older, newer_total / newer
            epsilon = _epsilon(older, newer, moments, log_term, shortest)
            if abs(after - before) > largest_ratio * epsilon:
                largest_ratio = abs(after - before) / epsilon
                finding[STATISTIC], finding[THRESHOLD] = abs(after - before), epsilon
            gain = (after - before) * (after - before) * older * newer / width
            if gain > best_gain:
                best_gain = gain
                finding[BEFORE], finding[AFTER] = before, after
    return best_gain


@kernel
def _locate(
    totals: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    shortest: float,
    best: float,
    finding: Floats,
) -> None:
    """Fill in the onset: the buckets around every border about as likely as the best one."""
    width = moments[WIDTH]
    noise = max(moments[VARIANCE] - best, 0.0) / width
    least = best - LIKELIHOOD_DROP * noise
    older, newer = 0.0, width
    older_total, newer_total = 0.0, moments[TOTAL]
    finding[EARLIEST] = -1.0
    likely = False
    levels = used_levels(counts)
    for level in range(levels - 1, -1, -1):
        size = 2.0**level
        for bucket in range(counts[level]):
            total = totals[level, (heads[level] + bucket) % totals.shape[1]]
            older += size
            newer -= size
            older_total += total
            newer_total -= total
            if likely:
                finding[LATEST] = newer
            likely = False
            if newer < shortest or older < shortest:
                continue
            difference = newer_total / newer - older_total / older
            likely = difference * difference * older * newer / width >= least
            if likely and finding[EARLIEST] < 0.0:
                finding[EARLIEST] = newer + size - 1.0


@kernel
def _detect(
    totals: Floats,
    variances: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    delta: float,
    shortest: float,
    finding: Floats,
) -> bool:
    """Drop the oldest buckets until no border parts the window; tell whether any went."""
    constant = moments[CONSTANT]
    if constant == math.floor(constant) and abs(constant) * moments[WIDTH] < 2.0**53:
        return False  # every sum is exact, so every border has two equal means
    found = False
    while _found_cut(totals, heads, counts, moments, delta, shortest):
        if not found:
            best = _strongest(totals, heads, counts, moments, delta, shortest, finding)
            _locate(totals, heads, counts, moments, shortest, best, finding)
        found = True
        drop_oldest(totals, variances, heads, counts, moments)
    return found


@kernel
def update(
    totals: Floats,
    variances: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    ticks: Ints,
    findings: Floats,
    values: Floats,
    rows: Ints,
    start: Ints,
    deltas: Floats,
    clock: int,
    shortest: float,
    grace: float,
    least_effect: Floats,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was."""
    events = values.shape[1]
    for slot in range(len(rows)):
        alarms[slot] = events
        sums, squares = totals[slot], variances[slot]
        head, count = heads[slot], counts[slot]
        moment, finding = moments[slot], findings[slot]
        row = values[rows[slot]]
        event, delta = start[slot], deltas[slot]
        if (moment[WIDTH] == 0.0 or moment[CONSTANT] == 0.0) and count[-2] == 0:
            event, added = fill_zeros(sums, squares, head, count, moment, row, event)
            ticks[slot] = (ticks[slot] + added) % clock
        while event < events:
            wanted = clock - ticks[slot]
            event, wanted = fill(sums, squares, head, count, moment, row, event, wanted)
            ticks[slot] = clock - wanted
            if count[-1] == sums.shape[1]:
                drop_oldest(sums, squares, head, count, moment)
            if ticks[slot] < clock:
                continue
            ticks[slot] = 0
            if moment[WIDTH] <= grace:
                continue
            if _detect(sums, squares, head, count, moment, delta, shortest, finding) and not (
                abs(finding[AFTER] - finding[BEFORE]) < least_effect[slot]
            ):
                alarms[slot] = event - 1
                break


@kernel
def readings(
    totals: Floats,
    heads: Ints,
    counts: Ints,
    moments: Floats,
    deltas: Floats,
    shortest: float,
    grace: float,
    findings: Floats,
) -> None:
    """Fill in statistic and threshold of every slot's strongest border as it stands."""
    for slot in range(len(counts)):
        width = moments[slot, WIDTH]
        if width > grace and width >= 2.0 * shortest:
            _strongest(
                totals[slot],
                heads[slot],
                counts[slot],
                moments[slot],
                deltas[slot],
                shortest,
                findings[slot],
            )
