from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.records import Floats, Kind
from streamdrift.sketches.levels import Levels
from streamdrift.sketches.ranks import Cells, fill_ranks


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.lognormal(sigma=2, size=n),
        lambda rng, n: rng.poisson(2, size=n).astype(float),
        lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.exponential(size=n)),
        lambda rng, n: (rng.random(n) < 0.1).astype(float),
        lambda rng, n: np.full(n, 7.0),
    ],
    ids=["normal", "lognormal", "poisson", "half zeros", "rare ones", "constant"],
)
def test_ranks_of_the_references_own_distribution_are_uniform(
    draw: Callable[[np.random.Generator, int], Floats],
) -> None:
    rng = np.random.default_rng(1)
    cells = Cells.of(draw(rng, 10_000))
    values = draw(rng, 50_000)
    ranks, spreads = np.empty(50_000), np.empty(50_000)
    kinds = np.full(50_000, Kind.NUMBER, dtype=np.uint8)
    seen = fill_ranks(
        kinds, Kind.NUMBER, values, cells.edges, cells.cumulative, 5, 0, ranks, spreads
    )
    assert seen == 50_000
    counts = np.histogram(ranks, bins=10, range=(0, 1))[0] / 50_000
    assert np.abs(counts - 0.1).max() < 0.015
    assert abs(spreads.mean() - 0.5) < 0.01


def test_cells_of_other_kinds_are_no_values_and_take_no_ordinal() -> None:
    cells = Cells.of(np.arange(100.0))
    ranks = np.empty(3)
    kinds = np.array([Kind.NUMBER, Kind.STRING, Kind.NULL], dtype=np.uint8)
    numbers = np.array([5.0, np.nan, np.nan])
    seen = fill_ranks(
        kinds, Kind.NUMBER, numbers, cells.edges, cells.cumulative, 5, 10, ranks, ranks[:0]
    )
    assert seen == 11
    assert np.isnan(ranks).tolist() == [False, True, True]


@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=300),
    st.lists(st.floats(allow_nan=False), min_size=2, max_size=20),
)
def test_ranks_follow_the_order_of_values(reference: list[float], values: list[float]) -> None:
    cells = Cells.of(np.array(reference))
    ranks = np.empty(1)
    kinds = np.full(1, Kind.NUMBER, dtype=np.uint8)
    previous = 0.0
    for value in sorted(values):
        # The same ordinal, so the same coin for each.
        fill_ranks(
            kinds,
            Kind.NUMBER,
            np.array([value]),
            cells.edges,
            cells.cumulative,
            5,
            0,
            ranks,
            ranks[:0],
        )
        assert previous <= ranks[0] <= 1
        previous = float(ranks[0])


def test_quantiles_are_values_of_the_reference() -> None:
    cells = Cells.of(np.random.default_rng(2).normal(100, 15, 10_000))
    assert cells.quantile(0.5) == pytest.approx(100, abs=1)
    assert cells.quantile(0.95) == pytest.approx(100 + 1.645 * 15, abs=2)


def test_levels_are_ranked_by_surprisal_and_leave_room_for_the_unseen() -> None:
    levels = Levels.of(np.array([1] * 70 + [0] * 29 + [2], dtype=np.int32), ("b", "a", "c", "d"))
    assert levels.names == ("a", "b", "c")
    assert levels.share(0) == pytest.approx(70 / 101)
    assert levels.unseen == pytest.approx(1 / 101)
