"""Which Avro schemas are read: those by which a record cannot be very much larger than its bytes.

A schema that refers to itself nests as deep as its bytes say, and what takes no bytes (`null`, a
record without fields) may be there as often as they say. Both are in the hands of who writes.
"""

from collections.abc import Mapping
from typing import Any

_MOST_DEPTH = 64
_MOST_PARTS = 20_000
_PER_BYTE = 4
"""Values that a byte may stand for where values are repeated."""
_PRIMITIVES: Mapping[str, int] = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "float": 4,
    "double": 8,
    "bytes": 1,
    "string": 1,
}
"""The fewest bytes that they take."""


class _UnreadableError(Exception):
    """A schema that is not read; says why."""


def why_unreadable(schema: Any, named: Mapping[str, Any]) -> str | None:
    """Return why a parsed schema is not read, None where it is.

    `named` has the schemas that it may name, as fastavro's `parse_schema` leaves them.
    """
    try:
        _Walk(named).surplus(schema, ())
    except _UnreadableError as error:
        return str(error)
    return None


class _Walk:
    """Walks over all parts of a schema, those by name as often as they are named."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._parts = 0

    def surplus(self, schema: Any, within: tuple[str, ...]) -> int:
        """Return how many more values there are at most than bytes allow; `within` names records.

        Raises _UnreadableError where the schema is not read.
        """
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _UnreadableError(f"it has more than {_MOST_PARTS:,} parts")
        if isinstance(schema, list):
            return max((self.surplus(each, within) for each in schema), default=0) - _PER_BYTE
        if isinstance(schema, str):
            if schema in _PRIMITIVES:
                return 1 - _PER_BYTE * _PRIMITIVES[schema]
            if schema in within:
                raise _UnreadableError(f"it is recursive, which is not read: {schema:.80}")
            return self.surplus(self._named[schema], within)
        kind = schema["type"]
        if kind in ("array", "map"):
            of_what = "items" if kind == "array" else "values"
            self._check_repeated(kind, self.surplus(schema[of_what], self._in(within, "")))
            return 1 - _PER_BYTE
        if kind in ("record", "error"):
            inner = self._in(within, schema["name"])
            return 1 + sum(self.surplus(each["type"], inner) for each in schema["fields"])
        if kind == "fixed":
            return 1 - _PER_BYTE * int(schema["size"])
        return 1 - _PER_BYTE if kind == "enum" else self.surplus(kind, within)

    @staticmethod
    def _check_repeated(kind: str, surplus: int) -> None:
        """Raise _UnreadableError where few bytes are many items; a map has keys before them."""
        if surplus + (0 if kind == "array" else 1 - _PER_BYTE) > 0:
            raise _UnreadableError(f"its {kind} has items that take no bytes, or next to none")

    @staticmethod
    def _in(within: tuple[str, ...], name: str) -> tuple[str, ...]:
        if len(within) >= _MOST_DEPTH:
            raise _UnreadableError(f"it is nested more than {_MOST_DEPTH} deep")
        return (*within, name)
