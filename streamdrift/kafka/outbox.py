"""Producers of which several writers share one: what belongs together is written together."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    InvalidProducerEpochError,
    InvalidTransactionTimeoutError,
    KafkaConnectionError,
    KafkaTimeoutError,
    ProducerFencedError,
)
from kafka.producer.future import FutureRecordMetadata
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.kafka.clients import KafkaSettings, connection_errors, make_producer
from streamdrift.records import Partition

TRANSACTION_SECONDS = 10
"""After this long the broker aborts a transaction whose producer is gone."""
FLUSH_SECONDS = 30.0
"""How long records may take to be acknowledged."""
COMMIT_SECONDS = 20.0
"""How long a transaction may take to be committed."""
LONG_SECONDS = 900
"""The same, all three, for what is written offline and at once: brokers allow no longer time-out
where they are not told otherwise (transaction.max.timeout.ms)."""
_CLOSE_SECONDS = 5.0
_OFFSET_BYTES = 100
"""What an offset takes at most in the group's topic, beside its topic's name and its note."""
_PART_BYTES = 400_000
PUT_OUT = (
    "its consumer group has put this worker out, as it or the brokers stood still for too long",
    "where that happens often, raise worker.session",
)
"""What is said, and advised, where the group has given what a worker has to others."""
_FENCED = (ProducerFencedError, InvalidProducerEpochError, FencedInstanceIdError)


def abandon(producer: KafkaProducer) -> None:
    """Give up a producer, with what it has not written yet."""
    # While records wait, the client's own `close` raises, and leaves the sender at work.
    sender = producer._sender  # noqa: SLF001
    sender.force_close()
    sender.join(_CLOSE_SECONDS)
    with suppress(KafkaTimeoutError):
        producer.close(timeout=0)


class Outbox:
    """One producer and the records it was given since the last `flush`.

    A producer that failed once is never used again: after an error from any method only
    `close` may be called, and what was sent since the last flush has an unknown outcome.

    `patient`: everything may take LONG_SECONDS, for what is written all or not at all.
    """

    def __init__(self, settings: KafkaSettings, *, patient: bool = False, **options: Any) -> None:
        self._settings = settings
        self._patient = patient
        if patient:
            # Else the client would give up what has waited for its turn that long.
            options["delivery_timeout_ms"] = LONG_SECONDS * 1_000
        self._producer: KafkaProducer = make_producer(settings, **options)
        self._pending: list[FutureRecordMetadata] = []

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> None:
        """Hand one record to the producer; raise ConnectionsError where it is refused."""
        with self._errors(f"write to the topic {topic}"):
            self._pending.append(
                self._producer.send(
                    topic, value=value, key=key, headers=list(headers), partition=partition
                )
            )

    def flush(self, timeout: float | None = None) -> None:
        """Return when all records sent so far are acknowledged by all replicas.

        Raises ConnectionsError where one is not, or not within `timeout` seconds.
        """
        if timeout is None:
            timeout = LONG_SECONDS if self._patient else FLUSH_SECONDS
        pending, self._pending = self._pending, []
        if not pending:
            return
        with self._errors("write"):
            self._producer.flush(timeout=timeout)
            for future in pending:
                future.get(timeout=0)

    def close(self) -> None:
        """Give up the connection, and what was not flushed."""
        abandon(self._producer)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        """Turn the client's errors into ours."""
        with connection_errors(self._settings, action):
            yield


class TransactionalOutbox(Outbox):
    """An outbox whose records become visible, all of them or none, with `commit`.

    Opening one ends every transaction that another process left open under the same id,
    and fences that process. Methods raise FencedError where that has happened to this one,
    and also where the broker ended a transaction that had been open for too long: to the
    client the two look the same.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        transactional_id: str,
        *,
        patient: bool = False,
        **options: Any,
    ) -> None:
        seconds = LONG_SECONDS if patient else TRANSACTION_SECONDS
        super().__init__(
            settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=seconds * 1_000,
            patient=patient,
            **options,
        )
        self._begun = False
        try:
            _forbid_epoch_bumps(self._producer)
            _lose_no_requests(self._producer)
            with self._errors("begin transactions"):
                self._producer.init_transactions()
            self._identity = self._producer_identity()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Begin a transaction, to which all that is sent from now on belongs."""
        with self._errors("begin a transaction"):
            self._producer.begin_transaction()
        self._begun = True

    def commit(
        self,
        group: Any,
        offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str] = MappingProxyType({}),
        reached: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make the transaction visible, with the group's offsets; return when it is.

        `group` is a group's name, or the metadata of one of its members: then the brokers
        refuse it where that member was replaced. `notes` are committed with the offsets of
        some partitions. All records must be flushed. `reached` is told once the offsets are
        sent, before all ends. Raises ConnectionsError where the transaction failed or its
        outcome is unknown.
        """
        positions = {
            TopicPartition(*partition): OffsetAndMetadata(offset, notes.get(partition, ""), -1)
            for partition, offset in offsets.items()
        }
        manager = self._producer._transaction_manager  # noqa: SLF001
        deadline = time.monotonic() + (LONG_SECONDS if self._patient else COMMIT_SECONDS)
        with self._errors("commit a transaction"):
            for part in _parts(positions):
                self._wait(manager.send_offsets_to_transaction(part, group), deadline)
            reached("offsets sent")
            self._wait(manager.begin_commit(), deadline)
        if self._producer_identity() != self._identity:
            # The client began anew meanwhile, and may have called a lost transaction done.
            raise ConnectionsError(
                "the producer lost its identity while it committed: the outcome is unknown"
            )
        self._begun = False

    def close(self) -> None:
        """Give up the connection, and what was not flushed or committed."""
        if self._patient and self._begun:
            # Until the broker ends it, which takes long, nobody could read what is behind it.
            with suppress(Exception):
                manager = self._producer._transaction_manager  # noqa: SLF001
                self._wait(manager.begin_abort(), time.monotonic() + _CLOSE_SECONDS)
        super().close()

    def _wait(self, result: Any, deadline: float) -> None:
        """Wait for the end of a request; raise the client's error, or KafkaTimeoutError.

        As the producer's own methods do, which set no limit to how long they wait: not even its
        close ends that.
        """
        self._producer._sender.wakeup()  # noqa: SLF001
        left = max(0.0, deadline - time.monotonic())
        if not result.wait(timeout_ms=left * 1_000):
            raise KafkaTimeoutError("no answer in time: the outcome is unknown")

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            with super()._errors(action):
                yield
        except ConnectionsError as error:
            # The first error tells; those that follow from it are of other types.
            first = self._producer._transaction_manager.last_error  # noqa: SLF001
            if isinstance(error.__cause__, _FENCED) or isinstance(first, _FENCED):
                raise FencedError(str(error)) from error
            if isinstance(first, CommitFailedError):
                raise ConnectionsError(*PUT_OUT) from error
            raise

    def _producer_identity(self) -> str:
        return str(self._producer._transaction_manager.producer_id_and_epoch)  # noqa: SLF001


def open_patient(
    settings: KafkaSettings, transactional_id: str, **options: Any
) -> TransactionalOutbox:
    """Return an outbox that is patient, as far as the brokers allow it."""
    try:
        return TransactionalOutbox(settings, transactional_id, patient=True, **options)
    except ConnectionsError as error:
        # The client tells of this one by its name.
        if InvalidTransactionTimeoutError.__name__ not in str(error):
            raise
        return TransactionalOutbox(settings, transactional_id, **options)


def _parts(
    positions: Mapping[TopicPartition, OffsetAndMetadata],
) -> Iterator[Mapping[TopicPartition, OffsetAndMetadata]]:
    """Yield offsets in parts of which each makes one batch that brokers take."""
    part: dict[TopicPartition, OffsetAndMetadata] = {}
    size = 0
    for place, position in positions.items():
        part[place] = position
        size += _OFFSET_BYTES + len(place.topic) + len(position.metadata)
        if size > _PART_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part


def _forbid_epoch_bumps(producer: KafkaProducer) -> None:
    """Let the client fail where it would ask for another epoch and go on.

    It would call a transaction done that the new epoch has ended, and a process that was
    fenced would take the id back from the one that replaced it. A producer that failed is
    given up here, so there is nothing to go on with.
    """
    manager = producer._transaction_manager  # noqa: SLF001
    assert callable(manager._supports_epoch_bump)  # noqa: SLF001
    manager._supports_epoch_bump = lambda: False  # noqa: SLF001


def _lose_no_requests(producer: KafkaProducer) -> None:
    """Let the client ask who coordinates now where a coordinator is gone.

    It does where a connection is not ready, and forgets the request it was about to send where
    waiting for that raises instead: the transaction would wait for an answer for good.
    """
    client = producer._sender._client  # noqa: SLF001
    ready: Callable[..., bool] = client.await_ready

    def ready_or_not(node: object, timeout_ms: float) -> bool:
        with suppress(KafkaConnectionError):
            return ready(node, timeout_ms=timeout_ms)
        return False

    client.await_ready = ready_or_not
