"""The process that sends the demo's traffic."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from streamdrift.demo.injections import DELIVERY, FRAUD, Injection
from streamdrift.demo.traffic import Traffic
from streamdrift.durations import SECOND
from streamdrift.kafka.clients import KafkaSettings, make_producer

PARTITIONS = 2
_TURN = 0.05
_SETTLE = 0.5
"""Seconds between the process's start and the first event."""


class Plan(NamedTuple):
    """What is sent where."""

    connection: KafkaSettings
    topic: str
    seed: int
    rate: float
    seconds: float
    injections: tuple[Injection, ...]


@contextmanager
def producing(plan: Plan) -> Iterator[int]:
    """Send the plan's traffic from a process of its own; yield the start's time (us).

    It goes on past the plan's length, until the block ends: an end would be a silence.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.SimpleQueue()
    process = context.Process(target=_produce, args=(plan, ready), daemon=True)
    process.start()
    try:
        yield ready.get()
    finally:
        process.terminate()
        process.join()


def _produce(plan: Plan, ready: "multiprocessing.SimpleQueue[int]") -> None:
    producer = make_producer(plan.connection, linger_ms=10, batch_size=1 << 17)
    traffic = [
        Traffic(model, plan.seed, plan.rate, plan.seconds, plan.injections)
        for model in (FRAUD, DELIVERY)
    ]
    epoch = time.time_ns() // 1_000 + int(_SETTLE * SECOND)
    ready.put(epoch)
    parent = multiprocessing.parent_process()
    # Whoever was killed cannot end this process: it must notice by itself.
    while parent is not None and parent.is_alive():
        time.sleep(_TURN)
        moment = (time.time_ns() / 1_000 - epoch) / SECOND
        if moment <= 0:
            continue
        for model in traffic:
            for partition, values in enumerate(dealt(model.until(moment, epoch))):
                for value in values:
                    producer.send(plan.topic, value, partition=partition)


def dealt(values: list[bytes]) -> list[list[bytes]]:
    """Return what each partition gets of a model's events: they take turns."""
    return [values[number::PARTITIONS] for number in range(PARTITIONS)]
