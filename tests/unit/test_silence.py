import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.changes import Step, StepKind
from streamdrift.records import Ints
from streamdrift.signals.silence import Silence, SilenceSettings
from tests.batches import SECOND

_SETTINGS = SilenceSettings(at_least=60 * SECOND, factor=10, events=100)


def _steady(events: int, gap: int = SECOND, start: int = 0) -> Ints:
    return start + np.arange(events, dtype=np.int64) * gap


def test_a_pause_over_the_limit_is_reported_at_its_time_however_late_it_is_noticed() -> None:
    early, late = Silence("fraud", _SETTINGS), Silence("fraud", _SETTINGS)
    for silence in (early, late):
        assert silence.observe(_steady(200)) == []
    last = 199 * SECOND
    assert early.advance(last + 60 * SECOND) == []
    (noticed,) = early.advance(last + 60 * SECOND + 1)
    (noticed_late,) = late.advance(last + 900 * SECOND)
    assert noticed == noticed_late
    assert noticed.time == last + 60 * SECOND
    assert early.advance(last + 999 * SECOND) == []


def test_the_usual_pause_raises_the_limit() -> None:
    silence = Silence("fraud", _SETTINGS)
    silence.observe(_steady(200, gap=30 * SECOND))
    last = 199 * 30 * SECOND
    assert silence.advance(last + 299 * SECOND) == []
    assert len(silence.advance(last + 301 * SECOND)) == 1


def test_events_end_the_silence_and_its_pause_is_not_learned() -> None:
    silence = Silence("fraud", _SETTINGS)
    silence.observe(_steady(200))
    steps = silence.observe(_steady(200, start=1_000 * SECOND))
    assert [step.kind for step in steps] == [StepKind.CHANGED, StepKind.RETURNED]
    assert steps[1].time == 1_000 * SECOND
    assert len(silence.advance(1_261 * SECOND)) == 1


def test_few_events_tell_nothing() -> None:
    silence = Silence("fraud", _SETTINGS)
    silence.observe(_steady(99))
    assert silence.advance(10**15) == []


def test_disabled_is_silent() -> None:
    silence = Silence("fraud", SilenceSettings(enabled=False))
    silence.observe(_steady(5_000))
    assert silence.advance(10**15) == []


@given(
    st.lists(st.sampled_from([1, 1, 1, 2, 5, 90, 700]), min_size=120, max_size=400),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_cuts_and_restores_change_nothing(gaps: list[int], cuts: list[int]) -> None:
    times = np.cumsum(np.array(gaps, dtype=np.int64)) * SECOND
    whole, parts = Silence("fraud", _SETTINGS), Silence("fraud", _SETTINGS)
    expected = whole.observe(times)
    steps: list[Step] = []
    bounds = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            steps += parts.observe(times[start:stop])
        restored = Silence("fraud", _SETTINGS)
        restored.restore(parts.snapshot())
        parts = restored
    assert steps == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


def test_cuts_change_nothing_while_old_pauses_are_forgotten() -> None:
    """The pause that set the limit leaves the memory of 16 blocks inside a cut."""
    gaps = np.ones(8_500, dtype=np.int64)
    gaps[300], gaps[8_300:] = 100, 70
    times = np.cumsum(gaps) * SECOND
    whole, parts = Silence("fraud", _SETTINGS), Silence("fraud", _SETTINGS)
    expected = whole.observe(times)
    steps = [step for time in times for step in parts.observe(np.array([time]))]
    assert steps == expected != []
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
