"""The last values of signals, by their codes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors.recent import ROOM, Recent
from streamdrift.records import Stream
from streamdrift.references.binning import NOTHING, Cells

NONE: Cells = np.empty(0, dtype=np.uint16)
ROOMS = {Stream.NUMERIC: ROOM, Stream.RATE: 512, Stream.CATEGORY: 512}


def codes_of(size: int, most: int = 46, seed: int = 1) -> Cells:
    return np.random.default_rng(seed).integers(0, most, size).astype(np.uint16)


def recent_of(stream: Stream = Stream.NUMERIC) -> Recent:
    return Recent([stream])


def add(recent: Recent, codes: Cells, start: int = 0) -> None:
    recent.add(codes[np.newaxis], np.array([start]))


@pytest.mark.parametrize("size", [0, 5, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM + 7])
@pytest.mark.parametrize("part", [1, 100, 2_000])
def test_the_last_codes_are_kept(size: int, part: int) -> None:
    codes = codes_of(size)
    recent = recent_of()
    for begin in range(0, size, part):
        add(recent, codes[begin : begin + part])
    assert recent.counts.tolist() == [size]
    found = recent.last(0, NONE, ROOM)
    assert found.tolist() == codes[-ROOM:].tolist()
    assert recent.last(0, NONE, 3).tolist() == found[-3:].tolist()


def test_those_of_the_block_come_last() -> None:
    codes = codes_of(ROOM + 50)
    kept, both = recent_of(), recent_of()
    add(kept, codes)
    add(both, codes[:-80])
    for count in (1, 60, 80, 200, ROOM):
        assert both.last(0, codes[-80:], count).tolist() == kept.last(0, NONE, count).tolist()
    assert len(both.last(0, codes, 10 * ROOM)) == ROOM
    assert len(both.last(0, codes, 0)) == 1


def test_what_is_no_value_and_what_was_before_is_left_out() -> None:
    codes = np.array([9, 8, NOTHING, 2, NOTHING, 7], dtype=np.uint16)
    recent = recent_of()
    add(recent, codes, start=2)
    assert recent.counts.tolist() == [2]
    assert recent.last(0, np.array([NOTHING, 5], np.uint16), 9).tolist() == [2, 7, 5]


def test_places_of_levels_have_two_bytes() -> None:
    recent = recent_of(Stream.CATEGORY)
    add(recent, np.array([0, 7, 999, NOTHING - 1], dtype=np.uint16))
    found = recent.last(0, np.array([3], dtype=np.uint16), 9)
    assert found.tolist() == [0, 7, 999, NOTHING - 1, 3]


def test_a_cleared_signal_begins_anew_and_the_others_stay() -> None:
    streams = [Stream.CATEGORY, Stream.NUMERIC, Stream.RATE, Stream.NUMERIC]
    recent = Recent(streams)
    codes = np.stack([codes_of(600, 2, seed) for seed in range(4)])
    recent.add(codes, np.zeros(4, dtype=np.int64))
    recent.clear(3)
    assert recent.counts.tolist() == [600, 600, 600, 0]
    assert len(recent.last(3, NONE, 5)) == 0
    for signal, stream in enumerate(streams[:3]):
        kept = codes[signal, -ROOMS[stream] :]
        assert recent.last(signal, NONE, 600).tolist() == kept.tolist()


@pytest.mark.parametrize("stream", list(Stream))
@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 1_500), max_size=6))
def test_cuts_and_restores_change_nothing(stream: Stream, cuts: list[int]) -> None:
    codes = codes_of(1_500)
    codes[1_000::7] = NOTHING
    whole, parts = recent_of(stream), recent_of(stream)
    add(whole, codes)
    for start, stop in itertools.pairwise([0, *sorted(cuts), 1_500]):
        add(parts, codes[start:stop])
        restored = recent_of(stream)
        restored.restore(parts.snapshot())
        parts = restored
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
    assert parts.last(0, NONE, 9).tolist() == codes[codes != NOTHING][-9:].tolist()


@pytest.mark.parametrize(
    ("stream", "size"), [(Stream.NUMERIC, 320), (Stream.RATE, 512), (Stream.CATEGORY, 1_024)]
)
def test_bytes_of_a_signal(stream: Stream, size: int) -> None:
    assert recent_of(stream).codes(0).nbytes == size
