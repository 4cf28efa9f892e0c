"""How large a change is: what is known of it, and what nobody can know."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from streamdrift.changes import Effect, Estimate
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.e_detector import EDetectorBank
from streamdrift.detectors.effect import _between_normals, effect_of
from streamdrift.detectors.onset import Span, span_of
from streamdrift.records import Floats, Stream
from streamdrift.references.urn import Tails

NUMBERS = Expected(Stream.NUMERIC)
ERF = np.vectorize(math.erf)


def ranks_of(values: Floats) -> Floats:
    """Return the ranks of values in a standard normal distribution."""
    found: Floats = (1 + ERF(values / math.sqrt(2))) / 2
    return found


def gap(shift: float, spread: float) -> float:
    """Return the total variation of a normal distribution from the standard one."""
    grid = np.linspace(-30, 30, 600_001)
    densities = [
        np.exp(-(((grid - mean) / deviation) ** 2) / 2) / deviation
        for mean, deviation in ((0.0, 1.0), (shift, spread))
    ]
    scale = (grid[1] - grid[0]) / math.sqrt(2 * math.pi)
    return float(np.abs(densities[1] - densities[0]).sum() * scale) / 2


def of_all(expected: Expected, scores: Floats) -> Effect:
    """Return the effect where all scores are known to be since the change."""
    return effect_of(expected, scores, Span(*[len(scores)] * 4))


def ranks(shift: float, spread: float, size: int, seed: int) -> Floats:
    return ranks_of(np.random.default_rng(seed).normal(shift, spread, size))


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.low <= truth <= estimate.high


CHANGES = [(0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (-2.0, 1.0), (0.0, 1.5), (0.0, 0.5), (0.5, 2.0)]


@pytest.mark.parametrize(("shift", "spread"), CHANGES)
def test_effects_of_numbers_are_what_was_done_to_them(shift: float, spread: float) -> None:
    held, values = [], []
    truths = (shift, spread, gap(shift, spread))
    for seed in range(100):
        effect = of_all(NUMBERS, ranks(shift, spread, 100, seed))
        figures = (effect.shift, effect.spread, effect.variation)
        held.append([holds(each, truth) for each, truth in zip(figures, truths, strict=True)])
        values.append([each.value for each in figures])
    assert (np.mean(held, axis=0) >= 0.93).all()
    # Ranks end somewhere: of what is twice as wide a little is beyond.
    assert np.median(values, axis=0)[:2] == pytest.approx((shift, spread), abs=0.1 * spread)
    # Chance alone is some total variation: that of none at all is seen as a little.
    assert np.median(values, axis=0)[2] == pytest.approx(truths[2], abs=0.1)


@pytest.mark.parametrize(
    ("shift", "spread"), [(0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, 1.5), (0.0, 0.5)]
)
def test_what_an_alarm_says_holds_the_truth(shift: float, spread: float) -> None:
    # 100 alarms; seen from the alarm on where the change began is not known, and the values are
    # those that raised it.
    slots, before, events = 100, 300, 1_500
    rng = np.random.default_rng(7)
    values = ranks_of(rng.normal(shift, spread, (slots, events)))
    values[:, :before] = rng.random((slots, before))
    bank = EDetectorBank([NUMBERS] * slots, np.full(slots, 1e5))
    alarms = bank.update(values, np.arange(slots), np.zeros(slots, dtype=np.int64))
    held, begun = [], []
    for slot, alarm in enumerate(alarms.tolist()):
        if not before <= alarm < events:
            continue
        evidence = bank.evidence(slot)
        last = values[slot, : alarm + 1][-320:]
        span = span_of(NUMBERS, last, evidence, alarm + 1)
        effect = effect_of(NUMBERS, last, span)
        held.append([holds(effect.shift, shift), holds(effect.spread, spread)])
        begun.append(span.least <= alarm - before + 1 <= span.most)
    assert len(held) >= 98
    assert (np.mean(held, axis=0) >= 0.9).all()
    assert np.mean(begun) >= 0.95


def ended(values: Floats, end: float) -> Effect:
    """Return the effect where the reference ends `end` standard deviations from its middle."""
    edge = NormalDist().cdf(end)
    ranks = np.clip(ranks_of(values), 1 - edge, edge)
    tails = Tails(values < -end, values > end, 1 - edge, edge)
    return effect_of(NUMBERS, ranks, Span(*[len(values)] * 4), tails)


@pytest.mark.parametrize(
    ("shift", "spread", "size"),
    [(2, 1, 30), (3, 1, 10), (3, 1, 100), (-5, 1, 200), (4, 0.5, 30), (0, 5, 30), (1, 8, 300)],
)
def test_what_lies_where_the_reference_ends_counts_as_beyond(
    shift: float, spread: float, size: int
) -> None:
    held, values = [], []
    for seed in range(100):
        drawn = np.random.default_rng(seed).normal(shift, spread, size)
        effect = ended(drawn, 3.4)
        held.append([holds(effect.shift, shift), holds(effect.spread, spread)])
        values.append([effect.shift.value, effect.spread.value])
    assert (np.mean(held, axis=0) >= 0.95).all()
    if size >= 100:
        assert np.median(values, axis=0) == pytest.approx((shift, spread), rel=0.15)


def test_what_lies_all_beyond_the_reference_is_at_least_that_far() -> None:
    above, below = ended(np.full(9, 20.0), 3.4), ended(np.full(9, -20.0), 3.4)
    assert above.shift.value == pytest.approx(3.4) == -below.shift.value
    assert 2 < above.shift.low < 3.4
    assert (above.shift.high, below.shift.low) == (math.inf, -math.inf)
    assert above.shift.low == -below.shift.high
    for effect in (above, below):
        assert effect.spread == Estimate(1, 0, math.inf)
        assert effect.variation.value > 0.9
    both = ended(np.array([20.0, -20.0] * 5), 3.4)
    assert both.shift == Estimate(0, -math.inf, math.inf)
    assert both.spread.value > 3
    assert both.spread.high == math.inf


def test_the_reference_of_a_rate_is_known_as_well_as_it_is_long() -> None:
    for size in (100, 10_000):
        effect = of_all(Expected.of_rate(size, 0), np.ones(5))
        assert effect.variation.high == 1
        assert effect.variation.low < effect.variation.value < 1
    few, many = (of_all(Expected.of_rate(8 * k, 2 * k), np.ones(50)).variation for k in (5, 500))
    assert few.low < many.low < many.high < few.high


def test_a_rate_is_that_of_the_mean_beginning_and_holds_that_of_the_likeliest() -> None:
    expected = Expected.of_rate(900, 100)
    scores = np.append(np.zeros(100), np.ones(10))
    likeliest = effect_of(expected, scores, Span(9, 10, 40, 10)).shift
    mean = effect_of(expected, scores, Span(9, 10, 40, 20)).shift
    assert expected.mean + mean.value * expected.scale == pytest.approx(0.5)
    assert mean.low < likeliest.low < mean.high == likeliest.high


def test_one_level_among_many_is_compared_where_it_became_common() -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    effect = of_all(Expected(Stream.CATEGORY, counts=1e4 * shares), np.full(12, 3.0))
    assert holds(effect.variation, 0.9)
    assert effect.variation.value > 0.8


def test_no_change_is_no_effect_with_intervals_that_shrink() -> None:
    few, many = (of_all(NUMBERS, ranks(0, 1, size, 6)) for size in (50, 500))
    for effect in (few, many):
        assert holds(effect.shift, 0)
        assert holds(effect.spread, 1)
        assert effect.variation.low == 0
    assert many.shift.high - many.shift.low < 0.4 * (few.shift.high - few.shift.low)
    assert abs(many.shift.value) < 0.15
    assert many.variation.value < 0.12


def test_discounted_evidence_has_wider_intervals() -> None:
    scores = ranks(1, 1, 60, 3)
    plain, wider = of_all(NUMBERS, scores), of_all(Expected(Stream.NUMERIC, power=12), scores)
    assert wider.shift.value == plain.shift.value
    reach = plain.shift.high - plain.shift.value
    assert wider.shift.high - wider.shift.value == pytest.approx(2 * reach)
    assert wider.spread.high / wider.spread.value > plain.spread.high / plain.spread.value


@pytest.mark.parametrize("stream", list(Stream))
def test_without_a_score_there_is_no_effect(stream: Stream) -> None:
    effect = effect_of(Expected(stream), np.empty(0), Span(1, 1, 1, 1))
    assert effect == Effect(Estimate(0, 0, 0), Estimate(1, 1, 1), Estimate(0, 0, 0))
    assert effect.size == 0


@pytest.mark.parametrize("rank", [0.0, 0.5, 1.0])
def test_one_value_says_little(rank: float) -> None:
    effect = of_all(NUMBERS, np.array([rank]))
    for estimate in (effect.shift, effect.spread, effect.variation):
        assert np.isfinite(estimate).all()
        assert estimate.low <= estimate.value <= estimate.high
    assert effect.shift.high - effect.shift.low > 3
    assert effect.spread.low > 0
    assert effect.variation.high == 1


def test_a_value_that_never_moves_has_hardly_any_spread() -> None:
    effect = of_all(NUMBERS, np.full(300, 0.3))
    assert effect.shift.value == pytest.approx(NormalDist().inv_cdf(0.3), abs=1e-3)
    assert effect.shift.low < effect.shift.value < effect.shift.high
    assert 0 < effect.spread.value < 0.1
    assert effect.variation.value > 0.8


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.3), (0.2, 0.1), (0.01, 0.03), (0.5, 0.5)])
def test_effects_of_rates_are_what_was_done_to_them(before: float, after: float) -> None:
    expected = Expected.of_rate(10_000 * (1 - before), 10_000 * before)
    held = []
    for seed in range(100):
        scores = (np.random.default_rng(seed).random(400) < after).astype(float)
        effect = of_all(expected, scores)
        assert effect.spread == Estimate(1, 1, 1)
        shift = (after - before) / np.sqrt(before * (1 - before))
        held.append([holds(effect.shift, shift), holds(effect.variation, abs(after - before))])
    assert (np.mean(held, axis=0) >= 0.96).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("size", [1, 3, 400])
def test_rates_of_nothing_else_have_intervals(value: float, size: int) -> None:
    for zeros, ones in ((900.0, 100.0), (1_000.0, 0.0), (0.0, 1_000.0)):
        expected = Expected.of_rate(zeros, ones)
        effect = of_all(expected, np.full(size, value))
        rates = [expected.mean + each * expected.scale for each in effect.shift]
        assert rates[0] == pytest.approx(value)
        assert -1e-9 <= rates[1] <= rates[2] <= 1 + 1e-9
        assert rates[2] - rates[1] > 0.9 / (size + 6)
        assert 0 <= effect.variation.low <= effect.variation.value <= effect.variation.high <= 1


SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])


@pytest.mark.parametrize(
    "after",
    [SHARES, [0.3, 0.3, 0.25, 0.1, 0.05], [0.2, 0.4, 0.05, 0.25, 0.1], [0.5, 0.5, 0, 0, 0]],
    ids=["none", "one level", "all", "some are gone"],
)
def test_effects_of_categories_are_what_was_done_to_them(after: Floats) -> None:
    expected = Expected(Stream.CATEGORY, counts=10_000 * SHARES)
    truth = float(np.abs(np.array(after) - SHARES).sum()) / 2
    held, values = [], []
    for seed in range(100):
        scores = np.random.default_rng(seed).choice(5, 300, p=after).astype(float)
        effect = of_all(expected, scores)
        assert effect.shift == Estimate(0, 0, 0)
        held.append(holds(effect.variation, truth))
        values.append(effect.variation.value)
    assert np.mean(held) >= 0.93
    assert np.median(values) == pytest.approx(truth, abs=0.07)


def test_levels_that_were_never_seen_are_all_new_mass() -> None:
    expected = Expected(Stream.CATEGORY, counts=np.array([700.0, 300.0]))
    effect = of_all(expected, np.array([2.0, 5.0, 65_535.0] * 50))
    assert effect.variation.value > 0.95
    assert effect.variation.high == 1
    one = of_all(expected, np.array([9.0]))
    assert one.variation.low == 0
    assert one.variation.high == 1


def test_very_many_levels_of_few_values_are_compared_as_groups() -> None:
    counts = 1e6 / np.arange(1, 500)
    scores = np.random.default_rng(1).choice(499, 200, p=counts / counts.sum()).astype(float)
    effect = of_all(Expected(Stream.CATEGORY, counts=counts), scores)
    assert effect.variation.low == 0
    assert effect.variation.value < 0.15


@pytest.mark.parametrize("mean", [-3.0, -0.4, 0.0, 0.2, 1.0])
@pytest.mark.parametrize("deviation", [0.05, 0.5, 0.9995, 1.0, 1.002, 1.5, 4.0])
def test_the_variation_between_normal_distributions(mean: float, deviation: float) -> None:
    assert _between_normals(mean, deviation) == pytest.approx(gap(mean, deviation), abs=1e-3)
