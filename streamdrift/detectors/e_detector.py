"""The default detector: an e-detector over ranks, whose threshold is the run length asked for.

Shiryaev-Roberts sums over a mixture of likelihood ratios (Shin, Ramdas, Rinaldo, E-detectors: a
nonparametric framework for sequential change detection, New England Journal of Statistics in
Data Science 2023). While the ranks are uniform and independent the sum less the number of values
is a martingale, so the mean number of values to a false alarm is at least the threshold: nothing
is calibrated. The alternatives are those of `mixture`.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from streamdrift.detectors.arming import weights_of
from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW, mean_age
from streamdrift.detectors.mixture import BORDERS, CELL_OF, MASSES, POWERED, WEIGHTS, Factors
from streamdrift.detectors.sums import NAME, Sums
from streamdrift.kernels import lanes
from streamdrift.kernels.compiler import inlined, kernel
from streamdrift.kernels.lanes import Lanes
from streamdrift.records import Bools, Floats, Ints, State, Stream
from streamdrift.references.urn import NO_TIES


class EDetectorSettings(BaseModel):
    """Settings of the default detector. Its threshold follows from the budget."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["e_detector"] = Field("e_detector", description="Which detector this is.")


_MIXTURES: Factors = np.stack([weights_of(found=False), weights_of(found=True)])
"""float32[2, 32]: the weights where nothing, and where something, explains the values."""


@inlined
def moved_on(begun: Lanes, ages: Lanes, factors: Lanes) -> tuple[Lanes, Lanes]:
    """Return the sums and ages of a slot with the factors of one more value taken in.

    `begun` are the sums with what begins with it. Each sum is one over all values at which a change
    may have begun, of the product of the factors since; its age is the same sum with each product
    weighed by how many values it is of. Age over sum is so the mean number of values since the
    change, given all of them, if it could have begun at any equally.
    """
    return begun * factors, (ages + begun) * factors


@inlined
def factors_of(table: Factors, u: float) -> Lanes:
    """Return what a rank multiplies sums by."""
    return lanes.take(table[CELL_OF[min(int(u * 16384.0), 16383)]])


@kernel
def _fill_tied(table: Factors, masses: Floats, low: float, high: float, factors: Factors) -> None:
    """Write what a value multiplies sums by that may have any rank between two, as many others.

    Its factors are their means over these ranks, which a coin would only blur: given all ranks but
    those of the coins, they are what is expected of them. No change is taken to begin with it,
    which makes sums no larger: those of a signal that never moves would grow with its values.
    """
    below, above = CELL_OF[int(low * 16384.0)], CELL_OF[min(int(high * 16384.0), 16383)]
    before, after = low - BORDERS[below], high - BORDERS[above]
    for j in range(32):
        mass = masses[above, j] + table[above, j] * after
        mass -= masses[below, j] + table[below, j] * before
        factors[j] = np.float32(mass / (high - low))


@inlined
def advance(sums: Factors, ages: Factors, table: Factors, weights: Factors, u: float) -> float:
    """Take one rank into the sums and ages float32[32] of a slot; return the sums' total."""
    own, age = lanes.take(sums), lanes.take(ages)
    own, age = moved_on(own + lanes.take(weights), age, factors_of(table, u))
    lanes.keep(sums, own)
    lanes.keep(ages, age)
    return lanes.total(own)


@inlined
def advance_tied(
    sums: Factors, ages: Factors, table: Factors, masses: Floats, low: float, high: float
) -> float:
    """Take a value that may have any rank between two into a slot's sums; see `_fill_tied`."""
    factors = np.empty(32, dtype=np.float32)
    _fill_tied(table, masses, low, high, factors)
    own, age = lanes.take(sums), lanes.take(ages)
    own, age = moved_on(own, age, lanes.take(factors))
    lanes.keep(sums, own)
    lanes.keep(ages, age)
    return lanes.total(own)


@kernel
def _update(
    sums: Factors,
    ages: Factors,
    powers: NDArray[np.uint8],
    mixtures: NDArray[np.uint8],
    thresholds: Floats,
    patience: Floats,
    candidates: Bools,
    tables: Factors,
    masses: Floats,
    weights: Factors,
    values: Floats,
    ties: Floats,
    rows: Ints,
    start: Ints,
    looks: Ints,
    seen: Floats,
    told: Bools,
    alarms: Ints,
) -> None:
    """Let every slot consume its row up to its first alarm; `alarms` says where that was.

    `seen` float64[k, len(looks), 2] is filled where `told` bool[k] says so.
    """
    tied = np.empty(32, dtype=np.float32)
    for slot in range(len(rows)):
        row = values[rows[slot]]
        own, age = lanes.take(sums[slot]), lanes.take(ages[slot])
        table, weight = tables[powers[slot]], lanes.take(weights[mixtures[slot]])
        limit, enough = thresholds[slot], patience[slot]
        look = np.searchsorted(looks, start[slot])
        alarms[slot] = len(row)
        statistic = lanes.total(own)
        for event in range(start[slot], len(row)):
            if look < len(looks) and looks[look] == event:
                if statistic >= enough or candidates[slot]:
                    told[slot] = True
                    lanes.keep(sums[slot], own)
                    lanes.keep(ages[slot], age)
                    seen[slot, look, 0] = statistic
                    seen[slot, look, 1] = mean_age(sums[slot], ages[slot])
                    candidates[slot] = statistic >= WITHDRAW * enough
                look += 1
            if np.isnan(row[event]):
                continue
            if len(ties) and ties[rows[slot], event, 1] > 0.0:
                low, high = ties[rows[slot], event, 0], ties[rows[slot], event, 1]
                _fill_tied(table, masses[powers[slot]], low, high, tied)
                own, age = moved_on(own, age, lanes.take(tied))
            else:
                own, age = moved_on(own + weight, age, factors_of(table, row[event]))
            statistic = lanes.total(own)
            if statistic >= limit:
                alarms[slot] = event
                break
        lanes.keep(sums[slot], own)
        lanes.keep(ages[slot], age)


class EDetectorBank:
    """The e-detector over the ranks of many signals; see `EBank`. 256 bytes a slot."""

    name = NAME

    def __init__(self, expected: Sequence[Expected], run_lengths: Floats) -> None:
        slots = len(expected)
        self.sums = Sums(slots, len(WEIGHTS), Stream.NUMERIC)
        self._powers = np.zeros(slots, dtype=np.uint8)
        self._mixtures = np.zeros(slots, dtype=np.uint8)
        for slot, (each, run_length) in enumerate(zip(expected, run_lengths, strict=True)):
            self.reset(slot, each, float(run_length))

    def update(
        self,
        values: Floats,
        rows: Ints,
        start: Ints,
        looks: Ints = NO_LOOKS,
        ties: Floats = NO_TIES,
    ) -> Ints:
        """Let each slot consume its ranks up to its first alarm; see `Bank`.

        `ties` are those of `Urns.rank`.
        """
        alarms = np.empty(len(rows), dtype=np.int64)
        seen = self.sums.look_at(looks)
        _update(
            self.sums.sums,
            self.sums.ages,
            self._powers,
            self._mixtures,
            self.sums.thresholds,
            self.sums.patience,
            self.sums.candidates,
            POWERED,
            MASSES,
            _MIXTURES,
            np.ascontiguousarray(values),  # another layout would be compiled for anew
            ties,
            rows,
            start,
            looks,
            seen.seen,
            seen.told,
            alarms,
        )
        return alarms

    def arrays(self, slot: int) -> tuple[Factors, Factors, Factors, Floats, Factors, float]:
        """Return a slot's sums and ages, its table, its masses, weights and threshold."""
        mixture, power = self._mixtures[slot], self._powers[slot]
        threshold = float(self.sums.thresholds[slot])
        return (
            self.sums.sums[slot],
            self.sums.ages[slot],
            POWERED[power],
            MASSES[power],
            _MIXTURES[mixture],
            threshold,
        )

    def evidence(self, slot: int) -> Evidence:
        """Return why the slot raised its last alarm, or is about to; see `Bank`."""
        return self.sums.evidence(slot)

    def reset(
        self, slot: int, expected: Expected | None = None, run_length: float | None = None
    ) -> None:
        """Start the slot's sums anew; see `Bank`."""
        if expected is not None:
            self._powers[slot] = expected.power
            self._mixtures[slot] = expected.dependent
        self.sums.begin(slot, _MIXTURES[self._mixtures[slot]], run_length)

    def readings(self) -> tuple[Floats, Floats]:
        """Return each slot's sum and threshold; see `Bank`."""
        return self.sums.readings()

    def snapshot(self) -> State:
        """Return the sums and ages, and who is a candidate."""
        return self.sums.snapshot()

    def restore(self, state: State) -> None:
        """Take over a snapshot of a bank with the same number of slots."""
        everything = np.arange(len(self.sums.sums))
        self.adopt(everything, state, everything)

    def adopt(self, slots: Ints, state: State, theirs: Ints) -> None:
        """Take over the sums of some slots; see `Bank`."""
        self.sums.adopt(slots, state, theirs)
