"""streamdrift's detectors as they are measured, and columns drawn anew."""

from pathlib import Path

import numpy as np
import pytest

from loadtest.quality import columns, peers, subjects
from loadtest.quality.columns import Column
from loadtest.quality.peers import Series
from streamdrift.detectors import EDetector, EDetectorSettings

_DATA = Path(__file__).parents[1] / "golden" / "data"


def _moved(seed: int = 1) -> Series:
    random = np.random.default_rng(seed)
    values = random.standard_normal(6_000)
    values[3_000:] += 1.0
    return Series(random.standard_normal(2_000), values, seed=seed)


def test_alarms_are_those_of_the_public_form_value_by_value() -> None:
    series = _moved()
    detector = EDetector(arl=1e4, reference=series.reference, seed=series.seed)
    one_by_one = []
    for index, value in enumerate(series.values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            one_by_one.append(index)
    assert subjects.default(1e4).alarms(series).tolist() == one_by_one
    assert one_by_one


def test_a_run_ends_soon_after_the_alarm_that_is_asked_for() -> None:
    series = _moved()
    every = subjects.default(1e4).alarms(series)
    some = subjects.default(1e4).alarms(series, stop=3_000)
    assert some.tolist() == every[: len(some)].tolist()
    assert (some >= 3_000).any()


def test_the_first_finding_says_where_and_how_much() -> None:
    found = subjects.default(1e5).first(_moved(), 3_000)
    assert found is not None
    assert 3_000 <= found.at < 3_100
    assert found.onset[0] <= 3_000 <= found.at
    assert found.effect is not None
    assert found.effect.shift.low > 0
    quiet = _moved()._replace(values=np.zeros(0))
    assert subjects.default(1e5).first(quiet, 0) is None


def test_a_detector_of_the_registry_is_the_default_one() -> None:
    series = _moved()
    by_settings = subjects.of(EDetectorSettings(), 1e4).alarms(series)
    assert by_settings.tolist() == subjects.default(1e4).alarms(series).tolist()


def test_blocks_are_drawn_whole() -> None:
    column = Column("x", np.arange(25, dtype=np.float64), 10)
    path = column.redrawn().draw(np.random.default_rng(1), 95)
    assert len(path) == 95
    # What is left over of the last block is never drawn.
    assert set(path[::10].tolist()) == {0.0, 10.0}
    assert np.array_equal(np.diff(path.reshape(19, 5)), np.ones((19, 4)))


def test_recorded_columns_are_there() -> None:
    weekly, others = columns.weekly(_DATA), columns.held_out(_DATA)
    assert len(weekly) == 13
    assert not {column.name for column in weekly} & {column.name for column in others}
    for column in (*weekly, *others):
        assert np.isfinite(column.values).all()
        assert len(column.values) >= 7 * column.block
    for stream in columns.shuffled(_DATA):
        assert len(stream.draw(np.random.default_rng(1), 100)) == 100


def test_text_becomes_codes_and_gaps_are_not_numbers() -> None:
    loan = columns.table(_DATA, "car_loan")
    assert set(np.unique(columns.numbers(loan, "salary_range"))) == {0.0, 1.0, 2.0, 3.0}
    insects = columns.table(_DATA, "insects_gradual")
    assert np.isnan(columns.numbers(insects, "err")[:5_000]).all()


@pytest.mark.parametrize("detector", peers.OF_BITS, ids=lambda one: one.name)
def test_river_detectors_of_bits_see_a_rate_rise(detector: peers.River) -> None:
    random = np.random.default_rng(1)
    quiet = (random.random(3_000) < 0.1).astype(np.float64)
    loud = (random.random(3_000) < 0.9).astype(np.float64)
    assert detector.alarms(Series(quiet, loud)).size
