import itertools
import math
from collections.abc import Mapping
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.changes import Step, StepKind
from streamdrift.columns import cut, from_state, join, to_state
from streamdrift.errors import StateError
from streamdrift.incidents.sentences import opened_sentence
from streamdrift.models.settings import ModelSettings, RoleName
from streamdrift.models.version import ModelVersion
from streamdrift.models.watch_settings import HoldSettings
from streamdrift.readings import rows
from streamdrift.records import Batch, Column, ColumnKey, Group, Notice, SignalKind
from streamdrift.signals.collector import ReferenceSettings
from streamdrift.signals.roles import Role
from streamdrift.state import encode
from tests.batches import SECOND, START, batch, column, feature

_SETTINGS = ModelSettings(reference=ReferenceSettings(events=1_000))
_AT_LOOKS = (StepKind.CANDIDATE, StepKind.WITHDRAWN)


def _stream(size: int = 9_000, seed: int = 5, until: int = 6_000) -> Batch:
    """A numeric and a category column; the number shifts by 1 sd from 4,000 to `until`."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(100, 10, size)
    numbers[4_000:until] += 10
    categories = rng.choice(["web", "app", "shop"], size, p=[0.5, 0.3, 0.2]).tolist()
    kinds = np.full(size, 2, dtype=np.uint8)
    return batch(
        {
            feature("amount"): Column(kinds, numbers),
            feature("channel"): column(categories),
            feature("user"): column([f"user-{i}" for i in range(size)]),
        }
    )


def _observe(version: ModelVersion, stream: Batch, cuts: list[int]) -> list[Step]:
    steps: list[Step] = []
    bounds = [0, *sorted(cuts), len(stream)]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            steps += version.observe(cut(stream, start, stop))[0]
    return steps


def test_change_is_found_described_and_returns() -> None:
    version = ModelVersion("fraud", "3", _SETTINGS)
    steps = _observe(version, _stream(), [])
    assert {step.signal.name for step in steps} == {"amount"}
    changed, returned = [step for step in steps if step.kind not in _AT_LOOKS]
    assert (changed.kind, returned.kind) == (StepKind.CHANGED, StepKind.RETURNED)
    assert changed.signal.name == "amount"
    assert changed.change is not None
    assert changed.change.before.quantiles["0.5"] == pytest.approx(100, abs=1.5)
    assert changed.change.after.quantiles["0.5"] == pytest.approx(110, abs=3)
    assert changed.change.effect is not None
    assert 0.5 < changed.change.effect.shift.value < 1.5
    assert changed.change.effect.shift.low < 1 < changed.change.effect.shift.high
    assert changed.change.share >= 1
    assert changed.change.onset is not None
    first, last = changed.change.onset.offsets["predictions"][0]
    assert first <= 4_010
    assert last >= 3_990
    assert last - first < 300


def test_roles_are_learned_and_identifiers_are_not_watched() -> None:
    version = ModelVersion("fraud", "3", _SETTINGS)
    notices = version.observe(_stream()).notices
    assert version.roles[feature("user")] is Role.IDENTIFIER
    assert {signal.column for signal in version.signals} == {feature("amount"), feature("channel")}
    (notice,) = notices
    assert notice.event == "reference complete"
    assert notice.fields["unwatched"] == {"user": "identifier"}


def test_settings_overrule_roles_and_ignore_columns() -> None:
    overruled = _SETTINGS.model_copy(
        update={"roles": {"user": "category"}, "ignore": ("amount",), "private": ("channel",)}
    )
    version = ModelVersion("fraud", "3", overruled)
    version.observe(_stream())
    assert version.roles[feature("user")] is Role.CATEGORY
    assert version.roles[feature("amount")] is Role.IGNORED


def test_role_that_does_not_fit_the_data_is_told_and_not_taken() -> None:
    wanted = {"amount": "vector", "channel": "numeric", "user": "text", "gone": "numeric"}
    given = {"reference": {"events": 1_000}, "roles": wanted, "private": ["emial", "user"]}
    version = ModelVersion("fraud", "3", ModelSettings.model_validate(given))
    complete, *notices = version.observe(_stream()).notices
    assert complete.event == "reference complete"
    assert [(notice.event, notice.fields) for notice in notices] == [
        ("role does not fit", {"column": "amount", "wanted": "vector", "kept": "numeric"}),
        ("role does not fit", {"column": "channel", "wanted": "numeric", "kept": "category"}),
        (
            "roles without a column",
            {"columns": ["gone"], "effect": "none: no event of the reference has these columns"},
        ),
        (
            "private without a column",
            {"columns": ["emial"], "effect": "none: no event of the reference has these columns"},
        ),
    ]
    assert version.roles[feature("user")] is Role.TEXT


@pytest.mark.parametrize("role", get_args(RoleName))
@pytest.mark.parametrize(
    "cells",
    [
        [1.0, 2.0],
        [True, False],
        ["a", "b"],
        [[1.0], [2.0]],
        [[], []],
        [[float("nan")], [float("inf")]],
        [None, None],
        [1.0, "a", True, [1.0], None],
    ],
)
def test_any_role_is_survived_on_any_data(role: str, cells: list[object]) -> None:
    chosen = ModelSettings.model_validate({"reference": {"events": 100}, "roles": {"x": role}})
    version = ModelVersion("fraud", "3", chosen)
    version.observe(batch({"x": (cells * 150)[:300]}))
    restored = ModelVersion("fraud", "3", chosen)
    restored.restore(version.snapshot())
    np.testing.assert_equal(restored.snapshot(), version.snapshot())


def _twins() -> Batch:
    """A feature and an output of the name `score`, of which both shift at 4,000."""
    stream = _stream(6_000)
    numbers = stream.columns[feature("amount")]
    return batch({feature("score"): numbers, ColumnKey(Group.OUTPUT, "score"): numbers})


def test_feature_and_output_of_one_name_are_told_apart() -> None:
    version = ModelVersion("fraud", "3", _SETTINGS)
    steps = _observe(version, _twins(), [])
    assert {step.signal.name for step in steps} >= {"score", "score (output)"}
    assert len({signal.name for signal in version.signals}) == len(version.signals)
    output = next(step for step in steps if step.signal.name == "score (output)")
    assert opened_sentence([output]).startswith("score (output) of fraud/3 changed")


@pytest.mark.parametrize(
    ("name", "features", "outputs"),
    [("score", False, False), ("score (output)", True, False), ("score (feature)", False, True)],
)
def test_settings_mean_all_columns_of_a_plain_name_and_one_of_a_group(
    name: str, features: bool, outputs: bool
) -> None:
    def observe(**chosen: object) -> tuple[ModelVersion, list[Step]]:
        values = {"reference": {"events": 1_000}} | chosen
        version = ModelVersion("fraud", "3", ModelSettings.model_validate(values))
        return version, _observe(version, _twins(), [])

    def groups(steps: list[Step]) -> set[Group]:
        return {step.signal.column.group for step in steps if step.signal.column}

    left = {Group.FEATURE} if features else {Group.OUTPUT} if outputs else set()
    values = {signal.name for signal in observe(ignore=[name])[0].signals}
    assert bool(values) == bool(left)
    version, _ = observe(roles={name: "identifier"})
    assert {key.group for key, role in version.roles.items() if role is Role.NUMERIC} == left
    _, steps = observe(private=[name])
    shown = [step for step in steps if step.change and step.change.after.quantiles]
    assert groups(shown) == left
    _, steps = observe(signals={name: []})
    assert groups([step for step in steps if step.signal.kind is SignalKind.VALUE]) == left


def test_only_features_count_towards_max_columns_and_only_those_that_are_watched() -> None:
    size = 300
    rng = np.random.default_rng(3)
    made = {feature(name): column(rng.normal(size=size).tolist()) for name in "bcde"}
    made[feature("a")] = column([f"user-{i}" for i in range(size)])
    made[ColumnKey(Group.OUTPUT, "score")] = made[feature("b")]
    made[ColumnKey(Group.OUTPUT, "null")] = column([False] * size)
    made[ColumnKey(Group.METRIC, "failed")] = column([False] * size)
    values = {"reference": {"events": 200}, "max_columns": 2, "ignore": ["b"]}
    version = ModelVersion("fraud", "3", ModelSettings.model_validate(values))
    (complete,) = version.observe(batch(made)).notices
    watched = {signal.column.name for signal in version.signals if signal.column}
    assert watched == {"c", "d", "score", "null", "failed"}
    assert complete.fields["unwatched"] == {"a": "identifier", "b": "ignored"}
    assert complete.fields["over max_columns"] == 1
    assert version.roles[feature("e")] is Role.OVER


@pytest.mark.parametrize("bound", [5, 20, 1_000])
@pytest.mark.parametrize("width", [1, 7, 30])
def test_columns_that_appear_do_not_depend_on_the_cut(bound: int, width: int) -> None:
    values = {"reference": {"events": 100}, "max_columns": bound}
    chosen = ModelSettings.model_validate(values)
    size = 130
    made = {f"new{i:02d}": [*[...] * (129 - i), *[1.0] * (i + 1)] for i in range(30)}
    stream = batch({"x": [1.0] * size, **made})
    whole = ModelVersion("fraud", "3", chosen)
    _, *notices = whole.observe(stream).notices
    parts = ModelVersion("fraud", "3", chosen)
    told: list[Notice] = []
    for start in range(0, size, width):
        told += parts.observe(cut(stream, start, min(size, start + width)))[1]
        restored = ModelVersion("fraud", "3", chosen)
        restored.restore(parts.snapshot())
        parts = restored
    assert told[1:] == notices
    assert len(notices) <= 10
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
    kept = whole.snapshot()["unknown"]
    assert kept == [["feature", f"new{i:02d}"] for i in range(29, -1, -1)][:bound]


def test_private_columns_show_no_values() -> None:
    private = _SETTINGS.model_copy(update={"private": ("amount",)})
    changed = _observe(ModelVersion("fraud", "3", private), _stream(), [])[0]
    assert changed.change is not None
    for summary in (changed.change.before, changed.change.after):
        assert summary.quantiles == {}
        assert math.isnan(summary.mean)


def test_column_that_appears_is_told_once_and_one_that_vanishes_is_missing() -> None:
    version = ModelVersion("fraud", "3", _SETTINGS)
    version.observe(cut(_stream(), 0, 2_000))
    fresh = batch({"fresh": [1.0] * 500}, first=2_000)
    steps, notices, _ = version.observe(fresh)
    assert notices[0].fields["columns"] == ["fresh"]
    assert {step.signal.kind for step in steps} == {SignalKind.MISSING}
    assert {step.signal.name for step in steps} == {"amount (missing)", "channel (missing)"}
    assert version.observe(batch({"fresh": [1.0] * 5}, first=2_500))[:2] == ([], [])


def test_lasting_change_is_accepted_as_the_new_normal() -> None:
    hold = HoldSettings(accept_after=1_500 * SECOND, accept_events=1_000)
    version = ModelVersion("fraud", "3", _SETTINGS.model_copy(update={"hold": hold}))
    steps = _observe(version, _stream(12_000, until=9_000), [])
    steps = [step for step in steps if step.signal.name == "amount" and step.kind not in _AT_LOOKS]
    # The old level, come back after it was replaced, is a change of its own.
    assert [step.kind for step in steps] == [
        StepKind.CHANGED,
        StepKind.ACCEPTED,
        StepKind.CHANGED,
        StepKind.ACCEPTED,
    ]
    assert steps[1].time >= steps[0].time + 1_500 * SECOND


def test_signal_that_vanishes_while_it_is_changed_is_let_go() -> None:
    hold = HoldSettings(accept_after=1_500 * SECOND, accept_events=1_000)
    settings = _SETTINGS.model_copy(update={"hold": hold, "ignore": ("channel", "user")})
    stream = _stream(9_000, until=9_000)
    rest = batch({"other": [1.0] * 5_000}, first=4_400)
    runs = []
    for size in (5_000, 64, 1):
        version = ModelVersion("fraud", "3", settings)
        steps = _observe(version, cut(stream, 0, 4_400), [])
        for start in range(0, 5_000, size):
            steps += version.observe(cut(rest, start, min(start + size, 5_000)))[0]
        runs.append([(step.kind, step.signal.name, step.time) for step in steps])
    assert runs[0] == runs[1] == runs[2]
    kinds = [kind for kind, name, _ in runs[0] if name == "amount" and kind not in _AT_LOOKS]
    assert kinds == [StepKind.CHANGED, StepKind.ACCEPTED]
    assert not any(
        reading.changed for reading in rows(version.readings()) if "(" not in reading.signal.name
    )


def test_a_change_may_be_accepted_at_once() -> None:
    """All events come at one time, and no time need pass before what changed is normal."""
    values = {"reference": {"events": 400}, "hold": {"accept_after": "0s", "accept_events": 100}}
    version = ModelVersion("fraud", "3", ModelSettings.model_validate(values))
    numbers = np.random.default_rng(1).normal(size=1_600)
    numbers[600:] += 5
    steps = version.observe(batch({"x": numbers.tolist()}, times=[START] * 1_600)).steps
    assert [step.kind for step in steps] == [StepKind.CHANGED, StepKind.ACCEPTED]


def test_without_detectors_nothing_is_found() -> None:
    version = ModelVersion("fraud", "3", _SETTINGS.model_copy(update={"detectors": ()}))
    assert _observe(version, _stream(), []) == []


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 9_000), max_size=6),
    st.sampled_from([HoldSettings(), HoldSettings(accept_after=700 * SECOND, accept_events=100)]),
)
def test_cuts_and_restores_change_nothing(cuts: list[int], hold: HoldSettings) -> None:
    chosen = _SETTINGS.model_copy(update={"hold": hold})
    stream = _stream(until=9_000)
    whole = ModelVersion("fraud", "3", chosen)
    expected = _observe(whole, stream, [])
    parts = ModelVersion("fraud", "3", chosen)
    steps: list[Step] = []
    bounds = [0, *sorted(cuts), 9_000]
    for start, stop in itertools.pairwise(bounds):
        if start < stop:
            steps += parts.observe(cut(stream, start, stop))[0]
        restored = ModelVersion("fraud", "3", chosen)
        restored.restore(parts.snapshot())
        parts = restored
    assert steps == expected
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())


def test_batch_survives_its_state() -> None:
    first = batch({"x": [1.0, None, "a", [1.0, 2.0], ...], "y": ["b", "c", "b", True, 2]})
    second = batch({"x": ["c", "a"], "z": [[3.0], [4.0, 5.0]]}, first=5)
    joined = join([first, second])
    np.testing.assert_equal(to_state(from_state(to_state(joined))), to_state(joined))
    assert joined.columns[feature("x")].strings == ("a", "c")
    assert joined.columns[feature("z")].kinds.tolist() == [0, 0, 0, 0, 0, 5, 5]


def _restored(
    before: ModelVersion, changes: Mapping[str, object]
) -> tuple[ModelVersion, list[Notice]]:
    """Return the version under changed settings, and what its restore tells."""
    values = before._settings.model_dump(exclude_unset=True) | dict(changes)
    after = ModelVersion("fraud", "3", ModelSettings.model_validate(values))
    return after, after.restore(before.snapshot())


def _half_way(stop: int = 3_000) -> ModelVersion:
    version = ModelVersion("fraud", "3", _SETTINGS)
    _observe(version, cut(_stream(), 0, stop), [])
    return version


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hold": {"accept_events": 200}},
        {"incidents": {"gather": "5m"}},
        {"silence": {"enabled": False}},
        {"labels": {"owner": "me"}},
        {"private": ["amount"]},
        {"retire_after": "1d"},
        # What the version has no column for, and a limit that is not reached, before or now.
        {"ignore": ["unknown"], "roles": {"unknown": "text"}, "max_columns": 2},
        # A signal there is not, and the default written out.
        {"signals": {"unknown": []}, "detectors": [{"kind": "e_detector"}]},
    ],
)
def test_settings_that_keep_the_state_are_not_told(changes: dict[str, object]) -> None:
    before = _half_way()
    after, notices = _restored(before, changes)
    assert notices == []
    assert encode(after.snapshot()) == encode(before.snapshot())


def test_detectors_of_one_signal_start_afresh_and_the_other_signals_go_on() -> None:
    before = _half_way()
    after, notices = _restored(before, {"signals": {"amount (missing)": [{"kind": "adwin"}]}})
    (notice,) = notices
    assert (notice.event, notice.model, notice.version) == ("detectors changed", "fraud", "3")
    assert notice.fields["signals"] == ["amount (missing)"]
    rest = cut(_stream(), 3_000, 9_000)
    expected = [each for each in _observe(before, rest, []) if each.signal.name == "amount"]
    found = [each for each in _observe(after, rest, [700]) if each.signal.name == "amount"]
    kinds = [each.kind for each in expected if each.kind not in _AT_LOOKS]
    assert kinds == [StepKind.CHANGED, StepKind.RETURNED]
    assert found == expected
    again, notices = _restored(after, {})
    assert notices == []
    assert encode(again.snapshot()) == encode(after.snapshot())


def test_a_change_of_all_detectors_keeps_the_reference_and_what_is_held() -> None:
    before = _half_way(5_000)
    after, (notice,) = _restored(before, {"detectors": [{"kind": "page_hinkley"}]})
    assert notice.fields["signals"] == [signal.name for signal in before.signals]
    rest = cut(_stream(), 5_000, 9_000)
    found = [(step.kind, step.signal, step.time) for step in _observe(after, rest, [])]
    assert (StepKind.RETURNED, "amount") in [(kind, signal.name) for kind, signal, _ in found]
    expected = _observe(before, rest, [])
    assert found == [(step.kind, step.signal, step.time) for step in expected]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ignore": ["amount", "unknown"]}, {"ignore.amount": "unset -> true"}),
        ({"roles": {"user (feature)": "text"}}, {"roles.user (feature)": 'unset -> "text"'}),
        ({"max_columns": 1}, {"max_columns": "1000 -> 1"}),
        (
            {"reference": {"events": 1_000, "span": "1d"}},
            {"reference.span": '"1w" -> "1d"'},
        ),
    ],
)
def test_terms_of_the_reference_wait_for_the_next_one(
    changes: dict[str, object], told: dict[str, str]
) -> None:
    before = _half_way()
    after, (notice,) = _restored(before, changes)
    assert notice.event == "settings wait"
    assert notice.fields == {"settings": told, "effect": "takes effect with the next reference"}
    rest = cut(_stream(), 3_000, 9_000)
    assert _observe(after, rest, []) == _observe(before, rest, [])


def test_what_waits_is_told_once_and_what_is_changed_back_waits_no_more() -> None:
    before = _half_way()
    changed, notices = _restored(before, {"ignore": ["amount"]})
    assert len(notices) == 1
    again, notices = _restored(changed, {})
    assert notices == []
    assert encode(again.snapshot()) == encode(changed.snapshot())
    back, notices = _restored(again, {"ignore": []})
    assert notices == []
    assert encode(back.snapshot()) == encode(before.snapshot())


def test_a_limit_that_is_raised_waits_where_columns_are_over_it() -> None:
    narrow = ModelVersion("fraud", "3", _SETTINGS.model_copy(update={"max_columns": 1}))
    _observe(narrow, cut(_stream(), 0, 3_000), [])
    _, (notice,) = _restored(narrow, {"max_columns": 2})
    assert notice.fields["settings"] == {"max_columns": "1 -> 2"}


def test_a_new_version_of_the_model_goes_by_the_terms_of_now() -> None:
    before = _half_way()
    after, _ = _restored(before, {"ignore": ["amount"]})
    newer = ModelVersion("fraud", "4", after._settings)
    _observe(newer, cut(_stream(), 0, 3_000), [])
    assert {signal.column for signal in newer.signals} == {feature("channel")}


@pytest.mark.parametrize("events", [500, 800, 2_000])
def test_terms_take_effect_at_once_while_the_reference_is_collected(events: int) -> None:
    before = _half_way(700)
    changes: dict[str, object] = {
        "ignore": ["channel"],
        "reference": {"events": events},
        "detectors": [],
    }
    parts, notices = _restored(before, changes)
    whole, _ = _restored(before, changes)
    assert notices == []
    rest = cut(_stream(), 700, 3_000)
    for version, cuts in ((whole, []), (parts, [1, 7, 1_500])):
        assert _observe(version, rest, cuts) == []
        assert {signal.column for signal in version.signals} == {feature("amount")}
        assert rows(version.readings()) == []
    assert encode(parts.snapshot()) == encode(whole.snapshot())
    assert _restored(whole, {})[1] == []


def test_a_model_that_was_divided_otherwise_is_refused() -> None:
    version = ModelVersion("m", "1", ModelSettings(feature_groups=2), group=1)
    again = ModelVersion("m", "1", ModelSettings(feature_groups=3), group=1)
    with pytest.raises(StateError, match="feature_groups of the model 'm' was 2") as error:
        again.restore(version.snapshot())
    assert "change it back" in str(error.value.hint)
