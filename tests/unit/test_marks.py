import itertools
import timeit
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.records import Batch, Partition
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


def _dealt(partitions: int) -> Batch:
    """The same events over several partitions, the last of which has none."""
    dealt = np.random.default_rng(7).integers(0, partitions - 1, _SIZE).astype(np.int32)
    names = tuple(Partition("predictions", number) for number in range(partitions))
    return replace(_BATCH, partitions=names, partition=dealt)


def test_onset_tells_the_offsets_of_every_partition_that_has_any() -> None:
    stream, marks = _dealt(4), Marks(2)
    marks.add(stream, _VALUES, 0, 1_000)
    offsets = marks.onset(0, 500, 700, alarm_at=0).offsets["predictions"]
    assert sorted(offsets) == [0, 1, 2]
    # Marks lie at multiples of STRIDE: 448 is the last up to 500, 704 the first behind 700.
    for number, (first, last) in offsets.items():
        mine = stream.offset[stream.partition == number]
        assert first == mine[mine < 1_000 + 448].max() + 1
        assert last == mine[mine < 1_000 + 704].max()
    assert marks.snapshot()["partitions"] == [["predictions", number] for number in range(3)]


def test_offsets_of_a_partition_that_comes_late_start_at_its_first() -> None:
    marks = Marks(2)
    marks.add(_BATCH, _VALUES, 0, 1_000)
    later = replace(_BATCH, partitions=(Partition("late", 3),))
    marks.add(later, _VALUES, 1_000, 2_000)
    assert marks.onset(0, 900, 1_900, alarm_at=0).offsets["late"][3][0] == 2_000


def test_many_partitions_cost_hardly_more_than_one() -> None:
    def seconds(stream: Batch) -> float:
        Marks(2).add(stream, _VALUES, 0, 1_000)
        return min(timeit.repeat(lambda: Marks(2).add(stream, _VALUES, 0, _SIZE), number=1))

    # A loop in Python takes eight times as long.
    assert seconds(_dealt(6)) < 4 * seconds(_BATCH)


@given(st.sampled_from([_BATCH, _dealt(5)]), st.lists(st.integers(0, _SIZE), max_size=6))
def test_cuts_and_restores_change_nothing(stream: Batch, cuts: list[int]) -> None:
    whole, parts = Marks(2), Marks(2)
    whole.add(stream, _VALUES, 0, _SIZE)
    bounds = [0, *sorted(cuts), _SIZE]
    for start, stop in itertools.pairwise(bounds):
        parts.add(stream, _VALUES, start, stop)
        restored = Marks(2)
        restored.restore(parts.snapshot())
        parts = restored
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
