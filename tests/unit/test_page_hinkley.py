"""Page-Hinkley decides like river's, value by value."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from streamdrift.detectors import PageHinkley, PageHinkleySettings
from streamdrift.records import Floats
from tests.series import alarms, moving_series, recorded_series, single

RIVER = {"min_instances": 30, "delta": 0.005, "threshold": 50.0, "alpha": 1 - 0.0001}
PLACE = np.zeros(1, dtype=np.int64)


def page_hinkley(**parameters: Any) -> Any:
    given = RIVER | {"headroom": 0.0, "minimum_effect": 0.0} | parameters
    return single(PageHinkleySettings(**given))


def river_alarms(values: Floats | list[float], **parameters: Any) -> list[int]:
    detector: Any = drift.PageHinkley(**parameters)
    found = []
    for index, value in enumerate(np.asarray(values).tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found


@pytest.mark.parametrize("name", ["elec2", "insects_gradual", "car_loan", "sea", "lobo", "nab"])
def test_alarms_of_recorded_series_equal_rivers(name: str) -> None:
    compared = 0
    for title, values in recorded_series(name):
        expected = river_alarms(values)
        assert alarms(page_hinkley(), values) == expected, title
        compared += len(expected)
    assert compared > 0


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("mode", ["up", "down", "both"])
def test_alarms_of_random_series_equal_rivers(seed: int, mode: str) -> None:
    random = np.random.default_rng(seed)
    parameters = {
        "min_instances": int(random.integers(1, 60)),
        "delta": float(random.random() * 0.1),
        "threshold": 10.0 ** random.uniform(0, 3),
        "alpha": 1 - 10.0 ** random.uniform(-5, -1),
        "mode": mode,
    }
    values = moving_series(seed)
    assert alarms(page_hinkley(**parameters), values) == river_alarms(values, **parameters)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, -0.0])), st.integers(1, 60)
        ),
        max_size=20,
    ),
    st.floats(0.001, 1.0),
    st.floats(0.1, 100.0),
    st.integers(1, 40),
    st.floats(0, 2),
)
@settings(max_examples=300, deadline=None)
def test_no_series_tells_it_from_rivers(
    parts: list[tuple[float, int]], alpha: float, threshold: float, instances: int, delta: float
) -> None:
    values = [value for value, count in parts for _ in range(count)]
    parameters = {
        "alpha": alpha,
        "threshold": threshold,
        "min_instances": instances,
        "delta": delta,
    }
    assert alarms(page_hinkley(**parameters), values) == river_alarms(values, **parameters)


def test_the_wrapper_has_rivers_interface() -> None:
    detector = PageHinkley()
    reference: Any = drift.PageHinkley()
    seen = False
    for value in moving_series(1).tolist():
        detector.update(value)
        reference.update(value)
        assert detector.drift_detected == reference.drift_detected
        seen = seen or reference.drift_detected
        assert (detector.onset is not None) == seen
    assert seen


@pytest.mark.parametrize("shift", [0.3, -0.3])
def test_the_onset_holds_the_change(shift: float) -> None:
    hits = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        after = np.clip(random.random(500) + shift, 0, 1)
        values = np.concatenate([random.random(3_000), after])
        bank = single(PageHinkleySettings(), 0.2887)
        alarm = int(bank.update(values.reshape(1, -1), PLACE, PLACE)[0])
        evidence = bank.evidence(0)
        hits += alarm - evidence.earliest <= 3_000 <= alarm - evidence.latest
    assert hits >= 90


def test_units_are_the_signals_standard_deviation() -> None:
    values = np.random.default_rng(5).normal(0, 1, 3_000)
    values[2_000:] += 1
    settings_ = PageHinkleySettings(headroom=0.0)
    narrow = single(settings_)
    wide = single(settings_, 1024.0)
    assert alarms(narrow, values) == alarms(wide, values * 1024.0) != []


def test_a_few_rare_ones_do_not_alarm() -> None:
    values = np.zeros(20_000)
    values[[9_000, 9_001, 9_002, 9_500]] = 1
    assert alarms(single(PageHinkleySettings(threshold=45.0), 0.007), values) == []


def test_a_small_effect_starts_anew_without_an_alarm() -> None:
    values = np.concatenate([np.zeros(1_000), np.full(2_000, 0.5)])
    assert alarms(page_hinkley(), values)
    bank = page_hinkley(minimum_effect=1.0)
    assert alarms(bank, values) == []
    assert bank.snapshot()["sums"][0, 0] < 2_000
