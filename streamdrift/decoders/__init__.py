"""From messages to columns: one decoder per event format.

To add a format: a module with its decoder, and a line in `DECODERS`; the contract tests then
cover it. Decoders keep no state, as several workers may decode parts of one stream.

What formats are made of: `json` reads documents by a mapping, fast where they look alike, and
`presets` lays a format's own mapping under it; `envelopes` lays open what is wrapped; `tables`
joins messages that hold many events each, `bodies` reads such batches in JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from streamdrift.decoders.arrow import ArrowDecoder
from streamdrift.decoders.avro import AvroDecoder
from streamdrift.decoders.cloudevents import CloudEventsDecoder
from streamdrift.decoders.debezium import DebeziumDecoder
from streamdrift.decoders.flat import FlatDecoder
from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.json_schema import JsonSchemaDecoder
from streamdrift.decoders.kserve import KServeDecoder
from streamdrift.decoders.mapping import MappingSettings, check_mapping
from streamdrift.decoders.mlflow import MlflowDecoder
from streamdrift.decoders.v2 import V2Decoder
from streamdrift.errors import SettingsError
from streamdrift.records import Decoded, Messages
from streamdrift.schemas import Schemas

__all__ = ["DECODERS", "Decoder", "MappingSettings", "Schemas", "make_decoder"]


class Decoder(Protocol):
    """Turns messages into events."""

    def decode(self, messages: Messages) -> Decoded:
        """Return the events of `messages`, and a dead letter for each that is none.

        Never raises for what a message holds, and no message harms its neighbours. Raises
        ConnectionsError where something else is asked, such as for schemas, and does not answer.
        """
        ...


Maker = Callable[[MappingSettings, Schemas | None], Decoder]
"""Builds a decoder from a mapping, and from what gives schemas where the settings say where."""


def _plain(decoder: Callable[[MappingSettings], Decoder]) -> Maker:
    return lambda mapping, _: decoder(mapping)


DECODERS: Mapping[str, Maker] = {
    "json": _plain(JsonDecoder),
    "flat": _plain(FlatDecoder),
    "cloudevents": _plain(CloudEventsDecoder),
    "kserve": _plain(KServeDecoder),
    "v2": _plain(V2Decoder),
    "mlflow": _plain(MlflowDecoder),
    "debezium": _plain(DebeziumDecoder),
    "json_schema": _plain(JsonSchemaDecoder),
    "avro": AvroDecoder,
    "arrow": _plain(ArrowDecoder),
}
"""The registry: a format's name, and what builds its decoder."""


def make_decoder(
    format: str,  # noqa: A002
    mapping: Mapping[str, Any],
    schemas: Schemas | None = None,
) -> Decoder:
    """Return the decoder of a format; raise SettingsError where format or mapping are wrong."""
    maker = DECODERS.get(format)
    if maker is None:
        known = ", ".join(sorted(DECODERS))
        raise SettingsError(f"source.format: {format!r} is no format", hint=f"one of: {known}")
    return maker(check_mapping(mapping), schemas)
