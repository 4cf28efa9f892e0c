"""The ingest side: every event in the frames of its shard, every frame of a size that passes."""

import itertools
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from streamdrift.decoders import make_decoder
from streamdrift.exchange.frames import Events, Frame, Progress, Reach, decode, encode
from streamdrift.exchange.ingest import FRAME_BYTES, MESSAGE_BYTES, Ingest
from streamdrift.models.groups import group_of
from streamdrift.monitoring.shards import shard_of
from streamdrift.ordering.timeline import Timeline
from streamdrift.records import Extent, Floor, Partition
from tests.messages import event, messages

HOUR = 3_600_000_000
ONE = {"p": Extent(0, 2)}
P0, P1 = Partition("p", 0), Partition("p", 1)


def read(data: bytes) -> Frame:
    return decode(memoryview(data))


def make_ingest(*partitions: Partition, groups: int = 1, shards: int = 1) -> Ingest:
    decoder = make_decoder("json", {})
    ingest = Ingest(lambda _: decoder, lambda _: groups, shards, HOUR)
    for partition in partitions:
        timeline = Timeline(partition, 0)
        timeline.taking_part = True
        ingest.add(timeline)
    return ingest


# Frames that are cut


def sent(values: Sequence[bytes], groups: int = 1) -> list[Events]:
    """Return the frames of events that an ingest makes of messages, in their order."""
    ingest = make_ingest(P0, groups=groups)
    for first in range(0, len(values), 500):
        ingest.feed(messages(values[first : first + 500], partition=P0, first=first))
    frames = [addressed.frame for addressed in ingest.frames(None)]
    found = [read(frame) for frame in frames]
    for data, frame in zip(frames, found, strict=True):
        assert isinstance(frame, Events)
        several = sum(map(len, frame.batches)) > 1
        assert len(data) <= FRAME_BYTES or not several
    return [frame for frame in found if isinstance(frame, Events)]


def test_large_frames_are_cut_between_offsets() -> None:
    random = np.random.default_rng(3)
    values = [
        event(
            model=f"m{i % 3}",
            features={f"f{j}": random.normal() for j in range(60)} | {"text": str(i) * 20},
        )
        for i in range(2_500)
    ]
    frames = sent(values)
    assert len(frames) > 1
    offsets = [{int(each) for part in frame.batches for each in part.offset} for frame in frames]
    for before, behind in itertools.pairwise(offsets):
        assert max(before) < min(behind)
    assert sorted(each for some in offsets for each in some) == list(range(len(values)))
    for frame in frames:
        for part in frame.batches:
            assert (np.diff(part.offset) > 0).all()


def test_the_largest_message_is_one_frame_of_its_offset() -> None:
    wide = event(features={f"f{j}": "x" * 900 for j in range(1_000)})
    assert MESSAGE_BYTES * 0.9 < len(wide) < MESSAGE_BYTES
    frames = sent([event(), wide, wide, event()])
    offsets = [sorted({int(o) for part in frame.batches for o in part.offset}) for frame in frames]
    assert sorted(itertools.chain.from_iterable(offsets)) == [0, 1, 2, 3]
    assert {1} in map(set, offsets) or {2} in map(set, offsets)
    too_large = event(features={"x": "x" * MESSAGE_BYTES})
    assert [len(frame.batches) for frame in sent([too_large, event()])] == [1]


def test_a_message_of_many_events_is_cut_between_them() -> None:
    """Names that are made up make columns of nothing: far more than the message itself."""
    inner = [
        event(model="xy"[i % 2], features={f"f{(7 * i + j) % 3_000}": 1 for j in range(10)})
        for i in range(800)
    ]
    value = b"[" + b",".join(inner) + b"]"
    assert len(value) < MESSAGE_BYTES
    frames = sent([value, event()])
    assert len(frames) > 1
    places = [
        {
            (int(o), int(i))
            for part in frame.batches
            for o, i in zip(part.offset, part.index, strict=True)
        }
        for frame in frames
    ]
    for before, behind in itertools.pairwise(places):
        assert max(before) < min(behind)
    assert sum(map(len, places)) == 801


@pytest.mark.parametrize("seed", range(3))
def test_every_event_is_in_the_frames_of_its_shards(seed: int) -> None:
    random = Random(seed)
    ingest = make_ingest(P0, P1, groups=3, shards=4)
    names = [f"f{i}" for i in range(6)]
    wanted: dict[tuple[int, str, int], list[tuple[Partition, int]]] = {}
    for partition in (P0, P1):
        for first in range(0, 40, 10):
            models = [random.choice("abc") for _ in range(10)]
            features = [dict.fromkeys(random.sample(names, 2), 1.0) for _ in range(10)]
            values = [event(model=m, features=f) for m, f in zip(models, features, strict=True)]
            ingest.feed(messages(values, partition=partition, first=first))
            for i, model in enumerate(models):
                for group in range(3):
                    place = shard_of(model, group, 4), model, group
                    wanted.setdefault(place, []).append((partition, first + i))
    assert ingest.pending_events == 2 * 40 * 3
    progress = ingest.progress([], ONE, everything=False)
    found: dict[tuple[int, str, int], list[tuple[Partition, int]]] = {}
    told = []
    for shard, data in ingest.frames(progress):
        frame = read(data)
        if isinstance(frame, Progress):
            told.append(shard)
            assert frame == progress
            continue
        assert isinstance(frame, Events)
        assert not told  # Events come before the progress that tells of them.
        for part in frame.batches:
            place = shard, part.model, part.group
            mine = [(frame.partition, int(offset)) for offset in part.offset]
            found.setdefault(place, []).extend(mine)
            assert all(group_of(key, 3) == part.group for key in part.columns)
    assert found == wanted
    assert told == [0, 1, 2, 3, 4]
    ingest.told(progress)
    assert ingest.pending_events == 0
    assert list(ingest.frames(None)) == []


def test_progress_tells_what_moved_since_it_was_committed() -> None:
    ingest = make_ingest(P0, P1)
    first = ingest.progress([], ONE, everything=False)
    assert first is not None
    assert [each.partition for each in first.reaches] == [P0, P1]
    ingest.told(first)
    assert ingest.progress([], ONE, everything=False) is None
    ingest.feed(messages([event(timestamp=5)], partition=P1))
    moved = Reach(P1, 0, 1, 5_000_000, 5_000_000, False)
    assert ingest.progress([], ONE, everything=False) == Progress((moved,), ONE)
    # What is not committed is told again, together with what came since.
    ingest.feed(messages([event(timestamp=6)], partition=P1, first=1))
    both = ingest.progress([], ONE, everything=False)
    assert both == Progress((Reach(P1, 0, 2, 6_000_000, 6_000_000, False),), ONE)
    ingest.told(both)
    ingest.timelines[P0].promise(7)
    rests = ingest.progress([P0], ONE, everything=False)
    assert rests == Progress((Reach(P0, 0, 0, 7, None, True),), ONE)
    ingest.told(rests)
    everything = ingest.progress([P0], ONE, everything=True)
    assert everything is not None
    assert everything.reaches[1] == Reach(P1, 2, 2, 6_000_000, 6_000_000, False)
    assert read(encode(everything)) == everything


def test_nothing_is_told_of_what_takes_no_part_or_is_deleted() -> None:
    ingest = make_ingest(P0)
    ingest.add(Timeline(P1, 0))
    reach = Reach(P0, 0, 0, None, None, False)
    assert ingest.progress([], ONE, everything=True) == Progress((reach,), ONE)
    for later in (Extent(1, 0), Extent(1, 2)):
        assert ingest.progress([], {"p": later}, everything=False) is None
        assert ingest.progress([], {"p": later}, everything=True) == Progress((), {"p": later})
    # Another topic of that name is told of once it is read.
    timeline, anew = ingest.timelines[P0], Extent(1, 2, identity=5)
    timeline.take_up(anew, 0)
    ingest.add(timeline)
    assert ingest.progress([], {"p": anew}, everything=False) is None
    timeline.taking_part = True
    told = ingest.progress([], {"p": anew}, everything=False)
    assert told == Progress((reach,), {"p": anew})
    assert ingest.progress([], {"p": Extent(1, 2, identity=6)}, everything=False) is None


def test_what_is_left_to_another_worker_is_forgotten() -> None:
    ingest = make_ingest(P0, P1)
    for partition in (P0, P1):
        ingest.timelines[partition].promise(10_000_000)
        ingest.feed(messages([event(timestamp=5)], partition=partition))
    assert ingest.floors() == (Floor(P0, 0, 10_000_000), Floor(P1, 0, 10_000_000))
    ingest.drop(P0)
    assert ingest.floors() == (Floor(P1, 0, 10_000_000),)
    progress = ingest.progress([], ONE, everything=True)
    assert progress is not None
    assert [each.partition for each in progress.reaches] == [P1]
    frames = [read(data) for _, data in ingest.frames(None)]
    assert [frame.partition for frame in frames if isinstance(frame, Events)] == [P1]


def test_too_large_messages_are_dead_letters() -> None:
    ingest = make_ingest(P0)
    large = event(features={"x": "x" * MESSAGE_BYTES})
    decoded = ingest.feed(messages([event(), large, None, b"{", event()], partition=P0))
    letters = {letter.offset: letter.reason for letter in decoded.dead_letters}
    assert letters == {1: "too_large", 3: "invalid_json"}
    assert ingest.timelines[P0].offset == 5
    assert ingest.pending_events == 2
