"""Values that others tell exactly: found, taken off, and quiet until they leave their pattern."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from streamdrift.detectors import EDetector
from streamdrift.detectors.learning import Reference, learn
from streamdrift.durations import DAY, SECOND
from streamdrift.models.rhythms import learn_first
from streamdrift.records import Ints, Sample, Stream
from streamdrift.references.exact import find_exact
from streamdrift.references.findings import Code
from streamdrift.references.front import fit
from streamdrift.references.periods import period_of

Rule = Callable[[Ints], NDArray[np.floating[Any]]]
RULES: dict[str, tuple[Rule, list[Code]]] = {
    "hour": (lambda n: (n + 5) % 24 * 1.0, [Code.PATTERN]),
    "in turn": (lambda n: n % 2 * 1.0, [Code.PATTERN]),
    "slow rounds": (lambda n: n // 100 % 24 * 1.0, [Code.PATTERN]),
    "wave": (lambda n: np.sin(2 * np.pi * n / 250), [Code.PATTERN]),
    "counter": (lambda n: n + 1e6, [Code.RISES]),
    "counter that begins anew": (lambda n: n % 12_345 * 1.0, [Code.RISES]),
    "falling": (lambda n: -0.1 * n, [Code.RISES]),
    "batches": (lambda n: n // 100 * 1.0, [Code.RISES, Code.PATTERN]),
}
NUMBERS = np.arange(60_000)


def codes(reference: Reference) -> list[Code]:
    return [finding.code for finding in reference.findings]


@pytest.mark.parametrize("name", RULES)
def test_what_a_rule_tells_is_found_and_nothing_is_left(name: str) -> None:
    rule, found = RULES[name]
    values = rule(NUMBERS).astype(np.float64)
    reference = learn(Sample(Stream.NUMERIC, values[:10_000]))
    assert codes(reference) == found
    front = reference.front
    assert front is not None
    left = front.copy().follow(values[10_000:20_000])
    assert len(np.unique(left)) <= (2 if "anew" in name else 1)
    # Cut anywhere it goes on.
    pieces = front.copy()
    parts = [pieces.follow(values[a:b]) for a, b in ((10_000, 10_007), (10_007, 20_000))]
    np.testing.assert_array_equal(np.concatenate(parts), left)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_goes_on_raises_no_more_than_was_asked(name: str) -> None:
    values = RULES[name][0](NUMBERS).astype(np.float64)
    detector = EDetector(1e4, values[:10_000])
    assert len(detector.update_many(values[10_000:])) <= 7


def test_a_pattern_that_is_left_is_seen_at_once() -> None:
    values = NUMBERS % 24 * 1.0
    detector = EDetector(1e5, values[:10_000])
    assert detector.update_many(values[10_000:12_000]).tolist() == []
    found = detector.update_many(np.random.default_rng(1).integers(0, 24, 500).astype(float))
    assert len(found) == 1
    assert found[0] < 20


def test_a_counter_whose_steps_change_is_seen() -> None:
    detector = EDetector(1e5, np.arange(10_000.0))
    assert detector.update_many(np.arange(10_000.0, 12_000.0)).tolist() == []
    found = detector.update_many(12_000 + 2 * np.arange(500.0))
    assert len(found) == 1
    assert found[0] < 20


def test_times_are_watched_by_their_steps() -> None:
    random = np.random.default_rng(2)
    times = np.cumsum(random.exponential(1.0, 30_000))
    reference = learn(Sample(Stream.NUMERIC, times[:10_000]))
    assert codes(reference) == [Code.RISES]
    detector = EDetector(1e5, times[:10_000])
    assert detector.update_many(times[10_000:]).tolist() == []
    found = detector.update_many(times[-1] + np.cumsum(random.exponential(3.0, 500)))
    assert len(found) == 1
    assert found[0] < 60


def test_steps_with_a_memory_have_it_taken_off_behind() -> None:
    random = np.random.default_rng(3)
    steps = np.empty(20_000)
    steps[0] = 0.0
    noise = random.standard_normal(len(steps))
    for place in range(1, len(steps)):
        steps[place] = 0.8 * steps[place - 1] + noise[place]
    values = np.cumsum(np.exp(0.3 * steps))
    reference = learn(Sample(Stream.NUMERIC, values[:10_000]))
    assert codes(reference)[:2] == [Code.RISES, Code.MEMORY]
    assert reference.front is not None
    left = reference.front.copy().follow(values[10_000:])
    assert abs(np.corrcoef(left[1:], left[:-1])[0, 1]) < 0.1
    again = Reference.restore(reference.snapshot())
    np.testing.assert_equal(again.snapshot(), reference.snapshot())


@pytest.mark.parametrize(
    "draw",
    [
        lambda random: random.standard_normal(3_000),
        lambda random: random.integers(0, 3, 3_000) * 1.0,
        lambda random: (random.random(3_000) < 0.002) * 1.0,
        lambda random: (np.arange(3_000) > 1_700) * 1.0,
        lambda random: np.cumsum(random.standard_normal(3_000)),
        lambda random: np.arange(3_000) % 24 + (random.random(3_000) < 0.01),
    ],
    ids=["normal", "three values", "rare ones", "a step", "a walk", "nearly a pattern"],
)
def test_what_is_random_is_not_exact(
    draw: Callable[[np.random.Generator], NDArray[np.floating[Any]]],
) -> None:
    for seed in range(20):
        assert find_exact(draw(np.random.default_rng(seed)).astype(np.float64)) is None


def test_a_few_values_at_equal_distances_are_no_pattern() -> None:
    values = np.zeros(1_000)
    values[[100, 500, 900]] = 1.0
    assert period_of(values) == 0
    values[::100] = 1.0
    values[[0, 100]] = 1.0
    assert period_of(values) == 0 or np.count_nonzero(values) > 10
    assert period_of(np.zeros(3)) == 0


def test_values_that_are_missing_have_no_place_in_a_pattern() -> None:
    values = NUMBERS[:3_000] % 5 * 1.0
    with_gaps = np.insert(values, [7, 7, 1_000], np.nan)
    fitted = fit(with_gaps)
    assert [finding.code for finding in fitted.findings] == [Code.PATTERN]
    assert np.nansum(np.abs(fitted.residuals)) == 0
    assert np.isnan(fitted.residuals).sum() == 3


def test_a_pattern_is_no_provisional_reference() -> None:
    times = NUMBERS[:5_000] * SECOND
    sample = Sample(Stream.NUMERIC, (NUMBERS[:5_000] % 24).astype(np.float64))
    learnt = learn_first(sample, times, ZoneInfo("UTC"), 1, 7 * DAY, 1e-6)
    assert learnt.rhythm is None
    assert codes(learnt.reference) == [Code.PATTERN]
