"""What a signal shows beside what its reference showed, as shares of the same bins: for people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamdrift.records import REST, Floats
from streamdrift.references.counts import Counts
from streamdrift.sketches.levels import Levels

BINS = 40
"""Bins of numbers, at most."""
LEVELS = 12
"""Levels of a category that have a share of their own, at most."""
_OUTSIDE = 0.002
"""Share of the reference, and of what is now, that may lie beyond each end of the bins: the outer
ones hold it, and one far away does not squeeze all others."""
_SKEWED, _WIDE = 3.0, 20.0
"""Positive numbers are binned by their logarithms where the reference's upper half is so many times
as wide as its lower half, and the largest so many times the smallest."""
_LARGEST = 1e300
_WIDEST_WHOLE, _LARGEST_WHOLE = 5, 1e9
_EQUAL = 0.5
"""Share of a reference of whole numbers that repeat from which on each has a bin of its own."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Shares of a signal's values in bins, as its reference has them and as they are now.

    `edges` of numbers ascend, one more than there are bins; the outer bins hold what lies beyond
    them, too. Levels and rates have `names` instead. `reference` and `current` are shares of as
    many bins; those of `current` are 0 where there were no values yet.
    """

    edges: tuple[float, ...]
    logarithmic: bool
    """Whether the edges are evenly spaced by their logarithms."""
    names: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    values: int
    """How many values `current` is of: the last ones there were."""
    since: int | None
    """The event time since when they are of a change, None while the signal is unchanged."""


def of_numbers(reference: Counts, values: Floats, since: int | None) -> Distribution:
    """Return the distribution of numbers; `values` float64[n] are those of now, none NaN."""
    values = np.clip(values, -_LARGEST, _LARGEST)
    borders = np.clip(reference.borders, -_LARGEST, _LARGEST)
    masses = np.diff(reference.cumulative) / max(int(reference.cumulative[-1]), 1)
    edges, logarithmic = _edges(borders, masses, values)
    current = np.bincount(_bins(edges, values), minlength=len(edges) - 1)
    return Distribution(
        tuple(edges.tolist()),
        logarithmic,
        (),
        tuple(_shares(borders, masses, edges).tolist()),
        tuple((current / max(len(values), 1)).tolist()),
        len(values),
        since,
    )


def of_rate(share: float, ones: int, values: int, since: int | None) -> Distribution:
    """Return the distribution of 0s and 1s: the `share` of 1s as reference, and `ones` now."""
    now = ones / max(values, 1)
    current = (1 - now, now) if values else (0.0, 0.0)
    return Distribution((), False, ("0", "1"), (1 - share, share), current, values, since)


def of_levels(
    levels: Levels, names: Sequence[str], places: Floats, since: int | None
) -> Distribution:
    """Return the distribution of levels, those that have most of either first.

    `names` are those of all places, the reference's first; `places` float64[n] are those of now.
    What has no name, and levels beyond LEVELS, count as REST, which comes last.
    """
    # Where the reference had others than it names, nobody knows which of them are new.
    names = levels.names if levels.dropped else names
    known, size = len(levels.names), len(names)
    counts = np.bincount(np.minimum(places, size).astype(np.int64), minlength=size + 1)
    now = counts / max(len(places), 1)
    before = np.zeros(size + 1)
    before[:known] = levels.counts / max(levels.size, 1.0)
    before[size] = levels.dropped / max(levels.size, 1.0)
    most = np.maximum(before, now)[:size]
    shown = [place for place in np.argsort(-most, kind="stable").tolist() if most[place] > 0]
    shown = sorted(shown[:LEVELS], key=lambda place: (-before[place], -now[place], place))
    rest = [1 - float(each[shown].sum()) for each in (before, now)]
    told = [names[place] for place in shown]
    reference, current = before[shown].tolist(), now[shown].tolist()
    if max(rest[0], rest[1] if len(places) else 0.0) > 1e-9:
        told.append(REST)
        reference.append(max(rest[0], 0.0))
        current.append(max(rest[1], 0.0) if len(places) else 0.0)
    return Distribution(
        (), False, tuple(told), tuple(reference), tuple(current), len(places), since
    )


def _edges(borders: Floats, masses: Floats, values: Floats) -> tuple[Floats, bool]:
    """Return the edges of bins that hold the reference and what is now, and if by logarithms."""
    # The border below, so that hardly more is outside than is meant to be.
    first = int(np.searchsorted(np.cumsum(masses[:-1]), _OUTSIDE, side="right")) - 1
    lowest = float(borders[max(first, 0)]) if len(borders) else 0.0
    ends = [lowest, _quantile(borders, masses, 1 - _OUTSIDE)]
    if len(values):
        ends += np.quantile(values, (_OUTSIDE, 1 - _OUTSIDE), method="inverted_cdf").tolist()
    low, high = min(ends), max(ends)
    spacing = max(1.0, float(np.ceil((high - low + 1) / BINS)))
    few = spacing <= _WIDEST_WHOLE and max(-low, high) < _LARGEST_WHOLE
    if few and _is_whole(borders, masses):
        first, last = np.floor(low), np.ceil(high)
        return np.arange(first - 0.5, last + spacing, spacing), False
    lower, middle, upper = (_quantile(borders, masses, each) for each in (0.05, 0.5, 0.95))
    skewed = upper - middle > _SKEWED * (middle - lower)
    logarithmic = bool(low > 0 and skewed and high / low > _WIDE)
    even = np.geomspace if logarithmic else np.linspace
    edges: Floats = even(low, high, BINS + 1)
    if (np.diff(edges) > 0).all():
        return edges, logarithmic
    around = max(abs(low) * 1e-3, 1e-3)  # All of one value.
    return low + around * np.array([-1.5, -0.5, 0.5, 1.5]), False


def _quantile(borders: Floats, masses: Floats, share: float) -> float:
    """Return the border up to which so much of the reference lies, 0 where there is none."""
    if not len(borders):
        return 0.0
    place = int(np.searchsorted(np.cumsum(masses[:-1]), share))
    return float(borders[min(place, len(borders) - 1)])


def _is_whole(borders: Floats, masses: Floats) -> bool:
    """Tell whether a reference is mostly of whole numbers that repeat."""
    equal = masses[1:-1][borders[1:] == borders[:-1]].sum()
    return bool(equal >= _EQUAL and (borders == np.round(borders)).all())


def _bins(edges: Floats, values: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _shares(borders: Floats, masses: Floats, edges: Floats) -> Floats:
    """Return the reference's share of each bin: even within its cells, all of it at a point."""
    if not len(borders):
        return np.zeros(len(edges) - 1)
    low, high = np.append(borders[:1], borders), np.append(borders, borders[-1:])
    wide = high > low
    points = np.bincount(_bins(edges, low[~wide]), masses[~wide], minlength=len(edges) - 1)
    inside = np.array([-np.inf, *edges[1:-1], np.inf])[:, None]
    reached = (np.clip(inside, low[wide], high[wide]) - low[wide]) / (high - low)[wide]
    shares: Floats = points + np.diff(reached @ masses[wide])
    return shares
