"""The e-detector of numbers against its definition: a sum over all beginnings of a change."""

import math

import numpy as np
import pytest

from streamdrift.detectors.bank import Expected
from streamdrift.detectors.e_detector import EDetectorBank
from streamdrift.detectors.looks import NO_LOOKS, WITHDRAW
from streamdrift.detectors.mixture import BORDERS, FACTORS, POWERED, WEIGHTS, Factors
from streamdrift.detectors.single import EDetector
from streamdrift.detectors.sums import evidence_of, head_start
from streamdrift.records import Floats, Ints, Stream

NUMBERS = Expected(Stream.NUMERIC)
ROW, NOW = np.array([0]), np.array([0])


def bank_of(count: int, run_length: float = 1e5, expected: Expected = NUMBERS) -> EDetectorBank:
    return EDetectorBank([expected] * count, np.full(count, run_length))


def by_definition(ranks: Floats, start: float, table: Factors = FACTORS) -> tuple[Floats, Floats]:
    """Return the sum over all beginnings after each rank, and the mean age of its products."""
    exact = table.astype(np.float64)
    weights = WEIGHTS.astype(np.float64)
    factors = exact[np.searchsorted(BORDERS, ranks, side="right") - 1]
    sums, ages = [], []
    for now in range(1, len(ranks) + 1):
        products = [weights * factors[begin:now].prod(axis=0) for begin in range(now)]
        products.append(start * weights * factors[:now].prod(axis=0))
        lengths = [*range(now, 0, -1), now]
        total = sum(float(product.sum()) for product in products)
        aged = sum(n * float(product.sum()) for n, product in zip(lengths, products, strict=True))
        sums.append(total)
        ages.append(aged / total)
    return np.array(sums), np.array(ages)


@pytest.mark.parametrize(("power", "shift"), [(0, 0.0), (0, 0.2), (6, 0.2)])
def test_the_statistic_and_its_age_are_those_of_the_definition(power: int, shift: float) -> None:
    ranks = np.clip(np.random.default_rng(3).random(120) + shift, 0, 0.999)
    bank = bank_of(1, 1e12, Expected(Stream.NUMERIC, power=power))
    sums, ages = by_definition(ranks, head_start(1e12, math.inf), POWERED[power])
    for event, rank in enumerate(ranks.tolist()):
        bank.update(np.array([[rank]]), ROW, NOW)
        statistic, _ = bank.readings()
        assert statistic[0] == pytest.approx(sums[event], rel=1e-4)
        assert bank.evidence(0).age == pytest.approx(ages[event], rel=1e-3, abs=0.51)


def test_the_alarm_is_the_first_value_at_the_threshold() -> None:
    rng = np.random.default_rng(4)
    for run_length in (100.0, 1e3, 1e5):
        ranks = np.concatenate([rng.random(60), 1 - rng.random(90) ** 2])
        start = head_start(run_length, math.inf)
        sums, _ = by_definition(ranks, start)
        expected = int(np.argmax(sums >= run_length + start))
        assert sums.max() >= run_length + start
        bank = bank_of(1, run_length)
        assert bank.update(ranks[np.newaxis], ROW, NOW).tolist() == [expected]
        statistic, threshold = bank.readings()
        assert threshold[0] == run_length + start
        assert statistic[0] == pytest.approx(sums[expected], rel=1e-4)
        assert bank.evidence(0).threshold == threshold[0]


def test_the_head_start_is_small_beside_the_threshold_and_the_patience() -> None:
    assert head_start(1e4, math.inf) == 10
    assert head_start(1e9, math.inf) == 100
    assert head_start(1e9, 500.0) == 5
    bank = bank_of(1, 1e4)
    assert bank.readings()[0][0] == pytest.approx(10, rel=1e-6)
    bank.sums.patience[:] = 100
    bank.reset(0)
    assert bank.readings()[0][0] == pytest.approx(1, rel=1e-6)
    assert bank.readings()[1][0] == 1e4 + 1


def test_a_uniform_rank_is_expected_to_add_one_to_the_sum() -> None:
    # So the sum less the number of values is a martingale, and the threshold a bound.
    rng = np.random.default_rng(5)
    for length in (0, 1, 30):
        history = rng.random((1, length))
        middles = (BORDERS[:-1] + BORDERS[1:]) / 2
        after = []
        for rank in middles.tolist():
            bank = bank_of(1, 1e12)
            bank.update(history, ROW, NOW)
            before = bank.readings()[0][0]
            bank.update(np.array([[rank]]), ROW, NOW)
            after.append(bank.readings()[0][0])
        assert np.diff(BORDERS) @ np.array(after) == pytest.approx(before + 1, rel=1e-6)


def test_false_alarms_are_at_most_those_asked_for() -> None:
    # 200 slots, 20,000 values each: 400 alarms were asked for at most.
    slots, events, alarms = 200, 20_000, 0
    bank = bank_of(slots, 1e4)
    rng = np.random.default_rng(6)
    for _ in range(events // 2_000):
        values = rng.random((slots, 2_000))
        start = np.zeros(slots, dtype=np.int64)
        while (start < 2_000).any():
            found = bank.update(values, np.arange(slots), start)
            for slot in np.flatnonzero(found < 2_000).tolist():
                alarms += 1
                bank.reset(slot)
            start = np.minimum(found + 1, 2_000)
    assert 200 < alarms < 400


def looks_by_definition(
    ranks: Floats, looks: Ints, enough: float
) -> list[tuple[int, float, float]]:
    """Return row, sum and age of what is told at looks before a row's rank."""
    sums, ages = by_definition(ranks, 0.0)
    told, candidate = [], False
    for row in looks.tolist():
        if row and (candidate or sums[row - 1] >= enough):
            told.append((row, sums[row - 1], ages[row - 1]))
            candidate = sums[row - 1] >= WITHDRAW * enough
    return told


def test_looks_tell_of_sums_above_the_patience_until_they_are_far_below() -> None:
    rng = np.random.default_rng(8)
    ranks = np.concatenate([rng.random(40), np.full(7, 0.97), rng.random(73)])
    looks, enough = np.arange(0, 120, 4), 600.0
    expected = looks_by_definition(ranks, looks, enough)
    assert 3 < len(expected) < len(looks) - 8
    assert expected[-1][1] < WITHDRAW * enough
    bank = bank_of(1, 1e12)
    bank.sums.patience[:] = 1e-9
    bank.reset(0)
    bank.sums.patience[:] = enough
    bank.update(ranks[np.newaxis], ROW, NOW, looks)
    found = [(look.row, look.statistic, look.age) for look in bank.sums.looked()]
    assert [row for row, _, _ in found] == [row for row, _, _ in expected]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert bank.sums.look() == []


def test_a_look_after_the_values_is_as_one_before_the_next() -> None:
    ranks = np.full((1, 30), 0.9)
    within, after = bank_of(1, 1e12), bank_of(1, 1e12)
    within.sums.patience[:] = after.sums.patience[:] = 5.0
    within.update(np.append(ranks, [[0.5]], axis=1), ROW, NOW, np.array([30]))
    after.update(ranks, ROW, NOW)
    (inside,), (later,) = within.sums.looked(), after.sums.look()
    assert inside._replace(row=0) == later
    after.update(np.full((1, 1), 0.5), ROW, NOW)
    np.testing.assert_equal(within.snapshot(), after.snapshot())


def test_nothing_is_told_of_signals_without_patience() -> None:
    bank = bank_of(2, 1e12)
    bank.sums.patience[0] = 5.0
    bank.update(np.full((1, 30), 0.9), np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64))
    assert [look.slot for look in bank.sums.look()] == [0]
    assert bank.update(np.full((1, 1), 0.9), ROW.repeat(2), NOW.repeat(2), NO_LOOKS).tolist() == [
        1,
        1,
    ]
    assert bank.sums.looked() == []


def test_what_is_dependent_weighs_slight_shifts_more() -> None:
    plain, dependent = bank_of(1), bank_of(1, 1e5, Expected(Stream.NUMERIC, dependent=True))
    ranks = np.full((1, 3), 0.55)
    plain.update(ranks, ROW, NOW)
    dependent.update(ranks, ROW, NOW)
    assert plain.snapshot()["sums"] is not dependent.snapshot()["sums"]
    assert plain.readings()[0][0] != dependent.readings()[0][0]
    dependent.reset(0, NUMBERS)
    plain.reset(0)
    np.testing.assert_equal(plain.snapshot(), dependent.snapshot())


def test_evidence_reaches_further_back_the_slower_it_grew() -> None:
    for stream in Stream:
        quick = evidence_of(1e5, 1e5, 20.0, stream)
        slow = evidence_of(1e5, 1e5, 200.0, stream)
        assert quick.pace == pytest.approx(20 / math.log(1e5))
        for evidence in (quick, slow):
            assert 0 <= evidence.latest < evidence.age - 1 < evidence.earliest
        assert slow.earliest - slow.latest > 5 * (quick.earliest - quick.latest)
    assert evidence_of(0.0, 1e5, 0.5, Stream.NUMERIC).latest == 0


def test_256_bytes_a_slot() -> None:
    state = bank_of(100).snapshot()
    sums, ages = state["sums"], state["ages"]
    assert isinstance(sums, np.ndarray)
    assert isinstance(ages, np.ndarray)
    assert sums.nbytes + ages.nbytes == 100 * 256


@pytest.mark.parametrize("power", [0, 4, 20])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.03, 0.97), (0.4, 0.9)])
def test_a_value_that_many_are_equal_to_counts_the_mean_of_its_factors(
    power: int, low: float, high: float
) -> None:
    bank = bank_of(1, 1e9, Expected(Stream.NUMERIC, power=power))
    before = bank.sums.sums[0].astype(np.float64)
    ties = np.array([[[low, high]]])
    bank.update(np.array([[0.5]]), ROW, NOW, NO_LOOKS, ties)
    grid = low + (high - low) * (np.arange(200_000) + 0.5) / 200_000
    factors = POWERED[power][np.searchsorted(BORDERS, grid, side="right") - 1]
    expected = before * factors.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(bank.sums.sums[0], expected, rtol=2e-3)


def test_a_value_that_never_moves_raises_nothing_however_long() -> None:
    for kind in (0.0, 7.5):
        detector = EDetector(1e3, np.full(1_000, kind))
        assert detector.update_many(np.full(300_000, kind)).tolist() == []


def test_a_value_that_many_are_equal_to_hides_no_change_behind_coins() -> None:
    def drawn(random: np.random.Generator, equal: float, size: int) -> Floats:
        return np.where(random.random(size) < equal, 0.0, random.normal(size=size))

    for seed in range(5):
        random = np.random.default_rng(seed)
        for before, after, within in ((0.99, 0.97, 2_500), (0.95, 0.98, 2_500), (0.99, 1.0, 3_500)):
            detector = EDetector(1e5, drawn(random, before, 10_000), seed=seed)
            assert len(detector.update_many(drawn(random, before, 20_000))) <= 1
            found = detector.update_many(drawn(random, after, within))
            assert len(found) == 1


def test_values_among_many_equal_ones_are_taken_one_by_one_as_all_at_once() -> None:
    random = np.random.default_rng(6)
    values = np.where(random.random(6_000) < 0.8, 3.0, random.normal(size=6_000))
    values[4_000:] = random.normal(size=2_000)
    one, many = (EDetector(1e3, values[:2_000]) for _ in range(2))
    found = []
    for index, value in enumerate(values[2_000:].tolist()):
        one.update(value)
        if one.drift_detected:
            found.append(index)
    assert found
    assert found == many.update_many(values[2_000:]).tolist()
