"""How far a deployment is, and how long it stands still, is found from what processes show."""

import math

import pytest

from loadtest.faults.progress import Look, Mark, advances, resumed, stalls

_FED = [Mark(at, 100 * at) for at in (0.5, 1.5, 2.5, 6.5, 7.5)]
_MARKS = [Mark(1.0, 50), Mark(2.0, 150), Mark(4.0, 250), Mark(8.0, 700)]


def test_one_process_is_as_far_as_it_says() -> None:
    looks = [Look(1.0, 1, 50), Look(1.1, 1, 50), Look(1.2, 1, 60)]
    assert advances([looks], 1) == [Mark(1.0, 50), Mark(1.2, 60)]


def test_workers_are_as_far_as_the_one_that_is_least() -> None:
    ahead = [Look(1.0, 2, 90), Look(2.0, 2, 91)]
    behind = [Look(1.1, 2, 50), Look(2.1, 2, 60)]
    assert advances([ahead, behind], 4) == [Mark(1.1, 50), Mark(2.1, 60)]


def test_one_that_stands_still_holds_all() -> None:
    going = [Look(float(at), 3, 10.0 * at) for at in range(1, 60)]
    standing = [Look(at + 0.5, 1, 20) for at in range(1, 60)]
    assert advances([going, standing], 4) == [Mark(1.5, 10), Mark(2.0, 20)]


@pytest.mark.parametrize("others", [0, 4])
def test_while_shards_are_nobodys_or_two_workers_nothing_advances(others: int) -> None:
    one = [Look(1.0, 2, 50), Look(2.0, 2, 60), Look(3.0, 4, 45), Look(4.0, 4, 70)]
    other = [Look(1.0, 2, 50), Look(1.5, others, 60), Look(2.5, 0, 0)]
    assert advances([one, other], 4) == [Mark(1.0, 50), Mark(4.0, 70)]


def test_what_is_observed_again_is_no_advance() -> None:
    before = [Look(1.0, 1, 50), Look(1.5, 0, 0)]
    after = [Look(2.0, 1, 30), Look(3.0, 1, 50), Look(4.0, 1, 51)]
    assert advances([before, after], 1) == [Mark(1.0, 50), Mark(4.0, 51)]


def test_a_stall_begins_when_more_was_fed() -> None:
    assert list(stalls(_MARKS, _FED)) == [0.5, 1.5, 1.5]
    assert list(stalls(_MARKS, [])) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        (1.0, 0.5),
        # Of what was fed by then the last is observed at 4.0 only in part, as none is beyond it.
        (2.5, 1.5),
        # Nothing was fed for a while.
        (4.0, 1.5),
        (7.0, 0.5),
        (9.0, math.inf),
    ],
)
def test_it_has_resumed_when_all_that_was_fed_by_then_is_observed(
    end: float, seconds: float
) -> None:
    assert resumed(_MARKS, _FED, end) == seconds
