"""Partitions that bring nothing although there is more: a transaction in the way has not ended."""

from collections.abc import Mapping

from streamdrift.records import Partition

PATIENCE = 10.0
"""Seconds without progress after which a partition is said to be blocked."""


class Blocked:
    """Watches for how long partitions with unread messages stand where they are.

    A producer that dies inside a transaction keeps readers of committed records from all
    that was written behind it, until the broker ends the transaction: after the producer's
    own time-out, at most `transaction.max.timeout.ms` (15 minutes unless changed). Nothing
    is lost or skipped meanwhile, and nothing can be done here but to wait and say so.
    """

    def __init__(self) -> None:
        self._standing: dict[Partition, tuple[int, float]] = {}
        self.partitions: frozenset[Partition] = frozenset()

    def look(self, waiting: Mapping[Partition, int], now: float) -> frozenset[Partition]:
        """Take the next offsets of partitions that have unread messages and brought none.

        Return those that are blocked since this look.
        """
        self._standing = {
            partition: self._standing[partition]
            if partition in self._standing and self._standing[partition][0] == offset
            else (offset, now)
            for partition, offset in waiting.items()
        }
        before = self.partitions
        self.partitions = frozenset(
            partition for partition, (_, since) in self._standing.items() if now - since >= PATIENCE
        )
        return self.partitions - before
