"""The single-series form: one value at a time, or many."""

import copy
import itertools
import math
import pickle
from collections.abc import Hashable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors import ADWIN, EDetector, PageHinkley
from streamdrift.detectors.series import ACCEPT_AFTER, LONGEST, WARMUP, Kind
from streamdrift.detectors.single import SeriesDetector
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


def one_by_one(detector: SeriesDetector, values: Any) -> list[tuple[int, Any, Any]]:
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


def test_very_many_levels() -> None:
    rng = np.random.default_rng(4)
    detector = EDetector(1e5, rng.permutation(np.arange(1_000).repeat(2)), "category")
    assert detector.update_many(rng.integers(0, 1_000, 800)).tolist() == []
    assert len(detector.update_many(range(1_000, 1_060))) == 1


def test_new_levels_are_seen_behind_very_many() -> None:
    detector = EDetector(1e5, np.arange(70_000).repeat(2), "category")
    assert len(detector.update_many(range(70_000, 71_000))) == 1


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


@pytest.mark.parametrize("arl", [1.0, 0.0, -5.0, 1.1e30, 1e37, 1e300, 10**400, math.inf, math.nan])
def test_a_run_length_that_is_none_is_refused(arl: float) -> None:
    for make in (EDetector, ADWIN, PageHinkley):
        with pytest.raises(ValueError, match=r"arl is .* above 1, 1e\+30 at most, not"):
            make(arl=arl)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reference", [1_500, 100_000])
def test_the_largest_run_length_has_alarms(kind: Kind, reference: int) -> None:
    usual: Any = {"numeric": [0, 1], "rate": [0, 0, 0, 1], "category": ["a", "b"]}[kind]
    other: Any = {"numeric": 9, "rate": 1, "category": "c"}[kind]
    draw = np.random.default_rng(5)
    values = [usual[place] for place in draw.integers(len(usual), size=reference)]
    detector = EDetector(LONGEST, values, kind)
    assert len(detector.update_many([other] * 500)) == 1
    assert detector.onset is not None
    assert -10 <= detector.onset[0] <= detector.onset[1] < 10


def test_a_warm_up_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup"):
        EDetector(warmup=0)


@pytest.mark.parametrize("reference", [[], [math.nan, math.inf]])
def test_a_reference_without_a_value_is_refused(reference: list[float]) -> None:
    with pytest.raises(ValueError, match="no finite value"):
        EDetector(reference=reference)


def test_a_reference_without_a_level_is_refused() -> None:
    with pytest.raises(ValueError, match="the reference holds no value"):
        EDetector(reference=[], kind="category")


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is one of numeric, rate, category"):
        EDetector(kind="ordinal")  # type: ignore[arg-type]


def test_levels_that_cannot_be_looked_up_are_refused() -> None:
    detector = EDetector(1e5, ["a", "b"], "category")
    with pytest.raises(TypeError):
        detector.update(["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("arl", ["1e5", [1e5], np.ones(2)])
def test_a_run_length_that_is_no_number_is_refused(arl: Any) -> None:
    for make in (EDetector, ADWIN, PageHinkley):
        with pytest.raises(
            TypeError, match=r"arl is a number of values above 1, 1e\+30 at most, not"
        ):
            make(arl=arl)


@pytest.mark.parametrize("wrong", [None, 1.5, "7"])
@pytest.mark.parametrize("name", ["warmup", "seed"])
def test_counts_are_whole_numbers(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is a whole number, not {wrong!r}"):
        EDetector(**{name: wrong})


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        EDetector(seed=seed)


ODD_SCALARS = [
    np.datetime64("2026-01-01"),
    np.datetime64(7, "ns"),
    np.timedelta64(7, "ns"),
    np.str_("7.5"),
    np.complex128(1),
]


@pytest.mark.parametrize(
    "wrong", ["7.5", [1.0], {"a": 1}, np.ones(1), Decimal("sNaN"), *ODD_SCALARS], ids=repr
)
def test_what_is_no_number_is_refused_and_changes_nothing(wrong: Any) -> None:
    reference, values = streams("numeric")
    detector, same = EDetector(1e4, reference), EDetector(1e4, reference)
    with pytest.raises(TypeError, match="a number is wanted"):
        detector.update(wrong)
    with pytest.raises(TypeError, match="a number is wanted"):
        detector.update_many([0.5, wrong])
    assert detector.update_many(values).tolist() == same.update_many(values).tolist()


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "timedelta64[ns]", "datetime64[D]"])
def test_times_are_no_numbers(dtype: str) -> None:
    times = np.arange(50).astype(dtype)
    for detector in (EDetector(1e5, [0, 1]), ADWIN()):
        with pytest.raises(TypeError, match="numbers are wanted, not values of"):
            detector.update_many(times)
    EDetector(1e5, times, "category").update_many(times)


@pytest.mark.parametrize("wrong", [3, "abc", b"abc"])
def test_what_is_no_series_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a series"):
        EDetector(reference=wrong)


@pytest.mark.parametrize(
    "wrong", [{0.5: 1, 1.5: 2}, {0.5, 1.5}, frozenset({0.5}), {0.5: 1}.keys()], ids=repr
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_order_is_refused(kind: Kind, wrong: Any) -> None:
    with pytest.raises(TypeError, match="in an order"):
        EDetector(reference=wrong, kind=kind)
    for detector in (EDetector(1e4, [0, 1], kind), ADWIN()):
        with pytest.raises(TypeError, match="in an order"):
            detector.update_many(wrong)


@pytest.mark.parametrize("kind", ["numeric", "rate"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64, object])
def test_what_is_masked_is_skipped(kind: Kind, dtype: Any) -> None:
    reference, values = (np.nan_to_num(np.round(8 * each)) for each in streams(kind))
    if kind == "rate":
        reference, values = reference / 8, values / 8
    hidden = np.random.default_rng(7).random(len(values)) < 0.3
    masked = np.ma.array(np.where(hidden, 77, values).astype(dtype), mask=hidden)
    given = np.ma.array([*reference, 77], mask=[False] * len(reference) + [True])
    plain, block, single = (EDetector(1e4, each, kind) for each in (reference, given, given))
    expected = plain.update_many(np.where(hidden, np.nan, values)).tolist()
    assert len(expected) > 1
    assert block.update_many(masked).tolist() == expected
    assert [place for place, _, _ in one_by_one(single, masked)] == expected
    raw, other = ADWIN(), ADWIN()
    found = other.update_many(np.where(hidden, np.nan, values)).tolist()
    assert raw.update_many(masked).tolist() == found


def test_a_masked_level_is_a_missing_one() -> None:
    codes = np.random.default_rng(8).integers(0, 4, 6_000)
    masked = np.ma.array(codes, mask=codes == 0)
    written = [None if code == 0 else code for code in codes.tolist()]
    plain, block, single = (EDetector(1e4, written[:2_000], "category") for _ in range(3))
    expected = plain.update_many(written[2_000:] + [None] * 100).tolist()
    assert len(expected) == 1
    for part in (masked[2_000:], masked[codes == 0][:100]):
        block.update_many(part)
        one_by_one(single, part)
    assert block.n_detections == single.n_detections == 1
    assert block.onset == single.onset == plain.onset


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="one dimension"):
        EDetector(reference=np.zeros((5, 2)), kind=kind)


@pytest.mark.parametrize("wrong", [-1, 0.5, 7])
def test_a_rate_is_of_0_and_1(wrong: float) -> None:
    detector = EDetector(1e5, [0, 1, True, False, np.float32(1), None], "rate")
    with pytest.raises(ValueError, match=f"not of {float(wrong)}"):
        detector.update(wrong)
    with pytest.raises(ValueError, match=f"not of {float(wrong)}"):
        detector.update_many([1, wrong])


def test_numbers_may_be_of_any_type() -> None:
    reference, values = streams("numeric")
    values = np.round(values * 8)
    plain = EDetector(1e4, reference * 8)
    others: list[Any] = [int, np.float32, np.int64, Fraction, Decimal]
    mixed = EDetector(1e4, [Decimal(8 * x) for x in reference.tolist()])
    for place, value in enumerate(values.tolist()):
        other = None if math.isnan(value) else others[place % 5](int(value))
        plain.update(value)
        mixed.update(other)
        assert mixed.drift_detected == plain.drift_detected
    assert plain.n_detections == mixed.n_detections > 0
    blocks = EDetector(1e4, reference * 8)
    assert len(blocks.update_many(values.astype(np.float32))) == plain.n_detections
    assert blocks.n_detections == plain.n_detections


def test_a_number_too_large_for_a_float_is_skipped() -> None:
    detector = EDetector(1e5, [0.0, 1.0] * 100)
    detector.update(10**400)
    assert detector.update_many([0.5, 10**400, 0.5]).tolist() == []


def test_a_missing_level_is_one_level_however_it_is_written() -> None:
    draw = np.random.default_rng(8)
    codes = draw.integers(0, 3, 12_000)
    missing = draw.random(12_000) < 0.02
    written: list[Hashable] = [
        None if gone else int(x) for gone, x in zip(missing, codes, strict=True)
    ]
    floats = np.where(missing, np.nan, codes.astype(float))
    by_none = EDetector(1e4, written[:5_000], "category")
    by_nan = EDetector(1e4, floats[:5_000], "category")
    assert (
        by_nan.update_many(floats[5_000:]).tolist() == by_none.update_many(written[5_000:]).tolist()
    )
    assert len(by_nan.update_many(np.full(100, np.nan))) == 1


def test_levels_that_never_come_again_are_not_kept() -> None:
    detector = EDetector(1e5, ["a", "b", "c"] * 500, "category")
    detector.update_many([f"id-{place}" for place in range(30_000)])
    reachable = pickle.dumps(detector)
    assert len(reachable) < 200_000
    assert b"id-0" not in reachable


@pytest.mark.parametrize("law", [1.0, 1.6])
def test_rare_levels_raise_no_alarms(law: float) -> None:
    draw = np.random.default_rng(3)
    shares = np.arange(1, 5_001.0) ** -law
    shares /= shares.sum()
    values = draw.choice(5_000, 60_000, p=shares)
    detector = EDetector(1e5, values[:10_000], "category")
    assert len(detector.update_many(values[10_000:])) <= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_a_copy_goes_on_as_its_original(kind: Kind, copied: Any) -> None:
    reference, values = streams(kind)
    original = EDetector(1e4, reference, kind)
    one_by_one(original, values[:200])
    again = copied(original)
    found = one_by_one(original, values[200:])
    assert found
    assert one_by_one(again, values[200:]) == found


@pytest.mark.parametrize(
    ("detector", "told"),
    [
        (EDetector(reference=[1.0, 2.0]), "EDetector(arl=100000.0, kind='numeric', seed=0)"),
        (
            EDetector(10_000, kind="rate", seed=np.int64(7), warmup=50),  # type: ignore[arg-type]
            "EDetector(arl=10000.0, kind='rate', seed=7, warmup=50)",
        ),
        (
            ADWIN(),
            "ADWIN(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)",
        ),
        (
            PageHinkley(threshold=20, mode="up"),
            "PageHinkley(min_instances=30, delta=0.005, threshold=20, alpha=0.9999, mode='up')",
        ),
        (
            PageHinkley(arl=1e4, reference=[1.0]),
            "PageHinkley(min_instances=30, mode='both', arl=10000.0, kind='numeric', seed=0)",
        ),
    ],
)
def test_a_detector_is_shown_with_its_parameters(detector: SeriesDetector, told: str) -> None:
    assert repr(detector) == repr(detector.clone()) == repr(copy.copy(detector)) == told


def remembering(kind: Kind, size: int) -> Any:
    """Return values that tell of the next ones: what explains them moves on with a series."""
    rng = np.random.default_rng(size)
    if kind == "numeric":
        values = rng.normal(size=size) + 2 * np.sin(np.arange(size) / 8)
        for place in range(1, size):
            values[place] += 0.6 * values[place - 1]
        return values
    fresh = np.flatnonzero((rng.random(size) < 0.2) | (np.arange(size) == 0))
    codes = np.repeat(
        rng.integers(0, 2 if kind == "rate" else 4, len(fresh)), np.diff(fresh, append=size)
    )
    return codes.astype(np.float64) if kind == "rate" else codes.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_found_in_a_reference_is_said(kind: Kind) -> None:
    plain: Any = numbers(1, (0, 5_000)) if kind == "numeric" else rates(1, (0.4, 5_000))
    assert not any(
        "memory" in each or "a value tells" in each for each in EDetector(1e4, plain, kind).findings
    )
    known = EDetector(1e4, remembering(kind, 4_000), kind)
    assert any(each.startswith("a value tells of the next") for each in known.findings)
    assert known.clone().findings == copy.copy(known).findings == known.findings
    learned = EDetector(1e4, None, kind, warmup=4_000)
    assert learned.findings == ()
    learned.update_many(remembering(kind, 4_000))
    assert learned.findings == known.findings


def test_what_is_not_assured_is_said() -> None:
    walk = EDetector(1e5, np.cumsum(np.random.default_rng(1).normal(size=5_000)))
    assert any(each.startswith("no stable level in the reference") for each in walk.findings)
    assert any(
        "evidence counts to the power" in each
        for each in EDetector(1e4, remembering("numeric", 4_000)).findings
    )
    far = ADWIN(arl=1e14, reference=numbers(1, (0, 5_000)))
    assert any("its threshold is extrapolated" in each for each in far.findings)
    assert ADWIN().findings == PageHinkley().findings == ()


def every_form(kind: Kind) -> list[SeriesDetector]:
    """Return detectors with and without a reference, and those of raw numbers."""
    reference, _ = streams(kind)
    made: list[SeriesDetector] = [EDetector(1e4, None, kind, seed=3, warmup=300)]
    for make in (EDetector, ADWIN, PageHinkley):
        made.append(make(arl=1e4, reference=reference, kind=kind, seed=3))
    made.append(EDetector(1e4, remembering(kind, 4_000), kind))
    return made if kind == "category" else [*made, ADWIN(), PageHinkley(threshold=20)]


def state(detector: SeriesDetector) -> tuple[Any, ...]:
    return detector.n_detections, detector.drift_detected, detector.onset, detector.effect


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_copy_is_given_its_original_does_not_see(kind: Kind) -> None:
    _, values = streams(kind)
    heard = 0
    for detector in every_form(kind):
        detector.update_many(values[:350])
        before = state(detector)
        again = copy.copy(detector)
        found = again.update_many(values[350:]).tolist()
        heard += len(found)
        assert state(detector) == before
        assert detector.update_many(values[350:]).tolist() == found
        assert state(detector) == state(again)
    assert heard >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_has_seen_nothing(kind: Kind) -> None:
    _, values = streams(kind)
    for detector, fresh in zip(every_form(kind), every_form(kind), strict=True):
        # Up to where the reference is another one: what a clone has is the one that was given.
        detector.update_many([*values, *values])
        before = state(detector)
        clone = detector.clone()
        assert type(clone) is type(detector)
        assert state(clone) == state(fresh) == (0, False, None, None)
        assert one_by_one(clone, values) == one_by_one(fresh, values)
        assert state(detector) == before
        assert (
            clone.clone().update_many(values).tolist() == fresh.clone().update_many(values).tolist()
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [ADWIN, PageHinkley])
def test_others_hold_and_go_on_as_the_default_does(kind: Kind, make: Any) -> None:
    reference, values = streams(kind)
    single, block = (make(arl=1e4, reference=reference, kind=kind) for _ in range(2))
    found = one_by_one(single, values)
    assert 2 <= len(found) <= 6
    assert block.update_many(values).tolist() == [place for place, _, _ in found]
    assert (block.onset, block.effect) == found[-1][1:]
    assert block.n_detections == len(found)
    learned = make(arl=1e4, kind=kind, warmup=1_500)
    together = [*reference, *values]
    assert learned.update_many(together).tolist() == [1_500 + place for place, _, _ in found]


@pytest.mark.parametrize("make", [ADWIN, PageHinkley])
def test_others_hear_a_new_level_by_the_levels_before_it(make: Any) -> None:
    reference, usual, new = levels(1, (USUAL, 5_000)), levels(2, (USUAL, 1_000)), ["new"] * 1_500
    (alarm,) = make(arl=1e5, reference=reference, kind="category").update_many(usual + new)
    assert 1_000 <= alarm < 1_050
    # With none before it there is nothing that it could be a change of, but for the default.
    assert not len(make(arl=1e5, reference=reference, kind="category").update_many(new))
    assert len(EDetector(1e5, reference, "category").update_many(new)) == 1


@pytest.mark.parametrize("make", [ADWIN, PageHinkley])
def test_others_alarm_about_as_often_as_was_asked(make: Any) -> None:
    alarms = 0
    for seed in range(5):
        detector = make(arl=1e4, reference=numbers(seed, (0, 10_000)))
        alarms += len(detector.update_many(numbers(100 + seed, (0, 40_000))))
    assert 2 <= alarms <= 35  # 20 on average


@pytest.mark.parametrize("make", [ADWIN, PageHinkley])
@pytest.mark.parametrize(
    "wrong", [{"reference": [1.0]}, {"kind": "rate"}, {"seed": 1}, {"warmup": 50}]
)
def test_raw_numbers_have_no_use_for_what_ranks_need(make: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match="give arl, too"):
        make(**wrong)


@pytest.mark.parametrize("make", [ADWIN, PageHinkley])
def test_raw_numbers_that_are_skipped_do_not_count(make: Any) -> None:
    values = numbers(1, (0, 1_000), (40, 60))
    holes: list[float | None] = [each for value in values.tolist() for each in (None, value)]
    plain, holey, single = make(), make(), make()
    found = plain.update_many(values)
    assert len(found) > 0
    assert holey.update_many(holes).tolist() == (2 * found + 1).tolist()
    assert [place for place, *_ in one_by_one(single, holes)] == (2 * found + 1).tolist()
    assert holey.onset == single.onset == plain.onset
    assert holey.effect is None
