"""One process's hold of a deployment: its connections, its claim, and the guarantee it gives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from uuid import uuid4

import structlog

from streamdrift.assembly import topic_needs
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.outbox import Outbox, TransactionalOutbox
from streamdrift.records import Partition
from streamdrift.service import Session
from streamdrift.sinks import make_sinks
from streamdrift.sinks.dead_letters import DeadLetters
from streamdrift.sources.kafka import KafkaSource
from streamdrift.state import Ownership, TopicStore
from streamdrift.state.kafka import KafkaLog
from streamdrift.topics import Right, TopicReport, ensure_topics

_log = structlog.get_logger("streamdrift")


class Deployment:
    """Opens the sessions of one process, one after the other."""

    def __init__(self, settings: Settings, *, reset: bool = False) -> None:
        self._settings = settings
        self._reset = reset
        owner = f"{settings.instance}/{uuid4().hex[:8]}"
        self._ownership = Ownership(settings.name, settings.state.journal, owner)
        self._exactly_once: bool | None = None

    @contextmanager
    def open_session(self) -> Iterator[Session]:
        """Connect, make the topics that are missing, and close everything at the end.

        The first session forgets the stored snapshots where that was asked for. Raises
        FencedError where another process has taken over the deployment.
        """
        settings = self._settings
        _tell_created(
            ensure_topics(settings.kafka, topic_needs(settings), create=settings.topics.create)
        )
        with ExitStack() as stack:
            log = stack.enter_context(closing(KafkaLog(settings.kafka)))
            # Before this process's producer fences that of one that has taken over.
            self._ownership.check(log)
            transaction = self._open_transaction(log)
            outbox = transaction or Outbox(settings.kafka)
            stack.enter_context(closing(outbox))
            log.write_to(outbox)
            try:
                self._claim(log, transaction)
                yield self._session(stack, log, outbox, transaction)
            except FencedError as error:
                # By another process, or by the broker as a transaction took too long.
                self._ownership.check(log)
                raise ConnectionsError(str(error), error.hint) from error

    def _open_transaction(self, log: KafkaLog) -> TransactionalOutbox | None:
        if self._exactly_once is None:
            self._exactly_once = self._choose_guarantee(log)
        if not self._exactly_once:
            return None
        return TransactionalOutbox(self._settings.kafka, self._settings.name)

    def _choose_guarantee(self, log: KafkaLog) -> bool:
        settings = self._settings
        if settings.guarantee == "at_least_once":
            return False
        journal = settings.state.journal
        works = transactions_work(
            log, lambda: TransactionalOutbox(settings.kafka, settings.name), journal, settings.name
        )
        if settings.guarantee == "exactly_once" and not works:
            raise ConnectionsError(
                "the brokers do not keep to transactions, which guarantee: exactly_once needs",
                "set guarantee: at_least_once: alerts may then be repeated, with the same ids",
            )
        _log.info("guarantee", alerts="exactly once" if works else "at least once")
        return works

    def _claim(self, log: KafkaLog, transaction: TransactionalOutbox | None) -> None:
        """Make this process the deployment's owner, and forget its state where asked to."""
        if transaction is not None:
            # The one that took over may have been fenced by this process's producer just now:
            # then it goes on, as its claim is the last.
            self._ownership.check(log)
            transaction.begin()
        self._ownership.claim(log)
        store = self._store(log)
        if self._reset:
            store.reset()
        log.flush()
        if transaction is not None:
            transaction.commit(self._settings.name, {})
        self._reset = False

    def _store(self, log: KafkaLog) -> TopicStore:
        settings = self._settings
        return TopicStore(log, settings.name, settings.state.topic, settings.state.journal)

    def _session(
        self,
        stack: ExitStack,
        log: KafkaLog,
        outbox: Outbox,
        transaction: TransactionalOutbox | None,
    ) -> Session:
        settings = self._settings
        sinks = make_sinks(settings.alerts, settings.name, outbox)
        for sink in sinks:
            stack.enter_context(closing(sink))
        return Session(
            self._store(log),
            sinks,
            DeadLetters(outbox, settings.source.dead_letters),
            self._open_source,
            lambda: self._ownership.check(log),
            transaction,
            settings.name,
        )

    def _open_source(self, positions: Mapping[Partition, int]) -> KafkaSource:
        settings = self._settings
        own = settings.own_topics().values()
        return KafkaSource(settings.kafka, settings.source, positions, own=own)


def _tell_created(topics: Sequence[TopicReport]) -> None:
    for topic in topics:
        if not topic.created:
            continue
        if Right.READ in topic.need.rights and Right.WRITE not in topic.need.rights:
            doubt = "nobody has written to it yet: is its name in source.predictions right?"
            _log.warning("input topic created", topic=topic.need.name, doubt=doubt)
        else:
            _log.info("topic created", topic=topic.need.name, purpose=topic.need.purpose)


def transactions_work(
    log: KafkaLog, open_outbox: Callable[[], TransactionalOutbox], topic: str, deployment: str
) -> bool:
    """Find out whether the brokers hide what a process that died has left in a transaction.

    Some that speak Kafka's protocol let transactions be committed, and show what was never
    committed all the same. The record that tells, NAME/probe in the journal, is ignored by
    all who read that.
    """
    start = log.end(topic)
    key = f"{deployment}/probe"
    try:
        with closing(open_outbox()) as left:
            left.begin()
            left.send(topic, b"", key=key.encode(), partition=0)
            left.flush()
        with closing(open_outbox()) as next_one:
            next_one.begin()
            next_one.send(topic, None, key=key.encode(), partition=0)
            next_one.flush()
            next_one.commit(deployment, {})
    except ConnectionsError:
        return False
    seen = [entry.value for entry in log.read(topic, start) if entry.key == key]
    return seen == [None]
