"""One follower's turns, without a broker: where it begins, what it commits, what it gives up."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from streamdrift.config import Settings
from streamdrift.errors import ConnectionsError, FencedError
from streamdrift.following import team
from streamdrift.following.follower import Follower, records_of
from streamdrift.following.lines import Line, Moment
from streamdrift.following.outbound import Place
from streamdrift.following.receivers import Record
from streamdrift.following.seats import Seat
from streamdrift.kafka.clients import KafkaSettings
from streamdrift.prometheus.metrics import Metrics
from streamdrift.records import Messages, Notice, Partition
from streamdrift.sources.member import Committed
from tests.messages import messages

P, Q = Partition("alerts", 0), Partition("alerts", 1)


class _Reader:
    """Knows a log that holds offsets 3 to 9, and where it was told to read on."""

    def __init__(self) -> None:
        self.positions: dict[Partition, int] = {}
        self.first, self.last, self.since = 3, 10, 7
        self.paused: set[Partition] = set()
        self.told: list[Notice] = []

    def earliest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, self.first)

    def latest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, self.last)

    def offsets_at(self, moment: int, partitions: Collection[Partition]) -> dict[Partition, int]:
        assert moment == 1_000
        return dict.fromkeys(partitions, self.since)

    def seek(self, starts: Mapping[Partition, int]) -> None:
        self.positions |= starts

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self.paused -= set(partitions)

    def notices(self) -> Sequence[Notice]:
        told, self.told = self.told, []
        return told


class _Seat:
    def __init__(self) -> None:
        self.reader = _Reader()
        self.lost: Any = None
        self.coming: list[Messages] = []
        self.given, self.taken = {P}, set[Partition]()
        self.known: Mapping[Partition, Committed] | None = {}

    def poll(self, timeout: float) -> Sequence[Messages]:
        coming, self.coming = self.coming, []
        for group in coming:
            self.reader.positions[group.partition] = group.next_offset
        return coming

    def added(self) -> frozenset[Partition]:
        return frozenset(self.given)

    def gone(self) -> frozenset[Partition]:
        gone, self.taken = frozenset(self.taken), set()
        for partition in gone:
            self.reader.positions.pop(partition, None)
        return gone

    def committed(self, partitions: object) -> Mapping[Partition, Committed] | None:
        return self.known

    def start(self, starts: Mapping[Partition, int]) -> None:
        self.reader.seek(starts)
        self.given -= starts.keys()

    def close(self) -> None:
        """Do nothing."""


class _Line:
    sink, topic = "webhook", "alerts"

    def __init__(self) -> None:
        self.whole = False
        self.begun: dict[Partition, tuple[int, str]] = {}
        self.records: list[Record] = []
        self.full = False
        self.turns = 0
        self.has_history = False
        self.released: list[float] = []
        self.dropped: list[Partition] = []
        self.reached: dict[Partition, int] = {}
        self.closed = self.cleared = 0

    def begin(self, partition: Partition, offset: int, note: str) -> None:
        self.begun[partition] = (offset, note)
        self.reached[partition] = offset

    def drop(self, partition: Partition) -> None:
        self.dropped.append(partition)

    def clear(self) -> None:
        self.cleared += 1

    def take(self, record: Record, moment: Moment) -> None:
        self.records.append(record)

    def passed(self, partition: Partition, next_offset: int) -> None:
        self.reached[partition] = next_offset

    def caught_up(self, since: float, moment: Moment) -> None:
        self.released.append(since)

    def turn(self, clock: Callable[[], Moment]) -> bool:
        self.turns += 1
        return False

    def is_full(self, moment: Moment) -> bool:
        return self.full

    def position(self, partition: Partition) -> tuple[int, str] | None:
        return None if self.whole else (self.reached[partition], "")

    def show(self, moment: Moment) -> None:
        """Do nothing."""

    def close(self) -> None:
        self.closed += 1


class _World:
    def __init__(self, **line: Any) -> None:
        self.seat, self.line, self.metrics = _Seat(), _Line(), Metrics()
        for name, value in line.items():
            setattr(self.line, name, value)
        self.commits: list[Mapping[Partition, tuple[int, str]]] = []
        self.seconds = 0.0
        self.follower = Follower(
            cast(Seat, self.seat),
            cast(Line, self.line),
            KafkaSettings(),
            1_000,
            lambda positions: self.commits.append(dict(positions)),
            [],
            600.0,
            self.metrics,
            lambda: Moment(int(self.seconds * 1e6), self.seconds),
        )

    def lost(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "streamdrift_sink_passed_over_total", {"sink": "webhook", "reason": "lost"}
        )


def test_what_has_no_position_begins_with_what_is_published_from_now_on() -> None:
    world = _World()
    world.follower.turn()
    assert world.line.begun == {P: (7, "")}
    assert world.commits == [{P: (7, "")}]
    world.follower.turn()
    assert len(world.commits) == 1


def test_what_has_one_goes_on_there_with_its_note() -> None:
    world = _World()
    world.seat.given = {P, Q}
    world.seat.known = {P: Committed(5, "1,2,"), Partition("alerts", 9): Committed(1, "")}
    world.follower.turn()
    assert world.line.begun == {P: (5, "1,2,"), Q: (7, "")}


def test_where_brokers_do_not_say_yet_it_waits() -> None:
    world = _World()
    world.seat.known = None
    world.follower.turn()
    assert world.line.begun == {}
    assert world.commits == []
    world.seat.known = {}
    world.follower.turn()
    assert world.line.begun == {P: (7, "")}


def test_all_of_a_topic_is_read_before_anything_is_sent_of_it() -> None:
    world = _World(whole=True)
    world.follower.turn()
    assert world.line.begun == {P: (3, "")}
    assert world.line.turns == 0
    world.seat.coming = [messages([b"x"], partition=P, first=8)]
    world.follower.turn()
    assert world.line.turns == 0
    world.seat.coming = [messages([b"x"], partition=P, first=9)]
    world.follower.turn()
    assert world.line.turns == 1
    assert world.commits == []


def test_records_without_a_time_are_taken_to_be_new() -> None:
    (record,) = records_of(messages([b"a"], keys=[b"k"], first=4, time=5))
    assert record == (Place(Partition("predictions", 0), 4), "k", b"a", 5)
    (record,) = records_of(messages([None], time=-1_000))
    assert (record.key, record.value) == ("", None)
    assert record.time > 1_700_000_000_000_000


def test_no_more_is_read_while_the_line_is_full() -> None:
    world = _World()
    world.follower.turn()
    world.line.full = True
    world.follower.turn()
    assert world.seat.reader.paused == {P}
    world.line.full = False
    world.follower.turn()
    assert world.seat.reader.paused == set()


def test_a_partition_that_is_anothers_is_let_go() -> None:
    world = _World()
    world.follower.turn()
    world.seat.taken = {P}
    world.follower.turn()
    assert world.line.dropped == [P]
    world.seat.given = {P}
    world.seat.known = {P: Committed(8, "")}
    world.follower.turn()
    assert world.commits == [{P: (7, "")}, {P: (8, "")}]


def test_history_is_let_go_once_all_is_caught_up_and_read() -> None:
    world = _World(has_history=True)
    world.follower.turn()
    assert world.line.released == []  # the topic has more than was read
    world.seconds = 5.0
    world.seat.reader.positions[P] = 10
    world.follower.turn()
    assert world.line.released == [0.0]


def test_positions_are_committed_anew_now_and_then() -> None:
    world = _World()
    world.follower.turn()
    world.seconds = 3_600.0
    world.follower.turn()
    assert world.commits == [{P: (7, "")}] * 2


@pytest.mark.parametrize(
    ("whole", "offset", "truncated_to", "target", "lost", "begun"),
    [
        (False, 1, None, 3, 2, False),  # deleted before it was read: what waits is told still
        (True, 1, None, 3, 2, False),
        (False, 5, None, 5, None, False),  # the broker does not agree with itself
        (False, 20, None, 7, 0, True),  # another topic of the name
        (True, 20, None, 3, 0, True),
        (False, 8, 6, 7, 0, True),
    ],
)
def test_what_the_topic_has_lost(
    whole: bool,
    offset: int,
    truncated_to: int | None,
    target: int,
    lost: float | None,
    begun: bool,
) -> None:
    world = _World(whole=whole)
    world.follower.turn()
    world.line.begun.clear()
    world.seat.lost(P, offset, truncated_to)
    assert world.seat.reader.positions[P] == target
    assert world.lost() == lost
    assert world.line.begun == ({P: (target, "")} if begun else {})


def test_while_brokers_do_not_say_what_is_lost_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = _World()
    world.follower.turn()

    def away(_: object) -> dict[Partition, int]:
        raise ConnectionsError("away")

    monkeypatch.setattr(world.seat.reader, "earliest", away)
    world.seat.lost(P, 1, None)
    assert world.seat.reader.positions[P] == 7


def test_a_damaged_batch_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    world = _World()
    fields = {"topic": "alerts", "partition": 0, "from_offset": 4, "to_offset": 6}
    world.seat.reader.told = [
        Notice("damaged batch skipped", "", "", fields),
        Notice("broker away", "", "", {}),
    ]
    world.follower.turn()
    assert world.lost() == 2
    said = capsys.readouterr().out
    assert "damaged batch skipped" in said
    assert "broker away" not in said


# What ends a session.


@contextmanager
def _following(
    monkeypatch: pytest.MonkeyPatch, line: _Line, metrics: Metrics, *errors: Exception
) -> Iterator[list[int]]:
    """Follow with seats that cannot be had for these reasons, and then can."""
    opened, coming = [0], list(errors)

    def open_seat(*_: object) -> _Seat:
        opened[0] += 1
        if coming:
            raise coming.pop(0)
        return _Seat()

    monkeypatch.setattr(team, "_open_seat", open_seat)
    monkeypatch.setattr(team, "commit", lambda *_: None)
    monkeypatch.setattr(team, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(
        _Reader, "offsets_at", lambda _, at, partitions: dict.fromkeys(partitions, 1)
    )
    with team.following_alerts(Settings(), [cast(Line, line)], [], metrics):
        yield opened


def _wait_for(reached: Callable[[], object]) -> None:
    waiting = threading.Event()
    for _ in range(500):
        if reached():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


def test_after_a_failure_it_begins_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(team, "_TELL_AFTER", 0.0)
    line, metrics = _Line(), Metrics()
    errors = [ConnectionsError("no right"), ConnectionsError("no right"), KeyError("a bug")]
    with _following(monkeypatch, line, metrics, *errors) as opened:
        _wait_for(lambda: line.turns)
    assert opened == [4]
    assert line.cleared >= 3
    assert line.closed == 1
    said = capsys.readouterr().out
    assert said.count("alerts cannot be followed") == 1
    assert said.count("a sink failed in a way that was not foreseen") == 1
    failed = metrics.registry.get_sample_value(
        "streamdrift_sink_failures_total", {"sink": "webhook"}
    )
    assert failed == 1
    working = metrics.registry.get_sample_value("streamdrift_sink_working", {"sink": "webhook"})
    assert working == 0


def test_a_worker_that_was_replaced_leaves_the_sink_to_the_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _Line()
    with _following(monkeypatch, line, Metrics(), FencedError("another")) as opened:
        _wait_for(lambda: line.closed)
    assert opened == [1]
    assert "sink is another worker's" in capsys.readouterr().out


def test_of_brokers_that_are_away_it_is_not_known_how_far_a_group_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_: object) -> None:
        raise ConnectionsError("away")

    monkeypatch.setattr(team, "make_admin", away)
    stages = team.worker_stages(Settings())
    assert [stage() for stage in stages] == [None, None]
