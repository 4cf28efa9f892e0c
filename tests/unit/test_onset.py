"""Where a change began: the likelihood of every beginning, and the interval that follows."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from streamdrift.detectors import EDetector
from streamdrift.detectors.bank import Evidence, Expected
from streamdrift.detectors.mixture import BORDERS, GRID
from streamdrift.detectors.onset import Span, gains, span_of
from streamdrift.detectors.series import Kind
from streamdrift.records import Floats, Stream

RATE = Expected.of_rate(9_999, 1)
NUMBERS = Expected(Stream.NUMERIC)
LEVELS = Expected(Stream.CATEGORY, counts=np.array([4_000.0, 3_000, 2_000, 1_000]))
Draw = Callable[[np.random.Generator, int], Floats]


def summed(statistic: float = 1e5, age: int = 300, reach: int = 1_000) -> Evidence:
    """Return evidence of sums that take the change to be older than most are here."""
    return Evidence(statistic, 1e5, age + reach, age // 2, age / math.log(1e5), age - 1)


@pytest.mark.parametrize("power", [0, 6])
def test_what_the_reference_lets_expect_gains_nothing_on_average(power: int) -> None:
    """The mean of the ratio over all values under the reference is 1, and less to a power."""
    size, chances = 6, np.array([0.7, 0.3])
    counts = 1e12 * chances  # so many that those before the change teach nothing
    expected = Expected(Stream.RATE, 0.3, 0.3**0.5, counts, power)
    total = 0.0
    for values in itertools.product((0, 1), repeat=size):
        likely = chances[list(values)].prod()
        total += likely * math.exp(gains(expected, np.array(values, dtype=float))[-1])
    assert total == pytest.approx(1) if power == 0 else total < 0.999


def test_ranks_gain_nothing_on_average_either() -> None:
    middles = (BORDERS[:-1] + BORDERS[1:]) / 2
    pairs = np.array(list(itertools.product(range(len(middles)), repeat=2)))
    ratios = [math.exp(gains(NUMBERS, middles[pair])[-1]) for pair in pairs]
    assert np.dot(np.diff(BORDERS)[pairs].prod(axis=1), ratios) == pytest.approx(1, abs=1e-4)


def test_the_order_of_values_since_the_change_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    for expected, values in (
        (LEVELS, rng.choice(6, 60).astype(float)),
        (NUMBERS, rng.random(60)),
    ):
        other = np.concatenate([values[:20], rng.permutation(values[20:])])
        assert gains(expected, other)[39:] == pytest.approx(gains(expected, values)[39:])


@pytest.mark.parametrize("since", [3, 10, 100])
@pytest.mark.parametrize(
    ("expected", "before", "after"),
    [
        (RATE, 0.0, 1.0),
        (Expected.of_rate(1, 9_999), 1.0, 0.0),
        (LEVELS, 0.0, 9.0),
        (NUMBERS, 0.5, 1 - 1 / GRID),
        (NUMBERS, 0.5, 0.0),
    ],
)
def test_what_never_was_before_began_when_it_came(
    expected: Expected, before: float, after: float, since: int
) -> None:
    rng, old = np.random.default_rng(1), np.full(400, before)
    if expected.stream is Stream.NUMERIC:
        old = rng.random(400)
    elif expected.stream is Stream.CATEGORY:
        old = rng.choice(4, 400, p=LEVELS.counts / LEVELS.counts.sum()).astype(float)
    scores = np.append(old, np.full(since, after))
    span = span_of(expected, scores, summed(), 5_000)
    assert span.least <= span.likeliest == since <= span.most
    assert span.most - span.least < 30


def test_what_the_last_values_do_not_show_is_as_old_as_the_sums_say() -> None:
    slight = (np.random.default_rng(2).random(512) < 0.01).astype(float)
    expected = Expected.of_rate(9_920, 80)
    evidence = summed(age=1_500)
    span = span_of(expected, slight, evidence, 9_000)
    assert span.most == evidence.earliest + 1
    assert span.least <= evidence.latest + 1
    assert span.likeliest == 1_500


def test_a_change_older_than_the_last_values_may_be_as_old_as_the_sums_say() -> None:
    values = (np.random.default_rng(2).random(512) < 0.3).astype(float)
    expected = Expected.of_rate(8_000, 2_000)
    span = span_of(expected, values, summed(reach=900), 9_000)
    assert span.most == 1_201
    assert span.least > 100
    # If there were no others it began with one of these.
    assert span_of(expected, values, summed(), 512).most == 512


@pytest.mark.parametrize("there", [0, 1, 2])
@pytest.mark.parametrize("expected", [RATE, LEVELS, NUMBERS], ids=["rate", "levels", "numbers"])
def test_nothing_began_before_there_was_a_value(expected: Expected, there: int) -> None:
    for evidence in (summed(), Evidence(5.0, 4.0, 40, 7)):
        span = span_of(expected, np.full(there, 1.0), evidence, there)
        assert span.least <= span.likeliest <= span.most <= max(there, 1)
        assert span.least >= min(there, 1)


def test_a_detector_without_sums_says_itself_when_it_began() -> None:
    scores = np.append(np.zeros(60), np.ones(20))
    assert span_of(RATE, scores, Evidence(5.0, 4.0, 40, 7), 80) == Span(8, 20, 41, 20)
    assert span_of(RATE, scores, Evidence(5.0, 4.0, 12, 7), 80) == Span(8, 13, 13, 13)
    # The interval lies before all that is known.
    assert span_of(RATE, scores, Evidence(5.0, 4.0, 200, 100), 400) == Span(101, 151, 201, 151)


def test_intervals_of_discounted_evidence_are_wider() -> None:
    rng = np.random.default_rng(8)
    scores = np.append(rng.random(250), rng.beta(3, 1, 60))
    plain = span_of(NUMBERS, scores, summed(), 5_000)
    wider = span_of(Expected(Stream.NUMERIC, power=6), scores, summed(), 5_000)
    assert wider.least < plain.least <= 60 <= plain.most < wider.most


def test_very_many_levels_are_compared_as_a_few() -> None:
    counts = np.ceil(1e5 / np.arange(1, 2_001))
    expected = Expected(Stream.CATEGORY, counts=counts)
    rng = np.random.default_rng(5)
    before = rng.choice(2_000, 400, p=counts / counts.sum())
    scores = np.append(before, rng.integers(1_000, 2_000, 30)).astype(float)
    span = span_of(expected, scores, summed(), 5_000)
    assert span.least <= 30 <= span.most
    assert span.most - span.least < 200


def constant(value: float) -> Draw:
    return lambda _, size: np.full(size, value)


def ones(rate: float) -> Draw:
    return lambda rng, size: (rng.random(size) < rate).astype(float)


def levels(*shares: float) -> Draw:
    return lambda rng, size: rng.choice(len(shares), size, p=shares).astype(float)


def gauss(mean: float, deviation: float = 1.0) -> Draw:
    return lambda rng, size: rng.normal(mean, deviation, size)


FOUR = (0.4, 0.3, 0.2, 0.1)
JUMPS: dict[str, tuple[Kind, Draw, Draw, str, float]] = {
    "rate 0 to 1": ("rate", constant(0), constant(1), "variation", 1.0),
    "rate 0 to .5": ("rate", constant(0), ones(0.5), "variation", 0.5),
    "rate .001 to 1": ("rate", ones(0.001), constant(1), "variation", 0.999),
    "rate .01 to 1": ("rate", ones(0.01), constant(1), "variation", 0.99),
    "rate .01 to .5": ("rate", ones(0.01), ones(0.5), "variation", 0.49),
    "rate .01 to .1": ("rate", ones(0.01), ones(0.1), "variation", 0.09),
    "rate .2 to .8": ("rate", ones(0.2), ones(0.8), "variation", 0.6),
    "all levels new": ("category", levels(*FOUR), levels(0, 0, 0, 0, *FOUR), "variation", 1.0),
    "one level only": ("category", levels(*FOUR), constant(2), "variation", 0.8),
    "a constant, 1 % new": ("category", constant(0), ones(0.01), "variation", 0.01),
    "+5 sd": ("numeric", gauss(0), gauss(5), "shift", 5.0),
    "-10 sd": ("numeric", gauss(0), gauss(-10), "shift", -10.0),
    "sd x 5": ("numeric", gauss(0), gauss(0, 5), "spread", 5.0),
    "a constant to another": ("numeric", constant(3), constant(7), "variation", 1.0),
}


@pytest.mark.parametrize("name", JUMPS)
def test_jumps_are_found_where_and_as_large_as_they_are(name: str) -> None:
    kind, before, after, measure, truth = JUMPS[name]
    begun, held, widths = [], [], []
    for run in range(40):
        rng = np.random.default_rng(run)
        reference = before(rng, 10_000 if kind != "numeric" else 2_000)
        quiet, changed = before(rng, 1_500), after(rng, 3_000)
        detector = EDetector(reference=reference, kind=kind, seed=run)
        if detector.update_many(quiet).size:
            continue
        for value in changed.tolist():
            detector.update(value)
            if detector.drift_detected:
                break
        assert detector.onset is not None
        assert detector.effect is not None
        earliest, latest = detector.onset
        begun.append(earliest <= len(quiet) <= latest)
        widths.append(latest - earliest + 1)
        estimate = getattr(detector.effect, measure)
        held.append(estimate.low <= truth <= estimate.high)
        assert estimate.low <= estimate.value <= estimate.high
    assert len(begun) >= 38
    assert np.mean(begun) >= 0.9
    assert np.mean(held) >= 0.9
    assert np.median(widths) < (1_200 if "1 %" in name else 300 if "to .1" in name else 60)
