"""Calendar cells in local time, and levels that days left out confirm."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamdrift.references.calendar import fit_calendar, zone_offsets
from streamdrift.references.tracking import DAYS, SLOTS, calendar_cell

DAY = 86_400_000_000
HOUR = 3_600_000_000
MONDAY = 1_767_571_200_000_000  # 2026-01-05T00:00Z


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def test_cells_count_half_hours_of_the_week_from_monday() -> None:
    assert calendar_cell(MONDAY) == 0
    assert calendar_cell(MONDAY - 1) == DAYS * SLOTS - 1
    assert calendar_cell(at("2026-01-07T13:31")) == 2 * SLOTS + 27
    assert calendar_cell(at("1969-12-29T00:00")) == 0


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
def test_offsets_are_those_of_the_zone_for_twenty_years(name: str) -> None:
    zone = ZoneInfo(name)
    offsets = zone_offsets(zone, at("2026-01-01T00:00"))
    for moment in range(at("2026-01-01T00:00"), at("2044-12-31T00:00"), 7 * DAY + 5 * HOUR):
        row = int(np.searchsorted(offsets[:, 0], moment, side="right")) - 1
        local = datetime.fromtimestamp(moment / 1e6, UTC).astimezone(zone)
        offset = local.utcoffset()
        assert offset is not None
        assert offsets[row, 1] == offset.total_seconds() * 1e6


def test_offsets_change_to_the_second() -> None:
    offsets = zone_offsets(ZoneInfo("Europe/Berlin"), at("2026-01-01T00:00"))
    assert offsets[1].tolist() == [float(at("2026-03-29T01:00")), 2.0 * HOUR]


def test_without_a_zone_time_is_universal() -> None:
    assert zone_offsets(None, MONDAY)[:, 1].tolist() == [0.0]


def test_levels_are_shrunk_and_smoothed_as_days_left_out_confirm() -> None:
    times = MONDAY + np.arange(14 * 480) * (DAY // 480)
    smooth = np.sin(2 * np.pi * times / DAY)
    noise = np.random.default_rng(0).standard_normal(len(times))
    calendar = fit_calendar(smooth + noise, times, None)
    assert calendar is not None
    errors = calendar.at(times) - smooth
    # Of 140 values in each half hour the mean would err by 0.085.
    assert np.sqrt((errors**2).mean()) < 0.06
    assert 0.6 < calendar.left < 0.75
    assert calendar.excess >= 1


@pytest.mark.parametrize("days", [1, 2])
def test_no_rhythm_from_so_few_days(days: int) -> None:
    times = MONDAY + np.arange(days * 480) * (DAY // 480)
    assert fit_calendar(np.sin(2 * np.pi * times / DAY), times, None) is None


def test_days_without_values_do_not_matter() -> None:
    times = MONDAY + np.arange(14 * 480) * (DAY // 480)
    values = np.sin(2 * np.pi * times / DAY)
    once = fit_calendar(values, times, None)
    late = np.concatenate((times[: 7 * 480], times[7 * 480 :] + 7 * 2_000 * DAY))
    again = fit_calendar(values, late, None)
    assert once is not None
    assert again is not None
    assert once.levels.tobytes() == again.levels.tobytes()
