"""Signals that change and come back again and again count less; others do not."""

from collections.abc import Sequence

import numpy as np
import pytest

from streamdrift.changes import StepKind
from streamdrift.detectors import EDetectorSettings
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.learning import learn
from streamdrift.detectors.mixture import POWERS
from streamdrift.detectors.returns import Returns
from streamdrift.detectors.watch import Watch
from streamdrift.records import Floats, Sample, Stream
from streamdrift.references.findings import Code, in_words

RUN_LENGTH = 100_000.0


def returns(power: int = 0) -> Returns:
    return Returns([power])


def powers(made: Returns, moments: Sequence[int], *, explained: bool) -> list[int]:
    found = []
    for moment in moments:
        made.came_back(0, moment, RUN_LENGTH, explained)
        found.append(made.power(0))
    return found


@pytest.mark.parametrize(
    ("moments", "explained", "expected"),
    [
        ([500], True, [3]),  # one return is no habit
        ([5_000, 30_000], True, [3, 9]),  # two where .3 are expected have a chance below 5 %
        ([5_000, 40_000], True, [3, 3]),
        ([1_000, 4_000], False, [3, 9]),  # nothing explains the values: a chance below .1 %
        ([1_000, 5_000], False, [3, 3]),
        ([5_000, 30_000, 31_000, 400_000], True, [3, 9, 15, 15]),
    ],
)
def test_power_rises_with_more_returns_than_the_budget_lets_expect(
    moments: list[int], explained: bool, expected: list[int]
) -> None:
    assert powers(returns(power=3), moments, explained=explained) == expected


def test_power_has_an_end() -> None:
    made = returns(power=0)
    found = powers(made, range(1, 30), explained=True)
    assert found[-1] == POWERS - 1
    assert found == sorted(found)
    assert not made.came_back(0, 31, RUN_LENGTH, True)


def test_another_reference_begins_anew() -> None:
    made = returns()
    powers(made, [5_000, 6_000], explained=True)
    made.begin(0, 4, 6_000)
    assert made.power(0) == 4
    assert made.findings(0) == ()
    assert powers(made, [7_000], explained=True) == [4]


def test_people_are_told() -> None:
    made = returns()
    assert made.findings(0) == ()
    powers(made, [5_000, 6_000], explained=True)
    [finding] = made.findings(0)
    assert finding.code is Code.COMES_BACK
    words = in_words(finding)
    assert "came back 2 times within 6,000 values" in words
    assert "to the power 0.5" in words


def bursts(random: np.random.Generator, size: int, burst: Floats) -> Floats:
    """Return values with a memory, of which every 2,000 end in a burst."""
    noise = random.normal(size=size)
    values = np.empty(size)
    last = 0.0
    for place in range(size):
        last = 0.5 * last + noise[place]
        values[place] = last
    for end in range(2_000, size + 1, 2_000):
        values[end - len(burst) : end] += burst
    return values


def watch_of(random: np.random.Generator) -> Watch:
    reference = learn(Sample(Stream.NUMERIC, bursts(random, 10_000, np.zeros(1))))
    assert reference.expected.dependent
    lengths = Lengths(np.array([RUN_LENGTH]), np.array([RUN_LENGTH]))
    return Watch([[EDetectorSettings()]], [reference], [0], lengths)


def taken(watch: Watch, values: Floats) -> list[tuple[int, StepKind]]:
    times = np.zeros(len(values), dtype=np.int64)
    return [(sign.column, sign.kind) for sign in watch.update(values[np.newaxis], times)]


def test_bursts_that_pass_are_told_only_at_first() -> None:
    random = np.random.default_rng(3)
    watch = watch_of(random)
    signs = taken(watch, bursts(random, 40_000, np.full(60, 2.5)))
    changes = [place for place, kind in signs if kind is StepKind.CHANGED]
    assert 2 <= len(changes) <= 4  # of 20 bursts
    assert watch.expected(0).power >= 6
    assert [finding.code for finding in watch.findings(0)] == [Code.COMES_BACK]
    # What lasts is still told.
    lasting = bursts(random, 2_000, np.zeros(1)) + 2.5
    assert StepKind.CHANGED in [kind for _, kind in taken(watch, lasting)]


def test_a_snapshot_holds_how_much_evidence_counts() -> None:
    random = np.random.default_rng(3)
    watch, values = watch_of(random), bursts(random, 40_000, np.full(60, 2.5))
    before = watch.snapshot()
    taken(watch, values[:20_000])
    assert watch.expected(0).power >= 6
    other = watch_of(np.random.default_rng(3))
    other.restore(watch.snapshot())
    assert other.expected(0).power == watch.expected(0).power
    assert other.findings(0) == watch.findings(0)
    assert taken(other, values[20_000:]) == taken(watch, values[20_000:])
    # And back to where it counted in full: as a bin of the event rate that is taken anew does.
    other.restore(before)
    assert other.expected(0).power == 0
    assert taken(other, values[:20_000]) == taken(
        watch_of(np.random.default_rng(3)), values[:20_000]
    )
