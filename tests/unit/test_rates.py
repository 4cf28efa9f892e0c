"""The e-detector of 0/1 streams against its definition, and how its rate is learned."""

import math

import numpy as np
import pytest

from streamdrift.detectors.bank import Expected
from streamdrift.detectors.rates import LATE, ODDS, WEIGHTS, ERateBank
from streamdrift.detectors.sums import head_start
from streamdrift.records import Floats, Ints

ROW, NOW = np.array([0]), np.array([0])
BLOCK = 1_000


def bank_of(zeros: float, ones: float, run_length: float = 1e12) -> ERateBank:
    return ERateBank([Expected.of_rate(zeros, ones)], np.array([run_length]))


def factors(zeros: float, ones: float) -> Floats:
    """Return the factors float64[2, 12] of a 0 and a 1 after so many of both."""
    size = zeros + ones
    rate = (ones + 1) / (size + 2)
    error = 0.1 * math.sqrt(rate * (1 - rate) / size)
    none = 1 / (1 + rate * (ODDS - 1))
    forgiven = 1 + error * np.abs(ODDS - 1) * none
    return np.array([none, ODDS * none]) / forgiven


def by_definition(values: Floats, factor_at: list[Floats]) -> tuple[Floats, Floats]:
    """Return the sum over all beginnings after each value, and the mean age of its products."""
    weights, start = WEIGHTS.astype(np.float64), head_start(1e12, math.inf)
    rows = np.array([each[int(x)] for each, x in zip(factor_at, values, strict=True)])
    sums, ages = [], []
    for now in range(1, len(values) + 1):
        products = [(weights * rows[begin:now].prod(axis=0)).sum() for begin in range(now)]
        products.append(start * (weights * rows[:now].prod(axis=0)).sum())
        lengths = np.array([*range(now, 0, -1), now])
        sums.append(float(np.sum(products)))
        ages.append(float(np.sum(lengths * products)) / sums[-1])
    return np.array(sums), np.array(ages)


def run(bank: ERateBank, values: Floats) -> tuple[list[float], list[int]]:
    sums, ages = [], []
    for value in values.tolist():
        bank.update(np.array([[value]]), ROW, NOW)
        sums.append(float(bank.readings()[0][0]))
        ages.append(bank.evidence(0).age)
    return sums, ages


@pytest.mark.parametrize("rate", [0.2, 0.6])
def test_of_a_small_reference_every_value_is_counted_behind_its_own_factor(rate: float) -> None:
    values = (np.random.default_rng(1).random(150) < rate).astype(float)
    ones = 100 * 0.2 + np.concatenate([[0], np.cumsum(values)[:-1]])
    zeros = 100 + np.arange(150) - ones
    sums, ages = by_definition(values, list(map(factors, zeros.tolist(), ones.tolist())))
    bank = bank_of(80, 20)
    found, aged = run(bank, values)
    np.testing.assert_allclose(found, sums, rtol=1e-4)
    np.testing.assert_allclose(aged, ages, rtol=1e-3, atol=0.51)
    assert bank.learned(0).tolist() == [80 + 150 - values.sum(), 20 + values.sum()]


def test_of_a_large_one_blocks_are_counted_one_block_late() -> None:
    values = (np.random.default_rng(2).random(2 * BLOCK + 60) < 0.2).astype(float)
    bank = bank_of(0.8 * LATE, 0.2 * LATE)
    bank.update(values[np.newaxis, : 2 * BLOCK - 1], ROW, NOW)
    assert bank.learned(0).tolist() == [0.8 * LATE, 0.2 * LATE]
    bank.update(values[np.newaxis, 2 * BLOCK - 1 : 2 * BLOCK], ROW, NOW)
    ones = values[:BLOCK].sum()
    assert bank.learned(0).tolist() == [0.8 * LATE + BLOCK - ones, 0.2 * LATE + ones]
    bank.restore({**bank.snapshot(), "sums": np.zeros((1, 12), dtype=np.float32)})
    rest = values[2 * BLOCK :]
    table = factors(0.8 * LATE + BLOCK - ones, 0.2 * LATE + ones)
    rows, expected = table[rest.astype(int)], 0.0
    sums = np.zeros(12)
    found, _ = run(bank, rest)
    for row, figure in zip(rows, found, strict=True):
        sums = (sums + WEIGHTS) * row
        expected = float(sums.sum())
        assert figure == pytest.approx(expected, rel=1e-4)


def test_factors_are_e_values_at_every_rate_that_is_as_it_was_learned() -> None:
    for zeros, ones in ((50.0, 50.0), (9_990.0, 10.0), (100.0, 0.0), (0.0, 3.0)):
        rate = (ones + 1) / (zeros + ones + 2)
        none, one = factors(zeros, ones)
        mean = (1 - rate) * none + rate * one
        assert (mean <= 1).all()
        assert (mean > 0.8).all()
    assert pytest.approx(1, abs=1e-6) == WEIGHTS.sum()


@pytest.mark.parametrize("size", [500, 2_000, LATE])
@pytest.mark.parametrize("rate", [0.2, 0.01])
def test_false_alarms_are_at_most_those_asked_for(size: int, rate: float) -> None:
    # 100 slots, each of another reference, 10,000 values each: 500 were asked for at most.
    slots, run_length, events, alarms = 100, 2e3, 10_000, 0
    rng = np.random.default_rng(3)

    def expected() -> Expected:
        ones = int(rng.binomial(size, rate))
        return Expected.of_rate(size - ones, ones)

    bank = ERateBank([expected() for _ in range(slots)], np.full(slots, run_length))
    for _ in range(events // 2_500):
        values = (rng.random((slots, 2_500)) < rate).astype(float)
        start = np.zeros(slots, dtype=np.int64)
        while (start < 2_500).any():
            found = bank.update(values, np.arange(slots), start)
            for slot in np.flatnonzero(found < 2_500).tolist():
                alarms += 1
                bank.reset(slot, expected())
            start = np.minimum(found + 1, 2_500)
    assert 200 < alarms <= 500


def test_a_change_is_found_and_its_values_are_taken_back() -> None:
    rng = np.random.default_rng(4)
    bank = bank_of(1_600, 400, 1e4)
    values = (rng.random((1, 3_000)) < 0.35).astype(float)
    alarm = int(bank.update(values, ROW, NOW)[0])
    assert 20 < alarm < 400
    assert bank.learned(0).sum() == 2_000 + alarm + 1
    bank.take_back(0, values[0, : alarm + 1])
    assert bank.learned(0).tolist() == [1_600, 400]
    bank.reset(0)
    assert bank.readings()[0][0] == pytest.approx(10, rel=1e-6)


def test_what_is_not_counted_is_not_taken_back() -> None:
    values = (np.random.default_rng(5).random((1, 1_500)) < 0.2).astype(float)
    bank = bank_of(0.8 * LATE, 0.2 * LATE)
    bank.update(values, ROW, NOW)
    bank.take_back(0, values[0, -500:])
    assert bank.learned(0).tolist() == [0.8 * LATE, 0.2 * LATE]


@pytest.mark.parametrize(("zeros", "ones"), [(0.0, 100.0), (100.0, 0.0), (0.0, 1.0)])
def test_rates_of_nothing_else_are_quiet_until_something_else_comes(
    zeros: float, ones: float
) -> None:
    bank = bank_of(zeros, ones, 1e5)
    same = np.full((1, 5_000), float(ones > 0))
    assert bank.update(same, ROW, NOW).tolist() == [5_000]
    assert np.isfinite(bank.readings()[0]).all()
    other = 1 - same[:, :500]
    assert bank.update(other, ROW, NOW)[0] < 100


@pytest.mark.parametrize("limit", [60.0, 3e3, 1e7])
@pytest.mark.parametrize("rate", [0.0, 0.002, 0.05, 0.4, 1.0])
def test_values_taken_together_are_as_one_by_one(rate: float, limit: float) -> None:
    rng = np.random.default_rng(6)
    values = (rng.random(5_000) < rate).astype(float)
    values[3_000:3_400] = rng.random(400) < 0.5 * rate + 0.05
    values[rng.random(5_000) < 0.03] = np.nan
    values[4_000:4_200] = np.nan
    seconds = np.unique(rng.integers(0, 5_000, 300))
    found = [_seen(values, seconds, rate, limit, step) for step in (5_000, 1)]
    assert found[0] == found[1]
    assert limit > 100 or any(found[0][0])


def _seen(
    values: Floats, seconds: Ints, rate: float, limit: float, step: int
) -> tuple[list[int], list[tuple[int, float, float]], bytes]:
    """Return alarms, what looks saw, and the state behind values taken `step` at a time."""
    bank = bank_of(LATE * (1 - rate), LATE * rate, limit)
    bank.sums.patience[:] = limit / 3
    bank.reset(0)
    alarms, looks, begin = [], [], 0
    while begin < len(values):
        block = values[np.newaxis, begin : begin + step]
        inside = seconds[(seconds >= begin) & (seconds < begin + step)] - begin
        alarm = int(bank.update(block, ROW, NOW, inside)[0])
        looks += [
            (begin + each.row, each.statistic, each.age)
            for each in bank.sums.looked()
            if each.row <= alarm
        ]
        if alarm < block.shape[1]:
            alarms.append(begin + alarm)
            bank.reset(0)
        begin += min(alarm + 1, block.shape[1])
    state = bank.snapshot()
    return alarms, looks, b"".join(np.asarray(state[key]).tobytes() for key in sorted(state))


def test_150_bytes_a_slot() -> None:
    bank = ERateBank([Expected.of_rate(80, 20)] * 100, np.full(100, 1e5))
    state = bank.snapshot().values()
    assert sum(array.nbytes for array in state if isinstance(array, np.ndarray)) <= 100 * 150
