"""The kernels one by one, beside what they replace: nanoseconds a value, or an event.

python -m loadtest.kernels
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition
from river.drift import ADWIN, PageHinkley
from streamdrift.sketches.ranks import Cells, fill_ranks

from loadtest.events import events
from streamdrift.decoders import make_decoder
from streamdrift.demo.warmup import as_messages
from streamdrift.detectors import AdwinSettings, DetectorSettings, PageHinkleySettings, make_bank
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.records import Kind, Partition
from streamdrift.sources.batches import AbortedTransactions, Fetched, read_batches
from streamdrift.sources.fetching import as_records
from streamdrift.sources.packing import pack

_SIGNALS = 64
_BLOCK = 2_048
_REPEATS = 7


def best(work: Callable[[], object], size: int) -> float:
    """Return the least time of several runs, in nanoseconds for each of `size` values."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) / size * 1e9


def bank(settings: DetectorSettings) -> float:
    """Return the time of an update of a bank over uniform values."""
    values = np.random.default_rng(1).random((_SIGNALS, _BLOCK))
    made = make_bank(settings, np.full(_SIGNALS, 0.29))
    rows, start = np.arange(_SIGNALS), np.zeros(_SIGNALS, dtype=np.int64)
    made.update(values, rows, start)
    return best(lambda: made.update(values, rows, start), values.size)


def river(make: Any) -> float:
    """Return the time of an update of river's detector, called per value."""
    values = np.random.default_rng(1).random(20_000).tolist()
    detector = make()

    def work() -> None:
        for value in values:
            detector.update(value)

    return best(work, len(values))


def ranks() -> float:
    """Return the time of the rank and the spread of a number."""
    random = np.random.default_rng(1)
    cells, numbers = Cells.of(random.normal(size=10_000)), random.normal(size=_BLOCK)
    kinds = np.full(_BLOCK, Kind.NUMBER, dtype=np.uint8)
    out = np.empty((2, _BLOCK))

    def work() -> None:
        fill_ranks(
            kinds, int(Kind.NUMBER), numbers, cells.edges, cells.cumulative, 5, 0, out[0], out[1]
        )

    work()
    return best(work, _BLOCK)


def decoding() -> tuple[float, float]:
    """Return the time of an event of the JSON decoder, and of orjson alone."""
    values = list(events(10_000))
    decoder, messages = make_decoder("json", {}), as_messages(values, Partition("t", 0))
    decoder.decode(messages)
    ours = best(lambda: decoder.decode(messages), len(values))
    return ours, best(lambda: [orjson.loads(value) for value in values], len(values))


def fetched() -> tuple[float, float]:
    """Return the time of a message out of a response, and of kafka-python's reader for it.

    The client's reader, which its public `poll` uses, makes an object of every record.
    """
    partition = Partition("t", 0)
    values = list(events(_BLOCK))
    builder = MemoryRecordsBuilder(2, 0, 1 << 24)
    for value in values:
        builder.append(0, None, value, [])
    builder.close()
    response = builder.buffer()

    def as_client() -> None:
        reader = Fetcher.PartitionRecords(0, TopicPartition(*partition), MemoryRecords(response))
        pack(partition, as_records(reader.take()), reader.next_fetch_offset)

    def walked() -> Fetched:
        return read_batches(partition, response, 0, AbortedTransactions([]))

    assert len(walked().messages) == len(values)
    return best(walked, len(values)), best(as_client, len(values))


def ordering() -> float:
    """Return the time of an event of the merge of four partitions."""
    values = list(events(20_000))
    decoder = make_decoder("json", {})
    decoded = [
        decoder.decode(as_messages(values[number::4], Partition("t", number)))
        for number in range(4)
    ]

    def work() -> None:
        merge = Ordering(OrderingSettings())
        merge.assign(part.partition for part in decoded)
        for part in decoded:
            merge.push(part)
        merge.drain()

    work()
    return best(work, len(values))


def main() -> None:
    ours, alone = decoding()
    walked, client = fetched()
    rows = [
        ("ADWIN bank, a value", bank(AdwinSettings()), "river", river(ADWIN)),
        ("Page-Hinkley bank, a value", bank(PageHinkleySettings()), "river", river(PageHinkley)),
        ("rank and spread, a value", ranks(), "", None),
        ("record batch, a message", walked, "kafka-python", client),
        ("JSON decoder, an event", ours, "orjson.loads alone", alone),
        ("merge of 4 partitions, an event", ordering(), "", None),
    ]
    for name, figure, other, peer in rows:
        beside = f"   {other} {peer:,.0f} ns" if peer is not None else ""
        print(f"{name:34} {figure:8,.1f} ns{beside}")


if __name__ == "__main__":
    main()
