"""KServe's inference logger: CloudEvents of requests and of responses, V1 and V2.

https://github.com/kserve/kserve (pkg/logger). Seldon Core 1's request logger writes the same with
other types and bodies, and is read too. A request gives the inputs alone and a response the
outputs: they have one id, `ce_id`, which stays the response's. Each is a version of its own: in one
half of all events would lack the features, more or less as they come, and half the outputs.
"""

from collections.abc import Mapping

from streamdrift.decoders.bodies import BodyError, read_body
from streamdrift.decoders.cloudevents import BESIDE
from streamdrift.decoders.envelopes import to_binary, with_originals
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.decoders.tables import Part, TableReader
from streamdrift.decoders.unrolling import Head, rest_of, unroll
from streamdrift.headers import header_texts
from streamdrift.records import Decoded, Group, Messages

_ATTRIBUTES = ("type", "id", "requestid", "inferenceservicename", "modelid", "endpoint")
REQUEST = "/request"
"""What id and version of a request have behind those of its response."""


class KServeDecoder:
    """Decodes the logger's events: the model is the inference service, the version its endpoint.

    That of a request has REQUEST behind.

    Pointers of a mapping begin at the body; attributes are headers named `ce_NAME`.
    """

    def __init__(self, mapping: MappingSettings) -> None:
        self._reader = TableReader(mapping, BESIDE)

    def decode(self, messages: Messages) -> Decoded:
        opened, letters = to_binary(messages)
        texts = {name: header_texts(opened, f"ce_{name}") for name in _ATTRIBUTES}

        def read(row: int, body: Mapping[str, object]) -> tuple[Head, int, list[Part]]:
            return _read({name: values[row] for name, values in texts.items()}, body)

        tables, unread = unroll(opened, read)
        decoded = self._reader.read(opened, tables, unread)
        return with_originals(decoded, messages, letters)


def _read(
    attributes: Mapping[str, str | None], body: Mapping[str, object]
) -> tuple[Head, int, list[Part]]:
    kind = attributes["type"] or ""
    is_request = kind.endswith(".request")
    if not is_request and not kind.endswith(".response"):
        raise BodyError(f"the type {kind:.80} is neither that of a request nor of a response")
    count, parts = read_body(body, Group.FEATURE if is_request else Group.OUTPUT)
    identity = attributes["requestid"] or attributes["id"]
    endpoint = attributes["endpoint"] or ""
    head = {
        **rest_of(body),
        "model": attributes["inferenceservicename"] or attributes["modelid"],
        "version": f"{endpoint}{REQUEST}" if is_request else endpoint,
        "event_id": f"{identity}{REQUEST}" if is_request and identity else identity,
    }
    return head, count, parts
