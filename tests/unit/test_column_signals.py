import math
from collections.abc import Sequence

import numpy as np
import pytest

from streamdrift.changes import Summary
from streamdrift.records import AlertKind, ColumnKey, Group, Sample, SignalKind, Stream
from streamdrift.signals.column import ColumnSignals, Window
from streamdrift.signals.roles import Role
from tests.batches import Cell, column, feature

_RNG = np.random.default_rng(4)
_X = feature("x")
_NUMBERS: list[Cell] = [*_RNG.normal(100, 15, 990).tolist(), *[None] * 10]
_CATEGORIES: list[Cell] = _RNG.choice(["web", "app", "shop"], 1_000, p=[0.6, 0.3, 0.1]).tolist()


def _learn(cells: Sequence[Cell], role: Role, key: ColumnKey = _X) -> ColumnSignals:
    return ColumnSignals.learn(key, role, column(cells))


def _samples(signals: ColumnSignals, cells: Sequence[Cell]) -> dict[SignalKind, Sample]:
    samples, _ = signals.samples(column(cells))
    return dict(zip(signals.kinds, samples, strict=True))


def _fill(signals: ColumnSignals, cells: Sequence[Cell]) -> dict[SignalKind, list[float]]:
    rows = np.empty((len(signals.kinds), len(cells)))
    signals.fill(column(cells), rows)
    return {kind: row.tolist() for kind, row in zip(signals.kinds, rows, strict=True)}


def test_numeric_column_has_its_value_missing_and_type_breaks() -> None:
    signals = _learn(_NUMBERS, Role.NUMERIC)
    assert signals.kinds == (SignalKind.MISSING, SignalKind.TYPE_BREAK, SignalKind.VALUE)
    filled = _fill(signals, [100.0, None, "12.5", ..., 1_000.0, True])
    assert filled[SignalKind.MISSING] == [0, 1, 0, 1, 0, 0]
    np.testing.assert_equal(filled[SignalKind.TYPE_BREAK], [0, np.nan, 1, np.nan, 0, 1])
    nan = np.nan
    np.testing.assert_equal(filled[SignalKind.VALUE], [100, nan, nan, nan, 1_000, nan])


def test_references_are_learned_from_what_a_column_shows() -> None:
    cells = [*_NUMBERS, "12.5"]
    samples = _samples(_learn(cells, Role.NUMERIC), cells)
    assert samples[SignalKind.MISSING].stream is Stream.RATE
    assert samples[SignalKind.MISSING].values.tolist() == [991, 10]
    assert samples[SignalKind.TYPE_BREAK].values.tolist() == [990, 1]
    assert samples[SignalKind.VALUE].stream is Stream.NUMERIC
    np.testing.assert_equal(samples[SignalKind.VALUE].values, [*_NUMBERS[:990], *[np.nan] * 11])
    _, present = _learn(cells, Role.NUMERIC).samples(column(cells))
    assert present == pytest.approx([1, 991 / 1_001, 990 / 1_001])


def test_absent_column_is_missing_everywhere() -> None:
    signals = _learn(_NUMBERS, Role.NUMERIC)
    rows = np.empty((3, 3))
    signals.fill(None, rows)
    assert rows[0].tolist() == [1, 1, 1]
    assert np.isnan(rows[1:]).all()


def test_category_column_counts_levels_from_the_commonest_and_flags_the_unseen() -> None:
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    filled = _fill(signals, ["web", "shop", "kiosk", None, "app", "stall", "kiosk"])
    np.testing.assert_equal(filled[SignalKind.CATEGORY], [0, 2, 3, np.nan, 1, 4, 3])
    np.testing.assert_equal(filled[SignalKind.UNSEEN], [0, 0, 1, np.nan, 0, 1, 1])
    samples = _samples(signals, _CATEGORIES)
    assert samples[SignalKind.CATEGORY].stream is Stream.CATEGORY
    counts = [_CATEGORIES.count(name) for name in ("web", "app", "shop")]
    assert samples[SignalKind.CATEGORY].values.tolist() == counts
    # What was never seen is expected once in as many values again.
    assert samples[SignalKind.UNSEEN].values.tolist() == [999, 1]


def test_names_of_new_levels_are_bounded() -> None:
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    filled = _fill(signals, [f"new {i}" for i in range(100)])
    assert filled[SignalKind.CATEGORY] == [*range(3, 35), *[35] * 68]
    assert filled[SignalKind.UNSEEN] == [1] * 100


def test_numbers_and_booleans_as_a_category_are_levels_by_their_json_texts() -> None:
    labels: list[Cell] = _RNG.choice([0.0, 1.0, 2.5], 1_000, p=[0.6, 0.3, 0.1]).tolist()
    signals = _learn(labels, Role.CATEGORY)
    filled = _fill(signals, [-0.0, 2.5, 7, "1", True, None])
    nan = np.nan
    np.testing.assert_equal(filled[SignalKind.CATEGORY], [0, 2, 3, nan, nan, nan])
    np.testing.assert_equal(filled[SignalKind.UNSEEN], [0, 0, 1, nan, nan, nan])
    np.testing.assert_equal(filled[SignalKind.TYPE_BREAK], [0, 0, 0, 1, 1, nan])
    before, after = signals.describe(SignalKind.UNSEEN, {}, 0.0, Window(5, 3, 0.3))
    assert list(before.shares) == ["0", "1", "2.5"]
    assert after.shares["7"] == pytest.approx(1 / 3)
    truths = _learn([True, False, True] * 100, Role.CATEGORY)
    before, _ = truths.describe(SignalKind.CATEGORY, {}, 0.5, Window(0, 0, 0.5))
    assert list(before.shares) == ["true", "false"]


def test_text_column_watches_length_and_emptiness() -> None:
    cells: list[Cell] = [f"complaint {i} of a customer" for i in range(200)]
    signals = _learn(cells, Role.TEXT)
    filled = _fill(signals, ["", "a short one", None, "ünï"])
    np.testing.assert_equal(filled[SignalKind.EMPTY], [1, 0, np.nan, 0])
    np.testing.assert_equal(filled[SignalKind.LENGTH], [0, 11, np.nan, 3])
    assert _samples(signals, [*cells, ""])[SignalKind.EMPTY].values.tolist() == [200, 1]


def test_vector_column_watches_norm_and_distance_from_the_centroid() -> None:
    cells: Sequence[Cell] = [[3.0, 4.0], [5.0, 4.0]] * 100
    signals = _learn(cells, Role.VECTOR)
    filled = _fill(signals, [[3.0, 4.0], [-3.0, -4.0], [3.0] * 3, "x", []])
    norm, distance = filled[SignalKind.NORM], filled[SignalKind.DISTANCE]
    np.testing.assert_allclose(norm, [5, 5, 27**0.5, np.nan, 0])
    # Of another length: as far away as can be.
    np.testing.assert_allclose(distance, [1, np.hypot(7, 8), np.inf, np.nan, np.inf])


def test_vectors_with_a_part_that_is_no_number_are_type_breaks_and_blind_nothing() -> None:
    nan, inf = float("nan"), float("inf")
    cells: list[Cell] = [list(row) for row in _RNG.normal(3, 1, (300, 4))]
    signals = _learn([*cells, [nan, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, -inf]], Role.VECTOR)
    filled = _fill(signals, [[3.0] * 4, [-3.0] * 4, [nan, 3.0, 3.0, 3.0], [inf] * 4, []])
    np.testing.assert_equal(filled[SignalKind.TYPE_BREAK], [0, 0, 1, 1, 0])
    assert filled[SignalKind.DISTANCE][0] < 0.5
    assert 11 < filled[SignalKind.DISTANCE][1] < 13
    for kind in (SignalKind.NORM, SignalKind.DISTANCE):
        assert np.isnan(filled[kind][2:4]).all()
    sample = _samples(signals, cells)[SignalKind.DISTANCE]
    assert np.isfinite(sample.values).all()


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
    assert _samples(signals, [None] * 200)[SignalKind.MISSING].values.tolist() == [0, 200]


_USUAL = {"0.05": 80.0, "0.5": 100.0, "0.95": 120.0}


def test_change_is_described_in_the_columns_own_terms() -> None:
    signals = _learn(_NUMBERS, Role.NUMERIC)
    _fill(signals, [100.0] * 50 + [400.0] * 30)
    before, after = signals.describe(SignalKind.VALUE, _USUAL, 0.5, Window(79, 30, 0.99))
    assert (before.mean, after.mean) == (0.5, 400.0)
    assert before.quantiles == _USUAL
    assert after.quantiles == {"0.05": 400.0, "0.5": 400.0, "0.95": 400.0}
    rates = signals.describe(SignalKind.MISSING, {}, 0.01, Window(79, 30, 0.2))
    assert rates == (Summary(0.01), Summary(0.2))


def test_a_block_and_what_was_before_it_are_described_alike_wherever_it_ends() -> None:
    """A change is told when its second is over: that may be at the end of a block, or later."""
    whole, parts = _learn(_NUMBERS, Role.NUMERIC), _learn(_NUMBERS, Role.NUMERIC)
    cells: list[Cell] = [float(i) for i in range(600)]
    _fill(whole, cells)
    expected = whole.describe(SignalKind.VALUE, {}, 0.5, Window(599, 40, 0.9))[1].quantiles
    assert expected["0.5"] == 579
    for cut in (300, 590):
        _fill(parts, cells[:cut])
        _fill(parts, cells[cut:])
        for column_of_end in (599 - cut, 10_000):
            window = Window(column_of_end, 40, 0.9)
            found = parts.describe(SignalKind.VALUE, {}, 0.5, window)[1]
            assert found.quantiles == expected
    parts = ColumnSignals.restore(parts.snapshot())
    for end in (-1, 10_000):
        found = parts.describe(SignalKind.VALUE, {}, 0.5, Window(end, 40, 0.9))[1]
        assert found.quantiles == expected


def test_nothing_seen_is_described_by_nothing() -> None:
    for role, kind in ((Role.NUMERIC, SignalKind.VALUE), (Role.CATEGORY, SignalKind.CATEGORY)):
        signals = _learn(_NUMBERS if role is Role.NUMERIC else _CATEGORIES, role)
        _fill(signals, [None] * 5)
        _, after = signals.describe(kind, {}, 0.5, Window(4, 3, 0.5))
        assert (math.isnan(after.mean), after.quantiles, after.shares) == (True, {}, {})


def test_new_category_is_named_in_the_summary() -> None:
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    _fill(signals, ["web"] * 10 + ["kiosk"] * 10)
    before, after = signals.describe(SignalKind.UNSEEN, {}, 0.001, Window(19, 20, 0.5))
    assert after.shares["kiosk"] == 0.5
    assert (before.mean, after.mean) == (0.001, 0.5)


def test_what_moved_most_for_what_it_was_is_named_first() -> None:
    names = [f"c{place}" for place in range(12)]
    shares = np.array([30, 20, 10, 10, 5, 5, 5, 5, 4, 3, 2, 1]) / 100
    signals = _learn(_RNG.choice(names, 5_000, p=shares).tolist(), Role.CATEGORY)
    usual = np.repeat(names, (100 * shares).round().astype(int)).tolist()
    _fill(signals, [*usual, *usual, "kiosk", "kiosk", "kiosk", "kiosk"])
    before, after = signals.describe(SignalKind.CATEGORY, {}, 0.5, Window(203, 204, 0.5))
    assert next(iter(after.shares)) == "kiosk"
    # What the sentence compares must be there on both sides.
    assert set(before.shares) == set(after.shares) - {"kiosk"}
    assert after.shares["c0"] == pytest.approx(60 / 204)


def test_rare_category_of_the_reference_is_no_new_one() -> None:
    names = ["a", "b", "c", "d", "e", "rare"]
    signals = _learn(
        [name for count, name in enumerate(reversed(names)) for _ in range(count + 1)],
        Role.CATEGORY,
    )
    _fill(signals, ["rare"] * 10 + ["kiosk"] * 10)
    before, after = signals.describe(SignalKind.UNSEEN, {}, 0.0, Window(19, 20, 0.5))
    assert {"rare", "kiosk"} <= after.shares.keys()
    assert before.shares["rare"] == pytest.approx(1 / 21)
    assert "kiosk" not in before.shares


def _accept(signals: ColumnSignals, new: Sequence[Cell], kind: SignalKind) -> dict[str, Sample]:
    rows = np.empty((len(signals.kinds), len(new)))
    signals.fill(column(new), rows)
    found = signals.accept(kind, signals.raw(kind, rows, 0))
    return {touched.value: sample for touched, sample in found.items()}


def test_accepted_numbers_become_the_reference() -> None:
    new = [500.0 + i for i in range(500)]
    learned = _accept(_learn(_NUMBERS, Role.NUMERIC), new, SignalKind.VALUE)
    assert learned.keys() == {"value"}
    assert learned["value"].stream is Stream.NUMERIC
    assert learned["value"].values.tolist() == new


def test_an_accepted_rate_touches_no_other_signal() -> None:
    learned = _accept(_learn(_NUMBERS, Role.NUMERIC), [None, 1.0] * 50, SignalKind.MISSING)
    assert learned.keys() == {"missing"}
    assert learned["missing"].values.tolist() == [50, 50]


@pytest.mark.parametrize("kind", [SignalKind.CATEGORY, SignalKind.UNSEEN])
def test_accepted_levels_are_known_by_name(kind: SignalKind) -> None:
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    new = ["kiosk"] * 300 + ["web"] * 200
    learned = _accept(signals, new, kind)
    assert learned.keys() == {"category", "unseen"}
    assert learned["category"].values.tolist() == [300, 200]
    assert learned["unseen"].values.tolist() == [499, 1]
    filled = _fill(signals, ["kiosk", "web", "shop"])
    assert filled[SignalKind.CATEGORY] == [0, 1, 2]
    assert filled[SignalKind.UNSEEN] == [0, 0, 1]


def test_an_accepted_length_is_one_of_emptiness_too() -> None:
    signals = _learn([f"complaint {i} of a customer" for i in range(200)], Role.TEXT)
    learned = _accept(signals, ["", "ab", None, "abc"], SignalKind.EMPTY)
    assert learned.keys() == {"length", "empty"}
    np.testing.assert_equal(learned["length"].values, [0, 2, np.nan, 3])
    assert learned["empty"].values.tolist() == [2, 1]


def test_levels_beyond_those_kept_are_expected_as_one() -> None:
    """Values of dropped levels are no rise of new ones: the reference had as many."""
    cells: list[Cell] = [f"level {i % 1_500:04}" for i in range(30_000)]
    signals = _learn(cells, Role.CATEGORY)
    samples = _samples(signals, cells)
    filled = _fill(signals, [*cells, "new"])
    places = np.array(filled[SignalKind.CATEGORY][:-1])
    counts = samples[SignalKind.CATEGORY].values
    np.testing.assert_equal(np.bincount(places.astype(np.int64)), counts)
    assert samples[SignalKind.UNSEEN].values.tolist() == [5_000, 2_500]
    assert sum(filled[SignalKind.UNSEEN][:-1]) == 10_000
    # New ones are told from dropped ones by nobody.
    assert filled[SignalKind.CATEGORY][-1] == len(counts) - 1


def test_accepted_levels_without_a_name_are_expected_as_one() -> None:
    """Of many new levels only some are remembered by name: the others are no change again."""
    signals = _learn(_CATEGORIES, Role.CATEGORY)
    new: list[Cell] = [f"new {i % 80:02}" for i in range(1_600)]
    learned = _accept(signals, new, SignalKind.UNSEEN)
    assert learned["category"].values.tolist() == [*[20] * 32, 960]
    assert learned["unseen"].values.tolist() == [160, 240]
    filled = _fill(signals, new)
    places = np.array(filled[SignalKind.CATEGORY])
    np.testing.assert_equal(np.bincount(places.astype(np.int64)), learned["category"].values)
    assert sum(filled[SignalKind.UNSEEN]) == 960


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
        parts = ColumnSignals.restore(parts.snapshot())
    np.testing.assert_equal(filled, expected)
    np.testing.assert_equal(parts.snapshot(), whole.snapshot())
