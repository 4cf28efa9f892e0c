"""The ingest role's turns, with what Kafka does made up."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from streamdrift.exchange.roll import Roll
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Messages, Partition
from streamdrift.workers.ingesting import Ingesting, IngestSettings
from tests.messages import event, messages
from tests.unit.test_ingest import P0, P1, make_ingest


class _Member:
    """A member, and its reader; what it has fetched, and loses after so many looks."""

    connected = stable = True
    positions: Mapping[Partition, int] = {}
    at_end: frozenset[Partition] = frozenset()

    def __init__(self, fetched: Sequence[Messages], lost: Partition, looks: int) -> None:
        self.reader = self
        self.release: Any = None
        self._fetched = fetched
        self._lost = lost
        self._looks = looks

    def poll(self, timeout: float) -> Sequence[Messages]:
        return self._fetched

    def gone(self) -> frozenset[Partition]:
        self._looks -= 1
        return frozenset([self._lost] if self._looks == 0 else ())

    def notices(self) -> tuple[object, ...]:
        return ()

    def pause(self, partitions: Collection[Partition]) -> None:
        """Do nothing."""

    resume = pause


class _Source:
    left: Mapping[Partition, object] = {}

    def look(self) -> None:
        """Find nothing new."""

    take_back = look

    def take_up(self, *, heard_all: bool) -> None:
        """Begin with nothing."""


class _Control:
    heard_all = True

    def heard(self) -> list[object]:
        return []


def test_what_was_fetched_of_a_partition_that_is_let_go_meanwhile_is_left_out() -> None:
    fetched = [messages([event()], partition=each) for each in (P0, P1)]
    # Before the poll, behind it, and once the notes are read.
    for looks in (2, 3):
        ingest = make_ingest(P0, P1)
        member: Any = _Member(fetched, P0, looks)
        source: Any = _Source()
        control: Any = _Control()
        loop = Ingesting(
            IngestSettings(1_000.0, 1_000_000, 1_000),
            None,  # type: ignore[arg-type]  # nothing is written
            member,
            source,
            control,
            ingest,
            Roll(0.0),
            Metrics(),
            lambda _: None,
        )
        assert loop.turn() is False
        assert ingest.pending_events == 1
        assert set(ingest.timelines) == {P1}
