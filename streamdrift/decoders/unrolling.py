"""From messages that hold a batch each, in JSON, to tables."""

from collections.abc import Callable, Mapping

from streamdrift.decoders.bodies import KEYS, BodyError
from streamdrift.decoders.letters import brief, letter
from streamdrift.decoders.parsing import parse_value
from streamdrift.decoders.tables import Part, Table
from streamdrift.records import DeadLetter, Messages

Head = dict[str, object]
Read = Callable[[int, Mapping[str, object]], tuple[Head, int, list[Part]]]
"""Returns the head, the number and the parts of the events in a message's row and document.

Raises BodyError where it cannot.
"""


def unroll(messages: Messages, read: Read) -> tuple[list[Table], list[DeadLetter]]:
    """Return a table for each message, or a dead letter."""
    tables: list[Table] = []
    letters: list[DeadLetter] = []
    for row in range(len(messages)):
        value = messages.value(row)
        if value is None:
            continue
        document, reason, detail = parse_value(value)
        if reason is not None:
            letters.append(letter(messages, row, reason, detail))
        elif not isinstance(document, dict):
            shown = f"found {type(document).__name__}: {brief(document)}"
            letters.append(letter(messages, row, "not_an_object", shown))
        else:
            try:
                head, count, parts = read(row, document)
            except BodyError as error:
                letters.append(letter(messages, row, "invalid_body", str(error)))
            else:
                tables.append(Table(row, count, head, tuple(parts)))
    return tables, letters


def rest_of(document: Mapping[str, object]) -> Head:
    """Return what a document says of all its events: everything but these."""
    return {name: value for name, value in document.items() if name not in KEYS}
