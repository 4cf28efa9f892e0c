"""When a partition is idle, and since when nothing has happened."""

from streamdrift.durations import SECOND
from streamdrift.records import Partition
from streamdrift.serving.idleness import Idleness, Look, Verdict

A, B = Partition("a", 0), Partition("b", 0)
NOTHING = Verdict((), None)


def look(
    now: float,
    *shown: Partition,
    at_end: tuple[Partition, ...] = (A, B),
    left: tuple[Partition, ...] = (),
) -> Look:
    return Look(now, (A, B), at_end, shown, left)


def test_partitions_at_their_end_are_idle_after_a_while_and_time_goes_on() -> None:
    idleness = Idleness(2 * SECOND, 0.0)
    assert idleness.judge(look(0, A, B)) == NOTHING
    assert idleness.judge(look(1, B)) == NOTHING
    assert idleness.judge(look(2)) == Verdict((A,), None)
    assert idleness.judge(look(3)) == Verdict((B,), 2 * SECOND)
    assert idleness.judge(look(3.5)) == NOTHING
    assert idleness.judge(look(4.5)) == Verdict((), 3_500_000)


def test_an_event_wakes_its_partition() -> None:
    idleness = Idleness(2 * SECOND, 0.0)
    idleness.judge(look(0))
    assert idleness.judge(look(2)).idle == (A, B)
    assert idleness.judge(look(3, A)) == NOTHING
    assert idleness.judge(look(5)) == Verdict((A,), 2 * SECOND)


def test_a_partition_that_is_not_at_its_end_is_not_idle_and_no_time_passes() -> None:
    idleness = Idleness(2 * SECOND, 0.0)
    for now in range(10):
        verdict = idleness.judge(look(now, at_end=(B,)))
        assert verdict == (Verdict((B,), None) if now == 2 else NOTHING)
    assert idleness.judge(look(10)) == NOTHING
    assert idleness.judge(look(11)) == Verdict((A,), 2 * SECOND)


def test_after_a_lapse_nothing_is_concluded_from_what_was_before() -> None:
    idleness = Idleness(2 * SECOND, 0.0)
    idleness.judge(look(0))
    assert idleness.judge(look(3_600)) == NOTHING
    assert idleness.judge(look(3_602)) == Verdict((A, B), 2 * SECOND)


def test_a_partition_that_is_read_no_more_is_idle_at_once() -> None:
    idleness, old = Idleness(2 * SECOND, 0.0), Partition("old", 3)
    assert idleness.judge(look(0, left=(old,))) == Verdict((old,), None)
    assert idleness.judge(look(1, left=(old,))) == NOTHING


def test_a_partition_that_came_back_is_looked_at_anew() -> None:
    """Between two looks: it was another worker's, or its topic is another one by now."""
    idleness = Idleness(2 * SECOND, 0.0)
    idleness.judge(look(0))
    assert idleness.judge(look(2)).idle == (A, B)
    idleness.forget([A])
    assert idleness.judge(look(3)).idle == ()
    assert idleness.judge(look(5)).idle == (A,)
