"""What the measures of a column have in common: numbers or levels derived from its cells."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from streamdrift.changes import Summary
from streamdrift.records import Column, Floats, Sample, SignalKind, State, Stream
from streamdrift.sketches.quantiles import Quantiles

RECENT = 256
"""Values of a measure kept to say what it looks like since a change."""


class Measure(Protocol):
    """One number or level per cell, and the signals made of it."""

    kinds: tuple[SignalKind, ...]

    def fill(self, column: Column, rows: Floats) -> None:
        """Write the signals of a column's n cells into `rows` float64[len(kinds), n]."""
        ...

    def raw(self) -> Floats:
        """Return the values behind the last `fill`, float64[n], NaN where there was none."""
        ...

    def latest(self) -> Floats:
        """Return the last RECENT values there were, as `raw` has them, none NaN."""
        ...

    def before(self, quantiles: Quantiles, named: Iterable[str] = ()) -> Summary:
        """Describe the reference: of numbers by their `quantiles`, of levels also those `named`."""
        ...

    def after(self, column: int, back: int) -> Summary:
        """Describe the last `back` values (RECENT at most) up to a column of the last `fill`."""
        ...

    def accept(self, raw: Floats) -> Floats:
        """Take values, as `raw` returned them, for normal from now on; return them as they are now.

        What stands for them may be another thing under another reference.
        """
        ...

    def samples(self, raw: Floats) -> list[Sample]:
        """Return what each signal's reference is learned from, given all values that are normal."""
        ...

    def snapshot(self) -> State:
        """Return what names and places its values."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        ...


def rate_sample(flags: Floats) -> Sample:
    """Return how often 0 and 1 are among float64[n], NaN left out, and in what order."""
    ones = float(np.count_nonzero(flags == 1))
    counts = np.array([np.count_nonzero(~np.isnan(flags)) - ones, ones])
    return Sample(Stream.RATE, counts, order=flags)


class Recent:
    """The last RECENT values up to the start of a block, and the block's own."""

    def __init__(self) -> None:
        self.past: Floats = np.empty(0)
        self.block: Floats = np.empty(0)

    def begin(self, block: Floats) -> None:
        """Take the values float64[n] of the next block, NaN where there is none."""
        # Most often the last few hold enough, and the others need not be looked at.
        values = _there(self.block[-RECENT:])
        if len(values) < RECENT:
            values = np.concatenate([self.past, _there(self.block)])[-RECENT:]
        self.past, self.block = values, block

    def last(self, column: int, count: int) -> Floats:
        """Return the last `count` values (RECENT at most) up to a column of the block, none NaN."""
        values = _there(self.block[: column + 1])
        joined: Floats = np.concatenate([self.past, values])[-min(max(count, 1), RECENT) :]
        return joined


def _there(values: Floats) -> Floats:
    there: Floats = values[~np.isnan(values)]
    return there
