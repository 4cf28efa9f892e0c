"""The measures of a column: numbers or levels derived from its cells."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from streamdrift.changes import REST, Summary
from streamdrift.distributions import Distribution, of_levels
from streamdrift.kernels import kernel
from streamdrift.records import (
    Bools,
    Codes,
    Column,
    Floats,
    Ints,
    Kind,
    Sample,
    SignalKind,
    State,
    Stream,
)
from streamdrift.sketches.levels import Levels
from streamdrift.sketches.quantiles import Quantiles, mean_of, quantiles_of

RECENT = 256
"""Values of a measure kept to say what it looks like since a change."""
NAMED_UNSEEN = 32
"""Levels outside the reference that are remembered by name."""
_SHOWN_LEVELS = 5
_DOUBT = 4.0
"""Which levels are rare was decided by the same values that say how often such come: their rate is
known as well as from so many times fewer."""


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


class _Recent:
    """The last RECENT values up to the start of a block, and the block's own."""

    def __init__(self) -> None:
        self.past: Floats = np.empty(0)
        self.block: Floats = np.empty(0)

    def begin(self, block: Floats) -> None:
        # Most often the last few hold enough, and the others need not be looked at.
        values = _there(self.block[-RECENT:])
        if len(values) < RECENT:
            values = np.concatenate([self.past, _there(self.block)])[-RECENT:]
        self.past, self.block = values, block

    def last(self, column: int, count: int) -> Floats:
        values = _there(self.block[: column + 1])
        joined: Floats = np.concatenate([self.past, values])[-min(max(count, 1), RECENT) :]
        return joined


def _there(values: Floats) -> Floats:
    there: Floats = values[~np.isnan(values)]
    return there


class Numbers:
    """A number per cell: the value itself, a text's length, a vector's norm or distance."""

    def __init__(self, kinds: tuple[SignalKind, ...], expected: Kind) -> None:
        self.kinds = kinds
        self._plain = kinds[0] is SignalKind.VALUE
        self._may_be_empty = SignalKind.EMPTY in kinds
        self._expected = expected
        self._centroid: Floats = np.zeros(0)
        self._recent = _Recent()

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
        self._recent = _Recent()
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


class Categories:
    """A level per cell: its place in the reference, and whether that knows it."""

    kinds: tuple[SignalKind, ...] = (SignalKind.CATEGORY, SignalKind.UNSEEN)

    def __init__(self) -> None:
        self._levels = Levels((), np.zeros(0), 0.0, 1.0)
        self._places: dict[str, int] = {}
        self._recent = _Recent()

    @classmethod
    def of(cls, column: Column) -> Self:
        """Return the measure with the levels of `column` as its reference."""
        measure = cls()
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
        places, known = np.empty(size), len(self._levels.names)
        # Where the reference had others, these are one further level, and none is new.
        highest = known if self._levels.dropped else known + NAMED_UNSEEN
        _place_levels(codes, self._places_of(codes, column.strings), known, highest, places, rows)
        self._recent.begin(places)

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

    def latest(self) -> Floats:
        return self._recent.last(len(self._recent.block), RECENT)

    def before(self, quantiles: Quantiles, named: Iterable[str] = ()) -> Summary:
        names, known = self._levels.names, len(self._levels.names)
        places = (self._places.get(name, known) for name in named)
        shown = dict.fromkeys([*range(min(_SHOWN_LEVELS, known)), *places])
        shares = {names[place]: self._levels.share(place) for place in shown if place < known}
        if self._levels.dropped:
            shares[REST] = min(self._levels.unseen / self._levels.size, 1.0)
        return Summary(math.nan, shares=shares)

    def after(self, column: int, back: int) -> Summary:
        places = self._recent.last(column, back).astype(np.int64)
        if not len(places):
            return Summary(math.nan)
        names, known = [*self._places, REST], len(self._levels.names)
        if self._levels.dropped:
            # Which of the others are new, nobody knows.
            places, names = np.minimum(places, known), [*names[:known], REST]
        counts = np.bincount(places, minlength=len(names))
        shown = dict.fromkeys([*self._surprising(counts), *range(min(_SHOWN_LEVELS, known))])
        return Summary(
            math.nan, shares={names[place]: float(counts[place]) / len(places) for place in shown}
        )

    def _surprising(self, counts: Ints) -> list[int]:
        """Return the places that are least as the reference had them, given how often each came."""
        shares = np.full(len(counts), self._levels.unseen / self._levels.size)
        known = len(self._levels.names)
        shares[:known] = self._levels.counts / self._levels.size
        expected = counts.sum() * np.minimum(shares, 1.0)
        # One more for what is hardly ever there: that it came once is no surprise.
        surprise = np.abs(counts - expected) / np.sqrt(expected * (1 - np.minimum(shares, 1.0)) + 1)
        order = sorted(range(len(counts)), key=lambda place: (-surprise[place], place))
        # Of levels that the reference had not, those that came.
        known += 1 if self._levels.dropped else 0
        return [place for place in order if counts[place] or place < known][:_SHOWN_LEVELS]

    def is_unseen(self, raw: Floats) -> Bools:
        """Tell which values, as `raw` returned them, the reference does not know."""
        return raw >= len(self._levels.names)

    def distribution(self, places: Floats, since: int | None) -> Distribution:
        """Return that of the reference and of values as `raw` returned them."""
        return of_levels(self._levels, list(self._places), places, since)

    def accept(self, raw: Floats) -> Floats:
        codes = raw[~np.isnan(raw)].astype(np.int32)
        if not len(codes):
            return raw
        names = list(self._places)
        named = codes[codes < len(names)]
        self._learn_levels(Levels.of(named, names, len(codes) - len(named)))
        self._recent = _Recent()
        known = len(self._levels.names)
        places = np.array([self._places.get(name, known) for name in names], dtype=np.float64)
        return np.append(places, known)[np.minimum(codes, len(names))]

    def samples(self, raw: Floats) -> list[Sample]:
        levels, unseen = self._levels, self._levels.unseen
        closed = levels.dropped > 0
        counts = np.append(levels.counts, unseen) if closed else levels.counts
        flags = np.array([max(levels.size - unseen, 0.0), unseen])
        if closed:
            flags /= _DOUBT
        # As the detectors will see them: all others are one level.
        order = np.minimum(raw, len(levels.names)) if closed else raw
        return [Sample(Stream.CATEGORY, counts, closed, order), Sample(Stream.RATE, flags)]

    def snapshot(self) -> State:
        self._recent.begin(np.empty(0))
        known = len(self._levels.names)
        return {
            "levels": self._levels.snapshot(),
            "unseen": list(self._places)[known:],
            "recent": self._recent.past,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        levels, unseen = state["levels"], state["unseen"]
        assert isinstance(levels, Mapping)
        assert isinstance(unseen, Sequence)
        self._learn_levels(Levels.restore(levels))
        for name in unseen:
            self._places[str(name)] = len(self._places)
        self._recent = _Recent()
        self._recent.past = np.asarray(state["recent"])


@kernel
def _place_levels(
    codes: Codes, place_of: Codes, known: int, highest: int, places: Floats, rows: Floats
) -> None:
    """Write each cell's place, in a row as `highest` at most, and whether that is a new one."""
    for i in range(len(codes)):
        if codes[i] < 0:
            places[i] = rows[0, i] = rows[1, i] = np.nan
            continue
        place = place_of[codes[i]]
        places[i] = place
        rows[0, i] = min(place, highest)
        rows[1, i] = 1.0 if place >= known else 0.0
