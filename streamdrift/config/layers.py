"""Where settings come from: a YAML file, the environment and `--set`, as layers of values.

Each layer is a tree of plain values that remembers where each key stood, so that a mistake
can be reported with its line or variable.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from streamdrift.errors import SettingsError

PREFIX = "STREAMDRIFT_"

Key = tuple[str | int, ...]
"""A setting's place in the tree: `("kafka", "bootstrap_servers")`."""

# Set by a test run, by whoever says where compiled kernels are kept, and by Kubernetes in every pod
# beside a service called `streamdrift`.
_FOREIGN = re.compile(r"TEST_.*|CACHE_DIR|SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP).*)?")
_SEGMENT = re.compile(r'"([^"]+)"|([^."]+)')


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings.

    `origins` says where a key stood, as people name the place. `texts` holds the text of
    values that YAML's rules typed but that came without quotes, for settings that want text.
    `mistakes` are (key, message) of what could not be read as a setting at all.
    """

    values: Mapping[str, object]
    origins: Mapping[Key, str] = field(default_factory=dict)
    texts: Mapping[Key, str] = field(default_factory=dict)
    mistakes: Sequence[tuple[Key, str]] = ()


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core rules: `no` and `on` are text, as are times; `1e5` is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in {"null", "merge"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"([-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$"
    ),
    list("-+0123456789."),
)


def read_file(path: Path) -> Layer:
    """Return the settings of a YAML file.

    Raises SettingsError where the file cannot be read or is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"cannot read the settings file {path}: {error.strerror}",
            hint="name an existing file with -c, or leave -c out to run on defaults",
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the settings file {path} is not UTF-8 text: {error}") from error
    return parse_file(text, str(path))


def parse_file(text: str, name: str) -> Layer:
    """Return the settings of a YAML text; `name` is what its mistakes are reported under."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Layer({})
        if not isinstance(node, yaml.MappingNode):
            raise SettingsError(
                f"{name}:1: the settings must be a mapping of keys to values",
                hint="`streamdrift settings` prints an example: the settings in effect",
            )
        origins: dict[Key, str] = {}
        mistakes: list[tuple[Key, str]] = []
        for key, line, repeated in _walk(node, ()):
            if repeated:
                mistakes.append((key, f"given twice: {origins[key]} and {name}:{line}"))
            origins[key] = f"{name}:{line}"
        values = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise SettingsError(_syntax_message(error, name)) from error
    finally:
        loader.dispose()
    return Layer(_with_text_keys(values), origins, mistakes=mistakes)


def _walk(node: yaml.Node, key: Key) -> Iterator[tuple[Key, int, bool]]:
    """Yield each key below a node, its line, and whether its mapping had it before."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            below = (*key, str(name.value))
            yield below, name.start_mark.line + 1, name.value in seen
            seen.add(name.value)
            yield from _walk(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*key, place), value.start_mark.line + 1, False
            yield from _walk(value, (*key, place))


def _with_text_keys(values: object) -> dict[str, object]:
    """Return a mapping whose keys are text all the way down: a model may be called `7`."""

    def convert(value: object) -> object:
        if isinstance(value, dict):
            return {str(name): convert(item) for name, item in value.items()}
        return [convert(item) for item in value] if isinstance(value, list) else value

    assert isinstance(values, dict)
    return {str(name): convert(item) for name, item in values.items()}


def _syntax_message(error: yaml.YAMLError, name: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = error.problem or "cannot be read"
        if "\\t" in problem:
            problem = "a tab where YAML wants spaces"
        return f"{name}:{mark.line + 1}:{mark.column + 1}: not valid YAML: {problem}"
    return f"{name}: not valid YAML: {error}"


def read_environment(environment: Mapping[str, str] = os.environ) -> Layer:
    """Return the settings among environment variables: `STREAMDRIFT_HTTP__BIND=...`.

    Two underscores go one level down; names are lower-cased. An empty value counts as unset.
    """
    assignments = [
        (tuple(name[len(PREFIX) :].lower().split("__")), text, f"environment variable {name}")
        for name, text in sorted(environment.items())
        if name.startswith(PREFIX) and text and not _FOREIGN.fullmatch(name[len(PREFIX) :])
    ]
    return _layer(assignments)


def read_assignments(assignments: Sequence[str]) -> Layer:
    """Return the settings of `--set` arguments: `http.bind=127.0.0.1:9000`.

    A segment with dots in it is quoted: `models."fraud.eu".reference.events=500`.
    Raises SettingsError where an argument has no `=` or no key.
    """
    parsed = []
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        segments = tuple(quoted or plain for quoted, plain in _SEGMENT.findall(name.strip()))
        if not equals or not segments:
            raise SettingsError(
                f"--set {assignment}: no key and value", hint="write --set key.key=value"
            )
        parsed.append((segments, text, f"--set {name.strip()}"))
    return _layer(parsed)


def _layer(assignments: Sequence[tuple[Key, str, str]]) -> Layer:
    values: dict[str, object] = {}
    origins: dict[Key, str] = {}
    texts: dict[Key, str] = {}
    for key, text, origin in assignments:
        value: object = _typed(text)
        if not isinstance(value, dict | list | str):
            texts[key] = text
        for depth in range(1, len(key) + 1):
            origins[key[:depth]] = origin
        for segment in reversed(key):
            value = {str(segment): value}
        assert isinstance(value, dict)
        values = merge(values, value)
    return Layer(values, origins, texts)


def _typed(text: str) -> object:
    """Return `text` read as YAML; what is no YAML (`*`, `a: b: c`) is the text itself."""
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (_Loader is a SafeLoader)
    except yaml.YAMLError:
        return text
    # `host: port`, unquoted, is a mapping in YAML; only braces mean one here.
    if isinstance(value, dict) and not text.lstrip().startswith("{"):
        return text
    return value


def merge(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return `above` laid over `below`: mappings key by key, everything else replaced.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(below)
    for name, value in above.items():
        lower = merged.get(name)
        both = isinstance(lower, Mapping) and isinstance(value, Mapping)
        merged[name] = merge(lower, value) if both else value  # type: ignore[arg-type]
    return merged
