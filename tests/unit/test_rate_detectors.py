"""DDM, EDDM and HDDM decide like river's, value by value."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from river.drift import binary

from streamdrift.detectors import (
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    Expected,
    HddmASettings,
    HddmWSettings,
    make_bank,
)
from streamdrift.records import Floats, Stream
from tests.series import alarms, recorded_series

PLACE = np.zeros(1, dtype=np.int64)


def pair(kind: str, **parameters: Any) -> tuple[DetectorSettings, Any]:
    """Return a detector's settings and river's detector, of the same parameters."""
    if kind == "ddm":
        return DdmSettings(**parameters), binary.DDM(**parameters)
    if kind == "eddm":
        return EddmSettings(**parameters), binary.EDDM(alpha=0.99, **parameters)
    theirs: Any = binary.HDDMA if kind == "hddm_a" else binary.HDDMW
    ours = HddmASettings if kind == "hddm_a" else HddmWSettings
    return ours(**parameters), theirs(warning_confidence=0.9, **parameters)


def drawn_parameters(kind: str, random: np.random.Generator) -> dict[str, Any]:
    if kind == "ddm":
        return {
            "warm_start": int(random.integers(0, 60)),
            "drift_threshold": float(random.uniform(0.5, 4)),
        }
    if kind == "eddm":
        return {
            "warm_start": int(random.integers(0, 60)),
            "beta": float(random.uniform(0.5, 0.95)),
        }
    weight = {"lambda_val": float(random.uniform(0.01, 0.5))} if kind == "hddm_w" else {}
    return weight | {
        "drift_confidence": 10.0 ** float(random.uniform(-5, -0.3)),
        "two_sided_test": bool(random.integers(2)),
    }


def river_alarms(detector: Any, values: Floats) -> list[int]:
    found = []
    for index, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found


def our_alarms(one: DetectorSettings, values: Floats) -> list[int]:
    return alarms(make_bank(one, [Expected.of_rate(1, 1)], np.full(1, 1e5)), values)


def rates(random: np.random.Generator, length: int = 4_000) -> Floats:
    """Return 0/1 values of a rate that jumps."""
    level = np.repeat(random.random(8) ** random.choice([1, 3]), length // 8)
    return (random.random(length) < level).astype(np.float64)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kind", ["ddm", "eddm", "hddm_a", "hddm_w"])
def test_alarms_of_rates_equal_rivers(kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = rates(random)
    ours, river = pair(kind, **drawn_parameters(kind, random))
    assert our_alarms(ours, values) == river_alarms(river, values)


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("kind", ["hddm_a", "hddm_w"])
def test_alarms_of_numbers_equal_rivers(kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    level = np.repeat(random.random(8), 250) / 2
    values = random.random(2_000) / 2 + level
    ours, river = pair(kind, **drawn_parameters(kind, random))
    assert our_alarms(ours, values) == river_alarms(river, values)


@pytest.mark.parametrize("kind", ["ddm", "eddm", "hddm_a", "hddm_w"])
def test_recorded_errors_alarm_as_with_river(kind: str) -> None:
    parameters: dict[str, Any] = {
        "ddm": {"warm_start": 30, "drift_threshold": 3.0},
        "eddm": {"beta": 0.9},
        "hddm_a": {"drift_confidence": 0.001, "two_sided_test": True},
        "hddm_w": {"drift_confidence": 0.001, "two_sided_test": True},
    }[kind]
    compared = 0
    for name in ("elec2", "lobo"):
        for title, values in recorded_series(name):
            if set(np.unique(values)) != {0.0, 1.0}:
                continue
            values = values[:10_000]
            ours, river = pair(kind, **parameters)
            expected = river_alarms(river, values)
            assert our_alarms(ours, values) == expected, title
            compared += len(expected)
    assert compared > 0


@given(
    parts=st.lists(st.tuples(st.sampled_from(["0", "1", "01", "0001"]), st.integers(1, 80))),
    kind=st.sampled_from(["ddm", "eddm", "hddm_a", "hddm_w"]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=200, deadline=None)
def test_no_series_tells_them_from_rivers(
    parts: list[tuple[str, int]], kind: str, seed: int
) -> None:
    values = np.array([float(bit) for bits, count in parts for bit in bits * count])
    ours, river = pair(kind, **drawn_parameters(kind, np.random.default_rng(seed)))
    assert our_alarms(ours, values) == river_alarms(river, values)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_a_constant_series_never_alarms(value: float) -> None:
    for one in (HddmASettings(), HddmWSettings()):
        assert our_alarms(one, np.full(5_000, value)) == []


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_rate_never_alarms(value: float) -> None:
    for one in (DdmSettings(), EddmSettings()):
        assert our_alarms(one, np.full(5_000, value)) == []


@pytest.mark.parametrize(
    ("one", "after"),
    [(DdmSettings(drift_threshold=3), 0.35), (HddmASettings(), 0.35), (HddmASettings(), 0.08)],
)
def test_the_change_began_within_the_onset(one: DetectorSettings, after: float) -> None:
    slots = 200
    random = np.random.default_rng(3)
    values = (random.random((slots, 6_000)) < 0.2).astype(np.float64)
    values[:, 3_000:] = random.random((slots, 3_000)) < after
    bank = make_bank(one, [Expected.of_rate(8_000, 2_000)] * slots, np.full(slots, 1e6))
    found = bank.update(values, np.arange(slots), np.zeros(slots, dtype=np.int64))
    late = np.flatnonzero((found >= 3_000) & (found < 6_000)).tolist()
    held = 0
    for slot in late:
        evidence = bank.evidence(slot)
        held += found[slot] - evidence.earliest <= 3_000 <= found[slot] - evidence.latest
    assert len(late) >= 150
    assert held >= 0.9 * len(late)


def test_a_warm_start_left_open_holds_thirty_ones() -> None:
    bank = make_bank(DdmSettings(drift_threshold=3), [Expected.of_rate(9_900, 100)], np.ones(1))
    values = np.zeros((1, 3_100))
    values[0, 2_900] = 1
    assert bank.update(values, PLACE, PLACE).tolist() == [3_100]
    values[0, 3_050] = 1
    bank.reset(0)
    assert bank.update(values, PLACE, PLACE).tolist() == [3_100]
    short = make_bank(
        DdmSettings(warm_start=30, drift_threshold=3), [Expected.of_rate(9_900, 100)], np.ones(1)
    )
    assert short.update(values, PLACE, PLACE).tolist() == [2_900]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (DdmSettings, {"drift_threshold": 0}),
        (DdmSettings, {"warm_start": -1}),
        (EddmSettings, {"beta": 1}),
        (HddmASettings, {"drift_confidence": 0}),
        (HddmWSettings, {"lambda_val": 1, "drift_confidence": 0.1}),
    ],
)
def test_impossible_settings_are_refused(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        kind(**wrong)


def test_detectors_of_rates_take_no_numbers_at_the_budget() -> None:
    for one in (DdmSettings(), EddmSettings()):
        with pytest.raises(ValueError, match="takes 0/1 signals only"):
            make_bank(one, [Expected(Stream.NUMERIC)], np.full(1, 1e5))
