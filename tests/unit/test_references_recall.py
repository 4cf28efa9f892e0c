"""The memory of categories: found where there is one, explained in words, exact behind it."""

from collections.abc import Callable

import numpy as np
import pytest

from streamdrift.detectors import EDetector
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.categories import ECategoryBank
from streamdrift.detectors.learning import Reference, learn
from streamdrift.records import Floats, Sample, Stream
from streamdrift.references.findings import Code
from streamdrift.references.recall import (
    AVERAGE,
    FRESH,
    LAST,
    ROUND,
    USUAL,
    Recall,
)
from streamdrift.references.recall_fit import fit_recall, variance_left

SHARES = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
Draw = Callable[[np.random.Generator, int], Floats]


def staying(stay: float, shares: Floats = SHARES) -> Draw:
    """Return levels that repeat the last one with a chance."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        new = random.choice(len(shares), size, p=shares)
        fresh = random.random(size) >= stay
        fresh[0] = True
        last = np.maximum.accumulate(np.where(fresh, np.arange(size), 0))
        return new[last].astype(np.float64)

    return draw


def bursting(random: np.random.Generator, size: int) -> Floats:
    """Draw five levels, one of them in bursts of some 50 values."""
    switched = random.random(size) < 0.02
    on = np.cumsum(switched) % 2 == 1
    levels = random.integers(0, 5, size)
    return np.where(on & (random.random(size) < 0.6), 0, levels).astype(np.float64)


def rounds(count: int) -> Draw:
    return lambda _, size: (np.arange(size) % count).astype(np.float64)


def sample_of(codes: Floats) -> Sample:
    counts = np.bincount(codes.astype(np.int64))
    order = np.argsort(-counts, kind="stable")
    places = np.empty(len(counts))
    places[order] = np.arange(len(counts))
    found = places[codes.astype(np.int64)]
    return Sample(Stream.CATEGORY, counts[order].astype(np.float64), order=found)


def learnt(draw: Draw, size: int = 10_000, seed: int = 1) -> Reference:
    return learn(sample_of(draw(np.random.default_rng(seed), size)))


def recall_of(draw: Draw, size: int = 10_000, seed: int = 1) -> Recall:
    recall = learnt(draw, size, seed).expected.recall
    assert recall is not None
    return recall


@pytest.mark.parametrize("stay", [0.2, 0.5, 0.8])
def test_levels_that_stay_are_known_by_how_often_they_do(stay: float) -> None:
    recall = recall_of(staying(stay))
    assert recall.chances[[FRESH, LAST]] == pytest.approx([1 - stay, stay], abs=0.02)
    assert recall.fresh[:5] / recall.fresh.sum() == pytest.approx(SHARES, abs=0.03)
    assert recall.fresh.sum() == pytest.approx(10_000 * (1 - stay), rel=0.05)
    assert recall.left == 1
    assert recall.variance_ratio == pytest.approx((1 + stay) / (1 - stay), rel=0.1)


def test_independent_levels_have_no_memory() -> None:
    for seed in range(5):
        for shares in (SHARES, np.full(50, 0.02), np.full(300, 1 / 300)):
            sample = sample_of(staying(0.0, shares)(np.random.default_rng(seed), 3_000))
            assert sample.order is not None
            assert fit_recall(sample.order, sample.values) is None
            assert variance_left(sample.order, sample.values) == 1


def test_a_step_in_the_reference_is_no_memory() -> None:
    random = np.random.default_rng(2)
    later = np.array([0.3, 0.2, 0.4, 0.07, 0.03])
    codes = np.concatenate([staying(0.0)(random, 5_000), staying(0.0, later)(random, 5_000)])
    expected = learn(sample_of(codes)).expected
    assert (expected.recall, expected.power) == (None, 0)


def test_bursts_are_told_from_averages_of_the_past_and_what_is_left_is_discounted() -> None:
    recall = recall_of(bursting)
    assert recall.chances[AVERAGE:USUAL].sum() > 0.3
    assert recall.left > 1.5


def test_rounds_of_levels_are_an_order() -> None:
    recall = recall_of(rounds(1_000))
    assert recall.chances[ROUND] > 0.999
    # The rarer levels are one.
    assert recall.round.tolist() == [min(place, 254) for place in range(1_000)]
    (finding,) = learnt(rounds(24)).findings
    assert finding.code is Code.ORDER


def test_levels_that_follow_each_other_are_told_by_what_usually_does() -> None:
    def follow(random: np.random.Generator, size: int) -> Floats:
        return (np.cumsum(random.choice([1, 2], size, p=[0.9, 0.1])) % 7).astype(np.float64)

    assert recall_of(follow).chances[USUAL] > 0.9


def test_what_a_rhythm_leaves_of_levels_without_memory_is_discounted() -> None:
    def slowly(random: np.random.Generator, size: int) -> Floats:
        share = 0.5 + 0.065 * np.sin(np.arange(size) / 60)
        return (random.random(size) < share).astype(np.float64)

    reference = learnt(slowly)
    assert reference.expected.recall is None
    assert reference.expected.power > 0
    assert [finding.code for finding in reference.findings] == [Code.DISCOUNTED]


def test_two_stretches_of_levels_are_no_memory() -> None:
    assert learnt(lambda _, size: (np.arange(size) > 600).astype(float), 1_000).findings == ()


def test_short_references_and_ever_new_levels_have_no_memory() -> None:
    assert learnt(staying(0.8), 400).expected.recall is None
    assert learnt(lambda _, size: np.arange(size, dtype=np.float64)).expected.recall is None


def test_a_reference_with_a_memory_is_restored_as_it_was() -> None:
    reference = learnt(bursting)
    again = Reference.restore(reference.snapshot())
    np.testing.assert_equal(again.snapshot(), reference.snapshot())


def test_the_factors_of_the_next_level_have_a_mean_of_one() -> None:
    recall = recall_of(staying(0.6))
    counts = sample_of(staying(0.6)(np.random.default_rng(1), 10_000)).values
    expected = Expected(Stream.CATEGORY, counts=counts, recall=recall)
    row = np.array([0])
    for last in (0.0, 3.0):
        after, chances = [], []
        for place in range(len(recall.fresh)):
            bank = ECategoryBank([expected], np.array([1e9]))
            bank.update(np.array([[last]]), row, row)
            before, learned = bank.readings()[0][0], bank.learned(0)
            own = learned[place] / learned.sum()
            chances.append(recall.chances[FRESH] * own + recall.chances[LAST] * (place == last))
            bank.update(np.array([[float(place)]]), row, row)
            after.append(bank.readings()[0][0])
        assert np.dot(chances, after) / sum(chances) == pytest.approx(before + 1, rel=1e-4)


@pytest.mark.parametrize(
    "draw",
    [staying(0.5), staying(0.8), bursting, rounds(24), rounds(1_000)],
    ids=["staying .5", "staying .8", "bursts", "rounds of 24", "rounds of 1,000"],
)
def test_false_alarms_are_at_most_three_times_those_asked_for(draw: Draw) -> None:
    # 12 in all were asked for at most.
    alarms = 0
    for seed in range(6):
        codes = draw(np.random.default_rng(seed), 30_000).tolist()
        detector = EDetector(arl=1e4, reference=codes[:10_000], kind="category")
        alarms += len(detector.update_many(codes[10_000:]))
    assert alarms <= 36


@pytest.mark.parametrize(
    ("before", "after", "within"),
    [
        (staying(0.5), staying(0.5, SHARES[::-1].copy()), 200),
        (staying(0.8), staying(0.8, SHARES[::-1].copy()), 500),
        (staying(0.8), staying(0.2), 200),
        (staying(0.2), staying(0.8), 200),
        (rounds(24), staying(0.0, np.full(24, 1 / 24)), 20),
    ],
    ids=["shares", "shares, staying longer", "staying less", "staying more", "out of order"],
)
def test_changes_behind_a_memory_are_found(before: Draw, after: Draw, within: int) -> None:
    for seed in range(3):
        random = np.random.default_rng(seed)
        codes = before(random, 12_000).tolist()
        detector = EDetector(arl=1e5, reference=codes[:10_000], kind="category")
        assert detector.update_many(codes[10_000:]).tolist() == []
        found = detector.update_many(after(random, 2_000).tolist())
        assert found[0] < within


def test_values_one_by_one_and_all_at_once_are_the_same() -> None:
    for draw in (bursting, rounds(24), staying(0.8)):
        random = np.random.default_rng(5)
        codes = draw(random, 4_000).tolist() + staying(0.0)(random, 3_000).tolist()
        one, many = (EDetector(1e3, codes[:2_000], "category") for _ in range(2))
        found = []
        for index, code in enumerate(codes[2_000:]):
            one.update(code)
            if one.drift_detected:
                found.append(index)
        assert found == many.update_many(codes[2_000:]).tolist()
        assert found
