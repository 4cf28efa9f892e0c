"""ADWIN decides like river's, value by value."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river._river_rust.drift import AdaptiveWindowing

from streamdrift.detectors import ADWIN, AdwinSettings
from streamdrift.records import Floats
from tests.series import alarms, moving_series, recorded_series, single

RIVER: dict[str, Any] = {
    "delta": 0.002,
    "clock": 32,
    "max_buckets": 5,
    "min_window_length": 5,
    "grace_period": 10,
}
PLACE = np.zeros(1, dtype=np.int64)


def river_alarms(values: Floats | list[float], **parameters: Any) -> tuple[list[int], Any]:
    detector = AdaptiveWindowing(**(RIVER | parameters))
    return [index for index, value in enumerate(values) if detector.update(value)], detector


def adwin(**parameters: Any) -> Any:
    return single(AdwinSettings(**(RIVER | {"minimum_effect": 0} | parameters)))


def assert_equals_river(values: Floats | list[float], **parameters: Any) -> int:
    expected, detector = river_alarms(values, **parameters)
    bank = adwin(**parameters)
    assert alarms(bank, values) == expected
    window = (detector.get_total(), detector.get_variance(), detector.get_width())
    assert tuple(bank.moments[0].tolist()) == window
    return len(expected)


@pytest.mark.parametrize("name", ["elec2", "insects_gradual", "car_loan", "sea", "lobo", "nab"])
def test_alarms_of_recorded_series_equal_rivers(name: str) -> None:
    compared = [assert_equals_river(values) for _, values in recorded_series(name)]
    assert len(compared) >= 6
    assert sum(compared) > 0


@pytest.mark.parametrize("seed", range(80))
def test_alarms_of_random_series_equal_rivers(seed: int) -> None:
    random = np.random.default_rng(seed)
    assert_equals_river(moving_series(seed))
    assert_equals_river(
        moving_series(seed + 1),
        delta=10.0 ** random.uniform(-8, -0.01),
        clock=int(random.integers(1, 50)),
        max_buckets=int(random.integers(2, 12)),
        min_window_length=int(random.integers(1, 30)),
        grace_period=int(random.integers(0, 60)),
    )


moderate = st.floats(-1e6, 1e6, allow_subnormal=False)
runs = st.lists(
    st.tuples(
        st.one_of(moderate, st.floats(-1e200, 1e200), st.sampled_from([0.0, 1.0, -0.0, 0.1])),
        st.integers(1, 60),
    ),
    max_size=20,
)


@given(
    runs,
    st.sampled_from([1e-9, 0.002, 0.3, 0.99]),
    st.integers(1, 9),
    st.integers(2, 6),
    st.integers(1, 8),
    st.integers(0, 20),
)
@settings(max_examples=300, deadline=None)
def test_no_series_tells_it_from_rivers(
    parts: list[tuple[float, int]],
    delta: float,
    clock: int,
    buckets: int,
    shortest: int,
    grace: int,
) -> None:
    values = [value for value, count in parts for _ in range(count)]
    expected, _ = river_alarms(
        values,
        delta=delta,
        clock=clock,
        max_buckets=buckets,
        min_window_length=shortest,
        grace_period=grace,
    )
    bank = adwin(
        delta=delta,
        clock=clock,
        max_buckets=buckets,
        min_window_length=shortest,
        grace_period=grace,
    )
    assert alarms(bank, values) == expected


def test_the_onset_holds_the_change() -> None:
    hits = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        values = np.concatenate([random.random(3_000), np.minimum(random.random(500) + 0.3, 1)])
        bank = single(AdwinSettings(), 0.2887)
        alarm = int(bank.update(values.reshape(1, -1), PLACE, PLACE)[0])
        evidence = bank.evidence(0)
        hits += alarm - evidence.earliest <= 3_000 <= alarm - evidence.latest
    assert hits >= 90


def test_a_small_change_is_dropped_without_an_alarm() -> None:
    random = np.random.default_rng(3)
    values = random.normal(0, 1, 100_000)
    values[50_000:] += 0.08
    assert alarms(adwin(), values)
    bank = adwin(minimum_effect=0.2)
    assert alarms(bank, values) == []
    assert bank.moments[0, 2] < 60_000


def test_values_that_are_not_finite_are_skipped() -> None:
    values = moving_series(4)
    holes = np.insert(values, np.arange(0, len(values), 3), np.nan)
    kept = np.flatnonzero(np.isfinite(holes))
    assert alarms(adwin(), holes) == [kept[index] for index in alarms(adwin(), values)]


def test_the_wrapper_has_rivers_interface() -> None:
    detector = ADWIN()
    assert (detector.width, detector.estimation, detector.variance) == (0, 0.0, 0.0)
    assert detector.onset is None
    reference = AdaptiveWindowing(**RIVER)
    for value in moving_series(0):
        detector.update(value)
        assert detector.drift_detected == reference.update(value)
        assert (detector.onset is not None) == (detector.n_detections > 0)
    assert detector.width == reference.get_width()
    assert detector.total == reference.get_total()
    assert detector.n_detections == reference.get_n_detections() > 0
    assert detector.variance * detector.width == pytest.approx(reference.get_variance())
    assert detector.estimation == detector.total / detector.width


def test_a_very_long_window_drops_its_oldest_values() -> None:
    bank: Any = adwin()
    bank._counts[0] = bank._totals.shape[2] - 1
    bank._moments[0] = [0.0, 1.0, 5.0 * (2.0**32 - 1), np.nan]
    width = bank.moments[0, 2]
    assert alarms(bank, np.zeros(1)) == []
    assert bank.moments[0, 2] == width + 1 - 2.0**31


def test_a_run_of_zeros_is_as_its_zeros_one_by_one() -> None:
    random = np.random.default_rng(5)
    zeros = np.where(random.random(5_000) < 0.1, np.nan, 0.0)
    zeros[7::91] = -0.0
    values = np.concatenate([zeros, (random.random(600) < 0.3).astype(float)])
    for cut in (1, 77, 4_096):
        whole, parts = adwin(), adwin()
        expected = []
        for begin in range(0, len(values), cut):
            found = alarms(parts, values[begin : begin + cut])
            expected += [begin + index for index in found]
        assert alarms(whole, values) == expected != []
        for name, state in whole.snapshot().items():
            assert np.asarray(state).tobytes() == np.asarray(parts.snapshot()[name]).tobytes()
    finite = values[np.isfinite(values)]
    assert assert_equals_river(finite) > 0
