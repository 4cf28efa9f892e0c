"""The Open Inference Protocol (V2), as JSON or protobuf, and Seldon Core 2's topics of it.

https://github.com/kserve/open-inference-protocol. Seldon Core 2 writes protobuf to topics named
`PREFIX.NAMESPACE.model.NAME.inputs` and `.outputs`; there the model is what the topic says.
"""

import re
from collections.abc import Mapping

from streamdrift.decoders.beside import Beside
from streamdrift.decoders.bodies import BodyError, read_body
from streamdrift.decoders.letters import letter
from streamdrift.decoders.mapping import HeaderPlace, MappingSettings
from streamdrift.decoders.parsing import first_bytes
from streamdrift.decoders.tables import Part, Table, TableReader
from streamdrift.decoders.unrolling import Head, rest_of, unroll
from streamdrift.decoders.v2_protobuf import NotProtobufError, UnclearError, read_message
from streamdrift.records import Decoded, Group, Messages

_TOPIC = re.compile(r".+\.[^.]+\.(?:model|pipeline)\.(?P<name>.+)\.(?P<side>inputs|outputs)")
_SIDES: Mapping[str, Group] = {"inputs": Group.FEATURE, "outputs": Group.OUTPUT}
_BRACE = ord("{")


class V2Decoder:
    """Decodes inference requests and responses; pointers of a mapping begin at the message.

    Protobuf does not say which of the two a message is. Its topic's name does, by its end, or
    the mapping, where it has no `features` or no `prediction`.
    """

    def __init__(self, mapping: MappingSettings) -> None:
        self._reader = TableReader(mapping, Beside(id=HeaderPlace(header="x-request-id")))
        self._side: Group | None = None
        if mapping.prediction is None:
            self._side = Group.FEATURE
        elif mapping.features is None:
            self._side = Group.OUTPUT

    def decode(self, messages: Messages) -> Decoded:
        match = _TOPIC.fullmatch(messages.partition.topic)
        side = self._side or (_SIDES[match["side"]] if match else None)
        name = match["name"] if match else None
        first = first_bytes(messages)
        binary = (first >= 0) & (first != _BRACE)
        tables: list[Table] = []
        letters = []
        is_json = ~binary
        for row in binary.nonzero()[0].tolist():
            value = messages.value(row)
            assert value is not None, "null values were left out"
            try:
                head, count, parts = read_message(value, side)
            except NotProtobufError:
                is_json[row] = True
            except UnclearError:
                letters.append(letter(messages, row, "unclear_side"))
            except BodyError as error:
                letters.append(letter(messages, row, "invalid_body", str(error)))
            else:
                tables.append(Table(row, count, _head(head, name), tuple(parts)))

        def read(_: int, body: Mapping[str, object]) -> tuple[Head, int, list[Part]]:
            count, parts = read_body(body)
            return _head(rest_of(body), name), count, parts

        rows = is_json.nonzero()[0]
        found, unread = unroll(messages.take(rows), read)
        tables += [Table(int(rows[each.row]), each.size, each.head, each.parts) for each in found]
        tables.sort(key=lambda table: table.row)
        return self._reader.read(messages, tables, letters + unread)


def _head(head: Head, topics_model: str | None) -> Head:
    """Return a message's head with the names of the default format."""
    return {
        **head,
        "model": topics_model or head.get("model_name") or head.get("model"),
        "version": head.get("model_version") or head.get("version") or "",
        "event_id": head.get("id") or None,
    }
