"""Adding up the layers of settings, and reporting every mistake in them at once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamdrift.config.layers import (
    Key,
    Layer,
    merge,
    read_assignments,
    read_environment,
    read_file,
)
from streamdrift.config.mistakes import Mistake, Shape, dotted, explain
from streamdrift.config.settings import Settings
from streamdrift.decoders import DECODERS
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.durations import WRITTEN
from streamdrift.errors import SettingsError
from streamdrift.models.settings import ModelSettings


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings that file, environment and `--set` arguments add up to.

    Raises SettingsError that lists every mistake at once.
    """
    layers = [
        read_file(file) if file is not None else Layer({}),
        read_environment(environment),
        read_assignments(assignments),
    ]
    values: dict[str, object] = {}
    for layer in layers:
        values = merge(values, layer.values)
    mistakes = [Mistake(key, message) for layer in layers for key, message in layer.mistakes]
    settings, errors, values = _validated(values, layers)
    mistakes += explain(errors, _shape())
    mistakes += _overlay_mistakes(values, mistakes)
    mistakes += _source_mistakes(values)
    if settings is None or mistakes:
        raise SettingsError(
            _report(mistakes, layers),
            hint="`streamdrift settings --markdown` lists every setting",
        )
    return settings


def _validated(
    values: dict[str, object], layers: Sequence[Layer]
) -> tuple[Settings | None, list[ErrorDetails], dict[str, object]]:
    """Return the settings, or pydantic's errors; and the values they were made from.

    A password of digits in an environment variable reads as a number in YAML: where text is
    wanted, and only there, the variable's own text is taken.
    """
    texts = {key: text for layer in layers for key, text in layer.texts.items()}
    for _ in range(2):
        try:
            return Settings.model_validate(values, context=WRITTEN), [], values
        except ValidationError as error:
            errors = error.errors(include_url=False)
        untyped = [
            key
            for key in (_shape().place(each)[0] for each in errors if _wants_text(each))
            if key in texts
        ]
        for key in untyped:
            values = merge(values, _nested(key, texts[key]))
        if not untyped:
            break
    return None, errors, values


def _wants_text(error: ErrorDetails) -> bool:
    return error["type"] in {"string_type", "secret_str_type"}


def _nested(key: Key, value: object) -> dict[str, object]:
    for segment in reversed(key):
        value = {str(segment): value}
    assert isinstance(value, dict)
    return value


def _overlay_mistakes(values: Mapping[str, object], found: Sequence[Mistake]) -> Iterator[Mistake]:
    """Yield what is wrong only once entries of `models` lie over one another.

    Entries in which mistakes were `found` are left out.
    """
    wrong = {mistake.key[:2] for mistake in found}
    right = {
        name: entry
        for name, entry in _mapping(values.get("models")).items()
        if ("models", name) not in wrong
    }
    try:
        settings = Settings.model_validate({"models": right}, context=WRITTEN)
    except ValidationError:
        return  # A mistake of all entries, such as a name that is none: it was found.
    for name in settings.models:
        try:
            settings.model(name)
        except ValidationError as error:
            yield from _below(("models", name), error, ModelSettings)


def _source_mistakes(values: Mapping[str, object]) -> Iterator[Mistake]:
    """Yield what is wrong with formats and mappings: sources do not know the decoders.

    What is no text or no mapping at all was found before.
    """
    source = _mapping(values.get("source"))
    places: list[tuple[Key, Mapping[str, object]]] = [(("source",), source)]
    topics = source.get("predictions")
    for place, topic in enumerate(topics if isinstance(topics, list) else ()):
        places.append((("source", "predictions", place), _mapping(topic)))
    for key, section in places:
        format_ = section.get("format")
        if isinstance(format_, str) and format_ not in DECODERS:
            known = ", ".join(sorted(DECODERS))
            yield Mistake((*key, "format"), f"must be one of: {known}; not {format_!r}")
        if format_ == "avro" and not _mapping(source.get("schema_registry")).get("url"):
            yield Mistake((*key, "format"), "avro needs source.schema_registry.url")
        try:
            MappingSettings.model_validate(_mapping(section.get("mapping")))
        except ValidationError as error:
            yield from _below((*key, "mapping"), error, MappingSettings)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _below(key: Key, error: ValidationError, section: type[BaseModel]) -> list[Mistake]:
    """Return the mistakes of a section that was checked by itself, at its place `key`."""
    found = explain(error.errors(include_url=False), Shape(section.model_json_schema()))
    return [Mistake((*key, *each.key), each.message) for each in found]


def _report(mistakes: Sequence[Mistake], layers: Sequence[Layer]) -> str:
    lines = []
    for mistake in mistakes:
        origin = _origin(mistake.key, layers)
        place = f"{dotted(mistake.key)} ({origin})" if origin else dotted(mistake.key)
        lines.append(f"{place}: {mistake.message}")
    if len(lines) == 1:
        return lines[0]
    return "\n  ".join([f"{len(lines)} mistakes in the settings:", *lines])


def _origin(key: Key, layers: Sequence[Layer]) -> str | None:
    """Return where a key, or else what it stands in, was given last."""
    for depth in range(len(key), 0, -1):
        for layer in reversed(layers):
            if key[:depth] in layer.origins:
                return layer.origins[key[:depth]]
    return None


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema of the settings file, for editors and for `explain`."""
    # As settings are shown, which differs in the defaults alone: those of durations are texts.
    schema = Settings.model_json_schema(mode="serialization")
    mapping = MappingSettings.model_json_schema()
    definitions = schema["$defs"]
    definitions |= mapping.pop("$defs", {})
    definitions["MappingSettings"] = mapping
    for section in ("SourceSettings", "TopicSettings"):
        place = definitions[section]["properties"]["mapping"]
        reference: dict[str, Any] = {"$ref": "#/$defs/MappingSettings"}
        if "anyOf" in place:
            reference = {"anyOf": [reference, {"type": "null"}]}
        definitions[section]["properties"]["mapping"] = {
            **reference,
            "description": place["description"],
        }
        format_ = definitions[section]["properties"]["format"]
        format_.get("anyOf", [format_])[0]["enum"] = sorted(DECODERS)
    topics = definitions["SourceSettings"]["properties"]["predictions"]
    topics["items"] = {"anyOf": [{"type": "string"}, topics["items"]]}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "streamdrift settings"
    return schema


@cache
def _shape() -> Shape:
    return Shape(settings_schema())
