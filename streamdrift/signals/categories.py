"""Levels as a column's measure: their places in the reference, and whether that knows them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np

from streamdrift.changes import REST, Summary
from streamdrift.distributions import Distribution, of_levels
from streamdrift.kernels.compiler import kernel
from streamdrift.records import (
    Bools,
    Codes,
    Column,
    Floats,
    Ints,
    Sample,
    SignalKind,
    State,
    Stream,
)
from streamdrift.signals.measures import RECENT, Recent
from streamdrift.sketches.levels import Levels
from streamdrift.sketches.quantiles import Quantiles

NAMED_UNSEEN = 32
"""Levels outside the reference that are remembered by name."""
_SHOWN_LEVELS = 5
_DOUBT = 4.0
"""Which levels are rare was decided by the same values that say how often such come: their rate is
known as well as from so many times fewer."""


class Categories:
    """A level per cell: its place in the reference, and whether that knows it."""

    kinds: tuple[SignalKind, ...] = (SignalKind.CATEGORY, SignalKind.UNSEEN)

    def __init__(self) -> None:
        self._levels = Levels((), np.zeros(0), 0.0, 1.0)
        self._places: dict[str, int] = {}
        self._recent = Recent()

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
        self._recent = Recent()
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
        self._recent = Recent()
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
