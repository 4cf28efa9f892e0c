"""Killed between any two writes, a deployment publishes what an undisturbed one would.

Its state is of three shards: two have a model each, one has none.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from streamdrift.decoders import make_decoder
from streamdrift.loop import ServiceSettings, Session
from streamdrift.metrics import Metrics
from streamdrift.model_settings import ModelSettings
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import Alert, DeadLetter, Messages, Notice, Partition, State
from streamdrift.resharding import reshard
from streamdrift.service import Service
from streamdrift.sharded import Shards, frontier_of
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.sinks.cloudevents import encode
from streamdrift.state import TopicStore, decode
from streamdrift.state import encode as encode_state
from streamdrift.state.journal import read_journal
from streamdrift.state.log import MemoryLog
from tests.messages import messages

_SHARDS = 3
_PARTITIONS = 3
_GROUP = 150
_EVENTS = 8_999
_BY_TURNS = {"interval": 0.2, "bytes_per_second": 5e4}
"""So little that each commit has the snapshot of one shard."""
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
    identity: int = 1
    """Of the topic."""
    committed: dict[Partition, int] = field(default_factory=dict)
    """The group's offsets."""


class _Source:
    """Reads from the broker at its own positions; stops the service at the end of all."""

    connected = True

    def __init__(
        self, broker: _Broker, positions: Mapping[Partition, int], stop: Callable[[], None]
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._next = {partition: positions.get(partition, 0) for partition in self.partitions()}
        self._begun = dict(self._next)
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

    def begun(self) -> Mapping[Partition, int]:
        return self._begun

    def identities(self) -> Mapping[str, int]:
        return {"predictions": self._broker.identity}

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
    committed: dict[Partition, int]
    began: bool = False

    def begin(self) -> None:
        assert not self.began
        self.began = True

    def commit(
        self,
        group: str,
        offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str] | None = None,
        reached: Callable[[str], None] = lambda _: None,
    ) -> None:
        assert self.began
        self.began = False
        reached("offsets sent")
        self.die("before the commit took place")
        for writer in self.writers:
            writer.commit()
        self.committed |= offsets
        self.die("before the commit was heard of")


def _pipeline() -> Pipeline:
    settings = ModelSettings(reference=ReferenceSettings(events=600))
    decoder = make_decoder("json", {})
    ordering = Ordering(OrderingSettings())
    return Pipeline(lambda _: decoder, ordering, Shards(lambda _: settings, _SHARDS))


def _groups(*, late: bool, rubbish: int = 100) -> list[Messages]:
    """Return 9,000 events of two models on three partitions; 2 sd of shift from 3,000 to 5,000.

    The one whose number is `rubbish` cannot be decoded.

    With `late`, the last partition's second half arrives after all the others' events.
    """
    random = np.random.default_rng(11)
    numbers = random.normal(size=9_000)
    numbers[3_000:5_000] += 2
    events = [
        json.dumps(
            {
                "model": f"m{i // _PARTITIONS % 2}",
                "timestamp": 1_767_225_600 + i,
                "features": {"x": x},
            }
        ).encode()
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
        def open_source(
            positions: Mapping[Partition, int], identities: Mapping[str, int]
        ) -> _Source:
            lives.append(None)
            same = identities.get("predictions", broker.identity) == broker.identity
            return _Source(broker, positions if same else {}, service.stop)

        store = TopicStore(broker.log, "d", "state", "journal", _SHARDS)
        writers = [broker.log, sink, letters]
        transaction = _Transaction(writers, killer, broker.committed) if exactly else None
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


def _states(broker: _Broker) -> dict[int, State]:
    stored = TopicStore(broker.log, "d", "state", "journal", _SHARDS).load()
    return {shard: decode(saved.snapshot) for shard, saved in stored.snapshots.items()}


def _monitors(broker: _Broker) -> list[bytes]:
    """Return what each shard has learned and remembered by the end, as bytes."""
    states = _states(broker)
    assert len({frontier_of(state) for state in states.values()}) == 1
    kept = ("frontier", "monitor", "last_event_at")
    return [encode_state({key: state[key] for key in kept}) for _, state in sorted(states.items())]


def _events(broker: _Broker) -> int:
    """Return how many events were observed by the end: none twice, and none left out."""
    pipeline = _pipeline()
    pipeline.restore(_states(broker))
    return sum(version.events for version in pipeline.monitor.versions())


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
def undisturbed() -> tuple[dict[str, object], list[bytes]]:
    """The alerts and the last state of a run that nothing disturbs."""
    broker = _Broker(_groups(late=False))
    _run(broker, _Killer(), idle_after=1e6, keep=True)
    alerts = _by_id(broker.published)
    assert {alert.type for alert in broker.published} >= {"opened", "resolved"}
    assert {alert.model for alert in broker.published} == {"m0", "m1"}
    assert len(broker.letters) == 1
    # Without idle partitions, the last event of two of them waits for what comes.
    assert _events(broker) == _EVENTS - 2
    return alerts, _monitors(broker)


def _stride(options: Mapping[str, float]) -> int:
    """Return how many steps lie between two deaths: every one would take too long.

    There are more commits by turns, all alike; the stride meets every kind of step in them.
    """
    return 11 if options == _BY_TURNS else 3


def _steps(**options: Any) -> int:
    """Return how many steps the commits of an undisturbed run have."""
    killer = _Killer()
    _run(_Broker(_groups(late=False)), killer, idle_after=1e6, keep=True, **options)
    assert killer.steps > 50
    return killer.steps


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("options", [{}, _BY_TURNS], ids=["all", "by turns"])
def test_no_alert_is_lost_or_new_wherever_the_process_dies(
    undisturbed: tuple[dict[str, object], list[bytes]], options: dict[str, float], keep: bool
) -> None:
    alerts, monitors = undisturbed
    for at in range(1 + keep, _steps(**options) + 1, _stride(options)):
        broker = _Broker(_groups(late=False))
        _run(broker, _Killer(at), idle_after=1e6, keep=keep, **options)
        _run(broker, _Killer(), idle_after=1e6, keep=keep, **options)
        assert _by_id(broker.published) == alerts, f"killed at step {at}"
        assert _monitors(broker) == monitors, f"killed at step {at}"
        assert {letter.offset for letter in broker.letters} == {33}


def test_by_turns_shards_are_of_different_times() -> None:
    broker = _Broker(_groups(late=False))
    _run(broker, _Killer(_steps(**_BY_TURNS) // 2), idle_after=1e6, keep=False, **_BY_TURNS)
    assert len({frontier_of(state) for state in _states(broker).values()}) == _SHARDS


@pytest.mark.parametrize(
    ("keep", "options"),
    [
        (True, {}),
        (False, {}),
        (True, {"interval": 1e9}),
        (True, _BY_TURNS),
        (False, _BY_TURNS),
    ],
)
def test_partition_that_wakes_with_older_events_is_journaled(
    keep: bool, options: dict[str, float]
) -> None:
    """Also where only the first of all commits has snapshots (an interval of 1e9)."""
    broker, killer = _Broker(_groups(late=True)), _Killer()
    _run(broker, killer, idle_after=0.3, keep=True, **options)
    assert len(read_journal(broker.log, "d", "journal").floors) > 0
    assert _by_id(broker.published) == _replayed(broker)
    for at in range(1 + keep, killer.steps + 1, _stride(options)):
        broker = _Broker(_groups(late=True))
        _run(broker, _Killer(at), idle_after=0.3, keep=keep, **options)
        _run(broker, _Killer(), idle_after=0.3, keep=keep, **options)
        assert _by_id(broker.published) == _replayed(broker), f"killed at step {at}"
        assert _events(broker) == _EVENTS, f"killed at step {at}"


@pytest.mark.parametrize("options", [{}, _BY_TURNS], ids=["all", "by turns"])
def test_many_kills_in_a_row_change_nothing(
    undisturbed: tuple[dict[str, object], list[bytes]], options: dict[str, float]
) -> None:
    broker = _Broker(_groups(late=False))
    for life in range(40):
        _run(broker, _Killer(5 + life % 23), idle_after=1e6, keep=bool(life % 2), **options)
    _run(broker, _Killer(), idle_after=1e6, keep=True, **options)
    assert (_by_id(broker.published), _monitors(broker)) == undisturbed


def _transactional(*, late: bool) -> _Broker:
    return _Broker(_groups(late=late), MemoryLog(transactional=True))


def _records(broker: _Broker) -> list[object]:
    return [encode(alert, "d") for alert in broker.published]


def _assert_numbered(alerts: Sequence[Alert]) -> None:
    """Every alert of a model is there, once and in its place."""
    for model in ("m0", "m1"):
        numbers = [alert.number for alert in alerts if alert.model == model]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 2


_RARE = {"bytes_per_second": 1e5}
each_pace = pytest.mark.parametrize(
    "options", [{}, _RARE, _BY_TURNS], ids=["all", "rare", "by turns"]
)


def test_with_transactions_what_shows_nothing_has_an_offset_from_the_first_commit_on() -> None:
    broker, silent = _transactional(late=False), Partition("predictions", 9)
    broker.groups = [messages([b""], partition=silent, first=9)]  # It is never shown.
    _run(broker, _Killer(), idle_after=1e6, keep=True)
    assert broker.committed == {silent: 0}


@each_pace
def test_with_transactions_every_alert_is_there_once_and_in_its_place(
    undisturbed: tuple[dict[str, object], list[bytes]], options: dict[str, float]
) -> None:
    """Also where snapshots are rare, and much is read again that was published."""
    calm, killer = _transactional(late=False), _Killer()
    _run(calm, killer, idle_after=1e6, keep=True, **options)
    expected = _records(calm)
    _assert_numbered(calm.published)
    assert killer.steps > 50
    for at in range(1 + bool(options), killer.steps + 1, _stride(options)):
        broker = _transactional(late=False)
        for deadly in (_Killer(at), _Killer()):
            _run(broker, deadly, idle_after=1e6, keep=False, **options)
        assert _records(broker) == expected, f"killed at step {at}"
        assert _monitors(broker) == undisturbed[1], f"killed at step {at}"
        assert [letter.offset for letter in broker.letters] == [33]


@pytest.mark.parametrize("options", [{}, _BY_TURNS], ids=["all", "by turns"])
def test_with_transactions_and_partitions_that_wake_with_older_events(
    options: dict[str, float],
) -> None:
    calm, killer = _transactional(late=True), _Killer()
    _run(calm, killer, idle_after=0.3, keep=True, **options)
    for at in range(1, killer.steps + 1, _stride(options)):
        broker = _transactional(late=True)
        _run(broker, _Killer(at), idle_after=0.3, keep=False, **options)
        _run(broker, _Killer(), idle_after=0.3, keep=False, **options)
        assert _by_id(broker.published) == _replayed(broker), f"killed at step {at}"
        assert _events(broker) == _EVENTS, f"killed at step {at}"
        _assert_numbered(broker.published)
        assert [letter.offset for letter in broker.letters] == [33]


@each_pace
def test_with_transactions_many_kills_in_a_row_change_nothing(options: dict[str, float]) -> None:
    """Also where it dies while it reads again what was published in a life before."""
    calm = _transactional(late=False)
    _run(calm, _Killer(), idle_after=1e6, keep=True)
    for first in (5, 11, 17):
        broker = _transactional(late=False)
        for life in range(60):
            _run(broker, _Killer(first + life % 13), idle_after=1e6, keep=False, **options)
        _run(broker, _Killer(), idle_after=1e6, keep=False, **options)
        assert _records(broker) == _records(calm)
        assert len(broker.letters) == 1


def test_with_transactions_a_letter_from_among_events_that_wait_is_written_once() -> None:
    """They are read again from a snapshot that comes after the letter."""

    def broker() -> _Broker:
        groups = _groups(late=True, rubbish=6_000)
        return _Broker(groups, MemoryLog(transactional=True))

    killer = _Killer()
    _run(broker(), killer, idle_after=1e6, keep=True)
    for at in range(1, killer.steps + 1, 2):
        killed = broker()
        _run(killed, _Killer(at), idle_after=1e6, keep=False)
        _run(killed, _Killer(), idle_after=1e6, keep=False)
        assert [letter.offset for letter in killed.letters] == [2_000], f"killed at step {at}"


@pytest.mark.parametrize("exactly", [True, False])
def test_at_the_end_snapshots_are_written_in_parts(
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[dict[str, object], list[bytes]],
    exactly: bool,
) -> None:
    """Wherever it dies amid them, the next life goes on."""
    monkeypatch.setattr("streamdrift.loop.PART_BYTES", 1)

    def run(killer: _Killer, broker: _Broker) -> _Broker:
        _run(broker, killer, idle_after=1e6, keep=False)
        return broker

    def new() -> _Broker:
        return _Broker(_groups(late=False), MemoryLog(transactional=exactly))

    whole = _Killer()
    calm = run(whole, new())
    stored = TopicStore(calm.log, "d", "state", "journal", _SHARDS).load()
    assert len({saved.sequence for saved in stored.snapshots.values()}) == _SHARDS
    assert len(reshard(_states(calm), 2)) == 2  # They are of one moment all the same.
    for at in range(whole.steps - 12 * _SHARDS, whole.steps + 1):
        broker = run(_Killer(), run(_Killer(at), new()))
        assert _by_id(broker.published) == undisturbed[0], f"killed at step {at}"
        assert _monitors(broker) == undisturbed[1], f"killed at step {at}"


def test_with_transactions_letters_of_a_topic_made_anew_are_written_once_too() -> None:
    """Those below the offsets of the first topic's are letters of their own."""

    def remade() -> _Broker:
        broker = _transactional(late=False)
        _run(broker, _Killer(), idle_after=1e6, keep=True)
        first, second = _groups(late=False, rubbish=30)[:2]
        broker.groups = [first, second, messages([b"rubbish"], first=_GROUP)]
        broker.identity, broker.arrived = 2, 0
        return broker

    killer = _Killer()
    _run(remade(), killer, idle_after=1e6, keep=True)
    for at in range(1, killer.steps + 1):
        broker = remade()
        _run(broker, _Killer(at), idle_after=1e6, keep=False)
        _run(broker, _Killer(), idle_after=1e6, keep=False)
        offsets = [letter.offset for letter in broker.letters]
        assert offsets == [33, 10, _GROUP], f"killed at step {at}"
