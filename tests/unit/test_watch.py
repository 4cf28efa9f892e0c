import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors import AdwinSettings, DetectorSettings, PageHinkleySettings
from streamdrift.records import Floats
from streamdrift.watch import RETURN_BLOCK, Sign, Watch

_DETECTORS: tuple[DetectorSettings, ...] = (AdwinSettings(),)
_UNIFORM = 12**-0.5


def _watch(count: int = 1) -> Watch:
    return Watch([_DETECTORS] * count, np.full(count, 0.5), np.full(count, _UNIFORM))


def _shifted(seed: int = 1, shift: float = 0.3) -> Floats:
    """3,000 uniform values, 2,000 with a shifted mean, 4,000 uniform ones."""
    rng = np.random.default_rng(seed)
    values = rng.random(9_000)
    values[3_000:5_000] = np.clip(values[3_000:5_000] + shift, 0, 1)
    return values[None, :]


def _events(signs: list[Sign]) -> list[tuple[bool, int]]:
    return [(sign.evidence is not None, sign.row) for sign in signs]


def test_one_change_makes_one_step_and_one_return() -> None:
    signs = _watch().update(_shifted())
    assert [changed for changed, _ in _events(signs)] == [True, False]
    change, back = signs
    assert 3_000 <= change.row < 3_200
    assert 5_000 <= back.row < 5_000 + 2 * RETURN_BLOCK
    assert change.evidence is not None
    assert change.evidence.before == pytest.approx(0.5, abs=0.03)
    assert change.evidence.after > 0.6


def test_held_signal_stays_held_while_the_change_lasts() -> None:
    watch = _watch()
    watch.update(_shifted()[:, :5_000])
    assert watch.held.tolist() == [True]
    lasting = np.clip(np.random.default_rng(2).random((1, 20_000)) + 0.15, 0, 1)
    assert watch.update(lasting) == []


def test_rearmed_signal_is_watched_under_its_new_reference() -> None:
    watch = _watch()
    watch.update(_shifted()[:, :5_000])
    watch.rearm(0, 0.5, _UNIFORM)
    assert watch.held.tolist() == [False]
    signs = watch.update(_shifted(seed=4))
    assert _events(signs)[0][0]


def test_signals_without_detectors_never_change() -> None:
    watch = Watch([(), _DETECTORS], np.full(2, 0.5), np.full(2, _UNIFORM))
    signs = watch.update(np.concatenate([_shifted(), _shifted()]))
    assert {sign.signal for sign in signs} == {1}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9_000), max_size=5), st.integers(0, 5))
def test_cuts_and_restores_change_nothing(cuts: list[int], seed: int) -> None:
    values = np.concatenate([_shifted(seed), _shifted(seed + 50, shift=0.1)])
    values[1, ::3] = np.nan
    whole, parts = _watch(2), _watch(2)
    expected = whole.update(values)
    signs: list[Sign] = []
    bounds = [0, *sorted(cuts), 9_000]
    for start, stop in itertools.pairwise(bounds):
        for sign in parts.update(values[:, start:stop]):
            signs.append(sign._replace(row=sign.row + start))
        restored = _watch(2)
        restored.restore(parts.snapshot())
        parts = restored
    assert signs == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


_SLOW = AdwinSettings(clock=64)


def _with(*detectors: tuple[DetectorSettings, ...]) -> Watch:
    count = len(detectors)
    return Watch(detectors, np.full(count, 0.5), np.full(count, _UNIFORM))


def _half(count: int) -> Floats:
    """Values of every signal before any change."""
    return np.random.default_rng(7).random((count, 3_000))


def _after(watch: Watch) -> list[Sign]:
    """Return what the signals do at a change of them all, a while later."""
    later = np.random.default_rng(8).random((len(watch.held), 3_000))
    later[:, 1_000:] = np.clip(later[:, 1_000:] + 0.2, 0, 1)
    return watch.update(later)


def test_signals_with_other_detectors_start_afresh_and_the_others_go_on() -> None:
    both: tuple[DetectorSettings, ...] = (AdwinSettings(), PageHinkleySettings())
    before, after = _with(both, both, both), _with(both, (_SLOW,), both)
    before.update(_half(3))
    assert after.restore(before.snapshot()) == [1]
    found, as_before = _after(after), _after(before)
    assert {each.signal for each in found} == {0, 1, 2}
    assert [each for each in found if each.signal != 1] == [
        each for each in as_before if each.signal != 1
    ]
    anew = _with((), (_SLOW,), ())
    assert [each for each in found if each.signal == 1] == _after(anew)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_detectors_is_no_change(order: tuple[int, int]) -> None:
    both: tuple[DetectorSettings, ...] = (AdwinSettings(), PageHinkleySettings())
    before, after = _with(both), _with((both[order[0]], both[order[1]]))
    before.update(_half(1))
    assert after.restore(before.snapshot()) == []
    assert sorted(after.readings(), key=str) == sorted(before.readings(), key=str)


def test_a_held_signal_stays_held_under_other_detectors() -> None:
    before, after = _watch(2), _with(_DETECTORS, (_SLOW,))
    values = np.concatenate([_shifted(), _shifted()])
    before.update(values[:, :5_000])
    assert before.held.tolist() == [True, True]
    assert after.restore(before.snapshot()) == [1]
    rest = values[:, 5_000:]
    returns = before.update(rest)
    assert {each.signal for each in returns} == {0, 1}
    assert after.update(rest) == returns


def test_a_detector_taken_away_and_one_added() -> None:
    before, after = _with(_DETECTORS, ()), _with((), _DETECTORS)
    before.update(_half(2))
    assert after.restore(before.snapshot()) == [0, 1]
    assert {sign.signal for sign in _after(after)} == {1}


def test_a_default_that_another_release_changes_is_a_change() -> None:
    watch = _watch()
    watch.update(_half(1))
    stored = watch.snapshot()

    class Released(AdwinSettings):
        clock: int = 33

    assert _with((Released(),)).restore(stored) == [0]
    assert _watch().restore(stored) == []
