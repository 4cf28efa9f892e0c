import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdrift.decoders import make_decoder
from streamdrift.decoders.alike import FEWEST
from streamdrift.decoders.fields import MAX_FEATURES, MAX_NAMES
from streamdrift.decoders.limits import MAX_MESSAGE_BYTES
from streamdrift.errors import SettingsError
from streamdrift.records import Batch, Column, ColumnKey, Decoded, Group, Kind
from tests.batches import START, feature
from tests.messages import event, messages


def _decode(*values: bytes | None, **mapping: Any) -> Decoded:
    return make_decoder("json", mapping).decode(messages(values))


def _only(decoded: Decoded) -> Batch:
    assert decoded.dead_letters == ()
    (batch,) = decoded.batches
    return batch


def _cells(column: Column) -> list[object]:
    """Return a column as what it stands for."""
    shown: list[object] = []
    for row, kind in enumerate(column.kinds.tolist()):
        if kind == Kind.STRING:
            assert column.codes is not None
            shown.append(column.strings[column.codes[row]])
        elif kind in (Kind.NUMBER, Kind.BOOLEAN):
            shown.append(float(column.numbers[row]))
        else:
            shown.append(Kind(kind))
    return shown


def _features(*features: object, **mapping: Any) -> dict[str, list[object]]:
    batch = _only(_decode(*(event(features=each) for each in features), **mapping))
    return {
        key.name: _cells(column)
        for key, column in batch.columns.items()
        if key.group is Group.FEATURE
    }


def _outputs(*predictions: object) -> dict[str, list[object]]:
    batch = _only(_decode(*(event(prediction=each) for each in predictions)))
    return {
        key.name: _cells(column)
        for key, column in batch.columns.items()
        if key.group is Group.OUTPUT
    }


def test_default_event_becomes_columns() -> None:
    batch = _only(_decode(event(latency_ms=3.1), event()))
    assert (batch.model, batch.version) == ("fraud", "3")
    assert batch.time.tolist() == [START, START]
    assert batch.offset.tolist() == [0, 1]
    assert {
        (key.group.value, key.name): _cells(column) for key, column in batch.columns.items()
    } == {
        ("feature", "amount"): [12.5, 12.5],
        ("output", "label"): ["ok", "ok"],
        ("output", "score"): [0.07, 0.07],
        ("output", "null"): [0.0, 0.0],
        ("metric", "latency_ms"): [3.1, Kind.ABSENT],
        ("metric", "failed"): [0.0, 0.0],
    }


def test_cells_keep_their_json_types() -> None:
    features = _features(
        {"x": 1, "v": [1, 2.5]}, {"x": "12.5", "v": []}, {"x": None, "v": [1, "a"]}, {"x": True}
    )
    assert features["x"] == [1.0, "12.5", Kind.NULL, 1.0]
    assert features["v"] == [Kind.VECTOR, Kind.OTHER, Kind.OTHER, Kind.ABSENT]


def test_vectors_are_kept_flat() -> None:
    batch = _only(_decode(event(features={"v": [1, 2]}), event(features={"v": [3.5]})))
    vectors = batch.columns[feature("v")].vectors
    assert vectors is not None
    assert vectors.flat.tolist() == [1, 2, 3.5]
    assert vectors.length.tolist() == [2, 1]


def test_nan_is_null_and_infinity_a_number() -> None:
    batch = _only(_decode(b'{"model":"m","features":{"x":NaN,"y":-Infinity,"z":1}}'))
    assert _cells(batch.columns[feature("x")]) == [Kind.NULL]
    assert _cells(batch.columns[feature("y")]) == [-math.inf]


def _two(decoded: Decoded) -> int:
    return sum(len(batch) for batch in decoded.batches)


def test_integers_of_any_size_are_numbers() -> None:
    features = _features({"x": 2**53 + 1}, {"x": 2**63}, {"x": 2**64 + 1}, {"x": 1})
    assert features["x"] == [float(2**53), float(2**63), float(2**64), 1.0]
    raw = b'{"model":"m","features":{"x":1' + b"0" * 400 + b"}}"
    (batch,) = _decode(raw).batches
    assert _cells(batch.columns[feature("x")]) == [math.inf]
    (batch,) = _decode(raw, event(model="m", version="", features={"x": None})).batches
    assert _cells(batch.columns[feature("x")]) == [math.inf, Kind.NULL]


def test_objects_within_features_are_spread_out_to_a_depth() -> None:
    deep = {"user": {"age": 3, "home": {"city": None}}, "a": {"b": {"c": {"d": {"e": 1}}}}}
    assert _features(deep, {"user": 4}) == {
        "user.age": [3.0, Kind.ABSENT],
        "user.home.city": [Kind.NULL, Kind.ABSENT],
        "a.b.c.d": [Kind.OTHER, Kind.ABSENT],
        "user": [Kind.ABSENT, 4.0],
    }


def test_last_of_duplicate_keys_wins() -> None:
    batch = _only(_decode(b'{"model":"m","features":{"x":1,"x":2}}'))
    assert _cells(batch.columns[feature("x")]) == [2.0]


def test_list_of_features_is_named_by_place() -> None:
    assert _features([1, "a"], [2, "b"]) == {"0": [1.0, 2.0], "1": ["a", "b"]}


def test_prediction_may_be_number_label_object_or_nothing() -> None:
    assert _outputs(1.5, 2) == {"value": [1.5, 2.0], "null": [0.0, 0.0]}
    assert _outputs("ok", True)["label"] == ["ok", 1.0]
    assert _outputs({"label": "ok", "score": 0.5, "margin": 2})["margin"] == [2.0]
    outputs = _outputs({"score": 0.5}, None, {"score": None}, {})
    assert outputs["null"] == [0.0, 1.0, 1.0, 1.0]
    assert outputs["score"] == [0.5, Kind.ABSENT, Kind.NULL, Kind.ABSENT]


def test_event_without_prediction_field_is_a_null_output() -> None:
    batch = _only(_decode(b'{"model":"m","features":{"x":1}}'))
    assert _cells(batch.columns[ColumnKey(Group.OUTPUT, "null")]) == [1.0]


def test_errors_are_failed_calls() -> None:
    batch = _only(_decode(event(error="timeout"), event(error=None), event()))
    assert _cells(batch.columns[ColumnKey(Group.METRIC, "failed")]) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("nothing", [None, False, 0, 0.0, "", [], {}, math.nan])
def test_nothing_and_what_is_empty_is_no_failed_call(nothing: object) -> None:
    failing = [event(error=error) for error in (True, 3, "x", [0], {"code": None}, math.inf)]
    value = event(error=nothing)
    (batch,) = _decode(value, *failing).batches
    assert _cells(batch.columns[ColumnKey(Group.METRIC, "failed")]) == [0.0, *[1.0] * 6]


def test_versions_and_models_are_told_apart_in_order() -> None:
    decoded = _decode(event(version="3"), event(version=4), event(version="3"), event(model="m"))
    assert [(b.model, b.version, b.offset.tolist()) for b in decoded.batches] == [
        ("fraud", "3", [0, 2]),
        ("fraud", "4", [1]),
        ("m", "3", [3]),
    ]


def test_array_holds_several_events() -> None:
    decoded = _decode(b"[" + event() + b"," + event() + b",7]", event())
    (batch,) = decoded.batches
    assert list(zip(batch.offset.tolist(), batch.index.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]
    (letter,) = decoded.dead_letters
    assert (letter.reason, letter.offset, letter.index) == ("not_an_object", 0, 2)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"model": "fraud", "features": {"amount"', "invalid_json"),
        (b'{"model": "\xff\xfe"}', "invalid_json"),
        (b"\x00\x01\x02binary", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'"a string"', "not_an_object"),
        (b"17", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"features": {"x": 1}}', "no_model"),
        (b'{"model": null, "features": {"x": 1}}', "no_model"),
        (b'{"model": {"name": "m"}, "features": {"x": 1}}', "invalid_name"),
        (b'{"model": "", "features": {"x": 1}}', "invalid_name"),
        (event(model="m" * 201), "invalid_name"),
        (event(version=["3"]), "invalid_name"),
        (event(version="v" * 201), "invalid_name"),
        (b'{"model": "", "version": "", "features": {"x": 1}}', "invalid_name"),
        (b'{"model": NaN, "features": {"x": 1}}', "invalid_name"),
        (b'{"model": "m", "version": -Infinity, "features": {"x": 1}}', "invalid_name"),
        (b'{"model": "m", "inputs": {"x": 1}}', "no_content"),
        (b'{"model": "m", "features": null}', "no_content"),
        (b'{"model": "m", "features": "oops"}', "invalid_features"),
        (event(features=7), "invalid_features"),
        (event(features=True), "invalid_features"),
        (event(timestamp="yesterday"), "invalid_time"),
        (event(timestamp="2016-12-31T23:59:61Z"), "invalid_time"),
        (event(timestamp={"at": 1}), "invalid_time"),
        (event(timestamp=True), "invalid_time"),
    ],
)
def test_what_is_no_event_is_a_dead_letter_and_harms_no_neighbour(
    value: bytes, reason: str
) -> None:
    decoded = _decode(event(), value, event())
    (letter,) = decoded.dead_letters
    assert (letter.reason, letter.offset, letter.value) == (reason, 1, value)
    assert len(letter.detail) > 20
    assert [batch.offset.tolist() for batch in decoded.batches] == [[0, 2]]


@pytest.mark.parametrize("depth", [10, 990, 1_000, 1_010, 1_023, 1_024, 5_000])
@pytest.mark.parametrize(
    "text", ["%s", '{"model":%s}', '{"model":"m","timestamp":%s}', '{"model":"m","features":%s}']
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_of_any_depth_is_refused_or_read(
    opening: str, closing: str, text: str, depth: int
) -> None:
    value = (text % (opening * depth + "1" + closing * depth)).encode()
    decoded = _decode(event(), value, event())
    assert _two(decoded) + len(decoded.dead_letters) == 3
    assert all(len(letter.detail) < 400 for letter in decoded.dead_letters)


def test_letter_says_that_a_part_is_not_there() -> None:
    (letter,) = _decode(b'{"model": ["m"], "features": {"x": 1}}').dead_letters
    assert "(model: ['m'], version: nothing)" in letter.detail


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'"\\ud800"', "invalid_text"),
        (b'"a\\uDFFFb"', "invalid_text"),
        (b'"\\ud83d\\u0041"', "invalid_text"),
        (b'"\\ud83d\\ud83d\\ude00"', "invalid_text"),
        (b'"\xed\xa0\x80"', "invalid_json"),
        (b'"\\ud83d\\ude00"', None),
        (b'"\\\\ud800"', None),
        (b'"\\"\\\\ud800"', None),
    ],
)
@pytest.mark.parametrize("more", [b"1", b"NaN"])
def test_texts_that_no_utf8_can_hold_are_dead_letters(
    text: bytes, reason: str | None, more: bytes
) -> None:
    for form in (b'{"model":%s,"features":{"x":%s}}', b'{"model":"m","features":{%s:%s}}'):
        decoded = _decode(form % (text, more))
        found = [letter.reason for letter in decoded.dead_letters]
        assert found == ([] if reason is None else [reason])
        names = [name for b in decoded.batches for name in (b.model, *(k.name for k in b.columns))]
        assert "".join(names).encode().decode() == "".join(names)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings_are_refused(encoding: str) -> None:
    value = '{"model":"\u00e9","features":{"x":1}}'.encode(encoding)
    assert [letter.reason for letter in _decode(value).dead_letters] == ["invalid_json"]


def test_byte_order_mark_is_read_over() -> None:
    assert _two(_decode(b"\xef\xbb\xbf" + event())) == 1


def test_event_may_have_a_prediction_alone() -> None:
    values = [event(features=None), event(features={}), b'{"model":"fraud","prediction":null}']
    assert _two(_decode(*values)) == 3


def test_letter_says_which_fields_there_were() -> None:
    (letter,) = _decode(b'{"model": "m", "inputs": {"x": 1}}').dead_letters
    assert "source.mapping" in letter.detail
    assert "model, inputs" in letter.detail


def test_tombstones_are_counted_and_are_no_faults() -> None:
    decoded = _decode(None, event(), None)
    assert decoded.tombstones == 2
    assert _two(decoded) == 1
    assert decoded.dead_letters == ()


def test_ten_megabytes_are_read_and_more_than_the_limit_is_not() -> None:
    large = event(features={"x": 1, "text": "a" * 10_000_000})
    assert _two(_decode(large)) == 1
    huge = b'{"model": "' + b"a" * MAX_MESSAGE_BYTES + b'"}'
    assert [letter.reason for letter in _decode(huge).dead_letters] == ["too_large"]


def test_features_beyond_the_limit_are_dropped_and_counted() -> None:
    many = {f"x{place}": place for place in range(MAX_FEATURES + 3)}
    decoded = _decode(event(features=many), event())
    assert decoded.dropped_fields == 3
    names = {key.name for key in decoded.batches[0].columns if key.group is Group.FEATURE}
    assert "x999" in names
    assert "x1000" not in names


@pytest.mark.parametrize("beside", [[], [None], ["ok"], [{"x0": 1}]])
def test_fields_of_a_prediction_beyond_the_limit_are_dropped_and_counted(
    beside: list[object],
) -> None:
    many = {f"x{place}": place for place in range(MAX_FEATURES + 500)}
    decoded = _decode(*(event(prediction=each) for each in [many, *beside]))
    assert decoded.dropped_fields == 500
    names = {key.name for key in decoded.batches[0].columns if key.group is Group.OUTPUT}
    assert len(names - {"label", "null"}) == MAX_FEATURES
    assert "x999" in names


def test_parts_within_the_features_count_towards_no_limit() -> None:
    many = {"took": 3} | {f"x{place}": place for place in range(MAX_FEATURES)}
    decoded = _decode(event(features=many), event(), latency_ms="/features/took")
    assert decoded.dropped_fields == 0


def test_names_beyond_the_limit_are_dropped_by_how_few_events_have_them() -> None:
    alone = [{f"{row}-{place}": 1 for place in range(500)} for row in range(20)]
    shared = [{"often": row} if row % 5 == 4 else {} for row in range(20)]
    both = [one | other for one, other in zip(alone, shared, strict=True)]
    decoded = _decode(*(event(features=each) for each in both))
    assert decoded.dropped_fields == 20 * 500 + 1 - MAX_NAMES
    columns = decoded.batches[0].columns
    names = [key.name for key in columns if key.group is Group.FEATURE]
    assert len(names) == MAX_NAMES
    expected = [float(row) if row % 5 == 4 else Kind.ABSENT for row in range(20)]
    assert _cells(columns[feature("often")]) == expected
    assert names[:2] == ["often", "0-0"]


def test_cuts_change_no_common_field_however_many_names_there_are() -> None:
    values = [
        event(features={f"{row}-{place}": 1 for place in range(600)} | {"x": row, f"c{row % 4}": 1})
        for row in range(24)
    ]
    decoder = make_decoder("json", {})
    (whole,) = decoder.decode(messages(values)).batches
    for name in ("x", "c0", "c3"):
        parts = [
            cell
            for first in range(0, 24, 12)
            for batch in decoder.decode(messages(values[first : first + 12])).batches
            for cell in _cells(batch.columns[feature(name)])
        ]
        assert parts == _cells(whole.columns[feature(name)])


def test_names_up_to_the_limit_are_all_kept() -> None:
    alone = [{f"{row}-{place}": 1 for place in range(500)} for row in range(10)]
    decoded = _decode(*(event(features=each) for each in alone))
    assert decoded.dropped_fields == 0
    assert sum(key.group is Group.FEATURE for key in decoded.batches[0].columns) == MAX_NAMES


def test_rare_cells_stand_where_they_stood() -> None:
    rare: dict[int, object] = {3: 1.5, 17: None, 18: "a", 30: [1, 2], 39: [3]}
    features = [{"x": 1} | ({"rare": rare[row]} if row in rare else {}) for row in range(40)]
    (batch,) = _decode(*(event(features=each) for each in features)).batches
    column = batch.columns[feature("rare")]
    kinds = [Kind.NUMBER, Kind.NULL, Kind.STRING, Kind.VECTOR, Kind.VECTOR]
    assert np.flatnonzero(column.kinds).tolist() == list(rare)
    assert column.kinds[list(rare)].tolist() == kinds
    assert column.numbers[3] == 1.5
    assert np.isnan(column.numbers).sum() == 39
    assert column.codes is not None
    assert np.flatnonzero(column.codes >= 0).tolist() == [18]
    assert column.vectors is not None
    found = [column.vectors.flat[column.vectors.start[row] :][:2].tolist() for row in (30, 39)]
    assert found == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00", 0),
        ("2026-01-01t00:00:00z", 0),
        ("2026-01-01t01:00:00.5+01:00", 500_000),
        ("2025-12-31T23:59:60Z", 0),
        ("2025-12-31t23:59:60.25z", 250_000),
        ("2025-12-31T15:59:60-08:00", 0),
        ("2026-01-01 00:00:00.5Z", 500_000),
        ("2026-01-01T00:00:00.123456789Z", 123_456),
        ("2026-01-01T02:00:00+02:00", 0),
        ("2025-12-31T19:00:00.25-0500", 250_000),
        ("2026-01-01", 0),
        (1_767_225_600, 0),
        (1_767_225_600.5, 500_000),
        (1_767_225_600_123, 123_000),
        (1_767_225_600_123_456, 123_456),
        (1_767_225_600_123_456_789, 123_456),
        ("1767225600123", 123_000),
    ],
)
def test_times_are_read_in_the_forms_producers_use(time: object, expected: int) -> None:
    batch = _only(_decode(event(timestamp=time)))
    assert batch.time[0] == pytest.approx(START + expected, abs=1)
    mixed = _decode(event(timestamp=time), event(timestamp="2026-01-01T00:00:00Z")).batches[0]
    assert mixed.time[0] == pytest.approx(START + expected, abs=1)


def test_leap_days_and_wrong_dates() -> None:
    decoded = _decode(
        event(timestamp="2024-02-29T00:00:00Z"), event(timestamp="2026-02-29T00:00:00Z")
    )
    assert _two(decoded) == 1
    assert [letter.reason for letter in decoded.dead_letters] == ["invalid_time"]


def test_record_time_counts_without_an_event_time() -> None:
    value = b'{"model":"m","features":{"x":1}}'
    decoder = make_decoder("json", {})
    batch = _only(decoder.decode(messages([value, event(model="m", version="")], time=77)))
    assert batch.time.tolist() == [77, START]


@pytest.mark.parametrize("mapping", [{}, {"time": None}, {"time": {"header": "at"}}])
@pytest.mark.parametrize("count", [1, FEWEST])
def test_event_without_any_time_is_a_dead_letter(mapping: dict[str, Any], count: int) -> None:
    values = [b'{"model":"m","features":{"x":1}}'] * count
    values += [b'{"model":"m","timestamp":null,"features":{"x":1}}'] * count
    decoded = make_decoder("json", mapping).decode(messages(values, time=-1))
    assert decoded.batches == ()
    assert [letter.reason for letter in decoded.dead_letters] == ["no_time"] * 2 * count
    assert "source.mapping.time" in decoded.dead_letters[0].detail
    if not mapping:
        assert _two(make_decoder("json", mapping).decode(messages([event()], time=-1))) == 1


def test_any_shape_is_mapped() -> None:
    document = {
        "inputs": [{"age": 3}],
        "outputs": [{"class": "a", "p": 0.25}],
        "meta": {"took": 12, "at": 1_767_225_600, "gpu": 0.5},
    }
    mapping = {
        "model": {"header": "model"},
        "version": {"key": True},
        "time": "/meta/at",
        "features": "/inputs/0",
        "prediction": None,
        "label": "/outputs/0/class",
        "score": "/outputs/0/p",
        "latency_ms": "/meta/took",
        "failed": None,
        "metrics": {"gpu": "/meta/gpu"},
    }
    shaped = messages(
        [json.dumps(document).encode()], keys=[b"v7"], headers=[("other", b"x"), ("model", b"m")]
    )
    batch = _only(make_decoder("json", mapping).decode(shaped))
    assert (batch.model, batch.version, batch.time[0]) == ("m", "v7", START)
    assert {key.name: _cells(column) for key, column in batch.columns.items()} == {
        "age": [3.0],
        "label": ["a"],
        "score": [0.25],
        "null": [0.0],
        "latency_ms": [12.0],
        "gpu": [0.5],
    }


def test_topic_and_constant_name_models() -> None:
    value = b'{"features": {"x": 1}}'
    assert _only(_decode(value, model={"topic": True})).model == "predictions"
    batch = _only(_decode(value, model={"constant": "m"}, version=None))
    assert (batch.model, batch.version) == ("m", "")


def test_flat_document_is_its_own_features_without_the_other_parts() -> None:
    value = b'{"model":"m","timestamp":1767225600,"event_id":"e","x":1,"meta":{"id":7,"y":2}}'
    batch = _only(_decode(value, features="", prediction=None, id="/meta/id"))
    names = {key.name for key in batch.columns if key.group is Group.FEATURE}
    assert names == {"event_id", "x", "meta.y"}


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"features": "inputs"}, "mapping.features"),
        ({"features": "/a~2b"}, "mapping.features"),
        ({"model": "/a~"}, "mapping.model"),
        ({"modle": "/m"}, "mapping.modle"),
        ({"model": {"heder": "m"}}, "mapping.model"),
        ({"time": 3}, "mapping.time"),
    ],
)
def test_wrong_mapping_is_refused_by_name(mapping: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        make_decoder("json", mapping)


def test_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        make_decoder("yaml", {})
    assert "json" in str(caught.value.hint)


_INTEGERS = st.integers(-(2**70), 2**70) | st.integers(900, 4_200).map(lambda digits: 10**digits)
"""Also integers beyond any float."""
_JSON = st.recursive(
    st.none() | st.booleans() | _INTEGERS | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["m", "n", 7]) | _JSON,
        "version": st.sampled_from(["1", "2"]) | _JSON,
        "timestamp": st.integers(0, 2**64) | _JSON,
        "features": st.dictionaries(st.sampled_from("abc"), _JSON) | _JSON,
        "prediction": _JSON,
        "latency_ms": _JSON,
        "error": _JSON,
    },
).map(lambda document: json.dumps(document).encode())
_VALUES = st.lists(
    st.none() | st.binary(max_size=20) | _JSON.map(lambda v: json.dumps(v).encode()) | _EVENTS,
    max_size=8,
)


def _count(decoded: Decoded) -> tuple[int, int]:
    return _two(decoded), len(decoded.dead_letters)


@settings(max_examples=300, deadline=None)
@given(_VALUES)
def test_nothing_raises_and_every_event_is_accounted_for(values: list[bytes | None]) -> None:
    decoded = _decode(*values)
    seen = [(b.offset[i], b.index[i]) for b in decoded.batches for i in range(len(b))]
    dead = [(letter.offset, letter.index) for letter in decoded.dead_letters]
    assert len(set(seen + dead)) == len(seen) + len(dead)
    used = {offset for offset, _ in seen + dead}
    for place, value in enumerate(values):
        assert (place in used) == (value is not None and value.strip() != b"[]")
    for batch in decoded.batches:
        for column in batch.columns.values():
            assert len(column.kinds) == len(column.numbers) == len(batch)
            assert np.isnan(column.numbers[column.kinds == Kind.NUMBER]).sum() == 0


@settings(max_examples=100, deadline=None)
@given(_VALUES, st.integers(0, 8))
def test_cutting_messages_changes_no_event(values: list[bytes | None], at: int) -> None:
    whole = _decode(*values)
    decoder = make_decoder("json", {})
    parts = [
        decoder.decode(messages(values[:at])),
        decoder.decode(messages(values[at:], first=min(at, len(values)))),
    ]
    assert tuple(letter for part in parts for letter in part.dead_letters) == whole.dead_letters
    for batch in whole.batches:
        found: dict[str, list[object]] = {}
        for part in parts:
            for other in part.batches:
                if (other.model, other.version) == (batch.model, batch.version):
                    for key in batch.columns:
                        column = other.columns.get(key)
                        cells = [Kind.ABSENT] * len(other) if column is None else _cells(column)
                        found.setdefault(str(key), []).extend(cells)
        assert found == {str(key): _cells(column) for key, column in batch.columns.items()}
