"""What workers claim of a group's partitions, and what they are given of them."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from streamdrift.sources.membership import Assignor

_PARTITIONS = frozenset(range(3))


class _Cluster:
    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, topic: str) -> frozenset[int]:
        return _PARTITIONS


def _member(name: str, *claimed: int) -> Any:
    owned = [ConsumerProtocolSubscription.TopicPartition(topic="t", partitions=list(claimed))]
    metadata = ConsumerProtocolSubscription(
        version=1, topics=["t"], user_data=b"", owned_partitions=owned if claimed else []
    )
    return SimpleNamespace(member_id=name, metadata=metadata)


def _given(*members: Any) -> dict[str, set[int]]:
    assigned = Assignor().assign(_Cluster(), iter(members))
    return {name: {number for _, number in each.partitions()} for name, each in assigned.items()}


@pytest.mark.parametrize("order", [1, -1])
def test_what_two_claim_is_given_to_neither(order: int) -> None:
    """One of them was put out, and does not know: the other may be about to commit."""
    owner, stale = _member("owner", 0, 1, 2), _member("stale", 2)
    given = _given(*(owner, stale)[::order])
    assert given["owner"] | given["stale"] <= {0, 1}
    assert not given["owner"] & given["stale"]


def test_what_is_claimed_once_stays_and_what_nobody_claims_is_given() -> None:
    assert _given(_member("a", 0), _member("b", 1)) in (
        {"a": {0, 2}, "b": {1}},
        {"a": {0}, "b": {1, 2}},
    )


def test_a_question_changes_what_a_member_tells() -> None:
    assignor = Assignor()
    before = assignor.metadata(["t"]).encode()
    assert assignor.metadata(["t"]).encode() == before
    assignor.asked += 1
    assert assignor.metadata(["t"]).encode() != before
