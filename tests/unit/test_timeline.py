"""Timelines: the order keys of the merge, made where a partition is read."""

import base64
import itertools
import zlib
from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.errors import StateError
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.ordering.timeline import Keyed, Timeline
from streamdrift.records import Decoded, Extent, Floor, Partition
from tests.rows import Event, Row, cut_at_random, decoded, random_events, rows_of

PARTITION = Partition("größe", 7)
SKEW = OrderingSettings().max_skew
HOUR = 3_600_000_000
SEEDS = st.integers(0, 2**32)


def keyed(timeline: Timeline, pieces: Iterable[Decoded]) -> list[Row]:
    return [row for piece in pieces for row in rows_of(timeline.push(piece, SKEW).batches)]


def ordered(pieces: Iterable[Decoded], floors: Iterable[Floor] = ()) -> list[Row]:
    ordering = Ordering(OrderingSettings())
    ordering.foresee(floors)
    ordering.assign([PARTITION])
    for piece in pieces:
        ordering.push(piece)
    return rows_of(ordering.drain().batches)


def stream(random: Random) -> tuple[list[Event], int]:
    """Events among which are late ones, jumps nobody believes, and jumps that many agree on."""
    events = random_events(random, 30)
    offset = 200
    for time in (random.choice((50 * HOUR, 60 * HOUR, 100)) for _ in range(8)):
        for _ in range(random.choice((1, 5, 130))):
            offset += 1
            events.append(Event(offset, 0, time + offset, random.choice("xy")))
    return events, offset + 3


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_keys_are_those_of_the_merge(seed: int) -> None:
    random = Random(seed)
    events, end = stream(random)
    pieces = cut_at_random(random, PARTITION, events, end)
    timeline = Timeline(PARTITION, 0)
    found = keyed(timeline, pieces)
    assert sorted(found) == sorted(ordered(pieces))
    assert timeline.offset == end
    assert timeline.key == timeline.last == max(row.key for row in found)
    ordering = Ordering(OrderingSettings())
    for piece in pieces:
        ordering.push(piece)
    assert timeline.displaced == tuple(ordering.counts().values())


class Promises:
    """A timeline of which something is promised now and then, by chance or by offset."""

    def __init__(self, random: Random, timeline: Timeline, at: dict[int, int]) -> None:
        self.timeline = timeline
        self.rows: list[Row] = []
        self.floors: list[Floor] = []
        self._random = random
        self._at = at

    def push(self, piece: Decoded) -> None:
        for offset in [each for each in self._at if each <= self.timeline.offset]:
            self.timeline.promise(self._at.pop(offset))
        self.add(self.timeline.push(piece, SKEW))

    def add(self, found: Keyed) -> None:
        rows = rows_of(found.batches)
        for row in rows:
            assert self.key is None or row.key >= self.key
        self.rows += rows
        if found.floor is not None:
            self.floors.append(found.floor)
        self.key = self.timeline.key

    key: int | None = None


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_promises_that_lift_are_foreseen_by_a_replay(seed: int) -> None:
    random = Random(seed)
    events = random_events(random, 40)
    end = 200
    # Made anywhere in the stream, but between two offsets at which every cut ends.
    at = {random.randrange(1, end): random.randrange(600) for _ in range(random.choice((1, 4)))}
    borders = [0, *sorted(at), end]
    live = Promises(random, Timeline(PARTITION, 0), dict(at))
    for begin, stop in itertools.pairwise(borders):
        part = [event for event in events if begin <= event.offset < stop]
        for piece in cut_at_random(random, PARTITION, part, stop):
            live.push(piece)
        live.timeline.offset = stop
    again = cut_at_random(random, PARTITION, events, end)
    assert sorted(ordered(again, live.floors)) == sorted(live.rows)
    assert len(live.floors) <= len(at)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_written_and_read_it_goes_on_as_before(seed: int) -> None:
    random = Random(seed)
    events, end = stream(random)
    pieces = cut_at_random(random, PARTITION, events, end)
    one, other = Timeline(PARTITION, 0), Timeline(PARTITION, 0)
    one.taking_part = other.taking_part = random.random() < 0.5
    for piece in pieces:
        if random.random() < 0.3:
            key = random.choice((-5, 300, 51 * HOUR))
            one.promise(key)
            other.promise(key)
        if random.random() < 0.3:
            other = Timeline.read(PARTITION, other.offset, other.written())
        left, right = one.push(piece, SKEW), other.push(piece, SKEW)
        assert rows_of(left.batches) == rows_of(right.batches)
        assert left.floor == right.floor
        assert (one.key, one.last, one.displaced) == (other.key, other.last, other.displaced)
        assert one.written() == other.written()
        assert one.taking_part == other.taking_part


def test_a_new_timeline_promises_nothing() -> None:
    timeline = Timeline(PARTITION, 5)
    assert (timeline.offset, timeline.key, timeline.last) == (5, None, None)
    assert not timeline.taking_part
    assert timeline.push(decoded(PARTITION, [], next_offset=9), SKEW) == Keyed((), None)
    assert (timeline.offset, timeline.key) == (9, None)


def test_a_promise_lifts_what_is_older_and_is_journaled_once() -> None:
    timeline = Timeline(PARTITION, 0)
    timeline.promise(100)
    assert (timeline.key, timeline.last) == (100, None)
    first = timeline.push(decoded(PARTITION, [Event(3, 0, 40), Event(4, 0, 120)]), SKEW)
    assert [row.key for row in rows_of(first.batches)] == [100, 120]
    assert first.floor == Floor(PARTITION, 3, 100)
    timeline.promise(110)  # Less than what is sure already: no promise at all.
    assert timeline.key == 120
    timeline.promise(150)
    newer = timeline.push(decoded(PARTITION, [Event(5, 0, 160)]), SKEW)
    assert newer.floor is None
    assert timeline.key == 160
    timeline.promise(200)
    for offset in (6, 7):
        later = timeline.push(decoded(PARTITION, [Event(offset, 0, 170)]), SKEW)
        assert [row.key for row in rows_of(later.batches)] == [200]
        assert (later.floor is not None) == (offset == 6)
        timeline = Timeline.read(PARTITION, timeline.offset, timeline.written())
    assert (timeline.key, timeline.last) == (200, 170)


def test_the_clock_does_not_learn_from_promises() -> None:
    """A promise is far ahead of a partition that is behind; its own events are believed."""
    timeline = Timeline(PARTITION, 0)
    timeline.promise(90 * HOUR)
    keyed(timeline, [decoded(PARTITION, [Event(i, 0, i) for i in range(200)])])
    assert timeline.last == 199
    found = timeline.push(decoded(PARTITION, [Event(200, 0, 91 * HOUR)]), SKEW)
    assert [row.key for row in rows_of(found.batches)] == [90 * HOUR]
    assert timeline.displaced == (0, 1)


@pytest.mark.parametrize("promised", [None, 5, 10, 500])
def test_a_log_made_anew_goes_on_above_all_that_was_sure(promised: int | None) -> None:
    timeline = Timeline(PARTITION, 0)
    keyed(timeline, [decoded(PARTITION, [Event(70, 0, 10)])])
    if promised is not None:
        timeline.promise(promised)
    sure = timeline.key
    assert sure is not None
    timeline.taking_part = True
    timeline.take_up(Extent(1, 1, identity=9), 0)
    assert (timeline.offset, timeline.taking_part) == (0, False)
    timeline = Timeline.read(PARTITION, timeline.offset, timeline.written())
    (row,) = keyed(timeline, [decoded(PARTITION, [Event(0, 0, 10)])])
    # Strictly: where keys are equal the lower offset would come before what is released.
    assert row.key == sure + 1


def test_a_log_made_anew_without_a_word_on_it_promises_nothing() -> None:
    timeline = Timeline(PARTITION, 5)
    timeline.take_up(Extent(0, 1, identity=9), 2)
    assert (timeline.offset, timeline.key) == (2, None)
    timeline.promise(100)
    timeline.take_up(Extent(1, 1, identity=8), 0)
    assert timeline.key == 101


def test_of_the_same_topic_in_another_life_it_goes_on_and_waits_for_the_others() -> None:
    timeline = Timeline(PARTITION, 5, meant=Extent(2, 1, identity=-(2**63)))
    timeline.taking_part = True
    timeline.promise(100)
    timeline = Timeline.read(PARTITION, 5, timeline.written())
    timeline.take_up(Extent(2, 4, identity=-(2**63)), 0)
    assert timeline.taking_part
    timeline.take_up(Extent(3, 4, identity=-(2**63)), 0)
    assert (timeline.offset, timeline.key, timeline.taking_part) == (5, 100, False)
    timeline.leave()
    timeline = Timeline.read(PARTITION, 5, timeline.written())
    assert timeline.meant == Extent(4, 0, identity=-(2**63))


def notes(change: slice, value: int, size: int | None = None) -> str:
    values = np.frombuffer(base64.b64decode(Timeline(PARTITION, 0).written()), "<i8").copy()
    values[change] = value
    return base64.b64encode(values[:size].tobytes()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "é",
        "no base64 at all",
        "AAAA",
        "x" * 1_000,
        notes(slice(0, 1), 2),
        notes(slice(0, 0), 0, size=-1),
        Timeline(PARTITION, 0).written() + "AAAAAAAAAAA=",
        Timeline(PARTITION, 0).written()[:-4],
    ],
)
def test_notes_of_somebody_else_are_a_state_error(text: str) -> None:
    with pytest.raises(StateError, match=r"größe \[7\] does not bear") as caught:
        Timeline.read(PARTITION, 0, text)
    assert caught.value.hint


def test_notes_of_format_1_can_be_read_for_ever() -> None:
    packed = "eNpjZIAAXyjNCKWZoPT3/xCgocyADBoW8EMYrAzYAQsO8RfM+OlRMApGMgAAsOoNcQ=="
    text = base64.b64encode(zlib.decompress(base64.b64decode(packed))).decode()
    timeline = Timeline.read(PARTITION, 5, text, terms=77)
    assert timeline.written() == text
    assert (timeline.key, timeline.last, timeline.displaced) == (9_000, 4_000, (0, 0))
    assert (timeline.meant, timeline.taking_part) == (Extent(2, 0, -9), True)
    with pytest.raises(StateError, match="are others than those"):
        Timeline.read(PARTITION, 5, text, terms=78)


def test_notes_fit_into_what_a_broker_keeps_of_an_offset() -> None:
    timeline = Timeline(PARTITION, 0)
    keyed(timeline, [decoded(PARTITION, [Event(i, 0, i * HOUR) for i in range(500)])])
    assert len(timeline.written()) < 4_096
