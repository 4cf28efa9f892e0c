"""Event order: the clock's rules by example, the merge's promises by property."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.ordering.merge import NEWCOMERS
from streamdrift.records import (
    Batch,
    Column,
    ColumnKey,
    Decoded,
    Floor,
    Group,
    Kind,
    Partition,
    Released,
)
from tests.rows import Event

A0, A1, B0 = Partition("a", 0), Partition("a", 1), Partition("b", 0)
VALUE = ColumnKey(Group.FEATURE, "value")
SECOND = 1_000_000
HOUR = 3600 * SECOND


class Row(NamedTuple):
    """What is seen of an event behind the ordering."""

    key: int
    partition: Partition
    offset: int
    place: int
    value: float


def decoded(
    partition: Partition, events: Sequence[Event], next_offset: int | None = None
) -> Decoded:
    """Return events as a decoder would: a batch per model, each with its own columns."""
    batches = []
    for model in dict.fromkeys(event.model for event in events):
        chosen = [event for event in events if event.model == model]
        n = len(chosen)
        values = np.array([event.offset + event.place / 100 for event in chosen])
        batches.append(
            Batch(
                model=model,
                version="1",
                partitions=(partition,),
                partition=np.zeros(n, dtype=np.int32),
                offset=np.array([event.offset for event in chosen], dtype=np.int64),
                index=np.array([event.place for event in chosen], dtype=np.int32),
                ids=np.array([event.offset for event in chosen], dtype=np.uint64),
                time=np.array([event.time for event in chosen], dtype=np.int64),
                columns={VALUE: Column(np.full(n, Kind.NUMBER, dtype=np.uint8), values)},
            )
        )
    end = next_offset if next_offset is not None else events[-1].offset + 1
    return Decoded(partition, tuple(batches), (), end)


def at(partition: Partition, times: Iterable[int], start: int = 0) -> Decoded:
    return decoded(partition, [Event(start + i, 0, time) for i, time in enumerate(times)])


def rows_of(batch: Batch) -> list[Row]:
    return [
        Row(
            int(batch.time[i]),
            batch.partitions[batch.partition[i]],
            int(batch.offset[i]),
            int(batch.index[i]),
            float(batch.columns[VALUE].numbers[i]),
        )
        for i in range(len(batch))
    ]


def keys(released: Released) -> list[int]:
    return [row.key for batch in released.batches for row in rows_of(batch)]


LOWEST = -(2**63) + 1
"""The key of a floor that lifts nothing, and only says that a partition is known."""


def lifting(floors: Iterable[Floor]) -> tuple[Floor, ...]:
    return tuple(floor for floor in floors if floor.key > LOWEST)


def assigned(*partitions: Partition, believed: bool = False) -> Ordering:
    ordering = Ordering(OrderingSettings())
    ordering.assign(partitions, believed=believed)
    return ordering


def clock_keys(times: Sequence[int], *, believed: bool = False) -> tuple[list[int], Ordering]:
    ordering = assigned(A0, believed=believed)
    ordering.push(at(A0, times))
    return keys(ordering.release()), ordering


# The clock


def test_a_late_event_takes_the_key_before_it() -> None:
    found, ordering = clock_keys([10, 30, 20, 40])
    assert found == [10, 30, 30, 40]
    assert ordering.counts() == {"late": 1, "unbelieved": 0}


def test_a_jump_ahead_is_not_believed_until_a_hundred_agree() -> None:
    steady = [i * SECOND for i in range(150)]
    jumped = [10 * HOUR + i for i in range(120)]
    found, ordering = clock_keys(steady + jumped)
    assert found[:150] == steady
    assert found[150:249] == [steady[-1]] * 99
    assert found[249:] == jumped[99:]
    assert ordering.counts() == {"late": 0, "unbelieved": 99}


def test_a_producer_with_a_wrong_clock_moves_nobody() -> None:
    times = [i * SECOND for i in range(1000)]
    wrong = [time + 5 * HOUR if i > 100 and i % 2 else time for i, time in enumerate(times)]
    found, ordering = clock_keys(wrong)
    assert max(found) == times[-2]
    assert ordering.counts()["unbelieved"] == 450


def test_jumps_that_contradict_one_another_do_not_add_up() -> None:
    steady = [i * SECOND for i in range(150)]
    scattered = [10 * HOUR * (1 + i % 2) for i in range(300)]
    assert clock_keys(steady + scattered)[0][-1] == steady[-1]


def test_the_first_hundred_events_are_believed() -> None:
    times = [0, 10 * HOUR, 30 * HOUR]
    assert clock_keys(times)[0] == times


def test_files_are_believed() -> None:
    times = [*range(150), 90 * HOUR]
    assert clock_keys(times, believed=True)[0] == times


def test_a_slow_partition_may_make_longer_jumps() -> None:
    slow = [i * 1800 * SECOND for i in range(150)]
    within = slow[-1] + 49 * HOUR
    beyond = within + 51 * HOUR
    assert clock_keys([*slow, within, beyond])[0][-2:] == [within, within]


def test_times_at_the_ends_of_the_range_do_no_harm() -> None:
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    found, _ = clock_keys([int(low), 0, int(high), 5])
    assert found == sorted(found)


def test_the_clock_runs_over_all_models_of_a_partition() -> None:
    ordering = assigned(A0)
    events = [Event(0, 0, 10, "x"), Event(0, 1, 50, "y"), Event(0, 2, 20, "x"), Event(1, 0, 60)]
    ordering.push(decoded(A0, events))
    found = {batch.model: keys(Released((batch,), 0)) for batch in ordering.release().batches}
    assert found == {"m": [60], "x": [10, 50], "y": [50]}


# The merge


def test_one_partition_is_released_at_once_and_without_a_copy() -> None:
    ordering = assigned(A0)
    given = at(A0, [1, 2, 3])
    ordering.push(given)
    released = ordering.release()
    assert released.watermark == 3
    assert released.batches[0].columns is given.batches[0].columns
    assert ordering.pending() == {A0: 0}


def test_nothing_released_has_the_smallest_watermark() -> None:
    assert Ordering(OrderingSettings()).release() == Released((), np.iinfo(np.int64).min)


def test_partitions_wait_for_one_another() -> None:
    ordering = assigned(A0, A1)
    ordering.push(at(A0, [1, 5, 9]))
    assert ordering.release().batches == ()
    ordering.push(at(A1, [4, 6]))
    released = ordering.release()
    assert keys(released) == [1, 4, 5, 6]
    assert released.watermark == 6
    assert ordering.pending() == {A0: 1, A1: 0}


def test_equal_keys_go_by_partition_and_offset() -> None:
    ordering = assigned(B0, A1, A0)
    for partition in (B0, A1, A0):
        ordering.push(at(partition, [7, 7]))
    places = [row[1:3] for batch in ordering.drain().batches for row in rows_of(batch)]
    assert places == [(A0, 0), (A0, 1), (A1, 0), (A1, 1), (B0, 0), (B0, 1)]


def test_an_idle_partition_holds_nobody_until_its_next_event() -> None:
    ordering = assigned(A0, A1)
    ordering.push(at(A0, [1, 5]))
    ordering.idle(A1)
    assert keys(ordering.release()) == [1, 5]
    ordering.push(at(A1, [2, 8]))
    assert lifting(ordering.floors()) == (Floor(A1, 0, 6),)
    assert lifting(ordering.floors()) == ()
    ordering.push(at(A0, [7], start=2))
    assert keys(ordering.release()) == [6, 7]


def test_waking_with_newer_events_needs_no_floor() -> None:
    ordering = assigned(A0, A1)
    ordering.push(at(A0, [1, 5]))
    ordering.idle(A1)
    ordering.release()
    ordering.push(at(A1, [6]))
    assert lifting(ordering.floors()) == ()


def test_one_partition_called_idle_goes_on_at_its_own_last_key() -> None:
    ordering = assigned(A0)
    ordering.push(at(A0, [5]))
    ordering.release()
    ordering.idle(A0)
    ordering.release()
    ordering.push(at(A0, [5], start=1))
    assert keys(ordering.release()) == [5]
    assert lifting(ordering.floors()) == ()


def test_a_new_partition_starts_above_what_is_released() -> None:
    ordering = assigned(A0)
    ordering.push(at(A0, [1, 5]))
    ordering.release()
    ordering.assign([A1])
    ordering.push(at(A0, [9], start=2))
    assert keys(ordering.release()) == []
    assert lifting(ordering.floors()) == (Floor(A1, 0, 6),)
    ordering.push(at(A1, [2, 10]))
    assert lifting(ordering.floors()) == ()
    assert keys(ordering.release()) == [6, 9]


def test_a_tick_moves_time_only_when_all_are_idle() -> None:
    ordering = assigned(A0, A1)
    ordering.push(at(A0, [1]))
    ordering.idle(A1)
    ordering.tick(100)
    assert ordering.release().watermark == 1
    ordering.idle(A0)
    ordering.tick(100)
    assert ordering.release().watermark == 100
    ordering.push(at(A0, [50, 200], start=1))
    assert keys(ordering.release()) == [101, 200]
    assert lifting(ordering.floors()) == (Floor(A0, 1, 101),)


def test_an_event_before_the_release_makes_a_tick_void() -> None:
    ordering = assigned(A0)
    ordering.push(at(A0, [1]))
    ordering.idle(A0)
    ordering.tick(100)
    ordering.push(at(A0, [2], start=1))
    assert ordering.release().watermark == 2


def test_messages_without_events_move_the_position_only() -> None:
    ordering = assigned(A0)
    ordering.push(decoded(A0, [], next_offset=7))
    assert ordering.positions() == {A0: 7}
    assert ordering.release().batches == ()


def test_a_snapshot_resumes_at_the_first_chunk_not_wholly_released() -> None:
    ordering = assigned(A0, A1)
    ordering.push(at(A0, [1, 2]))
    ordering.push(at(A0, [3, 9], start=2))
    ordering.push(at(A1, [4]))
    assert keys(ordering.release()) == [1, 2, 3, 4]
    assert ordering.positions() == {A0: 2, A1: 1}
    restored = Ordering(OrderingSettings())
    restored.restore(ordering.snapshot())
    restored.push(at(A0, [3, 9], start=2))
    restored.push(at(A1, [10], start=1))
    assert keys(restored.release()) == [9]


def test_what_has_shown_nothing_goes_on_where_its_reading_began() -> None:
    ordering = assigned(A0, A1)
    assert ordering.begin({A0: 7, A1: 5, B0: 3})
    assert not ordering.begin({A0: 8, A1: 8})
    ordering.push(at(A0, [10], start=9))
    ordering.idle(A1)
    assert ordering.read_to() == {A0: 10, A1: 5}
    restored = Ordering(OrderingSettings())
    restored.restore(ordering.snapshot())
    assert restored.positions() == {A0: 7, A1: 5}
    assert not restored.begin({A0: 7, A1: 5})
    restored.push(at(A0, [10], start=9))
    restored.push(at(A1, [11], start=6))
    assert keys(restored.release()) == [10]


def test_a_topic_made_anew_does_not_hold_the_others_forever() -> None:
    ordering = assigned(A0, A1)
    ordering.push(at(A0, [1, 9]))
    ordering.push(at(A1, [5]))
    ordering.release()
    restored = Ordering(OrderingSettings())
    restored.restore(ordering.snapshot())
    restored.push(at(A1, [20], start=1))
    restored.idle(A0)
    assert keys(restored.release()) == [20]
    restored.push(at(A0, [7]))
    assert lifting(restored.floors()) == (Floor(A0, 0, 21),)


def test_of_a_topic_made_anew_no_event_is_lost_or_comes_before_what_was_there() -> None:
    """Its offsets begin again, below those that were read; also those of one that was idle."""
    ordering = assigned(A0, B0)
    ordering.know({"a": 1, "b": 2})
    ordering.push(at(B0, [50, 70, 90], 500))
    ordering.push(at(A0, [60]))
    assert keys(ordering.release()) == [50, 60]
    assert ordering.know({"a": 1, "b": 3}) == {"b"}
    ordering.push(at(A0, [100], 1))
    assert keys(ordering.release()) == []  # The new one holds them: it could bring any.
    ordering.push(at(B0, [61, 62, 95, 99]))
    (floor,) = [floor for floor in ordering.floors() if floor == Floor(B0, 0, 91)]
    rows = [row for batch in ordering.release().batches for row in rows_of(batch)]
    assert [(row.key, row.partition, row.offset) for row in rows] == [
        (70, B0, 501),
        (90, B0, 502),
        (91, B0, 0),
        (91, B0, 1),
        (95, B0, 2),
        (99, B0, 3),
    ]
    # A restart from a snapshot of before goes on with what was journaled.
    again = assigned(A0, B0)
    again.know({"a": 1, "b": 2})
    again.foresee([floor])
    again.know({"b": 3})
    again.push(at(B0, [61]))
    again.push(at(A0, [200]))
    assert keys(again.release()) == [91]


def test_which_topics_are_read_is_in_the_snapshot() -> None:
    ordering = assigned(A0)
    ordering.know({"a": 1})
    ordering.push(at(A0, [50], 500))
    state = ordering.snapshot()
    for identity, positions in ((1, {A0: 500}), (2, {})):
        ordering = Ordering(OrderingSettings())
        ordering.restore(state)
        assert ordering.identities == {"a": 1}
        ordering.know({"a": identity})
        assert ordering.positions() == positions


def test_what_is_left_of_a_topic_made_anew_waits_for_nobody() -> None:
    ordering = assigned(A0, B0)
    ordering.know({"b": 2})
    ordering.push(at(A0, [40]))
    ordering.push(at(B0, [50, 90], 500))
    ordering.know({"b": 3})
    for partition in (A0, B0):
        ordering.idle(partition)
    assert keys(ordering.release()) == [40, 50, 90]


def test_a_new_partition_while_the_process_is_down_starts_above_what_led_to_alerts() -> None:
    ordering = assigned(A0)
    before = ordering.snapshot()
    journal = list(ordering.floors())
    ordering.push(at(A0, [1, 5]))
    ordering.release()
    ordering.guard()
    journal += ordering.floors()
    assert lifting(journal) == (Floor(NEWCOMERS, 0, 6),)
    restored = Ordering(OrderingSettings())
    restored.restore(before)
    restored.foresee(journal)
    restored.assign([A0, A1])
    assert lifting(restored.floors()) == (Floor(A1, 0, 6),)
    restored.push(at(A1, [2, 10]))
    restored.push(at(A0, [1, 5, 9]))
    assert keys(restored.release()) == [1, 5, 6, 9]


# Promises

PARTITIONS = (A0, A1, B0)
Contents = dict[Partition, list[Decoded]]
Action = tuple[str, Partition, int]
Actions = list[Action]


def make_contents(random: Random) -> Contents:
    """Each partition's messages, one `Decoded` a message: of one to three events, or none."""
    found = {}
    for partition in PARTITIONS:
        messages = []
        for offset in range(random.choice((0, 1, 8, 15))):
            events = [
                Event(2 * offset, i, random.randrange(30) + 8 * offset, random.choice("xy"))
                for i in range(random.choice((0, 1, 1, 2, 3)))
            ]
            messages.append(decoded(partition, events, next_offset=2 * offset + 2))
        found[partition] = messages
    return found


def make_actions(random: Random) -> Actions:
    names = random.choices(
        ("push", "release", "idle", "idle all", "tick", "assign"),
        weights=(8, 4, 3, 1, 3, 1),
        k=random.choice((5, 20, 40)),
    )
    return [
        (
            name,
            random.choice(PARTITIONS),
            random.randrange(1, 4) if name == "push" else random.randrange(150),
        )
        for name in names
    ]


@st.composite
def contents_and_actions(draw: st.DrawFn) -> tuple[Contents, Actions, Actions]:
    """Draw a whole scenario from one seed: dense in events and verdicts, unlike lists of lists."""
    random = Random(draw(st.integers(0, 2**32)))
    return make_contents(random), make_actions(random), make_actions(random)


def bundle(messages: Sequence[Decoded]) -> Decoded:
    """Return consecutive messages as one `Decoded`."""
    events = [
        Event(row.offset, row.place, row.key, batch.model)
        for message in messages
        for batch in message.batches
        for row in rows_of(batch)
    ]
    events.sort()
    return decoded(messages[0].partition, events, messages[-1].next_offset)


class Collected:
    """Released rows per model, in order."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}

    def add(self, released: Released) -> None:
        for batch in released.batches:
            rows = rows_of(batch)
            assert all(row.key <= released.watermark for row in rows)
            self.rows.setdefault(batch.model, []).extend(rows)

    def copy(self) -> "Collected":
        other = Collected()
        other.rows = {model: list(rows) for model, rows in self.rows.items()}
        return other

    def starts(self, other: "Collected") -> bool:
        return all(
            other.rows.get(model, [])[: len(rows)] == rows for model, rows in self.rows.items()
        )


class Run:
    """An ordering fed by a list of actions, and what a service would keep of it."""

    def __init__(self, contents: Contents, *, alerting: bool = False) -> None:
        self.contents = contents
        self.alerting = alerting
        self.ordering = Ordering(OrderingSettings())
        self.place = dict.fromkeys(PARTITIONS, 0)
        self.collected = Collected()
        self.journal: list[Floor] = []

    def act(self, action: Action) -> None:
        name, partition, number = action
        if name == "push":
            self.push(partition, number)
        elif name == "idle":
            self.ordering.idle(partition)
        elif name == "idle all":
            for each in PARTITIONS:
                self.ordering.idle(each)
        elif name == "assign":
            self.ordering.assign([partition])
            self.journal.extend(self.ordering.floors())
        elif name == "tick":
            self.ordering.tick(number)
        else:
            self.release()

    def push(self, partition: Partition, count: int) -> None:
        start = self.place[partition]
        messages = self.contents[partition][start : start + count]
        if messages:
            self.place[partition] += len(messages)
            self.ordering.push(bundle(messages))
            self.journal.extend(self.ordering.floors())

    def release(self) -> None:
        self.collected.add(self.ordering.release())
        if self.alerting:
            self.ordering.guard()
            self.journal.extend(self.ordering.floors())

    def finish(self) -> None:
        for partition in PARTITIONS:
            self.push(partition, 1000)
        self.collected.add(self.ordering.drain())


def replayed(contents: Contents, journal: Iterable[Floor], actions: Actions) -> Run:
    """Run the input without verdicts: all partitions assigned, pushes and releases only."""
    run = Run(contents)
    run.ordering.foresee(journal)
    run.ordering.assign(PARTITIONS)
    for action in actions:
        if action[0] in ("push", "release"):
            run.act(action)
    run.finish()
    return run


@given(contents_and_actions(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_replay_with_the_journal_gives_the_same_order(
    scenario: tuple[Contents, Actions, Actions], alerting: bool
) -> None:
    contents, actions, others = scenario
    live = Run(contents, alerting=alerting)
    for action in actions:
        live.act(action)
    live.finish()
    for rows in live.collected.rows.values():
        assert [row[:4] for row in rows] == sorted(row[:4] for row in rows)
    again = replayed(contents, live.journal, others)
    assert again.collected.rows == live.collected.rows
    known = live.ordering.pending()
    assert lifting(floor for floor in again.journal if floor.partition in known) == ()


@given(contents_and_actions())
@settings(max_examples=100, deadline=None)
def test_cuts_and_interleaving_change_nothing(
    scenario: tuple[Contents, Actions, Actions],
) -> None:
    contents, actions, others = scenario
    one, other = replayed(contents, (), actions), replayed(contents, (), others)
    assert one.collected.rows == other.collected.rows
    np.testing.assert_equal(one.ordering.snapshot(), other.ordering.snapshot())


@given(contents_and_actions(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_crash_changes_nothing(
    scenario: tuple[Contents, Actions, Actions], data: st.DataObject
) -> None:
    """Snapshot at one moment, crash at a later one, read again, go on: as one replay."""
    contents, actions, others = scenario
    crash = data.draw(st.integers(0, len(actions)))
    saved = data.draw(st.integers(0, crash))
    first = Run(contents, alerting=True)
    for action in actions[:saved]:
        first.act(action)
    state, positions = first.ordering.snapshot(), first.ordering.positions()
    published = first.collected.copy()
    for action in actions[saved:crash]:
        first.act(action)

    second = Run(contents, alerting=True)
    second.collected = published
    second.journal = list(first.journal)
    second.ordering.restore(state)
    second.ordering.foresee(first.journal)
    second.place = {partition: positions.get(partition, 0) // 2 for partition in PARTITIONS}
    known = first.ordering.pending()
    second.ordering.assign(known)
    for action in others:
        if action[0] == "release" or (action[0] == "push" and action[1] in known):
            second.act(action)
    for partition in known:
        second.push(partition, max(0, first.place[partition] - second.place[partition]))
    second.release()
    for action in actions[crash:]:
        second.act(action)
    second.finish()
    assert first.collected.starts(second.collected)
    again = replayed(contents, second.journal, actions)
    assert again.collected.rows == second.collected.rows
