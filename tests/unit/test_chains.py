"""The e-detector of rates that remember: its definition, its promise, and how it goes on."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from streamdrift.changes import StepKind
from streamdrift.columns import cut
from streamdrift.detectors import AdwinSettings, EDetectorSettings
from streamdrift.detectors.bank import Expected
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.chains import EChainBank
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.rates import ODDS, WEIGHTS, ERateBank
from streamdrift.detectors.registry import make_bank
from streamdrift.detectors.single import EDetector
from streamdrift.detectors.sums import EBank, head_start
from streamdrift.detectors.watch import Watch
from streamdrift.incidents.steps import step_state
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.records import Batch, Floats, State
from streamdrift.references.chain import Chain, fit_chain, variance_left
from streamdrift.references.findings import Code
from streamdrift.signals.measures import rate_sample
from streamdrift.state import decode, encode
from tests.batches import SECOND, START, batch, column, feature
from tests.readings import readings_of

ROW, NOW = np.array([0]), np.array([0])
E, ADWIN = EDetectorSettings(), AdwinSettings()


def remembering(rates: list[float], size: int, seed: int) -> Floats:
    """Return 0s and 1s whose chance of a 1 follows from the last values."""
    coins, state = np.random.default_rng(seed).random(size), 0
    found = np.empty(size)
    for i in range(size):
        found[i] = coins[i] < rates[state]
        state = (2 * state + int(found[i])) % len(rates)
    return found


def markov(rate: float, memory: float, size: int, seed: int) -> Floats:
    return remembering([rate * (1 - memory), rate * (1 - memory) + memory], size, seed)


def bursts(size: int, seed: int) -> Floats:
    """Return 0s and 1s whose rate something hidden switches."""
    rng = np.random.default_rng(seed)
    busy = np.repeat(rng.random(size // 200 + 1) < 0.3, 200)[:size]
    return (rng.random(size) < np.where(busy, 0.5, 0.1)).astype(np.float64)


def expected_of(counts: list[list[float]]) -> Expected:
    seen = np.array(counts)
    chain = Chain(int(math.log2(len(seen))), seen, 0)
    return replace(Expected.of_rate(*seen.sum(axis=0).tolist()), chain=chain)


def bank_of(counts: list[list[float]], run_length: float = 1e12) -> EChainBank:
    return EChainBank([expected_of(counts)], np.array([run_length]))


def same(one: State, other: State) -> bool:
    return encode(one) == encode(other)


def factors(zeros: float, ones: float, odds: Floats = ODDS, margin: float = 0.1) -> Floats:
    size = zeros + ones
    rate = (ones + 1) / (size + 2)
    error = margin * math.sqrt(rate * (1 - rate) / size)
    none = 1 / (1 + rate * (odds - 1))
    return np.array([none, odds * none]) / (1 + error * np.abs(odds - 1) * none)


def test_sums_are_those_of_all_beginnings_at_another_rate_and_in_each_state() -> None:
    counts = np.array([[90.0, 10.0], [20.0, 80.0]])
    values = remembering([0.1, 0.8], 600, 1)
    weights = np.concatenate([0.75 * WEIGHTS, WEIGHTS / 8, WEIGHTS / 8]).astype(np.float64)
    moved = Chain(1, counts.copy(), 0).moved(ODDS)
    start = head_start(1e12, math.inf)
    sums, ages = start * weights, np.zeros(36)
    bank = bank_of(counts.tolist())
    bank.update(values[np.newaxis, :1], ROW, NOW)
    assert bank.readings()[0][0] == pytest.approx(start)
    blocks: list[list[list[int]]] = [[[]], [[]]]
    for before, value in itertools.pairwise(values.astype(int).tolist()):
        own = 12 * before + 12
        factor = np.ones(36)
        zeros, ones = counts[before].tolist()
        factor[:12] = factors(zeros, ones, moved[before], 0.35)[value]
        factor[own : own + 12] = factors(zeros, ones, ODDS, 0.35)[value]
        ages, sums = (ages + sums + weights) * factor, (sums + weights) * factor
        blocks[before][-1].append(value)
        if len(blocks[before][-1]) >= max(50, counts[before].sum() / 5):
            if len(blocks[before]) > 1:
                counts[before] += np.bincount(blocks[before][-2], minlength=2)
            blocks[before].append([])
        bank.update(np.array([[float(value)]]), ROW, NOW)
        assert bank.readings()[0][0] == pytest.approx(sums.sum(), rel=1e-4)
        assert bank.evidence(0).age == pytest.approx(ages.sum() / sums.sum(), abs=0.51)
    assert min(map(len, blocks)) > 3
    assert bank.learned(0).tolist() == counts.sum(axis=0).tolist()


@pytest.mark.parametrize("memory", [0.5, 0.8])
def test_false_alarms_are_at_most_those_asked_for(memory: float) -> None:
    # 50 slots, each of another reference, 10,000 values each: 250 were asked for at most.
    slots, run_length, size = 50, 2e3, 10_000
    expected = []
    for slot in range(slots):
        flags = markov(0.2, memory, 3_000, 100 + slot)
        states = flags[:-1].astype(int)
        counts = [[float(np.sum(flags[1:][states == s] == x)) for x in (0, 1)] for s in (0, 1)]
        expected.append(expected_of(counts))
    values = np.stack([markov(0.2, memory, size, slot) for slot in range(slots)])
    bank, start, alarms = EChainBank(expected, np.full(slots, run_length)), np.zeros(slots), 0
    while (start < size).any():
        found = bank.update(values, np.arange(slots), start.astype(np.int64))
        for slot in np.flatnonzero(found < size).tolist():
            alarms += 1
            bank.reset(slot, expected[slot])
        start = np.minimum(found + 1, size)
    assert 100 < alarms <= 250


def test_independent_rates_under_one_bank_would_alarm_on_what_a_chain_explains() -> None:
    values = markov(0.2, 0.8, 20_000, 5)[np.newaxis]
    bare = ERateBank([Expected.of_rate(8_000, 2_000)], np.array([1e5]))
    assert bare.update(values, ROW, NOW)[0] < 20_000
    chained = EChainBank([expected_of([[9_600.0, 400.0], [400.0, 2_100.0]])], np.array([1e5]))
    assert chained.update(values, ROW, NOW)[0] == 20_000


@pytest.mark.parametrize("counts", [[[90, 10], [20, 80]], [[90, 10], [40, 60], [70, 30], [10, 90]]])
def test_a_bank_goes_on_from_any_cut_and_from_its_snapshot(counts: list[list[float]]) -> None:
    values = remembering([one / (zero + one) for zero, one in counts], 3_000, 2)
    values[np.random.default_rng(3).random(3_000) < 0.2] = np.nan
    whole = bank_of(counts)
    whole.update(values[np.newaxis], ROW, NOW)
    parts = bank_of(counts)
    for start, stop in itertools.pairwise([0, 1, 2, 3, 700, 701, 2_999, 3_000]):
        parts.update(values[np.newaxis, start:stop], ROW, NOW)
        again = bank_of(counts)
        again.restore(decode(encode(parts.snapshot())))
        parts = again
    assert same(parts.snapshot(), whole.snapshot())
    assert parts.readings()[0].tolist() == whole.readings()[0].tolist()


def test_missing_values_move_nothing() -> None:
    values = remembering([0.1, 0.8], 500, 4)
    holes = np.insert(values, [0, 3, 3, 250], np.nan)
    one, other = bank_of([[90, 10], [20, 80]]), bank_of([[90, 10], [20, 80]])
    one.update(values[np.newaxis], ROW, NOW)
    other.update(holes[np.newaxis], ROW, NOW)
    assert same(one.snapshot(), other.snapshot())


def test_the_state_stays_when_sums_start_anew_and_is_nothing_after_a_gap() -> None:
    counts = [[90.0, 10.0], [40.0, 60.0], [70.0, 30.0], [10.0, 90.0]]
    bank = bank_of(counts)
    bank.update(np.array([[0.0, 1.0, 1.0]]), ROW, NOW)
    bank.reset(0)
    begun = bank.readings()[0].tolist()
    bank.update(np.array([[1.0]]), ROW, NOW)
    before = bank.readings()[0].tolist()
    assert before != begun
    bank.lose(0)
    bank.update(np.array([[1.0, 0.0]]), ROW, NOW)
    assert bank.readings()[0].tolist() == before
    bank.update(np.array([[1.0]]), ROW, NOW)
    assert bank.readings()[0].tolist() != before


def test_a_change_is_found_and_its_values_are_taken_back() -> None:
    bank = bank_of([[700, 80], [80, 120]], 1e9)
    old = bank.learned(0).tolist()
    values = markov(0.4, 0.5, 3_000, 6)[np.newaxis]
    alarm = int(bank.update(values, ROW, NOW)[0])
    assert 100 < alarm < 2_000
    assert sum(old) + 50 <= bank.learned(0).sum() <= sum(old) + alarm - 50
    bank.take_back(0, values[0, : alarm + 1])
    assert bank.learned(0).tolist() == old


def test_a_change_does_not_teach_itself_before_it_can_be_found() -> None:
    bank = bank_of([[1_400, 160], [160, 240]], 1e4)
    old = bank.learned(0).tolist()
    assert 20 < bank.update(markov(0.4, 0.5, 3_000, 6)[np.newaxis], ROW, NOW)[0] < 400
    assert bank.learned(0).tolist() == old


def test_looks_between_and_within_updates_see_the_same() -> None:
    values, looks = markov(0.5, 0.5, 600, 7)[np.newaxis], np.array([100, 300, 500])
    bank, parts = bank_of([[1_400, 160], [160, 240]]), bank_of([[1_400, 160], [160, 240]])
    found = []
    for each in (bank, parts):
        each.sums.patience[:] = 100.0
    bank.update(values, ROW, NOW, looks)
    for start, stop in itertools.pairwise([0, *looks.tolist(), 600]):
        parts.update(values[:, start:stop], ROW, NOW)
        if stop < 600:
            found += [look._replace(row=stop) for look in parts.sums.look()]
    assert bank.sums.looked() == found
    assert len(found) >= 2
    assert same(bank.snapshot(), parts.snapshot())


def test_a_bank_of_chains_is_what_a_model_expects_of_an_e_detector() -> None:
    bank = make_bank(E, [expected_of([[90, 10], [20, 80]])], np.array([1e5]))
    assert isinstance(bank, EChainBank)
    assert isinstance(bank, EBank)
    assert isinstance(make_bank(E, [Expected.of_rate(90, 10)], np.array([1e5])), ERateBank)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8, -0.2])
def test_sums_of_a_chain_vary_as_its_memory_says(memory: float) -> None:
    zero, one = 0.3 * (1 - memory), 0.3 * (1 - memory) + memory
    chain = Chain(1, 1e7 * np.array([[1 - zero, zero], [1 - one, one]]), 0)
    assert chain.variance_ratio == pytest.approx((1 + memory) / (1 - memory), rel=1e-4)


def test_sums_of_a_chain_of_two_values_vary_as_they_do() -> None:
    flags = remembering([0.1, 0.6, 0.3, 0.9], 400_000, 8)
    chain = fit_chain(flags)
    assert chain is not None
    seen = flags.reshape(-1, 400).sum(axis=1).var() / (400 * flags.var())
    assert chain.variance_ratio == pytest.approx(seen, rel=0.15)


def test_rates_that_remember_are_learned_as_such_and_people_are_told() -> None:
    flags = markov(0.2, 0.5, 10_000, 9)
    reference = learn(rate_sample(flags))
    chain = reference.expected.chain
    assert chain is not None
    assert reference.expected.power == pytest.approx(6 * math.log2(3), abs=1)
    (finding,) = reference.findings
    assert finding.code is Code.MEMORY
    assert finding.figures["sum"] == pytest.approx(0.5, abs=0.05)
    again = Reference.restore(decode(encode(reference.snapshot())))
    assert same(again.snapshot(), reference.snapshot())
    assert again.expected.chain is not None
    assert again.expected.chain.counts.tolist() == chain.counts.tolist()


def test_what_no_chain_explains_is_followed_and_people_are_told() -> None:
    reference = learn(rate_sample(bursts(10_000, 11)))
    assert reference.expected.chain is None
    assert reference.expected.explained == "chances"
    assert reference.front is not None
    assert Code.NO_LEVEL in {finding.code for finding in reference.findings}
    again = Reference.restore(decode(encode(reference.snapshot())))
    assert same(again.snapshot(), reference.snapshot())
    assert again.expected.chances == reference.expected.chances


def test_a_discount_takes_the_factors_to_a_power_and_lasts() -> None:
    expected = replace(Expected.of_rate(1_600, 400), power=6)
    bank = ERateBank([expected], np.array([1e12]))
    values = markov(0.2, 0.0, 50, 12)
    sums, zeros, ones = head_start(1e12, math.inf) * WEIGHTS.astype(np.float64), 1_600, 400
    for value in values.astype(int).tolist():
        sums = (sums + WEIGHTS) * factors(zeros, ones)[value] ** 0.5
        zeros, ones = zeros + 1 - value, ones + value
    bank.update(values[np.newaxis], ROW, NOW)
    assert bank.readings()[0][0] == pytest.approx(sums.sum(), rel=1e-4)
    other = ERateBank([expected], np.array([1e12]))
    other.restore(bank.snapshot())
    for each in (bank, other):
        each.update(values[np.newaxis], ROW, NOW)
    assert same(bank.snapshot(), other.snapshot())


@pytest.mark.parametrize(
    "flags", [np.zeros(0), np.zeros(5_000), np.repeat([0.0, 1.0], [5_000, 99]), np.ones(400)]
)
def test_too_little_is_known_for_a_discount(flags: Floats) -> None:
    assert variance_left(flags, np.full(len(flags), 0.5)) == 1.0


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_step_in_a_reference_is_no_memory(share: float) -> None:
    size = round(2_000 * share)
    parts = markov(0.2, 0.0, size, 14), markov(0.6, 0.0, 2_000 - size, 15)
    reference = learn(rate_sample(np.concatenate(parts)))
    assert (reference.expected.power, reference.expected.chain) == (0, None)
    both = np.concatenate([markov(0.2, 0.6, size, 16), markov(0.6, 0.6, 2_000 - size, 17)])
    assert 6 <= learn(rate_sample(both)).expected.power <= 18


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.02, 0.0])
def test_independent_rates_are_what_they_were(rate: float) -> None:
    flags = markov(rate, 0.0, 5_000, 13)
    sample = rate_sample(flags)
    ordered, counted = learn(sample), learn(sample._replace(order=None))
    assert same(ordered.snapshot(), counted.snapshot())
    assert ordered.expected.power == 0


def watch_of(references: list[Reference]) -> Watch:
    size = len(references)
    lengths = Lengths(np.full(size, 1e4), np.full(size, 300.0))
    # Nothing discounts what ADWIN sees.
    hidden = [each.expected.chain is None and each.expected.power > 0 for each in references]
    detectors = [(E,) if each else (E, ADWIN) for each in hidden]
    return Watch(detectors, references, list(range(size)), lengths)


def update(watch: Watch, values: Floats, start: int = 0) -> list[Sign]:
    signs = watch.update(values, np.arange(values.shape[1]))
    return [sign._replace(column=sign.column + start) for sign in signs]


def references() -> list[Reference]:
    made = (markov(0.2, 0.5, 4_000, 20), markov(0.2, 0.0, 4_000, 21), bursts(10_000, 22))
    return [learn(rate_sample(flags)) for flags in made]


def stream() -> Floats:
    def there_and_back(memory: float, seed: int) -> Floats:
        parts = ((0.2, 1_500), (0.5, 1_000), (0.2, 2_500))
        return np.concatenate(
            [markov(rate, memory, size, seed + i) for i, (rate, size) in enumerate(parts)]
        )

    hidden = bursts(5_000, 33)
    hidden[1_500:2_500] = markov(0.9, 0.0, 1_000, 36)
    values = np.stack([there_and_back(0.5, 30), there_and_back(0.0, 40), hidden])
    values[np.random.default_rng(23).random(values.shape) < 0.05] = np.nan
    return values


def test_signals_change_and_return_however_the_stream_is_cut_and_restored() -> None:
    whole = watch_of(references())
    expected = update(whole, stream())
    told = {(sign.signal, sign.kind) for sign in expected}
    for signal in range(3):
        assert {(signal, StepKind.CHANGED), (signal, StepKind.RETURNED)} <= told
    parts, found = watch_of(references()), list[Sign]()
    for start, stop in itertools.pairwise([*range(0, 5_000, 333), 5_000]):
        found += update(parts, stream()[:, start:stop], start)
        again = watch_of(references())
        assert again.restore(decode(encode(parts.snapshot()))) == []
        parts = again
    assert found == expected
    assert same(parts.snapshot(), whole.snapshot())


def test_a_signal_gets_the_bank_of_its_new_reference() -> None:
    chained, plain, _ = references()
    other = learn(rate_sample(markov(0.3, 0.6, 4_000, 24)))
    watch = watch_of([chained, plain, other])
    update(watch, stream()[:, :1_000])
    for signal, reference in ((0, plain), (1, chained), (2, plain), (2, other)):
        watch.rearm(signal, reference, 1e4, 300.0)
    new = watch_of([plain, chained, other])
    values = stream()[[1, 0, 0], :1_400]
    assert update(watch, values) == update(new, values)
    assert readings_of(watch) == readings_of(new)
    new = watch_of([plain, chained, other])
    assert new.restore(watch.snapshot()) == []
    assert same(new.snapshot(), watch.snapshot())


def test_moving_one_signal_leaves_the_others_bit_by_bit() -> None:
    chained, plain, _ = references()
    made = [chained, chained, plain, plain]
    values = np.concatenate([stream()[[0, 0]], stream()[[1, 1]]])[:, :1_400]
    moved, stayed = watch_of(made), watch_of(made)
    for watch in (moved, stayed):
        update(watch, values[:, :900])
    moved.rearm(1, plain, 1e4, 300.0)
    for watch in (moved, stayed):
        update(watch, values[:, 900:])
    others = [
        {(signal, name): figures for signal, name, *figures in readings_of(watch) if signal != 1}
        for watch in (moved, stayed)
    ]
    assert others[0] == others[1]
    assert len(others[0]) == 6


@pytest.mark.parametrize("memory", [0.6, None])
def test_a_series_is_the_same_value_by_value(memory: float | None) -> None:
    def flags(size: int, seed: int) -> Floats:
        return bursts(size, seed) if memory is None else markov(0.2, memory, size, seed)

    reference = flags(10_000, 50)
    values = np.concatenate([flags(1_000, 51), markov(0.8, memory or 0, 3_500, 52), flags(900, 53)])
    one, many = (EDetector(1e4, reference, "rate") for _ in range(2))
    found = []
    for place, value in enumerate(values.tolist()):
        one.update(value)
        if one.drift_detected:
            found.append(place)
    assert many.update_many(values).tolist() == found
    # What bursts all the time has no level that could change.
    assert found or memory is None
    assert (one.onset, one.effect) == (many.onset, many.effect)


def test_single_values_leave_the_state_that_a_block_leaves() -> None:
    values = np.concatenate(
        [markov(0.2, 0.5, 1_000, 60), markov(0.6, 0.5, 500, 61), markov(0.2, 0.5, 2_500, 62)]
    )
    lengths = Lengths(np.full(1, 1e4), np.full(1, 1e4))
    single, block = (Watch([(E,)], references()[:1], [0], lengths) for _ in range(2))
    found = []
    for place, value in enumerate(values.tolist()):
        found += [sign._replace(column=place) for sign in single.step(value)]
    assert found == update(block, values[np.newaxis])
    assert [sign.kind for sign in found[:2]] == [StepKind.CHANGED, StepKind.RETURNED]
    assert same(single.snapshot(), block.snapshot())


MODEL = ModelSettings.model_validate(
    {
        "reference": {"events": 2_000},
        "alert_budget": "40/hour",
        "hold": {"accept_after": "300s", "accept_events": 400},
    }
)


def events() -> Batch:
    """A flag that remembers changes for good, and then remembers nothing; another goes on."""
    flag = np.concatenate([markov(0.2, 0.5, 4_000, 70), markov(0.7, 0.0, 3_000, 71)])
    columns = {"sticky": flag, "steady": markov(0.3, 0.6, 7_000, 72)}
    cells = {feature(name): column((flags > 0).tolist()) for name, flags in columns.items()}
    return batch(cells, times=(START + SECOND // 10 * np.arange(7_000) * 3).tolist())


def watched(cuts: list[int], restores: bool) -> tuple[list[bytes], list[StepKind], ModelVersion]:
    version, steps = ModelVersion("fraud", "3", MODEL), []
    for start, stop in itertools.pairwise([0, *cuts, 7_000]):
        part = cut(events(), start, stop)
        steps += version.observe(part).steps
        steps += version.advance(int(part.time[-1]) + 1)
        if restores:
            state = decode(encode(version.snapshot()))
            version = ModelVersion("fraud", "3", MODEL)
            assert version.restore(state) == []
    told = [step.kind for step in steps if step.signal.name == "sticky"]
    return [encode(step_state(step)) for step in steps], told, version


def test_a_version_goes_on_however_its_events_are_cut() -> None:
    steps, told, whole = watched([], False)
    state = whole.snapshot()
    told_of = {signal.name: {each.code for each in found} for signal, found in whole.findings}
    assert Code.MEMORY in told_of["steady"]
    assert [kind for kind in told if kind in (StepKind.CHANGED, StepKind.ACCEPTED)][:2] == [
        StepKind.CHANGED,
        StepKind.ACCEPTED,
    ]
    for seed in range(3):
        cuts = np.random.default_rng(seed).choice(7_000, 30, replace=False)
        parts, _, end = watched(np.sort(cuts[cuts > 0]).tolist(), True)
        assert sorted(parts) == sorted(steps)
        assert same(end.snapshot(), state)
