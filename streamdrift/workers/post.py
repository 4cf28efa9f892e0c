"""What one role of a worker writes with, and reads the journal and the state with."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from uuid import uuid4

from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.exchange.settings import LARGEST_FRAME
from streamdrift.kafka.outbox import TransactionalOutbox, open_patient
from streamdrift.sinks.dead_letters import DeadLetters
from streamdrift.state import Ownership
from streamdrift.state.kafka import KafkaLog


@dataclass(frozen=True, slots=True)
class Post:
    """Open connections: an outbox that commits, and a log that writes into it."""

    outbox: TransactionalOutbox
    log: KafkaLog
    letters: DeadLetters
    exchange: str
    deployment: str
    state: str
    journal: str

    def places_of(self, shard: int) -> list[tuple[str, int]]:
        """Return topic and partition of the state and of the journal of a shard."""
        return [(self.state, shard), (self.journal, 0)]

    def send(self, shard: int, frame: bytes) -> None:
        """Write a frame to a shard."""
        self.outbox.send(self.exchange, frame, partition=shard)


class Office:
    """Opens posts for one role of one worker, one after the other.

    A worker is known by the name of its instance: the process that claimed that last counts,
    for each role. `patient` as an outbox has it.
    """

    def __init__(self, settings: Settings, role: str, *, patient: bool = False) -> None:
        self._open_outbox = open_patient if patient else TransactionalOutbox
        self._settings = settings
        self._id = f"{settings.name}/{settings.instance}/{role}"
        owner = f"{settings.instance}/{uuid4().hex[:8]}"
        self._ownership = Ownership(self._id, settings.state.journal, owner)

    @contextmanager
    def open(self) -> Iterator[Post]:
        """Connect, and take over from whoever had this name before.

        Raises FencedError where another process has taken it since.
        """
        settings = self._settings
        with ExitStack() as stack:
            log = stack.enter_context(closing(KafkaLog(settings.kafka)))
            # Before this process's producer fences that of one that has taken over.
            self._check(log)
            try:
                outbox = self._open_outbox(
                    settings.kafka,
                    self._id,
                    compression_type="lz4",
                    max_request_size=LARGEST_FRAME,
                )
                stack.enter_context(closing(outbox))
                log.write_to(outbox)
                self._check(log)
                outbox.begin()
                self._ownership.claim(log)
                outbox.flush()
                outbox.commit(settings.name, {})
                yield Post(
                    outbox,
                    log,
                    DeadLetters(outbox, settings.source.dead_letters),
                    settings.exchange.topic,
                    settings.name,
                    settings.state.topic,
                    settings.state.journal,
                )
            except FencedError as error:
                # By another process, or by the broker as a transaction took too long.
                self._check(log)
                raise ConnectionsError(str(error), error.hint) from error

    def _check(self, log: KafkaLog) -> None:
        try:
            self._ownership.check(log)
        except FencedError as error:
            raise FencedError(
                str(error), "stop one of the two, or give it another name with --set instance=..."
            ) from error
