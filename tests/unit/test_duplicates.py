"""The window of event ids, and the signal of repeated events."""

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamdrift.changes import StepKind
from streamdrift.columns import cut, take
from streamdrift.decoders import MappingSettings
from streamdrift.decoders.json import JsonDecoder
from streamdrift.detectors import AdwinSettings, PageHinkleySettings
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.monitoring import monitor as monitor_module
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.sharded import Shards
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.pipeline import Pipeline
from streamdrift.records import AlertKind, Batch, Notice, Partition, Released, SignalKind
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.duplicates import DuplicateSettings, RecentIds
from streamdrift.state.codec import decode, encode
from tests.batches import START, batch, feature
from tests.messages import event, messages


def _flags(window: int, ids: Sequence[int]) -> list[float]:
    """The readable way: an ordered set."""
    recent: OrderedDict[int, None] = OrderedDict()
    flags = []
    for each in ids:
        flags.append(np.nan if each == 0 else float(each in recent))
        if each and each not in recent:
            recent[each] = None
            if len(recent) > window:
                recent.popitem(last=False)
    return flags


def _as_ids(ids: Sequence[int]) -> Any:
    return np.array(ids, dtype=np.uint64)


# Multiples of 2^20 share their home in the table: probes run long, and removals move others.
_SOME_IDS = st.integers(0, 12).map(lambda i: i << 20) | st.integers(0, 12)


@settings(deadline=None, max_examples=300)
@given(
    st.integers(1, 9),
    st.lists(_SOME_IDS, max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_flags_and_state_are_the_same_however_cut(
    window: int, ids: list[int], cuts: list[int]
) -> None:
    whole, parts = RecentIds(window), RecentIds(window)
    flags = whole.observe(_as_ids(ids))
    np.testing.assert_array_equal(flags, _flags(window, ids))
    pieces = []
    for piece in np.split(_as_ids(ids), sorted(cuts)):
        pieces.append(parts.observe(piece))
        restored = RecentIds(window)
        restored.restore(decode(encode(parts.snapshot())))
        assert encode(restored.snapshot()) == encode(parts.snapshot())
        parts = restored
    np.testing.assert_array_equal(np.concatenate(pieces), flags)
    assert encode(parts.snapshot()) == encode(whole.snapshot())


def test_a_large_window_lets_go_of_the_oldest() -> None:
    random = np.random.default_rng(1)
    ids = random.integers(1, 3_000, 50_000)
    recent = RecentIds(1_000)
    flags = np.concatenate([recent.observe(each) for each in np.split(_as_ids(ids.tolist()), 50)])
    np.testing.assert_array_equal(flags, _flags(1_000, ids.tolist()))
    assert 0.1 < flags.mean() < 0.9


def test_the_state_is_bounded_and_small_for_few_ids() -> None:
    recent = RecentIds(8_192)
    recent.observe(_as_ids([1, 2, 0, 1]))
    assert len(encode(recent.snapshot())) < 200
    recent.observe(np.arange(1, 100_000, dtype=np.uint64))
    assert 8_192 * 8 < len(encode(recent.snapshot())) < 8_192 * 8 + 200


def test_a_window_of_none_sees_nothing() -> None:
    assert np.isnan(RecentIds(0).observe(_as_ids([1, 1]))).all()


_SETTINGS = ModelSettings(
    reference=ReferenceSettings(events=1_000), detectors=(AdwinSettings(), PageHinkleySettings())
)


def _events(ids: Sequence[int]) -> Batch:
    values = np.random.default_rng(7).normal(size=len(ids))
    return batch({"x": values.tolist()}, ids=ids)


def _burst(size: int = 4_000, start: int = 2_000, stop: int = 3_000) -> list[int]:
    """Ids of which every second one between two places is sent again at once."""
    ids = list(range(1, size + 1))
    ids[start + 1 : stop : 2] = ids[start:stop:2]
    return ids


def test_a_burst_of_repeats_is_a_change() -> None:
    version = ModelVersion("m", "1", _SETTINGS)
    steps = version.observe(_events(_burst())).steps
    (change,) = [step for step in steps if step.kind is StepKind.CHANGED]
    assert change.signal.name == "duplicates"
    assert (change.signal.kind, change.signal.alert_kind) == (
        SignalKind.DUPLICATES,
        AlertKind.DATA_QUALITY,
    )
    assert change.change is not None
    assert change.change.before.mean < 0.01
    assert change.change.after.mean > 0.3
    assert change.change.onset is not None


def test_only_a_reference_with_ids_has_the_signal() -> None:
    for ids, names in (([0] * 2_000, ["x", "x (missing)", "x (type break)"]),):
        version = ModelVersion("m", "1", _SETTINGS)
        version.observe(_events(ids))
        assert sorted(signal.name for signal in version.signals) == sorted(names)
    late = ModelVersion("m", "1", _SETTINGS)
    notices = late.observe(_events([0] * 1_500 + list(range(1, 501)))).notices
    assert "duplicates" not in [signal.name for signal in late.signals]
    (notice,) = [notice for notice in notices if notice.event == "columns appeared"]
    assert notice.fields["columns"] == ["duplicates"]


def test_a_feature_of_the_same_name_keeps_it() -> None:
    made = batch({"duplicates": [float(i % 7) for i in range(1_200)]}, ids=range(1, 1_201))
    version = ModelVersion("m", "1", _SETTINGS)
    version.observe(made)
    names = [signal.name for signal in version.signals]
    assert {"duplicates", "duplicates (traffic)"} <= set(names)
    assert len(set(names)) == len(names)


def test_it_can_be_ignored_and_turned_off() -> None:
    for changed in ({"ignore": ("duplicates",)}, {"duplicates": DuplicateSettings(window=0)}):
        version = ModelVersion("m", "1", _SETTINGS.model_copy(update=changed))
        version.observe(_events(_burst()))
        assert "duplicates" not in [signal.name for signal in version.signals]


_DROPPING = _SETTINGS.model_copy(update={"deduplicate": True})


def _kept(ids: Sequence[int]) -> Any:
    return np.flatnonzero(np.array(_flags(8_192, ids)) != 1)


def _drifting(ids: Sequence[int]) -> Batch:
    values = np.random.default_rng(7).normal(size=len(ids))
    values[len(ids) * 3 // 4 :] += 3
    return batch({"x": values.tolist()}, ids=ids)


def test_dropped_repeats_are_seen_by_their_own_signal_alone() -> None:
    whole = _drifting(_burst())
    dropping, clean = ModelVersion("m", "1", _DROPPING), ModelVersion("m", "1", _SETTINGS)
    observed = dropping.observe(whole)
    expected = clean.observe(take(whole, _kept(_burst())))
    steps = [each for each in observed.steps if each.signal.name != "duplicates"]
    assert steps == expected.steps
    assert {"x"} <= {each.signal.name for each in steps}
    assert dropping.events == clean.events == len(observed.kept) == 3_500
    assert dropping.signals == clean.signals
    (change,) = [
        each
        for each in observed.steps
        if each.signal.name == "duplicates" and each.kind is StepKind.CHANGED
    ]
    assert change.change is not None
    assert change.change.after.mean > 0.3


def test_usual_repeats_are_the_reference_of_dropping_too() -> None:
    ids = np.arange(1, 6_001)
    ids[2::3] = ids[1::3]
    for chosen in (_SETTINGS, _DROPPING):
        version = ModelVersion("m", "1", chosen)
        assert version.observe(_events(ids.tolist())).steps == []
        snapshot: Any = version.snapshot()
        watched = snapshot["repeats"] or snapshot["watching"]
        zeros, ones = watched["references"][-1]["counted"].tolist()
        assert ones / (zeros + ones) == pytest.approx(1 / 3, abs=0.01)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 4_000), max_size=6), st.booleans())
def test_dropping_does_not_depend_on_the_cut(cuts: list[int], dropping: bool) -> None:
    chosen = _DROPPING if dropping else _SETTINGS
    stream = _drifting([1, 1, 1, *_burst()[3:998], 998, 998, 998, *_burst()[1_001:]])
    whole, parts = ModelVersion("m", "1", chosen), ModelVersion("m", "1", chosen)
    expected = whole.observe(stream).steps
    steps = []
    bounds = sorted({0, *cuts, len(stream)})
    for start, stop in itertools.pairwise(bounds):
        steps += parts.observe(cut(stream, start, stop)).steps
        restored = ModelVersion("m", "1", chosen)
        restored.restore(decode(encode(parts.snapshot())))
        assert restored.signals == parts.signals
        parts = restored
    by_place = attrgetter("time", "signal.ordinal")
    assert sorted(steps, key=by_place) == sorted(expected, key=by_place)
    assert encode(parts.snapshot()) == encode(whole.snapshot())


def test_dropped_repeats_are_counted_and_told_once() -> None:
    monitor = Monitor(lambda _: _DROPPING)
    ids = [*range(1, 101), *range(51, 101), 0, 0]
    notices: list[Notice] = []
    for start in (0, 120):
        part = cut(_events(ids), start, start + 120 if start == 0 else len(ids))
        notices += monitor.observe(Released((part,), int(part.time[-1]))).notices
    assert [each.event for each in notices].count("repeated events are dropped") == 1
    assert monitor.dropped == {"fraud": 50}
    assert monitor.versions()[0].events == 102
    restored = Monitor(lambda _: _DROPPING)
    restored.restore(decode(encode(monitor.snapshot())))
    assert restored.dropped == {"fraud": 50}


def test_models_whose_dropped_events_are_counted_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitor_module, "MAX_VERSIONS", 1)
    monitor = Monitor(lambda _: _DROPPING)
    notices: list[Notice] = []
    for place, model in enumerate(("a", "b", "c")):
        times = [START + place * 2 * _DROPPING.retire_after] * 3
        made = batch({"x": [1.0] * 3}, model=model, ids=[1, 1, 1], times=times)
        # The watermark forgets the version before the next model comes.
        late = times[0] + _DROPPING.retire_after + 1
        notices += monitor.observe(Released((made,), late)).notices
    assert monitor.dropped == {"a": 2, "": 4}
    assert [each.model for each in notices if "dropped" in each.event] == ["a"]


def test_nothing_but_repeats_is_silence_where_they_are_dropped() -> None:
    ids = [*range(1, 1_201), *[1_200] * 200]
    made = _events(ids)
    for chosen, silent in ((_SETTINGS, False), (_DROPPING, True)):
        settings_of = {"fraud": chosen}
        found = Monitor(settings_of.__getitem__).drain(Released((made,), int(made.time[-1])))
        kinds = {alert.data["kind"] for alert in found.alerts}
        assert ("volume" in kinds) is silent


def test_which_event_is_the_repeat_does_not_depend_on_the_partitions() -> None:
    random = np.random.default_rng(3)
    ids = random.integers(1, 200, 600).tolist()
    kept = []
    for partitions in (1, 3):
        monitor = Shards(lambda _: _DROPPING, 2)
        pipeline = Pipeline(
            lambda _: JsonDecoder(MappingSettings()), Ordering(OrderingSettings()), monitor
        )
        names = [Partition("t", number) for number in range(partitions)]
        pipeline.ordering.assign(names)
        for number, name in enumerate(names):
            values = [
                event(event_id=ids[i], features={"x": i}, timestamp=1_767_225_600 + i)
                for i in range(number, len(ids), partitions)
            ]
            pipeline.feed(messages(values, partition=name))
        pipeline.drain()
        (version,) = monitor.versions()
        assert version._collector is not None
        kept.append(version._collector.rows().columns[feature("x")].numbers.tolist())
    assert kept[0] == kept[1] == _kept(ids).tolist()


def test_dropping_needs_a_window() -> None:
    with pytest.raises(ValidationError, match=r"set duplicates\.window above 0"):
        ModelSettings.model_validate({"deduplicate": True, "duplicates": {"window": 0}})
