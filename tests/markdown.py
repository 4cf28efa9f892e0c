"""Reads Markdown as far as tests of the documents need it."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer.core
import typer.main

from streamdrift.__main__ import app

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SOURCE = re.compile(r"(?:src|srcset|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language ("" for those of none)."""
    return [code for found, code in _FENCE.findall(text) if found == language]


def prose(text: str) -> str:
    """Return a document without its code blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Return where links and pictures of a document lead, but for those in code."""
    shown = re.sub(r"`[^`]*`", "", prose(text))
    return [*_LINK.findall(shown), *_SOURCE.findall(shown)]


def anchors(text: str) -> set[str]:
    """Return the anchors GitHub gives a document's headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(text)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (numbered := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(numbered)
    return found


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each `streamdrift ...` that a document shows, pipes cut off."""
    code = (block.replace("\\\n", " ") for block in blocks(text, "sh"))
    lines = [line for block in code for line in block.splitlines()]
    lines += [
        " ".join(each.split()) for each in re.findall(r"`(streamdrift \w[^`]*)`", prose(text))
    ]
    found = []
    for line in lines:
        words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["streamdrift"]:
            found.append(words[1:])
    return found


def check_command(arguments: Sequence[str]) -> None:
    """Raise typer's error where a command does not exist, or does not take its arguments.

    A command that is named alone, without what it needs, is in order.
    """
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while isinstance(command, typer.core.TyperGroup) and rest:
        name, *rest = rest
        # `state ls|show` is one mention of several.
        for each in name.split("|"):
            command.commands[each]
        command = command.commands[name.split("|")[0]]
    if rest and "--help" not in rest:
        command.make_context(arguments[0], rest)
