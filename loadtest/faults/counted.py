"""How many events the stored state of a deployment holds: all that faults look at inside it."""

from contextlib import closing

from streamdrift.config import Settings
from streamdrift.exchange.shard import Shard
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.heads import Home
from streamdrift.monitoring.sharded import versions_limit
from streamdrift.serving.assembly import fingerprint, make_pipeline, open_shard, open_store
from streamdrift.serving.recovery import recover
from streamdrift.state import decode
from streamdrift.state.kafka import KafkaLog
from streamdrift.state.log import Log


def counted(connection: KafkaSettings, settings: Settings) -> int:
    """Return the events in the last state of a deployment that was stopped in order."""
    with closing(KafkaLog(connection)) as log:
        if settings.mode == "standalone":
            pipeline = make_pipeline(settings)
            recover(pipeline, open_store(log, settings).load(), fingerprint(settings))
            return _events(list(pipeline.monitor.versions()))
        shards = range(settings.shards)
        return sum(_events(_versions_of(log, settings, number)) for number in shards)


def _versions_of(log: Log, settings: Settings, number: int) -> list[ModelVersion]:
    stored = open_shard(log, settings, number).load()
    home = Home(number, settings.shards)
    shard = Shard(home, settings.model, versions_limit(settings.shards))
    shard.restore(decode(stored.snapshots[number].snapshot))
    return list(shard.monitor.versions())


def _events(versions: list[ModelVersion]) -> int:
    """Return the events; every group of a divided model has seen them all."""
    return sum(version.events for version in versions if version.group == 0)
