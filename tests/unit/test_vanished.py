"""Topics that are deleted, or made anew, are told from those that are to be read."""

from types import SimpleNamespace
from typing import Any

import pytest

from streamdrift.records import Partition
from streamdrift.sources.discovery import LookUp
from streamdrift.sources.vanished import Vanished

_FIRST, _ANEW = 11, 12
_PLACE = Partition("a", 0)


class _Discovery(SimpleNamespace):
    """Finds the topic as it is told, when it is told."""

    def __init__(self) -> None:
        super().__init__(last=LookUp(frozenset((_PLACE,)), {"a": _FIRST}, 1.0), looks=0)

    def look_now(self) -> None:
        self.looks += 1

    def find(self, identity: int | None, began: float) -> None:
        there = identity is not None
        partitions = frozenset((_PLACE,)) if there else frozenset()
        self.last = LookUp(partitions, {"a": identity} if identity is not None else {}, began)


@pytest.fixture
def discovery() -> Any:
    return _Discovery()


@pytest.fixture
def vanished(discovery: Any) -> Vanished:
    found = Vanished(discovery)
    found.read({_PLACE: _FIRST})
    return found


def _told(vanished: Vanished, discovery: Any) -> list[str]:
    return [each.event for each in vanished.look(discovery.last)]


def test_only_a_look_up_after_the_moment_tells_that_a_topic_is_the_same(
    vanished: Vanished, discovery: Any
) -> None:
    assert vanished.is_same(_PLACE, 1.0)
    assert discovery.looks == 0
    assert not vanished.is_same(_PLACE, 1.5)
    assert discovery.looks == 1
    discovery.find(_FIRST, 2.0)
    assert vanished.is_same(_PLACE, 1.5)


def test_a_topic_made_anew_is_not_the_same_until_it_is_read(
    vanished: Vanished, discovery: Any
) -> None:
    discovery.find(_ANEW, 2.0)
    assert not vanished.is_same(_PLACE, 1.5)
    assert _told(vanished, discovery) == ["topic made anew"]
    assert not vanished.is_same(_PLACE, 1.5)
    vanished.read({_PLACE: _ANEW})
    assert vanished.is_same(_PLACE, 1.5)


def test_what_was_looked_up_before_it_was_made_anew_is_not_the_same(
    vanished: Vanished, discovery: Any
) -> None:
    """As of who begins to read it then: what is meant counts, not what is found by then."""
    discovery.find(_ANEW, 2.0)
    vanished.read({_PLACE: _FIRST})
    assert not vanished.is_same(_PLACE, 1.5)
    assert _told(vanished, discovery) == ["topic made anew"]


def test_a_topic_is_missing_where_two_look_ups_agree(vanished: Vanished, discovery: Any) -> None:
    discovery.find(None, 2.0)
    assert _told(vanished, discovery) == []
    assert vanished.topics == frozenset()
    discovery.find(None, 3.0)
    assert _told(vanished, discovery) == ["topic missing"]
    assert vanished.topics == {"a"}
    assert not vanished.is_same(_PLACE, 1.5)
