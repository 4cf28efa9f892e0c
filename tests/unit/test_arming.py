"""Evidence counts as far as the reference's ranks are independent."""

import numpy as np
import pytest

from streamdrift.detectors.arming import arm, discount, ranks_within, replay, weights_of
from streamdrift.detectors.mixture import FACTORS, FORMS, POWERS, WEIGHTS, Form
from streamdrift.records import Floats
from streamdrift.references import Code, Fitted, Front, fit

SIZE = 10_000
NOTHING = Fitted(0, np.empty(0), None, ())
SOMETHING = Fitted(0, np.empty(0), Front(np.empty(0), np.empty(0)), (), found=True)
CLUSTERED = Fitted(0, np.empty(0), Front(np.empty(0), np.empty(0)), (), 100.0, found=True)


def noise(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(SIZE)


def remembering(weight: float, seed: int) -> Floats:
    fresh, found, last = noise(seed), np.empty(SIZE), 0.0
    for i in range(SIZE):
        last = weight * last + (1 - weight**2) ** 0.5 * fresh[i]
        found[i] = last
    return found


def test_ranks_within_are_even_and_in_the_order_of_values() -> None:
    values = noise(0)
    ranks = ranks_within(values, 1)
    assert (np.diff(ranks[np.argsort(values)]) > 0).all()
    assert (np.floor(np.sort(ranks) * SIZE) == np.arange(SIZE)).all()


def test_equal_values_fall_at_random_among_their_ranks() -> None:
    ranks = ranks_within(np.repeat([1.0, 0.0], SIZE // 2), 1)
    assert ranks[: SIZE // 2].min() >= 0.5
    assert abs(np.corrcoef(ranks[: SIZE // 2], np.arange(SIZE // 2))[0, 1]) < 0.05


def test_independent_ranks_are_hardly_discounted() -> None:
    powers = [discount(ranks_within(noise(seed), 0), WEIGHTS) for seed in range(10)]
    assert max(powers) <= 2


def test_the_more_memory_is_left_the_less_evidence_counts() -> None:
    powers = [
        discount(ranks_within(remembering(weight, 1), 0), WEIGHTS) for weight in (0.0, 0.3, 0.6)
    ]
    assert powers[0] < powers[1] < powers[2]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_found_nothing_discounted(seed: int) -> None:
    armed = arm(noise(seed), NOTHING)
    assert armed.power == 0
    assert not armed.loud
    assert armed.findings == ()


def test_dependence_that_no_front_took_off_is_discounted_until_the_replay_is_quiet() -> None:
    values = remembering(0.6, 2)
    armed = arm(values, SOMETHING)
    assert armed.power > 6
    assert armed.loud
    assert {finding.code for finding in armed.findings} == {Code.DISCOUNTED, Code.NOT_ASSURED}
    counts = replay(ranks_within(values, 0), armed.power, weights_of(True))
    assert counts[0] <= 12
    assert counts[1] <= 2
    assert counts[2] == 0
    before = replay(ranks_within(values, 0), 0, weights_of(True))
    assert before[1] > 10


def test_what_stays_loud_at_the_lowest_power_is_said() -> None:
    armed = arm(np.repeat([0.0, 1.0, 2.0, 3.0], 5_000) + np.tile(noise(0), 2) / 10, SOMETHING)
    assert armed.power == POWERS - 1
    assert armed.loud


def test_clustered_size_costs_a_step() -> None:
    assert arm(noise(1), CLUSTERED).power >= 3


def test_what_is_not_a_number_takes_no_part() -> None:
    values = noise(3)
    holes = np.insert(values, [10, 500], [np.nan, np.inf])
    assert arm(holes, SOMETHING) == arm(values, SOMETHING)


@pytest.mark.parametrize("values", [np.zeros(SIZE), np.arange(50.0), np.full(SIZE, np.nan)])
def test_a_constant_or_tiny_reference_is_armed_as_it_is(values: Floats) -> None:
    assert arm(values, NOTHING).power == 0


def test_a_front_and_its_arming_leave_independent_ranks() -> None:
    fitted = fit(remembering(0.5, 4))
    assert arm(fitted.residuals, fitted).power <= 3


def test_weights_sum_to_one_and_the_slightest_shift_weighs_more_where_something_was_found() -> None:
    usual, found = weights_of(False), weights_of(True)
    assert usual is WEIGHTS
    assert found.sum() == pytest.approx(1, abs=1e-6)
    changed = np.flatnonzero(found / usual > 1.5)
    assert [FORMS[place] for place in changed] == [Form.LEVEL, Form.LEVEL]
    assert (FACTORS[:, changed].max(axis=0) < 2).all()
