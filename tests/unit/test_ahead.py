"""Who runs ahead of the others is paused, and resumed once half of it is let go."""

from streamdrift.records import Partition
from streamdrift.workers.control import Ahead

A, B = Partition("a", 0), Partition("b", 0)


def test_events_wait_until_all_have_reached_their_key() -> None:
    ahead = Ahead(10)
    ahead.sent(A, 5, 4)
    ahead.sent(A, 9, 4)
    ahead.sent(B, 7, 1)
    assert ahead.waiting(None) == {A: 8, B: 1}
    assert ahead.waiting(4) == {A: 8, B: 1}
    assert ahead.waiting(5) == {A: 4, B: 1}
    assert ahead.waiting(4) == {A: 4, B: 1}
    assert ahead.waiting(9) == {A: 0, B: 0}


def test_a_partition_is_paused_beyond_the_limit_and_resumed_at_half() -> None:
    ahead = Ahead(10)
    ahead.sent(A, 5, 10)
    ahead.sent(B, 5, 5)
    assert ahead.full(None) == (frozenset(), frozenset({B}))
    ahead.sent(A, 8, 1)
    assert ahead.full(4) == (frozenset({A}), frozenset({B}))
    ahead.sent(A, 9, 5)
    assert ahead.full(5) == (frozenset(), frozenset({B}))
    assert ahead.full(8) == (frozenset(), frozenset({A, B}))


def test_what_is_another_workers_is_forgotten() -> None:
    ahead = Ahead(1)
    ahead.sent(A, 5, 2)
    ahead.drop(A)
    ahead.drop(B)
    assert ahead.waiting(None) == {}
    assert ahead.full(None) == (frozenset(), frozenset())
