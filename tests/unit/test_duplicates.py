"""The window of event ids, and the signal of repeated events."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.detectors import AdwinSettings, PageHinkleySettings
from streamdrift.model import ModelSettings, ModelVersion
from streamdrift.records import AlertKind, Batch, SignalKind, StepKind
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.duplicates import DuplicateSettings, RecentIds
from streamdrift.state.codec import decode, encode
from tests.batches import batch


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
    flags = np.concatenate([recent.observe(each) for each in np.split(_as_ids(ids), 50)])
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
    steps, _ = version.observe(_events(_burst()))
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
    for ids, names in (([0] * 2_000, ["x", "x (spread)", "x (missing)", "x (type break)"]),):
        version = ModelVersion("m", "1", _SETTINGS)
        version.observe(_events(ids))
        assert sorted(signal.name for signal in version.signals) == sorted(names)
    late = ModelVersion("m", "1", _SETTINGS)
    _, notices = late.observe(_events([0] * 1_500 + list(range(1, 501))))
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
