"""What the journal says about the order of events, for those who only read it."""

import json
from collections.abc import Iterator

from streamdrift.records import Floor, Partition
from streamdrift.state.log import Log


def read_floors(log: Log, deployment: str, topic: str) -> Iterator[Floor]:
    """Yield all floors a deployment has journaled in `topic`, oldest first."""
    for entry in log.read(topic, 0):
        if entry.key == f"{deployment}/floor" and entry.value is not None:
            name, number, offset, key = json.loads(entry.value)
            yield Floor(Partition(name, number), offset, key)
