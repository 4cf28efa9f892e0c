"""Where things lie in the charts of a report, and what stands beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.distributions import of_numbers, of_rate
from streamdrift.durations import DAY, SECOND
from streamdrift.incident_log import Member
from streamdrift.records import Floats
from streamdrift.references.counts import Counts
from streamdrift.reporting.axes import (
    decade_of,
    logarithmic_axis,
    number_axis,
    share_axis,
    time_axis,
)
from streamdrift.reporting.charts import Histogram, Levels, course_chart, distribution_chart
from streamdrift.reporting.courses import Course

START = 1_767_225_600 * SECOND


def course(shares: list[float], changed: list[bool] | None = None) -> Course:
    size = len(shares)
    return Course(
        START + np.arange(1, size + 1) * SECOND,
        np.array(shares, dtype=np.float32) * 100,
        np.full(size, 100, dtype=np.float32),
        np.array(changed or [False] * size),
    )


def member(seconds: float, statistic: float | None = 120.0) -> Member:
    time = START + int(seconds * SECOND)
    told = {"detector": "e_detector", "statistic": statistic, "threshold": 100.0}
    return Member("amount", "amount", time - SECOND, time, time - SECOND // 2, told)


def points(path: str) -> list[tuple[float, float]]:
    numbers = [float(each) for each in path.replace("M", "").split()]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


TIME = time_axis(START, START + 10 * SECOND)


def test_a_statistic_rises_to_its_alarm_and_begins_anew_behind_the_change() -> None:
    nan = float("nan")
    found = course_chart(
        "e_detector",
        course([nan, 0.01, 0.1, 0.1, 0.1, 0.1, 0, 0.001], [False] * 5 + [True, True, False]),
        [member(5.5)],
        TIME,
    )
    drawn = points(found.path)
    assert found.path.count("M") == 2  # What was not watched, and what was changed, is left out.
    assert [x for x, _ in drawn] == [200, 300, 500, 550, 800]
    heights = [200 - y for _, y in drawn]
    assert heights[3] > heights[2] == heights[1] > heights[0] > heights[4]
    assert (200 - drawn[3][1]) / 2 >= found.threshold > (200 - drawn[2][1]) / 2
    (alarm,) = found.alarms
    assert alarm.left == 55
    assert alarm.told == "noticed 2026-01-01 00:00:05 UTC, reached its threshold"
    assert [(each.left, each.width) for each in found.changed] == [(55, 15)]
    assert [(each.left, each.width) for each in found.onsets] == [(45, 5)]
    assert found.learning is not None
    assert found.learning.width == 20
    assert found.peak == "reached its threshold"
    assert [row.share for row in found.rows[:2]] == ["1%", "10%"]


def test_a_place_means_what_the_page_reads_off_it() -> None:
    found = course_chart("e_detector", course([1e-4, 0.003, 0.5]), [], TIME)
    read = [10 ** (found.low + found.decades * (1 - y / 200)) for _, y in points(found.path)]
    assert read == pytest.approx([1e-4, 0.003, 0.5], rel=0.2)


def test_silence_has_no_statistic_and_stands_at_the_threshold() -> None:
    found = course_chart("e_detector", course([0.1]), [member(1, None)], TIME)
    assert found.alarms[0].bottom == found.threshold


def test_what_another_detector_found_is_no_alarm_of_this_one() -> None:
    found = course_chart("adwin", course([0.1] * 9), [member(5.5)], TIME)
    assert found.alarms == ()
    assert len(found.onsets) == 1
    assert found.peak == "10% of its threshold"


def test_what_was_never_watched_has_no_peak() -> None:
    found = course_chart("e_detector", course([float("nan")] * 3), [], TIME)
    assert (found.path, found.peak, found.learning, found.rows) == ("", "", None, ())


@pytest.mark.parametrize("span", [0, 1, SECOND, 3_600 * SECOND, 3 * DAY, 400 * DAY, 9_000 * DAY])
def test_a_time_axis_has_a_few_labels_that_differ(span: int) -> None:
    ticks = time_axis(START + 12_345, START + 12_345 + span).ticks
    assert len(ticks) <= 9
    assert all(0 <= tick.place <= 100 for tick in ticks)
    if span > SECOND:
        assert len({tick.label for tick in ticks}) == len(ticks) >= 2


def test_shares_are_labelled_down_to_the_lowest() -> None:
    labels = [tick.label for tick in share_axis(decade_of(0.02), 0.5).ticks]
    assert labels == ["threshold", "1/10", "1/100"]
    labels = [tick.label for tick in share_axis(decade_of(1e-9), 0.5).ticks]
    assert labels == ["threshold", "1/100", "1/10,000", "1/1,000,000"]


def test_axes_of_numbers_have_round_labels() -> None:
    assert [tick.label for tick in number_axis(-1.2, 3.4).ticks] == ["-1", "0", "1", "2", "3"]
    labels = [tick.label for tick in number_axis(0.001, 0.0042).ticks]
    assert labels == ["0.001", "0.002", "0.003", "0.004"]
    assert [tick.label for tick in logarithmic_axis(2, 400).ticks] == [
        "3",
        "10",
        "30",
        "100",
        "300",
    ]


@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=50),
    st.lists(st.floats(allow_nan=False), max_size=20),
)
def test_whatever_the_numbers_a_distribution_can_be_drawn(
    reference: list[float], now: list[float]
) -> None:
    counts = Counts.of(np.array(reference))
    found = distribution_chart(of_numbers(counts, np.array(now), None), "value")
    assert isinstance(found, Histogram)
    assert "nan" not in found.reference + found.current
    assert all(0 <= tick.place <= 100 for tick in found.ticks)


def test_a_rate_is_one_line_that_is_named_by_its_kind() -> None:
    found = distribution_chart(of_rate(0.02, 30, 100, None), "missing")
    assert isinstance(found, Levels)
    (level,) = found.levels
    assert (level.name, level.reference, level.current) == ("missing", "2%", "30%")
    assert 0 < level.before < level.now < 100
    assert not level.new


def test_the_outline_of_a_distribution_is_as_high_as_its_shares() -> None:
    values: Floats = np.random.default_rng(3).normal(size=4_000)
    found = distribution_chart(of_numbers(Counts.of(values), values, None), "value")
    assert isinstance(found, Histogram)
    heights = [200 - float(each.partition("H")[0]) for each in found.current.split("V")[1:]]
    assert len(heights) == 41
    assert max(heights) == pytest.approx(192, abs=3)
    assert found.top.endswith("%")
