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


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"\bdeploy/[\w./]+\w", OPERATING)
    assert len(named) > 5
    assert all((DOCS.parent / name).exists() for name in named)
