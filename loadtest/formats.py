"""What decoding costs in each format, beside JSON of the default shape.

    python -m loadtest.formats --events 20000

The same events, 16 numbers, 4 categories and a score, are written as each format has them, one to
a message, and 64 where a format holds many. The times are those of the process's own CPU for
decoding alone, the least of some rounds; compare the ratios.
"""

import argparse
import io
import json
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import orjson
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from streamdrift.decoders import make_decoder
from streamdrift.decoders.v2_protobuf import Message
from streamdrift.headers import Header
from streamdrift.records import Messages, Partition
from streamdrift.schemas import Schema
from streamdrift.sources.packing import Record, pack

_NUMBERS = tuple(f"n{i}" for i in range(16))
_CATEGORIES = tuple(f"c{i}" for i in range(4))
_START = 1_767_225_600_000_000
_BATCH = 64
_ROUNDS = 5
_AVRO = {
    "type": "record",
    "name": "Prediction",
    "fields": [
        *({"name": name, "type": "string"} for name in ("event_id", "model", "version")),
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "features",
            "type": {
                "type": "record",
                "name": "Features",
                "fields": [
                    *({"name": name, "type": "double"} for name in _NUMBERS),
                    *({"name": name, "type": "string"} for name in _CATEGORIES),
                ],
            },
        },
        {"name": "prediction", "type": {"type": "map", "values": "double"}},
    ],
}


@dataclass(frozen=True)
class Events:
    """The events as columns, and their times in microseconds."""

    numbers: Mapping[str, Sequence[float]]
    categories: Mapping[str, Sequence[str]]
    score: Sequence[float]

    def __len__(self) -> int:
        return len(self.score)

    def features(self, place: int) -> dict[str, object]:
        """Return the features of one event."""
        columns: Mapping[str, Sequence[object]] = {**self.numbers, **self.categories}
        return {name: cells[place] for name, cells in columns.items()}

    def document(self, place: int) -> dict[str, Any]:
        """Return one event in the default shape."""
        return {
            "event_id": f"e-{place}",
            "model": "fraud",
            "version": "3",
            "timestamp": (_START + place * 1_000_000) / 1e6,
            "features": self.features(place),
            "prediction": {"score": self.score[place]},
        }


def _events(count: int) -> Events:
    random = np.random.default_rng(1)
    names = [f"level-{i}" for i in range(12)]
    return Events(
        {name: random.normal(size=count).round(6).tolist() for name in _NUMBERS},
        {name: random.choice(names, count).tolist() for name in _CATEGORIES},
        random.beta(2, 8, count).round(6).tolist(),
    )


Write = Callable[[Events, int, int], tuple[bytes, Sequence[Header]]]
"""Returns the message with the events from one place to another, and its headers."""


def _json(events: Events, first: int, _: int) -> tuple[bytes, Sequence[Header]]:
    return orjson.dumps(events.document(first)), ()


def _flat(events: Events, first: int, _: int) -> tuple[bytes, Sequence[Header]]:
    document = events.document(first)
    features, prediction = document.pop("features"), document.pop("prediction")
    return orjson.dumps(document | features | prediction), ()


def _binary(events: Events, first: int, _: int) -> tuple[bytes, Sequence[Header]]:
    document = events.document(first)
    identity = document.pop("event_id")
    del document["timestamp"]
    return orjson.dumps(document), _attributes(identity, "com.example.prediction")


def _attributes(identity: str, kind: str) -> Sequence[Header]:
    named = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_source": "/scorer",
        "ce_type": kind,
        "ce_time": "2026-01-01T00:00:00.123456Z",
        "ce_inferenceservicename": "fraud",
        "ce_namespace": "shop",
        "ce_endpoint": "default",
    }
    return [(name, text.encode()) for name, text in named.items()]


def _structured(events: Events, first: int, _: int) -> tuple[bytes, Sequence[Header]]:
    document = events.document(first)
    whole = {
        "specversion": "1.0",
        "id": document.pop("event_id"),
        "source": "/scorer",
        "type": "com.example.prediction",
        "data": document,
    }
    return orjson.dumps(whole), [("content-type", b"application/cloudevents+json")]


def _instances(events: Events, first: int, last: int) -> tuple[bytes, Sequence[Header]]:
    rows = [list(events.features(place).values()) for place in range(first, last)]
    kind = "org.kubeflow.serving.inference.request"
    return orjson.dumps({"instances": rows}), _attributes(f"e-{first}", kind)


def _tensors(events: Events, first: int, last: int) -> tuple[bytes, Sequence[Header]]:
    size = last - first
    columns: Mapping[str, Sequence[object]] = {**events.numbers, **events.categories}
    kinds = dict.fromkeys(_NUMBERS, "FP64") | dict.fromkeys(_CATEGORIES, "BYTES")
    tensors = [
        {"name": name, "shape": [size], "datatype": kinds[name], "data": cells[first:last]}
        for name, cells in columns.items()
    ]
    return orjson.dumps({"model_name": "fraud", "id": f"e-{first}", "inputs": tensors}), ()


def _protobuf(events: Events, first: int, last: int) -> tuple[bytes, Sequence[Header]]:
    size = last - first
    message = Message(model_name="fraud", id=f"e-{first}")
    for name, numbers in events.numbers.items():
        message.tensors.add(name=name, datatype="FP64", shape=[size])
        message.seven.append(np.array(numbers[first:last], dtype="<f8").tobytes())
    for name, texts in events.categories.items():
        message.tensors.add(name=name, datatype="BYTES", shape=[size])
        framed = [struct.pack("<I", len(text)) + text.encode() for text in texts[first:last]]
        message.seven.append(b"".join(framed))
    value: bytes = message.SerializeToString()
    return value, ()


def _split(events: Events, first: int, last: int) -> tuple[bytes, Sequence[Header]]:
    rows = [list(events.features(place).values()) for place in range(first, last)]
    log = {
        "model": "fraud",
        "request_id": f"e-{first}",
        "dataframe_split": {"columns": [*_NUMBERS, *_CATEGORIES], "data": rows},
        "predictions": list(events.score[first:last]),
    }
    return orjson.dumps(log), ()


def _change(events: Events, first: int, _: int) -> tuple[bytes, Sequence[Header]]:
    row = orjson.loads(_flat(events, first, first)[0])
    source = {"connector": "postgresql", "table": "predictions", "ts_ms": _START // 1_000}
    return orjson.dumps({"before": None, "after": row, "source": source, "op": "c"}), ()


def _framed(events: Events, first: int, last: int) -> tuple[bytes, Sequence[Header]]:
    return struct.pack(">bI", 0, 7) + _json(events, first, last)[0], ()


def _avro(events: Events, first: int, _: int) -> tuple[bytes, Sequence[Header]]:
    stream = io.BytesIO()
    document = events.document(first)
    document["timestamp"] = int(document["timestamp"] * 1e6)
    fastavro.schemaless_writer(stream, fastavro.parse_schema(_AVRO), document)
    return struct.pack(">bI", 0, 7) + stream.getvalue(), ()


def _arrow(events: Events, first: int, last: int) -> tuple[bytes, Sequence[Header]]:
    size = last - first
    columns: dict[str, Any] = {
        "model": ["fraud"] * size,
        "event_id": [f"e-{place}" for place in range(first, last)],
        **{name: cells[first:last] for name, cells in events.numbers.items()},
        **{name: cells[first:last] for name, cells in events.categories.items()},
        "score": events.score[first:last],
    }
    batch = pa.record_batch(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue(), ()


_WAYS: Sequence[tuple[str, str, Write, Sequence[int]]] = (
    ("json", "json", _json, (1,)),
    ("flat", "flat", _flat, (1,)),
    ("cloudevents, binary", "cloudevents", _binary, (1,)),
    ("cloudevents, structured", "cloudevents", _structured, (1,)),
    ("debezium", "debezium", _change, (1,)),
    ("json_schema", "json_schema", _framed, (1,)),
    ("avro", "avro", _avro, (1,)),
    ("kserve, V1", "kserve", _instances, (1, _BATCH)),
    ("v2, JSON", "v2", _tensors, (1, _BATCH)),
    ("v2, protobuf", "v2", _protobuf, (1, _BATCH)),
    ("mlflow", "mlflow", _split, (1, _BATCH)),
    ("arrow", "arrow", _arrow, (1, _BATCH, 1_000)),
)


def _packed(write: Write, events: Events, batch: int) -> Messages:
    records = []
    for place, first in enumerate(range(0, len(events), batch)):
        value, headers = write(events, first, min(first + batch, len(events)))
        records.append(Record(place, _START + first * 1_000_000, value, None, headers))
    return pack(Partition("seldon.shop.model.fraud.inputs", 0), records, len(records))


def _seconds(name: str, messages: Messages, events: int) -> float:
    """Return the least CPU time in which a format's decoder reads all messages."""
    decoder = make_decoder(name, {}, lambda _: Schema("AVRO", json.dumps(_AVRO)))
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        decoded = decoder.decode(messages)
        times.append(time.process_time() - start)
        assert sum(map(len, decoded.batches)) == events, decoded.dead_letters[:1]
    return min(times[1:])


def main() -> None:
    """Print a table of all formats."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    events = _events(parser.parse_args().events)
    table = Table("format", "events a message", "us an event", "times json", "bytes an event")
    base = 0.0
    for title, name, write, batches in _WAYS:
        for batch in batches:
            messages = _packed(write, events, batch)
            each = _seconds(name, messages, len(events)) / len(events) * 1e6
            base = base or each
            size = int(messages.length.sum()) / len(events)
            table.add_row(title, f"{batch:,}", f"{each:.2f}", f"{each / base:.1f}", f"{size:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
