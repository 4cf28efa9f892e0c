"""Whether what a broker answers is of the topic that is meant, and not of another by its name.

A topic made anew has other events at the same offsets. Brokers do not tell, as the client asks by
name; but they refuse a fetch while there is no topic, and whoever fetches without a gap meets that.
"""

import time
from collections.abc import Callable, Iterable

from streamdrift.records import Partition

IsSame = Callable[[Partition, float], bool]
"""Tells whether a partition's topic is still the one that is meant to be read, as it was looked
up after a moment; where it was not, it will be."""

_NEVER = float("-inf")


def trust(*_: object) -> bool:
    """Take every topic for the one it was: nobody makes it anew."""
    return True


class Sameness:
    """From when on it is not known which topic a partition is of, and whether it is by now."""

    def __init__(self, is_same: IsSame) -> None:
        self._is_same = is_same
        self._sought: dict[Partition, float] = {}
        """When an offset was sought, which is of a topic that was looked up before."""
        self._sure: dict[Partition, float] = {}
        """The last moment after which a partition was the same."""

    def sought(self, partitions: Iterable[Partition]) -> None:
        """Take note that offsets were sought."""
        self._sought |= dict.fromkeys(partitions, time.monotonic())

    def drop(self, partition: Partition) -> None:
        """Forget a partition."""
        self._sought.pop(partition, None)
        self._sure.pop(partition, None)

    def is_sure(self, partition: Partition, broken: float = _NEVER) -> bool:
        """Tell whether a partition is of the topic that is meant.

        `broken`: when a fetch was refused last, or the first was answered after a gap.
        """
        since = max(broken, self._sought.get(partition, _NEVER))
        if since <= self._sure.get(partition, _NEVER):
            return True
        if not self._is_same(partition, since):
            return False
        self._sure[partition] = since
        return True
