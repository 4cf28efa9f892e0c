"""The kernels one by one, beside what they replace: nanoseconds a value, or an event.

python -m loadtest.kernels
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition
from river import drift

from loadtest.events import events
from streamdrift.decoders import make_decoder
from streamdrift.demo.warmup import as_messages
from streamdrift.detectors import (
    RATES_ONLY,
    AdwinSettings,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    EDetectorSettings,
    Expected,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
    make_bank,
)
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.records import Partition, Stream
from streamdrift.references.counts import Counts
from streamdrift.references.urn import Urns
from streamdrift.sources.batches import AbortedTransactions, Fetched, read_batches
from streamdrift.sources.fetching import as_records
from streamdrift.sources.packing import pack

_SIGNALS = 64
_BLOCK = 2_048
_REPEATS = 7


def best(work: Callable[[], object], size: int) -> float:
    """Return the least CPU time of several runs, in nanoseconds for each of `size` values."""
    times = []
    for _ in range(_REPEATS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times) / size * 1e9


_RUN_LENGTH = 1e12
"""Asked of the banks: they are to take values, not to alarm."""
_RATE = 0.2


def bank(settings: DetectorSettings) -> float:
    """Return the time of an update of a bank, over ranks or over 0/1 values."""
    values = np.random.default_rng(1).random((_SIGNALS, _BLOCK))
    expected = Expected(Stream.NUMERIC)
    if settings.kind in RATES_ONLY:
        values = (values < _RATE).astype(np.float64)
        expected = Expected.of_rate(1_000 * (1 - _RATE), 1_000 * _RATE)
    made = make_bank(settings, [expected] * _SIGNALS, np.full(_SIGNALS, _RUN_LENGTH))
    rows, start = np.arange(_SIGNALS), np.zeros(_SIGNALS, dtype=np.int64)
    made.update(values, rows, start)
    return best(lambda: made.update(values, rows, start), values.size)


def river(make: Any, length: int = 20_000) -> float:
    """Return the time of an update of river's detector, called per value."""
    numbers = np.random.default_rng(1).random(length)
    detector = make()
    binary = type(detector).__module__.startswith("river.drift.binary")
    values = (numbers < _RATE).astype(int).tolist() if binary else numbers.tolist()

    def work() -> None:
        for value in values:
            detector.update(value)

    return best(work, len(values))


def ranks() -> float:
    """Return the time of the rank of a number."""
    random = np.random.default_rng(1)
    urns = Urns(_SIGNALS)
    for slot in range(_SIGNALS):
        urns.learn(slot, Counts.of(random.normal(size=10_000)), slot)
    numbers = random.normal(size=(_SIGNALS, _BLOCK))
    rows, start = np.arange(_SIGNALS), np.zeros(_SIGNALS, dtype=np.int64)
    cells = np.empty(numbers.shape, dtype=np.uint16)
    urns.rank(rows, rows, start, numbers.copy(), cells)
    return best(lambda: urns.rank(rows, rows, start, numbers.copy(), cells), numbers.size)


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


def banks() -> Iterator[tuple[DetectorSettings, float | None]]:
    """Yield every detector's settings, and the time of river's of that kind."""
    yield EDetectorSettings(), None
    yield AdwinSettings(), river(drift.ADWIN)
    yield PageHinkleySettings(), river(drift.PageHinkley)
    yield FocusSettings(), None
    yield FocusSettings(mean="unknown"), None
    yield HddmASettings(), river(drift.binary.HDDMA)
    yield HddmWSettings(), river(drift.binary.HDDMW)
    yield DdmSettings(), river(drift.binary.DDM)
    yield EddmSettings(), river(drift.binary.EDDM)
    yield KswinSettings(), river(drift.KSWIN, 1_000)


def main() -> None:
    ours, alone = decoding()
    walked, client = fetched()
    rows = [
        *(
            (f"{settings.kind} bank, a value", bank(settings), peer and "river", peer)
            for settings, peer in banks()
        ),
        ("rank, a value", ranks(), "", None),
        ("record batch, a message", walked, "kafka-python", client),
        ("JSON decoder, an event", ours, "orjson.loads alone", alone),
        ("merge of 4 partitions, an event", ordering(), "", None),
    ]
    for name, figure, other, peer in rows:
        beside = f"   {other} {peer:,.0f} ns" if peer is not None else ""
        print(f"{name:34} {figure:8,.1f} ns{beside}")


if __name__ == "__main__":
    main()
