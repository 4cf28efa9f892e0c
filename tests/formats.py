"""Messages of every format, as producers write them, and the events that are in them."""

import base64
import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import fastavro
import numpy as np
import pyarrow as pa

from streamdrift.decoders import Decoder, make_decoder
from streamdrift.decoders.v2_protobuf import Message
from streamdrift.headers import Header
from streamdrift.records import Batch, Column, Decoded, Group, Kind, Messages, Partition
from streamdrift.schemas import Schema, SchemaId
from tests.messages import event, messages

TIME = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""
GUID = UUID("89791762-2336-4186-9674-299b90a802e2")


@dataclass(frozen=True)
class Sent:
    """One message, and the events in it as `shown` shows them."""

    value: bytes
    events: Sequence[Mapping[str, Any]]
    headers: Sequence[Header] = ()


@dataclass(frozen=True)
class Example:
    """Messages of a topic in a format."""

    format: str
    sent: Sequence[Sent]
    mapping: Mapping[str, Any] = field(default_factory=dict)
    topic: str = "predictions"

    def decoder(self) -> Decoder:
        return make_decoder(self.format, self.mapping, schemas)

    def messages(self, times: int = 1) -> Messages:
        sent = [*self.sent] * times
        return messages(
            [each.value for each in sent],
            partition=Partition(self.topic, 0),
            time=TIME,
            headers_of_each=[each.headers for each in sent],
        )


def shown(decoded: Decoded) -> dict[tuple[int, int], dict[str, Any]]:
    """Return every event by its offset and place, with what its columns say."""
    events: dict[tuple[int, int], dict[str, Any]] = {}
    for batch in decoded.batches:
        for row in range(len(batch)):
            place = int(batch.offset[row]), int(batch.index[row])
            assert place not in events
            events[place] = _event(batch, row)
    return events


def _event(batch: Batch, row: int) -> dict[str, Any]:
    found: dict[str, Any] = {"model": batch.model, "version": batch.version}
    if batch.time[row] != TIME:
        found["time"] = int(batch.time[row])
    for key, column in batch.columns.items():
        cell = _cell(column, row)
        if cell is not ... and key.group is not Group.METRIC and key.name != "null":
            found.setdefault(key.group.value, {})[key.name] = cell
    return found


def _cell(column: Column, row: int) -> Any:
    kind = Kind(column.kinds[row])
    if kind is Kind.NULL:
        return None
    if kind is Kind.STRING:
        assert column.codes is not None
        return column.strings[column.codes[row]]
    if kind is Kind.BOOLEAN:
        return bool(column.numbers[row])
    if kind is Kind.NUMBER:
        return float(column.numbers[row])
    if kind is Kind.VECTOR:
        assert column.vectors is not None
        start, length = column.vectors.start[row], column.vectors.length[row]
        return column.vectors.flat[start : start + length].tolist()
    return ... if kind is Kind.ABSENT else kind


def one(
    features: Mapping[str, Any] | None = None,
    output: Mapping[str, Any] | None = None,
    model: str = "fraud",
    version: str = "3",
    **rest: Any,
) -> dict[str, Any]:
    """Return an event as `shown` shows it."""
    parts = {"feature": features, "output": output}
    present = {name: dict(part) for name, part in parts.items() if part is not None}
    return {"model": model, "version": version, **present, **rest}


PLAIN = one({"amount": 12.5}, {"label": "ok", "score": 0.07})
_FLAT = {
    "event_id": "e-1",
    "model": "fraud",
    "version": "3",
    "timestamp": "2026-01-01T00:00:00Z",
    "amount": 12.5,
    "country": "DE",
    "score": 0.07,
}
_FLAT_EVENT = one({"amount": 12.5, "country": "DE"}, {"score": 0.07})


def attributes(**given: str) -> list[Header]:
    """Return the headers of a CloudEvent in binary mode."""
    default = {"specversion": "1.0", "id": "a-1", "source": "/scorer", "type": "com.example"}
    return [(f"ce_{name}", text.encode()) for name, text in (default | given).items()]


_JSON_TYPE: Header = ("content-type", b"application/json")
_STRUCTURED: Header = ("content-type", b"application/cloudevents+json; charset=UTF-8")
_NAMELESS = {"model": "fraud", "version": "3", "features": {"amount": 12.5}}
_LATER = TIME + 90_500_000


def structured(**fields: Any) -> bytes:
    """Return a CloudEvent in structured mode."""
    default = {"specversion": "1.0", "id": "a-1", "source": "/scorer", "type": "com.example"}
    return json.dumps(default | fields).encode()


CLOUDEVENTS = Example(
    "cloudevents",
    [
        Sent(event(), [PLAIN], [_JSON_TYPE, *attributes()]),
        Sent(
            json.dumps(_NAMELESS).encode(),
            [one({"amount": 12.5}, time=_LATER)],
            attributes(time="2026-01-01T01:01:30.5+01:00"),
        ),
        Sent(structured(data=json.loads(event())), [PLAIN], [_STRUCTURED]),
        Sent(
            structured(data_base64=base64.b64encode(event()).decode(), time="2020-01-01T00:00:00Z"),
            [PLAIN],
            [_STRUCTURED],
        ),
    ],
)


def kserve_headers(kind: str, **given: str) -> list[Header]:
    """Return the headers that KServe's logger sends, as they are on Kafka."""
    known = {
        "type": f"org.kubeflow.serving.inference.{kind}",
        "id": "0f5c",
        "source": "http://localhost:9081/",
        "time": "2026-01-01T00:00:00.000000001Z",
        "inferenceservicename": "fraud",
        "namespace": "shop",
        "component": "predictor",
        "endpoint": "default",
        "metadata": '{"X-Request-Id":["0f5c"]}',
    }
    return [_JSON_TYPE, *attributes(**(known | given))]


def _kserve(body: object, kind: str, events: Sequence[Mapping[str, Any]], **given: str) -> Sent:
    return Sent(json.dumps(body).encode(), events, kserve_headers(kind, **given))


def _served(features: Mapping[str, Any] | None = None, output: Any = None) -> dict[str, Any]:
    return one(features, output, version="default" if features is None else "default/request")


V2_REQUEST = {
    "id": "0f5c",
    "inputs": [
        {"name": "amount", "shape": [2, 1], "datatype": "FP64", "data": [12.5, 99]},
        {"name": "country", "shape": [2], "datatype": "BYTES", "data": ["DE", "FR"]},
        {"name": "age", "shape": [2, 2], "datatype": "INT64", "data": [[1, 2], [3, 4]]},
    ],
}
V2_RESPONSE = {
    "model_name": "fraud",
    "model_version": "3",
    "id": "0f5c",
    "outputs": [
        {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["ok", "fraud"]},
        {"name": "proba", "shape": [2, 2], "datatype": "FP32", "data": [0.9, 0.1, 0.2, 0.8]},
    ],
}
_V2_FEATURES = [
    {"amount": 12.5, "country": "DE", "age.0": 1, "age.1": 2},
    {"amount": 99, "country": "FR", "age.0": 3, "age.1": 4},
]
_V2_OUTPUTS = [
    {"label": "ok", "proba.0": 0.9, "proba.1": 0.1},
    {"label": "fraud", "proba.0": 0.2, "proba.1": 0.8},
]

KSERVE = Example(
    "kserve",
    [
        _kserve(
            {"instances": [[6.8, 2.8], [6, 3.4]]},
            "request",
            [_served({"0": 6.8, "1": 2.8}), _served({"0": 6, "1": 3.4})],
        ),
        _kserve({"predictions": [1, 0]}, "response", [_served(None, {"value": v}) for v in (1, 0)]),
        _kserve(
            {"instances": [{"amount": 12.5, "country": "DE"}]},
            "request",
            [_served({"amount": 12.5, "country": "DE"})],
        ),
        _kserve(
            {"predictions": [{"label": "ok", "score": 0.07}]},
            "response",
            [_served(None, {"label": "ok", "score": 0.07})],
        ),
        _kserve(V2_REQUEST, "request", [_served(each) for each in _V2_FEATURES]),
        _kserve(V2_RESPONSE, "response", [_served(None, each) for each in _V2_OUTPUTS]),
        _kserve(
            {"predictions": [0.25]},
            "response",
            [one(None, {"value": 0.25}, version="canary")],
            endpoint="canary",
        ),
        Sent(
            structured(
                type="org.kubeflow.serving.inference.request",
                inferenceservicename="fraud",
                endpoint="default",
                datacontenttype="application/json",
                data={"instances": [[1.5]]},
            ),
            [_served({"0": 1.5})],
            [_STRUCTURED],
        ),
        Sent(
            b'{"data":{"names":["amount","age"],"ndarray":[[12.5,30]]}}',
            [_served({"amount": 12.5, "age": 30})],
            attributes(
                type="io.seldon.serving.inference.request",
                requestid="r-1",
                modelid="fraud",
                inferenceservicename="fraud",
                endpoint="default",
            ),
        ),
    ],
)

_SELDON = one(_V2_FEATURES[0], version=""), one(_V2_FEATURES[1], version="")
V2 = Example(
    "v2",
    [
        Sent(json.dumps(V2_REQUEST | {"model_name": "fraud"}).encode(), _SELDON),
        Sent(json.dumps(V2_RESPONSE).encode(), [one(None, each) for each in _V2_OUTPUTS]),
    ],
)
SELDON_IN = "seldon.shop.model.fraud.inputs"
SELDON_OUT = "seldon.shop.model.fraud.outputs"


def v2_request(**given: Any) -> bytes:
    """Return V2_REQUEST as protobuf, with typed contents."""
    message = Message(id="0f5c", **given)
    amount = message.tensors.add(name="amount", datatype="FP64", shape=[2, 1])
    amount.contents.fp64_contents.extend([12.5, 99])
    country = message.tensors.add(name="country", datatype="BYTES", shape=[2])
    country.contents.bytes_contents.extend([b"DE", b"FR"])
    age = message.tensors.add(name="age", datatype="INT64", shape=[2, 2])
    age.contents.int64_contents.extend([1, 2, 3, 4])
    written: bytes = message.SerializeToString()
    return written


def v2_response(**given: Any) -> bytes:
    """Return V2_RESPONSE as protobuf, with raw contents (and the probabilities as FP64)."""
    message = Message(model_name="fraud_1", model_version="3", id="0f5c", **given)
    message.tensors.add(name="label", datatype="BYTES", shape=[2])
    message.tensors.add(name="proba", datatype="FP64", shape=[2, 2])
    texts = [struct.pack("<I", len(text)) + text for text in (b"ok", b"fraud")]
    message.six.append(b"".join(texts))
    message.six.append(np.array([0.9, 0.1, 0.2, 0.8], dtype="<f8").tobytes())
    written: bytes = message.SerializeToString()
    return written


V2_INPUTS = Example("v2", [Sent(v2_request(), _SELDON)], topic=SELDON_IN)
V2_OUTPUTS = Example(
    "v2",
    [Sent(v2_response(), [one(None, each) for each in _V2_OUTPUTS])],
    topic=SELDON_OUT,
)

_LOGGED = {"model": "fraud", "version": "3", "timestamp": "2026-01-01T00:00:00Z"}
_FRAME = {"columns": ["amount", "country"], "data": [[12.5, "DE"], [99, None]]}
_FRAME_EVENTS: Sequence[Mapping[str, Any]] = [
    {"amount": 12.5, "country": "DE"},
    {"amount": 99, "country": None},
]


def _logged(events: Sequence[Mapping[str, Any]], **body: Any) -> Sent:
    return Sent(json.dumps(_LOGGED | body).encode(), events)


MLFLOW = Example(
    "mlflow",
    [
        _logged([one(each) for each in _FRAME_EVENTS], dataframe_split=_FRAME),
        _logged([one(each) for each in _FRAME_EVENTS], dataframe_records=_FRAME_EVENTS),
        _logged(
            [one({"amount": 12.5, "age": 1}), one({"amount": 99, "age": 2})],
            inputs={"amount": [12.5, 99], "age": [1, 2]},
        ),
        _logged([one({"0": 1, "1": 2}, {"value": 0.5})], instances=[[1, 2]], predictions=[0.5]),
        _logged(
            [
                one(each, {"label": label})
                for each, label in zip(_FRAME_EVENTS, ("ok", "no"), strict=True)
            ],
            request=json.dumps({"dataframe_split": _FRAME}),
            response={"predictions": ["ok", "no"]},
            databricks_request_id="d-1",
        ),
    ],
)

JSON = Example(
    "json",
    [
        Sent(event(), [PLAIN]),
        Sent(
            b"[" + event() + b"," + event(prediction=0.5) + b"]",
            [PLAIN, one(PLAIN["feature"], {"value": 0.5})],
        ),
    ],
)
FLAT = Example("flat", [Sent(json.dumps(_FLAT).encode(), [_FLAT_EVENT])])
BENTOML = Example(
    "flat",
    [
        Sent(
            b'{"sepal len": 5.1, "pred": 0, "timestamp": "2026-01-01T00:00:00", '
            b'"request_id": "184"}',
            [one({"sepal len": 5.1}, {"value": 0}, model="iris", version="")],
        )
    ],
    mapping={"model": {"constant": "iris"}, "id": "/request_id", "prediction": "/pred"},
)

_ROW = {"event_id": 7, "model": "fraud", "version": "3", "amount": 12.5, "score": 0.07}
_CHANGE = {
    "before": None,
    "after": _ROW,
    "source": {"connector": "postgresql", "ts_ms": TIME // 1_000, "table": "predictions"},
    "op": "c",
    "ts_ms": TIME // 1_000 + 900,
}
_ROW_EVENT = one({"amount": 12.5}, {"score": 0.07})
DEBEZIUM = Example(
    "debezium",
    [
        Sent(json.dumps(_CHANGE).encode(), [_ROW_EVENT]),
        Sent(
            json.dumps({"schema": {"type": "struct", "fields": []}, "payload": _CHANGE}).encode(),
            [_ROW_EVENT],
        ),
        Sent(json.dumps(_CHANGE | {"before": _ROW, "after": None, "op": "d"}).encode(), []),
    ],
)

JSON_SCHEMA = Example(
    "json_schema",
    [
        Sent(struct.pack(">bI", 0, 7) + event(), [PLAIN]),
        Sent(b"\x01" + GUID.bytes + event(), [PLAIN]),
        Sent(event(), [PLAIN], [("__value_schema_id", b"\x01" + GUID.bytes)]),
        Sent(event(), [PLAIN]),
    ],
)

AVRO_SCHEMA: Mapping[str, Any] = {
    "type": "record",
    "name": "Prediction",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "model", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "features", "type": "Features"},
        {"name": "prediction", "type": ["null", {"type": "map", "values": "double"}]},
    ],
}
FEATURES_SCHEMA: Mapping[str, Any] = {
    "type": "record",
    "name": "Features",
    "fields": [
        {"name": "amount", "type": "double"},
        {"name": "country", "type": {"type": "enum", "name": "C", "symbols": ["DE", "FR"]}},
        {"name": "age", "type": ["null", "int"]},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
        },
        {"name": "embedding", "type": {"type": "array", "items": "float"}},
    ],
}
_REGISTERED = Schema("AVRO", json.dumps(AVRO_SCHEMA), {"Features": json.dumps(FEATURES_SCHEMA)})
_SCHEMAS: Mapping[SchemaId, Schema] = {
    7: _REGISTERED,
    GUID: _REGISTERED,
    8: Schema("PROTOBUF", 'syntax = "proto3";'),
    9: Schema("AVRO", "{"),
}


def schemas(identity: SchemaId) -> Schema | None:
    """Answer as a registry does that knows four schemas."""
    return _SCHEMAS.get(identity)


def avro_record(**given: Any) -> bytes:
    """Return a prediction in Avro, without a frame."""
    from decimal import Decimal

    record = {
        "event_id": "e-1",
        "model": "fraud",
        "version": "3",
        "timestamp": TIME // 1_000,
        "features": {
            "amount": 12.5,
            "country": "DE",
            "age": None,
            "price": Decimal("9.99"),
            "embedding": [0.5, 0.25],
        },
        "prediction": {"score": 0.07},
    }
    named: dict[str, Any] = {}
    fastavro.parse_schema(dict(FEATURES_SCHEMA), named_schemas=named)
    schema = fastavro.parse_schema(dict(AVRO_SCHEMA), named_schemas=named)
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, record | given)
    return stream.getvalue()


_AVRO_EVENT = one(
    {"amount": 12.5, "country": "DE", "age": None, "price": 9.99, "embedding": [0.5, 0.25]},
    {"score": 0.07},
)
AVRO = Example(
    "avro",
    [
        Sent(struct.pack(">bI", 0, 7) + avro_record(), [_AVRO_EVENT]),
        Sent(b"\x01" + GUID.bytes + avro_record(), [_AVRO_EVENT]),
        Sent(avro_record(), [_AVRO_EVENT], [("__value_schema_id", b"\x01" + GUID.bytes)]),
        Sent(
            struct.pack(">bI", 0, 7) + avro_record(prediction=None),
            [one(_AVRO_EVENT["feature"])],
        ),
    ],
)


def arrow_stream(columns: Mapping[str, Any], compression: str | None = None) -> bytes:
    """Return columns as an Arrow IPC stream of one record batch."""
    batch = pa.record_batch(dict(columns))
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _arrow_file(columns: Mapping[str, Any]) -> bytes:
    batch = pa.record_batch(dict(columns))
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


_ARROW = {
    "model": pa.array(["fraud", "churn", "fraud"]),
    "version": pa.array([3, 3, 3]),
    "event_id": pa.array(["a", None, "c"]),
    "timestamp": pa.array([TIME, _LATER, None], pa.timestamp("us", tz="UTC")),
    "amount": pa.array([12.5, 99, None]),
    "country": pa.array(["DE", "DE", None]).dictionary_encode(),
    "vip": pa.array([True, None, False]),
    "embedding": pa.array([[1, 2], None, [3]], pa.list_(pa.float32())),
    "score": pa.array([0.07, 0.5, 0.9], pa.float32()),
}
_ARROW_EVENTS = [
    one(
        {"amount": 12.5, "country": "DE", "vip": True, "embedding": [1, 2]},
        {"score": float(np.float32(0.07))},
    ),
    one(
        {"amount": 99, "country": "DE", "vip": None, "embedding": None},
        {"score": 0.5},
        model="churn",
        time=_LATER,
    ),
    one(
        {"amount": None, "country": None, "vip": False, "embedding": [3]},
        {"score": float(np.float32(0.9))},
    ),
]
ARROW = Example(
    "arrow",
    [
        Sent(arrow_stream(_ARROW), _ARROW_EVENTS),
        Sent(arrow_stream(_ARROW, "lz4"), _ARROW_EVENTS),
        Sent(_arrow_file(_ARROW), _ARROW_EVENTS),
        Sent(
            arrow_stream(
                {
                    "model": ["fraud"],
                    "version": ["3"],
                    "features": pa.array([{"amount": 12.5}]),
                    "prediction": pa.array([{"label": "ok", "score": 0.07}]),
                }
            ),
            [PLAIN],
        ),
        Sent(arrow_stream({"model": pa.array([], pa.string()), "x": pa.array([], pa.int8())}), []),
    ],
)

EXAMPLES: Sequence[Example] = (
    *(JSON, FLAT, BENTOML, CLOUDEVENTS, KSERVE, V2, V2_INPUTS, V2_OUTPUTS, MLFLOW, DEBEZIUM),
    *(JSON_SCHEMA, AVRO, ARROW),
)
