"""Debezium's change events of a table of predictions: each row that is written is an event.

https://debezium.io/documentation (change events of the connectors, with and without schemas).
"""

from streamdrift.decoders.json import JsonDecoder
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.decoders.presets import over
from streamdrift.records import Decoded, Messages

PRESET = MappingSettings(
    model="/after/model",
    version="/after/version",
    id="/after/event_id",
    time="/source/ts_ms",
    features="/after",
    prediction="/after/prediction",
    score="/after/score",
    label="/after/label",
    latency_ms="/after/latency_ms",
    failed="/after/error",
)


class DebeziumDecoder:
    """Decodes change events; pointers of a mapping begin at the payload."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._json = JsonDecoder(over(PRESET, mapping), unwrap=_written)

    def decode(self, messages: Messages) -> Decoded:
        return self._json.decode(messages)


def _written(document: dict[str, object]) -> object:
    """Return the payload; None where a row was deleted, or the table emptied."""
    payload = document.get("payload", document) if "schema" in document else document
    if isinstance(payload, dict) and payload.get("op") in ("d", "t", "m"):
        return None
    return payload
