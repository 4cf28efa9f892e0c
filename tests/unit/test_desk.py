import threading
from collections.abc import Sequence
from functools import partial

import pytest

from streamdrift.errors import LaterError
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.slices import Slices
from streamdrift.serving.desk import MOST_WAITING, SLICE_SECONDS, Desk
from tests.api import looped


class Ticking:
    """A clock on which each look takes so long."""

    def __init__(self, seconds: float) -> None:
        self._now, self._seconds = 0.0, seconds

    def __call__(self) -> float:
        self._now += self._seconds
        return self._now


def counted(slices: int, done: list[int]) -> Slices[int]:
    for each in range(slices):
        done.append(each)
        yield
    return slices


def counting(monitors: Sequence[Monitor], slices: int, done: list[int]) -> Slices[int]:
    return counted(slices, done)


def test_the_loop_answers_with_what_it_has_on_its_own_thread() -> None:
    desk, seen = Desk(), list[object]()

    def question(monitors: Sequence[Monitor]) -> Slices[str]:
        seen.append((threading.current_thread() is not threading.main_thread(), monitors))
        yield
        return "answer"

    with looped(desk, []):
        assert desk.ask(question).result(5) == "answer"
    assert seen == [(True, [])]


def test_a_turn_is_not_held_up_for_long_however_much_is_asked() -> None:
    done: list[int] = []
    desk = Desk(Ticking(SLICE_SECONDS / 4))
    with desk.served():
        answer = desk.ask(lambda _: counted(10, done))
        turns = 0
        while desk.waiting:
            before = len(done)
            desk.serve([])
            turns += 1
            assert len(done) - before <= 4
    assert (answer.result(0), turns) == (10, 4)


def test_answers_come_in_the_order_of_the_questions() -> None:
    done: list[int] = []
    desk = Desk()
    with desk.served():
        answers = [desk.ask(partial(counting, slices=slices, done=done)) for slices in (3, 1, 2)]
        desk.serve([])
    assert [answer.result(0) for answer in answers] == [3, 1, 2]
    assert not desk.waiting


def test_who_has_not_waited_gets_no_answer() -> None:
    done: list[int] = []
    desk = Desk()
    with desk.served():
        given_up = desk.ask(lambda _: counted(5, done))
        assert given_up.cancel()
        desk.serve([])
    assert (done, desk.waiting) == ([], False)


def test_a_fault_in_a_view_ends_the_view_and_not_the_loop() -> None:
    def broken(monitors: Sequence[Monitor]) -> Slices[None]:
        yield
        raise ValueError("broken")

    desk = Desk()
    with desk.served():
        answer, other = desk.ask(broken), desk.ask(lambda _: counted(1, []))
        desk.serve([])
        with pytest.raises(ValueError, match="broken"):
            answer.result(0)
        assert other.result(0) == 1


def test_where_no_loop_serves_that_is_said() -> None:
    desk = Desk()
    with pytest.raises(LaterError, match="not read"):
        desk.ask(lambda _: counted(1, []))
    with desk.served():
        begun = Desk(Ticking(SLICE_SECONDS))
        with begun.served():
            half = begun.ask(lambda _: counted(3, []))
            begun.serve([])
        left = desk.ask(lambda _: counted(1, []))
    for answer in (half, left):
        with pytest.raises(LaterError, match="ended"):
            answer.result(0)


def test_not_more_than_some_may_wait() -> None:
    desk = Desk()
    with desk.served():
        for _ in range(MOST_WAITING):
            desk.ask(lambda _: counted(1, []))
        with pytest.raises(LaterError, match="too many"):
            desk.ask(lambda _: counted(1, []))
