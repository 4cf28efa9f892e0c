"""Traffic of a model as the core takes it: columns in event order, without broker and decoder."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.monitor import Monitor
from streamdrift.records import (
    Alert,
    Batch,
    Column,
    ColumnKey,
    Floats,
    Group,
    Kind,
    Partition,
    Released,
)

MODEL = "model"
BEGIN = 1_767_571_200
"""A Monday's midnight, UTC, in seconds: 2026-01-05."""

Values = Callable[[np.random.Generator, Floats], Floats]
"""Draws a column's values at these times, float64[n] in seconds from BEGIN, to the same."""


class Traffic(NamedTuple):
    """Events of one model: how many a second there are at a time, and what they hold."""

    rate: Callable[[float], float]
    columns: Mapping[str, Values]
    chunk: int = 4_096

    def batches(self, random: np.random.Generator, seconds: float) -> Iterator[Batch]:
        """Yield the events of so many seconds, which come at random, in order."""
        now, offset = 0.0, 0
        while now < seconds:
            gaps = random.exponential(1 / self.rate(now), self.chunk)
            times = now + np.cumsum(gaps)
            now = float(times[-1])
            values = {name: draw(random, times) for name, draw in self.columns.items()}
            yield batch_of(times, values, offset)
            offset += self.chunk


def batch_of(times: Floats, columns: Mapping[str, Floats], offset: int) -> Batch:
    """Return events of the model at these times, in seconds from BEGIN."""
    size = len(times)
    kinds = np.full(size, Kind.NUMBER, dtype=np.uint8)
    return Batch(
        model=MODEL,
        version="1",
        partitions=(Partition("predictions", 0),),
        partition=np.zeros(size, dtype=np.int32),
        offset=np.arange(offset, offset + size, dtype=np.int64),
        index=np.zeros(size, dtype=np.int32),
        ids=np.zeros(size, dtype=np.uint64),
        time=((times + BEGIN) * 1e6).astype(np.int64),
        columns={
            ColumnKey(Group.FEATURE, name): Column(kinds, values)
            for name, values in columns.items()
        },
    )


class Heard(NamedTuple):
    """An alert as it is counted: its time in seconds from BEGIN, its step, its columns."""

    at: float
    step: str
    columns: frozenset[str]

    @property
    def opened(self) -> bool:
        """Whether it opened an incident."""
        return self.step == "opened"


def heard(settings: ModelSettings, batches: Iterator[Batch]) -> Iterator[Heard]:
    """Let the core watch events; yield its alerts as they come."""
    monitor = Monitor(lambda _: settings)
    for batch in batches:
        for alert in monitor.observe(Released((batch,), int(batch.time[-1]))).alerts:
            yield _heard(alert)


def _heard(alert: Alert) -> Heard:
    signals = alert.data["signals"]
    assert isinstance(signals, list | tuple)
    names = frozenset(str(signal["column"]) for signal in signals)
    return Heard(alert.time / 1e6 - BEGIN, alert.type, names)


def places(times: Floats, at: float) -> int:
    """Return how many events came up to a time."""
    return int(np.searchsorted(times, at, side="right"))
