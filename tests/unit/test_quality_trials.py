"""Runs of the evaluation: what a detector is shown, and what is counted of its alarms."""

from pathlib import Path

import numpy as np

from loadtest.quality import changes, peers, streams, trials
from loadtest.quality.calibration import Calibration
from loadtest.quality.peers import Series
from streamdrift.records import Ints


class _Scripted:
    """Alarms where it is told to, and remembers what it was shown."""

    name = "scripted"

    def __init__(self, *places: int) -> None:
        self.places = places
        self.shown: list[Series] = []

    def alarms(self, series: Series, stop: int | None = None) -> Ints:
        self.shown.append(series)
        return np.array([place for place in self.places if place < len(series.values)])


def test_false_alarms_are_counted_over_all_runs() -> None:
    detector = _Scripted(3, 7, 900)
    rate = trials.false_alarms(
        detector, streams.INDEPENDENT["normal"], 4, seed=1, length=100, reference=50
    )
    assert rate == (8, 400)
    assert [len(series.reference) for series in detector.shown] == [50] * 4
    assert len({series.values[0] for series in detector.shown}) == 4


def test_detectors_are_shown_the_same_paths() -> None:
    first, second = _Scripted(), _Scripted()
    for detector in (first, second):
        trials.delays(detector, changes.SHIFTS[1.0], 2, seed=1)
    for one, other in zip(first.shown, second.shown, strict=True):
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.reference, other.reference)


def test_delays_count_from_the_change() -> None:
    change = changes.SHIFTS[1.0]._replace(horizon=3_000)
    late = _Scripted(2_500)
    found = trials.delays(late, change, 3, seed=1)
    places = [len(series.values) - 3_000 for series in late.shown]
    assert found.delays == tuple(2_500 - place + 1 for place in places)
    assert trials.delays(_Scripted(10, 2_500), change, 3, seed=1).early == 3


def test_a_detector_may_be_shown_what_is_behind_the_values() -> None:
    detector = _Scripted()
    trials.delays(detector, changes.SHIFTS[1.0], 1, seed=1, seen=lambda path: 0 * path)
    assert not detector.shown[0].values.any()


def test_river_detectors_learn_the_reference_first() -> None:
    values = np.zeros(64)
    jump = Series(np.zeros(1_000), values + 5.0)
    assert peers.ADWIN.alarms(jump).size
    assert not peers.ADWIN.alarms(Series(values + 5.0, values + 5.0)).size
    shifted = np.concatenate([np.zeros(500), np.full(500, 1.0), np.zeros(500)])
    every = peers.ADWIN.alarms(Series(np.zeros(1_000), shifted))
    first = peers.ADWIN.alarms(Series(np.zeros(1_000), shifted), stop=500)
    assert len(every) > len(first) == 1


def test_a_setting_is_found_once(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    stream = streams.INDEPENDENT["0/1, rate .2"]
    found = Calibration(file, 1).page_hinkley(stream, 1e3)
    known = file.read_text()
    assert "page_hinkley, 0/1, rate .2, 1000" in known
    again = Calibration(file, 2).page_hinkley(stream, 1e3)
    assert file.read_text() == known
    rates = [trials.false_alarms(one, stream, 1, seed=5) for one in (found, again)]
    assert rates[0] == rates[1]
    assert 40 < rates[0].alarms < 250
