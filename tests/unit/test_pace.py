"""The rate of a model over all its versions, and the run lengths that follow it."""

import numpy as np
import pytest

from streamdrift.columns import cut
from streamdrift.durations import DAY, SECOND
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.pace import Pace
from streamdrift.records import Batch, Ints, Released
from streamdrift.state import decode, encode
from streamdrift.trees import array
from tests.batches import START, batch

_MINUTE = 60 * SECOND
_SETTINGS = ModelSettings.model_validate({"reference": {"events": 500}})


def _times(begin: int, days: float, a_day: int) -> Ints:
    return begin + np.arange(int(days * a_day), dtype=np.int64) * (DAY // a_day)


def _first_day(pace: Pace) -> int:
    """Return when a day of a pace begins."""
    day = int(pace.days(np.array([START]))[0]) + 1
    low, high = START, START + DAY
    while low < high:
        middle = (low + high) // 2
        if int(pace.days(np.array([middle]))[0]) >= day:
            high = middle
        else:
            low = middle + 1
    return low


def _counted(*stretches: tuple[float, int]) -> tuple[Pace, int]:
    """Return the pace of a model that sent so many events a day for so many days, and its day 0.

    It begins half a day before that, with an event.
    """
    pace = Pace("fraud")
    at = _first_day(pace)
    pace.add(np.array([at - DAY // 2]))
    begin = at
    for days, a_day in stretches:
        if a_day:
            pace.add(_times(begin, days, a_day))
        begin += int(days * DAY)
    return pace, int(pace.days(np.array([at]))[0])


def test_a_rate_is_known_after_a_whole_day() -> None:
    pace, day = _counted((3, 1_000))
    assert pace.on(day) is None  # of the day before, only half was seen
    assert pace.on(day + 1) == pytest.approx(1_000 / DAY)


def test_a_rate_is_the_mean_of_the_last_week() -> None:
    pace, day = _counted((7, 720), (1, 1_440), (7, 0))
    assert pace.on(day + 7) == pytest.approx(720 / DAY)
    assert pace.on(day + 8) == pytest.approx((6 * 720 + 1_440) / 7 / DAY)


def test_days_without_events_do_not_count() -> None:
    pace, day = _counted((3, 720), (30, 0), (1, 720))
    assert pace.on(day + 33) == pace.on(day + 3)


def test_what_no_later_day_needs_is_forgotten() -> None:
    pace, day = _counted((20, 720))
    before = pace.on(day + 20)
    pace.forget()
    assert pace.on(day + 20) == before
    assert len(array(pace.snapshot(), "days")) == 8
    again = Pace("fraud")
    again.restore(decode(encode(pace.snapshot())))
    assert again.on(day + 20) == before


def test_models_begin_their_days_at_times_of_their_own() -> None:
    begins = {_first_day(Pace(f"model-{each}")) for each in range(20)}
    assert len(begins) == 20


def _version(version: str, begin: int, days: float, a_day: int) -> Batch:
    times = _times(begin, days, a_day)
    numbers = np.random.default_rng(len(times)).normal(size=len(times))
    return batch({"amount": numbers.tolist()}, version=version, times=times.tolist())


def _watched(monitor: Monitor, *parts: Batch) -> None:
    monitor.observe(Released(parts, max(int(part.time[-1]) for part in parts)))


def _allowed(monitor: Monitor) -> dict[str, float]:
    """Return the events that each version's `amount` brings while the budget allows one alarm."""
    found = {}
    for version in monitor.versions():
        if version.run_lengths:
            place = [signal.name for signal in version.signals].index("amount")
            weights = 1 + 2 * 0.2
            found[version.version] = version.run_lengths[place] / weights
    return found


def _period() -> float:
    return _SETTINGS.of_watching().budget.period


def test_versions_watched_at_once_share_the_budget() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    begin = _first_day(Pace("fraud")) - DAY // 2
    _watched(monitor, _version("1", begin, 3, 2_000))
    alone = _period() * 2_000 / DAY
    assert _allowed(monitor)["1"] == pytest.approx(alone)
    later = begin + 3 * DAY
    _watched(monitor, _version("1", later, 10, 1_000), _version("2", later, 10, 1_000))
    # Each has one alarm in twice the time: as often as one that has all the events.
    assert _allowed(monitor) == pytest.approx({"1": alone, "2": alone})


def test_a_version_that_comes_later_goes_by_the_rate_of_its_model() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    begin = _first_day(Pace("fraud")) - DAY // 2
    _watched(monitor, _version("1", begin, 3, 2_000))
    canary = _version("2", begin + 3 * DAY, 0.35, 2_000)
    _watched(monitor, canary)
    assert _allowed(monitor)["2"] == pytest.approx(_allowed(monitor)["1"])


def test_run_lengths_follow_a_model_that_grows() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    begin = _first_day(Pace("fraud")) - DAY // 2
    _watched(monitor, _version("1", begin, 3, 1_000))
    before = _allowed(monitor)["1"]
    _watched(monitor, _version("1", begin + 3 * DAY, 9, 5_000))
    assert _allowed(monitor)["1"] == pytest.approx(5 * before)


def test_the_rate_of_the_first_events_counts_until_a_day_is_known() -> None:
    monitor = Monitor(lambda _: _SETTINGS)
    begin = _first_day(Pace("fraud"))
    quick, slow = _version("1", begin, 0.1, 8_640), _version("1", begin + DAY // 10, 2.5, 864)
    _watched(monitor, quick)
    first = _allowed(monitor)["1"]
    assert first == pytest.approx(_period() * 8_640 / DAY, rel=0.01)
    _watched(monitor, slow)
    assert _allowed(monitor)["1"] == pytest.approx(_period() * 864 / DAY, rel=0.01)


@pytest.mark.parametrize("size", [97, 1_000])
def test_a_pace_does_not_depend_on_how_events_are_released(size: int) -> None:
    begin = _first_day(Pace("fraud")) - DAY // 3
    one, two = _version("1", begin, 4, 1_000), _version("2", begin + _MINUTE, 4, 700)
    whole = Monitor(lambda _: _SETTINGS)
    _watched(whole, one, two)
    parts = Monitor(lambda _: _SETTINGS)
    for end in range(begin, begin + 4 * DAY, size * (DAY // 1_000)):
        until = end + size * (DAY // 1_000)
        both = [
            cut(each, *np.searchsorted(each.time, [end, until]).tolist()) for each in (one, two)
        ]
        # The order in which versions come in a release is nobody's promise.
        parts.observe(Released(tuple(each for each in reversed(both) if len(each)), until))
    assert _allowed(parts) == _allowed(whole)
    state = decode(encode(parts.snapshot()))
    again = Monitor(lambda _: _SETTINGS)
    again.restore(state)
    assert _allowed(again) == _allowed(whole)
    assert encode(again.snapshot()) == encode(parts.snapshot())
