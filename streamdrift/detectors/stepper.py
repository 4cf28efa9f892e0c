"""One value at a time: what an e-detector does with it, in one kernel.

It is what `Watch.update` does to a block of one value of one watched signal, without its
preparations: fifty times as fast.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamdrift.detectors import rates
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.category_bets import advance as advance_levels
from streamdrift.detectors.category_bets import cell_of as cell_of_level
from streamdrift.detectors.chains import EChainBank
from streamdrift.detectors.chains import advance as advance_chain
from streamdrift.detectors.chances import EChanceBank
from streamdrift.detectors.chances import factors_of as factors_of_chance
from streamdrift.detectors.chances import learn as learn_chance
from streamdrift.detectors.e_detector import EDetectorBank, advance, advance_tied
from streamdrift.detectors.mixture import Factors, total
from streamdrift.detectors.rates import ERateBank
from streamdrift.detectors.recent import Kept, Recent
from streamdrift.detectors.scoring import Scoring, code_of_level
from streamdrift.detectors.sums import EBank
from streamdrift.kernels import kernel
from streamdrift.records import Bytes, Codes, Floats, Ints
from streamdrift.references.binning import CENTRE, UNIT, Singles, cell_of, place_of
from streamdrift.references.chances import code_of, fill_middles
from streamdrift.references.front import Front
from streamdrift.references.tracking import follow
from streamdrift.references.urn import Urns, rank_row

_NO_TIMES: Ints = np.empty(0, dtype=np.int64)


class Stepper(Protocol):
    """The way of single values through the only slot of a bank."""

    def take(self, value: float) -> bool:
        """Take a finite value; tell whether it raised an alarm."""
        ...


def stepper_of(bank: EBank, scoring: Scoring, recent: Recent) -> Stepper | None:
    """Return the way for the only signal; None where its front has other stages, or needs times."""
    if isinstance(bank, ERateBank):
        return _Rates(bank, scoring, recent)
    if isinstance(bank, EChainBank):
        return _Chain(bank, scoring, recent)
    if isinstance(bank, ECategoryBank):
        return _Levels(bank, scoring, recent)
    front = scoring.front(0)
    if isinstance(bank, EChanceBank):
        if front is None or front.needs_times:
            return None
        return _Chances(bank, front, scoring, recent)
    if not isinstance(bank, EDetectorBank):
        return None
    if front is not None and not front.plain:
        return None
    return _Numbers(bank, scoring.urns, front, recent)


class _Numbers:
    def __init__(
        self, bank: EDetectorBank, urns: Urns, front: Front | None, recent: Recent
    ) -> None:
        sums, ages, table, masses, weights, self._threshold = bank.arrays(0)
        self._front = front
        self._value = np.empty(1)
        self._left = np.empty(1)
        self._arrays: tuple[Any, ...] = (
            urns.borders[0],
            urns.scales[0],
            *urns.state(0),
            np.zeros((int(urns.tied[0]), 2)),
            sums,
            ages,
            table,
            masses,
            weights,
            recent.codes(0),
            recent.counts,
        )

    def take(self, value: float) -> bool:
        self._value[0] = value
        left = self._value
        if self._front is not None:
            left, front = self._left, self._front
            follow(front.parameters, front.state, self._value, _NO_TIMES, 0, 1, True, left)
        return _take_number(left, *self._arrays) >= self._threshold


@kernel
def _take_number(
    rank: Floats,
    borders: Singles,
    scale: Floats,
    cumulative: Codes,
    pending: NDArray[np.uint16],
    positions: Ints,
    ties: Floats,
    sums: Factors,
    ages: Factors,
    table: Factors,
    masses: Floats,
    weights: Factors,
    recent: Kept,
    counts: Ints,
) -> float:
    if np.isnan(rank[0]):
        return 0.0
    at = counts[0] % len(recent)
    recent[at] = cell_of(borders, place_of(rank[0], scale[CENTRE], scale[UNIT]))
    counts[0] += 1
    rank_row(cumulative, pending, positions, recent[at : at + 1], rank, ties)
    if len(ties) and ties[0, 1] > 0.0:
        return advance_tied(sums, ages, table, masses, ties[0, 0], ties[0, 1])
    return advance(sums, ages, table, weights, rank[0])


class _Rates:
    def __init__(self, bank: ERateBank, scoring: Scoring, recent: Recent) -> None:
        *arrays, exponent, self._threshold = bank.arrays(0)
        self._arrays: tuple[Any, ...] = (
            *arrays,
            exponent,
            rates.WEIGHTS,
            scoring.ordinals,
            recent.codes(0),
            recent.counts,
        )

    def take(self, value: float) -> bool:
        return _take_rate(value, *self._arrays) >= self._threshold


@kernel
def _take_rate(
    value: float,
    sums: Factors,
    ages: Factors,
    factors: Factors,
    learned: Floats,
    exponent: float,
    weights: Factors,
    ordinals: Ints,
    recent: Kept,
    counts: Ints,
) -> float:
    one = value > 0.0
    recent[counts[0] % len(recent)] = 1 if one else 0
    counts[0] += 1
    ordinals[0] += 1
    statistic = rates.advance(sums, ages, factors[1 if one else 0], weights)
    rates.learn(learned, factors, exponent, one)
    return statistic


class _Chain:
    def __init__(self, bank: EChainBank, scoring: Scoring, recent: Recent) -> None:
        *arrays, self._threshold = bank.arrays(0)
        self._arrays: tuple[Any, ...] = (
            *arrays,
            scoring.ordinals,
            recent.codes(0),
            recent.counts,
        )

    def take(self, value: float) -> bool:
        return _take_of_chain(value, *self._arrays) >= self._threshold


@kernel
def _take_of_chain(
    value: float,
    sums: Factors,
    ages: Factors,
    weights: Factors,
    factors: Factors,
    odds: Floats,
    learned: Floats,
    position: Ints,
    ordinals: Ints,
    recent: Kept,
    counts: Ints,
) -> float:
    recent[counts[0] % len(recent)] = 1 if value > 0.0 else 0
    counts[0] += 1
    ordinals[0] += 1
    advance_chain(sums, ages, weights, factors, odds, learned, position, value > 0.0)
    return total(sums)


class _Chances:
    def __init__(self, bank: EChanceBank, front: Front, scoring: Scoring, recent: Recent) -> None:
        *arrays, self._threshold = bank.arrays(0)
        self._front = front
        self._value, self._left = np.empty(1), np.empty(1)
        self._arrays: tuple[Any, ...] = (
            *arrays,
            rates.WEIGHTS,
            scoring.ordinals,
            recent.codes(0),
            recent.counts,
        )

    def take(self, value: float) -> bool:
        self._value[0] = value
        self._front.take(self._value, _NO_TIMES, 0, 1, True, self._left)
        return _take_of_chances(self._value, self._left, *self._arrays) >= self._threshold


@kernel
def _take_of_chances(
    value: Floats,
    left: Floats,
    sums: Factors,
    ages: Factors,
    learned: Floats,
    figures: Floats,
    weights: Factors,
    ordinals: Ints,
    recent: Kept,
    counts: Ints,
) -> float:
    fill_middles(value, left, 0, 1, left)
    middle = left[0]
    recent[counts[0] % len(recent)] = code_of(middle)
    counts[0] += 1
    ordinals[0] += 1
    factors = np.empty(len(weights), dtype=np.float32)
    factors_of_chance(middle, learned, figures, factors)
    statistic = rates.advance(sums, ages, factors, weights)
    learn_chance(learned, middle)
    return statistic


class _Levels:
    def __init__(self, bank: ECategoryBank, scoring: Scoring, recent: Recent) -> None:
        arrays, exponent, known, self._threshold = bank.arrays(0)
        self._arrays: tuple[Any, ...] = (
            *arrays,
            exponent,
            known,
            scoring.ordinals,
            recent.codes(0),
            recent.counts,
        )

    def take(self, value: float) -> bool:
        return _take_level(value, *self._arrays) >= self._threshold


@kernel
def _take_level(
    value: float,
    sums: Factors,
    ages: Factors,
    weights: Factors,
    bets: Codes,
    alike: Codes,
    seen: Floats,
    times: Floats,
    stakes: Floats,
    factors: Floats,
    learned: Floats,
    kin: Bytes,
    totals: Floats,
    memories: Floats,
    scales: Floats,
    figures: Floats,
    chances: Floats,
    averages: Floats,
    spans: Floats,
    moves: Floats,
    around: Ints,
    last: Ints,
    exponent: float,
    known: int,
    ordinals: Ints,
    recent: Kept,
    counts: Ints,
) -> float:
    recent[counts[0] % len(recent)] = code_of_level(value)
    counts[0] += 1
    # Its rank, for which there is a coin, is for detectors of numbers.
    ordinals[0] += 1
    cell = cell_of_level(value, len(learned), known)
    advance_levels(
        sums,
        ages,
        weights,
        bets,
        alike,
        seen,
        times,
        stakes,
        factors,
        learned,
        kin,
        totals,
        memories,
        scales,
        figures,
        chances,
        averages,
        spans,
        moves,
        around,
        last,
        exponent,
        cell,
    )
    return total(sums)
