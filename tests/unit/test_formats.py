"""What formats do beyond their examples: ids, sides, limits, and what each dead letter is for."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdrift.decoders import make_decoder, tables
from streamdrift.decoders.fields import MAX_FEATURES
from streamdrift.decoders.v2_protobuf import Message
from streamdrift.headers import Header, decode_headers, header_spans, header_texts
from streamdrift.records import ColumnKey, Decoded, Group, Kind, Partition
from tests.formats import (
    GUID,
    SELDON_IN,
    TIME,
    V2_REQUEST,
    V2_RESPONSE,
    arrow_stream,
    attributes,
    avro_record,
    kserve_headers,
    one,
    schemas,
    shown,
    structured,
    v2_request,
    v2_response,
)
from tests.messages import event, messages


def decode(
    format_: str,
    *values: bytes,
    topic: str = "predictions",
    headers: Sequence[Header] = (),
    **mapping: Any,
) -> Decoded:
    sent = messages(values, partition=Partition(topic, 0), time=TIME, headers=headers)
    return make_decoder(format_, mapping, schemas).decode(sent)


def reasons(decoded: Decoded) -> list[str]:
    return [letter.reason for letter in decoded.dead_letters]


def ids(decoded: Decoded) -> list[int]:
    return [int(each) for batch in decoded.batches for each in batch.ids]


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def tensor(name: str, shape: Sequence[object], data: Sequence[object]) -> dict[str, object]:
    return {"name": name, "shape": list(shape), "datatype": "FP64", "data": list(data)}


def test_a_request_and_its_response_do_not_count_as_repeated() -> None:
    request = decode("kserve", body(instances=[[1], [2]]), headers=kserve_headers("request"))
    response = decode("kserve", body(predictions=[1, 2]), headers=kserve_headers("response"))
    found = ids(request) + ids(response)
    assert 0 not in found
    assert len(set(found)) == 4
    again = decode("kserve", body(predictions=[1, 2]), headers=kserve_headers("response"))
    assert ids(again) == ids(response)


def test_the_attributes_say_what_the_data_does_not() -> None:
    headers = attributes(id="b-1", time="2026-01-01T00:00:05Z")
    own = decode("cloudevents", event(event_id="own"), headers=headers)
    assert ids(own) == ids(decode("json", event(event_id="own")))
    assert own.batches[0].time.tolist() == [TIME]
    bare = body(model="fraud", features={"amount": 1})
    beside = decode("cloudevents", bare, headers=headers)
    assert ids(beside) == ids(decode("json", event(event_id="b-1")))
    assert beside.batches[0].time.tolist() == [TIME + 5_000_000]
    wrong = decode("cloudevents", bare, headers=attributes(time="yesterday"))
    assert reasons(wrong) == ["invalid_time"]
    assert "ce_time: 'yesterday'" in wrong.dead_letters[0].detail


def test_attributes_are_headers_in_both_modes() -> None:
    data = {"features": {"amount": 1}}
    kind = [("content-type", b"Application/CloudEvents+json")]
    for decoded in (
        decode(
            "cloudevents",
            body(**data),
            headers=attributes(subject="churn"),
            model={"header": "ce_subject"},
        ),
        decode(
            "cloudevents",
            structured(data=data, subject="churn"),
            headers=kind,
            model={"header": "ce_subject"},
        ),
    ):
        assert [event["model"] for event in shown(decoded).values()] == ["churn"]


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (event(), (), "no_cloudevent"),
        (event(), [("content-type", b"application/json")], "no_cloudevent"),
        (b"[]", [("content-type", b"application/cloudevents-batch+json")], "batched_cloudevents"),
        (b"[]", [("content-type", b"application/cloudevents+json")], "invalid_cloudevent"),
        (b"{", [("content-type", b"application/cloudevents+json")], "invalid_json"),
        (
            structured(id=""),
            [("content-type", b"application/cloudevents+json")],
            "invalid_cloudevent",
        ),
        (
            structured(specversion="0.3"),
            [("content-type", b"application/cloudevents+json")],
            "invalid_cloudevent",
        ),
        (b"<x/>", attributes(), "invalid_json"),
    ],
)
@pytest.mark.parametrize("name", ["cloudevents", "kserve"])
def test_what_is_no_cloudevent_is_said_to_be_none(
    name: str, value: bytes, headers: Sequence[Header], reason: str
) -> None:
    decoded = decode(name, value, headers=headers)
    assert reasons(decoded) == [reason]
    assert decoded.dead_letters[0].value == value


def test_kserve_events_of_another_type_are_told() -> None:
    decoded = decode("kserve", body(instances=[1]), headers=attributes(inferenceservicename="x"))
    assert reasons(decoded) == ["invalid_body"]
    assert "neither that of a request nor of a response" in decoded.dead_letters[0].detail


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"inputs": [tensor("a", [2], [1])]}, "1 values do not fill the shape [2]"),
        ({"inputs": [tensor("a", [2], [1, 2]), tensor("b", [1], [1])]}, "batch sizes: [1, 2]"),
        ({"inputs": [tensor("a", [1], [1, 2]), tensor("b", [1], [])]}, "a: 2 values do not fill"),
        ({"inputs": [tensor("a", [10**9, 0], [])]}, "has no values"),
        ({"inputs": [{"name": "a", "shape": [1]}]}, "the data of a tensor is no list"),
        ({"inputs": [{"name": "a", "shape": "x", "data": [1]}]}, "no list of whole numbers"),
        ({"inputs": [{"name": ["a"], "shape": [1], "data": [1]}]}, "a tensor is ['a']"),
        ({"inputs": [{"name": 3, "shape": [1], "data": [1]}]}, "the name of a tensor is no text"),
        ({"inputs": [{"name": "a", "shape": [2, 1], "data": [[1], 2]}]}, "nested unevenly"),
        ({"instances": [[1]], "predictions": [1, 2]}, "numbers of events differ"),
        ({"instances": {"a": 1}}, "instances is no list"),
        ({"inputs": {"a": [1, 2], "b": [1]}}, "different lengths: [1, 2]"),
        ({"dataframe_split": [1]}, "dataframe_split is no object"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "do not name the cells"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "do not name"),
        ({"dataframe_split": {"columns": "ab", "data": [[1, 2]]}}, "are no names"),
        ({"data": [1]}, "data is no object"),
        ({"request": "{", "predictions": [1]}, "the request is no JSON"),
        ({"request": [1]}, "the request is no JSON object"),
        ({"instances": [1], "response": {"predictions": [1, 2]}}, "response has 2 events, where"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_told_apart_are_dead_letters(
    found: Mapping[str, Any], said: str
) -> None:
    decoded = decode("mlflow", body(model="fraud", **found))
    assert reasons(decoded) == ["invalid_body"]
    assert said in decoded.dead_letters[0].detail


def test_a_size_may_be_written_as_any_number() -> None:
    """Equal shapes are one shape, whichever of them comes first."""
    shapes: list[list[Any]] = [[1.0, 2], [1, 2.0], [1, 2], [True, 2]]
    for shape in shapes:
        decoded = decode("mlflow", body(model="m", inputs=[tensor("a", shape, [3, 4])]))
        assert shown(decoded)[0, 0]["feature"] == {"a.0": 3, "a.1": 4}
    wrongs: list[list[Any]] = [[1.5, 2], [-1, -2], [None], [float("inf")], [float("nan"), 2]]
    for wrong in wrongs:
        value = json.dumps({"model": "m", "inputs": [tensor("a", wrong, [3, 4])]})
        assert reasons(decode("mlflow", value.encode())) == ["invalid_body"]


def test_a_body_without_events_says_what_it_has() -> None:
    decoded = decode("mlflow", body(model="fraud", rows=[1]))
    assert reasons(decoded) == ["no_content"]
    assert "model, rows" in decoded.dead_letters[0].detail


def test_rows_of_all_kinds() -> None:
    def features(instances: object) -> list[object]:
        decoded = decode("mlflow", body(model="m", instances=instances))
        assert decoded.dead_letters == ()
        return [each.get("feature") for each in shown(decoded).values()]

    assert features([1, None, "x"]) == [{"0": 1}, {"0": None}, {"0": "x"}]
    assert features([[1, "x"], [None, True]]) == [{"0": 1, "1": "x"}, {"0": None, "1": True}]
    assert features([{"a": 1}, {"b": {"c": 2}}]) == [{"a": 1}, {"b.c": 2}]
    image = [[[1, 2], [3, 4]]]
    assert features(image) == [{"0.0": 1, "0.1": 2, "0.2": 3, "0.3": 4}]
    assert features([[[1], [2, 3]]]) == [{"0": Kind.OTHER}]
    assert features([[1, 2], [3]]) == [{"0": [1, 2]}, {"0": [3]}]
    assert features([list(range(200))]) == [{"0": list(range(200))}]
    assert features([]) == []


def test_seldons_tensors_are_read() -> None:
    value = body(data={"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}})
    decoded = decode("kserve", value, headers=kserve_headers("response"))
    assert [each["output"] for each in shown(decoded).values()] == [
        {"a": 1, "b": 2},
        {"a": 3, "b": 4},
    ]


def test_protobuf_says_a_side_or_is_told() -> None:
    assert reasons(decode("v2", v2_request(model_name="fraud"))) == ["unclear_side"]
    assert reasons(decode("v2", v2_response())) == ["unclear_side"]
    inputs = shown(decode("v2", v2_request(model_name="fraud"), prediction=None))
    assert all("feature" in each and "output" not in each for each in inputs.values())
    outputs = shown(decode("v2", v2_response(), features=None))
    assert all("output" in each and "feature" not in each for each in outputs.values())


_RAW = {
    "BOOL": (b"\x00\x01", [False, True]),
    "INT8": (b"\xff\x01", [-1, 1]),
    "UINT8": (b"\xff\x01", [255, 1]),
    "INT16": (b"\xff\xff\x01\x00", [-1, 1]),
    "UINT16": (b"\xff\xff\x01\x00", [65_535, 1]),
    "INT32": (np.array([-5, 7], "<i4").tobytes(), [-5, 7]),
    "UINT32": (np.array([5, 7], "<u4").tobytes(), [5, 7]),
    "INT64": (np.array([-5, 7], "<i8").tobytes(), [-5, 7]),
    "UINT64": (np.array([5, 7], "<u8").tobytes(), [5, 7]),
    "FP16": (np.array([0.5, 7], "<f2").tobytes(), [0.5, 7]),
    "BF16": (b"\x00\x3f\xe0\x40", [0.5, 7]),
    "FP32": (np.array([0.5, np.nan], "<f4").tobytes(), [0.5, None]),
    "FP64": (np.array([0.5, -0.0], "<f8").tobytes(), [0.5, 0]),
    "BYTES": (struct.pack("<I", 2) + "ä".encode() + struct.pack("<I", 0), ["ä", ""]),
}


@pytest.mark.parametrize("kind", _RAW)
def test_raw_contents_of_every_datatype(kind: str) -> None:
    raw, values = _RAW[kind]
    message = Message(model_name="fraud")
    message.tensors.add(name="x", datatype=kind, shape=[2])
    message.seven.append(raw)
    # Raw inputs are a request's: no topic's name is needed.
    decoded = decode("v2", message.SerializeToString())
    assert [each["feature"]["x"] for each in shown(decoded).values()] == values


@pytest.mark.parametrize(
    ("kind", "raw", "said"),
    [
        ("FP32", b"\x00" * 7, "7 bytes are no whole number of values"),
        ("FP32", b"\x00" * 12, "3 values do not fill the shape [2]"),
        ("BYTES", b"\x05\x00\x00\x00abc", "the raw contents end within a text"),
        ("BYTES", b"\x05\x00", "the raw contents end within a text"),
        ("COMPLEX", b"\x00" * 8, "COMPLEX is no datatype of the protocol"),
    ],
)
def test_raw_contents_that_lie_are_told(kind: str, raw: bytes, said: str) -> None:
    message = Message(model_name="fraud")
    message.tensors.add(name="x", datatype=kind, shape=[2])
    message.seven.append(raw)
    decoded = decode("v2", message.SerializeToString())
    assert reasons(decoded) == ["invalid_body"]
    assert said in decoded.dead_letters[0].detail


def test_raw_contents_without_their_tensors_are_told() -> None:
    message = Message(model_name="fraud")
    message.tensors.add(name="x", datatype="FP32", shape=[1])
    message.seven.extend([b"\x00" * 4, b"\x00" * 4])
    decoded = decode("v2", message.SerializeToString())
    assert "there are 2 raw contents for 1 tensors" in decoded.dead_letters[0].detail


@pytest.mark.parametrize("binary", [False, True])
def test_wide_tensors_are_vectors(binary: bool) -> None:
    rows = np.arange(400.0).reshape(2, 200)
    message = Message(model_name="fraud")
    message.tensors.add(name="x", datatype="FP64", shape=[2, 200])
    message.seven.append(rows.tobytes())
    plain = body(model_name="fraud", inputs=[tensor("x", [2, 200], rows.ravel().tolist())])
    decoded = decode("v2", message.SerializeToString() if binary else plain)
    assert [each["feature"] for each in shown(decoded).values()] == [
        {"x": row} for row in rows.tolist()
    ]


def test_tensors_written_either_way_are_read_together() -> None:
    """JSON and protobuf of one shape in one fetch: their columns are joined."""
    values = [v2_request(), body(**V2_REQUEST)] * 3
    decoded = decode("v2", *values, topic=SELDON_IN)
    (batch,) = decoded.batches
    assert batch.offset.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    found = shown(decoded)
    assert all(found[offset, place] == found[0, place] for offset in range(6) for place in range(2))


def test_the_topic_names_the_model_and_the_header_the_request() -> None:
    without = {name: part for name, part in V2_REQUEST.items() if name != "id"}
    headers = [("x-request-id", b"r-9")]
    decoded = decode(
        "v2", body(**without), topic="seldon.shop.pipeline.offers.inputs", headers=headers
    )
    assert {each["model"] for each in shown(decoded).values()} == {"offers"}
    assert len(set(ids(decoded)) - {0}) == 2


def test_score_and_label_may_be_columns_of_the_outputs() -> None:
    value = body(**V2_RESPONSE)
    decoded = decode("v2", value, score="/prediction/proba.1", label="/prediction/label")
    assert [each["output"] for each in shown(decoded).values()] == [
        {"proba.0": 0.9, "label": "ok", "score": 0.1},
        {"proba.0": 0.2, "label": "fraud", "score": 0.8},
    ]


def test_what_a_message_says_of_all_its_events() -> None:
    value = body(
        model="fraud", instances=[[1], [2]], latency_ms=3.5, error="slow", queue={"depth": 7}
    )
    decoded = decode("mlflow", value, metrics={"depth": "/queue/depth"})
    (batch,) = decoded.batches
    metrics = {
        key.name: c.numbers.tolist()
        for key, c in batch.columns.items()
        if key.group is Group.METRIC
    }
    assert metrics == {"latency_ms": [3.5, 3.5], "depth": [7, 7], "failed": [1, 1]}
    assert ColumnKey(Group.OUTPUT, "null") not in batch.columns


def test_empty_outputs_are_null_outputs() -> None:
    decoded = decode("mlflow", body(model="m", predictions=[None, 0.5]))
    (batch,) = decoded.batches
    assert batch.columns[ColumnKey(Group.OUTPUT, "null")].numbers.tolist() == [1, 0]


@pytest.mark.parametrize("shapes", [tables.MAX_SHAPES, tables.MAX_SHAPES + 1])
def test_many_shapes_are_read_as_few_are(shapes: int) -> None:
    values = [
        body(model="m", inputs={f"f{n}": [n, None], "x": [0.5, "a"]}, predictions=[n, n])
        for n in range(shapes)
    ]
    decoded = decode("mlflow", *values)
    assert len(decoded.batches) == 1
    assert shown(decoded) == {
        (n, place): one(
            {f"f{n}": n if place == 0 else None, "x": 0.5 if place == 0 else "a"},
            {"value": n},
            model="m",
            version="",
        )
        for n in range(shapes)
        for place in range(2)
    }


def test_fields_beyond_the_limit_are_dropped_and_counted() -> None:
    names = [f"f{n}" for n in range(MAX_FEATURES + 3)]
    split = {"columns": names, "data": [[0] * len(names)] * 2}
    decoded = decode("mlflow", body(model="m", dataframe_split=split))
    assert decoded.dropped_fields == 6
    assert len(shown(decoded)[0, 0]["feature"]) == MAX_FEATURES
    columns = {"model": ["m"], **{name: [0] for name in names}}
    decoded = decode("arrow", arrow_stream(columns))
    assert decoded.dropped_fields == 3
    assert len(shown(decoded)[0, 0]["feature"]) == MAX_FEATURES


@pytest.mark.parametrize("operation", ["d", "t", "m"])
def test_rows_that_are_gone_are_no_events(operation: str) -> None:
    decoded = decode("debezium", body(op=operation, after=None, source={"ts_ms": 1}))
    assert (decoded.batches, decoded.dead_letters) == ((), ())


@pytest.mark.parametrize(
    ("value", "headers", "reason", "said"),
    [
        (b"\x00\x00", (), "unframed", ""),
        (b"{}", (), "unframed", ""),
        (b"\x00\x00\x00\x00\x08x", (), "unknown_schema", "8: it is a schema of PROTOBUF"),
        (b"\x00\x00\x00\x00\x09x", (), "unknown_schema", "9: JSONDecodeError"),
        (b"\x00\x00\x00\x00\x63x", (), "unknown_schema", "99: the registry does not know it"),
        (b"\x00\x00\x00\x00\x07x", (), "invalid_avro", "schema 7: EOFError"),
        (b"\x00\x00\x00\x00\x07" + avro_record() + b"x", (), "invalid_avro", "ValueError"),
        (avro_record(), [("__value_schema_id", b"\x02")], "unframed", ""),
        (avro_record()[:-1], [("__value_schema_id", b"\x01" + GUID.bytes)], "invalid_avro", ""),
    ],
)
def test_what_is_no_avro_is_told_why(
    value: bytes, headers: Sequence[Header], reason: str, said: str
) -> None:
    decoded = decode("avro", value, headers=headers)
    assert reasons(decoded) == [reason]
    assert said in decoded.dead_letters[0].detail


def test_arrow_of_many_types() -> None:
    columns = {
        "model": pa.array(["m", "m"]),
        "n": pa.array([1, None], pa.int16()),
        "d": pa.array([1, 2], pa.decimal128(5, 2)),
        "t": pa.array([5, None], pa.timestamp("ms")),
        "s": pa.array(["a", None], pa.large_string()),
        "none": pa.nulls(2),
        "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)),
        "holes": pa.array([[1, None], []], pa.list_(pa.int8())),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int8())),
        "deep": pa.array([{"a": {"b": 1}}, None]),
        "nan": pa.array([float("nan"), 1.0]),
    }
    first, second = shown(decode("arrow", arrow_stream(columns))).values()
    assert first["feature"] == {
        "n": 1, "d": 1, "t": 5, "s": "a", "none": None, "fixed": [1, 2], "holes": Kind.OTHER,
        "map": Kind.OTHER, "deep.a.b": 1, "nan": None,
    }  # fmt: skip
    assert second["feature"] == {
        "n": None, "d": 2, "t": None, "s": None, "none": None, "fixed": [3, 4],
        "holes": Kind.OTHER, "map": Kind.OTHER, "deep.a.b": None, "nan": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "times",
    [
        pa.array([TIME // 1_000_000], pa.timestamp("s")),
        pa.array([TIME * 1_000], pa.timestamp("ns", tz="UTC")),
        pa.array([TIME // 86_400_000_000], pa.date32()),
        pa.array([TIME / 1e6]),
        pa.array([TIME // 1_000]),
        pa.array(["2026-01-01T01:00:00+01:00"]),
    ],
)
def test_times_of_arrow(times: Any) -> None:
    value = arrow_stream({"model": ["m"], "x": [1], "timestamp": times})
    sent = messages([value], time=77)
    (batch,) = make_decoder("arrow", {}).decode(sent).batches
    assert batch.time.tolist() == [TIME]


def test_rows_of_arrow_that_are_no_events_are_told_once_a_message() -> None:
    columns = {
        "model": ["m", None, "m", None],
        "timestamp": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "soon", "soon"],
        "x": [1, 2, 3, 4],
    }
    decoded = decode("arrow", arrow_stream(columns))
    assert list(shown(decoded)) == [(0, 0)]
    assert [(each.reason, each.index) for each in decoded.dead_letters] == [
        ("no_model", 1),
        ("invalid_time", 2),
    ]
    assert "of 2 events" in decoded.dead_letters[0].detail


def test_ids_of_arrow_are_those_of_json() -> None:
    arrow = decode("arrow", arrow_stream({"model": ["m", "m"], "event_id": ["a", ""], "x": [1, 2]}))
    assert ids(arrow) == [*ids(decode("json", event(event_id="a"))), 0]
    numbers = decode("arrow", arrow_stream({"model": ["m"], "event_id": [17], "x": [1]}))
    assert ids(numbers) == ids(decode("json", event(event_id=17)))


@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"model": ["m"]}, "no_content"), ({"x": [1]}, "no_model")],
)
def test_arrow_without_a_part_is_told(columns: Mapping[str, Any], reason: str) -> None:
    assert reasons(decode("arrow", arrow_stream(columns))) == [reason]


_HEADERS = st.lists(
    st.tuples(st.sampled_from(["a", "ab", "é", ""]), st.none() | st.binary(max_size=200)),
    max_size=5,
)


@given(st.lists(_HEADERS, max_size=4), st.sampled_from(["a", "ab", "é", "", "b"]))
def test_headers_are_found_as_they_are_decoded(sections: list[list[Header]], name: str) -> None:
    sent = messages([b""] * len(sections), headers_of_each=sections or None)
    start, length = header_spans(sent, name)
    found = [
        None if size < 0 else sent.data[at : at + size].tobytes()
        for at, size in zip(start.tolist(), length.tolist(), strict=True)
    ]
    assert found == [
        next((value for key, value in section if key == name and value is not None), None)
        for section in sections
    ]


@given(st.binary(max_size=40))
def test_damaged_headers_are_none(section: bytes) -> None:
    sent = messages([section])
    damaged = np.array([len(section)])
    sent = replace(sent, header_start=sent.start, header_length=damaged)
    (found,) = header_texts(sent, "a")
    try:
        whole = decode_headers(section)
    except ValueError:
        return  # Nothing is promised, but that it ends.
    known = [value for key, value in whole if key == "a" and value is not None]
    assert found == (known[0].decode(errors="replace") if known else None)
