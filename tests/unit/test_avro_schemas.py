"""Avro schemas by which few bytes are very much: refused, and their messages are dead letters."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest

from streamdrift.decoders import make_decoder
from streamdrift.records import Decoded
from streamdrift.schemas import Schema
from tests.messages import messages

_FRAME = b"\x00\x00\x00\x00\x01"
_LIST = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}


def record(name: str = "R", /, **fields: Any) -> dict[str, Any]:
    named = [{"name": field, "type": kind} for field, kind in fields.items()]
    return {"type": "record", "name": name, "fields": named}


def decode(schema: Any, payload: bytes, references: Mapping[str, str] | None = None) -> Decoded:
    known = Schema("AVRO", json.dumps(schema), references or {})
    decoder = make_decoder("avro", {"model": {"constant": "m"}}, lambda _: known)
    return decoder.decode(messages([_FRAME + payload]))


def array(items: Any) -> dict[str, Any]:
    return record(features={"type": "array", "items": items})


def doubling(levels: int) -> dict[str, Any]:
    """Return a record of no bytes at all, with 2 ** levels values."""
    inner: Any = record("R0", x="null")
    for level in range(1, levels):
        inner = record(f"R{level}", a=inner, b=f"R{level - 1}")
    return record(features=inner)


def nested(levels: int) -> Any:
    inner: Any = "int"
    for level in range(levels):
        inner = record(f"R{level}", x=inner)
    return inner


def within(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"x": value}
    return value


_MANY = b"\x80\x8c\x8d\x9e\x02"  # 300,000,000 items


def test_a_message_that_nests_as_deep_as_it_is_long_ends_no_process() -> None:
    child = """
import json
from tests.unit.test_avro_schemas import _LIST, decode
print([each.reason for each in decode(_LIST, bytes([2]) * 200_000).dead_letters])
"""
    ended = subprocess.run([sys.executable, "-c", child], capture_output=True)
    assert (ended.returncode, ended.stdout) == (0, b"['unsafe_schema']\n"), ended.stderr


@pytest.mark.parametrize(
    ("schema", "payload", "said"),
    [
        (_LIST, b"\x00", "recursive, which is not read: L"),
        (record("R", a={"type": "map", "values": "R"}), b"\x00", "recursive"),
        (record("R", a={"type": "array", "items": ["int", "R"]}), b"\x00", "recursive"),
        (record("A", b=record("B", a=["null", "A"])), b"\x00", "recursive"),
        (array("null"), _MANY + b"\x00", "array has items that take no bytes"),
        (array(record("E")), _MANY + b"\x00", "array has items that take no bytes"),
        (array(record("E", x="null")), _MANY, "array has items that take no bytes"),
        (array({"type": "fixed", "name": "F", "size": 0}), _MANY, "array has items"),
        (array(record("E", **dict.fromkeys("abcde", "null"), z="int")), b"\x00", "next to none"),
        (
            record(
                features={
                    "type": "map",
                    "values": record("E", **dict.fromkeys("abcdefgh", "null")),
                }
            ),
            b"\x00",
            "map has items that take no bytes",
        ),
        (doubling(30), b"", "more than 20,000 parts"),
        (nested(70), b"\x02", "more than 64 deep"),
    ],
)
def test_what_few_bytes_make_very_much_of_is_not_read(
    schema: Any, payload: bytes, said: str
) -> None:
    decoded = decode(schema, payload)
    (letter,) = decoded.dead_letters
    assert letter.reason == "unsafe_schema"
    assert said in letter.detail


def test_a_schema_is_refused_for_what_it_refers_to() -> None:
    references = {"L": json.dumps(_LIST)}
    (letter,) = decode(record(features="L"), b"\x00", references).dead_letters
    assert "recursive" in letter.detail


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            record(features=record("F", a="null", b=record("E"), c="int")),
            {"a": None, "b": {}, "c": 1},
        ),
        (record(features={"type": "map", "values": "null"}), {"a": None, "b": None}),
        (
            record(features=record("A", a=record("B", x="int"), b="B")),
            {"a": {"x": 1}, "b": {"x": 2}},
        ),
        (record(features=nested(50)), within(50)),
        (
            array(["null", record("F", **{name: ["null", "int"] for name in "abcdefgh"})]),
            [{"a": 1}, None],
        ),
        (array({"type": "enum", "name": "E", "symbols": ["u"]}), ["u"]),
    ],
)
def test_what_its_bytes_bound_is_read(schema: Any, value: Any) -> None:
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, fastavro.parse_schema(schema), {"features": value})
    decoded = decode(schema, sink.getvalue())
    assert [letter.reason for letter in decoded.dead_letters] == []
    assert sum(map(len, decoded.batches)) == 1
