"""Numbers as a column's measure: the value itself, or what is derived from a text or a vector."""

import math
from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamdrift.changes import Summary
from streamdrift.kernels.compiler import kernel
from streamdrift.records import Column, Floats, Ints, Kind, Sample, SignalKind, State, Stream
from streamdrift.signals.measures import RECENT, Recent, rate_sample
from streamdrift.sketches.quantiles import Quantiles, mean_of, quantiles_of


class Numbers:
    """A number per cell: the value itself, a text's length, a vector's norm or distance."""

    def __init__(self, kinds: tuple[SignalKind, ...], expected: Kind) -> None:
        self.kinds = kinds
        self._plain = kinds[0] is SignalKind.VALUE
        self._may_be_empty = SignalKind.EMPTY in kinds
        self._expected = expected
        self._centroid: Floats = np.zeros(0)
        self._recent = Recent()

    @classmethod
    def of(cls, kinds: tuple[SignalKind, ...], expected: Kind, column: Column) -> Self:
        """Return the measure of a reference's `column`."""
        measure = cls(kinds, expected)
        if kinds[0] is SignalKind.DISTANCE:
            measure._centroid = _centroid(column)
        return measure

    def fill(self, column: Column, rows: Floats) -> None:
        if self._plain:
            numbers = np.empty(len(column.kinds))
            _pick(column.kinds, column.numbers, self._expected.value, numbers, rows[0])
        else:
            rows[0] = numbers = self._derive(column)
        self._recent.begin(numbers)
        if self._may_be_empty:
            rows[1] = np.where(np.isnan(numbers), np.nan, numbers == 0)

    def _derive(self, column: Column) -> Floats:
        kind = self.kinds[0]
        if kind is SignalKind.LENGTH:
            return _lengths(column)
        if kind is SignalKind.NORM:
            return _norms(column, np.zeros(0))
        return _norms(column, self._centroid)

    def raw(self) -> Floats:
        return self._recent.block

    def latest(self) -> Floats:
        return self._recent.last(len(self._recent.block), RECENT)

    def before(self, quantiles: Quantiles, named: Iterable[str] = ()) -> Summary:
        return Summary(math.nan, quantiles=quantiles)

    def after(self, column: int, back: int) -> Summary:
        values = self._recent.last(column, back)
        if not len(values):
            return Summary(math.nan)
        return Summary(mean_of(values), quantiles=quantiles_of(values))

    def accept(self, raw: Floats) -> Floats:
        """Return the values: numbers are what they are, whatever is normal."""
        return raw

    def samples(self, raw: Floats) -> list[Sample]:
        numbers = Sample(Stream.NUMERIC, raw)
        if not self._may_be_empty:
            return [numbers]
        return [numbers, rate_sample(np.where(np.isnan(raw), np.nan, raw == 0))]

    def snapshot(self) -> State:
        self._recent.begin(np.empty(0))
        return {"centroid": self._centroid, "recent": self._recent.past}

    def restore(self, state: Mapping[str, object]) -> None:
        self._centroid = np.asarray(state["centroid"])
        self._recent = Recent()
        self._recent.past = np.asarray(state["recent"])


@kernel
def _pick(
    kinds: NDArray[np.uint8], numbers: Floats, expected: int, picked: Floats, row: Floats
) -> None:
    """Write the numbers of cells of the expected kind, NaN for others, to both."""
    for i in range(len(kinds)):
        picked[i] = numbers[i] if kinds[i] == expected else np.nan
        row[i] = picked[i]


def _lengths(column: Column) -> Floats:
    if column.codes is None:
        return np.full(len(column.kinds), np.nan)
    lengths = np.array([*(len(text) for text in column.strings), np.nan])
    result: Floats = lengths[column.codes]
    return result


def _centroid(column: Column) -> Floats:
    """Return the mean of the vectors of the commonest length; empty where that is 0."""
    there = column.kinds == Kind.VECTOR
    if column.vectors is None or not there.any():
        return np.zeros(0)
    lengths = column.vectors.length[there]
    size = int(np.argmax(np.bincount(lengths)))
    starts = column.vectors.start[there & (column.vectors.length == size)]
    mean: Floats = column.vectors.flat[starts[:, None] + np.arange(size)].mean(axis=0)
    return mean


def _norms(column: Column, centre: Floats) -> Floats:
    if column.vectors is None:
        return np.full(len(column.kinds), np.nan)
    vectors = column.vectors
    return _distances(column.kinds, vectors.flat, vectors.start, vectors.length, centre)


@kernel
def _distances(
    kinds: NDArray[np.uint8], flat: Floats, start: Ints, length: Ints, centre: Floats
) -> Floats:
    """Return each vector's Euclidean distance from `centre` (of length 0: the origin).

    A vector of another length than the centre is as far away as can be: infinity.
    """
    result = np.full(len(kinds), np.nan)
    for i in range(len(kinds)):
        if kinds[i] != 5:
            continue
        if len(centre) and length[i] != len(centre):
            result[i] = np.inf
            continue
        total = 0.0
        for j in range(length[i]):
            difference = flat[start[i] + j]
            if len(centre):
                difference -= centre[j]
            total += difference * difference
        result[i] = np.sqrt(total)
    return result
