"""Models divided into groups of features: who has which column, and what signals are called."""

from random import Random

import numpy as np
import pytest

from streamdrift.models.groups import SIGNALS, divide, group_of
from streamdrift.models.settings import ModelSettings
from streamdrift.models.version import ModelVersion
from streamdrift.records import Batch, ColumnKey, Group, SignalKind
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.naming import column_names, signal_names
from tests.batches import batch, column, feature

_SETTINGS = ModelSettings(reference=ReferenceSettings(events=200), feature_groups=4)


def wide(size: int = 5, names: int = 40) -> Batch:
    numbers = np.random.default_rng(1).normal(size=size).tolist()
    columns = {feature(f"größe {i}"): column(numbers) for i in range(names)}
    columns |= {
        ColumnKey(Group.OUTPUT, "score"): column(numbers),
        ColumnKey(Group.OUTPUT, "null"): column([False] * size),
        ColumnKey(Group.METRIC, "failed"): column([False] * size),
        ColumnKey(Group.METRIC, "größe 0"): column(numbers),
    }
    return batch(columns, ids=range(1, size + 1))


@pytest.mark.parametrize("groups", [1, 2, 7, 256])
def test_each_column_is_in_one_group_and_each_event_in_all(groups: int) -> None:
    given = wide()
    parts = divide(given, groups)
    assert [part.group for part in parts] == list(range(groups))
    found = [key for part in parts for key in part.columns]
    assert sorted(found) == sorted(given.columns)
    for part in parts:
        assert all(part.columns[key] is given.columns[key] for key in part.columns)
        assert all(group_of(key, groups) == part.group for key in part.columns)
        for name in ("model", "version", "partitions"):
            assert getattr(part, name) == getattr(given, name)
        for name in ("partition", "offset", "index", "ids", "time"):
            assert getattr(part, name) is getattr(given, name)


def test_only_features_are_divided() -> None:
    first = divide(wide(), 7)[0]
    others = {key for key in wide().columns if key.group is not Group.FEATURE}
    assert others <= first.columns.keys()
    traffic = ColumnKey(Group.TRAFFIC, "duplicates")
    assert {group_of(traffic, groups) for groups in range(1, 100)} == {0}


def test_features_do_not_move_when_others_appear() -> None:
    few = {key: part.group for part in divide(wide(names=10), 7) for key in part.columns}
    many = {key: part.group for part in divide(wide(names=90), 7) for key in part.columns}
    assert few.items() <= many.items()
    assert len({many[key] for key in many}) == 7


def test_where_a_feature_belongs_never_changes() -> None:
    """State is kept by group: another hash would look for it where it is not."""
    names = ("amount", "größe", "", "a.b", "\ud800")
    assert [group_of(feature(name), 7) for name in names] == [6, 0, 0, 2, 3]
    assert [group_of(feature(name), 256) for name in names] == [131, 233, 180, 142, 104]


def test_an_event_without_features_of_a_group_counts_there_too() -> None:
    """All groups take the same events for their reference, whichever features these have."""
    random = Random(2)
    versions = [ModelVersion("m", "1", _SETTINGS, group) for group in range(4)]
    for first in range(0, 260, 20):
        names = [f"f{i}" for i in random.sample(range(8), 2)]
        given = batch({name: [random.random() for _ in range(20)] for name in names}, first=first)
        for version, part in zip(versions, divide(given, 4), strict=True):
            version.observe(part)
    assert {version.events for version in versions} == {260}
    assert {version.warm_up().complete for version in versions} == {True}


def test_a_group_without_columns_is_watched_and_restored() -> None:
    given = batch({"amount": [1.0] * 300})
    version = ModelVersion("m", "1", _SETTINGS, 1)
    assert group_of(feature("amount"), 4) != 1
    version.observe(divide(given, 4)[1])
    assert version.warm_up().complete
    assert version.signals == []
    again = ModelVersion("m", "1", _SETTINGS, 1)
    again.restore(version.snapshot())
    assert again.observe(divide(batch({"amount": [1.0]}, first=300), 4)[1]).steps == []


def signals_of(version: ModelVersion) -> list[tuple[str, int]]:
    return [(signal.name, signal.ordinal) for signal in version.signals]


def test_signals_have_ordinals_and_names_of_their_own() -> None:
    given = wide(300)
    versions = [ModelVersion("m", "1", _SETTINGS, group) for group in range(4)]
    for version, part in zip(versions, divide(given, 4), strict=True):
        version.observe(part)
    for group, version in enumerate(versions):
        names = [name for name, _ in signals_of(version)]
        assert len(set(names)) == len(names)
        ordinals = [ordinal for _, ordinal in signals_of(version)]
        assert ordinals == list(range(group * SIGNALS, group * SIGNALS + len(ordinals)))
    names = [name for version in versions for name, _ in signals_of(version)]
    assert len(set(names)) == len(names)
    # Whether there is a feature of that name in another group, none of the groups knows.
    assert {"score (output)", "null output (output)", "failed (metric)"} <= set(names)
    assert {"größe 0", "größe 0 (metric)"} <= set(names)
    alone = ModelVersion("m", "1", _SETTINGS.model_copy(update={"feature_groups": 1}))
    alone.observe(given)
    assert "score" in [name for name, _ in signals_of(alone)]


_KINDS = (SignalKind.TYPE_BREAK, SignalKind.VALUE, SignalKind.NORM)


def test_divided_no_two_signals_of_a_group_share_a_name() -> None:
    odd = ("x", "x (output)", "x (output) (output)", "x (norm)", "null output", "failed")
    columns = [
        *((ColumnKey(Group.FEATURE, name), _KINDS) for name in odd),
        *((ColumnKey(Group.METRIC, name), _KINDS) for name in ("x", "x (norm)")),
        (ColumnKey(Group.METRIC, "failed"), (SignalKind.FAILED,)),
        (ColumnKey(Group.OUTPUT, "null"), (SignalKind.NULL_OUTPUT,)),
        *((ColumnKey(Group.OUTPUT, name), _KINDS) for name in ("x", "x (norm)")),
        (ColumnKey(Group.TRAFFIC, "duplicates"), (SignalKind.DUPLICATES,)),
    ]
    names = signal_names(columns, divided=True)
    assert len(set(names)) == len(names) == sum(len(kinds) for _, kinds in columns)
    features = signal_names(columns[: len(odd)], divided=True)
    assert names[: len(features)] == features == signal_names(columns[: len(odd)])
    assert "duplicates (traffic)" in names


def test_divided_columns_that_are_no_features_bear_their_group() -> None:
    keys = [feature("a"), ColumnKey(Group.OUTPUT, "b"), ColumnKey(Group.METRIC, "c")]
    assert column_names(keys) == ["a", "b", "c"]
    assert column_names(keys, divided=True) == ["a", "b (output)", "c (metric)"]
