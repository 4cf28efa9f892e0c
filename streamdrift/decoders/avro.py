"""Avro with a Confluent-compatible schema registry, in any shape that a mapping describes.

Avro is not read column by column: every record becomes an object of its own on the way.
"""

import io
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, cast

import orjson

from streamdrift.decoders.avro_schemas import why_unreadable
from streamdrift.decoders.framing import (
    HEADER,
    payload_starts,
    schema_id,
    without_frames,
)
from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.letters import brief, letter
from streamdrift.decoders.limits import MAX_MESSAGE_BYTES
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.decoders.parsing import Events
from streamdrift.errors import SettingsError
from streamdrift.headers import header_spans
from streamdrift.records import Decoded, Messages
from streamdrift.schemas import Schema, SchemaId, Schemas

_MOST_SCHEMAS = 1_000
"""Schemas that are kept parsed."""


class _Parsed(NamedTuple):
    """A schema as the library takes it, and whether there are decimals in it."""

    schema: Any
    decimals: bool


class _Fault(NamedTuple):
    """Why messages of a schema are dead letters."""

    reason: str
    detail: str


class AvroDecoder:
    """Decodes Avro records; `schemas` asks the registry."""

    def __init__(self, mapping: MappingSettings, schemas: Schemas | None) -> None:
        if schemas is None:
            raise SettingsError(
                "source.format: avro needs a schema registry",
                hint="set source.schema_registry.url to that of the producers",
            )
        try:
            from fastavro import parse_schema, schemaless_reader
        except ImportError as error:
            raise SettingsError(
                "source.format: avro needs fastavro, which is not installed",
                hint="pip install 'streamdrift[avro]'",
            ) from error
        self._parse_schema: Callable[..., Any] = parse_schema
        self._read: Callable[..., Any] = schemaless_reader
        self._json = JsonDecoder(mapping)
        self._schemas = schemas
        self._parsed: dict[SchemaId, _Parsed] = {}

    def decode(self, messages: Messages) -> Decoded:
        starts, good = payload_starts(messages)
        payloads = without_frames(messages, starts)
        header_start, header_length = header_spans(messages, HEADER)
        documents: list[object] = []
        rows: list[int] = []
        events = Events(documents, rows, [])
        unknown: dict[SchemaId, _Fault] = {}
        for row in range(len(messages)):
            whole = messages.value(row)
            if whole is None:
                continue
            if len(whole) > MAX_MESSAGE_BYTES:
                events.letters.append(letter(messages, row, "too_large", f"{len(whole):,} bytes"))
                continue
            at, size = int(header_start[row]), int(header_length[row])
            identity = schema_id(whole if size < 0 else messages.data[at : at + size].tobytes())
            if not good[row] or identity is None:
                events.letters.append(letter(messages, row, "unframed", f"found {brief(whole)}"))
                continue
            parsed = self._schema(identity, unknown)
            if parsed is None:
                fault = unknown[identity]
                shown = f"{identity}: {fault.detail}"
                events.letters.append(letter(messages, row, fault.reason, shown))
                continue
            payload = payloads.value(row)
            assert payload is not None, "null values were left out"
            try:
                record = self._record(payload, parsed)
            except Exception as error:  # The library raises whatever the bytes make it run into.
                # Not what it says: that names objects by their addresses.
                shown = f"schema {identity}: {type(error).__name__}"
                events.letters.append(letter(messages, row, "invalid_avro", shown))
                continue
            if isinstance(record, dict):
                documents.append(record)
                rows.append(row)
            else:
                shown = f"found {brief(record)}"
                events.letters.append(letter(messages, row, "not_an_object", shown))
        events.indices = [0] * len(rows)
        return self._json.decode_events(messages, events)

    def _schema(self, identity: SchemaId, unknown: dict[SchemaId, _Fault]) -> _Parsed | None:
        """Return a parsed schema; None where there is none that can be used, and why."""
        found = self._parsed.get(identity)
        if found is not None or identity in unknown:
            return found
        schema = self._schemas(identity)
        if schema is None:
            said = "the registry does not know it, or was asked for too many such"
            unknown[identity] = _Fault("unknown_schema", said)
            return None
        if schema.kind != "AVRO":
            unknown[identity] = _Fault("unknown_schema", f"it is a schema of {schema.kind:.20}")
            return None
        try:
            found, unsafe = self._parse(schema)
        except Exception as error:  # As above: a registry need not check what it is given.
            said = f"{type(error).__name__}: {error}"[:200]
            unknown[identity] = _Fault("unknown_schema", said)
            return None
        if unsafe is not None:
            unknown[identity] = _Fault("unsafe_schema", unsafe)
            return None
        if len(self._parsed) >= _MOST_SCHEMAS:
            self._parsed.clear()
        self._parsed[identity] = found
        return found

    def _parse(self, schema: Schema) -> tuple[_Parsed, str | None]:
        """Return a schema parsed, and why it is not read if so."""
        named: dict[str, Any] = {}
        decimals = False
        for text in schema.references.values():
            plain = _without_logical(orjson.loads(text))
            decimals |= _has_decimals(plain)
            self._parse_schema(plain, named_schemas=named)
        plain = _without_logical(orjson.loads(schema.text))
        parsed = self._parse_schema(plain, named_schemas=named)
        why = why_unreadable(parsed, named)
        return _Parsed(parsed, decimals or _has_decimals(plain)), why

    def _record(self, payload: bytes, parsed: _Parsed) -> object:
        stream = io.BytesIO(payload)
        record: object = self._read(stream, parsed.schema, None)
        if stream.tell() != len(payload):
            raise ValueError(f"{len(payload) - stream.tell()} bytes follow the record")
        return _with_floats(record) if parsed.decimals else record


def _without_logical(schema: Any) -> Any:
    """Return a schema in which times are the numbers they are written as; decimals stay."""
    if isinstance(schema, list):
        return [_without_logical(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = schema.get("logicalType") == "decimal"
    return {
        name: _without_logical(value) if name in ("fields", "items", "values", "type") else value
        for name, value in schema.items()
        if kept or name != "logicalType"
    }


def _has_decimals(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_has_decimals, schema))
    if not isinstance(schema, Mapping):
        return False
    return schema.get("logicalType") == "decimal" or any(map(_has_decimals, schema.values()))


def _with_floats(value: object) -> object:
    """Return a record with floats in place of decimals."""
    if isinstance(value, dict):
        return {name: _with_floats(each) for name, each in cast(dict[str, object], value).items()}
    if isinstance(value, list):
        return [_with_floats(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value
