"""From values to the scores that detectors see."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors.bank import Expected
from streamdrift.detectors.block import Block, new_block
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.looks import NO_LOOKS
from streamdrift.detectors.scoring import Copies, Scoring, urn_at
from streamdrift.records import Floats, Sample, Stream
from streamdrift.references.binning import NOTHING
from streamdrift.references.counts import Counts

RNG = np.random.default_rng(1)
NUMERIC = Reference(Expected(Stream.NUMERIC), Counts.of(RNG.normal(size=800)))
RATE = Reference(Expected.of_rate(80, 20))
CATEGORY = Reference(Expected(Stream.CATEGORY, counts=np.array([600.0, 300, 99, 1])))


def memory(size: int, seed: int) -> Floats:
    values = np.random.default_rng(seed).normal(size=size)
    for i in range(1, size):
        values[i] += 0.8 * values[i - 1]
    return values


FRONTED = learn(Sample(Stream.NUMERIC, memory(3_000, 1)))
ALL = (NUMERIC, RATE, CATEGORY, FRONTED)


def values_of(size: int, seed: int, holes: float = 0.0) -> Floats:
    rng = np.random.default_rng(seed)
    values = np.stack(
        [
            rng.normal(size=size),
            (rng.random(size) < 0.2).astype(float),
            rng.choice(5, size, p=[0.59, 0.3, 0.09, 0.01, 0.01]).astype(float),
            memory(size, seed + 50),
        ]
    )
    values[rng.random(values.shape) < holes] = np.nan
    return values


def block_of(values: Floats) -> Block:
    return new_block(
        values, np.zeros(values.shape[1], dtype=np.int64), NO_LOOKS, range(len(values))
    )


def scored(scoring: Scoring, values: Floats) -> tuple[Block, Copies]:
    block = block_of(values)
    return block, scoring.score(block, np.arange(4), np.zeros(4, dtype=np.int64))


def score(scoring: Scoring, values: Floats) -> Floats:
    return scored(scoring, values)[0].scores


def test_ranks_are_uniform_rates_stay_and_levels_are_ranked_by_surprisal() -> None:
    values = values_of(6_000, 2)
    scores = score(Scoring(ALL, [5, 6, 7, 8]), values)
    for row in (0, 2, 3):
        shares = np.histogram(scores[row], bins=10, range=(0, 1))[0] / 6_000
        assert np.abs(shares - 0.1).max() < 0.025
    assert scores[1].tolist() == values[1].tolist()
    by_level = [scores[2, values[2] == level] for level in range(5)]
    for common, rarer in itertools.pairwise(by_level):
        assert common.max() <= rarer.min()
    assert FRONTED.front is not None
    assert abs(np.corrcoef(scores[3, 1:], scores[3, :-1])[0, 1]) < 0.05
    assert abs(np.corrcoef(scores[3], scores[0])[0, 1]) < 0.05


def test_other_seeds_are_other_coins_and_the_same_order() -> None:
    values = values_of(500, 3)
    one, two = score(Scoring(ALL, [1, 1, 1, 1]), values), score(Scoring(ALL, [2, 2, 2, 2]), values)
    assert (one[0] != two[0]).any()
    assert (one[2] != two[2]).any()
    assert np.abs(one[0] - two[0]).max() < 0.1
    assert one[1].tolist() == two[1].tolist()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=5))
def test_cuts_and_restores_change_nothing(cuts: list[int]) -> None:
    values = values_of(900, 4, holes=0.2)
    whole, parts = Scoring(ALL, [1, 2, 3, 4]), Scoring(ALL, [1, 2, 3, 4])
    expected = score(whole, values)
    found = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), 900]):
        found.append(score(parts, np.ascontiguousarray(values[:, start:stop])))
        restored = Scoring(ALL, [1, 2, 3, 4])
        restored.restore(parts.snapshot())
        parts = restored
    np.testing.assert_array_equal(np.concatenate(found, axis=1), expected)
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


@pytest.mark.parametrize("signal", range(4))
def test_going_back_is_as_if_no_more_had_been_scored(signal: int) -> None:
    values = values_of(400, 5, holes=0.1)
    back, short = Scoring(ALL, [1, 2, 3, 4]), Scoring(ALL, [1, 2, 3, 4])
    _, copies = scored(back, values)
    back.go_back(signal, copies, 150)
    stopped = values.copy()
    stopped[signal, 150:] = np.nan
    score(short, stopped)
    after = values_of(100, 6)
    np.testing.assert_array_equal(score(back, after)[signal], score(short, after)[signal])


def test_cells_of_codes_are_those_of_their_values() -> None:
    values = values_of(300, 7)
    scoring = Scoring(ALL, [1, 2, 3, 4])
    block, _ = scored(scoring, values)
    times = np.zeros(300, dtype=np.int64)
    for signal in (0, 1, 2):
        cells = scoring.cells(signal, values, times, 0)
        assert scoring.cells_of_codes(signal, block.codes[signal]).tolist() == cells.tolist()
    assert scoring.cells(2, np.full((4, 2), 9.0), times[:2], 0).tolist() == [4, 4]
    assert scoring.cells(1, np.full((4, 2), np.nan), times[:2], 0).tolist() == [-1, -1]


def test_codes_of_rates_and_levels_are_what_they_are() -> None:
    values = np.zeros((4, 4))
    values[1] = [0.0, 1.0, np.nan, 1.0]
    values[2] = [3.0, 999.0, 1e9, np.nan]
    block, _ = scored(Scoring(ALL, [1, 2, 3, 4]), values)
    assert block.codes[1].tolist() == [0, 1, NOTHING, 1]
    assert block.codes[2].tolist() == [3, 999, NOTHING - 1, NOTHING]


@pytest.mark.parametrize("signal", [0, 3])
def test_ranks_are_known_again_by_their_codes(signal: int) -> None:
    scoring = Scoring(ALL, [1, 2, 3, 4])
    score(scoring, values_of(100, 8))
    block, copies = scored(scoring, values_of(300, 9))
    codes, ranks = block.codes[signal], block.scores[signal]
    assert scoring.urn(signal).ranks_of_last(codes).tolist() == ranks.tolist()
    assert (
        urn_at(signal, copies, 120).ranks_of_last(codes[20:120]).tolist() == ranks[20:120].tolist()
    )
    scoring.go_back(signal, copies, 120)
    assert scoring.urn(signal).ranks_of_last(codes[:120]).tolist() == ranks[:120].tolist()


def test_a_held_signal_learns_nothing_and_its_front_goes_on() -> None:
    scoring, values = Scoring(ALL, [1, 2, 3, 4]), values_of(200, 8)
    times = np.zeros(200, dtype=np.int64)
    before = scoring.snapshot()
    state = scoring.front_state(3)
    for signal in range(3):
        scoring.cells(signal, values, times, 0)
    np.testing.assert_equal(scoring.snapshot(), before)
    scoring.cells(3, values, times, 0)
    assert state is not None
    moved = scoring.front_state(3)
    assert moved is not None
    assert (moved != state).any()
    scoring.follow_to(3, state, values, times, 0, 200)
    np.testing.assert_array_equal(scoring.front_state(3), moved)
    assert scoring.front_state(0) is None


def test_what_a_change_was_counted_as_is_forgotten() -> None:
    scoring, values = Scoring(ALL, [1, 2, 3, 4]), values_of(60, 9)
    before = scoring.in_cells(0)
    values[0] += 2
    block, _ = scored(scoring, values)
    assert scoring.in_cells(0).sum() == before.sum() + 60
    scoring.forget(0, block.codes[0])
    assert scoring.in_cells(0).tolist() == before.tolist()
    scoring.forget(1, block.codes[1])


def test_a_signal_is_held_against_another_reference() -> None:
    scoring = Scoring(ALL, [1, 2, 3, 4])
    scoring.learn(0, Reference(Expected(Stream.NUMERIC), Counts.of(np.arange(100.0) + 50)))
    scoring.learn(2, Reference(Expected(Stream.CATEGORY, counts=np.array([5.0, 5.0]))))
    scoring.learn(3, NUMERIC)
    scores = score(scoring, values_of(50, 10))
    assert scores[0].max() < 0.4
    assert scoring.cells(2, np.full((4, 1), 2.0), np.zeros(1, dtype=np.int64), 0).tolist() == [2]
    assert scoring.front_state(3) is None
