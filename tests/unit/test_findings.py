"""What was found in references, in words."""

import pytest

from streamdrift.durations import DAY, SECOND
from streamdrift.references.findings import Code, Finding, gather, in_words, told

_FIGURES = {
    "alarms": 3.0,
    "amplitude": 0.512,
    "covered": 1.5 * 3_600 * SECOND,
    "days": 7.0,
    "expected": 10.0,
    "explained": 9.46,
    "kept": 6_000.0,
    "left_out": 4_000.0,
    "needed": 2_000.0,
    "over": 600.0 * SECOND,
    "period": 8_640.0,
    "power": 0.7071,
    "run_length": 1e9,
    "share": 0.9,
    "shown": 900.0 * SECOND,
    "size": 1.04,
    "sum": 0.5,
    "times": 3.0,
    "until": 20_465.0 * DAY,
    "values": 500.0,
}


@pytest.mark.parametrize("code", list(Code))
def test_each_kind_has_words(code: Code) -> None:
    words = in_words(Finding(code, _FIGURES))
    assert words
    assert "{" not in words


def test_times_and_durations_are_written_as_people_do() -> None:
    words = in_words(Finding(Code.PROVISIONAL, _FIGURES))
    assert (
        "a provisional reference of 90 minutes is watched with until 2026-01-12 00:00:00 UTC"
        in words
    )
    assert "show within 15 minutes" in words
    assert "about 10 minutes" in in_words(Finding(Code.FOLLOWED, _FIGURES))
    short = {**_FIGURES, "covered": 0.5 * SECOND}
    assert "of 0.5 seconds" in in_words(Finding(Code.PROVISIONAL, short))


def test_kinds_are_gathered_with_the_signals_that_have_them() -> None:
    constant, level = Finding(Code.CONSTANT), Finding(Code.NO_LEVEL)
    found = gather([("a", (level, constant)), ("b", ()), ("c", (constant, constant))])
    assert [(each.code, tuple(each.signals)) for each in found] == [
        (Code.CONSTANT, ("a", "c")),
        (Code.NO_LEVEL, ("a",)),
    ]


def test_lines_name_a_few_signals_and_count_the_others() -> None:
    same = [(name, (Finding(Code.CONSTANT),)) for name in "abcde"]
    words = in_words(Finding(Code.CONSTANT))
    assert told(same) == [f"a, b, c and 2 more: for example a: {words}"]
    assert told(same[:1]) == [f"a: {words}"]
    assert told([]) == []
