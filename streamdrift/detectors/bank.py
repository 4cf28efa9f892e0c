"""What every detector bank offers, what it expects of a signal, and what it says of an alarm."""

import math
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from streamdrift.records import Floats, Ints, State, Stream
from streamdrift.references.chain import Chain
from streamdrift.references.chances import Chances
from streamdrift.references.recall import Recall


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reference says of a signal.

    `mean` and `scale` (above 0) are mean and standard deviation of what detectors of numbers
    see. `counts` float64: of a rate, how often 0 and 1 were seen; of a category, how often
    each known level. `power`: the e-detector's factors are taken to the power
    2^(-power / 6), and `dependent` says that its ranks are those of what a rhythm or a memory
    does not explain. `closed`: no level of a category is ever new. `chain` explains the values of
    a rate that remembers; `power` is then as far as its sums are less certain for it, and the
    factors are those of the chain; so does `recall` those of a category. `chances` say that each
    value of a rate has its own, which a front lets expect.
    """

    stream: Stream
    mean: float = 0.5
    scale: float = 12**-0.5
    counts: Floats = field(default_factory=lambda: np.zeros(0))
    power: int = 0
    dependent: bool = False
    closed: bool = False
    chain: Chain | None = None
    recall: Recall | None = None
    chances: Chances | None = None

    @property
    def explained(self) -> str:
        """What explains the values of a rate, if anything does: its e-detector is made for it."""
        if self.chances is not None:
            return "chances"
        return "" if self.chain is None else "chain"

    @property
    def ones(self) -> float:
        """Of a rate, the part of 1s in the reference: 0 where there was none, unlike `mean`."""
        size = float(self.counts.sum())
        return float(self.counts[1]) / size if self.stream is Stream.RATE and size else self.mean

    @classmethod
    def of_rate(cls, zeros: float, ones: float) -> Self:
        """Return what to expect of a rate that was seen so often as 0 and as 1.

        Half a 1 and half a 0 are added (Krichevsky and Trofimov 1981).
        """
        rate = (ones + 0.5) / (zeros + ones + 1)
        scale = math.sqrt(rate * (1 - rate))
        return cls(Stream.RATE, rate, scale, np.array([zeros, ones], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a detector raised an alarm.

    `statistic` is above `threshold`, both in the detector's own terms. The change began
    between `earliest` and `latest`, counted in the signal's own values back from the alarm's
    (0 is the alarm's own value), so `earliest >= latest`. `pace` is how many values the
    evidence took to grow by a factor e, and `began` where the change most likely did,
    counted likewise, where the detector knows.
    """

    statistic: float
    threshold: float
    earliest: int
    latest: int
    pace: float | None = None
    began: int | None = None

    @property
    def age(self) -> int:
        """About how many values there are of the change, the alarm's among them."""
        began = (self.earliest + self.latest) // 2 if self.began is None else self.began
        return began + 1


class Bank(Protocol):
    """One detector's instances over many signals; a signal's place in the bank is its slot.

    Cutting the input into other batches changes neither an alarm nor a bit of state.
    """

    @property
    def name(self) -> str:
        """The detector's name as alerts and metrics show it."""
        ...

    def update(self, values: Floats, rows: Ints, start: Ints) -> Ints:
        """Let each slot consume its values; return where each raised its first alarm.

        `values` float64[s, n] holds signals as rows, events as columns; NaN means that the
        event has no value of that signal. Slot j (`rows` and `start` are int64[k], k the
        slots of the bank) consumes `values[rows[j], start[j]:]` and stops right after its
        first alarm. The result, int64[k], is the alarm's column, n where there was none.
        """
        ...

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm.

        Valid after an `update` that raised one, until the slot is updated or reset; it is no
        part of a snapshot.
        """
        ...

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Make the slot as new, with another reference or run length where these changed."""
        ...

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's statistic and threshold as they stand, float64[k] both.

        A slot that cannot decide yet has the statistic 0.
        """
        ...

    def snapshot(self) -> State:
        """Return the state of all slots."""
        ...

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank of the same settings and number of slots."""
        ...

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Put slots into the state that the slots `theirs` have in a snapshot.

        `slots` and `theirs` are int64[k], in pairs, both rising; the snapshot is of a bank of
        the same settings, with any number of slots.
        """
        ...
