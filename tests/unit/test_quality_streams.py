"""The evaluation's streams have the moments and the memory they are said to have."""

import numpy as np
import pytest

from loadtest.quality import changes, streams, structured
from loadtest.quality.changes import SHAPES, Change, draw_path
from loadtest.quality.streams import FIFTY, FIVE, Stream

_NULLS = {
    stream.name: stream
    for group in (
        streams.INDEPENDENT,
        streams.REMEMBERING,
        streams.MOVING,
        structured.ASKED,
        structured.BESIDES,
        structured.CALENDAR,
    )
    for stream in group.values()
}
_CHANGES = {
    change.name: change
    for change in (
        *changes.SHIFTS.values(),
        *changes.SPREADS.values(),
        *changes.TAILS.values(),
        *changes.SHAPES,
        *changes.MIXES,
        *changes.NEW_LEVELS,
        *changes.RATES,
        *changes.CHAINS,
        *changes.RISING,
        changes.BURSTING,
    )
}


@pytest.mark.parametrize("name", _NULLS)
def test_equal_generators_draw_equal_paths(name: str) -> None:
    first, second, other = (
        _NULLS[name].draw(np.random.default_rng(seed), 3_000) for seed in (1, 1, 2)
    )
    assert first.dtype == np.float64
    assert first.shape == (3_000,)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_numeric_streams_are_standardised(name: str) -> None:
    values = streams.INDEPENDENT[name].draw(np.random.default_rng(1), 200_000)
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)


def test_heavy_tails_are_of_standard_deviation_one() -> None:
    values = streams.student(5)(np.random.default_rng(1), 400_000)
    assert values.std() == pytest.approx(1, abs=0.02)
    laplace = streams.laplace(np.random.default_rng(1), 400_000)
    assert laplace.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "change", [shape for shape in SHAPES if "not kept" not in shape.name], ids=lambda one: one.name
)
def test_shapes_change_neither_mean_nor_spread(change: Change) -> None:
    random = np.random.default_rng(1)
    after = change.after(random, np.zeros(400_000))
    assert after.mean() == pytest.approx(0, abs=0.01)
    assert after.std() == pytest.approx(1, abs=0.06 if change.name.endswith("t3") else 0.01)


def test_a_hole_is_where_nothing_comes() -> None:
    values = changes.without_middle(0.2, rescaled=False)(np.random.default_rng(1), 50_000)
    assert np.abs(values).min() >= 0.2533
    assert np.abs(values).min() < 0.26


@pytest.mark.parametrize("shares", [FIVE, FIFTY], ids=["5", "50"])
@pytest.mark.parametrize("variation", [0.1, 0.2])
def test_moved_shares_are_so_far_apart(shares: np.ndarray, variation: float) -> None:
    for after in (
        changes.moved_to_one(shares, variation, 2),
        changes.spread_out(shares, variation),
    ):
        assert after.sum() == pytest.approx(1)
        assert after.min() > 0
        assert 0.5 * np.abs(after - shares).sum() == pytest.approx(variation)


def test_levels_come_in_their_shares() -> None:
    codes = streams.levels(FIVE)(np.random.default_rng(1), 100_000)
    assert np.bincount(codes.astype(int)) / 100_000 == pytest.approx(FIVE, abs=0.005)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_chain_has_its_rate_and_memory(memory: float) -> None:
    values = streams.chain(0.2, memory)(np.random.default_rng(1), 400_000)
    assert set(np.unique(values)) == {0.0, 1.0}
    assert values.mean() == pytest.approx(0.2, abs=0.01)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(memory, abs=0.01)


def test_hidden_bursts_are_clustered() -> None:
    values = _NULLS["0/1, hidden bursts .05/.5"].draw(np.random.default_rng(1), 400_000)
    assert values.mean() == pytest.approx(0.275, abs=0.02)
    assert np.corrcoef(values[:-50], values[50:])[0, 1] > 0.05


@pytest.mark.parametrize("memory", [0.5, 0.8, 0.95])
def test_autoregression_is_of_standard_deviation_one(memory: float) -> None:
    values = structured.autoregressive(memory)(np.random.default_rng(1), 400_000)
    assert values.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(memory, abs=0.01)


@pytest.mark.parametrize(
    "stream",
    [one for one in _NULLS.values() if one.innovations is not None],
    ids=lambda one: one.name,
)
def test_who_knows_the_structure_sees_the_noise(stream: Stream) -> None:
    path = stream.draw(np.random.default_rng(1), 20_000)
    assert stream.innovations is not None
    noise = stream.innovations(path)
    drawn = np.random.default_rng(1).standard_normal(20_000)
    assert noise == pytest.approx(drawn, abs=1e-9)


def test_moving_average_and_clustering() -> None:
    random = np.random.default_rng(1)
    values = structured.moving_average(10)(random, 200_000)
    assert values.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(values[:-5], values[5:])[0, 1] == pytest.approx(0.5, abs=0.05)
    clustered = structured.garch(0.1, 0.85)(random, 400_000)
    assert clustered.std() == pytest.approx(1, abs=0.05)
    sizes = clustered**2
    assert np.corrcoef(clustered[:-1], clustered[1:])[0, 1] == pytest.approx(0, abs=0.02)
    assert np.corrcoef(sizes[:-1], sizes[1:])[0, 1] > 0.1


def test_bursts_take_a_fifth_of_the_time() -> None:
    values = structured.bursts(np.random.default_rng(1), 400_000)
    assert values.var() == pytest.approx(0.8 + 0.2 * 9, abs=0.15)


def test_office_hours_are_a_third_of_five_days() -> None:
    levels = structured.office_hours(np.arange(structured.WEEK, dtype=np.float64))
    assert levels.sum() == 5 * 8 * 6
    assert not levels[5 * structured.DAY :].any()


def test_a_change_may_come_go_and_come_again() -> None:
    twice = changes.in_episodes(changes.shifted(1.0), 3, 4)
    moved = twice(np.random.default_rng(1), np.zeros(10))
    assert moved.tolist() == [1, 1, 1, 0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", _CHANGES)
def test_a_path_changes_where_it_says(name: str) -> None:
    change = _CHANGES[name]
    path = draw_path(change, np.random.default_rng(1), 100, 50, 200)
    again = draw_path(change, np.random.default_rng(1), 100, 50, 200)
    unchanged = draw_path(
        change._replace(after=lambda _, values: values), np.random.default_rng(1), 100, 50, 200
    )
    assert np.array_equal(path.whole, again.whole)
    assert 50 <= path.place <= 100
    assert len(path.reference) == 100
    assert len(path.values) == path.place + 200
    assert np.array_equal(path.values[: path.place], unchanged.values[: path.place])
    assert not np.array_equal(path.values, unchanged.values)
