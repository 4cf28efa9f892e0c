"""The size of the state, and the time to write and to read it: one model, and a thousand.

python -m loadtest.state --models 1000

No broker: what is timed is the making of snapshots and their restoration, both of which keep the
service from anything else. Snapshots are taken by turns as the service does: `pause` is the
longest of a commit, over two rounds in which every shard is written.
"""

import argparse
import time

import numpy as np

from streamdrift.assembly import fingerprint, make_pipeline
from streamdrift.config import Settings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Batch, Column, ColumnKey, Decoded, Group, Kind, Partition
from streamdrift.recovery import recover
from streamdrift.rota import Rota
from streamdrift.state import Published, Saved, Stored, encode

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


def measure(models: int, features: int, shards: int) -> None:
    """Print what the state of so many models takes."""
    chosen = {"models": {"*": {"reference": {"events": _REFERENCE}}}, "shards": shards}
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
    print(
        f"{models:6,} models, {signals:7,} signals, {shards:4} shards: "
        f"{rota.size / 1e6:8.2f} MB ({rota.size / signals:,.0f} bytes a signal), "
        f"pause {max(pauses):6.3f} s, all written every {seconds / 2:3.0f} s: "
        f"{rota.size / (seconds / 2) / 1e6:.2f} MB/s, restored in {restored:6.3f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 16, 64])
    options = parser.parse_args()
    measure(1, 4, 16)
    measure(16, 12, 16)
    for shards in options.shards:
        measure(options.models, 12, shards)


if __name__ == "__main__":
    main()
