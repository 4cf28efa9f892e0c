"""Any number of workers, whatever happens to them and the input: one order for all shards."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest

from streamdrift.exchange.frames import Events, Progress, Reach, decode
from streamdrift.exchange.roll import Found, Roll
from streamdrift.ordering.junction import Bound, Junction
from streamdrift.records import Extent, Partition, Released
from tests.team import GROUPS, SHARDS, Team, Worker

Happens = Callable[[Team], None]


def released(team: Team) -> dict[int, list[tuple[int, int]]]:
    """Return the key and id of each event, in the order in which each group has them."""
    found: dict[int, list[tuple[int, int]]] = {}

    def add(some: Released) -> None:
        for batch in some.batches:
            rows = zip(batch.time.tolist(), batch.ids.tolist(), strict=True)
            found.setdefault(batch.group, []).extend(rows)

    for log in team.logs[:SHARDS]:
        junction = Junction()
        for place, entry in enumerate(log):
            if entry.state[0] != "done":
                continue
            frame = decode(memoryview(entry.frame))
            if isinstance(frame, Events):
                junction.push(frame.partition, frame.batches, place)
            elif isinstance(frame, Progress):
                bounds = [Bound(*each[:4]) for each in frame.reaches]
                junction.hear(bounds, frame.known, place)
            if team.random.random() < 0.7:
                add(junction.release())
        add(junction.release())
        assert junction.lifted == 0
        assert junction.held == 0
    return found


def check(team: Team) -> None:
    """Let all come to rest, and compare what the shards have with each other and the input."""
    team.settle()
    found = released(team)
    assert len(found) == GROUPS
    for rows in found.values():
        assert rows == found[0]
        assert [key for key, _ in rows] == sorted(key for key, _ in rows)
    topics = team.topics.values()
    there = {each for topic in topics for events in topic.partitions for each, _ in events}
    ids = [each for _, each in found[0]]
    assert len(set(ids)) == len(ids)
    assert set(ids) - team.lost == there


def produce(team: Team) -> None:
    for partition in team.random.sample(team.partitions, min(2, len(team.partitions))):
        lag = team.random.choice((0, 10, 10, 10_000))
        team.produce(partition, team.random.randrange(6), lag)


def sleep(team: Team) -> None:
    """Nothing comes for a while; now and then all there is is read."""
    team.now += team.random.choice((0.001, 1.0))
    if team.random.random() < 0.3:
        for _ in range(team.random.randrange(3)):
            team.go_round()
    for _ in range(20):
        team.act()


def grow(team: Team) -> None:
    name = team.random.choice([*team.topics, "m"])
    partitions = team.topics[name].partitions if name in team.topics else []
    if 0 < len(partitions) < 5 and team.random.random() < 0.2:
        partitions.append([])
        team.change()
        team.produce(Partition(name, len(partitions) - 1), team.random.randrange(3), 10_000)


def add_topic(team: Team) -> None:
    if len(team.topics) < 6 and team.random.random() < 0.2:
        # Before and behind the others in the order of names.
        name = team.random.choice("ax") + str(team.made)
        team.make(name, team.random.choice((1, 2)))
        team.produce(Partition(name, 0), team.random.randrange(3), 10_000)


def delete(team: Team) -> None:
    """Delete a topic; one that stays says where all are."""
    others = sorted(team.topics.keys() - {"m"})
    if others and team.random.random() < 0.2:
        team.go_round()
        team.delete(team.random.choice(others))


def remake(team: Team, spared: Sequence[str] = ("m",), between: int = 0) -> None:
    """Delete a topic and make another under its name, now and then twice in a row.

    The group may still have what was committed of the first: a worker that had not noticed.
    """
    others, random = sorted(team.topics.keys() - set(spared)), team.random
    if not others or random.random() < 0.5:
        return
    if random.random() < 0.5:
        team.go_round()
    name, kept = random.choice(others), dict[Partition, tuple[int, str]]()
    for _ in range(random.choice((1, 1, 2))):
        for worker in team.workers:
            worker.commit_all()
        kept |= {key: each for key, each in team.committed.items() if key.topic == name}
        team.delete(name)
        some_look(team)
        team.make(name, random.choice((1, 2, 3)))
        team.produce(Partition(name, 0), random.randrange(3), random.choice((0, 10_000)))
        if random.random() < 0.5:
            there = team.partitions
            team.committed |= {key: each for key, each in kept.items() if key in there}
        some_look(team)
        if between:
            if random.random() < 0.5:
                team.share()
            for _ in range(random.randrange(between)):
                team.act()


def some_look(team: Team) -> None:
    """Let some workers look twice, long enough apart, and others not at all."""
    some = team.random.sample(team.workers, team.random.randrange(2))
    for _ in range(2):
        for worker in some:
            worker.look()
        team.now += team.random.choice((0.0, 1.0))


def remake_any(team: Team) -> None:
    remake(team, ())


def remake_amid(team: Team) -> None:
    remake(team, between=30)


def share(team: Team) -> None:
    team.share()


def move(team: Team) -> None:
    if team.partitions:
        team.move(team.random.choice(team.partitions), orderly=team.random.random() < 0.5)


def kill(team: Team) -> None:
    team.kill(team.random.choice(team.workers))


def join(team: Team) -> None:
    if len(team.workers) < 5:
        team.workers.append(Worker(team))


def play(seed: int, happens: Sequence[Happens], steps: int = 250) -> Team:
    random = Random(seed)
    team = Team(random, {"m": random.choice((1, 2)), "n": 2}, random.choice((1, 2, 3)))
    for _ in range(steps):
        if random.random() < 0.4:
            random.choice(happens)(team)
        for _ in range(random.randrange(4)):
            team.act()
    return team


@pytest.mark.parametrize("seed", range(6))
def test_partitions_that_rest_and_wake(seed: int) -> None:
    check(play(seed, [produce, sleep]))


@pytest.mark.parametrize("seed", range(6))
def test_partitions_that_change_their_owner(seed: int) -> None:
    check(play(seed, [produce, produce, sleep, move, share, kill, join]))


@pytest.mark.parametrize("seed", range(15))
def test_partitions_that_appear_later(seed: int) -> None:
    check(play(seed, [produce, produce, sleep, grow, add_topic, share]))


@pytest.mark.parametrize("seed", range(15))
def test_all_of_it_at_once(seed: int) -> None:
    happens = [produce, produce, produce, sleep, grow, add_topic, move, share, share, kill, join]
    check(play(seed, happens))


@pytest.mark.parametrize("seed", range(10))
def test_topics_that_are_deleted(seed: int) -> None:
    check(play(seed, [produce, produce, sleep, grow, add_topic, share, join, move, delete]))


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("anew", [remake, remake_any, remake_amid])
def test_topics_that_are_made_anew(seed: int, anew: Happens) -> None:
    happens = [produce, produce, produce, sleep, grow, add_topic, share, join, move, kill]
    check(play(seed, [*happens, anew, anew]))


# The roll by example

M0, M1, N0 = Partition("m", 0), Partition("m", 1), Partition("n", 0)
M, N = 3, 4
"""What tells the two topics from others of their names."""
ONE, TWO = {"m": Extent(0, 1, M)}, {"m": Extent(0, 2, M)}


def look(roll: Roll, **counts: int) -> None:
    """Let a look-up find topics with so many partitions, a second after the last."""
    identities = {"m": M, "n": N}
    find(roll, {name: Found(count, identities[name]) for name, count in counts.items()})


def admit(roll: Roll, *, first: bool = False) -> Mapping[Partition, int | None]:
    return roll.admit(first=first, heard_all=True)


_moments = itertools.count(1.0)


def find(roll: Roll, found: Mapping[str, Found]) -> None:
    roll.know(found, next(_moments))


def reach(partition: Partition, key: int | None, *, idle: bool = False, last: int = 0) -> Reach:
    return Reach(partition, 0, 0, key, last, idle)


def told(known: Mapping[str, Extent], *reaches: Reach) -> Progress:
    return Progress(reaches, known)


def test_a_newcomer_waits_until_others_name_it_and_begins_above_them() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.wait(M1)
    assert admit(roll) == {}
    roll.hear(told(ONE, reach(M0, 50)), 1.0)
    assert admit(roll) == {}
    roll.hear(told(TWO), 1.0)  # By one who reads nothing: that holds nobody.
    assert admit(roll) == {}
    roll.hear(told(TWO, reach(M0, 60), reach(N0, 40)), 1.0)
    assert admit(roll) == {M1: 41}
    assert admit(roll, first=True) == {}


def test_what_counts_is_where_others_were_when_they_named_a_newcomer_first() -> None:
    """From then on all shards wait for it, however far these others read meanwhile."""
    roll = Roll(0.0)
    look(roll, m=2)
    roll.hear(told(ONE, reach(M0, 50)), 1.0)
    roll.hear(told(TWO, reach(M0, 60)), 1.0)
    roll.hear(told(TWO, reach(M0, 90)), 1.0)
    roll.wait(M1)
    assert admit(roll) == {M1: 61}
    begun = Roll(0.0)
    look(begun, m=2)
    begun.hear(told(TWO, reach(M0, None)), 1.0)  # The first word of all comes without events.
    begun.hear(told(TWO, reach(M0, 90)), 1.0)
    begun.wait(M1)
    assert admit(begun) == {M1: None}


def test_events_come_once_the_first_word_of_their_partition_is_heard() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.hear(told(TWO, reach(M0, 60)), 1.0)
    roll.wait(M1)
    assert admit(roll) == {M1: 61}
    assert roll.begins(M1) is None
    roll.hear(told(TWO, reach(M1, 61)), 1.0)
    assert roll.begins(M1)


def test_two_that_began_as_if_they_were_alone_wait_to_be_named() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    assert roll.admit(first=True, heard_all=False) == {}
    roll.wait(M1)  # The first partition is another's: that one begins.
    assert admit(roll, first=True) == {}
    roll.wait(M0)
    assert admit(roll, first=True) == {M0: None, M1: None}
    other = {"n": Extent(0, 1, N)}
    roll.hear(told(other, reach(N0, None)), 1.0)
    roll.hear(told(TWO, reach(M0, None), reach(M1, None)), 1.0)
    assert (roll.begins(M0), roll.begins(M1)) == (False, False)
    assert admit(roll, first=True) == {}
    roll.hear(told({**TWO, **other}, reach(N0, 30)), 1.0)
    assert admit(roll) == {M0: 31, M1: 31}
    assert roll.begins(M0)
    assert roll.begins(M1)


def test_a_newcomer_begins_above_all_that_its_name_had_before() -> None:
    """Offsets do not tell the events of one life from those of another."""
    roll = Roll(0.0)
    look(roll, m=1, n=1)
    both = {"m": Extent(0, 1, M), "n": Extent(0, 1, N)}
    roll.hear(told(both, reach(M0, 90), reach(N0, 20)), 1.0)
    again = {"m": Extent(1, 1, 7), "n": Extent(0, 1, N)}
    roll.hear(told(again, reach(N0, 30)), 1.0)
    roll.wait(M0)
    assert admit(roll) == {M0: 91}


def test_what_was_heard_before_a_newcomer_came_here_counts() -> None:
    """It may have been another worker's, and nobody says the same twice soon."""
    roll = Roll(0.0)
    roll.hear(told(TWO, reach(M0, 60)), 1.0)
    roll.wait(M1)
    assert admit(roll) == {M1: 61}
    roll.wait(M1)
    roll.leave(M1)
    assert admit(roll, first=True) == {}


def test_at_first_all_take_part_at_once() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.wait(M0)
    roll.wait(M1)
    assert admit(roll, first=True) == {M0: None, M1: None}


def test_what_rests_promises_no_more_than_the_slowest_has_reached() -> None:
    roll = Roll(0.0)
    look(roll, m=2, n=1)
    assert roll.promise(9.0, 5_000_000) is None
    known = {"m": Extent(0, 2, M), "n": Extent(0, 1, N)}
    roll.hear(told(known, reach(M0, 70), reach(M1, 5, idle=True)), 1.0)
    assert (roll.promise(9.0, 5_000_000), roll.watermark()) == (None, None)
    roll.hear(told(known, reach(N0, 60)), 1.0)
    assert (roll.promise(9.0, 5_000_000), roll.watermark()) == (60, 5)
    roll.hear(told(known, reach(N0, None)), 1.0)
    assert roll.promise(9.0, 5_000_000) is None
    assert not roll.all_rest


def test_where_all_rest_time_goes_on_from_the_last_event() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.hear(told(TWO, Reach(M0, 0, 3, 64, 64, True), Reach(M1, 0, 0, 64, None, True)), 1.0)
    assert roll.all_rest
    assert roll.promise(3.0, 9_000_000) == 64 + 2_000_000
    assert roll.promise(3.0, 1_000_000) == 64 + 1_000_000
    roll.hear(told(TWO, Reach(M0, 3, 3, 99, 64, True)), 2.5)  # It has not moved.
    assert roll.promise(3.0, 9_000_000) == 64 + 2_000_000


def test_where_all_rest_a_new_worker_goes_on_from_where_all_stood() -> None:
    """Not from the last event: they would stand there for as long as they had rested before.

    What the others promise meanwhile does not count a second time.
    """
    roll, hour = Roll(0.0), 3_600_000_000
    look(roll, m=2)
    roll.hear(told(TWO, Reach(M0, 0, 3, hour, 64, True), Reach(M1, 0, 0, hour, None, True)), 1.0)
    assert roll.promise(6.0, 5_000_000) == hour
    roll.hear(told(TWO, Reach(M0, 3, 3, hour + 4_000_000, 64, True)), 10.0)
    assert roll.promise(11.0, 10_000_000) == hour + 5_000_000
    assert roll.promise(12.0, 1_000_000) == hour + 1_000_000
    roll.hear(told(TWO, Reach(M0, 3, 4, 2 * hour, 2 * hour, True)), 13.0)
    assert roll.promise(15.0, 2_000_000) == 2 * hour + 2_000_000


def test_a_deleted_topic_counts_no_more_whoever_speaks_of_it() -> None:
    roll = Roll(0.0)
    look(roll, m=2, n=1)
    known = {"m": Extent(0, 2, M), "n": Extent(0, 1, N)}
    roll.hear(told(known, reach(M0, 5), reach(M1, 6, idle=True), reach(N0, 60)), 1.0)
    look(roll, n=1)
    assert roll.known["m"] == Extent(0, 2, M)  # One look-up alone is not believed.
    look(roll, n=1)
    for _ in range(2):
        assert roll.known["m"] == Extent(1, 0)
        assert roll.promise(2.0, 0) == 60
        roll.hear(told(known, reach(M0, 5)), 1.0)
        look(roll, n=1)
    for _ in range(2):
        find(roll, {"n": Found(1, N), "m": Found(3, 7)})
    assert roll.known["m"] == Extent(2, 3, 7)
    assert roll.promise(2.0, 0) is None


def test_a_topic_made_anew_between_two_look_ups_is_another() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.hear(told(TWO, reach(M0, 5), reach(M1, 6)), 1.0)
    for times in range(2):
        assert roll.known["m"] == TWO["m"], times
        find(roll, {"m": Found(2, 7)})
    assert roll.known["m"] == Extent(1, 2, 7)
    assert not roll.all_rest
    assert roll.watermark() is None
    roll.wait(M0)
    assert admit(roll) == {M0: 7}


def test_what_others_found_counts_more_than_what_a_broker_is_behind_with() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.hear(told({"m": Extent(1, 3, 7)}), 1.0)
    look(roll, m=2)
    assert roll.known["m"] == Extent(1, 3, 7)
    for _ in range(2):
        find(roll, {"m": Found(4, 7)})
    assert roll.known["m"] == Extent(1, 4, 7)


def test_two_that_found_different_ones_go_on_to_the_same() -> None:
    one, other = Roll(0.0), Roll(0.0)
    for roll in (one, other):
        look(roll, m=2)
    for _ in range(2):
        find(one, {"m": Found(2, 7)})
        find(other, {"m": Found(2, 8)})
    said = dict(one.known)
    one.hear(told(dict(other.known)), 1.0)
    other.hear(told(said), 1.0)
    assert one.known == other.known == {"m": Extent(2, 2, 8)}
    for _ in range(2):
        find(one, {"m": Found(2, 7)})
    assert one.known["m"] == Extent(3, 2, 7)


def test_topics_that_no_setting_names_are_for_others_to_judge() -> None:
    roll = Roll(0.0, wanted=lambda topic: topic == "m")
    look(roll, m=2)
    roll.hear(told({"n": Extent(0, 1, N)}), 1.0)
    for _ in range(3):
        look(roll, m=2)
    assert roll.known["n"] == Extent(0, 1, N)


def test_a_topic_that_is_read_no_more_is_not_found_again_but_may_be_taken_up() -> None:
    roll = Roll(0.0)
    look(roll, m=2)
    roll.learn("m", Extent(1, 0, M))
    for _ in range(3):
        look(roll, m=2)
        assert roll.known["m"] == Extent(1, 0, M)
    assert roll.take_up("m", Found(2, M), Extent(1, 0, M)) == Extent(2, 2, M)
    assert roll.known["m"] == Extent(2, 2, M)


@pytest.mark.parametrize(
    ("noted", "life"),
    [
        (None, 1),
        (Extent(0, 0, M), 1),
        (Extent(1, 0, M), 1),
        (Extent(4, 0, M), 4),
        (Extent(0, 0, 9), 1),
        (Extent(4, 0, 9), 5),
    ],
)
def test_notes_tell_of_lives_that_nobody_speaks_of(noted: Extent | None, life: int) -> None:
    roll = Roll(0.0)
    roll.learn("m", Extent(1, 2, M))
    assert roll.take_up("m", Found(2, M), noted) == Extent(life, 2, M)
    assert roll.known["m"] == Extent(life, 2, M)


def test_where_all_is_deleted_what_comes_begins_above_it() -> None:
    roll = Roll(0.0)
    look(roll, m=1)
    roll.hear(told(ONE, reach(M0, 70)), 1.0)
    for _ in range(2):
        look(roll, n=1)
    roll.wait(N0)
    assert admit(roll) == {N0: 71}


def test_what_is_heard_late_of_what_is_deleted_still_tells_where_the_shards_are() -> None:
    roll = Roll(0.0)
    roll.learn("m", Extent(1, 1, 7))
    roll.hear(told(ONE, reach(M0, 70)), 1.0)
    roll.wait(M0)
    assert admit(roll, first=True) == {M0: 71}
