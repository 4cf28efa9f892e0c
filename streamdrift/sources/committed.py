"""How far a group has read, as brokers tell anybody who asks."""

import time
from collections.abc import Mapping
from contextlib import closing

from kafka import KafkaAdminClient
from kafka.errors import RetriableError

from streamdrift.kafka.clients import KafkaSettings, connection_errors, make_admin
from streamdrift.records import Partition
from streamdrift.sources.member import Committed

_COORDINATOR_SECONDS = 20.0
_PAUSE = 0.1


def all_committed(
    admin: KafkaAdminClient, connection: KafkaSettings, group: str
) -> Mapping[Partition, Committed]:
    """Return what a group has committed of all partitions there ever were.

    Brokers that are new, or lost one, have no coordinator for the group at first.
    """
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    with connection_errors(connection, "look up committed offsets"):
        while True:
            try:
                found = admin.list_group_offsets(group).get(group, {})
                break
            except RetriableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
    return {
        Partition(*key): Committed(at.offset, at.metadata or "")
        for key, at in found.items()
        if at.offset >= 0
    }


def has_committed(connection: KafkaSettings, group: str) -> bool:
    """Tell whether a group has committed anything, ever."""
    with closing(make_admin(connection)) as admin:
        return bool(all_committed(admin, connection, group))
