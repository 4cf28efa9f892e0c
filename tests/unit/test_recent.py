import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors.recent import ROOM, Recent
from streamdrift.records import Floats


def recent_of(whole: bool = False) -> Recent:
    return Recent(np.array([whole]))


def add(recent: Recent, scores: Floats, start: int = 0) -> None:
    recent.add(scores[np.newaxis], np.array([start]))


@pytest.mark.parametrize("size", [0, 5, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM + 7])
def test_the_last_scores_are_kept_to_two_bytes(size: int) -> None:
    scores = np.random.default_rng(size).random(size)
    recent = recent_of()
    add(recent, scores)
    assert recent.counts.tolist() == [size]
    found = recent.last(0, np.empty(0), ROOM)
    assert len(found) == min(size, ROOM)
    np.testing.assert_allclose(found, scores[-ROOM:], atol=0.5 / 65_535 + 1e-9)
    few = recent.last(0, np.empty(0), 3)
    assert few.tolist() == found[-3:].tolist()


def test_those_of_the_block_come_last_and_are_rounded_as_if_they_were_kept() -> None:
    scores = np.random.default_rng(1).random(ROOM + 50)
    kept, both = recent_of(), recent_of()
    add(kept, scores)
    add(both, scores[:-80])
    for count in (1, 60, 80, 200, ROOM):
        expected = kept.last(0, np.empty(0), count)
        assert both.last(0, scores[-80:], count).tolist() == expected.tolist()
    assert len(both.last(0, scores, 10 * ROOM)) == ROOM
    assert len(both.last(0, scores, 0)) == 1


def test_what_is_no_score_and_what_was_before_is_left_out() -> None:
    scores = np.array([0.9, 0.8, np.nan, 0.25, np.nan, 0.75])
    recent = recent_of()
    add(recent, scores, start=2)
    assert recent.counts.tolist() == [2]
    found = recent.last(0, np.array([np.nan, 0.5]), 9)
    np.testing.assert_allclose(found, [0.25, 0.75, 0.5], atol=1e-5)


def test_whole_numbers_stay_and_very_great_ones_are_the_greatest() -> None:
    recent = recent_of(whole=True)
    add(recent, np.array([0.0, 7.0, 999.0, 65_535.0, 1e6]))
    found = recent.last(0, np.array([3.0, 1e9]), 9)
    assert found.tolist() == [0, 7, 999, 65_535, 65_535, 3, 65_535]


def test_the_ends_of_ranks_are_kept() -> None:
    recent = recent_of()
    add(recent, np.array([0.0, 1.0, 1 - 1e-12]))
    assert recent.last(0, np.empty(0), 3).tolist() == [0, 1, 1]


def test_a_cleared_signal_begins_anew_and_the_others_stay() -> None:
    recent = Recent(np.array([False, False]))
    recent.add(np.full((2, 600), 0.25), np.zeros(2, dtype=np.int64))
    recent.clear(0)
    assert recent.counts.tolist() == [0, 600]
    assert len(recent.last(0, np.empty(0), 5)) == 0
    assert len(recent.last(1, np.empty(0), 600)) == ROOM


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 1_500), max_size=6))
def test_cuts_and_restores_change_nothing(cuts: list[int]) -> None:
    scores = np.random.default_rng(2).random(1_500)
    scores[::7] = np.nan
    whole, parts = recent_of(), recent_of()
    add(whole, scores)
    for start, stop in itertools.pairwise([0, *sorted(cuts), 1_500]):
        add(parts, scores[start:stop])
        restored = recent_of()
        restored.restore(parts.snapshot())
        parts = restored
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


def test_one_kilobyte_a_signal() -> None:
    assert Recent(np.zeros(10, dtype=np.bool_)).scores.nbytes == 10 * 1_024
