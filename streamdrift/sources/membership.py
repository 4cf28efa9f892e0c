"""Where streamdrift reaches into how kafka-python 3.0 belongs to a consumer group.

A member that the group has put out, as it stood still for too long, must claim nothing of what it
had: others have it by then. The client forgets that where it is put out amid a join: it goes on
with its old partitions, and tells of none of them that they are lost.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import RebalanceInProgressError
from kafka.protocol.consumer.metadata import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)
from kafka.structs import TopicPartition

from streamdrift.sources import by_topic

_NEVER_JOINED = -1


class Assignor(CooperativeStickyAssignor):  # type: ignore[misc]  # the client has no types
    """The client's cooperative assignor, for members that may be wrong about what they have."""

    asked = 0
    """How often this member asked to have all given out anew: what it tells is another then, as
    brokers pass on no question of a member that tells the same."""

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolSubscription:
        """Return what this member tells the group: topics, what it has, and how often it asked."""
        told = super().metadata(topics)
        told.user_data = b"%d" % self.asked
        return told

    def assign(
        self, cluster: Any, members: Iterable[Any]
    ) -> Mapping[str, ConsumerProtocolAssignment]:
        """Return what each member gets; what two claim, neither: it is given out once they let go.

        The client's would give it to one of the two at once, while the other still commits.
        """
        members = list(members)
        claims = Counter(
            partition
            for member in members
            for partition in self.parse_member_metadata(member.metadata).partitions
        )
        assigned = super().assign(cluster, members)
        if max(claims.values(), default=0) < 2:
            return dict(assigned)
        return {
            member: ConsumerProtocolAssignment(
                self.version,
                [
                    (topic, kept)
                    for topic, numbers in by_topic(given.partitions()).items()
                    if (kept := [n for n in numbers if claims[TopicPartition(topic, n)] < 2])
                ],
                b"",
            )
            for member, given in assigned.items()
        }


def watch_membership(coordinator: Any, put_out: Callable[[], None]) -> None:
    """Call `put_out` as soon as the group has put a member out that had joined it.

    On the client's thread, before it joins again; from then on it claims nothing.
    """
    reset = coordinator.reset_generation

    def lost(*arguments: object, **options: object) -> None:
        if coordinator._generation.generation_id != _NEVER_JOINED:  # noqa: SLF001
            put_out()
            for assignor in coordinator._assignors.values():  # noqa: SLF001
                assignor.member_assignment = None
        reset(*arguments, **options)

    coordinator.reset_generation = lost


def ask_whether_known(coordinator: Any, within_ms: int) -> None:
    """Have the group say that it knows a member, under the generation that this has.

    Raises KafkaError where it does not, or does not answer; `put_out` is called where it does not.
    """
    # After a while without a word from it, the client forgets who coordinates the group.
    coordinator.ensure_coordinator_ready(timeout_ms=within_ms)
    with suppress(RebalanceInProgressError):  # It asks the members that it knows to join anew.
        coordinator._net.run(coordinator._send_heartbeat_request)  # noqa: SLF001


def ask_anew(coordinator: Any) -> None:
    """Have the group give all its partitions out anew."""
    for assignor in coordinator._assignors.values():  # noqa: SLF001
        assignor.asked += 1
    coordinator.request_rejoin()
