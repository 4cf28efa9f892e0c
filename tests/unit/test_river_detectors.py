"""River's detectors by name: the same alarms, and a state that can be written out."""

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from river import drift

from streamdrift.detectors import Bank, RiverSettings, make_bank
from streamdrift.detectors.river import SPECIFICATIONS
from streamdrift.records import Floats
from tests.series import alarms

CASES: list[tuple[str, dict[str, Any]]] = [
    ("KSWIN", {"seed": 7, "alpha": 0.0005}),
    ("DDM", {}),
    ("EDDM", {"alpha": 0.9, "beta": 0.85}),
    ("FHDDM", {}),
    ("FHDDM", {"short_window_size": 20}),
    ("HDDMA", {}),
    ("HDDMA", {"two_sided_test": True}),
    ("HDDMW", {}),
    ("HDDMW", {"two_sided_test": True, "lambda_val": 0.02}),
]


def bank_of(name: str, parameters: dict[str, Any]) -> Bank:
    return make_bank(RiverSettings(name=name, parameters=parameters), np.ones(1))


def series(binary: bool, length: int = 3_000) -> Floats:
    random = np.random.default_rng(length)
    level = np.repeat([0.2, 0.6, 0.1, 0.5, 0.9], length // 5)
    values = random.random(length)
    return (values < level).astype(np.float64) if binary else values + level


def test_every_offered_detector_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(SPECIFICATIONS)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_alarms_equal_rivers(name: str, parameters: dict[str, Any]) -> None:
    binary = SPECIFICATIONS[name].binary
    detector: Any = getattr(drift.binary if binary else drift, name)(**parameters)
    expected = []
    for index, value in enumerate(series(binary).tolist()):
        detector.update(value)
        if detector.drift_detected:
            expected.append(index)
    assert alarms(bank_of(name, parameters), series(binary)) == expected != []


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("cut", [0, 1, 29, 30, 100, 101, 700, 1_251, 2_400])
def test_a_restored_detector_goes_on_alike(name: str, parameters: dict[str, Any], cut: int) -> None:
    values = series(SPECIFICATIONS[name].binary)
    uninterrupted, restored = bank_of(name, parameters), bank_of(name, parameters)
    alarms(uninterrupted, values[:cut])
    restored.restore(uninterrupted.snapshot())
    assert alarms(restored, values[cut:]) == alarms(uninterrupted, values[cut:])
    assert repr(restored.snapshot()) == repr(uninterrupted.snapshot())


def test_a_detector_restored_right_after_its_alarm_starts_anew_like_the_other() -> None:
    for name, parameters in CASES:
        values = series(SPECIFICATIONS[name].binary)
        uninterrupted, restored = bank_of(name, parameters), bank_of(name, parameters)
        cut = alarms(bank_of(name, parameters), values)[0] + 1
        alarms(uninterrupted, values[:cut])
        restored.restore(uninterrupted.snapshot())
        assert alarms(restored, values[cut:]) == alarms(uninterrupted, values[cut:])


def test_sampling_without_a_seed_is_the_same_every_time() -> None:
    values = series(binary=False)
    assert alarms(bank_of("KSWIN", {}), values) == alarms(bank_of("KSWIN", {}), values)


def test_what_cannot_be_written_out_is_refused_with_what_can() -> None:
    for name in ("NoDrift", "DummyDriftDetector", "ADWIN", "kswin"):
        with pytest.raises(ValidationError, match="KSWIN, DDM, EDDM, FHDDM, HDDMA, HDDMW"):
            RiverSettings(name=name)


def test_wrong_parameters_are_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="parameters of KSWIN"):
        RiverSettings(name="KSWIN", parameters={"window": 3, "nonsense": 1})
    with pytest.raises(ValidationError, match="Alpha must be between 0 and 1"):
        RiverSettings(name="KSWIN", parameters={"alpha": 2})


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("DDM", {"warm_start": "30"}, "warm_start must be a whole number, not '30'"),
        ("DDM", {"drift_threshold": "x"}, "drift_threshold must be a finite number, not 'x'"),
        ("DDM", {"drift_threshold": math.nan}, "drift_threshold must be a finite number, not nan"),
        ("DDM", {"start": 1, "stop": 2}, "start is none of warm_start, .*; stop is none of"),
        ("KSWIN", {"stat_size": 30.5}, "stat_size must be a whole number, not 30.5"),
        ("KSWIN", {"window": "abc"}, "window must be a whole number"),
        ("KSWIN", {"seed": True}, "seed must be a whole number, not True"),
        ("KSWIN", {"window_size": 5_000, "stat_size": 3_000}, "fails on trial: Sample larger"),
        ("HDDMA", {"drift_confidence": "a"}, "drift_confidence must be a finite number, not 'a'"),
        ("HDDMA", {"drift_confidence": 0}, "fails on trial: float division by zero"),
        ("HDDMA", {"warning_confidence": 0}, "fails on trial: float division by zero"),
        ("HDDMA", {"two_sided_test": 1}, "two_sided_test must be true or false, not 1"),
        ("HDDMW", {"drift_confidence": 1}, "fails on trial"),
        ("FHDDM", {"sliding_window_size": 0}, "fails on trial"),
        ("FHDDM", {"short_window_size": 200}, "fails on trial"),
        ("FHDDM", {"confidence_level": 1}, "fails on trial"),
    ],
)
def test_what_would_fail_on_events_is_refused(
    name: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=f"parameters of {name}: .*{message}"):
        RiverSettings(name=name, parameters=parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("KSWIN", {"seed": 10**12, "alpha": 1}),
        ("KSWIN", {"window_size": 20_000, "seed": None}),
        ("DDM", {"warm_start": 10**9}),
        ("FHDDM", {"short_window_size": None}),
    ],
)
def test_unusual_parameters_are_accepted(name: str, parameters: dict[str, Any]) -> None:
    assert RiverSettings(name=name, parameters=parameters).parameters == parameters


def test_settings_say_which_take_zero_and_one_only() -> None:
    assert not RiverSettings(name="KSWIN").binary
    assert RiverSettings(name="DDM").binary
