"""The closing summary of `make test` hides nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_checks(folder: Path, content: str) -> "subprocess.CompletedProcess[str]":
    """Run the check `broker` in a project whose only broker tests are `content`."""
    tests = folder / "tests" / "broker"
    tests.mkdir(parents=True)
    (tests / "test_only.py").write_text(f"import pytest\n\n{content}")
    shutil.copy(ROOT / "tests" / "conftest.py", tests.parent)
    shutil.copy(ROOT / "pyproject.toml", folder)
    command = [str(ROOT / ".ci" / "checks"), str(Path(sys.executable).parent), "broker"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def summary_of(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout.partition("== summary\n")[2]


SKIPPED = """
@pytest.mark.parametrize("number", range(3))
def test_only(number):
    pytest.skip("no Java: install it")

def test_other():
    pytest.skip("no Java: install it")
"""


def test_what_was_skipped_and_why_is_said_in_one_line_and_in_the_summary(tmp_path: Path) -> None:
    done = run_checks(tmp_path, SKIPPED)
    assert done.returncode == 0
    before = done.stdout.removesuffix(summary_of(done))
    assert before.count("no Java") == before.count("\n4 skipped: no Java: install it\n") == 1
    assert "passed" in summary_of(done)
    assert summary_of(done).endswith(" s, 4 skipped: no Java: install it\n")


@pytest.mark.parametrize(("value", "result", "code"), [(1, "passed", 0), (0, "FAILED", 1)])
def test_the_result_stands_in_the_summary(
    tmp_path: Path, value: int, result: str, code: int
) -> None:
    done = run_checks(tmp_path, f"def test_only():\n    assert {value}\n")
    assert done.returncode == code
    assert result in summary_of(done)
    assert summary_of(done).endswith(" s\n")
