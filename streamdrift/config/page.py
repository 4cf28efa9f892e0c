"""The settings reference: a Markdown page of every key, made from the settings' classes."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from streamdrift.config.layers import PREFIX
from streamdrift.config.loading import settings_schema
from streamdrift.config.settings import Settings
from streamdrift.decoders.mapping import MappingSettings
from streamdrift.durations import Duration, format_duration
from streamdrift.incidents.budget import AlertBudget

_DEPLOYMENT = "deployment"
"""The part of the keys that stand in no section."""
_PARTS: Mapping[str, Sequence[str]] = {
    "Input": ("kafka", "source", "gateway", "ordering", "topics"),
    "What is watched": ("models",),
    "Alerts and operators": ("alerts", "commands", "http"),
    "How it runs": (_DEPLOYMENT, "state", "exchange", "worker"),
}
"""Sections by what people look for; the last part has those that are named in none."""
_FIRST: Mapping[str, str] = {
    "kafka.bootstrap_servers": "where the brokers are",
    "source.predictions": "which topics have the predictions",
    "source.mapping": "where the parts of an event stand in yours",
    "models.<MODEL>.alert_budget": "how noisy it may be",
    "models.<MODEL>.reference.events": "how many events are the reference",
    "models.<MODEL>.ignore": "which columns are not watched",
    "models.<MODEL>.private": "which columns show no values",
    "models.<MODEL>.labels": "owner, runbook and the like, for alerts",
    "name": "the deployment's name, and so that of its topics",
    "alerts.alertmanager": "who is paged",
    "http.bind": "where the API, metrics and health are served",
}
"""What a newcomer sets; each key must exist."""
_ANY_NAME = {"models": "<MODEL>"}
"""What stands for any key of a mapping whose values are sections."""
_FORMATS = {"path": "path of a file", "password": "secret text", "json-pointer": "JSON Pointer"}

_INTRODUCTION = """\
# Settings

Every key there is, made from the program's own classes; of the version you have it is printed by
`streamdrift settings --markdown`. Every section has a default: `streamdrift settings` prints what
is in effect, and `streamdrift check` finds every mistake at once, with its line.

Settings come from the file (`-c streamdrift.yaml`), the environment and `--set`; the later goes
before, key by key. `kafka.bootstrap_servers` may be given in any of these ways:

```yaml
kafka:
  bootstrap_servers: kafka-1:9092,kafka-2:9092
```

```sh
STREAMDRIFT_KAFKA__BOOTSTRAP_SERVERS=kafka-1:9092,kafka-2:9092 streamdrift settings
streamdrift settings --set kafka.bootstrap_servers=kafka-1:9092,kafka-2:9092
```

- **Variables** are the key in capitals behind `STREAMDRIFT_`, with two underscores for each level.
  An empty one counts as unset. Lists and mappings are written as YAML: `[fraud, churn]`,
  `{owner: payments}`; what stands in a list has no variable of its own. `<MODEL>` in a variable's
  name is the model's in capitals, for models in small letters; any others fit into
  `STREAMDRIFT_MODELS='{"Fraud-EU": {alert_budget: 1/day}}'`.
- **`--set`** takes the key as it stands in the tables, with names that have dots quoted:
  `--set 'models."fraud.eu".alert_budget=1/day'`.
- **Durations** are a number and its unit: `us`, `ms`, `s`, `m`, `h`, `d` or `w`, such as `1.5s` or
  `24h`; `0` needs none. Where the table says *event time*, the clock is that of the events.
- **Budgets** are a number of false alarms for each `hour`, `day`, `week` or `month` (30 days) of
  event time, such as `2/week`: [The alert budget](budget.md).
- **Secrets** stand in a variable, or in a file that a key ending in `_file` names. They are hidden
  wherever settings are printed.
- **`models`** has an entry for each model, or pattern of names (`fraud-*`); `"*"` is all. A model's
  own entry lies over patterns, those over `"*"`, key by key.
- `STREAMDRIFT_CACHE_DIR` is no setting: it says where compiled kernels are kept.
- Topics that are not named begin with `name`: with `name: eu`, alerts go to `eu.alerts`.

What a change does to state that is there already is in
[State](state.md#changing-settings-while-state-is-kept).
"""


@dataclass(frozen=True, slots=True)
class _Section:
    """A class of settings, and the place it was found at."""

    key: str
    made_of: type[BaseModel]

    def kind(self) -> str | None:
        """Return what tells it from other entries of its list, None where nothing does."""
        field = self.made_of.model_fields.get("kind")
        return None if field is None else str(field.default)

    def heading(self) -> str:
        """Return its heading, which says the kind where there are several."""
        if not self.key:
            return "The deployment"
        return f"`{self.key}`: `{self.kind()}`" if self.kind() else f"`{self.key}`"

    def anchor(self) -> str:
        """Return what a link to it ends in."""
        return _anchor(self.heading())


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page is made from: the schema, and defaults under two names of the deployment."""

    schema: Mapping[str, Any]
    sections: Mapping[str, Sequence[_Section]]
    own: Settings
    other: Settings


def settings_page() -> str:
    """Return the settings reference as Markdown."""
    parts = _sections()
    page = _Page(settings_schema(), parts, Settings(), Settings(name="other"))
    text = [_INTRODUCTION, *_contents(page)]
    for title, names in _grouped(parts).items():
        text.append(f"## {title}\n")
        for name in names:
            for section in parts[name]:
                text += _described(page, section)
    return "\n".join(text)


def _grouped(parts: Mapping[str, object]) -> Mapping[str, Sequence[str]]:
    named = {name for names in _PARTS.values() for name in names}
    rest = [name for name in parts if name not in named]
    last = list(_PARTS)[-1]
    return {title: [*names, *(rest if title == last else ())] for title, names in _PARTS.items()}


def _sections() -> Mapping[str, Sequence[_Section]]:
    """Return by section of the settings all classes below it, each once, those above first."""
    parts = {_DEPLOYMENT: [_Section("", Settings)]}
    seen: set[type[BaseModel]] = {Settings}
    for name, field in Settings.model_fields.items():
        waiting = list(_below(name, field))
        found: list[_Section] = []
        while waiting:
            section = waiting.pop(0)
            if section.made_of in seen or _inline(section.made_of):
                continue
            seen.add(section.made_of)
            found.append(section)
            for key, inner in section.made_of.model_fields.items():
                waiting += _below(f"{section.key}.{key}", inner)
        if found:
            parts[name] = found
    return parts


def _below(key: str, field: FieldInfo) -> Iterator[_Section]:
    """Yield the sections that a key's value is, or that stand in it."""
    if key == "source.mapping":
        yield _Section(key, MappingSettings)  # Sources do not know the decoders.
    for path, made_of in _classes(field.annotation):
        place = path.replace("*", f".{_ANY_NAME.get(key, '<NAME>')}")
        yield _Section(f"{key}{place}", made_of)


def _classes(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the settings' classes in a type, and how each is reached: `[]` is a list's entry."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
        return
    steps: Mapping[object, str] = {tuple: "[]", Mapping: "*"}
    step = steps.get(get_origin(annotation), "")
    for part in get_args(annotation):
        for path, made_of in _classes(part):
            yield f"{step}{path}", made_of


def _inline(made_of: type[BaseModel]) -> bool:
    """Tell whether a class is shown where it stands: all its keys are needed."""
    return all(field.is_required() for field in made_of.model_fields.values())


def _contents(page: _Page) -> Iterator[str]:
    places = {key: section for key, _, section in _every_key(page)}
    places |= {section.key: section for _, _, section in _every_key(page)}
    yield "| to set first | key |\n|---|---|"
    for key, purpose in _FIRST.items():
        yield f"| {purpose} | [`{key}`](#{places[key].anchor()}) |"
    yield ""
    for title, names in _grouped(page.sections).items():
        links = [
            f"[{_short(section)}](#{section.anchor()})"
            for name in names
            for section in page.sections[name]
        ]
        yield f"- **[{title}](#{_anchor(title)})**: {', '.join(links)}"
    yield ""


def _short(section: _Section) -> str:
    return f"`{section.kind()}`" if section.kind() else section.heading()


def _every_key(page: _Page) -> Iterator[tuple[str, FieldInfo, _Section]]:
    for sections in page.sections.values():
        for section in sections:
            for name, field in section.made_of.model_fields.items():
                yield f"{section.key}.{name}".lstrip("."), field, section


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub and others give a heading."""
    kept = [letter for letter in heading.lower() if letter.isalnum() or letter in " _-"]
    return "".join(kept).replace(" ", "-")


def _described(page: _Page, section: _Section) -> Iterator[str]:
    yield f"### {section.heading()}\n"
    if section.key:
        yield f"{inspect.cleandoc(section.made_of.__doc__ or '')}\n"
    yield "| key | value | default | what it is |\n|---|---|---|---|"
    schema = page.schema if section.made_of is Settings else _definition(page, section.made_of)
    tables = {each.key for part in page.sections.values() for each in part} | _ANY_NAME.keys()
    for name, field in section.made_of.model_fields.items():
        key = f"{section.key}.{name}".lstrip(".")
        node = schema["properties"][name]
        if key in tables and "anyOf" not in node:
            continue  # It is but its keys; one that may be null is a value too.
        in_list = "[]" in section.key
        shown = f"`{name}`" if in_list else f"`{key}`<br>`{_variable(key)}`"
        cells = (
            shown,
            _value(page, node, field),
            _default(page, key, field),
            field.description or "",
        )
        yield _row(cells)
    yield ""


def _row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _definition(page: _Page, made_of: type[BaseModel]) -> Mapping[str, Any]:
    definition: Mapping[str, Any] = page.schema["$defs"][made_of.__name__]
    return definition


def _variable(key: str) -> str:
    return PREFIX + key.replace(".", "__").upper()


def _value(page: _Page, node: Mapping[str, Any], field: FieldInfo | None = None) -> str:
    """Return in words what a schema node allows; bounds of durations stand in the field alone."""
    if "$ref" in node:
        return _section_value(page, node["$ref"].rsplit("/", 1)[1])
    if "discriminator" in node:
        first = next(each for _, _, each in _every_key(page) if each.kind())
        return f"[mapping with a `kind`](#{first.anchor()})"
    forms = node.get("anyOf") or node.get("oneOf")
    if forms:
        texts = dict.fromkeys(_value(page, form, field) for form in forms)
        return " or ".join(texts)
    if "const" in node:
        return _code(node["const"])
    if "enum" in node:
        return ", ".join(_code(each) for each in node["enum"])
    kind = node.get("type")
    if kind == "array":
        least = ", one at least" if node.get("minItems") else ""
        return f"list of: {_value(page, node['items'])}{least}"
    if kind == "object":
        inner = node.get("additionalProperties")
        return f"mapping of names to: {_value(page, inner)}" if inner else "mapping"
    if kind == "string":
        return _text_value(node, field)
    words = {"boolean": "`true` or `false`", "null": "`null`", "integer": "whole number"}
    return words.get(str(kind), "number") + _bounds(
        *(node.get(each) for each in ("exclusiveMinimum", "minimum", "exclusiveMaximum", "maximum"))
    )


def _section_value(page: _Page, name: str) -> str:
    """Return what a class of settings is called: a link to its table, or what it is made of."""
    for _, _, section in _every_key(page):
        if section.made_of.__name__ == name:
            return f"[{section.heading()}](#{section.anchor()})"
    inside = page.schema["$defs"][name]["properties"]
    shown = ", ".join(
        f"{key}: {str(each['const']).lower() if 'const' in each else 'TEXT'}"
        for key, each in inside.items()
    )
    return f"`{{{shown}}}`"


_DURATION = TypeAdapter(Duration).json_schema()["pattern"]
_BUDGET = TypeAdapter(AlertBudget).json_schema()["pattern"]


def _text_value(node: Mapping[str, Any], field: FieldInfo | None) -> str:
    pattern = node.get("pattern")
    if pattern == _DURATION:
        found: dict[type, str] = {}
        for each in field.metadata if field is not None else ():
            for bound, name in ((Gt, "gt"), (Ge, "ge"), (Lt, "lt"), (Le, "le")):
                if isinstance(each, bound):
                    found[bound] = format_duration(getattr(each, name))
        return "duration" + _bounds(*(found.get(bound) for bound in (Gt, Ge, Lt, Le)))
    if pattern == _BUDGET:
        return "budget"
    if pattern is not None:
        return f"text that matches `{pattern}`"
    return _FORMATS.get(str(node.get("format")), "text")


def _bounds(above: object, least: object, below: object, most: object) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = {"above": above, "at least": least, "below": below, "at most": most}
    given = [f"{word} {bound}" for word, bound in words.items() if bound is not None]
    return f" {' and '.join(given)}" if given else ""


def _default(page: _Page, key: str, field: FieldInfo) -> str:
    if field.is_required():
        return "none: must be given"
    if field.default_factory is not None and not isinstance(field.default_factory, type):
        return "found at start"
    own, other = (_at(settings, key, field) for settings in (page.own, page.other))
    text = _code(own)
    return text if own == other or key == "name" else f"{text} (by `name`)"


def _at(settings: Settings, key: str, field: FieldInfo) -> object:
    """Return the value that a key has in `settings`, or else by default, as it is printed."""
    value: Any = settings.shown()
    for segment in key.split("."):
        if not isinstance(value, Mapping) or segment not in value:
            return _plain(field)
        value = value[segment]
    return value


def _plain(field: FieldInfo) -> object:
    """Return a field's own default as it is printed."""
    value = field.get_default(call_default_factory=True)
    return TypeAdapter(field.rebuild_annotation()).dump_python(value, mode="json")


def _code(value: object) -> str:
    if isinstance(value, str):
        return f"`{value}`"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    text = text.removesuffix("...\n").strip()
    return f"`{text}`"
