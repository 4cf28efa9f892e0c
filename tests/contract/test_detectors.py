"""What every registered detector keeps to."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from streamdrift import detectors
from streamdrift.detectors import (
    BANKS,
    DEFAULT_DETECTORS,
    AdwinSettings,
    Bank,
    DdmSettings,
    DetectorSettings,
    EddmSettings,
    EDetectorSettings,
    Expected,
    FocusSettings,
    HddmASettings,
    HddmWSettings,
    KswinSettings,
    PageHinkleySettings,
    RiverSettings,
    make_bank,
)
from streamdrift.detectors.learning import learn
from streamdrift.detectors.registry import takes
from streamdrift.detectors.river import SPECIFICATIONS
from streamdrift.records import Floats, Ints, Sample, Stream

SLOTS = 3
ROWS = np.array([2, 0, 1])
EAGER: Sequence[DetectorSettings] = (
    EDetectorSettings(),
    AdwinSettings(),
    AdwinSettings(delta=0.5, clock=1, max_buckets=2, min_window_length=1, minimum_effect=0),
    AdwinSettings(delta=0.9, clock=7, minimum_effect=0.4),
    PageHinkleySettings(),
    PageHinkleySettings(delta=0.05, threshold=3, headroom=0, min_instances=2, minimum_effect=0),
    PageHinkleySettings(delta=0.05, threshold=3, headroom=0, alpha=0.99, mode="down"),
    DdmSettings(warm_start=5, drift_threshold=3),
    EddmSettings(warm_start=5, beta=0.9),
    FocusSettings(threshold=4, minimum_effect=0),
    FocusSettings(mean="unknown", threshold=4, minimum_effect=0.3),
    HddmASettings(drift_confidence=0.05),
    HddmASettings(drift_confidence=0.05, two_sided_test=False),
    HddmWSettings(drift_confidence=0.001),
    KswinSettings(alpha=0.05, window_size=20, stat_size=8),
    RiverSettings(name="FHDDM", parameters={"sliding_window_size": 20, "confidence_level": 0.1}),
)
"""Settings that alarm often, so that short series reach every path."""


class Source(NamedTuple):
    """Signals of one kind: what their references expect, and what they show."""

    name: str
    expected: Sequence[Expected]
    draw: Callable[[Floats], Floats]
    """From values on [0, 1) whose mean jumps, the values of a signal."""
    quiet: tuple[float, float]
    """Two values that, by turns, are no change."""


def _as_rates(uniform: Floats) -> Floats:
    return (uniform > 0.5).astype(np.float64)


def _as_levels(uniform: Floats) -> Floats:
    return np.floor(uniform * 5)


def _chained(size: int) -> Expected:
    """Return what a rate lets expect whose values mostly repeat the one before."""
    random = np.random.default_rng(size)
    starts = random.random(size) < 0.3
    values = np.where(starts, random.random(size) < 0.4, 0)[
        np.maximum.accumulate(np.where(starts, np.arange(size), 0))
    ].astype(np.float64)
    counts = np.array([size - values.sum(), values.sum()])
    expected = learn(Sample(Stream.RATE, counts, order=values)).expected
    assert expected.chain is not None
    return expected


RATES = Source(
    "", [Expected.of_rate(zeros, 100 - zeros) for zeros in (50, 90, 99)], _as_rates, (0.0, 1.0)
)
CHAINS = Source("chains", [_chained(size) for size in (2_000, 2_500, 3_000)], _as_rates, (0.0, 1.0))
RANKS = Source("ranks", [Expected(Stream.NUMERIC)] * SLOTS, lambda uniform: uniform, (0.3, 0.7))
LEVELS = Source(
    "levels",
    [Expected(Stream.CATEGORY, counts=np.array([5.0, 4, 3, 2]) * size) for size in (9, 90, 40)],
    _as_levels,
    (0.0, 1.0),
)


class Case(NamedTuple):
    """A detector's settings, over signals of one kind."""

    settings: DetectorSettings
    source: Source


CASES = (
    *[Case(one, RATES) for one in EAGER],
    *[Case(one, RANKS) for one in EAGER if takes(one, Stream.NUMERIC)],
    Case(EDetectorSettings(), CHAINS),
    Case(EDetectorSettings(), LEVELS),
)


def title(one: Case) -> str:
    name = getattr(one.settings, "name", one.settings.kind)
    return f"{name}-{one.source.name}" if one.source.name else name


every_detector = pytest.mark.parametrize("one", CASES, ids=title)

RUN_LENGTHS = np.full(SLOTS, 1e5)


def new_bank(one: Case) -> Bank:
    return make_bank(one.settings, one.source.expected, RUN_LENGTHS)


def signals(one: Case, seed: int, length: int, holes: float = 0.2) -> Floats:
    """Return float64[SLOTS, length] of signals that jump, NaN where missing."""
    random = np.random.default_rng(seed)
    rates = np.repeat(random.random((SLOTS, length // 50 + 1)), 50, axis=1)[:, :length]
    uniform = random.random((SLOTS, length))
    ones = uniform < rates
    # Above one half as often as the rate says, and even within each half.
    uniform = np.where(ones, 0.5 + uniform / rates / 2, (uniform - rates) / (1 - rates) / 2)
    values = one.source.draw(np.clip(uniform, 0, 1 - 1e-9))
    values[random.random((SLOTS, length)) < holes] = np.nan
    return values


def consume(bank: Bank, values: Floats, first: int = 0) -> list[tuple[int, int, Any]]:
    """Feed all values; return (slot, event, evidence) of every alarm, resetting at each."""
    events = values.shape[1]
    start = np.zeros(SLOTS, dtype=np.int64)
    found = []
    while (start < events).any():
        alarms: Ints = bank.update(values, ROWS, start)
        for slot in np.flatnonzero(alarms < events).tolist():
            assert np.isfinite(values[ROWS[slot], alarms[slot]])
            found.append((slot, first + int(alarms[slot]), bank.evidence(slot)))
            bank.reset(slot)
        start = alarms + 1
    return sorted(found, key=lambda alarm: alarm[:2])


def plain(state: Any) -> Any:
    """Return a snapshot as something that compares bit by bit."""
    if isinstance(state, np.ndarray):
        return (state.dtype.str, state.shape, state.tobytes())
    if isinstance(state, Mapping):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [plain(value) for value in state]
    assert state is None or isinstance(state, bool | int | float | str), type(state)
    return repr(state)


def test_every_registered_detector_is_covered() -> None:
    assert {one.kind for one in EAGER} == {*BANKS, "e_detector"}
    assert {one.name for one in EAGER if one.kind == "river"} == set(SPECIFICATIONS)


@every_detector
def test_settings_reach_an_alarm(one: Case) -> None:
    uniform = np.tile(np.random.default_rng(1).random(1_500), (SLOTS, 1))
    uniform[:, 700:1_100] = 0.5 + uniform[:, 700:1_100] / 2
    uniform[:, :700] *= 0.62
    values = one.source.draw(uniform)
    assert len(consume(new_bank(one), values)) >= SLOTS


@every_detector
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 400), max_size=8))
@settings(max_examples=15, deadline=None)
def test_cutting_the_input_changes_nothing(one: Case, seed: int, cuts: list[int]) -> None:
    values = signals(one, seed, 400)
    whole, parted = new_bank(one), new_bank(one)
    expected = consume(whole, values)
    borders = [0, *sorted(cuts), 400]
    found = []
    for first, end in itertools.pairwise(borders):
        found += consume(parted, np.ascontiguousarray(values[:, first:end]), first)
    assert sorted(found, key=lambda alarm: alarm[:2]) == expected
    assert plain(parted.snapshot()) == plain(whole.snapshot())


@every_detector
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 400))
@settings(max_examples=15, deadline=None)
def test_a_restored_bank_goes_on_bit_by_bit(one: Case, seed: int, cut: int) -> None:
    values = signals(one, seed, 400)
    uninterrupted, restored = new_bank(one), new_bank(one)
    consume(uninterrupted, np.ascontiguousarray(values[:, :cut]))
    consume(restored, signals(one, seed + 1, 90))
    stored = uninterrupted.snapshot()
    before = plain(stored)
    restored.restore(stored)
    rest = np.ascontiguousarray(values[:, cut:])
    assert consume(restored, rest) == consume(uninterrupted, rest)
    assert plain(restored.snapshot()) == plain(uninterrupted.snapshot())
    assert plain(stored) == before
    for left, right in zip(restored.readings(), uninterrupted.readings(), strict=True):
        assert left.tobytes() == right.tobytes()


@every_detector
def test_a_bank_adopts_single_slots_of_another_one(one: Case) -> None:
    values = signals(one, 3, 400)
    whole = new_bank(one)
    consume(whole, np.ascontiguousarray(values[:, :200]))
    stored = whole.snapshot()
    part = new_bank(one)
    part.adopt(np.array([0, 2]), stored, np.array([0, 2]))
    rest = np.ascontiguousarray(values[:, 200:])
    kept = [alarm for alarm in consume(whole, rest) if alarm[0] != 1]
    found = consume(part, rest)
    assert [alarm for alarm in found if alarm[0] != 1] == kept
    anew = [alarm for alarm in consume(new_bank(one), rest) if alarm[0] == 1]
    assert [alarm for alarm in found if alarm[0] == 1] == anew


@every_detector
def test_a_slot_is_adopted_into_another_place(one: Case) -> None:
    values = signals(one, 3, 400)
    whole = new_bank(one)
    consume(whole, np.ascontiguousarray(values[:, :200]))
    single = make_bank(one.settings, one.source.expected[2:], RUN_LENGTHS[2:])
    single.adopt(np.array([0]), whole.snapshot(), np.array([2]))
    for alone, all_of_them in zip(single.readings(), whole.readings(), strict=True):
        assert alone.tolist() == all_of_them[2:].tolist()


@every_detector
def test_used_slots_go_back_to_a_snapshot(one: Case) -> None:
    values = signals(one, 3, 3_000)
    bank = new_bank(one)
    consume(bank, np.ascontiguousarray(values[:, :50]))
    stored = bank.snapshot()
    rest = np.ascontiguousarray(values[:, 50:])
    found = consume(bank, rest)
    everything = np.arange(SLOTS)
    bank.adopt(everything, stored, everything)
    assert plain(bank.snapshot()) == plain(stored)
    assert consume(bank, rest) == found


@every_detector
def test_missing_values_are_as_if_the_event_were_not(one: Case) -> None:
    holes = signals(one, 1, 1_000, holes=0.3)
    bank = new_bank(one)
    found = consume(bank, holes)
    for slot in range(SLOTS):
        row = holes[ROWS[slot]]
        events = np.flatnonzero(np.isfinite(row))
        dense = np.tile(row[events], (SLOTS, 1))
        alone = [alarm for alarm in consume(new_bank(one), dense) if alarm[0] == slot]
        assert [(events[event], evidence) for _, event, evidence in alone] == [
            (event, evidence) for owner, event, evidence in found if owner == slot
        ]


@every_detector
def test_reset_takes_over_another_reference_and_run_length(one: Case) -> None:
    turned = one.source.expected[::-1]
    changed, made = new_bank(one), make_bank(one.settings, turned, RUN_LENGTHS * 10)
    for slot in range(SLOTS):
        changed.reset(slot, turned[slot], 1e6)
    np.testing.assert_equal(changed.readings(), made.readings())
    assert consume(changed, signals(one, 5, 500)) == consume(made, signals(one, 5, 500))


@every_detector
def test_a_reset_slot_is_as_new_and_the_others_stay(one: Case) -> None:
    used, fresh = new_bank(one), new_bank(one)
    consume(used, signals(one, 2, 333))
    kept = used.readings()
    used.reset(1, one.source.expected[1])
    assert [array[[0, 2]].tolist() for array in used.readings()] == [
        array[[0, 2]].tolist() for array in kept
    ]
    used.reset(0, one.source.expected[0])
    used.reset(2, one.source.expected[2])
    assert plain(used.snapshot()) == plain(fresh.snapshot())
    assert consume(used, signals(one, 3, 500)) == consume(fresh, signals(one, 3, 500))


@every_detector
def test_a_slot_that_starts_at_the_end_sleeps(one: Case) -> None:
    bank = new_bank(one)
    values = signals(one, 4, 300)
    consume(bank, values)
    before = plain(bank.snapshot())
    assert bank.update(values, ROWS, np.full(SLOTS, 300)).tolist() == [300] * SLOTS
    assert plain(bank.snapshot()) == before
    empty = np.empty((SLOTS, 0))
    assert bank.update(empty, ROWS, np.zeros(SLOTS, dtype=np.int64)).tolist() == [0] * SLOTS
    assert plain(bank.snapshot()) == before


@every_detector
def test_evidence_makes_sense(one: Case) -> None:
    alarms = 0
    for seed in range(5):
        last = [-1] * SLOTS
        for slot, event, evidence in consume(new_bank(one), signals(one, seed, 1_000, holes=0)):
            alarms += 1
            assert evidence.statistic >= evidence.threshold > 0
            assert 0 <= evidence.latest <= evidence.earliest
            # How many values there were is known to who watches by an e-detector.
            reach = evidence.latest if one.settings.kind == "e_detector" else evidence.earliest
            assert reach < event - last[slot]
            last[slot] = event
    assert alarms > 0


@every_detector
def test_readings_are_finite_and_below_the_threshold_while_all_is_quiet(
    one: Case,
) -> None:
    bank = new_bank(one)
    for values in (np.full((SLOTS, 1), np.nan), np.tile(one.source.quiet, (SLOTS, 150))):
        if consume(bank, values):
            continue
        statistic, threshold = bank.readings()
        assert statistic.shape == threshold.shape == (SLOTS,)
        assert np.isfinite(statistic).all()
        assert np.isfinite(threshold).all()
        assert (statistic <= threshold).all()


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    detectors: tuple[DetectorSettings, ...] = DEFAULT_DETECTORS


def test_settings_take_a_list_told_apart_by_kind() -> None:
    stated = [{"kind": "adwin", "delta": 0.002}, {"kind": "page_hinkley"}]
    assert Section.model_validate({"detectors": stated}).detectors == (
        AdwinSettings(delta=0.002),
        PageHinkleySettings(),
    )
    assert (
        Section().model_dump_json()
        == Section.model_validate(Section().model_dump(mode="json")).model_dump_json()
    )
    assert Section.model_json_schema()


@pytest.mark.parametrize(
    "wrong",
    [[{"kind": "cusum"}], [{"kind": "adwin", "delta": 2}], [{"delta": 0.1}], [3]],
)
def test_wrong_settings_are_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Section.model_validate({"detectors": wrong})


def test_every_exported_name_exists() -> None:
    assert all(hasattr(detectors, name) for name in detectors.__all__)
    assert sorted(set(detectors.__all__)) == sorted(detectors.__all__)
