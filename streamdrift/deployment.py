"""One process's hold of a deployment: its connections, its claim, and the guarantee it gives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from streamdrift.assembly import incidents_need, open_store, own_needs, state_needs, topic_needs
from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.following.incidents import forget_incidents
from streamdrift.loop import Session
from streamdrift.outbox import Outbox, TransactionalOutbox, open_patient
from streamdrift.probe import transactions_work
from streamdrift.records import Partition
from streamdrift.sinks import make_sinks
from streamdrift.sinks.dead_letters import DeadLetters
from streamdrift.sources.committed import has_committed
from streamdrift.sources.kafka import KafkaSource
from streamdrift.state import Ownership, TopicStore
from streamdrift.state.commands import CommandLog
from streamdrift.state.kafka import KafkaLog
from streamdrift.topics import Right, TopicNeed, TopicReport, ensure_topics

_log = structlog.get_logger("streamdrift")


@dataclass(frozen=True, slots=True)
class _Connection:
    """What a process reads and writes the state with."""

    log: KafkaLog
    outbox: Outbox
    transaction: TransactionalOutbox | None
    """The outbox once more, where the brokers have transactions."""


class Deployment:
    """Opens the sessions of one process, one after the other, or changes the state for it."""

    def __init__(self, settings: Settings, *, reset: bool = False) -> None:
        self._settings = settings
        self._reset = reset
        owner = f"{settings.instance}/{uuid4().hex[:8]}"
        self._ownership = Ownership(settings.name, settings.state.journal, owner)
        self._exactly_once: bool | None = None
        self._opened = False

    @contextmanager
    def open_session(self) -> Iterator[Session]:
        """Connect, make the topics that are missing, and close everything at the end.

        The first session forgets the stored snapshots where that was asked for. Raises
        FencedError where another process has taken over the deployment.
        """
        # An input that is deleted later is not made again: that is for who deleted it.
        needs = (own_needs if self._opened else topic_needs)(self._settings)
        with self._connect(needs) as connection, ExitStack() as stack:
            self._opened = True
            self._claim(connection, TopicStore.reset if self._reset else _nothing)
            self._reset = False
            yield self._session(stack, connection)

    def change_state(self, change: Callable[[TopicStore], None]) -> None:
        """Claim the deployment, and let `change` write to its store.

        On brokers with transactions claim and change become visible together; where `change`
        raises, neither does. Elsewhere the claim comes first. Either way a process that runs
        the deployment is fenced once this returns. Raises FencedError where another takes it
        over meanwhile.
        """
        try:
            needs = (*state_needs(self._settings), incidents_need(self._settings))
            # Large states take long, and change all at once.
            with self._connect(needs, patient=True) as connection:
                self._claim(connection, change)
                if connection.transaction is None:
                    self._ownership.check(connection.log)
        except ConnectionsError as error:
            if not isinstance(error.__cause__, FencedError):
                raise
            raise FencedError(
                f"the deployment {self._settings.name!r} was taken over before its state was "
                "changed, or the change took too long: nothing is changed",
                "stop the process that runs it, then do this again",
            ) from error

    @contextmanager
    def _connect(
        self, needs: Sequence[TopicNeed], *, patient: bool = False
    ) -> Iterator[_Connection]:
        settings = self._settings
        tell_created(ensure_topics(settings.kafka, needs, create=settings.topics.create))
        with ExitStack() as stack:
            log = stack.enter_context(closing(KafkaLog(settings.kafka)))
            # Before this process's producer fences that of one that has taken over.
            self._ownership.check(log)
            transaction = self._open_transaction(log, patient=patient)
            outbox = transaction or Outbox(settings.kafka, patient=patient)
            stack.enter_context(closing(outbox))
            log.write_to(outbox)
            try:
                yield _Connection(log, outbox, transaction)
            except FencedError as error:
                # By another process, or by the broker as a transaction took too long.
                self._ownership.check(log)
                raise ConnectionsError(str(error), error.hint) from error

    def _open_transaction(self, log: KafkaLog, *, patient: bool) -> TransactionalOutbox | None:
        if self._exactly_once is None:
            self._exactly_once = self._choose_guarantee(log)
        if not self._exactly_once:
            return None
        open_outbox = open_patient if patient else TransactionalOutbox
        return open_outbox(self._settings.kafka, self._settings.name)

    def _choose_guarantee(self, log: KafkaLog) -> bool:
        settings = self._settings
        if settings.guarantee == "at_least_once":
            return False
        try:
            works = transactions_work(
                settings.kafka, log, settings.state.journal, settings.name, settings.name
            )
        except ConnectionsError as error:
            if settings.guarantee == "exactly_once":
                raise
            # To publish twice what brokers that are slow to start could keep from that is no
            # choice to be made in silence.
            hint = "or set guarantee: at_least_once: alerts may then be repeated, with the same ids"
            raise ConnectionsError(
                str(error), f"{error.hint}; {hint}" if error.hint else hint.removeprefix("or ")
            ) from error
        if settings.guarantee == "exactly_once" and not works:
            raise ConnectionsError(
                "the brokers do not keep to transactions, which guarantee: exactly_once needs",
                "set guarantee: at_least_once: alerts may then be repeated, with the same ids",
            )
        _log.info("guarantee", alerts="exactly once" if works else "at least once")
        return works

    def _claim(self, connection: _Connection, change: Callable[[TopicStore], None]) -> None:
        """Make this process the deployment's owner, and let `change` write with that."""
        log, transaction = connection.log, connection.transaction
        if transaction is not None:
            # The one that took over may have been fenced by this process's producer just now:
            # then it goes on, as its claim is the last.
            self._ownership.check(log)
            transaction.begin()
        self._ownership.claim(log)
        if transaction is None:
            # Nobody else may write any more when the change looks at what there is.
            log.flush()
        change(self._store(log))
        if change is TopicStore.reset:
            # Nobody would ever tell that they are over.
            forget_incidents(log, self._settings.alerts.incidents)
        log.flush()
        if transaction is not None:
            transaction.commit(self._settings.name, {})

    def _store(self, log: KafkaLog) -> TopicStore:
        return open_store(log, self._settings)

    def _session(self, stack: ExitStack, connection: _Connection) -> Session:
        settings = self._settings
        log, outbox, transaction = connection.log, connection.outbox, connection.transaction
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
            lambda: transaction is not None and has_committed(settings.kafka, settings.name),
            lambda after: CommandLog(log, settings.commands.topic, after),
        )

    def _open_source(
        self, positions: Mapping[Partition, int], identities: Mapping[str, int]
    ) -> KafkaSource:
        settings = self._settings
        own = settings.own_topics().values()
        return KafkaSource(settings.kafka, settings.source, positions, identities, own=own)


def _nothing(_: TopicStore) -> None:
    """Leave the state as it is."""


def tell_created(topics: Sequence[TopicReport]) -> None:
    """Log which topics were missing and are made now."""
    for topic in topics:
        if not topic.created:
            continue
        if Right.READ in topic.need.rights and Right.WRITE not in topic.need.rights:
            doubt = "nobody has written to it yet: is its name in source.predictions right?"
            _log.warning("input topic created", topic=topic.need.name, doubt=doubt)
        else:
            _log.info("topic created", topic=topic.need.name, purpose=topic.need.purpose)


def after_reset(settings: Settings) -> str:
    """Return what a deployment does that begins anew."""
    return (
        f"it reads the input again (source.start: {settings.source.start}), and publishes again "
        "what it finds there, with the same ids and sequence numbers from 1"
    )
