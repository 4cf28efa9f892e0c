"""Partitions in which an open transaction hides what comes next."""

from streamdrift.records import Partition
from streamdrift.sources.blocked import PATIENCE, Blocked

A, B = Partition("a", 0), Partition("b", 0)


def test_only_what_stands_still_for_long_is_blocked_and_told_once() -> None:
    blocked = Blocked()
    assert blocked.look({A: 5, B: 7}, 0.0) == frozenset()
    assert blocked.look({A: 5, B: 8}, PATIENCE - 1) == frozenset()
    assert blocked.look({A: 5, B: 8}, PATIENCE) == {A}
    assert blocked.look({A: 5, B: 8}, PATIENCE + 1) == frozenset()
    assert blocked.partitions == {A}


def test_who_goes_on_or_has_read_all_is_not_blocked() -> None:
    blocked = Blocked()
    blocked.look({A: 5, B: 7}, 0.0)
    blocked.look({A: 5, B: 7}, PATIENCE)
    assert blocked.look({A: 6}, PATIENCE + 1) == frozenset()
    assert blocked.partitions == frozenset()
    assert blocked.look({A: 6, B: 7}, PATIENCE + 2) == frozenset()
