"""What the documents show is what happens."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from streamdrift.__main__ import app
from streamdrift.config import load_settings

DOCS = Path(__file__).parents[2] / "docs"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_example_of_one_series_finds_its_change(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("detectors.md", "python")
    exec(example, {})
    shown = re.findall(r"noticed at (\d+) began in \((\d+), (\d+)\)", capsys.readouterr().out)
    ((noticed, earliest, latest),) = shown
    assert int(earliest) <= 2_000 <= int(latest) <= int(noticed) < 2_200


@pytest.mark.parametrize("block", blocks("detectors.md", "yaml"))
def test_settings_load(block: str, tmp_path: Path) -> None:
    file = tmp_path / "streamdrift.yaml"
    file.write_text(block)
    fraud = load_settings(file, environment={}).model("fraud")
    assert len(fraud.detectors) == 2
    assert fraud.signals.keys() == {"latency_ms"}


@pytest.mark.parametrize(
    "command",
    [
        line
        for block in blocks("operating.md", "sh")
        for line in block.splitlines()
        if line.startswith("streamdrift ")
    ],
)
def test_commands_of_operators_exist_with_their_options(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    typer.main.get_group(app).commands[name].make_context(name, arguments)


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda file: file.name)
def test_files_and_headings_that_are_linked_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        file = DOCS / name if name else document
        assert file.exists(), target
        heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if heading else []
        slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not heading or heading in slugs, target


def test_files_that_operators_are_told_of_exist() -> None:
    named = re.findall(r"\bdeploy/[\w./]+\w", (DOCS / "operating.md").read_text())
    assert len(named) > 5
    assert all((DOCS.parent / name).exists() for name in named)
