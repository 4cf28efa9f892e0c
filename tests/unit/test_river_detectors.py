"""River's detectors by name: the same alarms, and a state that can be written out."""

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from river import drift

from streamdrift.detectors import Bank, Expected, RiverSettings, make_bank
from streamdrift.detectors.river import SPECIFICATIONS
from streamdrift.records import Floats
from tests.series import alarms

CASES: list[tuple[str, dict[str, Any]]] = [("FHDDM", {}), ("FHDDM", {"short_window_size": 20})]


def bank_of(name: str, parameters: dict[str, Any]) -> Bank:
    settings = RiverSettings(name=name, parameters=parameters)
    return make_bank(settings, [Expected.of_rate(1, 1)], np.full(1, 1e5))


def series(length: int = 3_000) -> Floats:
    random = np.random.default_rng(length)
    level = np.repeat([0.2, 0.6, 0.1, 0.5, 0.9], length // 5)
    return (random.random(length) < level).astype(np.float64)


def test_every_offered_detector_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(SPECIFICATIONS)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_alarms_equal_rivers(name: str, parameters: dict[str, Any]) -> None:
    detector: Any = getattr(drift.binary, name)(**parameters)
    expected = []
    for index, value in enumerate(series().astype(int).tolist()):
        detector.update(value)
        if detector.drift_detected:
            expected.append(index)
    assert alarms(bank_of(name, parameters), series()) == expected != []


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("cut", [0, 1, 29, 30, 100, 101, 700, 1_251, 2_400])
def test_a_restored_detector_goes_on_alike(name: str, parameters: dict[str, Any], cut: int) -> None:
    values = series()
    uninterrupted, restored = bank_of(name, parameters), bank_of(name, parameters)
    alarms(uninterrupted, values[:cut])
    restored.restore(uninterrupted.snapshot())
    assert alarms(restored, values[cut:]) == alarms(uninterrupted, values[cut:])
    assert repr(restored.snapshot()) == repr(uninterrupted.snapshot())


def test_a_detector_restored_right_after_its_alarm_starts_anew_like_the_other() -> None:
    for name, parameters in CASES:
        values = series()
        uninterrupted, restored = bank_of(name, parameters), bank_of(name, parameters)
        cut = alarms(bank_of(name, parameters), values)[0] + 1
        alarms(uninterrupted, values[:cut])
        restored.restore(uninterrupted.snapshot())
        assert alarms(restored, values[cut:]) == alarms(uninterrupted, values[cut:])


def test_what_cannot_be_written_out_is_refused_with_what_can() -> None:
    for name in ("NoDrift", "DummyDriftDetector", "ADWIN", "DDM", "fhddm"):
        with pytest.raises(ValidationError, match="Choose one of FHDDM; the others are kinds"):
            RiverSettings(name=name)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window": 3, "nonsense": 1}, "window is none of .*; nonsense is none of"),
        ({"sliding_window_size": "30"}, "sliding_window_size must be a whole number, not '30'"),
        ({"sliding_window_size": 30.5}, "sliding_window_size must be a whole number, not 30.5"),
        ({"short_window_size": True}, "short_window_size must be a whole number, not True"),
        ({"confidence_level": "x"}, "confidence_level must be a finite number, not 'x'"),
        ({"confidence_level": math.nan}, "confidence_level must be a finite number, not nan"),
        ({"confidence_level": 0}, "fails on trial: division by zero"),
        ({"sliding_window_size": 0}, "fails on trial"),
        ({"short_window_size": 200}, "fails on trial"),
        ({"confidence_level": 1}, "fails on trial"),
    ],
)
def test_what_would_fail_on_events_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"parameters of FHDDM: .*{message}"):
        RiverSettings(name="FHDDM", parameters=parameters)


@pytest.mark.parametrize(
    "parameters", [{"sliding_window_size": 10**9}, {"short_window_size": None}]
)
def test_unusual_parameters_are_accepted(parameters: dict[str, Any]) -> None:
    assert RiverSettings(name="FHDDM", parameters=parameters).parameters == parameters
