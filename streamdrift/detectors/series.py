"""One series of values under one detector: what the detectors of a single series are made of."""

import math
import operator
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from typing import Literal, NamedTuple, Self, SupportsFloat, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from streamdrift.changes import Effect, StepKind
from streamdrift.detectors.bank import Bank, Expected
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.learning_rates import wandering
from streamdrift.detectors.registry import DetectorSettings, extrapolations
from streamdrift.detectors.watch import Watch
from streamdrift.records import Floats, Ints, Sample, Stream
from streamdrift.references.findings import Finding, gather
from streamdrift.references.slow import Given

Kind = Literal["numeric", "rate", "category"]
Value = float | Hashable
"""What a series is of: a number, 0 or 1, or any level of a category."""
Values = Sequence[Value] | NDArray[np.generic]

ACCEPT_AFTER = 2_000
"""Values after which what a series became is its new reference."""
WARMUP = 10_000
"""Values from which a reference is learned where none is given."""
LONGEST = 1e30
"""The largest average run length: what is summed up against it is of single precision."""
_BLOCK = 1_900
"""Values taken at once; fewer than ACCEPT_AFTER, so that nothing is due within a block."""
_NUMBERS = "fiub"
"""Kinds of numpy's types that are numbers: floats, whole ones, and booleans."""


class Series:
    """One series that learns, watches, holds after a change, and goes on.

    After an alarm it is held until it is back at its reference, or until ACCEPT_AFTER values
    have passed, which then are the reference.

    Numbers that are not finite, None, and what is masked are skipped; as levels of a category,
    NaN and what is masked are None, and None a level. Raises ValueError for parameters and values
    that no such series has, and TypeError for what is no number, or cannot be looked up.
    """

    def __init__(
        self, detector: DetectorSettings, arl: float, kind: Kind, seed: int, warmup: int
    ) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"kind is one of {', '.join(get_args(Kind))}, not {kind!r}")
        self._detector = detector
        self._arl = _run_length(arl)
        self._warmup = _whole("warmup", warmup)
        if self._warmup < 1:
            raise ValueError(f"warmup is a number of values from 1 on, not {warmup!r}")
        self._seed = _whole("seed", seed)
        if not 0 <= self._seed < 2**63:
            raise ValueError(f"seed is a number from 0 on, below 2**63, not {seed!r}")
        self._kind: Kind = kind
        self._stream = Stream(kind)
        self._given: Learned | None = None
        """The reference that was given, if one was."""
        self._places: Mapping[Value, float] = {}
        """Levels of the reference, commonest first."""
        self._found: tuple[Finding, ...] = ()
        """What was found in the reference."""
        self._watch: Watch | None = None
        self._collected: list[Value] = []
        """What the next reference is learned from."""
        self._seen = 0
        """Values taken, those skipped left out."""
        self._onset: tuple[int, int] | None = None
        self._effect: Effect | None = None

    @property
    def parameters(self) -> Mapping[str, object]:
        """What it was made with, by name; `warmup` where it was given no reference."""
        warmup = {"warmup": self._warmup} if self._given is None else {}
        return {"arl": self._arl, "kind": self._kind, "seed": self._seed} | warmup

    @property
    def onset(self) -> tuple[int, int] | None:
        """First and last index between which the last change began; None before there is one."""
        return self._onset

    @property
    def findings(self) -> tuple[str, ...]:
        """What people should know of its reference, in sentences; none before one is learned."""
        if self._watch is None:
            return ()
        found = [
            *self._found,
            *self._watch.findings(0),
            *extrapolations([self._detector], self._watch.expected(0), self._arl),
        ]
        return tuple(each.words for each in gather([("", found)]))

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
        usable, _ = self._usable(values)
        if not len(usable):
            held = "value" if self._stream is Stream.CATEGORY else "finite value"
            raise ValueError(f"the reference holds no {held}: leave it out, or give some")
        self.begin(self._learned(usable))

    def begin(self, given: "Learned") -> None:
        """Take what was learned of a reference that is given."""
        self._given = given
        self._arm(given)

    def new(self) -> Self:
        """Return one with the same parameters and the reference that was given, and no values."""
        other = type(self)(self._detector, self._arl, self._kind, self._seed, self._warmup)
        if self._given is not None:
            other.begin(self._given)
        return other

    def take(self, values: Values) -> list[int]:
        """Take further values; return the places among them that raised an alarm."""
        usable, there = self._usable(values)
        found: list[int] = []
        begin = 0
        while begin < len(usable):
            size = min(len(usable) - begin, self._room())
            found += [begin + column for column in self._take(usable[begin : begin + size])]
            begin += size
        return [int(there[place]) for place in found]

    def take_one(self, value: Value) -> bool:
        """Take the next value; tell whether it raised an alarm."""
        if self._stream is Stream.CATEGORY:
            value = level(value)
        else:
            value = number(value)
            if not math.isfinite(value):
                return False
            if self._stream is Stream.RATE:
                _check_rate(value)
        watch = self._watch
        if watch is None:
            return bool(self._take([value]))
        signs = watch.step(self._number(value))
        self._seen += 1
        found = self._hear(signs, 1) if signs else []
        if not watch.held[0]:
            self._collected.clear()
        elif not found:
            self._collected.append(value)
            if len(self._collected) >= ACCEPT_AFTER:
                self._arm(self._learned(self._collected))
        return bool(found)

    def _usable(self, values: Values) -> tuple[list[Value] | Floats, Ints]:
        """Return the values that are not skipped, levels as a list, and their places."""
        if self._stream is Stream.CATEGORY:
            found = [level(value) for value in _each(values)]
            return found, np.arange(len(found))
        numbers, there = finite(values)
        if self._stream is Stream.RATE:
            for other in numbers[(numbers != 0) & (numbers != 1)]:
                _check_rate(other)
        return numbers, there

    def _number(self, value: Value) -> float:
        """Return a value as the detector sees it: of a level its place in the reference."""
        if self._stream is Stream.CATEGORY:
            return self._places.get(value, float(len(self._places)))
        assert isinstance(value, float)
        return value

    def _room(self) -> int:
        """Return how many values may be taken before something is decided."""
        wanted = self._warmup if self._watch is None else ACCEPT_AFTER
        held = self._watch is None or self._watch.held[0]
        return min(_BLOCK, wanted - len(self._collected)) if held else _BLOCK

    def _take(self, values: list[Value] | Floats) -> list[int]:
        """Take a block in which nothing is learned; learn at its end if that is due."""
        self._seen += len(values)
        if self._watch is None:
            self._collected += _listed(values)
            if len(self._collected) >= self._warmup:
                self._arm(self._learned(self._collected))
            return []
        begin = 0 if self._watch.held[0] else len(values)
        if isinstance(values, np.ndarray):
            seen = values
        else:
            seen = np.array([self._number(value) for value in values])
        signs = self._watch.update(seen[np.newaxis], np.zeros(len(values), dtype=np.int64))
        found = self._hear(signs, len(values))
        if signs:
            self._collected = []
            begin = found[-1] + 1 if found else len(values)
        self._collected += _listed(values[begin:])
        if len(self._collected) >= ACCEPT_AFTER:
            self._arm(self._learned(self._collected))
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

    def _arm(self, learned: "Learned") -> None:
        """Watch from now on, under what was learned."""
        self._places = learned.places
        self._found = learned.reference.findings
        self._collected = []
        if self._watch is None:
            lengths = Lengths(np.array([self._arl]), np.array([self._arl]))
            self._watch = Watch([[self._detector]], [learned.reference], [self._seed], lengths)
        else:
            self._watch.rearm(0, learned.reference, self._arl, self._arl)

    def _learned(self, values: list[Value] | Floats) -> "Learned":
        """Return what is learned of `values` as a reference."""
        if self._stream is Stream.CATEGORY:
            return _of_levels(_listed(values))
        numbers = np.array(values, dtype=np.float64)
        if self._stream is Stream.NUMERIC:
            return Learned(learn(Sample(self._stream, numbers), seed=self._seed), {})
        counts = np.array([len(numbers) - numbers.sum(), numbers.sum()])
        sample = Sample(self._stream, counts, order=numbers)
        return Learned(learn(sample, given=self._wandering(counts)), {})

    def _wandering(self, counts: Floats) -> Given | None:
        """Return how a rate is followed that had no one rate: a short reference cannot tell."""
        if self._watch is None or self._watch.expected(0).chances is None:
            return None
        return wandering(Expected.of_rate(*counts.tolist()).scale, float(counts.sum()))


class Learned(NamedTuple):
    """A reference, and of a category the places of its levels in it."""

    reference: Reference
    places: Mapping[Value, float]


def _of_levels(values: Sequence[Value]) -> Learned:
    counts: dict[Value, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    # Of those seen as often, the one that came first is first.
    ordered = sorted(counts, key=lambda name: -counts[name])
    masses = np.array([counts[name] for name in ordered], dtype=np.float64)
    places = {name: float(place) for place, name in enumerate(ordered)}
    order = np.array([places[name] for name in values])
    return Learned(learn(Sample(Stream.CATEGORY, masses, order=order)), places)


def _run_length(arl: object) -> float:
    wanted = f"arl is a number of values above 1, {LONGEST:g} at most, not {arl!r}"
    try:
        found = number(arl)
    except TypeError:
        raise TypeError(wanted) from None
    if not 1 < found <= LONGEST:
        raise ValueError(wanted)
    return found


def _whole(name: str, value: SupportsIndex) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r}") from None


def _listed(values: list[Value] | Floats) -> list[Value]:
    return values.tolist() if isinstance(values, np.ndarray) else values


def finite(values: Values) -> tuple[Floats, Ints]:
    """Return the finite numbers among values, float64[k], and their places, int64[k].

    Raises TypeError where one is neither a number nor None, ValueError where they are no series.
    """
    found = values if isinstance(values, np.ndarray) else None
    if found is not None and found.dtype.kind in "mM":  # as a list, some are of whole numbers
        raise TypeError(f"numbers are wanted, not values of {found.dtype}")
    if found is None or found.dtype.kind not in _NUMBERS:
        found = np.array([number(value) for value in _each(values)], dtype=np.float64)
    elif found.ndim != 1:
        raise ValueError(f"values are a series, of one dimension, not of {found.ndim}")
    numbers = np.ma.filled(found.astype(np.float64), np.nan)
    there = np.flatnonzero(np.isfinite(numbers))
    return numbers[there], there


def _each(values: Values) -> Iterator[Value]:
    """Yield each of the values, None for those that are masked.

    Raises TypeError where they are no series, ValueError where they have another form.
    """
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"values are a series, of one dimension, not of {values.ndim}")
        return iter(values.tolist())
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"values are a series, such as a list or an array, not {values!r}")
    if isinstance(values, Mapping | Set):
        given = type(values).__name__
        raise TypeError(f"values are a series, in an order, such as a list or an array: no {given}")
    return iter(values)


def number(value: object) -> float:
    """Return a value as a number, NaN for None. Raises TypeError where it is none."""
    if type(value) is float:
        return value
    if value is None or value is np.ma.masked:
        return math.nan
    # Of numpy's scalars also those of texts, times and complex numbers have a `__float__`.
    odd = isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in _NUMBERS
    if not isinstance(value, SupportsFloat) or isinstance(value, np.ndarray) or odd:
        raise TypeError(f"a number is wanted, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        raise TypeError(f"a number is wanted, not {value!r}") from None


def level(value: object) -> Hashable:
    """Return a value as a level: None for NaN. Raises TypeError where it cannot be looked up."""
    if value is np.ma.masked:
        return None
    hash(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _check_rate(value: float) -> None:
    if value not in (0, 1):
        raise ValueError(f"a rate is of 0 and 1, or False and True, not of {float(value)!r}")
