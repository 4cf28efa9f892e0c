"""FOCuS finds the likeliest change among all, and no other."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from streamdrift.detectors import Bank, Expected, FocusSettings, make_bank
from streamdrift.detectors.hull import CORNERS
from streamdrift.records import Floats, Stream
from tests.series import alarms

PLACE = np.zeros(1, dtype=np.int64)
NUMERIC = Expected(Stream.NUMERIC)


def focus(
    expected: Expected = NUMERIC, mean: str = "known", threshold: float = 12.0, least: float = 0.0
) -> Bank:
    one = FocusSettings(mean=mean, threshold=threshold, minimum_effect=least)
    return make_bank(one, [expected], np.ones(1))


def divergence(share: Floats, expected: float) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(share > 0, share * np.log(share / expected), 0.0)
        zeros = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - expected)), 0.0)
    return ones + zeros


def by_brute_force(
    values: Floats, expected: Expected, known: bool, threshold: float, least: float
) -> tuple[int, float, int] | None:
    """Return where the best of all changes is above the threshold, its ratio and its age."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for count in range(1, len(values) + 1):
        older = np.arange(count)
        newer = count - older
        after = (sums[count] - sums[:count]) / newer
        before = np.full(count, expected.mean)
        if not known:
            before = sums[:count] / np.maximum(older, 1)
        if expected.stream is Stream.RATE and known:
            ratio = newer * divergence(after, expected.mean)
        elif expected.stream is Stream.RATE:
            pooled = min(max(sums[count] / count, 1e-300), 1 - 1e-16)
            ratio = newer * divergence(after, pooled) + older * divergence(before, pooled)
        else:
            weight = newer if known else newer * older / count
            ratio = 0.5 * weight * ((after - before) / expected.scale) ** 2
        allowed = np.abs(after - before) >= least * expected.scale
        ratio = np.where(allowed & (known | (older > 0)), ratio, 0.0)
        if ratio.max() >= threshold:
            return count - 1, float(ratio.max()), count - 1 - int(np.argmax(ratio))
    return None


@pytest.mark.parametrize("seed", range(60))
def test_no_change_is_likelier_than_the_one_found(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, after = random.random(2)
    values = np.concatenate([random.random(250), random.random(250) * after])
    expected = NUMERIC
    if seed % 2:
        values = (values < np.repeat([before, after], 250)).astype(np.float64)
        expected = Expected.of_rate(1_000 * (1 - before), 1_000 * before)
    known, least, threshold = bool(seed % 4 < 2), seed % 3 * 0.1, float(random.uniform(2, 9))
    bank = focus(expected, "known" if known else "unknown", threshold, least)
    wanted = by_brute_force(values, expected, known, threshold, least)
    found = int(bank.update(values.reshape(1, -1), PLACE, PLACE)[0])
    if wanted is None:
        assert found == len(values)
        return
    assert found == wanted[0]
    evidence = bank.evidence(0)
    assert evidence.statistic == pytest.approx(wanted[1], rel=1e-9)
    assert evidence.latest <= wanted[2] <= evidence.earliest


@pytest.mark.parametrize("mean", ["known", "unknown"])
@pytest.mark.parametrize("shift", [0.15, -0.3])
def test_the_onset_holds_the_change(mean: str, shift: float) -> None:
    slots = 200
    random = np.random.default_rng(5)
    values = random.random((slots, 3_500))
    values[:, 3_000:] = np.clip(values[:, 3_000:] + shift, 0, 1)
    one = FocusSettings(mean=mean)
    bank = make_bank(one, [NUMERIC] * slots, np.full(slots, 1e7))
    found = bank.update(values, np.arange(slots), np.zeros(slots, dtype=np.int64))
    assert (found >= 3_000).all()
    assert (found < 3_500).all()
    held = 0
    for slot in range(slots):
        evidence = bank.evidence(slot)
        held += found[slot] - evidence.earliest <= 3_000 <= found[slot] - evidence.latest
    assert held >= 0.92 * slots


def test_a_rare_rate_is_judged_by_its_likelihood() -> None:
    expected = Expected.of_rate(10_000, 10)
    values = np.zeros((1, 100))
    values[0, [50, 60]] = 1
    two_in_eleven = 11 * divergence(np.array([2 / 11]), expected.mean)[0]
    assert focus(expected, threshold=two_in_eleven - 0.01).update(values, PLACE, PLACE) == 60
    assert focus(expected, threshold=two_in_eleven + 0.01).update(values, PLACE, PLACE) == 100


@pytest.mark.parametrize("mean", ["known", "unknown"])
def test_a_steady_slope_keeps_few_corners(mean: str) -> None:
    bank = focus(mean=mean, threshold=1e9)
    values = np.linspace(0.5, 1.0, 5_000, endpoint=False).reshape(1, -1)
    assert bank.update(values, PLACE, PLACE).tolist() == [5_000]
    state = bank.snapshot()
    assert len(state["places"]) <= 2 * CORNERS  # type: ignore[arg-type]
    statistic = bank.readings()[0][0]
    middle = 2_500 if mean == "unknown" else 1_667
    rise = 1e-4 * (2_500 if mean == "unknown" else (middle + 4_999) / 2)
    weight = middle * (5_000 - middle) / 5_000 if mean == "unknown" else 5_000 - middle
    assert statistic == pytest.approx(0.5 * weight * (rise / NUMERIC.scale) ** 2, rel=0.02)


@pytest.mark.parametrize("mean", ["known", "unknown"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_rate_alarms_only_where_it_is_known_to_be_another(
    mean: str, value: float
) -> None:
    bank = focus(Expected.of_rate(80, 20), mean, 20.0)
    found = alarms(bank, np.full(300, value))
    assert bool(found) == (mean == "known")


def test_a_lasting_small_effect_does_not_hide_a_large_one() -> None:
    values = np.concatenate([np.full(30_000, 0.51), np.full(400, 0.8)])
    bank = focus(least=0.1)
    found = int(bank.update(values.reshape(1, -1), PLACE, PLACE)[0])
    assert 30_000 <= found < 30_040
    assert focus(least=0.0).update(values.reshape(1, -1), PLACE, PLACE)[0] < 30_000
    assert found - bank.evidence(0).latest >= 30_000


def test_units_are_the_signals_own() -> None:
    random = np.random.default_rng(2)
    values = random.normal(0, 1, 2_000)
    values[1_500:] += 1
    narrow = focus(Expected(Stream.NUMERIC, 0.0, 1.0))
    wide = focus(Expected(Stream.NUMERIC, 0.0, 1_024.0))
    assert alarms(narrow, values) == alarms(wide, values * 1_024) != []


def test_what_is_no_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="known"):
        FocusSettings(mean="guessed")
    with pytest.raises(ValidationError, match="threshold"):
        FocusSettings(threshold=-math.inf)
