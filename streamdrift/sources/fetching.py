"""Where streamdrift reaches into kafka-python: whole batches, larger reads, fetches ahead.

The client's public `poll()` makes a Python object per message. Its fetcher, though, keeps
each partition's response in a class of its own, `Fetcher.PartitionRecords`; put in its
place, `BatchRecords` hands over one `Messages` per response instead of a list of records.

Everything here checks first that the client looks as expected (kafka-python 3.0), changes
nothing where it does not, and says so in what it returns: the source then goes on with the
public path.
"""

import inspect
import time
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.net import transport
from kafka.structs import TopicPartition

from streamdrift.records import Messages, Partition
from streamdrift.sources.batches import (
    AbortedTransactions,
    CorruptBatchError,
    UnsupportedBatchError,
    read_batches,
)
from streamdrift.sources.packing import Record, microseconds, pack

_CLIENT_READ_SIZE = 4096
_READ_SIZE = 1 << 20
_GAP_SECONDS = 3.0
"""Between two answers; in less, no topic is deleted, made anew and filled as far."""

_PARTITION_RECORDS_PARAMETERS = (
    "self",
    "fetch_offset",
    "tp",
    "records",
    "key_deserializer",
    "value_deserializer",
    "check_crcs",
    "isolation_level",
    "aborted_transactions",
    "metric_aggregator",
    "on_drain",
)
_FETCH_RESPONSE_PARAMETERS = ("self", "node_id", "fetch_offsets", "send_time", "response")


def as_records(fetched: list[Any]) -> list[Record]:
    """Return kafka-python's ConsumerRecords as `Record`s."""
    return [
        Record(
            offset=record.offset,
            time=microseconds(record.timestamp),
            value=record.value,
            key=record.key,
            headers=record.headers,
        )
        for record in fetched
    ]


class BatchRecords:
    """Stands in for the fetcher's `PartitionRecords`: one partition's part of a response.

    The fetcher asks for its truth (is anything left?), `take`s what is there and then reads
    `next_fetch_offset` and `leader_epoch`, from which the next fetch goes on. `take` returns
    a list of one `Messages`, which is empty where the response held only markers.
    """

    def __init__(
        self,
        fetch_offset: int,
        tp: TopicPartition,
        records: Any,
        *,
        on_drain: Callable[["BatchRecords"], None],
        aborted_transactions: list[Any] | None = None,
        **options: Any,
    ) -> None:
        self.topic_partition = tp
        self.next_fetch_offset = fetch_offset
        self.leader_epoch = -1
        self.bytes_read = 0
        self._records = records
        self._on_drain = on_drain
        self._transactions = aborted_transactions or []
        self._options = options

    def __bool__(self) -> bool:
        return self._records is not None

    def drain(self) -> None:
        """Give up what is left; the fetcher then asks the broker for more."""
        if self._records is not None:
            self._records = None
            self._on_drain(self)

    def take(self, _limit: int | None = None) -> list[Messages]:
        """Return all there is, as one `Messages`; raise CorruptBatchError on damage."""
        try:
            messages = self._read()
        finally:
            self.drain()
        advanced = len(messages) > 0 or messages.next_offset > self.next_fetch_offset
        self.next_fetch_offset = messages.next_offset
        return [messages] if advanced else []

    def _read(self) -> Messages:
        partition = Partition(*self.topic_partition)
        aborted = AbortedTransactions(
            (transaction.producer_id, transaction.first_offset)
            for transaction in self._transactions
        )
        # The bytes of the response: MemoryRecords reads them without copying, and so do we.
        buffer = self._records._buffer  # noqa: SLF001
        self.bytes_read = len(buffer)
        try:
            fetched = read_batches(partition, buffer, self.next_fetch_offset, aborted)
        except UnsupportedBatchError:
            return self._read_as_client_does(partition)
        if fetched.corrupt is not None and len(fetched.messages) == 0:
            raise fetched.corrupt
        if fetched.leader_epoch >= 0:
            self.leader_epoch = fetched.leader_epoch
        return fetched.messages

    def _read_as_client_does(self, partition: Partition) -> Messages:
        reader = Fetcher.PartitionRecords(
            self.next_fetch_offset,
            self.topic_partition,
            self._records,
            aborted_transactions=self._transactions,
            **self._options,
        )
        records = as_records(reader.take())
        self.leader_epoch = reader.leader_epoch
        return pack(partition, records, reader.next_fetch_offset)


class AnsweredFetches:
    """When a broker last answered a fetch of each partition, on the monotonic clock.

    The client's network thread writes it, the source's reads it.
    """

    def __init__(self) -> None:
        self._answered: dict[TopicPartition, float] = {}
        self._broken: dict[TopicPartition, float] = {}

    def broken(self, partition: Partition) -> float:
        """Return when a fetch was last refused, or the first answered after a gap; -inf if never.

        In a gap, a topic may be deleted and made anew, and no fetch meets that.
        """
        return self._broken.get(TopicPartition(*partition), float("-inf"))

    def since(self, partition: Partition) -> float:
        """Return when the last answered fetch of a partition was answered; -inf if never."""
        return self._answered.get(TopicPartition(*partition), float("-inf"))

    def latest(self) -> float:
        """Return when any fetch was last answered."""
        return max(list(self._answered.values()), default=float("-inf"))

    def note(self, fetch_offsets: Mapping[TopicPartition, int], response: Any) -> None:
        """Take note of one response, in which partitions without news are left out."""
        if response.error_code:
            return
        failed = {
            TopicPartition(topic.topic, partition.partition_index)
            for topic in response.responses
            for partition in topic.partitions
            if partition.error_code
        }
        now = time.monotonic()
        self._broken.update((key, now) for key in failed)
        for key in fetch_offsets:
            if key not in failed:
                if self._answered.get(key, now) < now - _GAP_SECONDS:
                    self._broken[key] = now
                self._answered[key] = now


def install_batch_records(consumer: KafkaConsumer) -> bool:
    """Make `consumer.poll()` return `Messages`; return whether the client allowed it."""
    fetcher = getattr(consumer, "_fetcher", None)
    if not isinstance(fetcher, Fetcher) or not _takes(
        getattr(Fetcher, "PartitionRecords", None), _PARTITION_RECORDS_PARAMETERS
    ):
        return False
    fetcher.PartitionRecords = BatchRecords
    return True


def watch_answers(consumer: KafkaConsumer) -> AnsweredFetches | None:
    """Return the consumer's answered fetches; None where the client does not allow it."""
    fetcher: Any = getattr(consumer, "_fetcher", None)
    if not isinstance(fetcher, Fetcher) or not _takes(
        getattr(Fetcher, "_handle_fetch_response", None), _FETCH_RESPONSE_PARAMETERS
    ):
        return None
    handle = fetcher._handle_fetch_response  # noqa: SLF001 (see the module's text)
    answered = AnsweredFetches()

    def handle_and_note(node: Any, fetch_offsets: Any, sent_at: float, response: Any) -> Any:
        answered.note(fetch_offsets, response)
        return handle(node, fetch_offsets, sent_at, response)

    fetcher._handle_fetch_response = handle_and_note  # noqa: SLF001 (see the module's text)
    return answered


def fetch_ahead(consumer: KafkaConsumer) -> Callable[[], None]:
    """Return what asks the brokers for more at once, unless they were asked already.

    A poll that finds records waiting sends the next fetches before it returns; one that had
    to wait for its records leaves that to the next, which then waits as well: the brokers
    would work only while we wait. Does nothing where the client does not allow it.
    """
    fetcher: Any = getattr(consumer, "_fetcher", None)
    methods = [getattr(Fetcher, name, None) for name in ("in_flight_fetches", "send_fetches")]
    if not isinstance(fetcher, Fetcher) or not all(_takes(each, ("self",)) for each in methods):
        return lambda: None

    def ask() -> None:
        if not fetcher.in_flight_fetches():
            fetcher.send_fetches()

    return ask


def enlarge_socket_reads() -> bool:
    """Let kafka-python read its sockets 1 MiB at a time; return whether it could be done.

    Its transports call `recv(4096)` until nothing is left, some 250 system calls and Python
    steps for each MiB: half of all time spent on a consumer that does little else. The size
    is a constant in the code of one method, and only that constant is exchanged.
    """
    methods = [
        getattr(getattr(transport, name, None), "_sock_recv", None)
        for name in ("KafkaTCPTransport", "KafkaSSLTransport")
    ]
    functions = [method for method in methods if isinstance(method, FunctionType)]
    sizes = [_read_sizes(function.__code__) for function in functions]
    if len(functions) != len(methods) or not all(len(size) == 1 for size in sizes):
        return False
    for function in functions:
        constants = tuple(
            _READ_SIZE if constant == _CLIENT_READ_SIZE else constant
            for constant in function.__code__.co_consts
        )
        function.__code__ = function.__code__.replace(co_consts=constants)
    return True


def _read_sizes(code: CodeType) -> list[object]:
    return [size for size in code.co_consts if size in (_CLIENT_READ_SIZE, _READ_SIZE)]


def _takes(function: object, parameters: tuple[str, ...]) -> bool:
    if not callable(function):
        return False
    target = vars(function)["__init__"] if inspect.isclass(function) else function
    return tuple(inspect.signature(target).parameters) == parameters


__all__ = [
    "AnsweredFetches",
    "BatchRecords",
    "CorruptBatchError",
    "as_records",
    "enlarge_socket_reads",
    "fetch_ahead",
    "install_batch_records",
    "watch_answers",
]
