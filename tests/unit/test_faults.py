"""Killed between any two writes, a deployment publishes what an undisturbed one would."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from streamdrift.decoders import make_decoder
from streamdrift.metrics import Metrics
from streamdrift.model import ModelSettings
from streamdrift.monitor import Monitor
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, DeadLetter, Messages, Notice, Partition
from streamdrift.service import Service, ServiceSettings, Session
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.sinks.cloudevents import encode
from streamdrift.state import TopicStore
from streamdrift.state.journal import read_journal
from streamdrift.state.log import MemoryLog
from tests.messages import messages

_PARTITIONS = 3
_GROUP = 150
_LAST_POLLS = 12
"""Polls without news before the service is stopped: partitions go idle meanwhile."""


class _KillError(Exception):
    """The process dies here."""


class _Time:
    """A clock that goes on a hundredth of a second whenever it is looked at."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def monotonic(self) -> float:
        return next(self._ticks) / 100

    def now(self) -> int:
        return 0


@dataclass
class _Broker:
    """Topics that outlive the service: messages arrive one group a poll, in this order."""

    groups: Sequence[Messages]
    log: MemoryLog = field(default_factory=MemoryLog)
    arrived: int = 0
    published: list[Alert] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class _Source:
    """Reads from the broker at its own positions; stops the service at the end of all."""

    connected = True

    def __init__(
        self, broker: _Broker, positions: Mapping[Partition, int], stop: Callable[[], None]
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._next = {partition: positions.get(partition, 0) for partition in self.partitions()}
        self._empty = 0

    def partitions(self) -> Sequence[Partition]:
        return sorted({group.partition for group in self._broker.groups})

    def poll(self, timeout: float) -> Sequence[Messages]:
        self._broker.arrived = min(self._broker.arrived + 1, len(self._broker.groups))
        for group in self._broker.groups[: self._broker.arrived]:
            if (
                group.next_offset > self._next[group.partition]
                and int(group.offset[0]) <= (self._next[group.partition])
            ):
                self._next[group.partition] = group.next_offset
                return [group]
        self._empty += self._broker.arrived == len(self._broker.groups)
        if self._empty == _LAST_POLLS:
            self._stop()
        return []

    def at_end(self) -> frozenset[Partition]:
        there = self._broker.groups[: self._broker.arrived]
        unread = {g.partition for g in there if g.next_offset > self._next[g.partition]}
        return frozenset(self.partitions()) - unread

    def pause(self, partitions: object) -> None: ...

    def resume(self, partitions: object) -> None: ...

    def blocked(self) -> frozenset[Partition]:
        return frozenset()

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def notices(self) -> tuple[Notice, ...]:
        return ()

    def close(self) -> None: ...


class _Outbox:
    """A sink, and dead letters, of which a crash keeps or loses what was not flushed.

    In a transaction nothing counts before the commit.
    """

    def __init__(self, durable: list[Any], *, transactional: bool = False) -> None:
        self._durable = durable
        self._pending: list[Any] = []
        self._transactional = transactional

    def write(self, items: Sequence[Any]) -> None:
        self._pending += items

    def flush(self) -> None:
        if not self._transactional:
            self.commit()

    def commit(self) -> None:
        self._durable += self._pending
        self._pending = []

    def close(self) -> None: ...


@dataclass
class _Transaction:
    """Makes all that was written visible at once; dies before that or after, if it is to."""

    writers: Sequence[Any]
    die: Callable[[str], None]
    began: bool = False

    def begin(self) -> None:
        assert not self.began
        self.began = True

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        assert self.began
        self.began = False
        self.die("before the commit took place")
        for writer in self.writers:
            writer.commit()
        self.die("before the commit was heard of")


def _pipeline() -> Pipeline:
    settings = ModelSettings(reference=ReferenceSettings(events=600))
    decoder = make_decoder("json", {})
    ordering = Ordering(OrderingSettings())
    return Pipeline(lambda _: decoder, ordering, Monitor(lambda _: settings))


def _groups(*, late: bool, rubbish: int = 100) -> list[Messages]:
    """Return 9,000 events on three partitions; 2 sd of shift from 3,000 to 5,000.

    The one whose number is `rubbish` cannot be decoded.

    With `late`, the last partition's second half arrives after all the others' events.
    """
    random = np.random.default_rng(11)
    numbers = random.normal(size=9_000)
    numbers[3_000:5_000] += 2
    events = [
        json.dumps({"model": "m", "timestamp": 1_767_225_600 + i, "features": {"x": x}}).encode()
        for i, x in enumerate(numbers.tolist())
    ]
    events[rubbish] = b"rubbish"
    groups = []
    for first in range(0, 3_000, _GROUP):
        for number in range(_PARTITIONS):
            mine = events[number::_PARTITIONS][first : first + _GROUP]
            partition = Partition("predictions", number)
            groups.append(messages(mine, partition=partition, first=first))
    if late:
        groups.sort(key=lambda group: group.partition.number == 2 and group.offset[0] >= 1_500)
    return groups


@dataclass
class _Killer:
    """Dies at the `at`-th step of a commit; keeps or loses what was not acknowledged."""

    at: int | None = None
    steps: int = 0

    def __call__(self, _: str) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise _KillError


def _run(
    broker: _Broker,
    killer: _Killer,
    *,
    idle_after: float,
    keep: bool,
    interval: float = 0.5,
    bytes_per_second: float = 1e9,
) -> None:
    """Run the service until all is read, or until it is killed."""
    exactly = broker.log.transactional
    sink = _Outbox(broker.published, transactional=exactly)
    letters = _Outbox(broker.letters, transactional=exactly)

    @contextmanager
    def open_session() -> Iterator[Session]:
        def open_source(positions: Mapping[Partition, int]) -> _Source:
            lives.append(None)
            return _Source(broker, positions, service.stop)

        store = TopicStore(broker.log, "d", "state", "journal")
        transaction = _Transaction([broker.log, sink, letters], killer) if exactly else None
        yield Session(store, [sink], letters, open_source, lambda: None, transaction, "d")

    lives: list[None] = []
    idle = int(idle_after * 1e6)
    chosen = ServiceSettings(interval, bytes_per_second, idle, 100_000, {"models.*": "same"})
    service = Service(chosen, open_session, _pipeline, Metrics(), _Time(), killer)
    try:
        service.run()
    except _KillError:
        broker.log.crash(keep=keep)
        if keep:
            sink.flush()
            letters.flush()


def _by_id(alerts: Sequence[Alert]) -> dict[str, object]:
    """Return alerts by id; the same id always means the same record."""
    found: dict[str, object] = {}
    for alert in alerts:
        record = encode(alert, "d")
        assert found.setdefault(alert.id, record) == record
    return found


def _replayed(broker: _Broker) -> dict[str, object]:
    """Return the alerts of the broker's events in their order, with what was journaled."""
    pipeline = _pipeline()
    pipeline.ordering.assign({group.partition for group in broker.groups})
    pipeline.ordering.foresee(read_journal(broker.log, "d", "journal").floors)
    for group in broker.groups:
        pipeline.feed(group)
    return _by_id(pipeline.drain().alerts)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[dict[str, object], int]:
    """The alerts of a run that nothing disturbs, and the steps of its commits."""
    broker, killer = _Broker(_groups(late=False)), _Killer()
    _run(broker, killer, idle_after=1e6, keep=True)
    alerts = _by_id(broker.published)
    assert {alert.type for alert in broker.published} >= {"opened", "resolved"}
    assert len(broker.letters) == 1
    return alerts, killer.steps


@pytest.mark.parametrize("keep", [True, False])
def test_no_alert_is_lost_or_new_wherever_the_process_dies(
    undisturbed: tuple[dict[str, object], int], keep: bool
) -> None:
    expected, steps = undisturbed
    assert steps > 50
    # Every step, kept or lost by turns: all of both would take twice as long.
    for at in range(1 + keep, steps + 1, 2):
        broker = _Broker(_groups(late=False))
        _run(broker, _Killer(at), idle_after=1e6, keep=keep)
        _run(broker, _Killer(), idle_after=1e6, keep=keep)
        assert _by_id(broker.published) == expected, f"killed at step {at}"
        assert {letter.offset for letter in broker.letters} == {33}


@pytest.mark.parametrize(("keep", "interval"), [(True, 0.5), (False, 0.5), (True, 1e9)])
def test_partition_that_wakes_with_older_events_is_journaled(keep: bool, interval: float) -> None:
    """Also where there is no snapshot yet, but floors and alerts (an interval of 1e9)."""
    broker, killer = _Broker(_groups(late=True)), _Killer()
    _run(broker, killer, idle_after=0.3, keep=True, interval=interval)
    assert len(read_journal(broker.log, "d", "journal").floors) > 0
    assert _by_id(broker.published) == _replayed(broker)
    for at in range(1 + keep, killer.steps + 1, 2):
        broker = _Broker(_groups(late=True))
        _run(broker, _Killer(at), idle_after=0.3, keep=keep, interval=interval)
        _run(broker, _Killer(), idle_after=0.3, keep=keep, interval=interval)
        assert _by_id(broker.published) == _replayed(broker), f"killed at step {at}"


def test_many_kills_in_a_row_change_nothing(undisturbed: tuple[dict[str, object], int]) -> None:
    expected, _ = undisturbed
    broker = _Broker(_groups(late=False))
    for life in range(40):
        _run(broker, _Killer(5 + life % 13), idle_after=1e6, keep=bool(life % 2))
    _run(broker, _Killer(), idle_after=1e6, keep=True)
    assert _by_id(broker.published) == expected


def _transactional(*, late: bool) -> _Broker:
    return _Broker(_groups(late=late), MemoryLog(transactional=True))


def _records(broker: _Broker) -> list[object]:
    return [encode(alert, "d") for alert in broker.published]


@pytest.mark.parametrize("bytes_per_second", [1e9, 1e5])
def test_with_transactions_every_alert_is_there_once_and_in_its_place(
    bytes_per_second: float,
) -> None:
    """Also where snapshots are rare, and much is read again that was published."""
    calm, killer = _transactional(late=False), _Killer()
    _run(calm, killer, idle_after=1e6, keep=True, bytes_per_second=bytes_per_second)
    expected = _records(calm)
    assert [alert.number for alert in calm.published] == list(range(1, len(expected) + 1))
    assert len(expected) >= 2
    assert killer.steps > 50
    for at in range(1 + (bytes_per_second < 1e9), killer.steps + 1, 2):
        broker = _transactional(late=False)
        for deadly in (_Killer(at), _Killer()):
            _run(broker, deadly, idle_after=1e6, keep=False, bytes_per_second=bytes_per_second)
        assert _records(broker) == expected, f"killed at step {at}"
        assert [letter.offset for letter in broker.letters] == [33]


def test_with_transactions_and_partitions_that_wake_with_older_events() -> None:
    calm, killer = _transactional(late=True), _Killer()
    _run(calm, killer, idle_after=0.3, keep=True)
    for at in range(1, killer.steps + 1, 2):
        broker = _transactional(late=True)
        _run(broker, _Killer(at), idle_after=0.3, keep=False)
        _run(broker, _Killer(), idle_after=0.3, keep=False)
        assert _by_id(broker.published) == _replayed(broker), f"killed at step {at}"
        numbers = [alert.number for alert in broker.published]
        assert numbers == list(range(1, len(numbers) + 1))
        assert [letter.offset for letter in broker.letters] == [33]


def test_with_transactions_many_kills_in_a_row_change_nothing() -> None:
    calm = _transactional(late=False)
    _run(calm, _Killer(), idle_after=1e6, keep=True)
    broker = _transactional(late=False)
    for life in range(60):
        _run(broker, _Killer(5 + life % 13), idle_after=1e6, keep=False)
    _run(broker, _Killer(), idle_after=1e6, keep=False)
    assert _records(broker) == _records(calm)
    assert len(broker.letters) == 1


def test_with_transactions_a_letter_from_among_events_that_wait_is_written_once() -> None:
    """They are read again from a snapshot that comes after the letter."""

    def broker() -> _Broker:
        groups = _groups(late=True, rubbish=6_000)
        return _Broker(groups, MemoryLog(transactional=True))

    killer = _Killer()
    _run(broker(), killer, idle_after=1e6, keep=True)
    for at in range(1, killer.steps + 1):
        killed = broker()
        _run(killed, _Killer(at), idle_after=1e6, keep=False)
        _run(killed, _Killer(), idle_after=1e6, keep=False)
        assert [letter.offset for letter in killed.letters] == [2_000], f"killed at step {at}"
