"""What operators are told to type and to look at is there."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from streamdrift.__main__ import app

DOCS = Path(__file__).parents[2] / "docs"
OPERATING = (DOCS / "operating.md").read_text()
COMMANDS = re.findall(r"^streamdrift .*", OPERATING, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist_with_their_options(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    typer.main.get_group(app).commands[name].make_context(name, arguments)


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda file: file.name)
def test_files_and_headings_that_are_linked_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        file = DOCS / name if name else document
        assert file.exists(), target
        heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if heading else []
        slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not heading or heading in slugs, target


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"\bdeploy/[\w./]+\w", OPERATING)
    assert len(named) > 5
    assert all((DOCS.parent / name).exists() for name in named)
