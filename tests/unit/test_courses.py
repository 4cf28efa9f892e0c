"""The course of statistics in bounded memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.readings import SignalReading
from streamdrift.reporting import courses as module
from streamdrift.reporting.courses import CourseKey, Courses
from tests.alerts import make_signal

AMOUNT, AGE = make_signal(0, "amount"), make_signal(1, "age")
KEY = CourseKey("fraud", "3", AMOUNT, "e_detector")


def reading(
    statistic: float, threshold: float = 10.0, *, changed: bool = False, key: CourseKey = KEY
) -> SignalReading:
    return SignalReading(*key, statistic, threshold, changed)


@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 9), st.booleans()), max_size=300),
    st.sampled_from([4, 6, 32]),
)
def test_however_long_it_is_no_peak_and_no_change_is_lost(
    told: list[tuple[int, int, bool]], capacity: int
) -> None:
    courses = Courses(capacity)
    for time, (statistic, threshold, changed) in enumerate(told):
        courses.add(time, [reading(statistic, threshold, changed=changed)])
    if not told:
        assert list(courses.keys) == []
        return
    course = courses.course(KEY)
    assert len(course.times) < capacity
    assert (np.diff(course.times) > 0).all()
    assert course.times[-1] == len(told) - 1
    begin = 0
    for place, end in enumerate(course.times.tolist()):
        part = told[begin : end + 1]
        assert course.shares[place] == pytest.approx(max(s / t for s, t, _ in part))
        assert course.changed[place] == any(changed for *_, changed in part)
        begin = end + 1
    assert courses.stride >= len(told) / capacity


def test_before_a_signal_is_watched_there_is_no_course_of_it() -> None:
    courses, late = Courses(8), CourseKey("fraud", "3", AGE, "e_detector")
    courses.add(1, [reading(1)])
    courses.add(2, [reading(1), reading(5, key=late)])
    assert np.isnan(courses.course(late).shares).tolist() == [True, False]
    assert courses.course(late).peak == 1


def test_a_signal_that_is_gone_has_no_peak_of_its_own() -> None:
    courses = Courses(8)
    courses.add(1, [reading(1, threshold=float("nan"))])
    assert courses.course(KEY).peak is None


def test_of_very_many_signals_courses_are_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_FIGURES", 1_000)
    courses = Courses(256)
    keys = [
        CourseKey("fraud", "3", make_signal(place, f"f{place}"), "e_detector")
        for place in range(10)
    ]
    for time in range(200):
        some = keys if time >= 100 else keys[:2]
        courses.add(time, [reading(time, key=key) for key in some])
    found = courses.course(keys[0])
    assert len(found.times) <= 64
    assert found.statistics.max() == 199
    assert courses.course(keys[9]).statistics[-1] == 199


def test_a_statistic_that_no_float_holds_is_far_above() -> None:
    courses = Courses(8)
    courses.add(1, [reading(1e300)])
    assert courses.course(KEY).shares[0] > 1e30
