"""The e-detector of categories against its definition, and its levels: new, rare, very many."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from streamdrift.detectors.bank import Expected
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.category_bets import cell_of
from streamdrift.detectors.single import EDetector
from streamdrift.detectors.sums import head_start
from streamdrift.records import Floats, Stream
from streamdrift.references.shares import MAX_CELLS, cells_of

ROW, NOW = np.array([0]), np.array([0])
MEMORIES = (60, 250, 1_000, 4_000)
ODDS = np.exp([0.35, 0.8, 1.6, -0.35, -0.8, -1.6])
NEW_ODDS = np.exp([2.0, 4.0])


def bank_of(counts: Sequence[float] | Floats, run_length: float = 1e12) -> ECategoryBank:
    expected = Expected(Stream.CATEGORY, counts=np.array(counts, dtype=np.float64))
    return ECategoryBank([expected], np.array([run_length]))


def odds_factors(odds: Floats, inside: bool, share: float) -> list[float]:
    factors: Floats = np.where(inside, odds, 1.0) / (1 + share * (odds - 1))
    return [float(factor) for factor in factors]


class Plain:
    """The bank as it is described, slowly: exact exponential histograms, no scales."""

    def __init__(self, counts: Floats, run_length: float = 1e12) -> None:
        learned, groups, strengths = cells_of(counts)
        self.cells = learned
        # An urn of groups, whose balls are as many as were seen, and in each one of its levels,
        # whose balls are the more the more its levels are alike.
        self.groups = [groups == group for group in range(len(strengths))]
        self.seen = [learned[group].sum() for group in self.groups]
        self.weights_within = learned * strengths[groups]
        self.known = len(counts)
        self.memories = [self.cells / self.cells.sum() for _ in MEMORIES]
        self.singles = min(12, len(self.cells) - 1)
        cumulative = np.cumsum(self.cells)
        half = int(np.searchsorted(cumulative, self.cells.sum() / 2)) + 1
        self.half = min(half, len(self.cells) - 1)
        bets = (self.singles + 1) * len(ODDS)
        self.weights = np.array([0.125] * 4 + [0.4 / bets] * bets + [0.05] * 2)
        self.sums = head_start(run_length, math.inf) * self.weights
        self.ages = np.zeros(len(self.weights))

    def take(self, place: float) -> tuple[float, float]:
        cell = len(self.cells) - 1
        if place < self.known:
            cell = min(int(place), len(self.cells) - 2)
        shares = self.learned() / sum(self.seen)
        factors = [0.7 * memory[cell] / shares[cell] + 0.3 for memory in self.memories]
        for group in range(self.singles):
            factors += odds_factors(ODDS, cell == group, shares[group])
        factors += odds_factors(ODDS, cell < self.half, shares[: self.half].sum())
        factors += odds_factors(NEW_ODDS, cell == len(self.cells) - 1, shares[-1])
        begun = self.sums + self.weights
        self.sums = begun * factors
        self.ages = (self.ages + begun) * factors
        for k, memory in enumerate(MEMORIES):
            self.memories[k] = self.memories[k] * (1 - 1 / memory)
            self.memories[k][cell] += 1 / memory
        self.weights_within[cell] += 1
        self.seen = [seen + group[cell] for seen, group in zip(self.seen, self.groups, strict=True)]
        return float(self.sums.sum()), float(self.ages.sum() / self.sums.sum())

    def learned(self) -> Floats:
        found = np.zeros(len(self.cells))
        for seen, group in zip(self.seen, self.groups, strict=True):
            within = self.weights_within[group]
            found[group] = seen * within / within.sum()
        return found


@pytest.mark.parametrize(
    "counts",
    [[50, 30, 15, 5], [1_000], [200 - i for i in range(60)], [3] * 300, [5, 1, 1, 1]],
    ids=["few", "one level", "many", "more than cells", "seen once"],
)
def test_the_statistic_is_that_of_the_description(counts: list[float]) -> None:
    rng = np.random.default_rng(len(counts))
    bank, plain = bank_of(counts), Plain(np.array(counts, dtype=float))
    places = rng.choice(len(counts) + 1, 400, p=np.append(counts, 2) / (sum(counts) + 2))
    for place in places.tolist():
        bank.update(np.array([[float(place)]]), ROW, NOW)
        expected, age = plain.take(place)
        assert bank.readings()[0][0] == pytest.approx(expected, rel=1e-3)
        assert bank.evidence(0).age == pytest.approx(age, rel=1e-2, abs=0.51)
    np.testing.assert_allclose(bank.learned(0), plain.learned())


def test_memories_stay_exact_after_many_values() -> None:
    # The scale of a memory of 60 values falls below 1e-100 after some 14,000 values.
    bank, plain = bank_of([60, 40], 1e30), Plain(np.array([60.0, 40.0]), 1e30)
    places = (np.random.default_rng(1).random(15_000) < 0.4).astype(float)
    bank.update(places[np.newaxis], ROW, NOW)
    for place in places.tolist():
        expected, _ = plain.take(place)
    assert bank.readings()[0][0] == pytest.approx(expected, rel=1e-2)


def test_the_factors_of_the_next_level_have_a_mean_of_one() -> None:
    for counts in ([50, 30, 15, 5], [9], [1] * 40):
        size, after = len(cells_of(np.array(counts, dtype=float)).counts), []
        for cell in range(size):
            bank = bank_of(counts)
            bank.update(np.array([[0.0, 0.0, float(len(counts))]]), ROW, NOW)
            before, shares = bank.readings()[0][0], bank.learned(0) / bank.learned(0).sum()
            place = len(counts) if cell == size - 1 else cell
            bank.update(np.array([[float(place)]]), ROW, NOW)
            after.append(bank.readings()[0][0])
        # One for the value, of the weights of levels that there are.
        weights = 0.5 + 0.4 + 0.1
        assert shares @ np.array(after) == pytest.approx(before + weights, rel=1e-4)


def test_levels_that_were_never_seen_count_as_those_seen_once() -> None:
    assert cells_of(np.array([5.0, 3.0])).counts[-1] == 1
    assert cells_of(np.array([5.0, 1.0, 1.0, 1.0])).counts[-1] == 3
    assert cells_of(np.array([5.0, 1.0, 1.0, 1.0]), closed=True).counts[-1] == 1
    many = cells_of(np.full(1_000, 2.0)).counts
    assert len(many) == MAX_CELLS
    assert many[-2:] == pytest.approx([1_999 * (1_000 - MAX_CELLS + 2) / 1_000, 1])
    assert cell_of(0, 4, 3) == 0
    assert cell_of(3, 4, 3) == 3
    assert cell_of(999, MAX_CELLS, 1_000) == MAX_CELLS - 2
    assert cell_of(1_000, MAX_CELLS, 1_000) == MAX_CELLS - 1


@pytest.mark.parametrize(
    ("after", "within"),
    [
        ([0.3, 0.4, 0.2, 0.1, 0.0], 300),
        ([0.45, 0.27, 0.18, 0.09, 0.01], 900),
        ([0.0, 0.0, 0.0, 0.0, 1.0], 10),
    ],
    ids=["one level more", "new at 1 %", "nothing but new"],
)
def test_changes_are_found(after: list[float], within: int) -> None:
    rng = np.random.default_rng(2)
    counts = np.array([5_000.0, 2_500, 1_500, 1_000])
    bank = bank_of(counts, 1e5)
    usual = rng.choice(4, (1, 2_000), p=counts / counts.sum()).astype(float)
    assert bank.update(usual, ROW, NOW).tolist() == [2_000]
    changed = rng.choice(5, (1, 2_000), p=after).astype(float)
    assert bank.update(changed, ROW, NOW)[0] < within


def test_false_alarms_are_at_most_those_asked_for() -> None:
    # 50 slots of small references, 6,000 values each: 300 were asked for at most.
    slots, alarms = 50, 0
    rng = np.random.default_rng(3)
    shares = np.array([0.5, 0.25, 0.15, 0.06, 0.04])

    def expected() -> Expected:
        counts = np.sort(rng.multinomial(500, shares))[::-1].astype(float)
        return Expected(Stream.CATEGORY, counts=counts)

    bank = ECategoryBank([expected() for _ in range(slots)], np.full(slots, 1e3))
    values = rng.choice(5, (slots, 6_000), p=shares).astype(float)
    start = np.zeros(slots, dtype=np.int64)
    while (start < 6_000).any():
        found = bank.update(values, np.arange(slots), start)
        for slot in np.flatnonzero(found < 6_000).tolist():
            alarms += 1
            bank.reset(slot, expected())
        start = np.minimum(found + 1, 6_000)
    assert 60 < alarms <= 300


def test_what_was_counted_since_a_change_is_taken_back() -> None:
    bank = bank_of([70, 20, 10])
    before = bank.learned(0)
    places = np.array([0.0, 2.0, 1.0, 9.0, 2.0])
    bank.update(places[np.newaxis], ROW, NOW)
    assert bank.learned(0) - before == pytest.approx([1, 1, 2, 1])
    bank.take_back(0, places)
    assert bank.learned(0) == pytest.approx(before)


def test_a_slot_takes_over_another_number_of_levels() -> None:
    bank, made = bank_of([70, 20, 10]), bank_of([5] * 40)
    bank.update(np.zeros((1, 30)), ROW, NOW)
    bank.reset(0, Expected(Stream.CATEGORY, counts=np.full(40, 5.0)))
    np.testing.assert_equal(bank.snapshot(), made.snapshot())


@pytest.mark.parametrize(
    ("shares", "size"),
    [
        (np.full(300, 1 / 300), 10_000),
        (np.full(254, 1 / 254), 2_000),
        (np.full(1_000, 1 / 1_000), 10_000),
        (1 / np.arange(1, 5_001), 10_000),
    ],
    ids=["300 alike", "254 alike, a small reference", "1,000 alike", "5,000 rarer and rarer"],
)
def test_many_levels_alarm_no_more_than_was_asked(shares: Floats, size: int) -> None:
    # 12 in all were asked for at most; so many more come by chance.
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(6):
        codes = rng.choice(len(shares), size + 20_000, p=shares / shares.sum()).tolist()
        detector = EDetector(arl=1e4, reference=codes[:size], kind="category")
        alarms += len(detector.update_many(codes[size:]))
    assert alarms <= 18


def test_what_is_taken_back_is_as_if_it_had_never_been() -> None:
    rng = np.random.default_rng(9)
    before, changed, after = (
        rng.choice(3, (1, size), p=shares).astype(float)
        for size, shares in ((500, (0.5, 0.3, 0.2)), (40, (0.4, 0.3, 0.3)), (200, (0.5, 0.3, 0.2)))
    )
    banks = [bank_of([50, 30, 20]) for _ in range(2)]
    for bank, seen in zip(banks, (before, np.concatenate([before, changed], axis=1)), strict=True):
        assert bank.update(seen, ROW, NOW)[0] == seen.shape[1]
    banks[1].take_back(0, changed[0])
    for bank in banks:
        bank.reset(0)
        bank.update(after, ROW, NOW)
    first, second = (bank.readings()[0][0] for bank in banks)
    assert first == pytest.approx(second, rel=1e-6)
