"""What the detect role does when its group gives it shards, and takes them away."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import pytest

from streamdrift.errors import ConnectionsError, StateError
from streamdrift.exchange.shard import Shard
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.kafka.outbox import PUT_OUT
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.heads import Home
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Partition
from streamdrift.serving.commit import Outgoing
from streamdrift.serving.desk import Desk
from streamdrift.sources.member import Committed
from streamdrift.state import Published, TopicStore, encode
from streamdrift.state.commands import CommandLog
from streamdrift.state.log import MemoryLog
from streamdrift.workers.detecting import BEGINS, Detecting, DetectSettings
from streamdrift.workers.owned import Owned
from streamdrift.workers.places import Place
from tests.alerts import make_alert

_SHARDS = 4
_GIVEN = Partition("exchange", 1)


class _Outbox:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.offsets: Mapping[Partition, int] = {}

    def begin(self) -> None:
        """Do nothing: the log is in a transaction always."""

    def flush(self) -> None:
        """Do nothing: what is written is acknowledged."""

    def commit(self, group: object, offsets: Mapping[Partition, int], *_: object) -> None:
        self._log.commit()
        self.offsets = offsets


class _Log(MemoryLog):
    """One in which nothing is hidden by open transactions."""

    def last(self, topic: str, *, partition: int = 0) -> int:
        return self.end(topic, partition=partition)


class _Post:
    exchange = "exchange"

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.outbox = _Outbox(log)

    def places_of(self, shard: int) -> list[tuple[str, int]]:
        return []


class _Member:
    """Was given one shard; `answers` is what brokers say was committed of it, asked in turn."""

    connection = KafkaSettings()
    metadata = None
    stable = True
    release: Any = None
    lost: Any = None

    def __init__(self, *answers: Mapping[Partition, Committed] | None) -> None:
        self.reader = self
        self.answers = list(answers)
        self.started: dict[Partition, int] = {}
        self.first = 0
        self.is_put_out = False

    def confirm(self) -> None:
        if self.is_put_out:
            raise ConnectionsError(*PUT_OUT)

    def poll(self, timeout: float) -> tuple[()]:
        """Find that what comes next of the shard is not there."""
        self.lost(_GIVEN, 5, None)
        return ()

    def added(self) -> set[Partition]:
        return {_GIVEN} - self.started.keys()

    def committed(self, partitions: object) -> Mapping[Partition, Committed] | None:
        return self.answers.pop(0)

    def earliest(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, self.first)

    def start(self, starts: Mapping[Partition, int]) -> None:
        self.started |= starts


class _Shard:
    """One that was told of nothing."""

    position = 0
    watermark = 5
    commanded = 0
    foresees = False

    def foresee(self, commands: object) -> None:
        """Do nothing: nobody asked anything."""

    def due(self, offset: int) -> None:
        """Return nothing: it was asked nothing in another life."""

    def tell(self) -> Mapping[int, bytes]:
        return {}

    def snapshot(self) -> Mapping[str, object]:
        return {}


@pytest.mark.parametrize("leaving", [1, 2])
def test_what_is_published_has_a_snapshot_that_it_came_after(leaving: int) -> None:
    """Also of a shard that stays and was never written: else the next owner refuses it."""
    log = _Log(transactional=True)
    post: Any = _Post(log)
    member: Any = _Member()
    loop = _detecting(log, post, member)
    shard: Any = _Shard()
    for number in (1, 2):
        store = _store(log, number)
        store.load()
        owned = Owned(shard, store, Outgoing(Published()), 0, 0, False)
        owned.changed = True
        loop._owned[number] = owned
        loop._rota.add(number, None)
        loop._rota.changed(number)
    loop._owned[2].outgoing.add([make_alert()])
    member.release([Partition("exchange", leaving)])
    for number in (1, 2):
        assert set(_store(log, number).load().snapshots) == {number}
        assert post.outbox.offsets[Partition("exchange", number)] == 0


def test_marks_are_kept_until_the_frames_behind_the_alerts_are_taken() -> None:
    """An alert of a divided model waits for what its other shards say, behind the progress."""
    log = _Log(transactional=True)
    alert, given = make_alert(), [Partition("exchange", 1)]

    def life(taken: int) -> tuple[Any, Any]:
        member: Any = _Member()
        loop = _detecting(log, _Post(log), member)
        store = _store(log, 1)
        published = store.load().published
        shard: Any = _Shard()
        owned = Owned(shard, store, Outgoing(published), taken, 0, True)
        owned.changed = True
        loop._owned[1] = owned
        loop._rota.add(1, None)
        loop._rota.changed(1)
        return member, owned

    member, owned = life(taken=3)
    owned.outgoing.add([alert])
    member.release([])  # With a snapshot, as there is none yet.
    assert owned.outgoing.alerts == []

    # It begins again before that, and has the watermark of then, but not all frames.
    member, owned = life(taken=2)
    member.release(given)
    owned.outgoing.add([alert])
    assert owned.outgoing.alerts == []

    # So does the next one, from that snapshot.
    member, owned = life(taken=3)
    owned.outgoing.add([alert])
    assert owned.outgoing.alerts == []
    member.release(given)
    assert _store(log, 1).load().published == Published()


def test_a_shard_waits_until_brokers_tell_what_was_committed_of_it() -> None:
    """Where they do not in time, nothing is known to be lost."""
    log = _Log(transactional=True)
    member: Any = _Member(None, {})
    loop = _detecting(log, _Post(log), member)
    loop._take_up()
    assert member.started == {}
    loop._take_up()
    assert member.started == {_GIVEN: 0}


def test_a_shard_whose_state_is_gone_is_said() -> None:
    log = _Log(transactional=True)
    loop = _detecting(log, _Post(log), _Member({_GIVEN: Committed(7, "")}))
    with pytest.raises(StateError, match="the state of shard 1 is gone"):
        loop._take_up()


def test_a_shard_begins_where_a_reset_has_emptied_the_exchange() -> None:
    log = _Log(transactional=True)
    for number in range(8):
        log.append("exchange", str(number), b"", partition=1)
    log.commit()
    member: Any = _Member({_GIVEN: Committed(7, BEGINS)})
    member.first = 7
    loop = _detecting(log, _Post(log), member)
    loop._take_up()
    assert member.started == {_GIVEN: 7}


def test_frames_that_are_gone_before_a_shard_has_any_state_are_said() -> None:
    log = _Log(transactional=True)
    for number in range(8):
        log.append("exchange", str(number), b"", partition=1)
    log.commit()
    member: Any = _Member({})
    member.first = 3
    loop = _detecting(log, _Post(log), member)
    with pytest.raises(StateError, match="holds offsets 3 to 8, and 0 is needed"):
        loop._take_up()


def test_frames_that_are_gone_are_lost_to_who_has_the_shard_still() -> None:
    """Whoever was put out meets the same where another has taken and deleted them."""
    log = _Log(transactional=True)
    member: Any = _Member()
    member.first = 7
    loop = _detecting(log, _Post(log), member)
    with pytest.raises(StateError, match="has lost what shard 1 has not seen"):
        loop.turn()
    member.is_put_out = True
    with pytest.raises(ConnectionsError, match="has put this worker out"):
        loop.turn()


def test_a_snapshot_of_another_version_is_said() -> None:
    log = _Log(transactional=True)
    _store(log, 1).save({1: encode({"settings": {}})})
    log.commit()
    loop = _detecting(log, _Post(log), _Member())
    loop._make_shard = lambda number: Shard(Home(number, _SHARDS), lambda _: ModelSettings(), 1)
    with pytest.raises(StateError, match="cannot be read by this version") as caught:
        loop._take_up()
    assert "streamdrift state reset" in str(caught.value.hint)


def test_how_far_the_shards_are_is_shown_as_they_come_and_go_and_with_a_commit() -> None:
    log = _Log(transactional=True)
    loop: Any = _detecting(log, _Post(log), _Member({}))

    def shown() -> tuple[float | None, float | None]:
        value = loop._metrics.registry.get_sample_value
        return (
            value("streamdrift_assigned_partitions", {"role": "detect"}),
            value("streamdrift_watermark_timestamp_seconds"),
        )

    loop._take_up()
    assert shown() == (1, 5e-6)
    loop._owned[1].shard.watermark = 7_000_000
    loop.commit(dict)
    assert shown() == (1, 7)
    loop._give_away([_GIVEN])
    assert shown() == (0, 7)


def _detecting(log: MemoryLog, post: Any, member: Any) -> Detecting:
    return Detecting(
        DetectSettings(_SHARDS, 1.0, 5e6, {}, Place("a", "host:1")),
        post,
        member,
        [],
        lambda _: cast(Shard, _Shard()),
        lambda number: _store(log, number),
        lambda after: CommandLog(log, "commands", after),
        lambda _: None,
        Metrics(),
        Desk(),
        lambda _: None,
    )


def _store(log: MemoryLog, number: int) -> TopicStore:
    return TopicStore(log, "mine", "state", "journal", _SHARDS, shard=number, partition=number)
