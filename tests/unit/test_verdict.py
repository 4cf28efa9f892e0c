"""The comparison that fault runs are judged by finds what it is to find."""

from dataclasses import replace
from typing import Any

import pytest

from loadtest.faults.verdict import Verdict, compare

_ALERTS: list[dict[str, Any]] = [
    {"id": str(number), "sequence": f"{number:012d}", "x": 1} for number in (1, 2, 3)
]
_FIRST, _SECOND, _THIRD = _ALERTS


def _verdict(**odd: Any) -> Verdict:
    return replace(Verdict(3, 0, 0, 0, 0, 0, 0, 0), **odd)


@pytest.mark.parametrize(
    ("found", "odd"),
    [
        (_ALERTS, {}),
        ([_FIRST, _THIRD], {"missing": 1}),
        ([_FIRST, _SECOND, _SECOND, _THIRD], {"doubled_ids": 1, "doubled_sequences": 1}),
        ([_FIRST, _THIRD, _SECOND], {"out_of_place": 2}),
        ([*_ALERTS, {"id": "4", "sequence": "4"}], {"unexpected": 1}),
        ([_FIRST, _SECOND, _THIRD | {"x": 2}], {"changed": 1}),
        (
            [_FIRST, _SECOND, _THIRD | {"sequence": _SECOND["sequence"]}],
            {"doubled_sequences": 1, "changed": 1},
        ),
    ],
)
def test_what_is_odd_is_counted_as_what_it_is(
    found: list[dict[str, Any]], odd: dict[str, int]
) -> None:
    verdict = compare({"m": _ALERTS}, {"m": found})
    assert verdict == _verdict(**odd)
    assert verdict.equal == (not odd)


def test_dead_letters_count_by_place() -> None:
    verdict = compare({"m": _ALERTS}, {"m": _ALERTS}, [(0, 1), (0, 2)], [(0, 1), (0, 1)])
    assert verdict == _verdict(letters=2)
    assert not verdict.equal
    assert compare({}, {}, [(0, 1)], [(0, 1)]).equal


def test_the_first_that_differs_is_shown() -> None:
    changed = _SECOND | {"x": 2}
    verdict = compare({"m": _ALERTS}, {"m": [_FIRST, changed]})
    assert verdict.difference == f"m, alert 1:\nexpected {_SECOND}\nfound {changed}"
    assert compare({"m": _ALERTS}, {"m": _ALERTS}).difference == ""
