"""References that cover a span: watched provisionally, made whole when the span is over."""

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random

import numpy as np
import pytest

from streamdrift.changes import Step, StepKind
from streamdrift.columns import cut
from streamdrift.durations import DAY, SECOND
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.monitor import Monitor
from streamdrift.records import Batch, Column, Floats, Ints, Kind, Notice, Partition, Released
from streamdrift.references.findings import Code, in_words
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.state import decode, encode
from tests.batches import feature

MONDAY = 1_767_571_200 * SECOND
"""2026-01-05T00:00:00Z."""
GAP = 10 * SECOND
EVENTS = 2_000


def _settings(span: int = 7 * DAY, **changes: object) -> ModelSettings:
    return ModelSettings.model_validate(
        {"reference": ReferenceSettings(events=EVENTS, span=span), **changes}
    )


def _batch(columns: Mapping[str, Floats], times: Ints, kind: Kind = Kind.NUMBER) -> Batch:
    size = len(times)
    return Batch(
        "m",
        "1",
        (Partition("t", 0),),
        np.zeros(size, dtype=np.int32),
        np.arange(size, dtype=np.int64),
        np.zeros(size, dtype=np.int32),
        np.zeros(size, dtype=np.uint64),
        times,
        {
            feature(name): Column(np.full(size, kind, dtype=np.uint8), values, None, (), None)
            for name, values in columns.items()
        },
    )


@cache
def _stream(days: float, seed: int = 1) -> Batch:
    """Return events of a number with a daily cycle of .5 sd, and one without."""
    times = MONDAY + np.arange(int(days * DAY) // GAP, dtype=np.int64) * GAP
    draw = np.random.default_rng(seed)
    cycle = 0.5 * np.sin(2 * np.pi * times / DAY) + draw.normal(size=len(times))
    return _batch({"cycle": cycle, "plain": draw.normal(size=len(times))}, times)


@cache
def _flags(days: float, seed: int = 1) -> Batch:
    """Return events of a flag whose rate has a daily cycle, of one with none, and of a rare one."""
    times = MONDAY + np.arange(int(days * DAY) // GAP, dtype=np.int64) * GAP
    coins = np.random.default_rng(seed).random((3, len(times)))
    cycle = 0.5 + 0.2 * np.sin(2 * np.pi * times / DAY)
    chances = {"cycle": cycle, "plain": np.full(len(times), 0.2), "rare": 0.02 * cycle}
    columns = {
        name: (coin < chance).astype(np.float64)
        for coin, (name, chance) in zip(coins, chances.items(), strict=True)
    }
    return _batch({**columns, "never": np.zeros(len(times))}, times, Kind.BOOLEAN)


def _shifted(whole: Batch, name: str, since: float, until: float, shift: float) -> Batch:
    """Return a stream whose column is shifted from one day to another."""
    days = (whole.time - MONDAY) / DAY
    columns = {key.name: column.numbers.copy() for key, column in whole.columns.items()}
    columns[name][(days >= since) & (days < until)] += shift
    return _batch(columns, whole.time)


def _run(
    whole: Batch, settings: ModelSettings, cuts: Sequence[int] = (), *, restored: bool = False
) -> tuple[ModelVersion, list[Step], list[Notice]]:
    version = ModelVersion("m", "1", settings)
    steps, notices = list[Step](), list[Notice]()
    bounds = [0, *sorted({*range(0, len(whole), 5_000), *cuts} - {0}), len(whole)]
    for start, stop in itertools.pairwise(bounds):
        observed = version.observe(cut(whole, start, stop))
        steps += observed.steps
        notices += observed.notices
        if restored:
            state = decode(encode(version.snapshot()))
            version = ModelVersion("m", "1", settings)
            assert version.restore(state) == []
    return version, steps, notices


def _codes(version: ModelVersion, name: str) -> set[Code]:
    found = {signal.name: findings for signal, findings in version.findings}
    return {finding.code for finding in found.get(name, ())}


@cache
def _three_weeks() -> tuple[ModelVersion, list[Step], list[Notice]]:
    return _run(_stream(21), _settings())


def _day(step: Step) -> float:
    return (step.time - MONDAY) / DAY


def test_a_provisional_reference_says_what_it_cannot_know() -> None:
    version, _, notices = _run(_stream(1), _settings())
    assert Code.PROVISIONAL in _codes(version, "cycle")
    assert Code.PROVISIONAL in _codes(version, "plain")
    complete = next(each for each in notices if each.event == "reference complete")
    told = complete.fields["findings"]
    assert isinstance(told, list)
    first = next(line for line in told if "provisional" in line)
    assert "until 2026-01-12 00:00:00 UTC" in first
    assert first.startswith("cycle, plain: for example cycle: a provisional reference of 5.6 hours")


def test_the_rhythm_is_learnt_when_the_span_is_over_and_told_once() -> None:
    version, _, notices = _three_weeks()
    assert Code.CALENDAR in _codes(version, "cycle")
    assert Code.PROVISIONAL not in _codes(version, "cycle") | _codes(version, "plain")
    learnt = [each for each in notices if each.event == "rhythm learnt"]
    assert [each.fields["signals"] for each in learnt] == [2]
    assert "hour of the day" in str(learnt[0].fields["findings"])


def test_a_daily_cycle_is_bearable_at_first_and_quiet_from_then_on() -> None:
    _, steps, _ = _three_weeks()
    changed = [_day(step) for step in steps if step.kind is StepKind.CHANGED]
    assert sum(day < 7 for day in changed) <= 6
    assert sum(day >= 7 for day in changed) <= 6


@cache
def _three_weeks_of_flags() -> tuple[ModelVersion, list[Step], list[Notice]]:
    return _run(_flags(21), _settings())


def test_the_rhythm_of_a_flag_is_learnt_too() -> None:
    first, _, _ = _run(_flags(1), _settings())
    for name in ("cycle", "plain", "rare"):
        assert Code.PROVISIONAL in _codes(first, name)
    # What is always the same has no rhythm, and costs nothing.
    assert not _codes(first, "never")
    version, _, notices = _three_weeks_of_flags()
    assert Code.CALENDAR in _codes(version, "cycle")
    assert not _codes(version, "plain")
    learnt = [each for each in notices if each.event == "rhythm learnt"]
    assert [each.fields["signals"] for each in learnt] == [3]


def test_a_flag_by_the_hour_is_bearable_at_first_and_quiet_from_then_on() -> None:
    _, steps, _ = _three_weeks_of_flags()
    changed = [_day(step) for step in steps if step.kind is StepKind.CHANGED]
    assert sum(day < 7 for day in changed) <= 4
    assert sum(day >= 7 for day in changed) <= 3


@pytest.mark.parametrize("day", [9.3, 12.8])
def test_a_change_of_a_flag_is_found_beside_its_rhythm(day: float) -> None:
    whole = _flags(14)
    times = (whole.time - MONDAY) / DAY
    columns = {key.name: column.numbers.copy() for key, column in whole.columns.items()}
    more = np.random.default_rng(3).random(len(times)) < 0.35
    columns["cycle"][(times >= day) & more] = 1.0
    _, steps, _ = _run(_batch(columns, whole.time, Kind.BOOLEAN), _settings())
    found = [
        _day(step)
        for step in steps
        if step.kind is StepKind.CHANGED and step.signal.name == "cycle" and _day(step) >= day
    ]
    assert found[0] - day < 500 * GAP / DAY


@pytest.mark.parametrize("restored", [False, True])
def test_cuts_and_restores_change_nothing_of_flags(restored: bool) -> None:
    whole = _flags(9)
    version, steps, notices = _run(whole, _settings())
    cuts = np.random.default_rng(4).choice(len(whole), 12, replace=False).tolist()
    other, others, told = _run(whole, _settings(), cuts, restored=restored)
    assert (others, told) == (steps, notices)
    assert encode(other.snapshot()) == encode(version.snapshot())


@pytest.mark.parametrize("day", [3.2, 9.9])
def test_a_change_is_found_before_and_after(day: float) -> None:
    whole = _shifted(_stream(11), "cycle", day, 99, 1.0)
    _, steps, _ = _run(whole, _settings())
    found = [
        _day(step)
        for step in steps
        if step.kind is StepKind.CHANGED and step.signal.name == "cycle" and _day(step) >= day
    ]
    assert (found[0] - day) * DAY / GAP < 80


def test_without_a_span_nothing_is_provisional() -> None:
    version, _, notices = _run(_stream(9), _settings(span=0))
    assert not _codes(version, "plain")
    assert not any(each.event == "rhythm learnt" for each in notices)


def test_a_reference_that_covers_the_span_is_whole_at_once() -> None:
    version, _, _ = _run(_stream(1), _settings(span=DAY // 12))
    assert Code.PROVISIONAL not in _codes(version, "cycle")


def test_times_that_are_made_up_teach_no_rhythm() -> None:
    monitor = Monitor(lambda _: _settings(), timed=False)
    whole = _stream(1)
    monitor.observe(Released((whole,), int(whole.time[-1])))
    assert all(Code.PROVISIONAL not in _codes(each, "cycle") for each in monitor.versions())


def test_few_values_that_repeat_unevenly_are_told() -> None:
    draw = np.random.default_rng(1)
    times = _stream(1).time
    half = np.where(draw.random(len(times)) < 0.5, 0.0, draw.normal(size=len(times)))
    version, _, _ = _run(_batch({"half": half}, times), _settings())
    assert _codes(version, "half") >= {Code.REPEATS}


def test_whole_numbers_follow_a_daily_cycle_too() -> None:
    times = _stream(9).time
    draw = np.random.default_rng(1)
    counts = draw.poisson(9 + 1.5 * np.sin(2 * np.pi * times / DAY)).astype(np.float64)
    version, steps, _ = _run(_batch({"n": counts}, times), _settings())
    assert Code.CALENDAR in _codes(version, "n")
    assert sum(step.kind is StepKind.CHANGED for step in steps) <= 3


@pytest.mark.parametrize(("seed", "restored"), [(1, False), (2, True), (3, True)])
def test_cuts_and_restores_change_nothing(seed: int, restored: bool) -> None:
    whole = _shifted(_stream(8), "cycle", 6.99, 7.02, 3.0)
    expected, steps, _ = _run(whole, _settings())
    assert {step.kind for step in steps} >= {StepKind.CHANGED, StepKind.RETURNED}
    # Most cuts lie about the end of the span.
    draw, end = Random(seed), 7 * DAY // GAP
    cuts = [draw.randrange(end - 300, end + 3_000) for _ in range(30)]
    cuts += [draw.randrange(1, len(whole)) for _ in range(10)]
    parts, others, _ = _run(whole, _settings(), cuts, restored=restored)
    assert others == steps
    assert encode(parts.snapshot()) == encode(expected.snapshot())


def test_a_signal_that_is_held_when_the_span_ends_waits_for_its_return() -> None:
    whole = _shifted(_stream(8), "cycle", 6.99, 7.2, 3.0)
    middle = int(7.1 * DAY) // GAP
    version, steps, notices = _run(whole, _settings(), [middle])
    told = [each.fields["signals"] for each in notices if each.event == "rhythm learnt"]
    assert told == [1, 1]
    assert Code.CALENDAR in _codes(version, "cycle")
    assert StepKind.RETURNED in {step.kind for step in steps}


def test_a_change_that_is_accepted_begins_a_span_of_its_own() -> None:
    whole = _shifted(_stream(9), "plain", 5.0, 99, 3.0)
    version, steps, _ = _run(whole, _settings())
    assert [step.kind for step in steps if step.signal.name == "plain"][-1] is StepKind.ACCEPTED
    found = dict(version.findings)
    plain = next(findings for signal, findings in found.items() if signal.name == "plain")
    assert plain[0].code is Code.PROVISIONAL
    assert "until 2026-01-1" in in_words(plain[0])
    assert plain[0].figures["until"] > MONDAY + 12 * DAY


def test_a_signal_without_values_in_the_span_is_given_another() -> None:
    whole = _stream(8)
    later = whole.time > MONDAY + DAY // 4
    gone = {key.name: column.numbers.copy() for key, column in whole.columns.items()}
    gone["plain"][later] = np.nan
    batch = _batch(gone, whole.time)
    kinds = batch.columns[feature("plain")].kinds
    kinds[later] = Kind.NULL
    version, _, _ = _run(batch, _settings())
    assert Code.PROVISIONAL in _codes(version, "plain")
