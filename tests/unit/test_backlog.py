"""When the service has caught up."""

from collections.abc import Mapping

from streamdrift.following.backlog import Backlog
from streamdrift.records import Partition, Reached

A, B, E = Partition("input", 0), Partition("input", 1), Partition("exchange", 0)


class _Stage:
    """One whose standing tests set."""

    def __init__(self, **reached: tuple[int, int]) -> None:
        self.known = True
        self.reached: dict[Partition, Reached] = {
            {"a": A, "b": B, "e": E}[name]: Reached(*at) for name, at in reached.items()
        }

    def __call__(self) -> Mapping[Partition, Reached] | None:
        return dict(self.reached) if self.known else None


def test_all_that_was_there_at_the_beginning_must_be_taken() -> None:
    stage = _Stage(a=(5, 9), b=(3, 3))
    backlog = Backlog([stage], within=600.0)
    assert backlog.look(10.0) is None
    stage.reached = {A: Reached(8, 50), B: Reached(3, 70)}
    assert backlog.look(20.0) is None
    stage.reached = {A: Reached(9, 90), B: Reached(3, 90)}
    assert backlog.look(30.0) == 10.0


def test_a_round_that_took_long_is_followed_by_another() -> None:
    stage = _Stage(a=(0, 1_000))
    backlog = Backlog([stage], within=600.0)
    assert backlog.look(0.0) is None
    stage.reached = {A: Reached(1_000, 1_700)}
    assert backlog.look(3_600.0) is None
    assert backlog.look(3_601.0) is None
    stage.reached = {A: Reached(1_750, 1_800)}
    assert backlog.look(3_700.0) == 3_601.0


def test_what_went_into_a_later_stage_by_then_must_be_taken_from_it() -> None:
    first, second = _Stage(a=(1, 2)), _Stage(e=(0, 5))
    backlog = Backlog([first, second], within=600.0)
    assert backlog.look(0.0) is None
    first.reached, second.reached = {A: Reached(2, 2)}, {E: Reached(5, 8)}
    assert backlog.look(1.0) is None
    second.reached = {E: Reached(7, 9)}
    assert backlog.look(2.0) is None
    second.reached = {E: Reached(8, 99)}
    assert backlog.look(3.0) == 0.0


def test_nothing_is_known_while_a_stage_does_not_say() -> None:
    stage = _Stage(a=(2, 2))
    stage.known = False
    backlog = Backlog([stage], within=600.0)
    assert backlog.look(0.0) is None
    stage.known = True
    assert backlog.look(1.0) == 0.0


def test_what_is_there_no_more_is_not_waited_for() -> None:
    stage = _Stage(a=(0, 5), b=(0, 5))
    backlog = Backlog([stage], within=600.0)
    assert backlog.look(0.0) is None
    stage.reached = {A: Reached(5, 5)}
    assert backlog.look(1.0) == 0.0
