"""MLflow's scoring protocol: bodies of requests, of responses, or of both as they were logged.

https://mlflow.org/docs (deployment: the scoring server's inputs). A log has a body's fields beside
its own, or whole bodies, as objects or as text, in `request` and `response`, as Databricks'
inference tables do.
"""

from collections.abc import Mapping

from streamdrift.decoders.bodies import BodyError, read_body
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.decoders.tables import Part, TableReader
from streamdrift.decoders.unrolling import Head, rest_of, unroll
from streamdrift.documents import parse
from streamdrift.records import Decoded, Group, Messages

_BODIES = {"request": Group.FEATURE, "response": Group.OUTPUT}
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "model": ("model_name", "served_model_name"),
    "version": ("model_version",),
    "event_id": ("databricks_request_id", "client_request_id", "request_id"),
    "timestamp": ("timestamp_ms", "request_time"),
    "latency_ms": ("execution_duration_ms", "execution_time_ms"),
}
"""Under which names logs have what the default format calls otherwise."""


class MlflowDecoder:
    """Decodes what was logged of MLflow's scoring server; pointers begin at the log's fields."""

    def __init__(self, mapping: MappingSettings) -> None:
        self._reader = TableReader(mapping)

    def decode(self, messages: Messages) -> Decoded:
        tables, letters = unroll(messages, _read)
        return self._reader.read(messages, tables, letters)


def _read(_: int, log: Mapping[str, object]) -> tuple[Head, int, list[Part]]:
    head = rest_of(log)
    for name, others in _ALIASES.items():
        found = next((head[other] for other in others if head.get(other) is not None), None)
        if found is not None:
            head.setdefault(name, found)
    count, parts = read_body(log)
    for field, group in _BODIES.items():
        value = head.pop(field, None)
        if value is None:
            continue
        size, made = read_body(_body(field, value), group)
        if made and parts and size != count:
            raise BodyError(f"the {field} has {size} events, where there are {count}")
        count, parts = (size, parts + made) if made else (count, parts)
    return head, count, parts


def _body(field: str, value: object) -> Mapping[str, object]:
    if isinstance(value, str):
        try:
            value = parse(value.encode())
        except ValueError as error:
            raise BodyError(f"the {field} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BodyError(f"the {field} is no JSON object")
    return value
