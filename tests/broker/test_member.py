"""What a member of a group is told, on a real broker."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import pytest
from kafka.errors import UnknownMemberIdError
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.durations import SECOND
from streamdrift.errors import ConnectionsError
from streamdrift.kafka.clients import KafkaSettings, make_consumer
from streamdrift.records import Partition
from streamdrift.sources.member import Committed, Member
from streamdrift.sources.membership import ask_anew
from tests.topic_maker import TopicMaker

_PARTITIONS = 3
_SECONDS = 40.0
Join = Callable[[str], Member]


@pytest.fixture
def join(kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker) -> Iterator[Join]:
    """Make a member of the group, by its name, that reads a topic of three partitions."""
    make_topic(kafka_connection, name, _PARTITIONS)
    wanted = [Partition(name, number) for number in range(_PARTITIONS)]
    with ExitStack() as stack:

        def it(instance: str) -> Member:
            member = Member(kafka_connection, name, instance, 6 * SECOND, lambda: wanted)
            stack.enter_context(closing(member))
            member.subscribe([name])
            return member

        yield it


def _poll_until(reached: Callable[[], object], *members: Member) -> None:
    """Poll members, each beside the others, who start what they are given, until it is so."""
    done = threading.Event()
    failures: list[BaseException] = []

    def poll(member: Member) -> None:
        try:
            while not done.is_set():
                member.poll(0.1)
                member.start(dict.fromkeys(member.added(), 0))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=poll, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _SECONDS
    while not failures and not reached() and time.monotonic() < deadline:
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    assert time.monotonic() < deadline


def _has(member: Member) -> int:
    return len(member.reader.positions)


def test_an_answer_that_comes_too_late_is_no_answer_to_what_is_asked_next(
    kafka_connection: KafkaSettings,
    name: str,
    make_topic: TopicMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client keeps it, though others have committed since."""
    make_topic(kafka_connection, name)
    place = Partition(name, 0)
    with (
        closing(Member(kafka_connection, name, "one", 6 * SECOND, tuple)) as member,
        closing(make_consumer(kafka_connection, group_id=name)) as other,
    ):

        def commit(offset: int) -> None:
            other.commit({TopicPartition(*place): OffsetAndMetadata(offset, "note", -1)})

        commit(3)
        assert member.committed([place]) == {place: Committed(3, "note")}
        coordinator = member.reader.consumer._coordinator
        ask = coordinator._send_offset_fetch_request

        async def slowly(keys: Sequence[TopicPartition]) -> Any:
            answer = await ask(keys)
            await coordinator._net.sleep(0.5)
            return answer

        monkeypatch.setattr(coordinator, "_send_offset_fetch_request", slowly)
        monkeypatch.setattr("streamdrift.sources.member._ASK_MS", 100)
        assert member.committed([place]) is None
        monkeypatch.undo()
        time.sleep(1)
        commit(5)
        assert member.committed([place]) == {place: Committed(5, "note")}


def test_who_was_put_out_amid_a_join_claims_and_commits_nothing_any_more(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would call what it had given away in order, and go on with the rest."""
    member = join("one")
    _poll_until(lambda: _has(member) == _PARTITIONS, member)
    released: list[object] = []
    member.release = released.append
    coordinator = member.reader.consumer._coordinator
    answer = coordinator._process_sync_group_response

    def refuse_once(response: Any, sent: float) -> Any:
        monkeypatch.setattr(coordinator, "_process_sync_group_response", answer)
        coordinator.reset_generation()
        raise UnknownMemberIdError

    told: list[Any] = []
    tell = coordinator.group_protocols

    def group_protocols() -> Any:
        told.append([each.member_assignment for each in coordinator._assignors.values()])
        return tell()

    monkeypatch.setattr(coordinator, "group_protocols", group_protocols)
    monkeypatch.setattr(coordinator, "_process_sync_group_response", refuse_once)
    ask_anew(coordinator)
    with pytest.raises(ConnectionsError, match="has put this worker out"):
        _poll_until(lambda: False, member)
    assert released == []
    assert not member.stable
    with pytest.raises(ConnectionsError, match="has put this worker out"):
        assert member.metadata
    assert len(told) >= 2
    assert told[0] != [None]
    assert set(map(str, told[1:])) == {"[None]"}


def test_the_group_confirms_who_is_a_member_and_nobody_else(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also amid a rebalance; and it is asked just then, whatever the client believes."""
    member = join("one")
    _poll_until(lambda: _has(member) == _PARTITIONS, member)
    member.confirm()
    soon, second = time.monotonic() + 2, join("two")
    _poll_until(lambda: time.monotonic() > soon, second)
    assert _has(second) == 0
    member.confirm()
    coordinator = member.reader.consumer._coordinator

    async def believe() -> None:
        coordinator.heartbeat.sent_heartbeat()
        coordinator.heartbeat.received_heartbeat()

    monkeypatch.setattr(coordinator, "_do_heartbeat", believe)
    time.sleep(8)  # Longer than a session.
    for _ in range(2):
        with pytest.raises(ConnectionsError, match="has put this worker out"):
            member.confirm()


def test_a_follower_can_have_all_given_out_anew(join: Join) -> None:
    """Brokers pass on no question of one that tells the same as before."""
    leader = join("leader")
    _poll_until(lambda: _has(leader) == _PARTITIONS, leader)
    follower = join("follower")
    _poll_until(lambda: _has(follower) and leader.stable and follower.stable, leader, follower)
    for _ in range(2):  # The first tells that it has something since it came.
        quiet = time.monotonic() + 4  # What follows from what was before is done by then.
        _poll_until(partial(lambda until: time.monotonic() > until, quiet), leader, follower)
        before = leader.metadata.generation_id
        ask_anew(follower.reader.consumer._coordinator)
        _poll_until(
            partial(lambda than: leader.metadata.generation_id > than, before), leader, follower
        )
    _poll_until(lambda: _has(leader) + _has(follower) == _PARTITIONS, leader, follower)


def test_a_partition_that_nobody_has_is_asked_for(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was let go by a member that was killed before it asked for the next round."""
    monkeypatch.setattr("streamdrift.sources.orphans._INTERVAL_SECONDS", 0.5)
    first = join("first")
    _poll_until(lambda: _has(first) == _PARTITIONS, first)
    coordinator = first.reader.consumer._coordinator
    ask = coordinator.request_rejoin
    first.release = lambda _: monkeypatch.setattr(coordinator, "request_rejoin", lambda: None)
    second = join("second")
    _poll_until(lambda: _has(first) < _PARTITIONS, first, second)
    monkeypatch.setattr(coordinator, "request_rejoin", ask)
    assert _has(second) == 0
    _poll_until(lambda: _has(first) + _has(second) == _PARTITIONS, first, second)
    told = {each.event for member in (first, second) for each in member.reader.notices()}
    assert "partitions without a worker" in told
