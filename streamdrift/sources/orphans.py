"""Partitions that no member of a consumer group has: looked for beside the loop.

Nobody in the group would notice: the client of the leader compares its topics with what it gave
out, but not once it was started again under its name; and a member that is killed between letting
a partition go and asking for the next round comes back under its name to what it has left.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streamdrift.kafka.clients import KafkaSettings, make_admin
from streamdrift.records import Partition

_INTERVAL_SECONDS = 5.0
_LOOKS = 4
"""As many must agree: between two rounds of giving out, a partition is nobody's for a moment."""


class Orphans:
    """Looks for partitions that are `wanted` of a stable group and nobody's, on its own thread.

    Only one member, the first by its name, is to act on them.
    """

    def __init__(
        self,
        connection: KafkaSettings,
        group: str,
        instance: str,
        wanted: Callable[[], Collection[Partition]],
    ) -> None:
        self._group = group
        self._instance = instance
        self._wanted = wanted
        self._looks: dict[Partition, int] = {}
        """How many in a row found it nobody's."""
        self._found: frozenset[Partition] = frozenset()
        self._stopped = threading.Event()
        self._admin: KafkaAdminClient = make_admin(connection)
        self._thread = threading.Thread(target=self._run, name="orphans", daemon=True)
        self._thread.start()

    def take(self) -> frozenset[Partition]:
        """Return those that this member is to ask for, once each time they were found."""
        found, self._found = self._found, frozenset()
        return found

    def _run(self) -> None:
        while not self._stopped.wait(_INTERVAL_SECONDS):
            # Of a broker that is away, and of a group without a coordinator, nothing is known.
            with suppress(KafkaError, OSError):
                self.note(self._admin.describe_groups([self._group])[self._group])
        self._admin.close()

    def note(self, described: Mapping[str, Any]) -> None:
        """Take what brokers say of the group."""
        members = described["members"]
        if described["group_state"] != "Stable" or not members:
            self._looks.clear()
            return
        owned = {
            Partition(each["topic"], number)
            for member in members
            for each in member["member_assignment"]["assigned_partitions"]
            for number in each["partitions"]
        }
        orphans = set(self._wanted()) - owned
        self._looks = {each: self._looks.get(each, 0) + 1 for each in orphans}
        sure = frozenset(each for each, looks in self._looks.items() if looks >= _LOOKS)
        if sure and self._instance == min(member["group_instance_id"] or "" for member in members):
            self._looks.clear()
            self._found = sure

    def close(self) -> None:
        """Stop looking; a look under way may outlast this by its time limit."""
        self._stopped.set()
        self._thread.join(timeout=1.0)
