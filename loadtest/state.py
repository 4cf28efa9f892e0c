"""The size of the state, and the time to write and to read it: one model, and a thousand.

python -m loadtest.state --models 1000

No broker: what is timed is the making of a snapshot and its restoration, both of which keep the
service from anything else. The bytes a second are those of the settings' budget.
"""

import argparse
import time

import numpy as np

from streamdrift.assembly import make_pipeline
from streamdrift.config import Settings
from streamdrift.records import Batch, Column, ColumnKey, Decoded, Group, Kind, Partition
from streamdrift.state import decode, encode

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


def measure(models: int, features: int) -> None:
    """Print what the state of so many models takes."""
    settings = Settings.model_validate({"models": {"*": {"reference": {"events": _REFERENCE}}}})
    pipeline = make_pipeline(settings)
    for number in range(models):
        batch = events(f"m{number:04}", features, number * _EVENTS)
        decoded = Decoded(_PARTITION, (batch,), (), (number + 1) * _EVENTS, 0, 0)
        pipeline.feed_decoded(decoded)
        pipeline.release()
    signals = sum(len(version.signals) for version in pipeline.monitor.versions())
    start = time.perf_counter()
    data = encode({"pipeline": pipeline.snapshot()})
    written = time.perf_counter()
    again = make_pipeline(settings)
    again.restore(decode(data)["pipeline"])  # type: ignore[arg-type]
    read = time.perf_counter()
    every = max(settings.commit_interval / 1e6, len(data) / settings.state.bytes_per_second)
    print(
        f"{models:6,} models, {signals:7,} signals: {len(data) / 1e6:8.2f} MB "
        f"({len(data) / signals:,.0f} bytes a signal), made in {written - start:6.3f} s, "
        f"restored in {read - written:6.3f} s, written every {every:.0f} s: "
        f"{len(data) / every / 1e6:.2f} MB/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1_000)
    options = parser.parse_args()
    measure(1, 4)
    measure(options.models, 12)


if __name__ == "__main__":
    main()
