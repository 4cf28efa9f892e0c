"""A deployment's state as the tests of `streamdrift state` use it, and as a file.

python -m tests.exported FILE

writes what is kept as `tests/unit/fixtures/state-export-N.sds`, N being the file's format.
Files of older formats are kept as they are: they must stay readable. (Format 1 was never
released, nor was what a state held before references learned, `state-export-2-of-ranks.sds`: they
are refused.)
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from streamdrift.config import Settings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Floor, Partition, State
from streamdrift.serving.assembly import fingerprint, make_pipeline
from streamdrift.state import (
    Ownership,
    Published,
    Saved,
    Stored,
    TopicStore,
    decode,
    encode,
)
from streamdrift.state.archive import Archive, pack, take
from streamdrift.state.log import Log, MemoryLog
from tests.messages import messages

START = 1_767_225_600
_EVENTS = 1_500
_DRIFT = 1_000
SHARDS = 3
FLOOR = Floor(Partition("predictions", 1), 5, 77)


def settings(name: str = "one") -> Settings:
    """Return settings under which the state below is made."""
    return Settings.model_validate(
        {
            "name": name,
            "source": {"predictions": ["predictions"]},
            "state": {"topic": "state", "journal": "journal"},
            "models": {"*": {"reference": {"events": 400}, "incidents": {"gather": "10s"}}},
            "shards": SHARDS,
        }
    )


def snapshots() -> dict[int, bytes]:
    """Return a state: one model that drifts, and one that is collected still."""
    numbers = np.random.default_rng(5).normal(size=_EVENTS)
    numbers[_DRIFT:] += 2
    values = [
        json.dumps(
            {
                "model": "young" if i % 10 == 0 else "fraud",
                "version": "3",
                "timestamp": START + i,
                "features": {"x": x},
            }
        ).encode()
        for i, x in enumerate(numbers.tolist())
    ]
    pipeline = make_pipeline(settings())
    pipeline.feed(messages(values, partition=Partition("predictions", 0)))
    pipeline.release()
    return encoded(pipeline)


def encoded(pipeline: Pipeline) -> dict[int, bytes]:
    """Return the snapshots of all shards, as the service stores them."""
    about = {"settings": fingerprint(settings())}
    return {
        shard: encode({**about, **pipeline.snapshot(shard)})
        for shard in range(pipeline.monitor.count)
    }


def decoded(snapshots: Mapping[int, Saved]) -> dict[int, State]:
    """Return the states that snapshots hold."""
    return {shard: decode(saved.snapshot) for shard, saved in snapshots.items()}


def contents(stored: Stored) -> dict[int, bytes]:
    """Return the snapshots that were loaded."""
    return {shard: saved.snapshot for shard, saved in stored.snapshots.items()}


def store(log: Log, name: str = "one", shards: int = SHARDS) -> TopicStore:
    """Return the store of a deployment in the topics of `settings`."""
    return TopicStore(log, name, "state", "journal", shards)


def fill(log: Log, name: str = "one", owner: str = "host/1") -> None:
    """Write a claim, the snapshot, a floor and what was published since."""
    Ownership(name, "journal", owner).claim(log)
    log.flush()
    filled = store(log, name)
    filled.save(snapshots())
    filled.journal([FLOOR], Published(frozenset({"a", "b"}), {(FLOOR.partition, 0): 4}))
    filled.flush()


def exported() -> Archive:
    """Return the archive of such a deployment."""
    log = MemoryLog()
    fill(log)
    archive = take([store(log)])
    assert archive is not None
    return archive


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(pack(exported()))
