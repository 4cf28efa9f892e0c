"""Run lengths: what is looked up, and that detectors keep what was asked."""

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from loadtest.rare import alarm_weights, drawn, ranks, rates
from streamdrift.detectors import (
    AdwinSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    EDetectorSettings,
    Expected,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
    make_bank,
)
from streamdrift.detectors.calibration import LONGEST, calibrated
from streamdrift.detectors.registry import extrapolated
from streamdrift.records import Floats, Stream

HIGHER = ("page_hinkley", "focus_known", "focus_unknown", "ddm")
"""Kinds whose parameter alarms less the higher it is."""
ANY_STREAM = ("adwin", "page_hinkley", "focus_known", "focus_unknown", "hddm_a", "hddm_w", "kswin")
EVERY = (*ANY_STREAM, "ddm", "eddm")


def value(kind: str, run_length: float, rate: float | None = None) -> float:
    if rate is None:
        return calibrated(kind, Stream.NUMERIC, run_length).value
    return calibrated(kind, Stream.RATE, run_length, rate).value


def in_order(kind: str, values: list[float]) -> bool:
    """Tell whether values alarm less and less, and are all of a sane size."""
    assert all(math.isfinite(one) and one > 0 for one in values)
    if kind not in HIGHER:
        assert all(one < 1 for one in values)
    return values == sorted(values, reverse=kind not in HIGHER)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("rate", [1e-6, 0.0005, 0.003, 0.01, 0.1, 0.2, 0.5, 0.7, 0.999])
def test_longer_run_lengths_alarm_less_on_rates(kind: str, rate: float) -> None:
    assert in_order(kind, [value(kind, 10.0**power, rate) for power in range(1, 20)])


@pytest.mark.parametrize("kind", ANY_STREAM)
def test_longer_run_lengths_alarm_less_on_ranks(kind: str) -> None:
    lengths = [10.0 ** (power / 4) for power in range(4, 70)]
    assert in_order(kind, [value(kind, length) for length in lengths])
    assert calibrated(kind, Stream.CATEGORY, 1e5) == calibrated(kind, Stream.NUMERIC, 1e5)
    assert value(kind, math.inf) == value(kind, LONGEST)


@pytest.mark.parametrize("kind", ["adwin", "page_hinkley", "focus_known", "focus_unknown", "kswin"])
def test_long_run_lengths_of_ranks_are_measured(kind: str) -> None:
    assert all(calibrated(kind, Stream.NUMERIC, 10.0**power).measured for power in range(1, 10))


def test_what_is_longer_than_was_measured_is_told() -> None:
    assert not calibrated("adwin", Stream.NUMERIC, 1e14).measured
    assert not calibrated("eddm", Stream.RATE, 1e9, 0.2).measured
    assert calibrated("adwin", Stream.NUMERIC, 1e5).measured


@pytest.mark.parametrize("kind", EVERY)
def test_between_two_rates_the_safer_value_is_taken(kind: str) -> None:
    safer = max if kind in HIGHER else min
    ends = [value(kind, 3e5, 0.05), value(kind, 3e5, 0.2)]
    assert value(kind, 3e5, 0.1) == safer(ends)


@pytest.mark.parametrize("kind", ANY_STREAM)
def test_ones_and_zeros_may_change_places(kind: str) -> None:
    assert value(kind, 1e5, 0.98) == pytest.approx(value(kind, 1e5, 0.02))


def test_rises_only_are_not_the_same_from_high_rates() -> None:
    assert value("ddm", 3e4, 0.95) != value("ddm", 3e4, 0.05)


def test_a_test_of_everything_needs_no_table() -> None:
    assert calibrated("kswin", Stream.NUMERIC, 1e5) == (1e-5, True)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (AdwinSettings, {"clock": 1}, "delta must be stated where clock is"),
        (PageHinkleySettings, {"delta": 0.1}, "threshold must be stated where delta is"),
        (HddmWSettings, {"lambda_val": 0.2}, "drift_confidence must be stated where lambda_val"),
        (DdmSettings, {"warm_start": 30}, "drift_threshold must be stated where warm_start is"),
        (EddmSettings, {"warm_start": 50}, "beta must be stated where warm_start is"),
    ],
)
def test_what_was_not_measured_must_be_stated(
    kind: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**given)


@pytest.mark.parametrize(
    "given",
    [
        AdwinSettings(minimum_effect=0.3),
        AdwinSettings(delta=0.01, clock=1),
        PageHinkleySettings(mode="up", headroom=0),
        HddmASettings(two_sided_test=False),
        KswinSettings(window_size=50),
        FocusSettings(mean="unknown", minimum_effect=0.2),
    ],
)
def test_what_alarms_less_or_is_stated_is_free(given: DetectorSettings) -> None:
    expected = [Expected(Stream.NUMERIC)]
    bank = make_bank(given, expected, np.full(1, 1e5))
    values = np.random.default_rng(1).random(600) / 10
    values[300:] += 0.9
    place = np.zeros(1, dtype=np.int64)
    assert 300 <= bank.update(values.reshape(1, -1), place, place)[0] < 600


def test_settings_say_which_table_they_need() -> None:
    assert AdwinSettings().calibration == "adwin"
    assert AdwinSettings(delta=0.1).calibration is None
    assert FocusSettings(mean="unknown").calibration == "focus_unknown"
    assert HddmWSettings(drift_confidence=0.1).calibration is None


def quiet(rate: float | None, slots: int, length: int) -> tuple[Expected, Floats]:
    values = np.random.default_rng(7).random((slots, length))
    if rate is None:
        return Expected(Stream.NUMERIC), values
    return Expected.of_rate(1e6 * (1 - rate), 1e6 * rate), (values < rate).astype(np.float64)


OF_ANY_STREAM: list[DetectorSettings] = [
    AdwinSettings(),
    PageHinkleySettings(),
    FocusSettings(),
    FocusSettings(mean="unknown"),
    HddmASettings(),
    HddmWSettings(),
    KswinSettings(),
]
OF_RATES: list[DetectorSettings] = [DdmSettings(), EddmSettings()]


@pytest.mark.parametrize(
    ("one", "rate"),
    [(one, None) for one in OF_ANY_STREAM]
    + [(one, rate) for one in OF_ANY_STREAM + OF_RATES for rate in (0.5, 0.2, 0.1, 0.01, 0.003)],
    ids=lambda one: f"{getattr(one, 'mean', '')} {one.kind}" if hasattr(one, "kind") else str(one),
)
def test_no_more_alarms_come_than_were_asked_for(one: DetectorSettings, rate: float | None) -> None:
    slots, length, run_length = 400, 4_000, 20_000
    expected, values = quiet(rate, slots, length)
    bank = make_bank(one, [expected] * slots, np.full(slots, run_length))
    found = bank.update(values, np.arange(slots), np.zeros(slots, dtype=np.int64))
    asked = slots * -math.expm1(-length / run_length)
    assert np.sum(found < length) <= asked + 3 * math.sqrt(asked)
    if rate is None and one.kind in ("adwin", "page_hinkley", "focus"):
        assert np.sum(found < length) >= 0.4 * asked


def test_rare_alarms_are_estimated_without_bias() -> None:
    for null in (ranks(), rates(0.1)):
        one = PageHinkleySettings(threshold=16.0, headroom=0, minimum_effect=0)
        weights = np.concatenate(
            [
                alarm_weights(
                    make_bank(one, [null.expected] * len(streams), np.ones(len(streams))),
                    streams,
                    logs,
                )
                for streams, logs in drawn(null, 1_000, 2_048, seed=3)
            ]
        )
        slots = 5_000
        values = np.random.default_rng(1).random((slots, 1_000))
        if null.expected.stream is Stream.RATE:
            values = (values < 0.1).astype(np.float64)
        bank = make_bank(one, [null.expected] * slots, np.ones(slots))
        found = bank.update(values, np.arange(slots), np.zeros(slots, dtype=np.int64))
        share = float(np.mean(found < 1_000))
        error = math.hypot(
            float(np.std(weights)) / math.sqrt(len(weights)), math.sqrt(share / slots)
        )
        assert share > 0.005
        assert float(np.mean(weights)) == pytest.approx(share, abs=3 * error)


@pytest.mark.parametrize(
    ("settings", "length", "expected"),
    [
        (EDetectorSettings(), 1e12, False),
        (AdwinSettings(), 1e5, False),
        (HddmWSettings(), 1e12, True),
        (HddmWSettings(drift_confidence=0.001), 1e12, False),
        (FocusSettings(mean="unknown"), 1e12, False),
        (KswinSettings(), 1e12, False),
    ],
)
def test_run_lengths_beyond_what_was_measured_are_known(
    settings: DetectorSettings, length: float, expected: bool
) -> None:
    assert extrapolated(settings, Expected.of_rate(900, 100), length) is expected


def test_a_detector_of_rates_has_no_run_length_of_numbers_to_be_known() -> None:
    assert not extrapolated(DdmSettings(), Expected(Stream.NUMERIC), 1e5)
