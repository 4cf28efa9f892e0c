"""The single-series form: one value at a time, or many."""

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors import EDetector
from streamdrift.detectors.series import ACCEPT_AFTER, WARMUP, Kind
from streamdrift.records import Floats


def numbers(seed: int, *parts: tuple[float, int]) -> Floats:
    """Return normal values whose mean is as the parts say, for so many values each."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, 1, size) for mean, size in parts])


def rates(seed: int, *parts: tuple[float, int]) -> Floats:
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(size) < rate).astype(float) for rate, size in parts])


def levels(seed: int, *parts: tuple[Sequence[float], int]) -> list[Hashable]:
    rng = np.random.default_rng(seed)
    names: list[Hashable] = ["web", 7, ("app", 2), None, 1.5]
    return [names[place] for shares, size in parts for place in rng.choice(5, size, p=shares)]


USUAL, OTHER = [0.5, 0.3, 0.15, 0.05, 0.0], [0.3, 0.3, 0.15, 0.15, 0.1]


def streams(kind: Kind) -> tuple[Any, Any]:
    """Return a reference, and a stream with a change that ends and one that lasts."""
    if kind == "numeric":
        values = numbers(1, (0, 400), (1.5, 300), (0, 800), (-1.5, 2_400), (0, 300))
        values[::50] = np.nan
        return numbers(2, (0, 1_500)), values
    if kind == "rate":
        return rates(2, (0.2, 1_500)), rates(
            1, (0.2, 400), (0.7, 300), (0.2, 800), (0.6, 2_400), (0.2, 300)
        )
    return levels(2, (USUAL, 1_500)), levels(
        1, (USUAL, 400), (OTHER, 300), (USUAL, 800), (OTHER, 2_600), (USUAL, 300)
    )


KINDS: tuple[Kind, ...] = ("numeric", "rate", "category")


def one_by_one(detector: EDetector, values: Any) -> list[tuple[int, Any, Any]]:
    found = []
    for place, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append((place, detector.onset, detector.effect))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_many_values_are_as_so_many_single_ones(kind: Kind) -> None:
    reference, values = streams(kind)
    single, block = (EDetector(1e4, reference, kind, seed=3) for _ in range(2))
    found = one_by_one(single, values)
    assert len(found) >= 3
    assert block.update_many(values).tolist() == [place for place, _, _ in found]
    assert (block.onset, block.effect) == found[-1][1:]
    assert (single.onset, single.effect) == found[-1][1:]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 4_200), max_size=6))
def test_cuts_change_nothing(kind: Kind, cuts: list[int]) -> None:
    reference, values = streams(kind)
    whole, parts = (EDetector(1e4, reference, kind, seed=3) for _ in range(2))
    expected = whole.update_many(values).tolist()
    found = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(values)]):
        found += (start + parts.update_many(values[start:stop])).tolist()
    assert found == expected
    assert (parts.onset, parts.effect) == (whole.onset, whole.effect)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_reference_the_first_values_are_one(kind: Kind) -> None:
    reference, values = streams(kind)
    given, learned = EDetector(1e4, reference, kind), EDetector(1e4, None, kind, warmup=1_500)
    found = given.update_many(values)
    together = [*reference, *values]
    assert learned.update_many(together).tolist() == (found + 1_500).tolist()
    assert given.onset is not None
    assert learned.onset == tuple(each + 1_500 for each in given.onset)
    single = EDetector(1e4, None, kind, warmup=1_500)
    assert [place for place, _, _ in one_by_one(single, together)] == (found + 1_500).tolist()


def test_the_warm_up_is_of_10_000_values_and_raises_nothing() -> None:
    detector = EDetector(arl=100)
    values = numbers(4, (0, WARMUP - 1_000), (5, 1_000))
    assert detector.update_many(values).tolist() == []
    assert detector.onset is None
    assert detector.effect is None
    assert not detector.drift_detected


@pytest.mark.parametrize(
    ("kind", "before", "after"), [("numeric", 0.0, 1.0), ("numeric", 0.0, -0.5), ("rate", 0.2, 0.4)]
)
def test_a_change_that_lasts_is_one_alarm(kind: Kind, before: float, after: float) -> None:
    draw = numbers if kind == "numeric" else rates
    for seed in range(5):
        detector = EDetector(1e7, draw(seed, (before, 3_000)), kind)
        values = draw(100 + seed, (before, 1_000), (after, 12_000))
        (alarm,) = detector.update_many(values).tolist()
        assert 1_000 <= alarm < 1_500
        assert detector.onset is not None
        assert detector.onset[0] <= detector.onset[1] <= alarm
        assert detector.onset[0] <= 1_020


def test_a_change_of_what_a_change_became_is_another() -> None:
    detector = EDetector(1e6, numbers(1, (0, 3_000)))
    parts = (0.0, 500), (1.0, ACCEPT_AFTER + 600), (2.0, 1_000)
    found = detector.update_many(numbers(2, *parts)).tolist()
    assert len(found) == 2
    assert 500 <= found[0] < 600
    assert 3_100 <= found[1] < 3_200


def test_a_change_that_ends_and_comes_again_is_two() -> None:
    detector = EDetector(1e6, numbers(1, (0, 3_000)))
    parts = (0.0, 500), (1.0, 500), (0.0, 1_500), (1.0, 500)
    first, second = detector.update_many(numbers(2, *parts)).tolist()
    assert 500 <= first < 600
    assert 2_500 <= second < 2_600


def test_numbers_that_are_not_finite_are_skipped() -> None:
    values = numbers(1, (0, 300), (2, 100))
    holes = np.repeat(values, 2)
    holes[1::4], holes[3::4] = np.nan, -np.inf
    reference = numbers(2, (0, 500))
    plain = EDetector(1e4, reference)
    holey = EDetector(1e4, np.append(reference, [np.nan, np.inf]))
    expected = plain.update_many(values)
    assert len(expected) == 1
    assert holey.update_many(holes).tolist() == (2 * expected).tolist()
    assert holey.onset == plain.onset
    holey.update(math.nan)
    assert not holey.drift_detected
    assert holey.effect == plain.effect


def test_the_flag_is_that_of_the_last_value() -> None:
    reference, values = numbers(1, (0, 500)), numbers(2, (0, 100), (5, 60))
    detector = EDetector(1e4, reference)
    (alarm,) = detector.update_many(values).tolist()
    assert not detector.drift_detected
    exact = EDetector(1e4, reference)
    exact.update_many(values[: alarm + 1])
    assert exact.drift_detected
    exact.update(5.0)
    assert not exact.drift_detected
    exact.update_many([])
    assert not exact.drift_detected


def test_effects_say_what_changed() -> None:
    shifted = EDetector(1e5, numbers(1, (0, 5_000)))
    shifted.update_many(numbers(2, (0, 500), (-1, 200)))
    assert shifted.effect is not None
    assert shifted.effect.shift.low < -1 < shifted.effect.shift.high < 0
    assert shifted.effect.spread.low < 1 < shifted.effect.spread.high
    lower = EDetector(1e5, rates(1, (0.5, 5_000)), "rate")
    lower.update_many(rates(2, (0.5, 500), (0.1, 200)))
    assert lower.effect is not None
    assert lower.effect.shift.high < 0
    assert lower.effect.variation.low < 0.4 < lower.effect.variation.high


def test_levels_may_be_anything_hashable_and_new_ones_come_at_any_time() -> None:
    reference = levels(1, (USUAL, 3_000))
    detector = EDetector(1e5, reference, "category")
    assert detector.update_many(levels(2, (USUAL, 1_000))).tolist() == []
    new = [frozenset({place}) for place in range(50)]
    found = one_by_one(detector, new)
    assert len(found) == 1
    assert found[0][0] < 20
    assert detector.effect is not None
    assert detector.effect.variation.high > 0.9


def test_levels_beyond_the_reference_are_told_apart_once_it_is_accepted() -> None:
    detector = EDetector(1e5, ["a"] * 600 + ["b"] * 400, "category")
    rng = np.random.default_rng(3)
    changed = rng.choice(["c", "d"], ACCEPT_AFTER + 500).tolist()
    assert len(detector.update_many(changed)) == 1
    assert detector.update_many(rng.choice(["c", "d"], 2_000).tolist()).tolist() == []
    assert len(detector.update_many(["d"] * 100)) == 1


@pytest.mark.parametrize("count", [1_000, 70_000])
def test_very_many_levels(count: int) -> None:
    rng = np.random.default_rng(4)
    reference = rng.permutation(np.arange(count).repeat(2))
    detector = EDetector(1e5, reference.tolist(), "category")
    assert detector.update_many(rng.integers(0, count, 800).tolist()).tolist() == []
    assert len(detector.update_many(range(count, count + 60))) == 1


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_a_constant_is_quiet_until_it_moves(value: float) -> None:
    detector = EDetector(1e5, [value] * 500)
    assert detector.update_many([value] * 2_000).tolist() == []
    assert len(detector.update_many([value + 1] * 60)) == 1


def test_reference_of_one_value() -> None:
    for kind, values in (("numeric", [3.0]), ("rate", [1]), ("category", ["x"])):
        detector = EDetector(1e5, values, kind)  # type: ignore[arg-type]
        assert detector.update_many(values * 50).tolist() == []


def test_other_units_are_the_same_alarms() -> None:
    reference, values = streams("numeric")
    plain, other = EDetector(1e4, reference), EDetector(1e4, 1_000 * reference + 5_000)
    expected = plain.update_many(values)
    assert other.update_many(1_000 * values + 5_000).tolist() == expected.tolist()
    assert other.effect == plain.effect


@pytest.mark.parametrize("arl", [1.0, 0.0, -5.0, math.inf, math.nan])
def test_a_run_length_that_is_none_is_refused(arl: float) -> None:
    with pytest.raises(ValueError, match="arl"):
        EDetector(arl)


def test_a_warm_up_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup"):
        EDetector(warmup=0)


@pytest.mark.parametrize("reference", [[], [math.nan, math.inf]])
def test_a_reference_without_a_value_is_refused(reference: list[float]) -> None:
    with pytest.raises(ValueError, match="no finite value"):
        EDetector(reference=reference)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="ordinal"):
        EDetector(kind="ordinal")  # type: ignore[arg-type]


def test_levels_that_cannot_be_looked_up_are_refused() -> None:
    detector = EDetector(1e5, ["a", "b"], "category")
    with pytest.raises(TypeError):
        detector.update(["a"])  # type: ignore[arg-type]
