"""Shards watch as one monitor does, also where they go on from different places."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.columns import cut
from streamdrift.decoders import make_decoder
from streamdrift.models.settings import ModelSettings
from streamdrift.monitoring.monitor import Monitor
from streamdrift.monitoring.sharded import Shards, versions_limit
from streamdrift.monitoring.shards import shard_of
from streamdrift.monitoring.standing import standing
from streamdrift.ordering import Ordering, OrderingSettings
from streamdrift.ordering.lane import Frontier, after, released_below
from streamdrift.pipeline import Pipeline
from streamdrift.readings import rows
from streamdrift.records import Alert, Batch, Notice, Partition, Released
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.silence import SilenceSettings
from streamdrift.state import decode, encode
from tests.batches import SECOND, START, batch
from tests.messages import event, messages
from tests.readings import comparable

_MODELS = ("a", "b", "fraud", "m0", "m3", "")
_EVENTS = 2_400
_SETTINGS = ModelSettings(
    reference=ReferenceSettings(events=600), silence=SilenceSettings(events=500)
)


def _settings_of(_: str) -> ModelSettings:
    return _SETTINGS


def _stream() -> list[Batch]:
    """Return events of six models, two versions of one; three drift at once, one falls silent."""
    found = []
    for place, model in enumerate(_MODELS):
        for version in ("1", "2") if model == "a" else ("1",):
            numbers = np.random.default_rng(place).normal(size=_EVENTS)
            numbers[1_200:] += 2 * (place % 2)
            times = [START + i * SECOND for i in range(_EVENTS)]
            made = batch({"x": numbers.tolist()}, model=model, version=version, times=times)
            found.append(cut(made, 0, 1_500 if model == "m0" else _EVENTS))
    return sorted(found, key=lambda each: (each.model, each.version))


def _released(start: int, stop: int, *, end: int | None = None) -> Released:
    """Return the events of the seconds from `start` to `stop`."""
    parts = [cut(each, min(start, len(each)), min(stop, len(each))) for each in _stream()]
    watermark = START + ((stop if end is None else end) - 1) * SECOND
    return Released(tuple(part for part in parts if len(part)), watermark)


def _at(second: int) -> Frontier:
    return after(START + (second - 1) * SECOND)


Told = tuple[list[Alert], list[Notice]]


@pytest.fixture(scope="module")
def single() -> Told:
    """What a single monitor tells."""
    monitor = Monitor(_settings_of)
    first = monitor.observe(_released(0, 2_000))
    last = monitor.drain(_released(2_000, _EVENTS))
    alerts, notices = [*first.alerts, *last.alerts], [*first.notices, *last.notices]
    assert {alert.model for alert in alerts} == {"b", "m0", ""}
    assert any(alert.version == "" for alert in alerts)
    return alerts, notices


def test_the_shard_of_a_model_never_changes() -> None:
    assert [shard_of(model, 0, 16) for model in _MODELS] == [5, 0, 14, 4, 14, 3]
    assert shard_of("a", 1, 16) != shard_of("a", 0, 16)
    assert shard_of("\ud800", 0, 1) == 0
    spread = np.bincount([shard_of(f"m{i}", 0, 16) for i in range(16_000)], minlength=16)
    assert 900 < spread.min() <= spread.max() < 1_100


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(0, _EVENTS), max_size=4))
def test_shards_tell_what_a_single_monitor_does(single: Told, count: int, cuts: list[int]) -> None:
    shards, alerts, notices = Shards(_settings_of, count), list[Alert](), list[Notice]()
    bounds = [0, *sorted({*cuts, 2_000} - {0, _EVENTS}), _EVENTS]
    for start, stop in itertools.pairwise(bounds):
        observe = shards.drain if stop == _EVENTS else shards.observe
        told = observe(_released(start, stop), _at(stop))
        alerts += told.alerts
        notices += told.notices
        shards = _restored(dict.fromkeys(range(count), shards), count)
    assert alerts == single[0]
    assert sorted(map(repr, notices)) == sorted(map(repr, single[1]))


def _restored(sources: dict[int, Shards], count: int) -> Shards:
    """Return shards that go on, each from the snapshot of another run."""
    shards = Shards(_settings_of, count)
    states = {shard: decode(encode(each.snapshot(shard))) for shard, each in sources.items()}
    assert shards.restore(states) == []
    return shards


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(0, _EVENTS), min_size=3, max_size=3),
    st.lists(st.integers(0, _EVENTS), max_size=4),
)
def test_shards_that_are_ahead_leave_out_what_comes_again(
    single: Told, places: list[int], cuts: list[int]
) -> None:
    """Their snapshots are of different times; what is told again is the same."""
    runs = {}
    for shard, stop in enumerate(places):
        runs[shard] = Shards(_settings_of, 3)
        runs[shard].observe(_released(0, stop), _at(stop))
    shards = _restored(runs, 3)
    first = min(places)
    assert shards.ahead(_at(first)) == {at for at, place in enumerate(places) if place > first}
    told: list[Alert] = []
    bounds = [first, *sorted({each for each in cuts if each > first} - {_EVENTS}), _EVENTS]
    for start, stop in itertools.pairwise(bounds):
        told += shards.observe(_released(start, stop), _at(stop)).alerts
    told += shards.drain(_released(_EVENTS, _EVENTS), _at(_EVENTS)).alerts
    whole = Shards(_settings_of, 3)
    whole.observe(_released(0, _EVENTS), _at(_EVENTS))
    whole.drain(_released(_EVENTS, _EVENTS), _at(_EVENTS))
    for shard in range(3):
        assert encode(shards.snapshot(shard)) == encode(whole.snapshot(shard))
    expected = single[0]
    assert [alert for alert in expected if alert in told] == told
    assert {alert.id for alert in expected} - {alert.id for alert in told} <= {
        alert.id
        for alert in expected
        if alert.due < START + (places[shard_of(alert.model, 0, 3)] - 1) * SECOND
    }


def test_rows_of_several_partitions_are_cut_where_the_frontier_lies() -> None:
    partitions = (Partition("t", 0), Partition("t", 1), Partition("u", 0))
    made = batch({"x": [0.0] * 6}, times=[5, 7, 7, 7, 7, 9])
    codes = np.array([0, 0, 1, 1, 2, 0], dtype=np.int32)
    offsets = np.array([3, 4, 8, 9, 1, 5])
    fields = {name: getattr(made, name) for name in made.__slots__}
    fields |= {"partitions": partitions, "partition": codes, "offset": offsets}
    made = Batch(**fields)
    below = {
        Frontier(5, "", -1, 0): 0,
        Frontier(7, "", -1, 0): 1,
        Frontier(7, "t", 0, 4): 1,
        Frontier(7, "t", 0, 5): 2,
        Frontier(7, "t", 1, 9): 3,
        Frontier(7, "u", 0, 1): 4,
        Frontier(7, "v", 0, 0): 5,
        Frontier(10, "", -1, 0): 6,
    }
    assert {each: released_below(made, each) for each in below} == below


def test_what_is_shown_is_of_all_shards() -> None:
    monitor, shards = Monitor(_settings_of), Shards(_settings_of, 5)
    monitor.observe(_released(0, 2_000))
    shards.observe(_released(0, 2_000), _at(2_000))
    assert [(each.model, each.version) for each in shards.versions()] == sorted(
        (each.model, each.version) for each in monitor.versions()
    )
    found = standing(shards.monitors)
    assert comparable(found) == comparable(standing([monitor]))
    assert len(rows(found.readings)) > 7
    assert (found.unwatched, found.dropped) == (0, {})


def test_versions_are_bounded_by_shard() -> None:
    assert [versions_limit(count) for count in (1, 3, 16, 1_024)] == [10_000, 3_334, 625, 100]
    shards = Shards(_settings_of, 1_024)
    parts = [batch({"x": [0.0]}, model="m", version=f"{i:03}", times=[START]) for i in range(103)]
    told = shards.observe(Released(tuple(parts), START), after(START))
    assert standing(shards.monitors).unwatched == 3
    (notice,) = [each for each in told.notices if each.event == "too many model versions"]
    assert notice.fields["limit"] == 100


def test_a_pipeline_goes_on_from_snapshots_of_different_times() -> None:
    """The ordering from the oldest; also what was observed last."""

    def pipeline() -> Pipeline:
        return Pipeline(
            lambda _: make_decoder("json", {}),
            Ordering(OrderingSettings()),
            Shards(_settings_of, 2),
        )

    values = [event(model="ab"[i % 2], timestamp=1_000 + i) for i in range(100)]
    whole = pipeline()
    states = {}
    for place in range(0, 100, 10):
        whole.feed(messages(values[place : place + 10], first=place))
        whole.release()
        if place == 30:
            states[0] = whole.snapshot(0)
    states[1] = whole.snapshot(1)
    again = pipeline()
    again.restore(states)
    assert again.ahead() == {1}
    position = again.ordering.positions()[Partition("predictions", 0)]
    assert 30 <= position <= 40
    assert again.last_event_at < whole.last_event_at
    again.feed(messages(values[position:], first=position))
    again.release()
    assert again.ahead() == frozenset()
    assert again.last_event_at == whole.last_event_at
    for shard in range(2):
        one, other = again.snapshot(shard), whole.snapshot(shard)
        for name in ("frontier", "monitor", "last_event_at"):
            np.testing.assert_equal(one[name], other[name])
