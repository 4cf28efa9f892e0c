"""What the brokers say of a deployment: its transaction, and who coordinates it."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from enum import Enum
from typing import Any

from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings, make_admin

_PATIENCE = 60.0
_NOBODY = -1


class Coordinates(Enum):
    """What a coordinator coordinates; the value is the topic whose partition's leader it is."""

    TRANSACTION = "__transaction_state"
    GROUP = "__consumer_offsets"


class Inside:
    """Asks the brokers, each time anew, as any of them may have gone meanwhile."""

    def __init__(self, connection: KafkaSettings, names: Mapping[Coordinates, str]) -> None:
        self._connection = connection
        self._names = names
        """The transactional id, and the group."""

    def transaction(self) -> str:
        """Return the state of the deployment's transaction, as the brokers call it."""
        name = self._names[Coordinates.TRANSACTION]
        with self._admin() as admin:
            found = admin.describe_transactions([name])
        return str(found[name].state.value)

    def coordinator(self, of: Coordinates) -> int:
        """Return the node that coordinates the deployment."""
        return self._leaders(of)[self._place(of)]

    def wait_for(self, reached: Callable[[], bool], what: str) -> None:
        """Return when something is so; brokers that do not answer are asked again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with suppress(KafkaError, ConnectionsError, KeyError):
                if reached():
                    return
            assert time.monotonic() < deadline, f"{what}: not within {_PATIENCE:g} s"
            time.sleep(0.2)

    def elect(self, wanted: Mapping[Coordinates, int]) -> None:
        """Let other nodes coordinate the deployment, without any of them being stopped."""
        places = {of: TopicPartition(of.value, self._place(of)) for of in wanted}
        self.wait_for(lambda: self._all_in_sync(list(places.values())), "all replicas in sync")
        order = {
            places[of]: [first, *(each for each in self.nodes() if each != first)]
            for of, first in wanted.items()
        }
        with self._admin() as admin:
            refused = admin.alter_partition_reassignments(order)
            assert not any(refused.values()), refused
            self.wait_for(lambda: not admin.list_partition_reassignments(), "reassigned")
            admin.elect_leaders(0, {key.topic: [key.partition] for key in order})
        self.wait_for(
            lambda: all(self.coordinator(of) == first for of, first in wanted.items()), "moved"
        )

    def wait_for_another(self, of: Coordinates, lost: int) -> None:
        """Return when a node other than the one that was lost coordinates the deployment."""
        self.wait_for(
            lambda: self.coordinator(of) not in (lost, _NOBODY), f"{of.value} without {lost}"
        )

    def _place(self, of: Coordinates) -> int:
        """Return the partition that a name falls into, by Java's hash of it."""
        code = 0
        for letter in self._names[of]:
            code = (31 * code + ord(letter)) & 0xFFFFFFFF
        return (code & 0x7FFFFFFF) % len(self._leaders(of))

    def _leaders(self, of: Coordinates) -> Mapping[int, int]:
        return {each["partition_index"]: each["leader_id"] for each in self._described(of.value)}

    def _all_in_sync(self, places: Collection[TopicPartition]) -> bool:
        return all(
            len(each["isr_nodes"]) == len(each["replica_nodes"])
            for place in places
            for each in self._described(place.topic)
            if each["partition_index"] == place.partition
        )

    def _described(self, topic: str) -> Sequence[Mapping[str, Any]]:
        with self._admin() as admin:
            (found,) = admin.describe_topics([topic])
        partitions: Sequence[Mapping[str, Any]] = found["partitions"]
        return partitions

    def nodes(self) -> Sequence[int]:
        """Return the numbers of the nodes that are up."""
        with self._admin() as admin:
            return sorted(each["broker_id"] for each in admin.describe_cluster()["brokers"])

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        with closing(make_admin(self._connection)) as admin:
            yield admin
