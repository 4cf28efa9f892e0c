import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.signals.marks import STRIDE, Marks
from tests.batches import SECOND, START, batch

_SIZE = 20_000
_BATCH = batch({"x": [0.0] * _SIZE}, first=1_000)
_VALUES = np.zeros((2, _SIZE))
_VALUES[1, ::2] = np.nan


def test_onset_holds_the_values_asked_for() -> None:
    marks = Marks(2)
    marks.add(_BATCH, _VALUES, 0, _SIZE)
    onset = marks.onset(0, _SIZE - 300, _SIZE - 100, alarm_at=0)
    first, last = onset.offsets["predictions"][0]
    assert 1_000 + _SIZE - 300 - STRIDE <= first <= 1_000 + _SIZE - 300
    assert 1_000 + _SIZE - 100 <= last < 1_000 + _SIZE - 100 + STRIDE
    assert onset.earliest <= START + (1_000 + _SIZE - 300) * SECOND
    assert onset.latest >= START + (1_000 + _SIZE - 100) * SECOND


def test_values_are_counted_by_signal() -> None:
    marks = Marks(2)
    marks.add(_BATCH, _VALUES, 0, _SIZE)
    assert marks.position(1) == _SIZE // 2
    onset = marks.onset(1, _SIZE // 2 - 100, _SIZE // 2 - 1, alarm_at=77)
    first, last = onset.offsets["predictions"][0]
    assert first <= 1_000 + _SIZE - 200 < last
    assert onset.latest == 77


def test_the_far_past_is_known_coarsely() -> None:
    marks = Marks(2)
    marks.add(_BATCH, _VALUES, 0, _SIZE)
    onset = marks.onset(0, 0, 10, alarm_at=0)
    assert onset.offsets["predictions"][0][0] == 1_000
    assert onset.earliest == START + 1_000 * SECOND


@given(st.lists(st.integers(0, _SIZE), max_size=6))
def test_cuts_and_restores_change_nothing(cuts: list[int]) -> None:
    whole, parts = Marks(2), Marks(2)
    whole.add(_BATCH, _VALUES, 0, _SIZE)
    bounds = [0, *sorted(cuts), _SIZE]
    for start, stop in itertools.pairwise(bounds):
        parts.add(_BATCH, _VALUES, start, stop)
        restored = Marks(2)
        restored.restore(parts.snapshot())
        parts = restored
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
