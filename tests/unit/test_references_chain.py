"""0/1 signals that remember become chains, where a chain explains what they do."""

import numpy as np
import pytest

from streamdrift.records import Floats
from streamdrift.references.chain import Chain, fit_chain, follow_states

SIZE = 10_000


def chained(rates: list[float], seed: int = 0, size: int = SIZE) -> Floats:
    """Return 0s and 1s whose chance of a 1 follows from the last values."""
    coins = np.random.default_rng(seed).random(size)
    found, state = np.empty(size), 0
    for i in range(size):
        found[i] = coins[i] < rates[state]
        state = (2 * state + int(found[i])) % len(rates)
    return found


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.01])
def test_independent_flags_make_no_chain(rate: float) -> None:
    found = [fit_chain(chained([rate], seed)) for seed in range(10)]
    assert found == [None] * 10


def test_the_last_value_decides() -> None:
    chain = fit_chain(chained([0.04, 0.84]))
    assert chain is not None
    assert chain.order == 1
    assert chain.rates == pytest.approx([0.04, 0.84], abs=0.03)
    assert chain.counts.sum() == SIZE - 4


def test_the_last_two_values_decide() -> None:
    chain = fit_chain(chained([0.1, 0.6, 0.3, 0.9]))
    assert chain is not None
    assert chain.order == 2
    assert chain.rates == pytest.approx([0.1, 0.6, 0.3, 0.9], abs=0.05)


def test_what_something_hidden_switches_is_no_chain() -> None:
    random = np.random.default_rng(1)
    busy = np.repeat(random.random(SIZE // 200) < 0.3, 200)
    flags: Floats = (random.random(SIZE) < np.where(busy, 0.5, 0.1)).astype(np.float64)
    assert fit_chain(flags) is None


def test_a_state_that_is_hardly_ever_seen_is_not_learnt() -> None:
    # Two 1s in a row are seen about 20 times.
    chain = fit_chain(chained([0.04, 0.05, 0.9, 0.05], size=2_000))
    assert chain is None or chain.order <= 1


@pytest.mark.parametrize(
    "flags", [np.zeros(SIZE), np.ones(SIZE), np.zeros(0), chained([0.1, 0.9])[:499]]
)
def test_too_little_is_known_for_a_chain(flags: Floats) -> None:
    assert fit_chain(flags) is None


def test_missing_values_take_no_part() -> None:
    flags = chained([0.1, 0.8])
    holes = np.insert(flags, [0, 77, 500], np.nan)
    chain, same = fit_chain(holes), fit_chain(flags)
    assert chain is not None
    assert same is not None
    assert chain.counts.tolist() == same.counts.tolist()
    assert chain.state == same.state


def test_states_are_the_last_values_however_the_input_is_cut() -> None:
    flags = np.array([1.0, 0.0, np.nan, 1.0, 1.0, 0.0])
    states = np.empty(6, dtype=np.int64)
    assert follow_states(2, 0, flags, 0, 6, states) == 0b10
    assert states.tolist() == [0b00, 0b01, -1, 0b10, 0b01, 0b11]
    parts = np.empty(6, dtype=np.int64)
    between = follow_states(2, 0, flags, 0, 3, parts)
    assert follow_states(2, between, flags, 3, 6, parts) == 0b10
    assert parts.tolist() == states.tolist()


def test_a_chain_goes_on_from_its_snapshot() -> None:
    chain = fit_chain(chained([0.1, 0.8]))
    assert chain is not None
    again = Chain.restore(dict(chain.snapshot()))
    assert (again.order, again.state) == (chain.order, chain.state)
    assert again.counts.tobytes() == chain.counts.tobytes()
