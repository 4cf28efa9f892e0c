"""What the client says of offsets, as the rest of streamdrift can take it."""

from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import (
    CoordinatorNotAvailableError,
    RetriableError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings, beginning_offsets, end_offsets
from streamdrift.records import Partition
from streamdrift.sources import committed
from streamdrift.sources.committed import all_committed, has_committed
from streamdrift.sources.member import Committed

LookUp = Callable[[Any, Collection[TopicPartition]], Mapping[TopicPartition, int]]
_KNOWN, _NEW = TopicPartition("topic", 0), TopicPartition("topic", 1)


class OfOnePartition:
    """Looks offsets up as kafka-python 3.0 does, of a topic of which a broker knows a part."""

    def beginning_offsets(
        self, keys: Collection[TopicPartition], timeout_ms: int
    ) -> dict[TopicPartition, int]:
        found = {_KNOWN: 3}
        return {key: found[key] for key in keys}

    end_offsets = beginning_offsets


@pytest.mark.parametrize("look_up", [beginning_offsets, end_offsets])
def test_a_partition_that_a_broker_does_not_know_yet_is_an_error_of_the_brokers(
    look_up: LookUp,
) -> None:
    """So that it is asked again."""
    assert look_up(OfOnePartition(), [_KNOWN]) == {_KNOWN: 3}
    with pytest.raises(UnknownTopicOrPartitionError, match="partition=1"):
        look_up(OfOnePartition(), [_KNOWN, _NEW])


class OfNewBrokers:
    """Has no coordinator for a group at first."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def list_group_offsets(self, group: str) -> Any:
        self.refusals -= 1
        if self.refusals >= 0:
            raise CoordinatorNotAvailableError
        return {group: {_KNOWN: OffsetAndMetadata(7, "note", -1)}}


def test_a_coordinator_that_is_not_there_yet_is_waited_for() -> None:
    admin: Any = OfNewBrokers(refusals=2)
    found = all_committed(admin, KafkaSettings(), "group")
    assert found == {Partition("topic", 0): Committed(7, "note")}


def test_a_coordinator_that_does_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed, "_COORDINATOR_SECONDS", 0.2)
    admin: Any = OfNewBrokers(refusals=1_000)
    with pytest.raises(ConnectionsError, match="committed offsets") as raised:
        all_committed(admin, KafkaSettings(), "group")
    assert isinstance(raised.value.__cause__, RetriableError)


@pytest.mark.parametrize("offsets", [{}, {_KNOWN: OffsetAndMetadata(0, "", -1)}])
def test_a_group_that_committed_anything_is_told_from_a_new_one(
    monkeypatch: pytest.MonkeyPatch, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> None:
    admin = SimpleNamespace(list_group_offsets=lambda group: {group: offsets}, close=lambda: None)
    monkeypatch.setattr(committed, "make_admin", lambda _: admin)
    assert has_committed(KafkaSettings(), "group") == bool(offsets)
