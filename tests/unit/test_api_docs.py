"""The examples of docs/api.md, asked of a deployment that has seen what they are about."""

import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamdrift.web.schemas import IncidentSummary
from tests.api import World

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^```sh\n(curl .*?)\n```\n\n```json\n(.*?)^```", TEXT, re.M | re.S)


def differences(shown: Any, found: Any, place: str = "") -> Iterator[str]:
    """Yield where `found` lacks what is shown, or has another value there."""
    if isinstance(shown, Mapping) and isinstance(found, Mapping):
        for name, value in shown.items():
            yield from differences(value, found.get(name), f"{place}.{name}")
    elif isinstance(shown, list) and isinstance(found, list) and len(shown) == len(found):
        for number, (one, other) in enumerate(zip(shown, found, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif shown != found:
        yield f"{place}: {shown!r} is shown, {found!r} is found"


@pytest.mark.parametrize(("command", "answer"), EXAMPLES)
def test_examples_are_answered_as_shown(command: str, answer: str) -> None:
    arguments = shlex.split(command)
    url = next(each for each in arguments if each.startswith("http"))
    given = dict(itertools.pairwise(arguments))
    with World().client() as client:
        found = client.request(
            given.get("-X", "GET"),
            url.removeprefix("http://127.0.0.1:8410"),
            content=given.get("-d"),
            headers=dict([given["-H"].split(": ")]) if "-H" in given else {},
        )
    assert found.status_code in (200, 202), found.text
    assert list(differences(json.loads(answer), found.json())) == []


def test_there_are_examples_of_looking_and_acting() -> None:
    assert len(EXAMPLES) == 6


def test_an_incident_is_shown_whole() -> None:
    (shown,) = (json.loads(answer) for command, answer in EXAMPLES if "/incidents?" in command)
    assert [set(each) for each in shown["items"]] == [set(IncidentSummary.model_fields)]


def test_every_endpoint_is_listed() -> None:
    with World().client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    listed = re.findall(r"^\| `(GET|POST) (/api/v1\S*)` \|", TEXT, re.M)
    there = {
        (method.upper(), re.sub(r"{(incident|signal)}", "{id}", path))
        for path, methods in paths.items()
        for method in methods
    }
    assert set(listed) == there
