"""Compiling the kernels before the clock of the demo starts."""

import time

import numpy as np

from streamdrift.decoders import make_decoder
from streamdrift.demo.injections import DELIVERY, FRAUD, Injection, Touched
from streamdrift.demo.traffic import Traffic
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Messages, Partition, SignalKind
from streamdrift.signals.collector import ReferenceSettings

_SECONDS = 4.0
_RATE = 1_000.0


def compile_kernels() -> float:
    """Put a little traffic with a change in it through a pipeline; return the seconds taken."""
    start = time.perf_counter()
    touched = (Touched("amount", SignalKind.VALUE),)
    change = Injection("sudden mean shift", FRAUD, touched, 2.0, 2.7, _SECONDS)
    settings = ModelSettings(reference=ReferenceSettings(events=500))
    decoder = make_decoder("json", {})
    pipeline = Pipeline(
        lambda _: decoder, Ordering(OrderingSettings()), Shards(lambda _: settings, 1)
    )
    for number, model in enumerate((FRAUD, DELIVERY)):
        traffic = Traffic(model, 1, _RATE, _SECONDS, (change,))
        for moment in np.arange(0.5, _SECONDS + 0.5, 0.5).tolist():
            pipeline.feed(as_messages(traffic.until(moment, 0), Partition("warm-up", number)))
            pipeline.release()
    pipeline.drain()
    return time.perf_counter() - start


def as_messages(values: list[bytes], partition: Partition, first: int = 0) -> Messages:
    """Return values as the messages of a partition, from offset `first` on."""
    length = np.array([len(value) for value in values], dtype=np.int64)
    nothing = np.zeros(len(values), dtype=np.int64)
    return Messages(
        partition=partition,
        data=np.frombuffer(b"".join(values), dtype=np.uint8),
        start=np.cumsum(length) - length,
        length=length,
        offset=np.arange(first, first + len(values), dtype=np.int64),
        time=nothing,
        key_start=nothing,
        key_length=nothing - 1,
        header_start=nothing,
        header_length=nothing - 1,
        next_offset=first + len(values),
    )
