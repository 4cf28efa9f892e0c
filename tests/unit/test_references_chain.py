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


@pytest.mark.parametrize("rates", [[0.1, 0.6], [0.3, 0.1], [0.1, 0.5, 0.2, 0.7]])
def test_another_rate_moves_the_chances_in_all_states_as_much(rates: list[float]) -> None:
    def chain(chances: Floats) -> Chain:
        counts = 1e7 * np.stack([1 - chances, chances], axis=1)
        return Chain(int(np.log2(len(chances))), counts, 0)

    def odds_of_ones(chances: Floats) -> float:
        flags = chained(chances.tolist(), 1, 400_000)
        return float(flags.mean() / (1 - flags.mean()))

    before = np.array(rates)
    by = chain(before).moved(np.array([1.0, 1.3, 1 / 1.3]))
    assert by[:, 0] == pytest.approx(1, abs=1e-6)
    odds = by * (before / (1 - before))[:, np.newaxis]
    after = odds / (1 + odds)
    for place, times in ((1, 1.3), (2, 1 / 1.3)):
        assert np.ptp(after[:, place] - before) < 1e-6
        assert odds_of_ones(after[:, place]) / odds_of_ones(before) == pytest.approx(
            times, rel=0.04
        )


def test_chances_are_moved_to_a_tenth_at_most() -> None:
    chain = Chain(1, np.array([[9_600.0, 400.0], [40.0, 2_460.0]]), 0)
    less = chain.moved(np.array([np.exp(-5)]))
    assert (less > 0.09).all()
    assert less[0, 0] < 0.1
