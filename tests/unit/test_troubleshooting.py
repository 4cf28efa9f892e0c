"""docs/troubleshooting.md has the messages that exist, and all errors there are."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from streamdrift import errors
from streamdrift.decoders.letters import HINTS
from tests.markdown import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
ERRORS = {
    name
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, errors.StreamdriftError)
}
ANYTHING = "\0"


def quoted(column: str) -> list[str]:
    """Return what is quoted in the first cells of the tables whose first column is called so."""
    found: list[str] = []
    inside = False
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            inside = False
        elif line.startswith(f"| {column} |"):
            inside = True
        elif inside:
            found += re.findall(r"`([^`]+)`", line.split(" | ")[0])
    return found


@cache
def trees() -> tuple[ast.Module, ...]:
    return tuple(
        ast.parse(path.read_text()) for path in sorted((ROOT / "streamdrift").rglob("*.py"))
    )


def text(node: ast.AST) -> str | None:
    """Return a text of the source, with a mark for whatever is put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) or ANYTHING for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return "".join(text(part) or ANYTHING for part in (node.left, node.right))
    return None


@cache
def texts() -> frozenset[str]:
    found = (text(node) for tree in trees() for node in ast.walk(tree))
    return frozenset(each for each in found if each is not None)


def raised() -> Iterator[str]:
    """Yield what the errors of this project say, where words of it stand in the source."""
    for tree in trees():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ERRORS
                and node.args
            ):
                said = text(node.args[0])
                if said is not None and len(re.sub(r"\W", "", said)) > 1:
                    yield said


def pattern(message: str) -> re.Pattern[str]:
    """Return what a quoted message stands for: an `…` within it is no word of the source."""
    parts = message.removesuffix("…").split("…")
    within = f"{ANYTHING}+".join(re.escape(part) for part in parts)
    return re.compile(f"{within}.*" if message.endswith("…") else within, re.DOTALL)


@pytest.mark.parametrize("message", quoted("message"))
def test_messages_exist(message: str) -> None:
    assert any(pattern(message).search(each) for each in texts())


@pytest.mark.parametrize("line", quoted("log line"))
def test_log_lines_exist(line: str) -> None:
    assert line in texts()


@pytest.mark.parametrize("reason", quoted("reason"))
def test_reasons_exist(reason: str) -> None:
    assert reason in texts()


@pytest.mark.parametrize("said", sorted(set(raised())))
def test_errors_are_there(said: str) -> None:
    assert any(pattern(message).match(said) for message in quoted("message"))


def test_every_reason_is_there() -> None:
    assert HINTS.keys() <= set(quoted("reason"))


def logging_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that log a warning or an error."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("warning", "error", "exception")
            and ast.unparse(node.func.value) == "_log"
        ):
            yield node


def handed_on(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield what is handed to functions of a module that log it as a warning or an error."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        parameters = [each.arg for each in function.args.args if each.arg != "self"]
        logged = {ast.unparse(call.args[0]) for call in logging_calls(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(f".{function.name}"):
                named = dict(zip(parameters, node.args, strict=False))
                yield from (each for name, each in named.items() if name in logged)


def warned() -> Iterator[str]:
    """Yield what is logged as a warning or an error, also where a function is told what to say."""
    for tree in trees():
        for said in (*(call.args[0] for call in logging_calls(tree)), *handed_on(tree)):
            if (told := text(said)) is not None:
                yield told


@pytest.mark.parametrize("said", sorted(set(warned())))
def test_warnings_are_there(said: str) -> None:
    assert said in quoted("log line")


def test_every_exit_code_is_there() -> None:
    codes = {getattr(errors, name).exit_code for name in ERRORS}
    assert codes <= {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)}
    assert {int(code) for code in re.findall(r"^## (\d): ", PAGE, re.MULTILINE)} == codes - {1}
