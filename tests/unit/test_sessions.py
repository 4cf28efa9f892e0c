"""One session after the other, as connections fail."""

import gc
import weakref

import pytest

from streamdrift.errors import ConnectionsError
from streamdrift.prometheus.metrics import Metrics
from streamdrift.serving.sessions import Sessions


class _Part:
    """A part of a session, that refers to itself as its parts refer to each other."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_failed_session_held_is_gone_before_the_next() -> None:
    sessions = Sessions(Metrics(), "input")
    held: list[weakref.ref[_Part]] = []

    def session() -> None:
        if held:
            assert held[0]() is None
            sessions.stop()
            return
        part = _Part()
        held.append(weakref.ref(part))

        def turn() -> bool:
            raise ConnectionsError(f"{part} is gone")

        sessions.serve(turn, lambda: None)

    gc.disable()
    try:
        sessions.run(session)
    finally:
        gc.enable()
    assert len(held) == 1
    assert held[0]() is None


def test_what_fails_before_anything_was_served_is_raised() -> None:
    sessions = Sessions(Metrics(), "input")

    def session() -> None:
        raise ConnectionsError("nobody answers")

    with pytest.raises(ConnectionsError, match="nobody answers"):
        sessions.run(session)
    assert not sessions.serving


def test_what_fails_at_the_end_is_raised() -> None:
    sessions = Sessions(Metrics(), "input")

    def finish() -> None:
        raise ConnectionsError("the last commit failed")

    def turn() -> bool:
        sessions.stop()
        return True

    with pytest.raises(ConnectionsError, match="the last commit failed"):
        sessions.run(lambda: sessions.serve(turn, finish))
