"""One series of values under one detector, with the interface that river's detectors have."""

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamdrift.detectors.bank import Bank, Expected
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.learning_rates import wandering
from streamdrift.detectors.registry import DetectorSettings
from streamdrift.detectors.watch import Lengths, Watch
from streamdrift.records import Effect, Floats, Ints, Sample, StepKind, Stream
from streamdrift.references.slow import Given

Kind = Literal["numeric", "rate", "category"]
Value = float | Hashable
"""What a series is of: a number, 0 or 1, or any level of a category."""
Values = Sequence[Value] | NDArray[np.generic]

ACCEPT_AFTER = 2_000
"""Values after which what a series became is its new reference."""
WARMUP = 10_000
"""Values from which a reference is learned where none is given."""
_BLOCK = 1_900
"""Values taken at once; fewer than ACCEPT_AFTER, so that nothing is due within a block."""


class Series:
    """One series that learns, watches, holds after a change, and goes on.

    After an alarm it is held until it is back at its reference, or until ACCEPT_AFTER values
    have passed, which then are the reference. Numbers that are not finite are skipped.
    """

    def __init__(
        self, detector: DetectorSettings, arl: float, kind: Kind, seed: int, warmup: int
    ) -> None:
        if not 1 < arl < math.inf:
            raise ValueError(f"arl is a number of values above 1, not {arl!r}")
        if warmup < 1:
            raise ValueError(f"warmup is a number of values from 1 on, not {warmup!r}")
        self._detector = detector
        self._arl = float(arl)
        self._stream = Stream(kind)
        self._seed = seed
        self._warmup = warmup
        self._codes: dict[Hashable, int] = {}
        """Levels met so far, by the order in which they came."""
        self._places: Floats = np.zeros(0)
        """The place of each of them in the reference, commonest first; later ones are new."""
        self._watch: Watch | None = None
        self._collected: list[float] = []
        """What the next reference is learned from."""
        self._seen = 0
        """Values taken, those skipped left out."""
        self._onset: tuple[int, int] | None = None
        self._effect: Effect | None = None

    @property
    def onset(self) -> tuple[int, int] | None:
        """First and last index between which the last change began; None before there is one.

        Indices count the values from 0, those that were skipped left out; they are negative
        within a reference that was given.
        """
        return self._onset

    @property
    def bank(self) -> Bank | None:
        """The detector; None before a reference is learned."""
        return None if self._watch is None else self._watch.bank(0)

    @property
    def effect(self) -> Effect | None:
        """How large the last change is; None before there is one."""
        return self._effect

    def learn(self, values: Values) -> None:
        """Take values as the reference. Raises ValueError where none of them can be used."""
        numbers = self._numbers(values)
        if not len(numbers):
            raise ValueError("the reference holds no finite value: leave it out, or give some")
        self._arm(numbers)

    def take(self, values: Values) -> list[int]:
        """Take further values; return the places among them that raised an alarm."""
        there = self._there(values)
        numbers = self._numbers(values)
        found: list[int] = []
        begin = 0
        while begin < len(numbers):
            size = min(len(numbers) - begin, self._room())
            found += [begin + column for column in self._take(numbers[begin : begin + size])]
            begin += size
        return [int(there[place]) for place in found]

    def take_one(self, value: Value) -> bool:
        """Take the next value; tell whether it raised an alarm."""
        watch = self._watch
        number = self._number(value)
        if watch is None or number is None:
            return bool(self.take([value]))
        signs = watch.step(self._place(number))
        self._seen += 1
        found = self._hear(signs, 1) if signs else []
        if not watch.held[0]:
            self._collected.clear()
        elif not found:
            self._collected.append(number)
            if len(self._collected) >= ACCEPT_AFTER:
                self._arm(np.array(self._collected))
        return bool(found)

    def _number(self, value: Value) -> float | None:
        """Return a value as a number, a level as its code; None if it is to be skipped."""
        if self._stream is Stream.CATEGORY:
            return self._code(value)
        if isinstance(value, float | int) and math.isfinite(value):
            return float(value)
        return None

    def _place(self, number: float) -> float:
        return number if self._stream is not Stream.CATEGORY else float(self._places[int(number)])

    def _room(self) -> int:
        """Return how many values may be taken before something is decided."""
        wanted = self._warmup if self._watch is None else ACCEPT_AFTER
        held = self._watch is None or self._watch.held[0]
        return min(_BLOCK, wanted - len(self._collected)) if held else _BLOCK

    def _take(self, numbers: Floats) -> list[int]:
        """Take a block in which nothing is learned; learn at its end if that is due."""
        if self._watch is None:
            self._collected += numbers.tolist()
            self._seen += len(numbers)
            if len(self._collected) >= self._warmup:
                self._arm(np.array(self._collected))
            return []
        seen = self._places[numbers.astype(np.int64)] if self._places.size else numbers
        begin = 0 if self._watch.held[0] else len(numbers)
        signs = self._watch.update(seen[np.newaxis], np.zeros(len(numbers), dtype=np.int64))
        self._seen += len(numbers)
        found = self._hear(signs, len(numbers))
        if signs:
            self._collected = []
            begin = found[-1] + 1 if found else len(numbers)
        self._collected += numbers[begin:].tolist()
        if len(self._collected) >= ACCEPT_AFTER:
            self._arm(np.array(self._collected))
        return found

    def _hear(self, signs: Sequence[Sign], size: int) -> list[int]:
        """Keep what the last change of a block of `size` says; return the places of all."""
        found = []
        for sign in signs:
            if sign.kind is StepKind.CHANGED and sign.evidence is not None:
                found.append(sign.column)
                index = self._seen - size + sign.column
                self._onset = index - sign.evidence.earliest, index - sign.evidence.latest
                self._effect = sign.effect
        return found

    def _arm(self, numbers: Floats) -> None:
        """Watch from now on, with `numbers` as the reference."""
        reference = self._reference(numbers)
        self._collected = []
        if self._watch is None:
            lengths = Lengths(np.array([self._arl]), np.array([self._arl]))
            self._watch = Watch([[self._detector]], [reference], [self._seed], lengths)
        else:
            self._watch.rearm(0, reference, self._arl, self._arl)

    def _reference(self, numbers: Floats) -> Reference:
        if self._stream is Stream.NUMERIC:
            return learn(Sample(self._stream, numbers), seed=self._seed)
        if self._stream is Stream.RATE:
            flags = (numbers != 0).astype(np.float64)
            counts = np.array([len(flags) - flags.sum(), flags.sum()])
            return learn(Sample(self._stream, counts, flags=flags), given=self._wandering(counts))
        counts = np.bincount(numbers.astype(np.int64), minlength=len(self._codes))
        order = np.argsort(-counts, kind="stable")
        known = int(np.count_nonzero(counts))
        self._places = np.full(len(self._codes), float(known))
        self._places[order[:known]] = np.arange(known)
        return learn(Sample(self._stream, counts[order[:known]].astype(np.float64)))

    def _wandering(self, counts: Floats) -> Given | None:
        """Return how a rate is followed whose level wandered: a short reference cannot tell."""
        if self._watch is None or self._watch.expected(0).chances is None:
            return None
        return wandering(Expected.of_rate(*counts.tolist()).scale, float(counts.sum()))

    def _there(self, values: Values) -> Ints:
        """Return the places of the values that are not skipped."""
        if self._stream is Stream.CATEGORY:
            return np.arange(len(values))
        return np.flatnonzero(np.isfinite(np.asarray(values, dtype=np.float64)))

    def _numbers(self, values: Values) -> Floats:
        """Return the values as numbers; of levels, their codes in the order of appearance."""
        if self._stream is not Stream.CATEGORY:
            numbers = np.asarray(values, dtype=np.float64)
            return numbers[np.isfinite(numbers)]
        each = values.tolist() if isinstance(values, np.ndarray) else values
        return np.array([self._code(value) for value in each], dtype=np.float64)

    def _code(self, value: Hashable) -> float:
        """Return the code of a level; one that is met now gets the next."""
        code = self._codes.setdefault(value, len(self._codes))
        if self._watch is not None and code == len(self._places):
            known = len(self._watch.expected(0).counts)
            self._places = np.append(self._places, float(known))
        return float(code)
