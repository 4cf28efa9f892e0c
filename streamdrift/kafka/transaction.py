"""One commit as one Kafka transaction: the protocol that everything exactly-once rests on."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from streamdrift.records import Partition

Reached = Callable[[str], None]


class Transaction(Protocol):
    """What makes everything written since `begin` visible at once, or never."""

    def begin(self) -> None:
        """Begin; raise a StreamdriftError where that cannot be."""
        ...

    def commit(
        self,
        group: Any,
        offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str] = ...,
        reached: Reached = ...,
    ) -> None:
        """Make all visible, with the group's offsets; raise a StreamdriftError where it is not.

        After that, whether it became visible is unknown. `reached` is told once the offsets
        are sent.
        """
        ...


class Work(Protocol):
    """What has come about since the last commit."""

    def write(self, reached: Reached) -> None:
        """Write what is for others: alerts, dead letters, frames."""
        ...

    def remember(self, reached: Reached) -> None:
        """Write what a next life needs to know: the journal, and snapshots that are due."""
        ...

    def flush(self) -> None:
        """Return when every record is acknowledged; raise a StreamdriftError else."""
        ...

    def read_to(self) -> tuple[Mapping[Partition, int], Mapping[Partition, str]]:
        """Return how far the input is read, and notes on partitions of it."""
        ...

    def done(self) -> None:
        """Forget what is committed."""
        ...


def commit_transaction(work: Work, transaction: Transaction, group: Any, reached: Reached) -> None:
    """Make durable what came about since the last commit, all of it or nothing, once.

    1. Begin a transaction.
    2. Write what is for others: alerts, dead letters, and between workers frames.
    3. Write what a next life needs to know: the journal says what order was decided, and
       what is published by this; snapshots of the shards whose turn it is.
    4. Wait until every single record is acknowledged: the client would commit without one
       that it gave up. Sinks outside of Kafka have theirs from here on, and may get them
       again from whoever dies before the next step is done.
    5. Send how far the input is read as the group's offsets, and commit: from here on all of
       it is visible. Until then none is, to those who read what is committed. A member of a
       group sends its generation along: where the group has replaced it, or gave what it read
       to another, the brokers refuse.

    A failure at any step, or an outcome that is not known, ends the session; nothing is
    written again by its producer. The next one takes the transactional id over, which ends
    the transaction one way or the other, and begins from what is committed. `reached` is told
    of every step, for fault tests.
    """
    transaction.begin()
    reached("begun")
    work.write(reached)
    work.remember(reached)
    work.flush()
    reached("acknowledged")
    transaction.commit(group, *work.read_to(), reached)
    reached("committed")
    work.done()
