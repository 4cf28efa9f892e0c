"""The fronts of many signals leave what each of them leaves by itself."""

import copy

import numpy as np
import pytest

from streamdrift.records import Floats, Ints
from streamdrift.references.front import Front, fit
from streamdrift.references.fronts import Fronts
from streamdrift.references.slow import Given

SIZE = 200
START: Ints = np.array([0, 10, 0, 50])
TIMES: Ints = np.arange(SIZE) * 1_000_000


def memory(size: int, seed: int) -> Floats:
    values = np.random.default_rng(seed).normal(size=size)
    for i in range(1, size):
        values[i] += 0.8 * values[i - 1]
    return values


def cycle(size: int, seed: int) -> Floats:
    noise = np.random.default_rng(seed).normal(size=size)
    return np.sin(np.arange(size) / 30) + noise


def found(values: Floats, given: Given | None = None) -> Front:
    front = fit(values, given=given).front
    assert front is not None
    return front


OF_MEMORY, OF_CYCLE = found(memory(3_000, 1)), found(cycle(3_000, 2))
SLOW = found(memory(3_000, 3), Given(0.001))
SLOW_ONLY = found(np.random.default_rng(3).normal(size=3_000), Given(0.001))
ALL = {0: OF_MEMORY, 1: OF_CYCLE, 2: SLOW, 3: SLOW_ONLY}
VALUES = np.stack([memory(SIZE, 4), cycle(SIZE, 5), memory(SIZE, 6), memory(SIZE, 7)])
VALUES[:, ::17] = np.nan


def fronts_of(fronts: dict[int, Front]) -> Fronts:
    made = Fronts(4)
    for signal, front in fronts.items():
        made.put(signal, front.copy())
    return made


def follow(fronts: Fronts, signals: tuple[int, ...] = (0, 1, 2, 3)) -> Floats:
    out = VALUES.copy()
    fronts.follow(np.array(signals), VALUES, TIMES, START, out)
    return out


def test_there_are_fronts_of_one_stage_of_the_other_and_of_both() -> None:
    stages = [(front.slow[0] > 0, front.slow[0] < len(front.parameters)) for front in ALL.values()]
    assert stages == [(False, True), (False, True), (True, True), (True, False)]


def test_all_are_followed_as_each_by_itself() -> None:
    fronts = fronts_of(ALL)
    for _ in range(2):
        follow(fronts)
    left = follow(fronts)
    for signal, front in ALL.items():
        alone = front.copy()
        for _ in range(2):
            alone.follow(VALUES[signal], TIMES, int(START[signal]))
        start = int(START[signal])
        expected = alone.follow(VALUES[signal], TIMES, start)
        np.testing.assert_array_equal(left[signal, start:], expected)
        np.testing.assert_array_equal(left[signal, :start], VALUES[signal, :start])
        moved = fronts.of(signal)
        assert moved is not None
        np.testing.assert_array_equal(moved.state, alone.state)


def test_some_are_followed_and_the_others_stay() -> None:
    fronts = fronts_of({0: OF_MEMORY, 2: SLOW})
    left = follow(fronts, (2,))
    np.testing.assert_array_equal(left[0], VALUES[0])
    assert fronts.there.tolist() == [True, False, True, False]
    assert fronts.of(1) is None
    stayed, moved = fronts.of(0), fronts.of(2)
    assert stayed is not None
    assert moved is not None
    np.testing.assert_array_equal(stayed.state, OF_MEMORY.state)
    assert (moved.state != SLOW.state).any()


def test_one_goes_back_to_where_it_was() -> None:
    fronts = fronts_of(ALL)
    follow(fronts)
    before = fronts.states()
    first = follow(fronts)
    for signal in (3, 1):
        fronts.go_back(signal, before)
    again = follow(fronts)
    for signal in (1, 3):
        np.testing.assert_array_equal(again[signal], first[signal])
    assert (again[0, 100:] != first[0, 100:]).any()


@pytest.mark.parametrize("other", [None, OF_CYCLE])
def test_another_one_is_put_and_the_rest_goes_on(other: Front | None) -> None:
    fronts, untouched = fronts_of(ALL), fronts_of(ALL)
    follow(fronts)
    follow(untouched)
    fronts.put(0, None if other is None else other.copy())
    signals = (1, 2, 3) if other is None else (0, 1, 2, 3)
    left, expected = follow(fronts, signals), follow(untouched)
    np.testing.assert_array_equal(left[1:], expected[1:])
    alone = VALUES[0] if other is None else other.copy().follow(VALUES[0], TIMES)
    np.testing.assert_array_equal(left[0], alone)


def test_copies_and_what_was_restored_go_on_by_themselves() -> None:
    fronts = fronts_of(ALL)
    follow(fronts)
    restored, copied = fronts_of(ALL), copy.deepcopy(fronts)
    restored.restore(fronts.snapshot())
    expected = follow(fronts)
    follow(fronts)
    for other in (restored, copied):
        np.testing.assert_array_equal(follow(other), expected)
        front = other.of(0)
        assert front is not None
        begin = len(front.state)
        np.testing.assert_array_equal(other.states()[:begin], front.state)


def test_the_given_fronts_stay_as_they_are() -> None:
    before = OF_MEMORY.state.copy()
    follow(fronts_of(ALL))
    np.testing.assert_array_equal(OF_MEMORY.state, before)
