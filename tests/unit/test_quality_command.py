"""The command of the evaluation: names of sections, and what it writes."""

import json
import sys
from pathlib import Path

import pytest

from loadtest.quality import __main__ as command
from loadtest.quality import sections
from loadtest.quality.plan import Plan, Section
from loadtest.quality.tables import BEGIN, END, Result, Table, Verdict


def _of(plan: Plan) -> Result:
    plan.say("half way")
    row = (f"{plan.seed}", f"{plan.runs(100)}")
    return Result([Table("Runs", ("seed", "runs"), (row,))], [Verdict("a", "1", "2", False)])


@pytest.fixture
def one_section(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Section("one", "One", "all", _of)
    monkeypatch.setattr(command, "SECTIONS", {"one": one})


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["quality", *arguments])
    command.main()


def test_sections_have_names_of_their_own() -> None:
    assert all(name == section.name for name, section in sections.SECTIONS.items())
    assert all(section.reach and section.title for section in sections.SECTIONS.values())


@pytest.mark.usefixtures("one_section")
def test_what_is_measured_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, readme = tmp_path / "quality.json", tmp_path / "README.md"
    readme.write_text(f"# x\n\n{BEGIN}\n{END}\n")
    _run(
        monkeypatch, "--seed", "7", "--effort", "0.5", "--json", str(file), "--readme", str(readme)
    )
    assert json.loads(file.read_text())["one"]["tables"][0]["rows"] == [["7", "50"]]
    assert "| 7 | 50 |" in file.with_suffix(".md").read_text()
    assert "| One | all | 1 missed |" in readme.read_text()
    said = capsys.readouterr().out
    assert "half way" in said
    assert "missed: a: 2, 1" in said


@pytest.mark.usefixtures("one_section")
def test_quick_makes_few_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "quality.json"
    _run(monkeypatch, "one", "--quick", "--json", str(file))
    assert json.loads(file.read_text())["one"]["tables"][0]["rows"] == [["1", "5"]]


@pytest.mark.usefixtures("one_section")
def test_rendering_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "quality.json"
    _run(monkeypatch, "one", "--json", str(file))
    known = file.read_text()
    _run(monkeypatch, "--render", "--seed", "9", "--json", str(file))
    assert file.read_text() == known


@pytest.mark.usefixtures("one_section")
def test_an_unknown_section_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _run(monkeypatch, "two", "--json", str(tmp_path / "quality.json"))
    assert "no section: two; there are one" in capsys.readouterr().err
