"""Offsets that are dealt with, beside a set of them; and what of them is kept with a commit."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamdrift.following.offsets import Offsets, read_note, write_note

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)), max_size=30)


def members(offsets: Offsets) -> list[int]:
    return [each for first, last in offsets for each in range(first, last + 1)]


@given(SPANS, st.integers(0, 70))
def test_they_are_those_that_were_added_but_for_those_that_were_dropped(
    spans: list[tuple[int, int]], below: int
) -> None:
    offsets, known = Offsets(), set[int]()
    for first, more in spans:
        offsets.add(first, first + more)
        known |= set(range(first, first + more + 1))
    assert members(offsets) == sorted(known)
    runs = list(offsets)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(runs))
    assert all((each in offsets) is (each in known) for each in range(-1, 72))
    assert members(read_note(0, write_note(0, offsets))) == sorted(known)
    offsets.drop_below(below)
    assert members(offsets) == sorted(each for each in known if each >= below)


def test_neighbours_find_room_however_many_they_are() -> None:
    offsets = Offsets()
    for offset in range(1, 100_000):
        if offset % 1_000:
            offsets.add(offset)
    assert len(list(offsets)) == 100
    assert members(read_note(0, write_note(0, offsets))) == members(offsets)


@given(st.text("0123456789+,x ", max_size=60) | st.text(max_size=20))
def test_a_note_of_another_program_is_read_as_far_as_it_is_one(note: str) -> None:
    assert all(first >= 7 for first, _ in read_note(7, note))
