"""The merge behind the exchange: the order of one process, whatever came when, and once."""

import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.errors import StateError
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.ordering.junction import Bound, Junction
from streamdrift.ordering.lane import START
from streamdrift.records import Extent, Partition, Released, State
from streamdrift.state.codec import decode, encode
from tests.rows import Event, Row, batches, decoded, rows_of

A0, A1, B0 = Partition("a", 0), Partition("a", 1), Partition("b", 0)
PARTITIONS = (A0, A1, B0)
KNOWN = {"a": Extent(0, 2), "b": Extent(0, 1)}
SEEDS = st.integers(0, 2**32)
Orders = dict[str, list[Row]]


class Push(NamedTuple):
    partition: Partition
    events: Sequence[Event]


class Hear(NamedTuple):
    bounds: Sequence[Bound]
    known: Mapping[str, Extent]


Log = list[Push | Hear]


def take(junction: Junction, log: Log, begin: int, end: int) -> None:
    """Let a junction take the frames from one place to another."""
    for place in range(begin, end):
        frame = log[place]
        if isinstance(frame, Push):
            junction.push(frame.partition, batches(frame.partition, frame.events), place)
        else:
            junction.hear(frame.bounds, frame.known, place)


def add(found: Orders, released: Released) -> None:
    for each in released.batches:
        rows = rows_of([each])
        assert rows == sorted(rows)
        assert all(row.key <= released.watermark for row in rows)
        found.setdefault(each.model, []).extend(rows)


def keys(released: Released) -> list[int]:
    return [row.key for row in rows_of(released.batches)]


def random_keys(random: Random) -> list[Event]:
    """Events of a partition with order keys that tie with those of the others."""
    events, key = [], random.randrange(4)
    for offset in range(0, 3 * random.choice((0, 1, 10, 25)), 3):
        for place in range(random.choice((0, 1, 1, 3))):
            key += random.choice((0, 0, 1, 2))
            events.append(Event(offset, place, key, random.choice("xyz")))
    return events


def commits(random: Random, partition: Partition, events: Sequence[Event]) -> list[Log]:
    """Return the frames of a partition by commit: events in pieces, then how far it is."""
    found: list[Log] = []
    begin, key = 0, None
    ends = [0, *sorted(random.choices(range(0, 78, 3), k=random.choice((1, 3, 8)))), 78]
    for end in ends:
        mine = [event for event in events if begin <= event.offset < end]
        frames: Log = []
        places = sorted({event.offset for event in mine})
        while places:
            some, places = places[: (size := random.choice((1, 2, 9)))], places[size:]
            frames.append(Push(partition, [each for each in mine if each.offset in some]))
        if mine:
            key = mine[-1].time
        later = [event.time for event in events if event.offset >= end]
        if random.random() < 0.3:  # It rests, and promises something.
            key = max(key or 0, min([random.randrange(60), *later]))
        frames.append(Hear([Bound(partition, begin, end, key)], KNOWN))
        found.append(frames)
        begin = end
    found.append([Hear([Bound(partition, 78, 78, 1_000)], KNOWN)])
    return found


def interleaved(random: Random, parts: Sequence[Sequence[Log]]) -> Log:
    """Return one log of several workers' frames: each one's in order, commits mixed or not."""
    queues = [[frame for frames in each for frame in frames] for each in parts]
    log: Log = []
    while any(queues):
        queue = random.choice([queue for queue in queues if queue])
        size = random.choice((1, 1, 4, 30))
        log += queue[:size]
        del queue[:size]
    return log


class Scenario(NamedTuple):
    log: Log
    wanted: Orders
    """Every event, in the order of the merge in one process."""


def scenario(random: Random) -> Scenario:
    contents = {partition: random_keys(random) for partition in PARTITIONS}
    log = interleaved(random, [commits(random, key, each) for key, each in contents.items()])
    ordering = Ordering(OrderingSettings())
    ordering.assign(PARTITIONS, believed=True)
    for partition, events in contents.items():
        if events:
            ordering.push(decoded(partition, events))
    wanted: Orders = {}
    add(wanted, ordering.drain())
    return Scenario(log, wanted)


@given(SEEDS)
@settings(max_examples=80, deadline=None)
def test_the_order_is_that_of_one_process(seed: int) -> None:
    random = Random(seed)
    log, wanted = scenario(random)
    junction, found, place = Junction(), dict[str, list[Row]](), 0
    bounds: set[Partition] = set()
    while place < len(log):
        end = min(len(log), place + random.choice((1, 1, 3, 20)))
        take(junction, log, place, end)
        for frame in log[place:end]:
            if isinstance(frame, Hear):
                bounds |= {bound.partition for bound in frame.bounds if bound.key is not None}
        place = end
        released = junction.release()
        add(found, released)
        # Until all have said how far they are, nothing is released.
        assert bounds == set(PARTITIONS) or (not found and junction.frontier == START)
    assert found == wanted
    assert (junction.lifted, junction.held) == (0, 0)
    assert junction.position == len(log)


def restored(state: State) -> Junction:
    junction = Junction()
    junction.restore(decode(encode(state)))
    return junction


@given(SEEDS)
@settings(max_examples=80, deadline=None)
def test_restored_at_any_moment_the_rest_is_released_once(seed: int) -> None:
    random = Random(seed)
    log, wanted = scenario(random)
    junction, found, place = Junction(), dict[str, list[Row]](), 0
    saved: tuple[State, int, Orders] = junction.snapshot(), junction.position, {}
    while place < len(log):
        end = min(len(log), place + random.choice((1, 1, 3)))
        take(junction, log, place, end)
        place = end
        if random.random() < 0.5:
            add(found, junction.release())
        if random.random() < 0.3:
            # Also while what was held before a restore is taken again.
            orders = {model: list(rows) for model, rows in found.items()}
            saved = junction.snapshot(), junction.position, orders
        if random.random() < 0.2:
            junction, place = restored(saved[0]), saved[1]
            found = {model: list(rows) for model, rows in saved[2].items()}
            assert junction.position == place
            if random.random() < 0.5:
                add(found, junction.release())
    add(found, junction.release())
    assert found == wanted
    assert junction.lifted == 0


def test_events_wait_for_the_word_that_tells_of_them() -> None:
    log: Log = [
        Hear([Bound(A0, 0, 0, 5), Bound(A1, 0, 0, 5), Bound(B0, 0, 0, 5)], KNOWN),
        Push(A0, [Event(0, 0, 7), Event(1, 0, 8)]),
        Hear([Bound(B0, 0, 9, 8)], KNOWN),
        Hear([Bound(A1, 0, 9, 8)], KNOWN),
        Hear([Bound(A0, 0, 2, 8)], KNOWN),
    ]
    for moment in range(len(log)):
        junction = Junction()
        take(junction, log, 0, moment)
        before = keys(junction.release())
        again = restored(junction.snapshot())
        assert again.position == (1 if moment >= 2 else moment)
        take(again, log, again.position, len(log))
        assert before + keys(again.release()) == [7, 8]
        assert again.frontier == (8, "a", 0, 2)


def test_a_snapshot_before_what_may_be_released_is_released_loses_nothing() -> None:
    log: Log = [Push(B0, [Event(0, 0, 7)]), Hear([Bound(B0, 0, 1, 7)], {"b": Extent(0, 1)})]
    junction = Junction()
    take(junction, [*log, Hear([Bound(B0, 1, 1, 9)], {})], 0, 3)
    again = restored(junction.snapshot())
    assert again.position == 0
    assert keys(again.release()) == []
    take(again, [*log, Hear([Bound(B0, 1, 1, 9)], {})], 0, 3)
    assert keys(again.release()) == [7]


@pytest.mark.parametrize("known", [KNOWN, {}])
def test_a_gap_is_told_and_nothing_else_is(known: Mapping[str, Extent]) -> None:
    junction = Junction()
    junction.hear([Bound(A0, 40, 50, 1)], known, 0)  # Where it begins is anybody's choice.
    junction.hear([Bound(A0, 50, 50, 1), Bound(A0, 50, 60, 2)], known, 1)
    junction.hear([Bound(A0, 55, 58, 2)], known, 2)  # A log that was cut back.
    with pytest.raises(StateError, match=r"a \[0\] are missing.* from offset 58 to 59") as caught:
        junction.hear([Bound(A0, 59, 70, 2)], known, 3)
    assert caught.value.hint


def test_a_deleted_topic_holds_nobody() -> None:
    log: Log = [
        Push(B0, [Event(0, 0, 10), Event(1, 0, 30)]),
        Push(A1, [Event(0, 0, 20)]),
        Hear([Bound(B0, 0, 2, 30), Bound(A1, 0, 1, 20)], KNOWN),
        Hear([], {"a": Extent(1, 0)}),
        # Whoever has not noticed yet goes on to speak of it.
        Hear([Bound(A0, 7, 9, 25)], KNOWN),
        Push(B0, [Event(2, 0, 40)]),
        Hear([Bound(B0, 2, 3, 40)], KNOWN),
    ]
    junction = Junction()
    take(junction, log, 0, 3)
    assert keys(junction.release()) == []
    take(junction, log, 3, 6)
    junction = restored(junction.snapshot())
    assert junction.position == 0
    take(junction, log, 0, 6)
    assert keys(junction.release()) == [10, 20, 30]
    junction = restored(junction.snapshot())
    assert junction.position == 5
    take(junction, log, 5, 7)
    assert keys(junction.release()) == [40]
    assert junction.lifted == 0


def test_a_topic_that_comes_back_is_waited_for_and_may_begin_at_0() -> None:
    junction = Junction()
    junction.push(A0, batches(A0, [Event(70, 0, 10)]), 0)
    junction.hear([Bound(A0, 70, 71, 10)], {"a": Extent(0, 1)}, 1)
    assert keys(junction.release()) == [10]
    junction.hear([Bound(B0, 0, 0, 5)], {"a": Extent(1, 0), "b": Extent(0, 1)}, 2)
    junction.hear([], {"a": Extent(1, 1)}, 3)
    junction.hear([Bound(B0, 0, 0, 500)], {"a": Extent(0, 1), "b": Extent(0, 1)}, 4)
    assert junction.release().watermark == 10
    junction.hear([Bound(A0, 0, 0, 11)], {"a": Extent(1, 1)}, 5)
    junction.push(A0, batches(A0, [Event(0, 0, 11), Event(1, 0, 12)]), 6)
    junction.hear([Bound(A0, 0, 2, 60)], {"a": Extent(1, 1)}, 7)
    assert keys(junction.release()) == [11, 12]
    assert junction.release().watermark == 60
    assert junction.lifted == 0
    with pytest.raises(StateError, match="from offset 2 to 3"):
        junction.hear([Bound(A0, 3, 4, 60)], {"a": Extent(1, 1)}, 8)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_what_breaks_a_promise_is_lifted_kept_and_counted(seed: int) -> None:
    """Whatever is pushed: each event is released once, in order, also over restores."""
    random = Random(seed)
    log: Log = []
    for place in range(25):
        partition = random.choice(PARTITIONS)
        if random.random() < 0.5:
            times = sorted(random.randrange(60) for _ in range(3))
            events = [Event(place, i, time, random.choice("xy")) for i, time in enumerate(times)]
            log.append(Push(partition, events))
        else:
            bounds = [Bound(each, 0, place, random.randrange(50)) for each in PARTITIONS]
            log.append(Hear(bounds, KNOWN))
    log.append(Hear([Bound(each, 0, 99, 1_000) for each in PARTITIONS], KNOWN))
    one, other = Junction(), Junction()
    wanted, found = dict[str, list[Row]](), dict[str, list[Row]]()
    for place in range(len(log)):
        take(one, log, place, place + 1)
        add(wanted, one.release())
        take(other, log, place, place + 1)
        add(found, other.release())
        if random.random() < 0.4:
            other = restored(other.snapshot())
            take(other, log, other.position, place + 1)
    assert found == wanted
    assert one.lifted == other.lifted
    pushed = Counter(
        (frame.partition, event.offset, event.place)
        for frame in log
        if isinstance(frame, Push)
        for event in frame.events
    )
    released = [row for rows in found.values() for row in rows]
    assert Counter((row.partition, row.offset, row.place) for row in released) == pushed
    for rows in found.values():
        assert [row.key for row in rows] == sorted(row.key for row in rows)


def test_groups_of_a_model_are_released_apart() -> None:
    junction = Junction()
    (events,) = batches(A0, [Event(0, 0, 1), Event(1, 0, 2)])
    parts = [replace(events, group=group) for group in (1, 0)]
    junction.push(A0, parts, 0)
    junction.hear([Bound(A0, 0, 2, 9)], {}, 1)
    assert [(len(each), each.group) for each in junction.release().batches] == [(2, 0), (2, 1)]


def test_what_is_released_is_let_go() -> None:
    junction = Junction()
    arrays = []
    for place in range(0, 20, 2):
        frame = batches(A0, [Event(place, i, place) for i in range(100)])
        arrays.append(weakref.ref(frame[0].offset))
        junction.push(A0, frame, place)
        del frame
        junction.hear([Bound(A0, max(0, place - 1), place + 1, place)], {}, place + 1)
        np.testing.assert_array_equal(keys(junction.release()), np.full(100, place))
        assert not any(array() is not None for array in arrays)
        assert (junction.held, junction.position) == (0, place + 2)
    assert len(encode(junction.snapshot())) < 600
