"""Rates whose chances move: what explains them, what their e-detector is, and how they go on."""

import itertools
import math

import numpy as np
import pytest

from streamdrift.changes import StepKind
from streamdrift.detectors import AdwinSettings, EDetectorSettings
from streamdrift.detectors.arming import arm_flags, too_loud
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.chances import EChanceBank
from streamdrift.detectors.effect import effect_of
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.mixture import POWERS
from streamdrift.detectors.onset import Span
from streamdrift.detectors.rates import MARGIN, ODDS, WEIGHTS, ERateBank
from streamdrift.detectors.single import EDetector
from streamdrift.detectors.sums import head_start
from streamdrift.detectors.watch import Watch
from streamdrift.records import Floats, Stream
from streamdrift.references.chances import (
    Chances,
    chances_of,
    code_of,
    evened,
    fill_middles,
    flags_of,
    middles_of,
)
from streamdrift.references.findings import Code
from streamdrift.signals.measures import rate_sample
from streamdrift.state import decode, encode
from tests.readings import readings_of

ROW, NOW = np.array([0]), np.array([0])
E = EDetectorSettings()


def drawn(chances: Floats, seed: int) -> Floats:
    return (np.random.default_rng(seed).random(len(chances)) < chances).astype(np.float64)


def wave(share: float, height: float, period: float, size: int, seed: int) -> Floats:
    chances = share + height * np.sin(2 * np.pi * np.arange(size) / period + seed)
    return drawn(chances, seed)


def middles(flags: Floats, chances: Floats) -> Floats:
    out = np.empty(len(flags))
    fill_middles(flags, flags - chances, 0, len(flags), out)
    return out


def expected_of(known: float, doubt: float = 0.0, rate: float = 0.2) -> Expected:
    plain = Expected.of_rate(8_000, 2_000)
    return Expected(
        Stream.RATE, rate, math.sqrt(rate * (1 - rate)), plain.counts, chances=Chances(known, doubt)
    )


def codes(reference: Reference) -> set[Code]:
    return {finding.code for finding in reference.findings}


def watch_of(reference: Reference, run_length: float = 1e5) -> Watch:
    return Watch([(E,)], [reference], [0], Lengths(np.full(1, run_length), np.full(1, run_length)))


def update(watch: Watch, values: Floats) -> list[Sign]:
    return watch.update(values[np.newaxis], np.zeros(len(values), dtype=np.int64))


def test_a_middle_tells_the_value_and_its_chance() -> None:
    chances = np.array([0.3, 0.7, 1e-4, 0.999, 0.3, 0.7, 1e-4, 0.999])
    flags = np.repeat([0.0, 1.0], 4)
    found = middles(flags, chances)
    assert flags_of(found).tolist() == flags.tolist()
    assert chances_of(found) == pytest.approx(chances)
    kept = middles_of(np.array([code_of(each) for each in found], dtype=np.uint8))
    assert flags_of(kept).tolist() == flags.tolist()
    assert (
        np.abs(chances_of(kept) - chances) <= 0.013 * np.sqrt(chances * (1 - chances)) + 1e-4
    ).all()


def test_no_value_has_no_middle_and_no_chance_is_certain() -> None:
    found = middles(np.array([np.nan, 1.0, 0.0]), np.array([0.5, -0.1, 1.2]))
    assert np.isnan(found[0])
    assert 0 < chances_of(found)[1] < 1e-5
    assert 1 - 1e-5 < chances_of(found)[2] < 1


def test_evened_values_have_one_rate_whatever_their_chances() -> None:
    chances = 0.4 + 0.3 * np.sin(np.arange(40_000) / 500)
    found = evened(middles(drawn(chances, 1), chances), 0.35, 5, 0)
    for low in (chances < 0.2, chances > 0.6, chances > 0):
        assert found[low].mean() == pytest.approx(0.35, abs=0.015)


def test_a_sum_is_that_of_the_odds_of_each_value_under_its_own_chance() -> None:
    chances = np.random.default_rng(1).uniform(0.05, 0.6, 60)
    flags, known, doubt = drawn(chances, 2), 1_500.0, 0.01
    bank = EChanceBank([expected_of(known, doubt)], np.array([1e12]))
    bank.update(middles(flags, chances)[np.newaxis], ROW, NOW)
    sums = head_start(1e12, math.inf) * WEIGHTS.astype(np.float64)
    for flag, chance in zip(flags, chances, strict=True):
        spread = chance * (1 - chance)
        error = MARGIN * spread / math.sqrt(known) + doubt
        likely = ODDS if flag else np.ones(len(ODDS))
        factors = likely / (1 + chance * (ODDS - 1) + error * np.abs(ODDS - 1))
        sums = (sums + WEIGHTS) * factors
    # 10,000 values are known: what these tell of the level counts from a later block on.
    assert bank.readings()[0][0] == pytest.approx(sums.sum(), rel=1e-4)


def test_one_chance_for_all_is_a_rate() -> None:
    flags = drawn(np.full(30_000, 0.21), 3)
    plain = ERateBank([Expected.of_rate(8_000, 2_000)], np.array([1e12]))
    moving = EChanceBank([expected_of(1_600)], np.array([1e12]))
    plain.update(flags[np.newaxis], ROW, NOW)
    moving.update(middles(flags, np.full(30_000, 0.2))[np.newaxis], ROW, NOW)
    assert math.log(moving.readings()[0][0]) == pytest.approx(
        math.log(plain.readings()[0][0]), abs=0.3
    )
    assert moving.learned(0) == pytest.approx(plain.learned(0), rel=0.01)


def test_what_is_learned_is_taken_back() -> None:
    bank = EChanceBank([expected_of(1_600)], np.array([1e12]))
    before = bank.learned(0)
    values = middles(drawn(np.full(3_500, 0.23), 6), np.full(3_500, 0.2))
    bank.update(values[np.newaxis], ROW, NOW)
    assert bank.learned(0)[1] > before[1] + 100
    bank.take_back(0, values)
    assert bank.learned(0) == pytest.approx(before)


def test_a_bank_goes_on_where_its_snapshot_was() -> None:
    values = middles(drawn(np.full(3_000, 0.25), 4), np.full(3_000, 0.2))
    one, other = (EChanceBank([expected_of(1_600)], np.array([1e12])) for _ in range(2))
    one.update(values[np.newaxis, :1_700], ROW, NOW)
    other.restore(decode(encode(one.snapshot())))
    for bank in (one, other):
        bank.update(values[np.newaxis], ROW, np.array([1_700]))
    assert one.readings()[0].tolist() == other.readings()[0].tolist()


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.01])
def test_one_rate_stays_one_rate(rate: float) -> None:
    found = [learn(rate_sample(drawn(np.full(10_000, rate), seed))) for seed in range(30)]
    assert {each.expected.explained for each in found} == {""}
    assert {(each.findings, each.front, each.expected.power) for each in found} == {((), None, 0)}


@pytest.mark.parametrize(
    ("share", "height", "period", "told"),
    [
        (0.5, 0.2, 100, Code.CYCLE),
        (0.4, 0.2, 1_000, Code.CYCLE),
        (0.02, 0.015, 5_000, Code.NO_LEVEL),
        (0.05, 0.03, 20_000, Code.NO_LEVEL),
    ],
)
def test_a_rate_that_moves_keeps_its_budget_and_people_are_told(
    share: float, height: float, period: float, told: Code
) -> None:
    alarms = 0
    for seed in (2, 4, 8):
        values = wave(share, height, period, 110_000, seed)
        reference = learn(rate_sample(values[:10_000]))
        assert reference.expected.explained == "chances"
        assert told in codes(reference)
        detector = EDetector(arl=1e5, reference=values[:10_000], kind="rate")
        alarms += len(detector.update_many(values[10_000:]))
    assert alarms <= 5


def test_a_change_of_a_rate_with_a_cycle_is_found_soon_and_sized() -> None:
    values = wave(0.4, 0.2, 1_000, 13_000, 1)
    values[10_000:] = np.maximum(values[10_000:], drawn(np.full(3_000, 1 / 3), 9))
    detector = EDetector(arl=1e5, reference=values[:10_000], kind="rate")
    found = detector.update_many(values[10_000:])
    assert 20 < found[0] < 400
    assert detector.effect is not None
    assert detector.effect.variation.value == pytest.approx(0.2, abs=0.12)
    assert detector.effect.shift.low > 0


def test_an_effect_is_beside_the_chances_of_its_own_values() -> None:
    chances = np.repeat([0.2, 0.6], 150)
    seen = middles(drawn(chances + 0.15, 5), chances)
    effect = effect_of(expected_of(1_600, rate=0.4), seen, Span(300, 300, 300, 300))
    assert effect.variation.value == pytest.approx(0.15, abs=0.07)


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.3), (0.3, 0.1)])
def test_a_step_inside_a_reference_is_cut_off(before: float, after: float) -> None:
    for seed in range(5):
        flags = drawn(np.repeat([before, after], [6_000, 4_000]), seed)
        flags[::50] = np.nan
        reference = learn(rate_sample(flags))
        assert reference.expected.mean == pytest.approx(after, abs=0.03)
        step = next(each for each in reference.findings if each.code is Code.STEP)
        assert step.figures["left_out"] == pytest.approx(5_880, abs=100)
    detector = EDetector(arl=1e5, reference=flags, kind="rate")
    assert not len(detector.update_many(drawn(np.full(20_000, after), 9)))


def test_half_a_slow_wave_is_no_step() -> None:
    found = set[Code]()
    for seed in range(6):
        chances = 0.3 + 0.15 * np.cos(np.pi * np.arange(10_000) / 10_000)
        found |= codes(learn(rate_sample(drawn(chances, seed))))
    assert Code.STEP not in found
    assert Code.NO_LEVEL in found


def test_a_reference_that_alarms_by_itself_is_discounted_and_told() -> None:
    calm = middles(drawn(np.full(10_000, 0.2), 2), np.full(10_000, 0.2))
    armed = arm_flags(calm, 0.0, 0)
    assert (armed.power, armed.findings) == (0, ())
    assert not too_loud(calm)
    restless = drawn(0.2 + 0.1 * np.sign(np.sin(np.arange(10_000) / 100)), 1)
    loud = middles(restless, np.full(10_000, 0.2))
    assert too_loud(loud)
    armed = arm_flags(loud, 0.0, 0)
    assert armed.power > 0
    assert {each.code for each in armed.findings} == {Code.DISCOUNTED, Code.NOT_ASSURED}
    # The replay of what alarms anyway ends.
    assert arm_flags(middles(np.ones(1_000), np.full(1_000, 0.01)), 0.0, 0).power <= POWERS - 1


@pytest.mark.parametrize("period", [500, 20_000])
def test_a_series_is_the_same_value_by_value(period: float) -> None:
    values = wave(0.4, 0.2, period, 16_000, 1)
    values[11_000:13_000] = drawn(np.full(2_000, 0.95), 2)
    one, many = (EDetector(1e4, values[:10_000], "rate") for _ in range(2))
    found = []
    for place, value in enumerate(values[10_000:].tolist()):
        one.update(value)
        if one.drift_detected:
            found.append(place)
    assert many.update_many(values[10_000:]).tolist() == found
    assert any(1_000 < place < 1_200 for place in found)
    assert (one.onset, one.effect) == (many.onset, many.effect)


def test_a_signal_changes_and_returns_however_the_stream_is_cut_and_restored() -> None:
    values = wave(0.4, 0.2, 500, 16_000, 3)
    reference = learn(rate_sample(values[:10_000]))
    values[11_500:12_500] = np.maximum(values[11_500:12_500], drawn(np.full(1_000, 0.6), 4))
    stream = np.full(6_300, np.nan)
    stream[np.sort(np.random.default_rng(5).permutation(6_300)[:6_000])] = values[10_000:]
    whole = watch_of(reference)
    expected = update(whole, stream)
    assert [sign.kind for sign in expected] == [StepKind.CHANGED, StepKind.RETURNED]
    assert 1_500 < expected[0].column < 1_800
    assert 2_600 < expected[1].column < 5_000
    parts, found = watch_of(reference), list[Sign]()
    for start, stop in itertools.pairwise([*range(0, 6_300, 333), 6_300]):
        signs = update(parts, stream[start:stop])
        found += [sign._replace(column=sign.column + start) for sign in signs]
        again = watch_of(Reference.restore(decode(encode(reference.snapshot()))))
        assert again.restore(decode(encode(parts.snapshot()))) == []
        parts = again
    assert found == expected
    assert encode(parts.snapshot()) == encode(whole.snapshot())


def test_other_detectors_see_0s_and_1s() -> None:
    values = wave(0.4, 0.2, 500, 12_000, 3)
    reference = learn(rate_sample(values[:10_000]))
    plain = Reference(Expected.of_rate(*rate_sample(values[:10_000]).values.tolist()))
    lengths = Lengths(np.full(1, 1e9), np.full(1, 1e9))
    adwin = AdwinSettings(delta=1e-9)
    both = Watch([(E, adwin)], [reference], [0], lengths)
    alone = Watch([(adwin,)], [plain], [0], lengths)
    for watch in (both, alone):
        update(watch, values[10_000:])
    assert [each[1:] for each in readings_of(both) if each[1] == "adwin"] == [
        each[1:] for each in readings_of(alone)
    ]


def test_a_signal_gets_the_bank_of_its_new_reference() -> None:
    moving = learn(rate_sample(wave(0.4, 0.2, 500, 10_000, 3)))
    plain = learn(rate_sample(drawn(np.full(10_000, 0.4), 1)))
    values = wave(0.4, 0.2, 500, 1_000, 7)
    for first, second in ((plain, moving), (moving, plain)):
        watch = watch_of(first)
        update(watch, values)
        watch.rearm(0, second, 1e5, 1e5)
        new = watch_of(second)
        assert update(watch, values) == update(new, values)
        assert readings_of(watch) == readings_of(new)
