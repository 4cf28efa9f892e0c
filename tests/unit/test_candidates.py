"""Candidates: said by their evidence, and taken back whatever takes that from them."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from streamdrift.changes import StepKind
from streamdrift.detectors import AdwinSettings, DetectorSettings, EDetectorSettings
from streamdrift.detectors.banks import Lengths
from streamdrift.detectors.candidates import Candidates, Seen, none_any_more
from streamdrift.detectors.judge import Sign
from streamdrift.detectors.learning import Reference, learn
from streamdrift.detectors.watch import Watch
from streamdrift.incidents.budget import e_bh
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring.monitor import Monitor
from streamdrift.records import Floats, Ints, Released, Sample, Stream
from tests.batches import SECOND, batch
from tests.readings import readings_of

_DEFAULT: tuple[DetectorSettings, ...] = (EDetectorSettings(),)


def _reference(seed: int = 1) -> Reference:
    return learn(Sample(Stream.NUMERIC, np.random.default_rng(seed).normal(size=2_000)))


def _watch(
    detectors: Sequence[DetectorSettings] = _DEFAULT, count: int = 1, minimum: float = 0.05
) -> Watch:
    lengths = Lengths(np.full(count, 1e15), np.full(count, 1e3))
    return Watch([detectors] * count, [_reference()] * count, range(count), lengths, minimum)


def _looked(watch: Watch, values: Floats, every: int = 10) -> list[Sign]:
    looks: Ints = np.arange(0, len(values), every)
    return watch.update(np.atleast_2d(values), np.arange(len(values)), looks)


def _kinds(signs: Sequence[Sign]) -> list[StepKind]:
    return [sign.kind for sign in signs]


def _candidate(detectors: Sequence[DetectorSettings] = _DEFAULT) -> Watch:
    """Return a watch whose signal is a candidate."""
    watch = _watch(detectors)
    shifted = np.random.default_rng(2).normal(1.2, 1, 30)
    assert set(_kinds(_looked(watch, shifted))) == {StepKind.CANDIDATE}
    assert watch.candidates == [0]
    return watch


_QUIET = np.random.default_rng(3).normal(size=400)


def test_a_candidate_is_withdrawn_once_when_its_evidence_is_gone() -> None:
    watch = _candidate()
    signs = _looked(watch, _QUIET)
    assert _kinds(signs).count(StepKind.WITHDRAWN) == 1
    assert signs[-1].kind is StepKind.WITHDRAWN
    assert watch.candidates == []
    assert _looked(watch, _QUIET) == []


def test_nothing_is_said_of_evidence_that_grew_too_slowly() -> None:
    """Neither that it is a candidate nor, look by look, that it is none."""
    slight = np.random.default_rng(4).normal(0.2, 1, 1_000)
    assert set(_kinds(_looked(_watch(), slight))) >= {StepKind.CANDIDATE}
    assert _looked(_watch(minimum=0.8), slight) == []


def test_another_reference_takes_a_candidate_back() -> None:
    watch = _candidate()
    watch.rearm(0, _reference(5), 1e15, 1e3)
    (sign,) = watch.look()
    assert sign.kind is StepKind.WITHDRAWN
    assert watch.look() == []


@pytest.mark.parametrize("others", [(), (AdwinSettings(),), (AdwinSettings(), *_DEFAULT)], ids=str)
def test_other_detectors_take_a_candidate_back(others: Sequence[DetectorSettings]) -> None:
    state = _candidate().snapshot()
    at_once, later = _watch(others), _watch(others)
    assert at_once.restore(state) == later.restore(state) == [0]
    assert _kinds(at_once.look()) == [StepKind.WITHDRAWN]
    assert _kinds(_looked(later, _QUIET)) == [StepKind.WITHDRAWN]
    assert at_once.candidates == later.candidates == []


def test_a_change_is_no_candidate_any_more() -> None:
    watch = _candidate()
    signs = _looked(watch, np.full(60, 4.0))
    assert signs[-1].kind is StepKind.CHANGED
    assert watch.candidates == []
    # It is held: what its detectors were told before is over.
    assert watch.look() == []


def test_an_alarm_that_is_a_trifle_takes_a_candidate_back() -> None:
    """At its alarm the evidence has grown more slowly than at the looks before."""
    watch = _candidate()
    watch._judge._minimum_effect = 1.0
    slight = np.random.default_rng(6).normal(0.6, 1, 400)
    signs = _looked(watch, slight, every=1)
    assert _kinds(signs) == [*[StepKind.CANDIDATE] * (len(signs) - 1), StepKind.WITHDRAWN]
    assert 100 < signs[-1].column < 300


def test_candidates_of_a_version_that_is_forgotten_are_withdrawn() -> None:
    chosen = ModelSettings.model_validate(
        # Of a model that is divided, every candidate is said: others are weighed with them.
        {"reference": {"events": 1_000}, "signal_weights": {"x": 1e-9}, "feature_groups": 2}
    )
    version = ModelVersion("m", "1", chosen)
    numbers = np.random.default_rng(7).normal(size=1_060)
    numbers[1_000:] += 1
    told: list[StepKind] = []
    for first in range(1_060):
        if StepKind.CANDIDATE not in told:
            part = batch({"x": [float(numbers[first])]}, first=first)
            told += [step.kind for step in version.observe(part).steps]
    assert set(told) == {StepKind.CANDIDATE}
    assert [step.kind for step in version.retire()] == [StepKind.WITHDRAWN]


def test_signals_in_which_nothing_ever_happens_are_no_candidates_of_a_slow_model() -> None:
    """Their sums grow by 1 a value, all in step: together they would seem to be a change."""
    size = 6_000
    columns = {f"x{i}": np.zeros(size).tolist() for i in range(20)}
    chosen = ModelSettings.model_validate(
        {
            "reference": {"events": 500},
            "volume": {"enabled": False},
            "signals": {name: [] for name in columns},
        }
    )
    monitor = Monitor(lambda model: chosen)
    stream = batch(columns, step=300 * SECOND)
    observation = monitor.observe(Released((stream,), int(stream.time[-1]) + 1))
    assert observation.alerts == ()


def test_the_sums_that_many_signals_begin_with_are_no_evidence() -> None:
    """A run length a thousand times the patience has a head start as large as the patience."""
    count = 2_000
    lengths = Lengths(np.full(count, 2e5), np.full(count, 100.0))
    watch = Watch([_DEFAULT] * count, [_reference()] * count, range(count), lengths)
    assert watch.look() == []
    statistics = [statistic for _, _, statistic, _ in readings_of(watch)]
    assert statistics == pytest.approx([1.0] * count)


def test_only_candidates_that_are_told_are_said_where_all_are_known() -> None:
    """What changed, and the others that are candidates, decide together who that is."""
    said: list[int] = []

    def say(row: int, signal: int) -> Sign:
        said.append(signal)
        return Sign(row, signal, StepKind.CANDIDATE)

    candidates = Candidates(3, e_bh)

    def look(row: int, *shares: float) -> list[tuple[int, StepKind]]:
        for signal, share in enumerate(shares):
            if share:
                candidates.see(Seen(row, signal, share, partial(say, row, signal)))
            elif candidates.there[signal]:
                candidates.see(none_any_more(row, signal))
        found = candidates.weigh([], set())
        return [(sign.signal, sign.kind) for sign in found]

    assert look(0, 0.4, 0.4) == []
    assert look(1, 0.5, 0.6) == [(0, StepKind.CANDIDATE), (1, StepKind.CANDIDATE)]
    assert look(2, 0.7, 0.7, 0.2) == []  # They are told already.
    assert look(3, 0.3, 0.7, 0.35) == []
    assert look(4, 0.4, 0.7, 0.35) == [(signal, StepKind.CANDIDATE) for signal in (0, 1, 2)]
    assert look(5, 0.4, 0.0, 0.35) == [(1, StepKind.WITHDRAWN)]
    assert said == [0, 1, 0, 1, 2]


def test_what_is_held_counts_as_enough_while_it_is() -> None:
    candidates = Candidates(2, e_bh)
    changes = [Sign(3, 0, StepKind.CHANGED), Sign(7, 0, StepKind.RETURNED)]
    for row in (3, 9, 5):
        sign = Sign(row, 1, StepKind.CANDIDATE)
        candidates.see(Seen(row, 1, 0.5, partial(_same, sign)))
    # At column 3 a look is at what was before; at 9 it is back.
    assert [sign.column for sign in candidates.weigh(changes, set())] == [5]


def _same(sign: Sign) -> Sign:
    return sign
