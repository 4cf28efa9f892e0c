"""The measures of a column: numbers or levels derived from its cells, ranked by a reference."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from streamdrift.kernels import kernel
from streamdrift.records import Codes, Column, Floats, Ints, Kind, SignalKind, State, Summary
from streamdrift.sketches.levels import Levels, fill_levels
from streamdrift.sketches.ranks import Cells, fill_ranks

RECENT = 256
"""Values of a measure kept to say what it looks like since a change."""
NAMED_UNSEEN = 32
"""Levels outside the reference that are remembered by name."""
_PROBABILITIES = (0.05, 0.5, 0.95)
_SHOWN_LEVELS = 5


class Measure(Protocol):
    """One number or level per cell, and the signals made of it."""

    kinds: tuple[SignalKind, ...]
    values: int
    """How many cells had a value so far: the ordinal of the measure's own events."""

    def fill(self, column: Column, rows: Floats) -> None:
        """Write the signals of a column's n cells into `rows` float64[len(kinds), n]."""
        ...

    def raw(self) -> Floats:
        """Return the values behind the last `fill`, float64[n], NaN where there was none."""
        ...

    def before(self, named: Iterable[str] = ()) -> Summary:
        """Describe the reference; of its levels, those of `named` in any case."""
        ...

    def after(self, row: int, back: int) -> Summary:
        """Describe the last `back` values (RECENT at most) up to a row of the last `fill`."""
        ...

    def learn(self, raw: Floats) -> None:
        """Take values, as `raw` returned them, as the new reference."""
        ...

    def snapshot(self) -> State:
        """Return reference and position."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Take over what `snapshot` returned."""
        ...


class _Recent:
    """The last RECENT values up to the start of a block, and the block's own."""

    def __init__(self) -> None:
        self.past: Floats = np.empty(0)
        self.block: Floats = np.empty(0)

    def begin(self, block: Floats) -> None:
        values = self.block[~np.isnan(self.block)]
        self.past = np.concatenate([self.past, values[-RECENT:]])[-RECENT:]
        self.block = block

    def last(self, row: int, count: int) -> Floats:
        values = self.block[: row + 1]
        values = values[~np.isnan(values)]
        joined: Floats = np.concatenate([self.past, values])[-min(max(count, 1), RECENT) :]
        return joined


class Ranked:
    """A number per cell: the value itself, a text's length, a vector's norm or distance."""

    def __init__(self, kinds: tuple[SignalKind, ...], expected: Kind, seed: int) -> None:
        self.kinds = kinds
        self.values = 0
        self._expected = int(expected)
        self._seed = seed
        self._cells = Cells(np.zeros(0), np.array([0.0, 1.0]))
        self._centroid: Floats = np.zeros(0)
        self._recent = _Recent()

    @classmethod
    def of(cls, kinds: tuple[SignalKind, ...], expected: Kind, seed: int, column: Column) -> Self:
        """Return the measure with the values of `column` as its reference."""
        measure = cls(kinds, expected, seed)
        if kinds[0] is SignalKind.DISTANCE:
            measure._centroid = _centroid(column)
        measure.learn(measure._derive(column))
        return measure

    def fill(self, column: Column, rows: Floats) -> None:
        numbers = self._derive(column)
        self._recent.begin(numbers)
        self.values = fill_ranks(
            column.kinds,
            self._expected,
            numbers,
            self._cells.edges,
            self._cells.cumulative,
            self._seed,
            self.values,
            rows[0],
            rows[1] if len(rows) > 1 else rows[0, :0],
        )

    def _derive(self, column: Column) -> Floats:
        kind = self.kinds[0]
        if kind is SignalKind.LENGTH:
            return _lengths(column)
        if kind is SignalKind.NORM:
            return _norms(column, np.zeros(0))
        if kind is SignalKind.DISTANCE:
            return _norms(column, self._centroid)
        return np.where(column.kinds == Kind.NUMBER, column.numbers, np.nan)

    def raw(self) -> Floats:
        return self._recent.block

    def before(self, named: Iterable[str] = ()) -> Summary:
        quantiles = {f"{p:g}": self._cells.quantile(p) for p in _PROBABILITIES}
        return Summary(0.5, quantiles=quantiles if len(self._cells.edges) else {})

    def after(self, row: int, back: int) -> Summary:
        values = self._recent.last(row, back)
        if not len(values):
            return Summary(float("nan"))
        quantiles = np.quantile(values, _PROBABILITIES, method="inverted_cdf")
        return Summary(
            0.5,
            quantiles={f"{p:g}": float(q) for p, q in zip(_PROBABILITIES, quantiles, strict=True)},
        )

    def learn(self, raw: Floats) -> None:
        values = raw[~np.isnan(raw)]
        if len(values):
            self._cells = Cells.of(values)

    def snapshot(self) -> State:
        self._recent.begin(np.empty(0))
        return {
            "cells": self._cells.snapshot(),
            "centroid": self._centroid,
            "values": self.values,
            "recent": self._recent.past,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        cells, values = state["cells"], state["values"]
        assert isinstance(cells, Mapping)
        assert isinstance(values, int)
        self._cells = Cells.restore(cells)
        self._centroid = np.asarray(state["centroid"])
        self.values = values
        self._recent = _Recent()
        self._recent.past = np.asarray(state["recent"])


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


class Categories:
    """A level per cell: its surprisal as a rank, and whether the reference knows it."""

    kinds: tuple[SignalKind, ...] = (SignalKind.CATEGORY, SignalKind.UNSEEN)

    def __init__(self, seed: int) -> None:
        self.values = 0
        self._seed = seed
        self._levels = Levels((), np.array([0.0, 1.0]))
        self._places: dict[str, int] = {}
        self._recent = _Recent()

    @classmethod
    def of(cls, seed: int, column: Column) -> Self:
        """Return the measure with the levels of `column` as its reference."""
        measure = cls(seed)
        assert column.codes is not None
        codes = column.codes[column.codes >= 0]
        measure._learn_levels(Levels.of(codes, column.strings))
        return measure

    def _learn_levels(self, levels: Levels) -> None:
        self._levels = levels
        self._places = {name: place for place, name in enumerate(levels.names)}

    def fill(self, column: Column, rows: Floats) -> None:
        size = len(column.kinds)
        codes = column.codes
        if codes is None:
            codes = np.full(size, -1, dtype=np.int32)
        places = self._places_of(codes, column.strings)
        seen_as = np.empty(size, dtype=np.int32)
        self.values = fill_levels(
            codes,
            places,
            len(self._levels.names),
            self._levels.cumulative,
            self._seed,
            self.values,
            rows[0],
            rows[1],
            seen_as,
        )
        self._recent.begin(np.where(seen_as < 0, np.nan, seen_as))

    def _places_of(self, codes: Codes, strings: Sequence[str]) -> Codes:
        """Return the place of each of the batch's strings; new ones are named as they come."""
        known = len(self._levels.names)
        places = np.array([self._places.get(text, -1) for text in strings], dtype=np.int32)
        if (places < 0).any():
            fresh = codes[codes >= 0]
            fresh = fresh[places[fresh] < 0]
            # In the order of the events, not of the batch's dictionary.
            for code in dict.fromkeys(fresh.tolist()):
                place = min(len(self._places), known + NAMED_UNSEEN)
                if place < known + NAMED_UNSEEN:
                    self._places[strings[code]] = place
                places[code] = place
        return places

    def raw(self) -> Floats:
        return self._recent.block

    @property
    def unseen(self) -> float:
        """The rate at which levels outside the reference are expected."""
        return self._levels.unseen

    def before(self, named: Iterable[str] = ()) -> Summary:
        names, known = self._levels.names, len(self._levels.names)
        places = (self._places.get(name, known) for name in named)
        shown = dict.fromkeys([*range(min(_SHOWN_LEVELS, known)), *places])
        shares = {names[place]: self._levels.share(place) for place in shown if place < known}
        return Summary(0.5, shares=shares)

    def after(self, row: int, back: int) -> Summary:
        places = self._recent.last(row, back).astype(np.int64)
        if not len(places):
            return Summary(float("nan"))
        names = self._names()
        counts = np.bincount(places, minlength=len(names))
        top = sorted(np.flatnonzero(counts).tolist(), key=lambda place: (-counts[place], place))
        shown = dict.fromkeys([*top[:_SHOWN_LEVELS], *range(min(3, len(self._levels.names)))])
        return Summary(
            0.5, shares={names[place]: float(counts[place]) / len(places) for place in shown}
        )

    def _names(self) -> list[str]:
        return [*self._places, "(other)"]

    def learn(self, raw: Floats) -> None:
        codes = raw[~np.isnan(raw)].astype(np.int32)
        if len(codes):
            self._learn_levels(Levels.of(codes, self._names()))
            self._recent = _Recent()

    def snapshot(self) -> State:
        self._recent.begin(np.empty(0))
        known = len(self._levels.names)
        return {
            "levels": self._levels.snapshot(),
            "unseen": list(self._places)[known:],
            "values": self.values,
            "recent": self._recent.past,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        levels, unseen, values = state["levels"], state["unseen"], state["values"]
        assert isinstance(levels, Mapping)
        assert isinstance(unseen, Sequence)
        assert isinstance(values, int)
        self._learn_levels(Levels.restore(levels))
        for name in unseen:
            self._places[str(name)] = len(self._places)
        self.values = values
        self._recent = _Recent()
        self._recent.past = np.asarray(state["recent"])
