"""From pydantic's errors to sentences that name the key, the value and what is allowed."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from streamdrift.config.layers import PREFIX, Key

_SECRET = re.compile(
    r"password|secret|token|credential|sasl_oauth|private_key|ssl_.*key|^notify$", re.I
)
_SUBJECT = re.compile(r"^(Input|String|Tuple|List|Value|Dictionary|Number) should ")
_PLAIN = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "list_type": "must be a list",
    "mapping_type": "must be a mapping of keys to values",
    "missing": "missing: this setting has no default",
    "model_attributes_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
}
"""What some of pydantic's errors mean to somebody who writes YAML."""
_NEAR = 0.6
_ONE_OF = "give only one of"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong setting: its place and what is wrong with it."""

    key: Key
    message: str

    def __str__(self) -> str:
        # What several settings do not agree on is the mistake of none of them.
        return f"{dotted(self.key)}: {self.message}" if self.key else self.message


def dotted(key: Key) -> str:
    """Return a key as people write it.

    >>> dotted(("source", "predictions", 0, "topic"))
    'source.predictions[0].topic'
    """
    text = ""
    for segment in key:
        if isinstance(segment, int):
            text += f"[{segment}]"
        else:
            name = f'"{segment}"' if "." in segment or not segment else segment
            text += f".{name}" if text else name
    return text


def secret(name: str) -> bool:
    """Tell whether a setting of this name holds something nobody should read over a shoulder."""
    return _SECRET.search(name) is not None and not name.endswith("file")


class Shape:
    """The tree of settings that exist, read from their JSON schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})

    def _forms(self, node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the alternatives a schema node allows, references resolved."""
        if "$ref" in node:
            yield from self._forms(self._definitions[node["$ref"].rsplit("/", 1)[1]])
            return
        yield node
        for union in ("anyOf", "oneOf", "allOf"):
            for part in node.get(union, ()):
                yield from self._forms(part)

    def _below(self, nodes: Sequence[Mapping[str, Any]], segment: str | int) -> list[Any]:
        """Return what may stand at `segment` below any of `nodes`; empty where nothing may."""
        found: list[Any] = []
        for node in nodes:
            if isinstance(segment, int):
                found += self._forms(node.get("items", {})) if "items" in node else []
            elif segment in node.get("properties", {}):
                found += self._forms(node["properties"][segment])
            elif isinstance(node.get("additionalProperties"), Mapping):
                found += self._forms(node["additionalProperties"])
        return found

    def place(self, error: ErrorDetails) -> tuple[Key, list[Any]]:
        """Return the key an error stands for, and the schema nodes around it.

        Its location also names the branches of unions pydantic tried; those are no part of the
        key. The nodes are those of the deepest mapping or list the key was found in.
        """
        key: list[str | int] = []
        nodes = around = list(self._forms(self._root))
        location = error["loc"]
        for number, segment in enumerate(location):
            below = self._below(nodes, segment)
            last = number == len(location) - 1 and error["type"] == "extra_forbidden"
            if below:
                around, nodes = nodes, below
                key.append(segment)
            elif last:
                around = nodes
                key.append(segment)
        return tuple(key), around

    def names(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the keys that may stand in a mapping of these schema nodes."""
        return sorted({name for node in nodes for name in node.get("properties", {})})

    def every_key(self) -> Iterator[Key]:
        """Yield every key the settings know, a `*` where any name may stand."""
        yield from self._keys(list(self._forms(self._root)), ())

    def _keys(self, nodes: Sequence[Mapping[str, Any]], key: Key) -> Iterator[Key]:
        if len(key) > 8:  # A schema that contains itself has no last key.
            return
        for name in self.names(nodes):
            yield (*key, name)
            yield from self._keys(self._below(nodes, name), (*key, name))
        for node in nodes:
            if isinstance(node.get("additionalProperties"), Mapping):
                below = list(self._forms(node["additionalProperties"]))
                yield from self._keys(below, (*key, "*"))


def explain(errors: Sequence[ErrorDetails], shape: Shape) -> list[Mistake]:
    """Return one mistake per wrong key, in the order the keys stand in the settings."""
    found: dict[Key, list[str]] = {}
    unknown = {shape.place(each)[0][:-1] for each in errors if each["type"] == "extra_forbidden"}
    for error in errors:
        key, around = shape.place(error)
        # Beside an unknown key nothing is missing: it is what was meant, or another branch.
        if error["type"] == "missing" and key[:-1] in unknown:
            continue
        message = _message(error, key, around, shape)
        found.setdefault(key, [])
        if message not in found[key]:
            found[key].append(message)
    # A value that fits no branch of a union fails in each, and a list is too short for want
    # of what was wrong in it: the deepest failure says most.
    deeper = {key[:depth] for key in found for depth in range(len(key))}
    return [
        Mistake(key, " or ".join(_telling(messages)))
        for key, messages in found.items()
        if key not in deeper
    ]


def _telling(messages: Sequence[str]) -> Sequence[str]:
    """Leave out that a value is of another type, or a key of another branch, than one wants.

    Where a branch accepts type and key and says what is wrong, that is what was meant.
    """
    vague = ("must be a ", _ONE_OF)
    return [text for text in messages if not text.startswith(vague)] or messages


def _message(error: ErrorDetails, key: Key, around: Sequence[Any], shape: Shape) -> str:
    name = str(key[-1]) if key else ""
    if error["type"] == "extra_forbidden":
        texts = any(node.get("type") == "string" for node in around)
        return _unknown(name, key, shape, shape.names(around), texts=texts)
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        message = str(context.get("error", error["msg"]))
    elif error["type"].startswith("union_tag"):
        tag, tags = context.get("discriminator", ""), context.get("expected_tags")
        return f"{tag} must be one of {tags}" if tags else f"{tag} is missing: it says which it is"
    else:
        message = _PLAIN.get(error["type"]) or _SUBJECT.sub("must ", error["msg"])
    given = error["input"]
    if error["type"] == "missing" or isinstance(given, Mapping | list | tuple | BaseModel):
        return message
    if any(secret(str(segment)) or segment == "url" for segment in key):
        return f"{message} (the value is hidden)"
    shown = repr(given)
    return message if shown in message else f"{message}, not {_short(shown)}"


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[:limit] + "..."


def _unknown(name: str, key: Key, shape: Shape, names: Sequence[str], *, texts: bool) -> str:
    """Say what may stand instead of a key: one of `names`, or a text in place of the mapping."""
    if name in names:
        return f"{_ONE_OF}: {', '.join(names)}"
    parents = key[:-1]
    for other in shape.every_key():
        # A variable with one underscore where two go a level down.
        below = [str(segment) for segment in other[len(parents) :]]
        if other[: len(parents)] == parents and len(below) > 1 and "_".join(below) == name:
            variable = PREFIX + "__".join(map(str, other)).upper()
            return f"unknown setting; did you mean `{dotted(other)}`, as a variable `{variable}`?"
    near = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
    if near:
        return f"unknown setting; did you mean `{near[0]}`?"
    if texts:
        return f"unknown here: write a text, or a mapping with {' or '.join(names)}"
    elsewhere = [other for other in shape.every_key() if other[-1] == name and other != key]
    if elsewhere:
        return f"unknown setting here; did you mean `{dotted(min(elsewhere, key=len))}`?"
    return f"unknown setting; known here: {', '.join(names)}" if names else "unknown setting"
