"""Waits between attempts."""

from streamdrift.backoff import LONGEST, Backoff


def test_waits_double_to_a_longest() -> None:
    backoff = Backoff()
    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST]
    few = Backoff(first=0.5, longest=3.0)
    assert [few.failed() for _ in range(4)] == [0.5, 1, 2, 3]


def test_what_worked_begins_anew() -> None:
    backoff = Backoff()
    assert [backoff.failed() for _ in range(3)] == [1, 2, 4]
    backoff.worked()
    assert backoff.failed() == 1


def test_waits_are_shorter_by_chance_but_not_than_was_asked() -> None:
    assert Backoff(lambda: 1.0).failed() == 0.5
    assert Backoff(lambda: 1.0).failed(asked=300.0) == 300.0
