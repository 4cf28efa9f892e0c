from collections.abc import Sequence

import numpy as np
import pytest

from streamdrift.records import AlertKind, ColumnKey, Group, SignalKind
from streamdrift.signals.column import ColumnSignals
from streamdrift.signals.roles import Role
from tests.batches import Cell, column, feature

_RNG = np.random.default_rng(4)
_X = feature("x")
_NUMBERS: list[Cell] = [*_RNG.normal(100, 15, 990).tolist(), *[None] * 10]
_CATEGORIES: list[Cell] = _RNG.choice(["web", "app", "shop"], 1_000, p=[0.6, 0.3, 0.1]).tolist()


def _learn(cells: Sequence[Cell], role: Role, key: ColumnKey = _X) -> ColumnSignals:
    return ColumnSignals.learn(key, role, column(cells), "fraud\x003")


def _fill(signals: ColumnSignals, cells: Sequence[Cell]) -> dict[SignalKind, list[float]]:
    rows = np.empty((len(signals.kinds), len(cells)))
    signals.fill(column(cells), rows)
    return {kind: row.tolist() for kind, row in zip(signals.kinds, rows, strict=True)}


def test_numeric_column_has_value_spread_missing_and_type_breaks() -> None:
    signals = _learn(_NUMBERS, Role.NUMERIC)
    assert signals.kinds == (
        SignalKind.MISSING,
        SignalKind.TYPE_BREAK,
        SignalKind.VALUE,
        SignalKind.SPREAD,
    )
    filled = _fill(signals, [100.0, None, "12.5", ..., 1_000.0, True])
    assert filled[SignalKind.MISSING] == [0, 1, 0, 1, 0, 0]
    np.testing.assert_equal(filled[SignalKind.TYPE_BREAK], [0, np.nan, 1, np.nan, 0, 1])
    value = filled[SignalKind.VALUE]
    assert value[0] == pytest.approx(0.5, abs=0.05)
    assert value[4] > 0.98
    assert np.isnan([value[1], value[2], value[3], value[5]]).all()
    assert filled[SignalKind.SPREAD][4] == pytest.approx(2 * value[4] - 1)


def test_absent_column_is_missing_everywhere() -> None:
    signals = _learn(_NUMBERS, Role.NUMERIC)
    rows = np.empty((4, 3))
    signals.fill(None, rows)
    assert rows[0].tolist() == [1, 1, 1]
    assert np.isnan(rows[1:]).all()


def test_category_column_ranks_surprisal_and_flags_the_unseen() -> None:
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    filled = _fill(signals, ["web", "shop", "kiosk", None])
    ranks = filled[SignalKind.CATEGORY]
    assert ranks[0] < 0.65 < 0.85 < ranks[1] < ranks[2]
    np.testing.assert_equal(filled[SignalKind.UNSEEN], [0, 0, 1, np.nan])
    mean, _ = signals.expectation(SignalKind.UNSEEN)
    assert mean == pytest.approx(1 / 1_001)


def test_numbers_and_booleans_as_a_category_are_levels_by_their_json_texts() -> None:
    labels: list[Cell] = _RNG.choice([0.0, 1.0, 2.5], 1_000, p=[0.6, 0.3, 0.1]).tolist()
    signals = _learn(labels, Role.CATEGORY)
    filled = _fill(signals, [-0.0, 2.5, 7, "1", True, None])
    ranks = filled[SignalKind.CATEGORY]
    assert ranks[0] < 0.65 < 0.85 < ranks[1] < ranks[2]
    np.testing.assert_equal(filled[SignalKind.UNSEEN], [0, 0, 1, np.nan, np.nan, np.nan])
    np.testing.assert_equal(filled[SignalKind.TYPE_BREAK], [0, 0, 0, 1, 1, np.nan])
    before, after = signals.describe(SignalKind.UNSEEN, 0.0, 0.3, row=5, back=3)
    assert list(before.shares) == ["0", "1", "2.5"]
    assert after.shares["7"] == pytest.approx(1 / 3)
    truths = _learn([True, False, True] * 100, Role.CATEGORY)
    assert list(truths.describe(SignalKind.CATEGORY, 0, 0, 0, 0)[0].shares) == ["true", "false"]


def test_text_column_watches_length_and_emptiness() -> None:
    signals = _learn([f"complaint {i} of a customer" for i in range(200)], Role.TEXT)
    filled = _fill(signals, ["", "a short one", None])
    np.testing.assert_equal(filled[SignalKind.EMPTY], [1, 0, np.nan])
    assert filled[SignalKind.LENGTH][0] == 0


def test_vector_column_watches_norm_and_distance_from_the_centroid() -> None:
    cells: Sequence[Cell] = [list(row) for row in _RNG.normal(3, 1, (300, 4))]
    signals = _learn(cells, Role.VECTOR)
    filled = _fill(signals, [[3.0] * 4, [-3.0] * 4, [3.0] * 3, "x"])
    norm, distance = filled[SignalKind.NORM], filled[SignalKind.DISTANCE]
    assert norm[0] == pytest.approx(norm[1], abs=0.1)
    assert distance[0] < 0.1
    assert distance[1] > 0.98
    assert distance[2] > 0.98
    assert np.isnan([norm[3], distance[3]]).all()


def test_vectors_with_a_part_that_is_no_number_are_type_breaks_and_blind_nothing() -> None:
    nan, inf = float("nan"), float("inf")
    cells: list[Cell] = [list(row) for row in _RNG.normal(3, 1, (300, 4))]
    signals = _learn([*cells, [nan, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, -inf]], Role.VECTOR)
    filled = _fill(signals, [[3.0] * 4, [-3.0] * 4, [nan, 3.0, 3.0, 3.0], [inf] * 4, []])
    np.testing.assert_equal(filled[SignalKind.TYPE_BREAK], [0, 0, 1, 1, 0])
    distance = filled[SignalKind.DISTANCE]
    assert distance[0] < 0.1
    assert distance[1] > 0.98
    for kind in (SignalKind.NORM, SignalKind.DISTANCE):
        assert np.isnan(filled[kind][2:4]).all()
    before, _ = signals.describe(SignalKind.DISTANCE, 0, 0, row=0, back=1)
    assert np.isfinite(list(before.quantiles.values())).all()


def test_outputs_and_metrics_have_their_own_kinds() -> None:
    null = ColumnKey(Group.OUTPUT, "null")
    signals = _learn([False] * 200, Role.BOOLEAN, null)
    assert signals.kinds == (SignalKind.NULL_OUTPUT,)
    assert signals.alert_kind(SignalKind.NULL_OUTPUT) is AlertKind.DATA_QUALITY
    score = _learn([0.1, 0.2] * 100, Role.NUMERIC, ColumnKey(Group.OUTPUT, "score"))
    assert score.alert_kind(SignalKind.VALUE) is AlertKind.PREDICTION_DRIFT
    latency = _learn([0.1, 0.2] * 100, Role.NUMERIC, ColumnKey(Group.METRIC, "latency_ms"))
    assert latency.kinds == (SignalKind.TYPE_BREAK, SignalKind.VALUE)
    assert latency.alert_kind(SignalKind.VALUE) is AlertKind.LATENCY


def test_column_without_a_value_in_the_reference_is_watched_for_its_missing_rate() -> None:
    signals = _learn([None] * 200, Role.EMPTY)
    assert signals.kinds == (SignalKind.MISSING,)
    assert _fill(signals, [None, 3.0])[SignalKind.MISSING] == [1, 0]
    mean, scale = signals.expectation(SignalKind.MISSING)
    assert 0.99 < mean < 1
    assert scale > 0


def test_change_is_described_in_the_columns_own_terms() -> None:
    signals = _learn(_NUMBERS, Role.NUMERIC)
    _fill(signals, [100.0] * 50 + [400.0] * 30)
    before, after = signals.describe(SignalKind.VALUE, 0.5, 0.99, row=79, back=30)
    assert before.quantiles["0.5"] == pytest.approx(100, abs=2)
    assert after.quantiles == {"0.05": 400.0, "0.5": 400.0, "0.95": 400.0}
    rate_before, rate_after = signals.describe(SignalKind.MISSING, 0.01, 0.2, row=79, back=30)
    assert (rate_before.mean, rate_after.mean, rate_after.quantiles) == (0.01, 0.2, {})


def test_new_category_is_named_in_the_summary() -> None:
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    _fill(signals, ["web"] * 10 + ["kiosk"] * 10)
    _, after = signals.describe(SignalKind.UNSEEN, 0.0, 0.5, row=19, back=20)
    assert after.shares["kiosk"] == 0.5


def test_rare_category_of_the_reference_is_no_new_one() -> None:
    names = ["a", "b", "c", "d", "e", "rare"]
    signals = _learn(
        [name for count, name in enumerate(reversed(names)) for _ in range(count + 1)],
        Role.CATEGORY,
    )
    _fill(signals, ["rare"] * 10 + ["kiosk"] * 10)
    before, after = signals.describe(SignalKind.UNSEEN, 0.0, 0.5, row=19, back=20)
    assert {"rare", "kiosk"} <= after.shares.keys()
    assert before.shares["rare"] == pytest.approx(1 / 21, abs=0.02)
    assert "kiosk" not in before.shares


@pytest.mark.parametrize(
    ("cells", "role", "kind"),
    [(_NUMBERS, Role.NUMERIC, SignalKind.VALUE), (_CATEGORIES, Role.CATEGORY, SignalKind.UNSEEN)],
)
def test_accepted_values_become_the_reference(
    cells: Sequence[Cell], role: Role, kind: SignalKind
) -> None:
    signals = _learn(cells, role)
    new: list[Cell] = ["kiosk"] * 500 if role is Role.CATEGORY else [500.0 + i for i in range(500)]
    rows = np.empty((len(signals.kinds), 500))
    signals.fill(column(new), rows)
    touched = signals.accept(kind, signals.raw(kind, rows, 0))
    assert kind in touched
    filled = _fill(signals, new)
    assert np.mean(filled[touched[0]]) == pytest.approx(0.5, abs=0.05)
    if role is Role.CATEGORY:
        assert filled[SignalKind.UNSEEN] == [0.0] * 500


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (_NUMBERS, Role.NUMERIC),
        (_CATEGORIES, Role.CATEGORY),
        ([i % 7 * 0.5 for i in range(200)], Role.CATEGORY),
        ([[float(i), 1.0] for i in range(200)], Role.VECTOR),
        ([[float(i), np.nan if i % 9 == 0 else 1.0] for i in range(200)], Role.VECTOR),
        ([f"complaint {i} of a customer" for i in range(200)], Role.TEXT),
    ],
)
def test_cuts_and_restores_change_nothing(cells: Sequence[Cell], role: Role) -> None:
    whole = _learn(cells, role)
    parts = _learn(cells, role)
    stream: list[Cell] = [*list(cells)[:150], None, "new one", "newer one", "new one", 5.0]
    expected = _fill(whole, stream)
    filled: dict[SignalKind, list[float]] = {kind: [] for kind in parts.kinds}
    for start in range(0, len(stream), 37):
        for kind, row in _fill(parts, stream[start : start + 37]).items():
            filled[kind] += row
        parts = ColumnSignals.restore(parts.snapshot(), "fraud\x003")
    np.testing.assert_equal(filled, expected)
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
