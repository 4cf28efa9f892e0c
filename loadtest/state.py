"""The size of the state, and the time to write and to read it: one model, and a thousand.

python -m loadtest.state --models 1000

What keeps the service from anything else is timed without a broker: the making of snapshots and
their restoration. Snapshots are taken by turns as the service does: `pause` is the longest of a
commit, over two rounds in which every shard is written. Then all shards are written to Apache
Kafka in one transaction, and recovered by another process's means: from the first question to a
pipeline that goes on. What the service must read again after that is the input since the oldest
of its snapshots, at most what came in the time in which all are written once.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from streamdrift.config import Settings
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import open_patient
from streamdrift.kafka.topics import ensure_topics
from streamdrift.pipeline import Pipeline
from streamdrift.records import Batch, Column, ColumnKey, Decoded, Group, Kind, Partition
from streamdrift.serving.assembly import fingerprint, make_pipeline, open_store, state_needs
from streamdrift.serving.recovery import recover
from streamdrift.serving.rota import Rota
from streamdrift.state import Published, Saved, Stored, encode
from streamdrift.state.kafka import KafkaLog
from tests.real_kafka import RealKafka

_REFERENCE = 1_000
_EVENTS = 3_000
_START = 1_767_225_600_000_000
_PARTITION = Partition("predictions", 0)


def events(model: str, features: int, first: int) -> Batch:
    """Return events of a model with so many numeric features, in one batch."""
    random = np.random.default_rng(first)
    kinds = np.full(_EVENTS, Kind.NUMBER, dtype=np.uint8)
    offsets = np.arange(first, first + _EVENTS, dtype=np.int64)
    return Batch(
        model,
        "1",
        (_PARTITION,),
        np.zeros(_EVENTS, dtype=np.int32),
        offsets,
        np.zeros(_EVENTS, dtype=np.int32),
        np.zeros(_EVENTS, dtype=np.uint64),
        _START + offsets * 1_000,
        {
            ColumnKey(Group.FEATURE, f"n{place:02}"): Column(kinds, random.normal(size=_EVENTS))
            for place in range(features)
        },
    )


def watching(settings: Settings, models: int, features: int) -> Pipeline:
    """Return a pipeline that watches so many models."""
    pipeline = make_pipeline(settings)
    for number in range(models):
        batch = events(f"m{number:04}", features, number * _EVENTS)
        decoded = Decoded(_PARTITION, (batch,), (), (number + 1) * _EVENTS, 0, 0)
        pipeline.feed_decoded(decoded)
        pipeline.release()
    return pipeline


def through_kafka(settings: Settings, snapshots: Mapping[int, bytes]) -> tuple[float, float]:
    """Return the seconds to write all snapshots, and to recover from them."""
    connection = settings.kafka
    ensure_topics(connection, state_needs(settings), create=True)
    with (
        closing(open_patient(connection, settings.name)) as outbox,
        closing(KafkaLog(connection)) as log,
    ):
        log.write_to(outbox)
        store = open_store(log, settings)
        store.load()
        start = time.perf_counter()
        outbox.begin()
        store.save(snapshots)
        outbox.flush()
        outbox.commit(settings.name, {})
        written = time.perf_counter() - start
    start = time.perf_counter()
    with closing(KafkaLog(connection)) as log:
        stored = open_store(log, settings).load()
        recover(make_pipeline(settings), stored, fingerprint(settings))
    return written, time.perf_counter() - start


def measure(kafka: RealKafka, models: int, features: int, shards: int) -> None:
    """Print what the state of so many models takes."""
    chosen = {
        "name": f"state-{models}-{shards}",
        "kafka": KafkaSettings(bootstrap_servers=kafka.bootstrap),
        "models": {"*": {"reference": {"events": _REFERENCE}}},
        "shards": shards,
    }
    settings = Settings.model_validate(chosen)
    pipeline = watching(settings, models, features)
    signals = sum(len(version.signals) for version in pipeline.monitor.versions())
    about, rota = fingerprint(settings), Rota()
    for shard in range(shards):
        rota.add(shard, None)
    interval, rate = settings.commit_interval / 1e6, settings.state.bytes_per_second
    pauses, saved, seconds = [], dict[int, Saved](), 0.0

    def encoded(shard: int) -> bytes:
        return encode({"settings": about, **pipeline.snapshot(shard)})

    rota.all_changed()
    rota.take(encoded, 0.0)  # The first time all, while there is next to nothing.
    rounds = list(range(shards)) * 2
    while rounds:
        rota.all_changed()
        start = time.perf_counter()
        taken = rota.take(encoded, rate * interval)
        pauses.append(time.perf_counter() - start)
        seconds += max(interval, sum(map(len, taken.values())) / rate)
        saved |= {shard: Saved(data, 1, 0) for shard, data in taken.items()}
        rounds = rounds[len(taken) :]
    read = time.perf_counter()
    recover(make_pipeline(settings), Stored(saved, (), Published()), about)
    restored = time.perf_counter() - read
    written, recovered = through_kafka(settings, {n: each.snapshot for n, each in saved.items()})
    print(
        f"{models:6,} models, {signals:7,} signals, {shards:4} shards: "
        f"{rota.size / 1e6:8.2f} MB ({rota.size / signals:,.0f} bytes a signal), "
        f"pause {max(pauses):6.3f} s, all written every {seconds / 2:3.0f} s: "
        f"{rota.size / (seconds / 2) / 1e6:.2f} MB/s, restored in {restored:6.3f} s; "
        f"with Kafka all written in {written:6.3f} s, recovered in {recovered:6.3f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 16, 64])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kafka = RealKafka(Path(folder))
        try:
            kafka.start()
            measure(kafka, 1, 4, 16)
            measure(kafka, 16, 12, 16)
            for shards in options.shards:
                measure(kafka, options.models, 12, shards)
        finally:
            kafka.stop(kill=True)


if __name__ == "__main__":
    main()
