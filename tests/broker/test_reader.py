"""What a reader hands out where it cannot be sure of what it reads."""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka.errors import LogTruncationError
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamdrift.kafka.clients import KafkaSettings
from streamdrift.records import Partition
from streamdrift.sources.reading import Reader, move_into_range
from tests.exactly_once import produce
from tests.topic_maker import TopicMaker

_MESSAGES = 20
_TRUNCATED_TO = 12
_SECONDS = 30.0


class Observed:
    """A reader of one partition.

    `looks` counts the look-ups that may show the topic another, `asked` the moments after which
    it must be the same, which it is `sure` to be or not.
    """

    def __init__(self, connection: KafkaSettings, topic: str, *, fast: bool = True) -> None:
        self.partition = Partition(topic, 0)
        self.looks = self.polls = 0
        self.sure = True
        self.asked: list[float] = []
        self.reader = Reader(connection, self._lost, is_same=self._is_same, fast=fast)
        self.reader.consumer.assign([TopicPartition(*self.partition)])
        self.reader.seek({self.partition: 0})

    def _lost(self, partition: Partition, offset: int, truncated_to: int | None) -> None:
        move_into_range(self.reader, partition, offset, truncated_to, self._perhaps_anew)

    def _perhaps_anew(self, _: Partition) -> bool:
        self.looks += 1
        return self.looks < 3

    def _is_same(self, _: Partition, since: float) -> bool:
        self.asked.append(since)
        return self.sure

    def read(self, count: int, seconds: float = _SECONDS) -> list[int]:
        """Return the offsets of what comes next, without what comes much later."""
        found: list[int] = []
        until = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < until:
            self.polls += 1
            for messages in self.reader.poll(0.2):
                found += messages.offset.tolist()
        return found

    def truncated(self, offset: int | None) -> None:
        """Let the client find that out as it does: it tells with the next poll."""
        known = None if offset is None else OffsetAndMetadata(offset, "", 0)
        error = LogTruncationError({TopicPartition(*self.partition): known})
        self.reader.consumer._fetcher._cached_log_truncation = error

    def told(self) -> list[tuple[str, object, object]]:
        return [
            (each.event, each.fields["from_offset"], each.fields["to_offset"])
            for each in self.reader.notices()
        ]


@pytest.fixture
def observed(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker
) -> Iterator[Observed]:
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, ((0, b"%d" % each) for each in range(_MESSAGES)))
    observed = Observed(kafka_connection, name)
    with closing(observed.reader):
        assert observed.read(_MESSAGES) == list(range(_MESSAGES))
        yield observed


def test_what_stands_in_its_place_is_read_once_it_is_sure_that_the_topic_is_the_same(
    observed: Observed,
) -> None:
    observed.truncated(_TRUNCATED_TO)
    wanted = list(range(_TRUNCATED_TO, _MESSAGES))
    assert observed.read(len(wanted)) == wanted
    assert observed.looks == 3
    assert observed.told() == [("log truncated", _MESSAGES, _TRUNCATED_TO)]


def test_nothing_is_handed_out_before(observed: Observed, kafka_connection: KafkaSettings) -> None:
    """What comes from the old offset on is not what comes next."""
    produce(kafka_connection, observed.partition.topic, itertools.repeat((0, b"more"), 3))
    observed.truncated(_TRUNCATED_TO)
    wanted = list(range(_TRUNCATED_TO, _MESSAGES + 3))
    assert observed.read(len(wanted)) == wanted


def test_where_nothing_is_known_to_be_lost_it_goes_on(
    observed: Observed, kafka_connection: KafkaSettings
) -> None:
    """As where the leader has forgotten the epoch of what was read last."""
    produce(kafka_connection, observed.partition.topic, itertools.repeat((0, b"more"), 3))
    observed.truncated(None)
    assert observed.read(3) == [_MESSAGES, _MESSAGES + 1, _MESSAGES + 2]
    assert observed.told() == []


@pytest.mark.parametrize("offset", [_TRUNCATED_TO, None])
def test_what_is_told_of_the_position_before_is_void(
    observed: Observed, offset: int | None
) -> None:
    """The client tells a poll later: of a topic made anew it skipped what came first."""
    observed.truncated(offset)
    observed.reader.seek({observed.partition: 0})
    assert observed.read(_MESSAGES) == list(range(_MESSAGES))
    assert observed.told() == []


@pytest.mark.parametrize("fast", [True, False])
def test_nothing_is_handed_out_before_the_topic_is_sure_to_be_the_one_that_was_looked_up(
    kafka_connection: KafkaSettings, name: str, make_topic: TopicMaker, fast: bool
) -> None:
    """It may have been made anew since: then the offset is one of the topic before."""
    make_topic(kafka_connection, name)
    produce(kafka_connection, name, ((0, b"%d" % each) for each in range(_MESSAGES)))
    before = time.monotonic()
    observed = Observed(kafka_connection, name, fast=fast)
    sought = time.monotonic()
    with closing(observed.reader):
        observed.sure = False
        assert observed.read(1, seconds=2.0) == []
        assert observed.polls < 20  # It waits, and fetches nothing again and again.
        assert observed.reader.positions == {observed.partition: 0}
        observed.sure = True
        assert observed.read(_MESSAGES) == list(range(_MESSAGES))
        assert all(before <= since <= sought for since in observed.asked)
        asked = len(observed.asked)
        produce(kafka_connection, name, [(0, b"more")])
        assert observed.read(1) == [_MESSAGES]
        assert len(observed.asked) == asked


def test_nothing_is_handed_out_after_a_gap_before_the_topic_is_sure_to_be_the_same(
    observed: Observed, kafka_connection: KafkaSettings
) -> None:
    """A broker refuses nothing that it is not asked for."""
    observed.reader.pause([observed.partition])
    assert observed.read(1, seconds=1.5) == []  # The last fetch is answered by then.
    produce(kafka_connection, observed.partition.topic, [(0, b"more")])
    assert observed.read(1, seconds=2.5) == []
    observed.sure = False
    observed.reader.resume([observed.partition])
    assert observed.read(1, seconds=2.0) == []
    observed.sure = True
    assert observed.read(1) == [_MESSAGES]


def test_what_is_held_back_is_void_where_reading_goes_on_elsewhere(
    observed: Observed,
) -> None:
    observed.sure = False
    observed.reader.seek({observed.partition: 5})
    assert observed.read(1, seconds=1.5) == []
    observed.reader.seek({observed.partition: 10})
    observed.sure = True
    assert observed.read(_MESSAGES - 10) == list(range(10, _MESSAGES))


def test_what_is_paused_while_it_is_held_back_stays_paused(observed: Observed) -> None:
    observed.sure = False
    observed.reader.seek({observed.partition: 0})
    assert observed.read(1, seconds=1.0) == []
    observed.reader.pause([observed.partition])
    observed.sure = True
    assert observed.read(_MESSAGES) == list(range(_MESSAGES))  # It was fetched before.
    observed.reader.seek({observed.partition: 0})
    assert observed.read(1, seconds=1.5) == []
    observed.reader.resume([observed.partition])
    assert observed.read(_MESSAGES) == list(range(_MESSAGES))
