"""Partitions that no member of a group has are found, and asked for by one of the members."""

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import KafkaError

from streamdrift.kafka.clients import KafkaSettings
from streamdrift.records import Partition
from streamdrift.sources import orphans
from streamdrift.sources.orphans import Orphans

_WANTED = [Partition("t", number) for number in range(3)]


class _Admin:
    def describe_groups(self, groups: list[str]) -> Any:
        raise KafkaError

    def close(self) -> None: ...


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Iterator[Orphans]:
    monkeypatch.setattr(orphans, "make_admin", lambda _: _Admin())
    monkeypatch.setattr(orphans, "_INTERVAL_SECONDS", 0.001)
    found = Orphans(KafkaSettings(), "g", "a", lambda: _WANTED)
    yield found
    found.close()


def _group(state: str = "Stable", **owned: list[int]) -> dict[str, Any]:
    members = [
        {
            "group_instance_id": name,
            "member_assignment": {"assigned_partitions": [{"topic": "t", "partitions": numbers}]},
        }
        for name, numbers in owned.items()
    ]
    return {"group_state": state, "members": members}


def _look(found: Orphans, group: dict[str, Any], times: int) -> list[frozenset[Partition]]:
    seen = []
    for _ in range(times):
        found.note(group)
        seen.append(found.take())
    return seen


def test_several_looks_in_a_row_must_agree(first: Orphans) -> None:
    without = _group(a=[0], b=[2])
    assert _look(first, without, 3) == [frozenset()] * 3
    assert _look(first, _group(a=[0, 1], b=[2]), 1) == [frozenset()]
    assert _look(first, without, 4) == [frozenset()] * 3 + [frozenset(_WANTED[1:2])]
    assert _look(first, without, 1) == [frozenset()]  # From then on anew.


def test_a_group_that_gives_out_is_waited_for(first: Orphans) -> None:
    without = _group(a=[0], b=[2])
    _look(first, without, 3)
    _look(first, _group("PreparingRebalance", a=[0], b=[2]), 1)
    assert _look(first, without, 1) == [frozenset()]


def test_one_of_the_members_asks(first: Orphans) -> None:
    assert _look(first, _group(b=[0], c=[2]), 5) == [frozenset()] * 5
    assert _look(first, _group(A=[0], a=[2]), 5) == [frozenset()] * 5
    assert frozenset(_WANTED[1:2]) in _look(first, _group(b=[0], a=[2]), 5)
