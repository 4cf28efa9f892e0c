"""Schemas as a registry gives them and decoders ask for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

SchemaId = int | UUID


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of a registry, with those that it refers to, by name.

    `kind` is `AVRO`, `JSON` or `PROTOBUF`. Each reference comes after all that it refers to.
    """

    kind: str
    text: str
    references: Mapping[str, str] = field(default_factory=dict)


Schemas = Callable[[SchemaId], Schema | None]
"""Returns a schema, None where there is none of that id.

Raises ConnectionsError where the registry cannot say.
"""
